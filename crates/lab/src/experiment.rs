//! Experiment files: `configs/experiments/*.toml`.

use std::collections::BTreeSet;
use std::ops::Deref;

use config::{
    Cx, FromToml, Json, Kind, Knob, Problem, Schemas, Span, Spanned, Value, config, not_empty,
    refuse, wrong_type,
};
use serde_json::json;

use crate::{axes, families};

config! {
    /// An experiment: designs held against each other on machines and workloads. Every design runs
    /// with every seed for every combination of the axes' values.
    pub struct ExperimentFile {
        /// Short name, as in results.
        #[check(not_empty)]
        pub name: String,
        /// What it asks.
        pub description: String = String::new(),
        /// The machine's file, relative to this one. An axis of this name takes its place.
        pub machine: Option<Spanned<String>> = None,
        /// A workload's file or a recorded trace (`.parquet`), relative to this one. An axis of
        /// this name takes its place.
        pub workload: Option<Spanned<String>> = None,
        /// Label of the design that the others are held against; left out, the first one.
        pub baseline: Option<Spanned<String>> = None,
        /// How many (`5` stands for 1 to 5), or which ones.
        pub seeds: Seeds = Seeds::first(1),
        /// What is compared, in the order in which it is shown: `designs = ["bind", "balancenuma"]`,
        /// or tables where a design has settings.
        pub designs: Spanned<Vec<DesignEntry>>,
        /// Textbook policies of page replacement that each run under memory pressure is held against, on
        /// its own stream of page accesses: names as `numalab designs` lists them, or `all`. Belady's
        /// optimum, the best there is, always comes with them.
        pub yardsticks: Vec<Spanned<String>> = Vec::new(),
        /// Settings of the engine.
        pub engine: Spanned<Value> = Value::empty_table().into(),
        /// Settings that differ from the files', by dotted path: `"workload.scale" = 0.1`,
        /// `"machine.kernel.thp" = "never"`, `"engine.epoch" = "1ms"`,
        /// `"designs.LABEL.KNOB" = 3`.
        pub set: Spanned<Value> = Value::empty_table().into(),
        /// What is varied: lists of values by name. Names are `machine` and `workload`, whose
        /// values are files, and the dotted paths that `set` takes.
        pub axes: Spanned<Value> = Value::empty_table().into(),
    }
    check experiment
}

config! {
    /// A design with its settings.
    pub struct DesignFile {
        /// Its name, as `numalab designs` lists it. A design of reclaim takes the place of the one
        /// that the machine's kernel names; pages are placed by first touch then.
        pub design: Spanned<String>,
        /// How it is shown; left out, its name. Two entries of one design need two labels.
        #[check(config::if_some(not_empty))]
        pub label: Option<String> = None,
        /// Its settings, as `numalab designs show NAME` lists them.
        pub knobs: Value = Value::empty_table(),
        /// Settings of machine, workload and engine that belong to this entry, by dotted path, after
        /// those of the whole file: `"machine.kernel.reclaim" = "mglru"`.
        pub set: Spanned<Value> = Value::empty_table().into(),
    }
}

impl DesignFile {
    /// A design as it is, under its own name.
    fn named(design: Spanned<String>) -> Self {
        let settings = Spanned::new(Value::empty_table(), design.span);
        Self { design, label: None, knobs: Value::empty_table(), set: settings }
    }

    /// How it is shown.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.design.value)
    }
}

/// A design of an experiment: its name alone, or a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DesignEntry(pub DesignFile);

impl Deref for DesignEntry {
    type Target = DesignFile;

    fn deref(&self) -> &DesignFile {
        &self.0
    }
}

impl FromToml for DesignEntry {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        match &value.kind {
            Kind::String(name) => {
                Some(Self(DesignFile::named(Spanned::new(name.clone(), value.span))))
            }
            Kind::Table(_) => DesignFile::from_toml(value, cx).map(Self),
            _ => wrong_type(value, "the name of a design or a table", cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        self.0.to_toml()
    }

    fn type_name() -> String {
        format!("name or {}", DesignFile::type_name())
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "oneOf": [String::schema(schemas), DesignFile::schema(schemas)] })
    }

    fn nested_knobs() -> Vec<Knob> {
        DesignFile::nested_knobs()
    }
}

/// Seeds of the runs: given as a number of them or as a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Vec<u64>);

/// More would be a slip of the pen.
const SEEDS_MAX: u64 = 10_000;

impl Seeds {
    /// `1..=nr`.
    pub fn first(nr: u64) -> Self {
        Self((1..=nr).collect())
    }
}

impl FromToml for Seeds {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        match value.kind {
            Kind::Integer(nr) => match u64::try_from(nr) {
                Ok(nr @ 1..=SEEDS_MAX) => Some(Self::first(nr)),
                _ => refuse(value.span, &format!("expected a number from 1 to {SEEDS_MAX}"), cx),
            },
            Kind::Array(_) => {
                let seeds = Vec::<u64>::from_toml(value, cx)?;
                let distinct: BTreeSet<u64> = seeds.iter().copied().collect();
                if seeds.is_empty() || distinct.len() < seeds.len() {
                    return refuse(value.span, "expected at least one seed, each once", cx);
                }
                Some(Self(seeds))
            }
            _ => wrong_type(value, "a number of seeds or a list of seeds", cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        if *self == Self::first(self.0.len() as u64) {
            return Some(Kind::Integer(self.0.len() as i128).into());
        }
        self.0.to_toml()
    }

    fn type_name() -> String {
        "number or list of seeds".to_owned()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "oneOf": [
            { "type": "integer", "minimum": 1, "maximum": SEEDS_MAX },
            Vec::<u64>::schema(schemas),
        ] })
    }
}

/// What the keys of the whole file must agree on.
fn experiment(file: &ExperimentFile, _table: Span, cx: &mut Cx) {
    if file.designs.value.is_empty() {
        cx.error(file.designs.span, "an experiment compares at least one design", "empty");
    }
    check_labels(&file.designs, file.baseline.as_ref(), cx);
    file.yardsticks.iter().filter_map(families::check_yardstick).for_each(|wrong| cx.push(wrong));
    axes::check(file, cx);
}

/// Refuses labels that are taken, and a baseline that is none of them.
pub(crate) fn check_labels(
    designs: &Spanned<Vec<DesignEntry>>,
    baseline: Option<&Spanned<String>>,
    cx: &mut Cx,
) {
    for (idx, entry) in designs.iter().enumerate() {
        let label = entry.label();
        let first = designs.iter().take(idx).find(|other| other.label() == label);
        if let Some(first) = first {
            cx.push(
                Problem::error(format!("two designs are shown as `{label}`"))
                    .label(entry.design.span, "second")
                    .label(first.design.span, "first")
                    .help("give one of them a `label` of its own"),
            );
        }
    }
    if let Some(baseline) = baseline {
        let labels: Vec<&str> = designs.iter().map(|entry| entry.label()).collect();
        if !labels.contains(&baseline.value.as_str()) {
            cx.push(config::unknown_name("baseline", baseline, &labels));
        }
    }
}

/// JSON Schema of experiment files: designs and their settings are known to it.
pub fn schema() -> Json {
    let mut schema = config::json_schema::<ExperimentFile>();
    families::add_to(&mut schema, "DesignFile", None);
    if let Some(name) = schema.pointer_mut("/properties/designs/items/oneOf/0") {
        name["enum"] = families::names().into();
    }
    if let Some(items) = schema.pointer_mut("/properties/yardsticks/items") {
        items["enum"] = families::yardstick_names().into();
    }
    schema
}
