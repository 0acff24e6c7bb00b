//! What an experiment varies and what it sets: dotted paths into the files it names.

use config::{Cx, Kind, Problem, Spanned, Table, Value, did_you_mean};

use crate::experiment::{DesignFile, ExperimentFile};

/// What a dotted path leads into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The machine's file itself.
    MachineFile,
    /// The workload's file itself.
    WorkloadFile,
    /// A key of the machine's file.
    Machine,
    /// A key of the workload's file.
    Workload,
    /// A key of the engine's table.
    Engine,
    /// A key of the settings of the design at this index.
    Design(usize),
}

/// A value for a path.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) target: Target,
    /// The rest of the path, below the target.
    pub(crate) path: Spanned<String>,
    pub(crate) value: Value,
}

/// A path with the values it takes in turn.
pub(crate) struct Axis {
    /// The whole path.
    pub(crate) name: String,
    /// Each value as results show it.
    pub(crate) labels: Vec<String>,
    pub(crate) settings: Vec<Setting>,
}

const TARGETS: [&str; 4] = ["machine", "workload", "engine", "designs"];

/// Records what is wrong with the paths and values of a file.
pub(crate) fn check(file: &ExperimentFile, cx: &mut Cx) {
    settings(file, cx);
    for entry in file.designs.iter() {
        own_settings(entry, file, cx);
    }
    let axes = axes(file, cx);
    for (name, given) in [("machine", &file.machine), ("workload", &file.workload)] {
        let axis = axes.iter().any(|axis| axis.name == name);
        if let (Some(given), true) = (given, axis) {
            cx.error(given.span, format!("`{name}` is given here and as an axis"), "remove one");
        }
        let wrongly_given =
            entries(&file.axes.value, cx).iter().any(|(path, _)| path.value == name);
        if given.is_none() && !wrongly_given {
            cx.push(Problem::error(format!("missing key `{name}` (string)")).label(
                file.designs.span,
                format!("this experiment names no {name}, nor has an axis `{name}`"),
            ));
        }
    }
}

/// The fixed settings of a file; problems are recorded and left out.
pub(crate) fn settings(file: &ExperimentFile, cx: &mut Cx) -> Vec<Setting> {
    settings_in(&file.set.value, file, cx)
}

/// The settings of one design's entry, which come after the file's.
pub(crate) fn own_settings(entry: &DesignFile, file: &ExperimentFile, cx: &mut Cx) -> Vec<Setting> {
    let mut settings = settings_in(&entry.set.value, file, cx);
    settings.retain(|setting| {
        let is_knob = matches!(setting.target, Target::Design(_));
        if is_knob {
            let message = "a design's `set` is for machine, workload and engine";
            cx.error(setting.path.span, message, "move it to `knobs`");
        }
        !is_knob
    });
    settings
}

fn settings_in(table: &Value, file: &ExperimentFile, cx: &mut Cx) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (path, value) in entries(table, cx) {
        match resolve(&path, file, cx) {
            Some((Target::MachineFile | Target::WorkloadFile, _)) => {
                let message = format!("`{path}` is a key of its own, not one of `set`");
                cx.error(path.span, message, "move it to the top of the file");
            }
            Some((target, rest)) => settings.push(Setting { target, path: rest, value }),
            None => {}
        }
    }
    settings
}

/// The axes of a file in its order; problems are recorded and left out.
pub(crate) fn axes(file: &ExperimentFile, cx: &mut Cx) -> Vec<Axis> {
    let mut axes = Vec::new();
    for (path, value) in entries(&file.axes.value, cx) {
        let Some((target, rest)) = resolve(&path, file, cx) else { continue };
        let Kind::Array(values) = value.kind else {
            let found = format!("expected a list of values, found {}", value.found());
            cx.error(value.span, format!("wrong type for axis `{path}`"), found);
            continue;
        };
        if values.is_empty() {
            cx.error(value.span, format!("axis `{path}` has no values"), "empty");
        }
        if let Some(labels) = labels(&path, target, &values, cx) {
            let setting = |value| Setting { target, path: rest.clone(), value };
            let settings = values.into_iter().map(setting).collect();
            axes.push(Axis { name: path.value, labels, settings });
        }
    }
    axes
}

