//! The tree of a TOML document in which every key and value knows its place.

use serde_json::{Map, Value as Json};

use crate::source::{Span, Spanned};

/// A TOML value with its place. Equality ignores places.
#[derive(Clone, Debug)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it stands; for a table its header, for the outermost table [`Span::whole`].
    pub span: Span,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of TOML values.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A string.
    String(String),
    /// An integer; wider than TOML asks for, so that every `u64` fits.
    Integer(i128),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A date, a time, or both, as text; no configuration uses them.
    Datetime(String),
    /// An array.
    Array(Vec<Value>),
    /// A table.
    Table(Table),
}

/// A table's entries in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The entries; keys are unique.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Spanned<String>,
    /// The value.
    pub value: Value,
}

impl<K: Into<Kind>> From<K> for Value {
    /// A value that no file holds.
    fn from(kind: K) -> Self {
        Self { kind: kind.into(), span: Span::NOWHERE }
    }
}

impl From<String> for Kind {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&str> for Kind {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<Table> for Kind {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl From<Vec<Value>> for Kind {
    fn from(items: Vec<Value>) -> Self {
        Self::Array(items)
    }
}

impl Value {
    /// A table without entries; decoding it gives a configuration's defaults.
    pub fn empty_table() -> Self {
        Kind::Table(Table::default()).into()
    }

    /// What it is, for "expected ..., found ...".
    pub fn found(&self) -> &'static str {
        match self.kind {
            Kind::String(_) => "a string",
            Kind::Integer(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Bool(_) => "a boolean",
            Kind::Datetime(_) => "a date or time",
            Kind::Array(_) => "an array",
            Kind::Table(_) => "a table",
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The same value in JSON; a float JSON cannot hold becomes null, an integer too wide for 64
    /// bits a float.
    pub fn to_json(&self) -> Json {
        match &self.kind {
            Kind::String(text) | Kind::Datetime(text) => text.as_str().into(),
            Kind::Integer(number) => i64::try_from(*number)
                .map(Json::from)
                .or_else(|_| u64::try_from(*number).map(Json::from))
                .unwrap_or_else(|_| (*number as f64).into()),
            Kind::Float(number) => (*number).into(),
            Kind::Bool(flag) => (*flag).into(),
            Kind::Array(items) => items.iter().map(Self::to_json).collect(),
            Kind::Table(table) => {
                let entries = table.entries.iter();
                let pairs = entries.map(|entry| (entry.key.value.clone(), entry.value.to_json()));
                pairs.collect::<Map<_, _>>().into()
            }
        }
    }
}

impl Table {
    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    /// Sets a key; an entry that exists keeps its position but takes the new places.
    pub fn set(&mut self, key: Spanned<String>, value: Value) {
        match self.entries.iter_mut().find(|entry| entry.key.value == key.value) {
            Some(entry) => *entry = Entry { key, value },
            None => self.entries.push(Entry { key, value }),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let idx = self.entries.iter().position(|entry| entry.key.value == key)?;
        Some(self.entries.remove(idx))
    }

    /// The table without one key.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        let others = self.entries.iter().filter(|entry| entry.key.value != key);
        Self { entries: others.cloned().collect() }
    }

    /// Sets a value deep inside: `path` is dotted (`"balancenuma.scan_period"`), tables on the
    /// way are made where they are missing, and other values on the way are replaced by tables.
    /// New keys take `path`'s place. An experiment sets the values of its axes with it.
    pub fn set_path(&mut self, path: &Spanned<String>, value: Value) {
        let (first, rest) = match path.value.split_once('.') {
            None => return self.set(path.clone(), value),
            Some(parts) => parts,
        };
        let first = Spanned::new(first.to_owned(), path.span);
        let rest = Spanned::new(rest.to_owned(), path.span);
        let mut inner = match self.get(&first.value) {
            Some(entry) => entry.value.clone(),
            None => Value { span: path.span, ..Value::empty_table() },
        };
        if inner.as_table().is_none() {
            inner = Value { span: path.span, ..Value::empty_table() };
        }
        if let Kind::Table(table) = &mut inner.kind {
            table.set_path(&rest, value);
        }
        self.set(first, inner);
    }

    /// Lays `child` over this table: tables merge at any depth, everything else is replaced.
    #[must_use]
    pub fn merged_with(mut self, child: Self) -> Self {
        for entry in child.entries {
            let parent = self.remove(&entry.key.value);
            let value = match (parent.map(|parent| parent.value.kind), entry.value.kind) {
                (Some(Kind::Table(parent)), Kind::Table(child)) => {
                    let kind = Kind::Table(parent.merged_with(child));
                    Value { kind, span: entry.value.span }
                }
                (_, kind) => Value { kind, span: entry.value.span },
            };
            self.entries.push(Entry { key: entry.key, value });
        }
        self
    }
}
