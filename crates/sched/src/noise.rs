//! The background of short daemon wake-ups that moves tasks now and then.

use base::{CpuId, Nanos, Rng, TaskId};
use topology::Cpu;

use crate::sched::{Sched, TaskMove, TaskState};

/// Where a daemon looks for an idle CPU when the one it wakes up on is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekIdle {
    /// In the last-level cache of that CPU, as the kernel's wake-up does (`select_idle_sibling`).
    InCache,
    /// Nowhere: it is bound, or its weight drives away what runs beside it.
    Never,
}

impl Sched {
    /// The CPU for `daemon`, which a timer wakes on a random CPU that it may run on: that CPU, or an
    /// idle one of its last-level cache if the daemon looks for one. Enqueue it there; it preempts or
    /// waits by the ordinary rules, and what it displaces may be pulled by an idle CPU.
    pub fn daemon_cpu(&self, daemon: TaskId, seek: SeekIdle, rng: &mut Rng) -> CpuId {
        let affinity = self.affinity(daemon);
        let k = rng.below(affinity.len() as u64) as usize;
        let woken_on = affinity.iter().nth(k).unwrap_or_else(|| self.cpu_of(daemon));
        match seek {
            SeekIdle::InCache => self.idle_sibling(daemon, woken_on, woken_on),
            SeekIdle::Never => woken_on,
        }
    }

    /// The net effect of a daemon on a fully loaded machine as observed in 2012: it wakes on a random
    /// CPU, and the task it displaces exchanges places with a random CPU of the machine
    /// ([`Sched::exchange`]). `None` when the CPU was idle, when the daemon finds an idle one beside
    /// it, when the task is there already, or when an affinity forbids the exchange; the engine then
    /// leaves the event out. So a task that is alone on the machine is hardly ever moved.
    pub fn noise_swap(&self, seek: SeekIdle, rng: &mut Rng) -> Option<(TaskId, CpuId)> {
        let nr_cpus = self.nr_cpus() as u64;
        let from = CpuId::from_idx(rng.below(nr_cpus) as usize);
        let to = CpuId::from_idx(rng.below(nr_cpus) as usize);
        let task = self.current(from)?;
        if seek == SeekIdle::InCache && self.cache_has_idle(from) {
            return None;
        }
        let back_allowed = self.current(to).is_none_or(|other| self.allowed(other, from));
        (to != from && self.allowed(task, to) && back_allowed).then_some((task, to))
    }

    fn cache_has_idle(&self, cpu: CpuId) -> bool {
        let Cpu { node, llc, .. } = self.cpus[cpu];
        let mut beside = self.node_cpus[node].iter().filter(|other| self.cpus[**other].llc == llc);
        beside.any(|other| self.is_idle(*other))
    }

    /// Moves a runnable `task` to `to`, and the current task of `to`, if there is one, to where
    /// `task` was. Both affinities must allow it; running ones have been accounted; both CPUs must
    /// pick again. Returns who was displaced.
    pub fn exchange(&mut self, task: TaskId, to: CpuId, now: Nanos) -> Option<TaskId> {
        let displaced = self.current(to);
        match displaced {
            Some(other) => self.swap(task, other, now),
            None => {
                let (from, running) = (self.cpu_of(task), self.state(task) == TaskState::Running);
                self.apply(TaskMove { task, from, to, running }, now);
            }
        }
        displaced
    }
}
