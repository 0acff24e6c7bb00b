//! An experiment, read and checked: the cells that will run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Cx, FromToml, Problem, Problems, Span, Spanned, Value};

use designs::Maker;
use reclaim::textbook;
use results::{Drawing, InputDigest};
use sim::EngineKnobs;
use topology::{Machine, MachineFile, Reclaim};
use trace::TraceError;
use trace::container::{DEFAULT_BUDGET, SharedTrace, TraceFile};
use trace::generate::{WorkloadFile, WorkloadSpec};

use crate::axes::{Axis, Setting, Target, axes, own_settings, settings};
use crate::experiment::{self, DesignEntry, ExperimentFile, Seeds};
use crate::families::{self, Family};
use crate::inputs::Inputs;
use crate::program::{Program, ProgramSource};

/// A checked experiment.
pub struct Plan {
    /// Its name.
    pub experiment: String,
    /// What it asks.
    pub description: String,
    /// Label of the design that the others are held against.
    pub baseline: String,
    /// What runs, in the order of the result: case, then design, then seed.
    pub cells: Vec<Cell>,
    /// Files it was made from, their paths relative to the experiment's folder.
    pub inputs: Vec<InputDigest>,
    /// Drawings of the machines.
    pub drawings: Vec<Drawing>,
    /// What is questionable in the files, but no error.
    pub warnings: Problems,
}

/// One run to be done.
#[derive(Clone)]
pub struct Cell {
    /// The machine.
    pub machine: Arc<Machine>,
    /// What runs on it.
    pub program: Program,
    /// The workload's name.
    pub workload: String,
    /// The design's label.
    pub design: String,
    /// Makes the design.
    pub maker: Maker,
    /// Values of the experiment's axes.
    pub axes: BTreeMap<String, String>,
    /// Seed.
    pub seed: u64,
    /// Settings of the engine.
    pub engine: EngineKnobs,
    /// Textbook policies that it is held against.
    pub yardsticks: Vec<&'static textbook::Registered>,
}

/// What the command line changes in an experiment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Seeds 1 to this number instead of the file's.
    pub nr_seeds: Option<u64>,
    /// Only designs whose label contains one of these, and the baseline; empty for all.
    pub designs: Vec<String>,
    /// Textbook policies instead of the file's; empty for those.
    pub yardsticks: Vec<String>,
}

impl Plan {
    /// Reads an experiment file with all that it names.
    ///
    /// # Errors
    /// Everything that is wrong with the experiment, its machines and its workloads.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, Problems> {
        let (inputs, mut cx) = context();
        let tree = cx.load_value(path);
        Self::finish(tree, path, overrides, &inputs, cx)
    }

    /// As [`Plan::load`], from text; `name` stands for the file's path.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn parse(name: &str, text: &str, overrides: &Overrides) -> Result<Self, Problems> {
        let (inputs, mut cx) = context();
        let tree = cx.parse_value(name, text);
        Self::finish(tree, Path::new(name), overrides, &inputs, cx)
    }

    fn finish(
        tree: Option<Value>,
        path: &Path,
        overrides: &Overrides,
        inputs: &Inputs,
        mut cx: Cx,
    ) -> Result<Self, Problems> {
        let file = tree.as_ref().and_then(|tree| cx.decode::<ExperimentFile>(tree));
        let plan = match (&file, &tree) {
            (Some(file), _) => Planner::new(file, overrides, inputs.clone(), &mut cx).plan(),
            (None, Some(tree)) => {
                look_at_designs(tree, &mut cx);
                look_at_named_files(tree, &mut cx);
                None
            }
            (None, None) => None,
        };
        let (mut plan, warnings) = cx.finish(plan)?;
        plan.inputs = inputs.digests(path.parent().unwrap_or(Path::new("")));
        plan.warnings = warnings;
        Ok(plan)
    }
}

