//! Running a plan's cells side by side.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use results::{Comparison, FailedCell, Run, Wall};
use sim::{RunSpec, SimError};
use thiserror::Error;
use tracing::{info, info_span, warn};

use crate::live::{CellState, Live, LiveCell};
use crate::plan::{Cell, Plan};
use crate::program::ProgramSource;

/// How to run a plan; nothing here changes the result.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cells that run side by side; 0 for as many as there are CPUs.
    pub jobs: usize,
    /// The command as it was typed, for the record.
    pub command: String,
}

/// What came out of a plan.
pub struct Finished {
    /// Cells that gave a result, and those that did not.
    pub comparison: Comparison,
    /// Whether it was stopped before all cells had run.
    pub interrupted: bool,
}

/// Why nothing ran at all.
#[derive(Debug, Error)]
pub enum LabError {
    /// The operating system gave no threads; nothing was run.
    #[error("failed to start {jobs} threads: {source}")]
    Threads {
        /// How many were asked for.
        jobs: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
}

/// Why a cell gave no result.
enum Failure {
    Cancelled,
    Message(String),
}

/// Runs all cells of a plan. The comparison is the same, `wall` apart, for any number of jobs. A
/// cell that fails or panics is reported with its coordinates; the others stay.
///
/// # Errors
/// Threads could not be started.
pub fn compare(plan: &Plan, options: &Options, live: &Live) -> Result<Finished, LabError> {
    let started = Instant::now();
    let started_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_secs());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
        .map_err(|source| LabError::Threads { jobs: options.jobs, source })?;
    // Cores that have no cell to run decode traces for those that have.
    let spare = pool.current_num_threads().saturating_sub(plan.cells.len());
    for cell in &plan.cells {
        if let ProgramSource::Recorded(trace) = &cell.program.source {
            trace.decode_ahead(spare);
        }
    }
    let outcomes: Vec<Result<Run, Failure>> = pool.install(|| {
        let cells = plan.cells.par_iter().zip(&live.cells).with_max_len(1);
        cells.map(|(cell, live)| run_cell(cell, live)).collect()
    });
    let elapsed_s = started.elapsed().as_secs_f64();
    let mut comparison = Comparison {
        experiment: plan.experiment.clone(),
        description: plan.description.clone(),
        baseline: plan.baseline.clone(),
        drawings: plan.drawings.clone(),
        inputs: plan.inputs.clone(),
        wall: Wall {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: options.command.clone(),
            jobs: pool.current_num_threads() as u64,
            started_unix_s,
            elapsed_s,
            accesses_per_s: live.accesses() as f64 / elapsed_s.max(1e-9),
        },
        ..Comparison::default()
    };
    let mut interrupted = false;
    for (cell, outcome) in plan.cells.iter().zip(outcomes) {
        match outcome {
            Ok(run) => comparison.cells.push(run),
            Err(Failure::Cancelled) => {
                interrupted = true;
                comparison.failed.push(cell.failed("interrupted".to_owned()));
            }
            Err(Failure::Message(message)) => comparison.failed.push(cell.failed(message)),
        }
    }
    Ok(Finished { comparison, interrupted })
}

fn run_cell(cell: &Cell, live: &LiveCell) -> Result<Run, Failure> {
    if live.progress.is_cancelled() {
        return Err(Failure::Cancelled);
    }
    live.set_state(CellState::Running);
    let _span =
        info_span!("cell", design = cell.design, seed = cell.seed, axes = ?cell.axes).entered();
    info!(machine = cell.machine.name, workload = cell.workload, "begins");
    // A cell shares nothing that a panic could leave half done: the trace's chunks are replaced
    // whole, and `live` holds single numbers.
    let outcome = catch_unwind(AssertUnwindSafe(|| cell.run(live)));
    let outcome = outcome.unwrap_or_else(|panic| {
        Err(Failure::Message(format!("bug in the simulator: {}", panic_text(&*panic))))
    });
    match &outcome {
        Ok(run) => info!(elapsed = %run.elapsed, outcome = ?run.outcome, "ended"),
        Err(Failure::Cancelled) => info!("interrupted"),
        Err(Failure::Message(message)) => warn!(message, "failed"),
    }
    live.set_state(if outcome.is_ok() { CellState::Finished } else { CellState::Failed });
    outcome
}

impl Cell {
    fn run(&self, live: &LiveCell) -> Result<Run, Failure> {
        let workload = self
            .program
            .open(&self.machine, self.seed)
            .map_err(|error| Failure::Message(error.to_string()))?;
        let spec = RunSpec {
            machine: Arc::clone(&self.machine),
            workload,
            design: (self.maker)(&self.machine),
            design_name: self.design.clone(),
            axes: self.axes.clone(),
            seed: self.seed,
            knobs: self.engine.clone(),
            yardsticks: self.yardsticks.clone(),
        };
        let run = sim::run(spec, &live.progress).map_err(|error| match error {
            SimError::Cancelled => Failure::Cancelled,
            error => Failure::Message(error.to_string()),
        })?;
        live.progress.accesses.store(run.vmstat[base::Vm::sim_accesses], Ordering::Relaxed);
        Ok(run)
    }

    /// The cell's coordinates with what went wrong.
    fn failed(&self, message: String) -> FailedCell {
        FailedCell {
            machine: self.machine.name.clone(),
            workload: self.workload.clone(),
            design: self.design.clone(),
            axes: self.axes.clone(),
            seed: self.seed,
            message,
        }
    }
}

/// The text that a panic carries.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
