//! Kernel threads of designs: they walk, move pages and sleep at their own cost.

use base::{CpuId, Nanos, TaskId};
use designs::KthreadWork;
use mm::Pte;

use crate::thread::WaitFor;
use crate::world::{World, cx};

impl World {
    /// Lets a kernel thread do one piece of work.
    pub(crate) fn run_kthread(&mut self, task: TaskId, cpu: CpuId, idx: usize) {
        let now = self.cpus[cpu].clock;
        match self.design.kthread(&mut cx!(self, now), idx) {
            KthreadWork::Scan(plan) => self.scan(task, cpu, &plan),
            KthreadWork::Migrate(page) => {
                let pte = self.memory.pte(page.mm, page.page);
                let movable =
                    pte.has(Pte::PRESENT) && !pte.has(Pte::MIGRATING) && pte.node() != page.to;
                if movable {
                    self.migrate(task, cpu, pte.folio(), page.to);
                } else {
                    self.charge(task, cpu, self.machine.costs.migrate_fail, |time| {
                        &mut time.system
                    });
                }
            }
            KthreadWork::Sleep(span) => {
                self.block(task, now, WaitFor::Timer);
                // A zero sleep would spin without time passing.
                self.wake_at(task, now + span.max(Nanos::from_us(1)));
            }
        }
    }

    /// Puts a kernel thread to sleep for the first time.
    pub(crate) fn sleep_kthread(&mut self, task: TaskId, now: Nanos) {
        self.threads[task].start = now;
        self.threads[task].wait = Some(crate::thread::Wait { since: now, why: WaitFor::Timer });
        self.wake_at(task, now);
    }
}
