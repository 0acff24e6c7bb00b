//! The suite `published`: tables that authors posted, against runs of the same programs on the
//! described machines under the same designs.
//!
//! A table's file names cells (a workload under a design); every cell runs with several seeds, and
//! each of its rows compares the median, or the mean where the table says so, of what the runs gave
//! with what was published. Cells that several rows need run once, and so do runs that several tables
//! have in common.

mod file;
mod judge;
mod load;
mod metric;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::Nanos;
use sim::{Progress, RunSpec};
use topology::Machine;
use trace::generate::WorkloadSpec;

pub use file::{
    Basis, CellFile, Metric, OrderingFile, RowFile, TableFile, schema as table_file_schema,
};
pub use load::{AWAITED_DESIGNS, Cell, Maker, Runnable, Table, load as load_tables};
pub use metric::value as metric_value;

use crate::jobs::{self, Observer};
use crate::{Options, Row};

/// Name of the suite.
pub(crate) const NAME: &str = "published";

/// What is measured, and of which process; none for the whole run.
type Quantity = (Metric, Option<u32>);

/// The values of a cell's runs, by quantity, one for each seed; or why there are none.
type CellValues = Result<BTreeMap<Quantity, Vec<f64>>, String>;

/// One run that is due.
#[derive(Clone, Copy)]
struct Due<'a> {
    table: usize,
    cell: usize,
    machine: &'a Arc<Machine>,
    machine_path: &'a Path,
    workload: &'a WorkloadSpec,
    maker: &'a Maker,
    design: &'a str,
    has_knobs: bool,
    seed: u64,
}

impl Due<'_> {
    /// Whether the other one gives the same values. Runs with constants of their own are not looked into.
    fn is_same_run(&self, other: &Self) -> bool {
        self.seed == other.seed
            && self.design == other.design
            && !(self.has_knobs || other.has_knobs)
            && self.machine_path == other.machine_path
            && self.workload == other.workload
    }
}

/// Runs what the filter asks for and judges it.
pub(crate) fn run(tables: &[Table], options: &Options, observer: &dyn Observer) -> Vec<Row> {
    let plans: Vec<_> = tables.iter().map(|table| judge::plan(table, &options.filter)).collect();
    let mut due = Vec::new();
    for (idx, (table, plan)) in tables.iter().zip(&plans).enumerate() {
        for cell in plan.cells(table) {
            due.extend(runs_of(table, idx, cell, options.full));
        }
    }
    // The longest first: one that began last would run alone at the end.
    due.sort_by(|a, b| effort(tables, b).total_cmp(&effort(tables, a)));
    let (runs, run_of) = distinct(&due);
    let results = jobs::map(
        options.jobs,
        &runs,
        observer,
        |due| one_run(due),
        |due| {
            format!(
                "{}/{} seed {}",
                tables[due.table].name, tables[due.table].cells[due.cell].id, due.seed
            )
        },
    );
    let mut values: BTreeMap<(usize, usize), CellValues> = BTreeMap::new();
    for (due, run) in due.iter().zip(run_of) {
        let all = values.entry((due.table, due.cell)).or_insert_with(|| Ok(BTreeMap::new()));
        merge(all, results[run].clone().unwrap_or_else(|| Err("cancelled".to_owned())));
    }
    let rows = tables
        .iter()
        .zip(&plans)
        .enumerate()
        .flat_map(|(idx, (table, plan))| plan.judge(table, &|cell| values.get(&(idx, cell))));
    rows.collect()
}

/// How long a run will likely take: by the time that was published for it, and the number of CPUs; 0 where
/// none was published.
fn effort(tables: &[Table], due: &Due<'_>) -> f64 {
    let rows = tables[due.table].cells[due.cell].rows.iter();
    let times = rows.filter(|row| row.metric == Metric::Elapsed).map(|row| row.published);
    times.fold(0.0, f64::max) * due.machine.cpus.len() as f64
}

/// Each run once, and for everything that is due which of them it is.
fn distinct<'a>(due: &[Due<'a>]) -> (Vec<Due<'a>>, Vec<usize>) {
    let mut runs: Vec<Due<'a>> = Vec::new();
    let run_of = |due: &Due<'a>| {
        runs.iter().position(|run| run.is_same_run(due)).unwrap_or_else(|| {
            runs.push(*due);
            runs.len() - 1
        })
    };
    let run_of = due.iter().map(run_of).collect();
    (runs, run_of)
}

fn runs_of<'a>(
    table: &'a Table,
    table_idx: usize,
    cell_idx: usize,
    full: bool,
) -> impl Iterator<Item = Due<'a>> {
    let cell = &table.cells[cell_idx];
    let maker = match &cell.maker {
        Runnable::With(maker) if cell.excluded.is_none() => Some(maker),
        _ => None,
    };
    let (workload, seeds) =
        if full { (&cell.workload, cell.seeds) } else { (&cell.quick_workload, cell.quick_seeds) };
    maker.into_iter().flat_map(move |maker| {
        (1..=u64::from(seeds)).map(move |seed| Due {
            table: table_idx,
            cell: cell_idx,
            machine: &table.machine,
            machine_path: &table.machine_path,
            workload,
            maker,
            design: &cell.design,
            has_knobs: cell.has_knobs,
            seed,
        })
    })
}

/// What one run gave, by quantity.
fn one_run(due: &Due<'_>) -> Result<BTreeMap<Quantity, f64>, String> {
    let workload = due.workload.open(due.machine, due.seed).map_err(|error| error.to_string())?;
    let measured: Option<Nanos> = workload.stop_after;
    let design = (due.maker)(due.machine);
    let spec = RunSpec::new(Arc::clone(due.machine), workload, due.design, design, due.seed);
    let run = sim::run(spec, &Progress::default()).map_err(|error| error.to_string())?;
    if let results::Outcome::OutOfMemory(what) = &run.outcome {
        return Err(format!("out of memory: {what}"));
    }
    // Those that go on did less than the row is about.
    if let Some(kill) = run.oom_kills().first() {
        return Err(kill.line());
    }
    let value = |metric: &Metric| Some(((*metric, None), metric_value(*metric, &run, measured)?));
    let by_process = metric::throughputs(&run, measured).into_iter();
    let by_process = by_process.map(|(process, rate)| ((Metric::Throughput, Some(process)), rate));
    Ok(Metric::ALL.iter().filter_map(value).chain(by_process).collect())
}

/// Adds a seed's values; the first error stays.
fn merge(all: &mut CellValues, one: Result<BTreeMap<Quantity, f64>, String>) {
    match (all, one) {
        (Ok(all), Ok(one)) => {
            one.into_iter().for_each(|(of, value)| all.entry(of).or_default().push(value));
        }
        (all @ Ok(_), Err(error)) => *all = Err(error),
        (Err(_), _) => {}
    }
}
