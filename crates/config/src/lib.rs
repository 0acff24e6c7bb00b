//! TOML with places: every configuration file of the project is read through this crate.
//!
//! A file is parsed into a tree in which every key and value knows its place ([`Value`]); a type
//! decodes itself from the tree ([`FromToml`]) and records what is wrong in a context ([`Cx`])
//! instead of stopping, so that a user sees all problems at once, each with file, line, caret and
//! suggestion ([`Problems::render`]). Types are declared by three macros, and everything else is
//! derived from the declaration: decoder, unknown-key check, printer ([`to_toml_text`]), list of
//! knobs ([`Config::knobs`]) and JSON Schema ([`json_schema`]).
//!
//! ```
//! use config::{BytesPerSec, CpuList, Cx, Problem, Span, Spanned, positive};
//! use base::{Bytes, Nanos};
//!
//! config::config_enum! {
//!     /// When huge pages are used.
//!     pub enum Thp {
//!         /// Wherever they fit.
//!         Always = "always",
//!         /// Where the program asks for them.
//!         Madvise = "madvise",
//!     }
//! }
//!
//! config::config! {
//!     /// A memory node.
//!     pub struct Node {
//!         /// CPUs of the node.
//!         pub cpus: Spanned<CpuList>,                              // required, keeps its place
//!         /// Installed memory.
//!         #[check(positive)]
//!         pub memory: Bytes,                                       // required, bounded
//!         /// Peak bandwidth of the memory.
//!         pub bandwidth: BytesPerSec = BytesPerSec::from_gb(12.8), // has a default
//!     }
//! }
//!
//! config::config! {
//!     /// How often the hardware is asked.
//!     pub struct Scan {
//!         /// Time between two scans.
//!         pub period: Nanos = Nanos::from_secs(1),
//!     }
//! }
//!
//! config::config! {
//!     /// Keys drawn by rank.
//!     pub struct Zipf {
//!         /// Skew.
//!         pub exponent: f64 = 0.99,
//!     }
//! }
//!
//! config::config_tagged! {
//!     /// What the program does.
//!     pub enum Workload by "kind" {
//!         /// Keys drawn by rank.
//!         Zipf(Zipf) = "zipf",
//!     }
//! }
//!
//! config::config! {
//!     /// A machine.
//!     pub struct Machine {
//!         /// Memory nodes.
//!         pub nodes: Vec<Node>,                                    // [[nodes]]
//!         /// Huge pages.
//!         pub thp: Thp = Thp::Madvise,
//!         /// Scanning.
//!         pub scan: Scan = Scan::default(),                        // [scan]
//!         /// What runs, if anything.
//!         pub workload: Option<Workload>,                          // may be absent
//!     }
//!     check cpus_have_one_node
//! }
//!
//! /// Runs when all keys were decoded; `_table` is the place of the whole table.
//! fn cpus_have_one_node(machine: &Machine, _table: Span, cx: &mut Cx) {
//!     let mut seen: Vec<Spanned<base::CpuId>> = Vec::new();
//!     for cpu in machine.nodes.iter().flat_map(|node| &node.cpus.ids) {
//!         match seen.iter().find(|other| other.value == cpu.value) {
//!             None => seen.push(*cpu),
//!             Some(first) => cx.push(
//!                 Problem::error(format!("CPU {cpu} belongs to two nodes"))
//!                     .label(cpu.span, "second use")
//!                     .label(first.span, "first use"),
//!             ),
//!         }
//!     }
//! }
//!
//! let text = r#"
//! thp = "always"
//! nodes = [{ cpus = "0-3", memory = "8GiB" }, { cpus = [4, 5], memory = "512MiB" }]
//! workload = { kind = "zipf" }
//! "#;
//! let machine: Machine = config::parse("machine.toml", text).unwrap();
//! assert_eq!(machine.nodes[0].memory, Bytes::from_gib(8));
//! let again: Machine = config::parse(":printed", &config::to_toml_text(&machine)).unwrap();
//! assert_eq!(again, machine);
//!
//! let problems = config::parse::<Machine>("bad.toml", "node = []\nthp = 3").unwrap_err();
//! assert!(problems.render(false).contains("did you mean `nodes`?"));
//! assert_eq!(problems.nr_errors(), 2); // the key, and the type of `thp`
//! ```
//!
//! Rules for types: quantities carry their unit ([`base::Bytes`], [`base::Nanos`],
//! [`base::Pages`], [`BytesPerSec`] are strings such as `"8GiB"`); a plain number's key ends in
//! its unit (`_ns`, `_pct`); no untagged choices, no flattened tables. Any file may start with
//! `extends = "other.toml"`: it is then laid over the other file, table by table, and problems
//! point into the file where the value stands.
//!
//! The crate reads no files itself; [`Cx::new`] takes the function that does.

mod checks;
mod cx;
mod decode;
mod list;
mod macros;
mod parse;
mod print;
mod problem;
mod quantity;
mod registry;
mod schema;
mod source;
mod suggest;
mod support;
mod value;

pub use checks::{IsEmpty, each, if_some, in_range, not_empty, not_negative, positive};
pub use cx::{Cx, Files, load, parse};
pub use decode::{
    Check, Config, Fields, FromToml, Named, TABLE, backticked, refuse, to_toml_text, wrong_type,
};
pub use list::{CpuList, IdList, ListId, NodeList};
pub use problem::{Problem, Problems, Severity};
pub use quantity::BytesPerSec;
pub use registry::{Described, Description, NoKnobs};
pub use schema::{Knob, Schemas, doc_text, json_schema, object_schema, tag_schema};
/// A JSON value, as schemas are made of.
pub use serde_json::Value as Json;
pub use source::{FileId, LineColumn, Source, SourceMap, Span, Spanned};
pub use suggest::did_you_mean;
pub use support::{
    TaggedKind, alternatives, names_schema, one_of_schema, read_name, read_tag, table_of,
    tagged_knobs, unknown_name, with_tag,
};
pub use value::{Entry, Kind, Table, Value};
