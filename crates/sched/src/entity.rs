//! How a task's virtual time is set when it enters and leaves a queue, and what is counted then.

use base::{CpuId, Nanos, TaskId};

use crate::knobs::{FairPolicy, to_virtual};
use crate::runqueue::Entry;
use crate::sched::{Sched, TaskState};

/// Which way sums change.
pub(crate) enum Count {
    Add,
    Remove,
}

impl Sched {
    pub(crate) fn entry(&self, task: TaskId) -> Entry {
        let tasks = &self.tasks;
        Entry {
            vruntime: tasks.vruntime[task],
            task,
            weight: tasks.weight[task],
            deadline: tasks.deadline[task],
        }
    }

    pub(crate) fn slice_ns(&self, task: TaskId, cpu: CpuId) -> u64 {
        self.slices.slice_ns(self.tasks.weight[task], self.nr_running[cpu], self.load[cpu])
    }

    pub(crate) fn renew_deadline(&mut self, task: TaskId) {
        let vslice = to_virtual(self.slices.min_granularity_ns, self.tasks.weight[task]);
        self.tasks.deadline[task] = self.tasks.vruntime[task] + vslice;
    }

    pub(crate) fn insert(&mut self, task: TaskId, cpu: CpuId) {
        let entry = self.entry(task);
        self.tasks.state[task] = TaskState::Queued;
        self.rqs[cpu].insert(entry);
    }

    /// Takes a queued or running task off its CPU and leaves its state to the caller.
    pub(crate) fn take_off(&mut self, task: TaskId, now: Nanos) {
        let cpu = self.tasks.cpu[task];
        let current = self.rqs[cpu].current.map(|current| self.entry(current));
        let mean = match self.slices.policy {
            FairPolicy::Cfs => 0,
            FairPolicy::Eevdf => self.rqs[cpu].avg_vruntime(current),
        };
        let vslice = to_virtual(self.slices.min_granularity_ns, self.tasks.weight[task]);
        self.tasks.vlag[task] = (mean - self.tasks.vruntime[task]).clamp(-2 * vslice, 2 * vslice);
        let rq = &mut self.rqs[cpu];
        if rq.current == Some(task) {
            rq.current = None;
            self.nr_switches += 1;
            self.tasks.last_ran[task] = now;
        } else {
            let found = rq.remove(self.tasks.vruntime[task], task);
            debug_assert!(found, "a queued task is in its queue");
        }
        let current = rq.current.map(|current| self.tasks.vruntime[current]);
        rq.update_min_vruntime(current);
        self.count(task, cpu, Count::Remove);
        if self.nr_running[cpu] == 0 {
            self.rqs[cpu].idle_since = now;
        }
    }

    /// Sets `cpu` and vruntime of a task that becomes runnable there.
    ///
    /// CFS: a new task starts one slice behind; a sleeper keeps its vruntime but gains at most
    /// half a latency. EEVDF: the lag it left with is kept (the kernel also corrects the lag for the
    /// task's own effect on the mean; left out). A new task's first deadline is half a slice away.
    pub(crate) fn place_entity(&mut self, task: TaskId, cpu: CpuId) {
        let new = self.tasks.state[task] == TaskState::New;
        self.carry_over(task, cpu, self.rqs[self.tasks.cpu[task]].min_vruntime);
        let weight = self.tasks.weight[task];
        let min = self.rqs[cpu].min_vruntime;
        match (self.slices.policy, new) {
            (FairPolicy::Cfs, true) => {
                let (nr, total) = (self.nr_running[cpu] + 1, self.load[cpu] + u64::from(weight));
                let slice_ns = self.slices.slice_ns(weight, nr, total);
                self.tasks.vruntime[task] = min + to_virtual(slice_ns, weight);
            }
            (FairPolicy::Cfs, false) => {
                let earliest = min - (self.slices.latency_ns / 2) as i64;
                let vruntime = &mut self.tasks.vruntime[task];
                *vruntime = (*vruntime).max(earliest);
            }
            (FairPolicy::Eevdf, true) => {
                let half = to_virtual(self.slices.min_granularity_ns / 2, weight);
                self.tasks.deadline[task] = self.tasks.vruntime[task] + half;
            }
            (FairPolicy::Eevdf, false) => {}
        }
    }

    /// Translates a task's vruntime to the time of `to`'s queue, keeping its distance from
    /// `from_min` (CFS) or its lag (EEVDF), and makes `to` its CPU.
    pub(crate) fn carry_over(&mut self, task: TaskId, to: CpuId, from_min: i64) {
        let from = self.tasks.cpu[task];
        match self.slices.policy {
            FairPolicy::Cfs => {
                let behind = self.tasks.vruntime[task] - from_min;
                self.tasks.vruntime[task] = self.rqs[to].min_vruntime + behind;
            }
            FairPolicy::Eevdf => {
                let current = self.rqs[to].current.map(|current| self.entry(current));
                let mean = self.rqs[to].avg_vruntime(current);
                self.tasks.vruntime[task] = mean - self.tasks.vlag[task];
                self.renew_deadline(task);
            }
        }
        if from != to && self.tasks.state[task] != TaskState::New {
            self.tasks.nr_migrations[task] += 1;
        }
        self.tasks.cpu[task] = to;
    }

    pub(crate) fn count(&mut self, task: TaskId, cpu: CpuId, count: Count) {
        let node = self.cpus[cpu].node;
        let weight = u64::from(self.tasks.weight[task]);
        match count {
            Count::Add => {
                self.nr_running[cpu] += 1;
                self.node_nr_running[node] += 1;
                self.load[cpu] += weight;
                self.node_load[node] += weight;
                self.node_nr_idle[node] -= u32::from(self.nr_running[cpu] == 1);
                self.nr_overloaded += u32::from(self.nr_running[cpu] == 2);
            }
            Count::Remove => {
                self.nr_running[cpu] -= 1;
                self.node_nr_running[node] -= 1;
                self.load[cpu] -= weight;
                self.node_load[node] -= weight;
                self.node_nr_idle[node] += u32::from(self.nr_running[cpu] == 0);
                self.nr_overloaded -= u32::from(self.nr_running[cpu] == 1);
            }
        }
    }

    /// The average moves by an eighth of the difference and is at most twice the migration cost,
    /// so that one long idle time does not hide many short ones.
    pub(crate) fn end_idle(&mut self, cpu: CpuId, now: Nanos) {
        let rq = &mut self.rqs[cpu];
        let idled = now.saturating_sub(rq.idle_since).0 as i64;
        let avg = rq.avg_idle.0 as i64 + (idled - rq.avg_idle.0 as i64) / 8;
        rq.avg_idle = Nanos((avg as u64).min(2 * self.knobs.migration_cost.0));
    }
}