/// Records the problems of the designs that a wrong experiment names, as far as they can be told
/// without what they run on, so that the user sees them together with its own.
fn look_at_designs(tree: &Value, cx: &mut Cx) {
    let Some(value) = tree.as_table().and_then(|table| table.get("designs")) else { return };
    let value = &value.value;
    let designs = cx.within("designs", |cx| Vec::<DesignEntry>::from_toml(value, cx));
    let Some(designs) = designs.map(|designs| Spanned::new(designs, value.span)) else { return };
    experiment::check_labels(&designs, name_in(tree, "baseline").as_ref(), cx);
    for (idx, entry) in designs.iter().enumerate() {
        match Family::of(&entry.design) {
            None => cx.push(families::unknown(&entry.design)),
            Some(family) => {
                let (placement, knobs, _) = family.resolve(&entry.design, &entry.knobs);
                build(idx, placement, &knobs, cx);
            }
        }
    }
}

/// The string at a key of the outermost table.
fn name_in(tree: &Value, key: &str) -> Option<Spanned<String>> {
    let value = &tree.as_table()?.get(key)?.value;
    Some(Spanned::new(value.as_str()?.to_owned(), value.span))
}

/// Makes the placement design of the entry at `idx`. `None` means that problems were recorded.
fn build(idx: usize, placement: &str, knobs: &Value, cx: &mut Cx) -> Option<Maker> {
    let design = designs::find(placement)?;
    cx.within(&format!("designs[{idx}].knobs"), |cx| (design.build)(knobs, cx))
}

/// Records the problems of the machine and the workload that a wrong experiment names, so that the
/// user sees them together with its own.
fn look_at_named_files(tree: &Value, cx: &mut Cx) {
    let name = |key: &str| name_in(tree, key);
    if let Some(name) = name("machine") {
        topology::load_named(cx, &name);
    }
    if let Some(name) = name("workload").filter(|name| !name.ends_with(".parquet")) {
        cx.load_named::<WorkloadFile>(&name);
    }
}

fn context() -> (Inputs, Cx) {
    let inputs = Inputs::default();
    let reader = inputs.clone();
    (inputs, Cx::new(reader))
}

/// Files and what was made of them so far, so that each is read and decoded once.
struct Planner<'a> {
    file: &'a ExperimentFile,
    overrides: &'a Overrides,
    inputs: Inputs,
    cx: &'a mut Cx,
    trees: BTreeMap<PathBuf, Option<Value>>,
    traces: BTreeMap<PathBuf, Option<SharedTrace>>,
    machines: BTreeMap<String, Option<Arc<Machine>>>,
    programs: BTreeMap<String, Option<Program>>,
    makers: BTreeMap<String, Option<Maker>>,
    /// Names of workloads that open on a machine, by both keys.
    opened: BTreeMap<(String, String), Option<String>>,
}

/// One combination of the axes' values.
struct Combination {
    axes: BTreeMap<String, String>,
    settings: Vec<Setting>,
}

/// What the designs are compared on.
struct Stage {
    machine: Arc<Machine>,
    program: Program,
    workload: String,
    engine: EngineKnobs,
}

impl<'a> Planner<'a> {
    fn new(
        file: &'a ExperimentFile,
        overrides: &'a Overrides,
        inputs: Inputs,
        cx: &'a mut Cx,
    ) -> Self {
        Self {
            file,
            overrides,
            inputs,
            cx,
            trees: BTreeMap::new(),
            traces: BTreeMap::new(),
            machines: BTreeMap::new(),
            programs: BTreeMap::new(),
            makers: BTreeMap::new(),
            opened: BTreeMap::new(),
        }
    }

