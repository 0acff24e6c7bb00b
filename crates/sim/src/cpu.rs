//! A CPU runs: it picks, replays, ticks, switches, until the epoch ends or nothing is left to run.

use base::{CpuId, Nanos, TaskId, Vm};
use designs::{Move, Placing};
use results::MoveReason;
use sched::TaskMove;

use crate::history::Kind;
use crate::record::Latent;
use crate::thread::{Activity, Role};
use crate::world::{World, cx};

/// What a task did with its time on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// The time is used up.
    Budget,
    /// The task sleeps or has ended; the CPU must pick another one.
    Off,
}

impl World {
    /// Runs `cpu` from its own clock, not before `from`, to the end of the epoch.
    pub(crate) fn run_cpu(&mut self, cpu: CpuId, from: Nanos) {
        let state = &mut self.cpus[cpu];
        state.clock = state.clock.max(from);
        while self.cpus[cpu].clock < self.epoch.end && self.ended.is_none() && self.error.is_none()
        {
            let now = self.cpus[cpu].clock;
            let Some(task) = self.sched.current(cpu).or_else(|| self.pick(cpu, now)) else {
                return;
            };
            self.pay_stolen(cpu, task);
            let until = self
                .epoch
                .end
                .min(now.saturating_add(self.sched.slice_left(cpu)).max(now + Nanos(1000)));
            let ran = self.run_task(task, cpu, until);
            if ran == Ran::Budget {
                self.tick(cpu);
            } else if !self.kicked.is_empty() {
                // What others were given meanwhile comes before what this CPU has next.
                self.kick(cpu, self.cpus[cpu].clock);
                return;
            }
        }
    }

    /// Chooses the next task; pulls one from elsewhere when nothing waits here.
    pub(crate) fn pick(&mut self, cpu: CpuId, now: Nanos) -> Option<TaskId> {
        if self.sched.nr_running(cpu) == 0 && !self.pull(cpu, now) {
            self.schedule_balance(cpu, now);
            return None;
        }
        let picked = self.sched.pick_next(cpu, now)?;
        let thread = &mut self.threads[picked.task];
        let clock = &mut self.cpus[cpu].clock;
        *clock = now.max(thread.clock) + self.machine.costs.context_switch;
        thread.clock = *clock;
        thread.time.runqueue += picked.wait;
        thread.time.system += self.machine.costs.context_switch;
        self.vmstat[Vm::sim_context_switches] += 1;
        self.vmstat[Vm::sim_runqueue_wait_ns] += picked.wait.0;
        self.vmstat[Vm::sim_system_ns] += self.machine.costs.context_switch.0;
        if picked.wait > Nanos::ZERO {
            self.recorder.wait(Latent::RunqueueWait, picked.wait);
        }
        Some(picked.task)
    }

    /// Charges what TLB shootdowns of others took from this CPU.
    fn pay_stolen(&mut self, cpu: CpuId, task: TaskId) {
        let stolen = std::mem::take(&mut self.cpus[cpu].stolen);
        if stolen > Nanos::ZERO {
            self.charge(task, cpu, stolen, |time| &mut time.system);
        }
    }

    /// Charges kernel time to a task on its CPU and advances the CPU's clock.
    pub(crate) fn charge(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        cost: Nanos,
        part: impl Fn(&mut results::TimeSplit) -> &mut Nanos,
    ) {
        self.vmstat[Vm::sim_system_ns] += cost.0;
        self.advance(task, cpu, cost, part);
    }

    /// Advances a task and its CPU by time it ran.
    pub(crate) fn advance(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        ran: Nanos,
        part: impl Fn(&mut results::TimeSplit) -> &mut Nanos,
    ) {
        *part(&mut self.threads[task].time) += ran;
        self.cpus[cpu].clock += ran;
        self.threads[task].clock = self.cpus[cpu].clock;
        self.tasks[task].cpu_time += ran;
        self.sched.account(cpu, ran);
    }

    /// Why the task runs no further, if so.
    pub(crate) fn leaves(&self, task: TaskId, cpu: CpuId, until: Nanos) -> Option<Ran> {
        if self.cpus[cpu].clock >= until {
            return Some(Ran::Budget);
        }
        let runs = self.sched.current(cpu) == Some(task);
        (!runs || self.ended.is_some() || self.error.is_some()).then_some(Ran::Off)
    }

