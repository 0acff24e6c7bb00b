//! Balance passes, moves of tasks, the background of daemons.

use base::{CpuId, Nanos, TaskId, Vm};
use des::Phase;
use designs::Cx;
use results::MoveReason;
use sched::{SeekIdle, TaskMove, TaskState};

use crate::event::Event;
use crate::history::Moved;
use crate::thread::Activity;
use crate::world::World;

/// Calls a balancer of the scheduler with the design's opinion as its permit.
macro_rules! with_permit {
    ($world:ident, $now:expr, |$sched:ident, $permit:ident, $rng:ident| $body:expr) => {{
        let World { sched: $sched, design, machine, memory, tasks, spaces, rng, .. } = $world;
        let crate::world::Streams { design: design_rng, balance: $rng, .. } = rng;
        let now = $now;
        let $permit = &mut |sched: &sched::Sched, task: TaskId, to: CpuId| {
            let mut cx = Cx { now, machine, sched, memory, tasks, spaces, rng: design_rng };
            design.can_migrate_task(&mut cx, task, to)
        };
        $body
    }};
}

impl World {
    /// Pulls a waiting task to a CPU that has just gone idle; whether one came.
    pub(crate) fn pull(&mut self, cpu: CpuId, now: Nanos) -> bool {
        let found = with_permit!(self, now, |sched, permit, rng| sched
            .newidle_balance(cpu, now, permit, rng));
        found.is_some_and(|found| self.apply_move(found, now, MoveReason::NewidleBalance, ""))
    }

    /// Puts the CPU's next balance pass into the queue, unless an earlier one is pending.
    pub(crate) fn schedule_balance(&mut self, cpu: CpuId, now: Nanos) {
        let at = self.sched.next_balance(cpu);
        if at == Nanos::MAX || self.nr_alive == 0 {
            return;
        }
        let at = at.max(now).max(self.queue.now());
        let pending = self.cpus[cpu].balance_at;
        if pending > self.queue.now() && pending <= at {
            return;
        }
        self.cpus[cpu].balance_at = at;
        self.queue.push(at, Phase::Normal, Event::Balance(cpu));
    }

    pub(crate) fn balance_event(&mut self, cpu: CpuId, now: Nanos) {
        if self.cpus[cpu].balance_at != now {
            return;
        }
        self.cpus[cpu].balance_at = Nanos::ZERO;
        while let Some(level) = self.sched.due_level(cpu, now) {
            let moves = with_permit!(self, now, |sched, permit, rng| sched
                .periodic_balance(cpu, level, now, permit, rng));
            for found in moves {
                let reason =
                    if found.running { MoveReason::ActiveBalance } else { MoveReason::LoadBalance };
                self.apply_move(found, now, reason, "");
            }
        }
        let next = now + Nanos::from_us(100);
        self.schedule_balance(cpu, next);
    }

    /// Carries out a move of the balancer or of a design; whether it was still possible.
    pub(crate) fn apply_move(
        &mut self,
        found: TaskMove,
        now: Nanos,
        reason: MoveReason,
        why: &'static str,
    ) -> bool {
        if found.running {
            self.record_lines(found.task, found.from);
        }
        let now = now.max(self.threads[found.task].clock);
        if !self.sched.apply(found, now) {
            return false;
        }
        self.count_move(found.task, found.from, found.to, (now, reason, why));
        self.kick(found.to, now);
        true
    }

    /// Exchanges the CPUs of two tasks at a design's request; whether that was possible. `why` is
    /// what the design says of the first one's new place.
    pub(crate) fn swap_tasks(
        &mut self,
        a: TaskId,
        b: TaskId,
        now: Nanos,
        why: &'static str,
    ) -> bool {
        let (cpu_a, cpu_b) = (self.sched.cpu_of(a), self.sched.cpu_of(b));
        let runnable =
            |task| matches!(self.sched.state(task), TaskState::Queued | TaskState::Running);
        let fits = self.tasks[a].allowed.contains(cpu_b) && self.tasks[b].allowed.contains(cpu_a);
        if a == b || cpu_a == cpu_b || !fits || !runnable(a) || !runnable(b) {
            return false;
        }
        self.record_lines(a, cpu_a);
        self.record_lines(b, cpu_b);
        let now = now.max(self.threads[a].clock).max(self.threads[b].clock);
        self.sched.swap(a, b, now);
        let swap = MoveReason::SchedSwapNuma;
        self.count_move(a, cpu_a, cpu_b, (now, swap, why));
        self.count_move(b, cpu_b, cpu_a, (now, swap, "made room"));
        self.vmstat[Vm::sim_task_swaps] += 1;
        self.want_epoch(now);
        true
    }

    /// Counts a move and charges the mover with refilling its caches.
    fn count_move(
        &mut self,
        task: TaskId,
        from: CpuId,
        to: CpuId,
        (at, reason, why): (Nanos, MoveReason, &'static str),
    ) {
        self.vmstat[Vm::sim_task_migrations] += 1;
        let (from, to_node) = (self.machine.node_of(from), self.machine.node_of(to));
        if from != to_node {
            self.vmstat[Vm::sim_task_migrations_cross_node] += 1;
        }
        self.note_move(Moved { task, at, from, to: to_node, reason, why });
        self.cpus[to].stolen += self.machine.costs.task_migration;
    }

    pub(crate) fn schedule_daemon(&mut self) {
        if self.daemon.is_none() {
            return;
        }
        let mean_s = 1.0 / self.machine.daemons.wakeups_per_s;
        let at = self.queue.now() + Nanos::from_secs_f64(self.rng.daemon.exponential(mean_s));
        self.queue.push(at, Phase::Normal, Event::Daemon);
    }

    /// A daemon wakes up: it takes its time on a random CPU, and what it displaces ends up on
    /// another one, whose task comes here in turn. That net effect, not the chain of balancer
    /// decisions behind it, is what decides published rows.
    pub(crate) fn daemon_event(&mut self, now: Nanos) {
        self.vmstat[Vm::sim_daemon_wakeups] += 1;
        let seek = if self.machine.daemons.seek_idle { SeekIdle::InCache } else { SeekIdle::Never };
        if let Some((task, to)) = self.sched.noise_swap(seek, &mut self.rng.daemon) {
            let from = self.sched.cpu_of(task);
            let other = self.sched.current(to);
            self.record_lines(task, from);
            if let Some(other) = other {
                self.record_lines(other, to);
            }
            let clock = |task: TaskId| self.threads[task].clock;
            let now = now.max(clock(task)).max(other.map_or(now, clock));
            let displaced = self.sched.exchange(task, to, now);
            let how = (now, MoveReason::Daemon, "");
            self.count_move(task, from, to, how);
            if let Some(other) = displaced {
                self.count_move(other, to, from, how);
            }
            self.want_epoch(now);
        }
        if let Some(daemon) = self.daemon.filter(|daemon| {
            matches!(self.sched.state(*daemon), TaskState::New | TaskState::Blocked)
        }) {
            let cpu = self.sched.daemon_cpu(daemon, seek, &mut self.rng.daemon);
            self.tasks[daemon].alive = true;
            self.threads[daemon].wait = None;
            self.threads[daemon].activity = Activity::Busy(self.machine.daemons.run);
            self.threads[daemon].clock = now;
            self.sched.enqueue(daemon, cpu, now);
            if self.sched.current(cpu).is_some_and(|current| current != daemon)
                && self.sched.wakeup_preempts(daemon)
            {
                let at = now.max(self.cpus[cpu].clock);
                self.pick(cpu, at);
            }
            self.kick(cpu, now);
        }
        self.schedule_daemon();
    }
}
