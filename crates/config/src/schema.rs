//! Knobs, and the JSON Schema (draft 7, which editors know) derived from them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::decode::{Config, FromToml};
use crate::print;
use crate::value::Value;

/// A key of a [`Config`], for `designs show`, the reference pages and the schema.
#[derive(Clone, Debug)]
pub struct Knob {
    /// The key.
    pub name: &'static str,
    /// What may stand there, in words: `size`, `list of integer`.
    pub type_name: String,
    /// Its value when it is left out; `None` for a required key and for one that may be absent.
    pub default: Option<Value>,
    /// Whether it must be given.
    pub required: bool,
    /// Its doc comment.
    pub doc: String,
    /// The keys inside, where the value is a table (or a list of tables); made on demand since
    /// a configuration may contain itself.
    pub nested: fn() -> Vec<Knob>,
    /// JSON Schema of its value.
    pub schema: fn(&mut Schemas) -> Json,
}

impl Knob {
    /// A key of type `T`; `doc` holds the doc comment's lines.
    pub fn new<T: FromToml>(name: &'static str, doc: &[&str], default: Option<fn() -> T>) -> Self {
        Self {
            name,
            type_name: T::type_name(),
            default: default.and_then(|default| default().to_toml()),
            required: default.is_none() && T::absent().is_none(),
            doc: doc_text(doc),
            nested: T::nested_knobs,
            schema: T::schema,
        }
    }

    /// The default as it would stand in a file; `required` or `unset` where there is none.
    pub fn default_text(&self) -> String {
        match &self.default {
            Some(value) => print::inline(value),
            None if self.required => "required".to_owned(),
            None => "unset".to_owned(),
        }
    }
}

/// A doc comment's lines as text: without the space behind the slashes.
pub fn doc_text(lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Definitions of named types, gathered while a schema is built.
#[derive(Debug, Default)]
pub struct Schemas {
    definitions: BTreeMap<String, Json>,
    /// Which Rust type took which name, so that two types of one name do not become one.
    names: BTreeMap<&'static str, String>,
}

impl Schemas {
    /// A reference to the definition of `T`, which `build` makes the first time.
    pub fn reference<T>(&mut self, name: &str, build: fn(&mut Self) -> Json) -> Json {
        let rust_name = std::any::type_name::<T>();
        let name = match self.names.get(rust_name) {
            Some(name) => name.clone(),
            None => {
                let taken = self.names.values().filter(|taken| taken.trim_end_matches('_') == name);
                let name = format!("{name}{}", "_".repeat(taken.count()));
                self.names.insert(rust_name, name.clone());
                let definition = build(self);
                self.definitions.insert(name.clone(), definition);
                name
            }
        };
        json!({ "$ref": format!("#/definitions/{name}") })
    }
}

/// The schema of a [`Config`]'s table, without indirection.
pub fn object_schema<T: Config>(schemas: &mut Schemas) -> Json {
    let knobs = T::knobs();
    let mut properties = Map::new();
    for knob in &knobs {
        properties.insert(knob.name.to_owned(), property(knob, schemas));
    }
    let required: Vec<&str> =
        knobs.iter().filter(|knob| knob.required).map(|knob| knob.name).collect();
    json!({
        "type": "object",
        "title": T::NAME,
        "description": T::doc(),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(knob: &Knob, schemas: &mut Schemas) -> Json {
    let schema = (knob.schema)(schemas);
    // Draft 7 ignores what stands beside `$ref`, hence the detour.
    let mut property = match schema {
        Json::Object(map) if !map.contains_key("$ref") => map,
        reference => Map::from_iter([("allOf".to_owned(), json!([reference]))]),
    };
    property.insert("description".to_owned(), knob.doc.as_str().into());
    if let Some(default) = &knob.default {
        property.insert("default".to_owned(), default.to_json());
    }
    property.into()
}

/// Adds the tag of a tagged table to a variant's schema.
pub fn tag_schema(mut schema: Json, tag: &str, name: &str, doc: &str) -> Json {
    schema["description"] = doc.into();
    schema["properties"][tag] = json!({ "const": name });
    if let Some(required) = schema["required"].as_array_mut() {
        required.insert(0, tag.into());
    }
    schema
}

/// The schema of a file that holds a `T`; allows `extends`, and for a file that extends another
/// requires nothing, since the other may hold it.
pub fn json_schema<T: FromToml>() -> Json {
    let mut schemas = Schemas::default();
    let mut root = T::schema(&mut schemas);
    let name = root["$ref"].as_str().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
    let mut definitions = schemas.definitions;
    if let Some(definition) = name.as_ref().and_then(|name| definitions.remove(name)) {
        // The root stays a definition only where something inside refers to it.
        let reference = root["$ref"].to_string();
        let used = std::iter::once(&definition).chain(definitions.values());
        if used.map(Json::to_string).any(|text| text.contains(&reference)) {
            definitions.extend(name.map(|name| (name, definition.clone())));
        }
        root = definition;
    }
    match root.get_mut("oneOf").and_then(Json::as_array_mut) {
        Some(variants) => variants.iter_mut().for_each(allow_extends),
        None => allow_extends(&mut root),
    }
    root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    root["definitions"] = definitions.into_iter().collect::<Map<_, _>>().into();
    root
}

fn allow_extends(object: &mut Json) {
    object["properties"]["extends"] = json!({
        "type": "string",
        "description": "A file whose tables this one is laid over; relative to this file.",
    });
    let required = object["required"].take();
    if let Some(object) = object.as_object_mut() {
        object.remove("required");
        object.insert(
            "anyOf".to_owned(),
            json!([{ "required": ["extends"] }, { "required": required }]),
        );
    }
}
