//! From the tree back to text.

use std::fmt::Write;

use crate::value::{Entry, Kind, Table, Value};

/// A whole document: keys with plain values first, then tables and arrays of tables under their
/// headers. Reading the text again gives the same tree up to the order of keys.
pub(crate) fn document(table: &Table) -> String {
    let mut out = String::new();
    body(&mut out, "", table);
    out
}

/// A value on one line, as it would stand behind `key =`.
pub(crate) fn inline(value: &Value) -> String {
    match &value.kind {
        Kind::String(text) => quoted(text),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Bool(flag) => flag.to_string(),
        Kind::Datetime(text) => text.clone(),
        Kind::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Kind::Table(table) if table.entries.is_empty() => "{}".to_owned(),
        Kind::Table(table) => {
            let entries = table.entries.iter();
            let pairs = entries.map(|Entry { key, value }| {
                format!("{} = {}", key_text(&key.value), inline(value))
            });
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

fn body(out: &mut String, path: &str, table: &Table) {
    for entry in table.entries.iter().filter(|entry| !has_header(&entry.value)) {
        let _ = writeln!(out, "{} = {}", key_text(&entry.key.value), inline(&entry.value));
    }
    for entry in table.entries.iter().filter(|entry| has_header(&entry.value)) {
        let key = key_text(&entry.key.value);
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        match &entry.value.kind {
            Kind::Table(table) => section(out, &format!("[{path}]"), &path, table),
            Kind::Array(items) => {
                for table in items.iter().filter_map(Value::as_table) {
                    section(out, &format!("[[{path}]]"), &path, table);
                }
            }
            _ => {}
        }
    }
}

fn section(out: &mut String, header: &str, path: &str, table: &Table) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{header}");
    body(out, path, table);
}

/// Whether the value is written under a header of its own.
fn has_header(value: &Value) -> bool {
    match &value.kind {
        Kind::Table(_) => true,
        Kind::Array(items) => {
            !items.is_empty() && items.iter().all(|item| item.as_table().is_some())
        }
        _ => false,
    }
}

fn key_text(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
