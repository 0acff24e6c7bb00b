//! An epoch: rates are found, then every CPU runs to its end.

use base::{CpuId, Nanos, TaskId};
use results::MoveReason;

use crate::event::Event;
use crate::history::Moved;
use crate::record::Latent;
use crate::thread::WaitFor;
use crate::world::World;
use des::Phase;

impl World {
    /// Starts the epoch at `now`. CPUs run one after the other in random order, each at most to the
    /// epoch's end (a block may overshoot it); a fixed order would favour one CPU in every tie.
    pub(crate) fn run_epoch(&mut self, now: Nanos) {
        self.epoch.pending = false;
        self.epoch.nr += 1;
        self.epoch.end = now + self.knobs.epoch;
        self.pick_on_idle_cpus(now);
        self.note_running();
        self.solve_bandwidth();
        self.sampler.account_resources(&self.machine, &self.bandwidth, self.knobs.epoch);
        let mut cpus: Vec<CpuId> =
            self.machine.cpus.ids().filter(|cpu| self.sched.nr_running(*cpu) > 0).collect();
        self.rng.order.shuffle(&mut cpus);
        for cpu in cpus {
            self.run_cpu(cpu, now);
            if self.ended.is_some() || self.error.is_some() {
                return;
            }
        }
        if cfg!(debug_assertions) {
            self.check_epoch();
        }
        self.sample(self.epoch.end);
        self.check_convergence(self.epoch.end);
        if self.machine.cpus.ids().any(|cpu| self.sched.nr_running(cpu) > 0) {
            self.want_epoch(self.epoch.end);
        }
    }

    /// Lets CPUs that have work but no current task pick one, so that the solver sees it.
    fn pick_on_idle_cpus(&mut self, now: Nanos) {
        for cpu in self.machine.cpus.ids() {
            if self.sched.current(cpu).is_none() && self.sched.nr_running(cpu) > 0 {
                self.pick(cpu, now);
            }
        }
    }

    /// Tells reclaim which processes run.
    fn note_running(&mut self) {
        let Some(pressure) = &mut self.pressure else { return };
        for task in self.machine.cpus.ids().filter_map(|cpu| self.sched.current(cpu)) {
            pressure.note_running(self.threads[task].process);
        }
    }

    /// Takes a task off its CPU until [`World::wake_at`].
    pub(crate) fn block(&mut self, task: TaskId, now: Nanos, why: WaitFor) {
        self.record_lines(task, self.sched.cpu_of(task));
        self.sched.dequeue(task, now, sched::Leave::Block);
        self.threads[task].wait = Some(crate::thread::Wait { since: now, why });
    }

    /// Wakes a blocked task at `at`.
    pub(crate) fn wake_at(&mut self, task: TaskId, at: Nanos) {
        let thread = &mut self.threads[task];
        thread.wake_gen += 1;
        let at = at.max(self.queue.now());
        self.queue.push(at, Phase::Normal, Event::Wake(task, thread.wake_gen));
    }

    pub(crate) fn wake_event(&mut self, task: TaskId, generation: u32, now: Nanos) {
        if self.threads[task].wake_gen != generation || !self.tasks[task].alive {
            return;
        }
        let Some(wait) = self.threads[task].wait.take() else { return };
        let waited = now.saturating_sub(wait.since);
        let time = &mut self.threads[task].time;
        match wait.why {
            WaitFor::Migration => {
                time.migration_wait += waited;
                self.vmstat[base::Vm::sim_migration_wait_ns] += waited.0;
                self.recorder.wait(Latent::MigrationWait, waited);
            }
            WaitFor::Barrier(_) | WaitFor::Device | WaitFor::Timer => time.sleep += waited,
        }
        self.threads[task].clock = self.threads[task].clock.max(now);
        let from = self.sched.cpu_of(task);
        let cpu = self.wake_cpu(task, now);
        if cpu != from {
            let (from, to) = (self.machine.node_of(from), self.machine.node_of(cpu));
            let reason = MoveReason::WakeUp;
            self.note_move(Moved { task, at: now, from, to, reason, why: "" });
        }
        self.sched.enqueue(task, cpu, now);
        self.kick(cpu, now);
    }

    /// A CPU has something new to run: within an epoch it runs on, else an epoch begins.
    pub(crate) fn kick(&mut self, cpu: CpuId, now: Nanos) {
        self.kicked.push((cpu, now));
        self.want_epoch(now);
    }

    /// Runs the CPUs that were given something to run within the current epoch, the earliest first:
    /// who was started first touches memory first. Not done at once, since the giver may be in the
    /// middle of running its own CPU.
    pub(crate) fn run_kicked(&mut self) {
        while let Some(idx) = (0..self.kicked.len()).min_by_key(|idx| self.kicked[*idx].1) {
            let (cpu, at) = self.kicked.remove(idx);
            if at < self.epoch.end && self.cpus[cpu].clock < self.epoch.end {
                self.run_cpu(cpu, at);
            }
        }
    }

    pub(crate) fn wake_cpu(&mut self, task: TaskId, now: Nanos) -> CpuId {
        let mut cx = crate::world::cx!(self, now);
        let node = self.design.preferred_node(&mut cx, task);
        let previous = self.sched.cpu_of(task);
        let idle = node.filter(|node| *node != self.machine.node_of(previous)).and_then(|node| {
            let allowed = self.tasks[task].allowed;
            self.sched.idle_cpus(node).find(|cpu| allowed.contains(*cpu))
        });
        idle.unwrap_or_else(|| self.sched.select_cpu_wakeup(task, previous, sched::Sync::WakerRuns))
    }
}
