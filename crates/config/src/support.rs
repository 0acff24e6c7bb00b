//! What the declaring macros call, so that they expand to little.

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::{backticked, wrong_type};
use crate::problem::Problem;
use crate::schema::Knob;
use crate::source::Spanned;
use crate::suggest::did_you_mean;
use crate::value::{Entry, Kind, Table, Value};

/// A table of the entries that have a value.
pub fn table_of<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let entry = |(key, value): (&str, Option<Value>)| {
        Some(Entry { key: key.to_owned().into(), value: value? })
    };
    Table { entries: entries.into_iter().filter_map(entry).collect() }.into()
}

/// `"a" | "b"`.
pub fn alternatives(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" | ")
}

/// The index of the name that a string value is; records an unknown one with a suggestion.
pub fn read_name(value: &Value, names: &[&str], cx: &mut Cx) -> Option<usize> {
    let Kind::String(text) = &value.kind else {
        return wrong_type(value, &format!("one of {}", alternatives(names)), cx);
    };
    let idx = names.iter().position(|name| name == text);
    if idx.is_none() {
        cx.push(unknown_name(&cx.key(), &Spanned::new(text.clone(), value.span), names));
    }
    idx
}

/// The problem "unknown NAME for KEY", with a suggestion or the list of what there is. For names
/// that only the caller knows: designs, machines.
pub fn unknown_name(key: &str, name: &Spanned<String>, names: &[&str]) -> Problem {
    let suggestion = did_you_mean(name, names.iter().copied());
    let problem = Problem::error(format!("unknown value `{name}` for `{key}`"));
    match suggestion {
        Some(_) => problem.label(name.span, "not known").suggest(suggestion),
        None => {
            let help = format!("known are {}", backticked(names));
            problem.label(name.span, "not known").help(help)
        }
    }
}

/// The kind of a tagged table and the table without the tag.
pub fn read_tag(
    value: &Value,
    tag: &str,
    kinds: &[&'static str],
    cx: &mut Cx,
) -> Option<(&'static str, Value)> {
    let Kind::Table(table) = &value.kind else { return wrong_type(value, "a table", cx) };
    let Some(entry) = table.get(tag) else {
        cx.push(
            Problem::error(format!("missing key `{tag}`"))
                .label(value.span, "in this table")
                .help(format!("`{tag}` is one of {}", alternatives(kinds))),
        );
        return None;
    };
    let idx = cx.within(tag, |cx| read_name(&entry.value, kinds, cx))?;
    let rest = Value { kind: Kind::Table(table.without(tag)), span: value.span };
    Some((kinds.get(idx)?, rest))
}

/// A table with its tag in front.
pub fn with_tag(tag: &str, kind: &str, inner: Value) -> Value {
    let mut entries = vec![Entry { key: tag.to_owned().into(), value: kind.into() }];
    if let Kind::Table(table) = inner.kind {
        entries.extend(table.entries);
    }
    Table { entries }.into()
}

/// The schema of a string enum whose values are documented.
pub fn names_schema(doc: &str, names: &[(&str, String)]) -> Json {
    let values: Vec<Json> =
        names.iter().map(|(name, doc)| json!({ "const": name, "description": doc })).collect();
    json!({ "description": doc, "oneOf": values })
}

/// The schema of a choice.
pub fn one_of_schema(doc: &str, variants: &[Json]) -> Json {
    json!({ "description": doc, "oneOf": variants })
}

/// A kind of a tagged table.
pub struct TaggedKind<'a> {
    /// As written in files.
    pub name: &'static str,
    /// Its doc comment's lines.
    pub doc: &'a [&'a str],
    /// The keys it has besides the tag.
    pub knobs: fn() -> Vec<Knob>,
}

/// The kinds of a tagged table as knobs `kind = "zipf"`, with each kind's own keys inside.
pub fn tagged_knobs(tag: &'static str, kinds: &[TaggedKind<'_>]) -> Vec<Knob> {
    kinds
        .iter()
        .map(|kind| Knob {
            type_name: format!("\"{}\"", kind.name),
            nested: kind.knobs,
            ..Knob::new::<String>(tag, kind.doc, None)
        })
        .collect()
}
