//! kswapd: a task a node, woken when a zone is below its low watermark.
//!
//! CPUs run an epoch each, one after the other. So that kswapd keeps pace with those who allocate,
//! its CPU is brought up to a fault's time before the fault is served; else every epoch would end in
//! direct reclaim.

use base::{CpuId, Nanos, NodeId, TaskId};
use reclaim::guest::{Stroke, Work};
use sched::TaskState;

use crate::thread::{Activity, Role, Thread, WaitFor};
use crate::world::World;

/// Least time that a round takes, so that time passes.
const LEAST: Nanos = Nanos(1_000);

impl World {
    /// Adds a kswapd for each node with memory.
    pub(crate) fn add_kswapds(&mut self) -> Result<(), crate::SimError> {
        if self.pressure.is_none() {
            return Ok(());
        }
        for node in self.memory_nodes.iter() {
            let allowed = self.mask_or_all(self.machine.nodes[node].cpus);
            let name = format!("kswapd{node}");
            let thread = Thread::new(name, u32::MAX, Role::Kswapd(node), self.machine.nodes.len());
            let task = self.add_task(thread, allowed, None)?;
            if let Some(pressure) = &mut self.pressure {
                pressure.kswapds[node] = Some(task);
            }
        }
        Ok(())
    }

    /// The kswapds, to be put to sleep at the start.
    pub(crate) fn kswapds(&self) -> Vec<TaskId> {
        let kswapds = self.pressure.iter().flat_map(|pressure| pressure.kswapds.iter());
        kswapds.flatten().copied().collect()
    }

    /// Wakes the kswapds that have something to do.
    pub(super) fn wake_kswapds(&mut self, cpu: CpuId, now: Nanos) {
        for node in self.memory_nodes.iter() {
            let Some(pressure) = &self.pressure else { return };
            let Some(task) = pressure.kswapds[node] else { continue };
            if self.sched.state(task) != TaskState::Blocked
                || !pressure.guest.kswapd_due(node.idx())
            {
                continue;
            }
            self.threads[task].wait = None;
            self.threads[task].wake_gen += 1;
            self.threads[task].clock = self.threads[task].clock.max(now);
            let target = self.wake_cpu(task, now);
            self.sched.enqueue(task, target, now);
            if target != cpu && self.sched.current(target).is_none() {
                let at = now.max(self.cpus[target].clock);
                self.cpus[target].clock = at;
                self.pick(target, at);
            }
            self.kick(target, now);
        }
    }

    /// Lets the kswapds that run on other CPUs go on up to `now`.
    pub(super) fn catch_up_kswapds(&mut self, cpu: CpuId, now: Nanos) {
        let Some(pressure) = &mut self.pressure else { return };
        if std::mem::replace(&mut pressure.catching_up, true) {
            return;
        }
        for node in self.memory_nodes.iter() {
            let Some(task) = self.pressure.as_ref().and_then(|pressure| pressure.kswapds[node])
            else {
                continue;
            };
            let own = self.sched.cpu_of(task);
            let runs = self.sched.current(own) == Some(task);
            if runs && own != cpu && self.cpus[own].clock < now {
                self.run_task(task, own, now);
            }
        }
        if let Some(pressure) = &mut self.pressure {
            pressure.catching_up = false;
        }
    }

    /// One round of a node's kswapd.
    pub(crate) fn run_kswapd(&mut self, task: TaskId, cpu: CpuId, node: NodeId) {
        let now = self.cpus[cpu].clock;
        let Some(pressure) = &mut self.pressure else { return };
        let own = pressure.cpus[cpu];
        let (stroke, applied) =
            pressure.call(&mut self.memory, None, |guest| guest.run_kswapd(now.0, own, node.idx()));
        let (work, nap) = match stroke {
            Stroke::Busy(work) => (work, None),
            Stroke::Asleep(work, nap) => (work, Some(nap)),
        };
        self.pay_work(task, cpu, &Work { cpu_ns: 0, ..work }, &applied);
        if nap.is_none() && work.waited_ns == 0 {
            self.threads[task].activity = Activity::Busy(Nanos(work.cpu_ns).max(LEAST));
            return;
        }
        self.charge(task, cpu, Nanos(work.cpu_ns), |time| &mut time.system);
        let now = self.cpus[cpu].clock;
        match nap {
            Some(until) => {
                self.block(task, now, WaitFor::Timer);
                if let Some(until) = until {
                    self.wake_at(task, Nanos(until).max(now + LEAST));
                }
            }
            None => self.sleep_for_work(task, cpu, &work),
        }
    }
}