/// The values as results show them: files by their stem where that tells them apart.
fn labels(
    path: &Spanned<String>,
    target: Target,
    values: &[Value],
    cx: &mut Cx,
) -> Option<Vec<String>> {
    let mut labels: Vec<String> = Vec::new();
    for value in values {
        let is_file = matches!(target, Target::MachineFile | Target::WorkloadFile);
        let label = match value.as_str() {
            Some(text) => text.to_owned(),
            None if is_file => {
                let found = format!("expected a file name, found {}", value.found());
                cx.error(value.span, format!("wrong type for axis `{path}`"), found);
                return None;
            }
            None => config::to_toml_text(value).trim_end().to_owned(),
        };
        if labels.contains(&label) {
            cx.error(value.span, format!("axis `{path}` has a value twice"), "second");
            return None;
        }
        labels.push(label);
    }
    if matches!(target, Target::MachineFile | Target::WorkloadFile) {
        let stems: Vec<String> = labels.iter().map(|label| stem(label)).collect();
        let apart = stems.iter().enumerate().all(|(idx, stem)| !stems[..idx].contains(stem));
        if apart {
            labels = stems;
        }
    }
    Some(labels)
}

fn stem(path: &str) -> String {
    let stem = std::path::Path::new(path).file_stem();
    stem.map_or_else(|| path.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The dotted paths of a table and their values. Tables in it are steps of the path, so that it
/// does not matter whether a path is quoted.
fn entries(table: &Value, cx: &mut Cx) -> Vec<(Spanned<String>, Value)> {
    let mut found = Vec::new();
    match &table.kind {
        Kind::Table(table) => walk("", table, &mut found),
        _ if cx.problems.list.iter().any(|p| p.labels.iter().any(|(at, _)| *at == table.span)) => {}
        _ => {
            config::wrong_type::<()>(table, "a table of dotted paths", cx);
        }
    }
    found
}

fn walk(prefix: &str, table: &Table, found: &mut Vec<(Spanned<String>, Value)>) {
    for entry in &table.entries {
        let path = format!("{prefix}{}", entry.key);
        match &entry.value.kind {
            Kind::Table(inner) => walk(&format!("{path}."), inner, found),
            _ => found.push((Spanned::new(path, entry.key.span), entry.value.clone())),
        }
    }
}

/// What a path leads into and what remains of it.
fn resolve(
    path: &Spanned<String>,
    file: &ExperimentFile,
    cx: &mut Cx,
) -> Option<(Target, Spanned<String>)> {
    let (first, rest) = path.value.split_once('.').unwrap_or((&path.value, ""));
    let below = |target, rest: &str| Some((target, Spanned::new(rest.to_owned(), path.span)));
    match (first, rest) {
        ("machine", "") => below(Target::MachineFile, ""),
        ("workload", "") => below(Target::WorkloadFile, ""),
        ("machine", rest) => below(Target::Machine, rest),
        ("workload", rest) => below(Target::Workload, rest),
        ("engine", rest) if !rest.is_empty() => below(Target::Engine, rest),
        ("designs", rest) if !rest.is_empty() => {
            let by_label = file.designs.iter().enumerate().find_map(|(idx, entry)| {
                let knob = rest.strip_prefix(entry.label())?.strip_prefix('.')?;
                Some((idx, knob))
            });
            if let Some((idx, knob)) = by_label {
                return below(Target::Design(idx), knob);
            }
            let labels: Vec<&str> = file.designs.iter().map(|entry| entry.label()).collect();
            let help = format!("the designs are {}", config::backticked(&labels));
            let message = format!("`{path}` names no knob of a design of this experiment");
            cx.push(
                Problem::error(message).label(path.span, "expected designs.LABEL.KNOB").help(help),
            );
            None
        }
        _ => {
            let problem = Problem::error(format!("unknown path `{path}`"))
                .label(path.span, "leads into none of the experiment's files");
            let suggestion = did_you_mean(first, TARGETS.iter().copied());
            cx.push(match suggestion {
                Some(_) => problem.suggest(suggestion),
                None => problem.help(format!("paths begin with {}", config::backticked(&TARGETS))),
            });
            None
        }
    }
}
