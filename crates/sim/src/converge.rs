//! Convergence as `perf bench numa mem` defines it, and the end of timed runs.

use base::{Nanos, NodeMask};
use des::Phase;
use trace::Convergence;

use crate::event::Event;
use crate::world::World;

impl World {
    /// Ends the run at `at`; an earlier choice is void.
    pub(crate) fn time_up_at(&mut self, at: Nanos) {
        let at = at.max(self.queue.now());
        self.deadline = at;
        self.queue.push(at, Phase::End, Event::TimeUp);
    }

    pub(crate) fn time_up_event(&mut self, now: Nanos) {
        if now >= self.deadline {
            self.finish(now);
        }
    }

    /// Looks whether the threads of every process run on one node.
    pub(crate) fn check_convergence(&mut self, now: Nanos) {
        if self.convergence == Convergence::Ignored || self.converged.is_some() {
            return;
        }
        let Some(from) = self.measured_from.filter(|_| self.is_converged()) else { return };
        self.converged = Some(now.saturating_sub(from));
        if self.convergence == Convergence::EndsRun {
            self.finish(now);
        }
    }

    fn is_converged(&self) -> bool {
        let mut homes: Vec<(u32, NodeMask)> = Vec::new();
        for (task, thread) in self.threads.enumerate().filter(|(_, thread)| thread.is_user()) {
            if !self.tasks[task].alive {
                continue;
            }
            let node = self.sched.node_of(task);
            match homes.iter_mut().find(|(process, _)| *process == thread.process) {
                Some((_, nodes)) => nodes.insert(node),
                None => homes.push((thread.process, NodeMask::only(node))),
            }
        }
        homes.iter().all(|(_, nodes)| nodes.len() == 1)
    }
}