    fn plan(mut self) -> Option<Plan> {
        let baseline = match &self.file.baseline {
            Some(baseline) => baseline.value.clone(),
            None => self.file.designs.first()?.label().to_owned(),
        };
        let chosen = self.chosen_designs(&baseline);
        let seeds = match self.overrides.nr_seeds {
            Some(nr) => Seeds::first(nr),
            None => self.file.seeds.clone(),
        };
        let yardsticks = self.yardsticks();
        let mut cells = Vec::new();
        let mut complete = true;
        for combination in self.combinations() {
            // All designs are looked at, also where the machine is wrong.
            let entries: Vec<Option<(Stage, Maker)>> =
                chosen.iter().map(|idx| self.entry(*idx, &combination)).collect();
            for (idx, entry) in chosen.iter().zip(entries) {
                let Some((stage, maker)) = entry else {
                    complete = false;
                    continue;
                };
                let label = self.file.designs[*idx].label();
                let cell = |seed: &u64| Cell {
                    yardsticks: yardsticks.clone(),
                    ..stage.cell(label, &maker, &combination, *seed)
                };
                cells.extend(seeds.0.iter().map(cell));
            }
        }
        let reclaims = |cell: &Cell| cell.machine.kernel.reclaim != Reclaim::None;
        if !yardsticks.is_empty() && !cells.iter().any(reclaims) {
            let message = "yardsticks are named, but no machine of the experiment reclaims memory";
            let help = "set machine.kernel.reclaim to \"classic\" or \"mglru\"";
            self.cx.push(Problem::warning(message).help(help));
        }
        complete.then(|| Plan {
            experiment: self.file.name.clone(),
            description: self.file.description.clone(),
            baseline,
            drawings: drawings(&cells),
            cells,
            inputs: Vec::new(),
            warnings: Problems::default(),
        })
    }

    /// Indices of the designs that the overrides leave.
    fn chosen_designs(&mut self, baseline: &str) -> Vec<usize> {
        let wanted = &self.overrides.designs;
        let matches = |label: &str| wanted.iter().any(|part| label.contains(part.as_str()));
        let all = self.file.designs.iter().enumerate();
        if !wanted.is_empty() && !all.clone().any(|(_, entry)| matches(entry.label())) {
            let labels: Vec<&str> = all.clone().map(|(_, entry)| entry.label()).collect();
            let problem = Problem::error(format!("no design matches `{}`", wanted.join("`, `")));
            let help = format!("the designs are {}", config::backticked(&labels));
            self.cx.push(problem.help(help));
        }
        all.filter(|(_, entry)| {
            wanted.is_empty() || entry.label() == baseline || matches(entry.label())
        })
        .map(|(idx, _)| idx)
        .collect()
    }

    /// Every value of each axis with every value of the others; the last axis turns fastest.
    fn combinations(&mut self) -> Vec<Combination> {
        let fixed = settings(self.file, self.cx);
        let axes = axes(self.file, self.cx);
        let mut all = vec![Combination { axes: BTreeMap::new(), settings: fixed }];
        for Axis { name, labels, settings } in &axes {
            let with = |before: &Combination, label: &String, setting: &Setting| {
                let mut axes = before.axes.clone();
                axes.insert(name.clone(), label.clone());
                let mut settings = before.settings.clone();
                settings.push(setting.clone());
                Combination { axes, settings }
            };
            all = all
                .iter()
                .flat_map(|before| {
                    labels
                        .iter()
                        .zip(settings)
                        .map(move |(label, setting)| with(before, label, setting))
                })
                .collect();
        }
        all
    }

    /// An entry on its machine and workload.
    fn entry(&mut self, idx: usize, combination: &Combination) -> Option<(Stage, Maker)> {
        let entry = &self.file.designs[idx];
        let mut settings = combination.settings.clone();
        settings.extend(own_settings(entry, self.file, self.cx));
        let mut combination = Combination { axes: combination.axes.clone(), settings };
        let Some(family) = Family::of(&entry.design) else {
            // What is wrong with the files is told all the same.
            self.stage(&combination);
            self.cx.push(families::unknown(&entry.design));
            return None;
        };
        let knobs = combination.overlay(entry.knobs.clone(), Target::Design(idx));
        if family == Family::MappedPages {
            families::refuse_knobs(&entry.design, &knobs, self.cx);
        }
        let (placement, own_knobs, stands_for) = family.resolve(&entry.design, &knobs);
        for own in &stands_for {
            let mut others = combination.of(Target::Machine);
            if let Some(other) = others.find(|other| other.path.value == own.path.value) {
                self.cx.push(families::set_twice(&entry.design, &other.path));
            }
        }
        combination.settings.extend(stands_for);
        let stage = self.stage(&combination);
        if let Some(stage) = &stage {
            family.check(&stage.machine, &entry.design, self.cx);
        }
        let maker = self.maker(idx, placement, &own_knobs);
        Some((stage?, maker?))
    }

