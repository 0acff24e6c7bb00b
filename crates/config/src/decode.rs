//! The decoding trait and its implementations for plain types.

use std::collections::BTreeMap;

use base::{CpuId, MAX_CPUS, MAX_NODES, NodeId};
use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::problem::Problem;
use crate::schema::{Knob, Schemas};
use crate::source::{Span, Spanned};
use crate::suggest::did_you_mean;
use crate::value::{Entry, Kind, Table, Value};

/// A type that stands in configuration files: decoded from the tree, printed to it, described.
pub trait FromToml: Sized {
    /// Decodes. `None` means that at least one error was recorded in `cx`; decoding of siblings
    /// goes on.
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self>;

    /// Prints; `None` leaves the key out.
    fn to_toml(&self) -> Option<Value>;

    /// What may stand there, in words, for messages and reference pages.
    fn type_name() -> String;

    /// JSON Schema.
    fn schema(schemas: &mut Schemas) -> Json;

    /// The value of a key that is left out and has no default; `None` makes the key required.
    fn absent() -> Option<Self> {
        None
    }

    /// The keys inside, if it is a table with declared keys (or holds such).
    fn nested_knobs() -> Vec<Knob> {
        Vec::new()
    }
}

/// A table with declared keys; [`crate::config!`] implements it.
pub trait Config: FromToml {
    /// The struct's name.
    const NAME: &'static str;

    /// Its doc comment.
    fn doc() -> String;

    /// Its keys in the order of declaration.
    fn knobs() -> Vec<Knob>;
}

/// Records "expected ..., found ..." and gives nothing.
pub fn wrong_type<T>(value: &Value, expected: &str, cx: &mut Cx) -> Option<T> {
    let message = format!("wrong type for `{}`", cx.key());
    cx.error(value.span, message, format!("expected {expected}, found {}", value.found()));
    None
}

/// Records that a value of the right type cannot be used and why, and gives nothing.
pub fn refuse<T>(span: Span, why: &str, cx: &mut Cx) -> Option<T> {
    let message = format!("invalid value for `{}`", cx.key());
    cx.error(span, message, why);
    None
}

impl FromToml for bool {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        match value.kind {
            Kind::Bool(flag) => Some(flag),
            _ => wrong_type(value, "`true` or `false`", cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Kind::Bool(*self).into())
    }

    fn type_name() -> String {
        "boolean".to_owned()
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "boolean" })
    }
}

fn integer(value: &Value, min: i128, max: i128, cx: &mut Cx) -> Option<i128> {
    let Kind::Integer(number) = value.kind else { return wrong_type(value, "an integer", cx) };
    if (min..=max).contains(&number) {
        return Some(number);
    }
    refuse(value.span, &format!("expected an integer from {min} to {max}"), cx)
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl FromToml for $int {
            fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
                integer(value, Self::MIN as i128, Self::MAX as i128, cx).map(|number| number as Self)
            }

            fn to_toml(&self) -> Option<Value> {
                Some(Kind::Integer(*self as i128).into())
            }

            fn type_name() -> String {
                "integer".to_owned()
            }

            fn schema(_: &mut Schemas) -> Json {
                if Self::MIN == 0 {
                    json!({ "type": "integer", "minimum": 0 })
                } else {
                    json!({ "type": "integer" })
                }
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64);

macro_rules! ids {
    ($($id:ident < $max:expr),*) => {$(
        impl FromToml for $id {
            fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
                let number = integer(value, 0, $max as i128 - 1, cx)?;
                Some($id::from_idx(number as usize))
            }

            fn to_toml(&self) -> Option<Value> {
                Some(Kind::Integer(self.idx() as i128).into())
            }

            fn type_name() -> String {
                "integer".to_owned()
            }

            fn schema(_: &mut Schemas) -> Json {
                json!({ "type": "integer", "minimum": 0, "maximum": $max - 1 })
            }
        }
    )*};
}

ids!(NodeId < MAX_NODES, CpuId < MAX_CPUS);

impl FromToml for f64 {
    /// Takes integers too; refuses infinities and NaN.
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        match value.kind {
            Kind::Integer(number) => Some(number as f64),
            Kind::Float(number) if number.is_finite() => Some(number),
            Kind::Float(_) => refuse(value.span, "expected a finite number", cx),
            _ => wrong_type(value, "a number", cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Kind::Float(*self).into())
    }

    fn type_name() -> String {
        "number".to_owned()
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "number" })
    }
}

impl FromToml for String {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        match &value.kind {
            Kind::String(text) => Some(text.clone()),
            _ => wrong_type(value, "a string", cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(self.as_str().into())
    }

    fn type_name() -> String {
        "string".to_owned()
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "string" })
    }
}