    /// Runs the task until `until`, or until it sleeps or ends.
    pub(crate) fn run_task(&mut self, task: TaskId, cpu: CpuId, until: Nanos) -> Ran {
        loop {
            if let Some(ran) = self.leaves(task, cpu, until) {
                return ran;
            }
            self.estimate_rates(task, cpu);
            match &self.threads[task].activity {
                Activity::Replay => match self.threads[task].role {
                    Role::User(_) => self.replay(task, cpu, until),
                    Role::Kthread(idx) => self.run_kthread(task, cpu, idx),
                    Role::Kswapd(node) => self.run_kswapd(task, cpu, node),
                    Role::Daemon => {
                        self.block(task, self.cpus[cpu].clock, crate::thread::WaitFor::Timer)
                    }
                },
                Activity::Compute(left) | Activity::Busy(left) => {
                    self.spend(task, cpu, *left, until)
                }
                Activity::Copy(copy) => self.copy_on(task, cpu, copy.clone(), until),
                Activity::Batch(batch) => self.batch_on(task, cpu, batch.clone(), until),
                Activity::Clear(clear) => self.clear_on(task, cpu, clear.clone(), until),
            }
        }
    }

    /// Goes on with computing, or a kernel thread's work.
    fn spend(&mut self, task: TaskId, cpu: CpuId, left: Nanos, until: Nanos) {
        let budget = until.since(self.cpus[cpu].clock);
        let ran = left.min(budget);
        let rest = left - ran;
        if self.threads[task].is_user() {
            self.vmstat[Vm::sim_user_ns] += ran.0;
            self.advance(task, cpu, ran, |time| &mut time.compute);
            self.threads[task].activity =
                if rest > Nanos::ZERO { Activity::Compute(rest) } else { Activity::Replay };
        } else {
            self.charge(task, cpu, ran, |time| &mut time.system);
            self.threads[task].activity =
                if rest > Nanos::ZERO { Activity::Busy(rest) } else { Activity::Replay };
        }
    }

    /// Timer work: the scan and the placement of the design, and the end of the slice.
    fn tick(&mut self, cpu: CpuId) {
        let now = self.cpus[cpu].clock;
        let Some(task) = self.sched.current(cpu) else { return };
        if now >= self.cpus[cpu].next_tick {
            let jiffy = Nanos(1_000_000_000 / u64::from(self.machine.kernel.hz.max(1)));
            self.cpus[cpu].next_tick = now + jiffy;
            if self.threads[task].is_user()
                && matches!(self.threads[task].activity, Activity::Replay)
            {
                self.task_work(task, cpu);
            }
        }
        if self.sched.current(cpu) == Some(task) && self.sched.should_preempt(cpu) {
            self.record_lines(task, cpu);
            self.pick(cpu, self.cpus[cpu].clock);
        }
    }

    /// What the kernel does for a task on its return to user mode.
    fn task_work(&mut self, task: TaskId, cpu: CpuId) {
        let now = self.cpus[cpu].clock;
        let plan = self.design.scan(&mut cx!(self, now), task);
        if let Some(plan) = plan {
            self.scan(task, cpu, &plan);
            self.place(task, Placing::ScanDone);
        } else {
            self.place(task, Placing::Tick);
        }
    }

    /// Asks the design where the task should run, and moves it there.
    pub(crate) fn place(&mut self, task: TaskId, why: Placing) {
        let cpu = self.sched.cpu_of(task);
        let now = self.cpus[cpu].clock;
        let Some(place) = self.design.place_task(&mut cx!(self, now), task, why) else { return };
        let moved = match place {
            Move::To(to) => {
                let running = self.sched.current(cpu) == Some(task);
                let reason = self.design.place_reason(task, self.machine.node_of(to));
                let found = TaskMove { task, from: cpu, to, running };
                self.apply_move(found, now, MoveReason::SchedMoveNuma, reason)
            }
            Move::Swap(other) => {
                let reason = self.design.place_reason(task, self.sched.node_of(other));
                self.swap_tasks(task, other, now, reason)
            }
        };
        if !moved {
            self.decisions.count(Kind::Stick);
        }
    }
}
