//! How far a comparison is, readable from other threads, and the way to stop it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use sim::Progress;

use crate::Plan;

/// The state of all cells. Reading it cannot influence a run.
#[derive(Debug, Default)]
pub struct Live {
    /// One entry for each cell of the plan.
    pub cells: Vec<LiveCell>,
    cancelled: AtomicBool,
}

/// The state of one cell.
#[derive(Debug, Default)]
pub struct LiveCell {
    /// What the engine publishes.
    pub progress: Progress,
    state: AtomicU8,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellState {
    /// Not begun.
    Waiting,
    /// Running.
    Running,
    /// Its result is there.
    Finished,
    /// It gave no result.
    Failed,
}

impl Live {
    /// All cells of `plan`, waiting.
    pub fn of(plan: &Plan) -> Self {
        Self { cells: plan.cells.iter().map(|_| LiveCell::default()).collect(), ..Self::default() }
    }

    /// Stops running cells at their next epoch and begins no others. What is finished stays.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        for cell in &self.cells {
            cell.progress.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Accesses replayed so far, all cells together.
    pub fn accesses(&self) -> u64 {
        self.cells.iter().map(|cell| cell.progress.accesses.load(Ordering::Relaxed)).sum()
    }
}

impl LiveCell {
    /// Where it is.
    pub fn state(&self) -> CellState {
        match self.state.load(Ordering::Relaxed) {
            0 => CellState::Waiting,
            1 => CellState::Running,
            2 => CellState::Finished,
            _ => CellState::Failed,
        }
    }

    pub(crate) fn set_state(&self, state: CellState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}