impl FromToml for Value {
    /// Anything: for tables whose keys are known later, such as a design's settings.
    fn from_toml(value: &Value, _: &mut Cx) -> Option<Self> {
        Some(value.clone())
    }

    fn to_toml(&self) -> Option<Value> {
        Some(self.clone())
    }

    fn type_name() -> String {
        "any value".to_owned()
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({})
    }
}

impl<T: FromToml> FromToml for Option<T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        T::from_toml(value, cx).map(Some)
    }

    fn to_toml(&self) -> Option<Value> {
        self.as_ref().and_then(T::to_toml)
    }

    fn type_name() -> String {
        T::type_name()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        T::schema(schemas)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn nested_knobs() -> Vec<Knob> {
        T::nested_knobs()
    }
}

macro_rules! transparent {
    ($wrapper:ident, |$inner:ident, $value:ident| $wrap:expr, $get:expr) => {
        impl<T: FromToml> FromToml for $wrapper<T> {
            fn from_toml($value: &Value, cx: &mut Cx) -> Option<Self> {
                T::from_toml($value, cx).map(|$inner| $wrap)
            }

            fn to_toml(&self) -> Option<Value> {
                let get: fn(&Self) -> &T = $get;
                get(self).to_toml()
            }

            fn type_name() -> String {
                T::type_name()
            }

            fn schema(schemas: &mut Schemas) -> Json {
                T::schema(schemas)
            }

            fn absent() -> Option<Self> {
                let $value = &Value::empty_table();
                T::absent().map(|$inner| $wrap)
            }

            fn nested_knobs() -> Vec<Knob> {
                T::nested_knobs()
            }
        }
    };
}

transparent!(Spanned, |inner, value| Spanned::new(inner, value.span), |this| &this.value);
transparent!(Box, |inner, _value| Box::new(inner), |this| this);

/// The type name of tables, whatever their keys are.
#[doc(hidden)]
pub const TABLE: &str = "table";

/// A type name in words that say that there may be several.
fn several<T: FromToml>(what: &str) -> String {
    format!("{what} of {}", plural(&T::type_name()))
}

/// `lists of integers` for `list of integers`, `names or tables` for `name or table`.
fn plural(name: &str) -> String {
    if let Some((one, other)) = name.split_once(", or a ") {
        return format!("{}, or {}", plural(one), plural(other));
    }
    if let Some((one, other)) = name.split_once(" or ") {
        return format!("{} or {}", plural(one), plural(other));
    }
    if let Some((what, of)) = name.split_once(" of ") {
        return format!("{} of {of}", plural(what));
    }
    match name.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{name}s"),
    }
}

fn items<T: FromToml>(value: &Value, cx: &mut Cx) -> Option<Vec<T>> {
    let Kind::Array(items) = &value.kind else {
        return wrong_type(value, &format!("a {}", Vec::<T>::type_name()), cx);
    };
    let decode = |(idx, item)| cx.within(&format!("[{idx}]"), |cx| T::from_toml(item, cx));
    // All elements are decoded before the first failure counts.
    let decoded: Vec<Option<T>> = items.iter().enumerate().map(decode).collect();
    decoded.into_iter().collect()
}

impl<T: FromToml> FromToml for Vec<T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        items(value, cx)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(self.iter().filter_map(T::to_toml).collect::<Vec<_>>().into())
    }

    fn type_name() -> String {
        several::<T>("list")
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "type": "array", "items": T::schema(schemas) })
    }

    fn nested_knobs() -> Vec<Knob> {
        T::nested_knobs()
    }
}

impl<T: FromToml, const N: usize> FromToml for [T; N] {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let items: Vec<T> = items(value, cx)?;
        let nr_items = items.len();
        match items.try_into() {
            Ok(array) => Some(array),
            Err(_) => refuse(value.span, &format!("expected {N} elements, found {nr_items}"), cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(self.iter().filter_map(T::to_toml).collect::<Vec<_>>().into())
    }

    fn type_name() -> String {
        several::<T>("list").replacen(" of ", &format!(" of {N} "), 1)
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let items = T::schema(schemas);
        json!({ "type": "array", "items": items, "minItems": N, "maxItems": N })
    }

    fn nested_knobs() -> Vec<Knob> {
        T::nested_knobs()
    }
}

/// A table with free keys, in the order of the file, each key with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(Spanned<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find(|(name, _)| name.value == key).map(|(_, value)| value)
    }
}

