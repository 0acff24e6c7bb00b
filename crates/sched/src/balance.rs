//! Load balancing: which moves would even out the load.

use base::{CpuId, Nanos, Rng, TaskId};

use crate::domain::Level;
use crate::sched::{Sched, TaskMove};

/// A design's answer to "may the balancer move this task to that CPU?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// No opinion: the ordinary rules (cache hotness) decide.
    Default,
    /// Rather not: treated like a cache-hot task, moved after repeated failures only.
    Resist,
    /// Never.
    Refuse,
    /// Even if it is cache hot.
    Encourage,
}

/// Asks the design about a move; it sees the scheduler's views.
pub type PermitFn<'a> = dyn FnMut(&Sched, TaskId, CpuId) -> Permit + 'a;

impl Sched {
    /// A task to pull to `cpu`, which has just gone idle. Never a running one.
    pub fn newidle_balance(
        &mut self,
        cpu: CpuId,
        now: Nanos,
        permit: &mut PermitFn<'_>,
        rng: &mut Rng,
    ) -> Option<TaskMove> {
        let _ = (cpu, now, permit, rng);
        None
    }

    /// The levels of `cpu` at which a periodic pass is due, bottom-up.
    pub fn due_levels(&self, cpu: CpuId, now: Nanos) -> Vec<Level> {
        let _ = (cpu, now);
        Vec::new()
    }

    /// When the next periodic pass of `cpu` is due; [`Nanos::MAX`] when it has no domain.
    pub fn next_balance(&self, cpu: CpuId) -> Nanos {
        let _ = cpu;
        Nanos::MAX
    }

    /// One periodic pass of `cpu` at `level`: the moves that even out the groups of its domain
    /// there. Only the first idle CPU of a group (or the first CPU) finds any.
    pub fn periodic_balance(
        &mut self,
        cpu: CpuId,
        level: Level,
        now: Nanos,
        permit: &mut PermitFn<'_>,
        rng: &mut Rng,
    ) -> Vec<TaskMove> {
        let _ = (cpu, level, now, permit, rng);
        Vec::new()
    }
}