    /// The textbook policies that are asked for. Names in the file were checked with it.
    fn yardsticks(&mut self) -> Vec<&'static textbook::Registered> {
        let asked = self.overrides.yardsticks.iter();
        let asked: Vec<Spanned<String>> =
            asked.map(|name| Spanned::new(name.clone(), Span::NOWHERE)).collect();
        asked.iter().filter_map(families::check_yardstick).for_each(|wrong| self.cx.push(wrong));
        let names = if asked.is_empty() { &self.file.yardsticks } else { &asked };
        families::yardsticks(&names.iter().map(|name| name.as_str()).collect::<Vec<_>>())
    }

    fn stage(&mut self, combination: &Combination) -> Option<Stage> {
        let machine_name = combination.file(Target::MachineFile, &self.file.machine);
        let workload_name = combination.file(Target::WorkloadFile, &self.file.workload);
        let engine = self.engine(combination);
        let machine = machine_name.as_ref().and_then(|name| self.machine(name, combination));
        let program = workload_name.as_ref().and_then(|name| self.program(name, combination));
        let ((machine_key, machine), (program_key, program)) = (machine?, program?);
        let names = (machine_name?, workload_name?);
        let key = (machine_key, program_key);
        let workload = match self.opened.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = self.open(&machine, &program, &names);
                self.opened.insert(key, name.clone());
                name
            }
        };
        Some(Stage { machine, program, workload: workload?, engine: engine? })
    }

    fn machine(
        &mut self,
        name: &Spanned<String>,
        combination: &Combination,
    ) -> Option<(String, Arc<Machine>)> {
        let path = self.cx.resolve(name);
        let key = combination.key(&path, Target::Machine);
        if !self.machines.contains_key(&key) {
            let tree = self.tree(name, &path);
            let tree = tree.map(|tree| combination.overlay(tree, Target::Machine));
            let file = tree.and_then(|tree| self.cx.decode::<MachineFile>(&tree));
            let machine = file.and_then(|file| file.machine(self.cx));
            let machine =
                machine.filter(|machine| sim::reclaim_designs(&machine.kernel, self.cx).is_some());
            let machine = machine.map(Arc::new);
            self.machines.insert(key.clone(), machine);
        }
        let machine = self.machines.get(&key)?.clone()?;
        Some((key, machine))
    }

    fn program(
        &mut self,
        name: &Spanned<String>,
        combination: &Combination,
    ) -> Option<(String, Program)> {
        let path = self.cx.resolve(name);
        let key = combination.key(&path, Target::Workload);
        if !self.programs.contains_key(&key) {
            let program = self.read_program(name, &path, combination);
            self.programs.insert(key.clone(), program);
        }
        let program = self.programs.get(&key)?.clone()?;
        Some((key, program))
    }

    fn read_program(
        &mut self,
        name: &Spanned<String>,
        path: &Path,
        combination: &Combination,
    ) -> Option<Program> {
        if path.extension().is_some_and(|extension| extension == "parquet") {
            if let Some(setting) = combination.of(Target::Workload).next() {
                let message = "a recorded trace has no settings";
                self.cx.error(setting.path.span, message, "leads into a trace");
                return None;
            }
            let source = ProgramSource::Recorded(self.trace(path, name.span)?);
            return Some(Program { source, memcgs: Vec::new() });
        }
        let tree = self.tree(name, path)?;
        let tree = combination.overlay(tree, Target::Workload);
        let file = self.cx.decode::<WorkloadFile>(&tree)?;
        let memcgs = file.memcgs();
        let source = match file.spec {
            WorkloadSpec::Trace(trace) => {
                let path = self.cx.resolve(&trace.file);
                let shared = self.trace(&path, trace.file.span)?;
                ProgramSource::Recorded(shared.with_passes(trace.passes))
            }
            spec => ProgramSource::Generated(Arc::new(spec)),
        };
        Some(Program { source, memcgs })
    }

    /// Opens and verifies a trace.
    fn trace(&mut self, path: &Path, from: Span) -> Option<SharedTrace> {
        if let Some(trace) = self.traces.get(path) {
            return trace.clone();
        }
        let inputs = self.inputs.clone();
        let open = || -> Result<SharedTrace, TraceError> {
            inputs.hash(path)?;
            let file = TraceFile::open(path)?;
            SharedTrace::verified(file, DEFAULT_BUDGET)
        };
        let trace = match open() {
            Ok(trace) => Some(trace),
            Err(TraceError::Io(error)) => {
                let message = format!("failed to read the trace: {error}");
                let problem = Problem::error(message).label(from, "named here");
                self.cx.push_about(path, problem);
                None
            }
            Err(error) => {
                self.cx.push(Problem::error(error.to_string()).label(from, "named here"));
                None
            }
        };
        self.traces.insert(path.to_owned(), trace.clone());
        trace
    }

    /// The tree of a file, read once.
    fn tree(&mut self, name: &Spanned<String>, path: &Path) -> Option<Value> {
        if !self.trees.contains_key(path) {
            let tree = self.cx.load_named_value(name);
            self.trees.insert(path.to_owned(), tree);
        }
        self.trees.get(path)?.clone()
    }

    fn engine(&mut self, combination: &Combination) -> Option<EngineKnobs> {
        let tree = combination.overlay(self.file.engine.value.clone(), Target::Engine);
        self.cx.within("engine", |cx| EngineKnobs::from_toml(&tree, cx))
    }

    /// Makes the placement design of the entry at `idx`.
    fn maker(&mut self, idx: usize, placement: &str, knobs: &Value) -> Option<Maker> {
        let key = format!("{idx}\n{placement}\n{}", config::to_toml_text(knobs));
        if let Some(maker) = self.makers.get(&key) {
            return maker.clone();
        }
        let maker = build(idx, placement, knobs, self.cx);
        self.makers.insert(key, maker.clone());
        maker
    }

    /// The workload's name, if it opens on the machine.
    fn open(
        &mut self,
        machine: &Machine,
        program: &Program,
        names: &(Spanned<String>, Spanned<String>),
    ) -> Option<String> {
        match program.open(machine, 1) {
            Ok(workload) => Some(workload.name),
            Err(error) => {
                let problem = Problem::error(error.to_string())
                    .label(names.1.span, "this workload")
                    .label(names.0.span, "on this machine");
                self.cx.push(problem);
                None
            }
        }
    }
}