impl<T: FromToml> FromToml for Named<T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let Kind::Table(table) = &value.kind else {
            return wrong_type(value, &Self::type_name(), cx);
        };
        let decode = |Entry { key, value }: &Entry| {
            let value = cx.within(&key.value, |cx| T::from_toml(value, cx));
            value.map(|value| (key.clone(), value))
        };
        let decoded: Vec<Option<_>> = table.entries.iter().map(decode).collect();
        decoded.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }

    fn to_toml(&self) -> Option<Value> {
        let entry = |(key, value): &(Spanned<String>, T)| {
            Some(Entry { key: key.clone(), value: value.to_toml()? })
        };
        Some(Table { entries: self.0.iter().filter_map(entry).collect() }.into())
    }

    fn type_name() -> String {
        several::<T>("table")
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "type": "object", "additionalProperties": T::schema(schemas) })
    }

    fn nested_knobs() -> Vec<Knob> {
        T::nested_knobs()
    }
}

impl<T: FromToml> FromToml for BTreeMap<String, T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let Named(pairs) = Named::from_toml(value, cx)?;
        Some(pairs.into_iter().map(|(key, value)| (key.value, value)).collect())
    }

    fn to_toml(&self) -> Option<Value> {
        let entry = |(key, value): (&String, &T)| {
            Some(Entry { key: key.clone().into(), value: value.to_toml()? })
        };
        Some(Table { entries: self.iter().filter_map(entry).collect() }.into())
    }

    fn type_name() -> String {
        Named::<T>::type_name()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        Named::<T>::schema(schemas)
    }

    fn nested_knobs() -> Vec<Knob> {
        T::nested_knobs()
    }
}

/// A check on one decoded value: what is wrong with it.
pub type Check<'a, T> = &'a dyn Fn(&T) -> Result<(), String>;

/// A table while a [`Config`] is decoded from it; the code that [`crate::config!`] makes uses it.
pub struct Fields<'v> {
    table: &'v Table,
    span: Span,
    /// Keys that a misspelt key probably meant; that they are missing is not worth a second error.
    meant: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    /// Looks at the whole table: it must be one, and have no unknown keys. Unknown keys are
    /// recorded but do not stop. A key that is there already was hardly meant, unless none that is
    /// absent is as near: a setting may be laid over a file that has the key.
    pub fn open(value: &'v Value, known: &[&'static str], cx: &mut Cx) -> Option<Self> {
        let Kind::Table(table) = &value.kind else { return wrong_type(value, "a table", cx) };
        let mut meant = Vec::new();
        for entry in table.entries.iter().filter(|e| !known.contains(&e.key.value.as_str())) {
            let (present, absent): (Vec<_>, Vec<_>) =
                known.iter().copied().partition(|name| table.get(name).is_some());
            // The first of those that are equally near is suggested.
            let suggestion = did_you_mean(&entry.key, absent.into_iter().chain(present));
            meant.extend(suggestion);
            let mut problem = Problem::error(format!("unknown key `{}`", entry.key))
                .label(entry.key.span, "not a key of this table");
            problem = match suggestion {
                Some(_) => problem.suggest(suggestion),
                None if known.is_empty() => problem.help("this table has no keys"),
                None => problem.help(format!("the keys are {}", backticked(known))),
            };
            cx.push(problem);
        }
        Some(Self { table, span: value.span, meant })
    }

    /// Decodes a key, or takes its default, or records that it is missing.
    pub fn read<T: FromToml>(
        &self,
        name: &'static str,
        default: Option<fn() -> T>,
        checks: &[Check<'_, T>],
        cx: &mut Cx,
    ) -> Option<T> {
        if let Some(entry) = self.table.get(name) {
            return cx.within(name, |cx| {
                let decoded = T::from_toml(&entry.value, cx)?;
                for check in checks {
                    if let Err(why) = check(&decoded) {
                        return refuse(entry.value.span, &why, cx);
                    }
                }
                Some(decoded)
            });
        }
        let value = default.map(|default| default()).or_else(T::absent);
        if value.is_none() && !self.meant.contains(&name) {
            let message = format!("missing key `{name}` ({})", T::type_name());
            cx.error(self.span, message, "in this table");
        }
        value
    }
}

/// Names in backticks with commas, for help texts.
pub fn backticked(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Prints a configuration as the text of a file; a value that is no table gives its inline form.
pub fn to_toml_text<T: FromToml>(config: &T) -> String {
    match config.to_toml() {
        Some(Value { kind: Kind::Table(table), .. }) => crate::print::document(&table),
        Some(value) => crate::print::inline(&value),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_of_something_read_as_english() {
        assert_eq!(Vec::<Vec<u32>>::type_name(), "list of lists of integers");
        assert_eq!(Vec::<[f64; 2]>::type_name(), "list of lists of 2 numbers");
        assert_eq!(Named::<bool>::type_name(), "table of booleans");
        assert_eq!(plural("latency"), "latencies");
        assert_eq!(plural("name or table"), "names or tables");
        let by_pattern = plural("bandwidth, or a table of it by pattern");
        assert_eq!(by_pattern, "bandwidths, or tables of it by pattern");
    }
}