impl Combination {
    fn of(&self, target: Target) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(move |setting| setting.target == target)
    }

    /// The file of that kind: the axis' value, or the experiment's own.
    fn file(&self, target: Target, own: &Option<Spanned<String>>) -> Option<Spanned<String>> {
        match self.of(target).next() {
            Some(setting) => {
                Some(Spanned::new(setting.value.as_str()?.to_owned(), setting.value.span))
            }
            None => own.clone(),
        }
    }

    /// Lays the settings of a target over a tree.
    fn overlay(&self, mut tree: Value, target: Target) -> Value {
        if let config::Kind::Table(table) = &mut tree.kind {
            for setting in self.of(target) {
                table.set_path(&setting.path, setting.value.clone());
            }
        }
        tree
    }

    /// What decides the decoded form of a file: its path and the settings laid over it.
    fn key(&self, path: &Path, target: Target) -> String {
        let mut key = path.display().to_string();
        for setting in self.of(target) {
            key += &format!("\n{} = {}", setting.path, config::to_toml_text(&setting.value));
        }
        key
    }
}

impl Stage {
    fn cell(&self, design: &str, maker: &Maker, combination: &Combination, seed: u64) -> Cell {
        Cell {
            machine: Arc::clone(&self.machine),
            program: self.program.clone(),
            workload: self.workload.clone(),
            design: design.to_owned(),
            maker: Arc::clone(maker),
            axes: combination.axes.clone(),
            seed,
            engine: self.engine.clone(),
            yardsticks: Vec::new(),
        }
    }
}

/// A drawing of each machine, once.
fn drawings(cells: &[Cell]) -> Vec<Drawing> {
    let mut drawings: Vec<Drawing> = Vec::new();
    for cell in cells {
        if drawings.iter().all(|drawing| drawing.machine != cell.machine.name) {
            let svg = topology::svg(&cell.machine);
            drawings.push(Drawing { machine: cell.machine.name.clone(), svg });
        }
    }
    drawings
}
