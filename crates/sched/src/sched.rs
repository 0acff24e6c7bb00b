//! Tasks and CPUs: who is where, enqueue, pick, account, preempt, move.

use base::{CpuId, CpuMask, CpuVec, Nanos, NodeVec, TaskId, TaskVec};
use topology::{Cpu, Machine, Matrix};

use crate::domain::Domains;
use crate::entity::Count;
use crate::knobs::{FairPolicy, SchedKnobs, Slices, to_virtual, to_wall};
use crate::runqueue::RunQueue;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Added, never enqueued.
    New,
    /// Waits on its CPU's run queue.
    Queued,
    /// Is its CPU's current task.
    Running,
    /// Sleeps; its CPU is where it ran last.
    Blocked,
    /// Has exited.
    Dead,
}

/// Why a task leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It sleeps and may be enqueued again.
    Block,
    /// It has exited.
    Exit,
}

/// What [`Sched::pick_next`] chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The new current task.
    pub task: TaskId,
    /// How long it had waited on run queues since it became runnable or was preempted.
    pub wait: Nanos,
}

/// A move that the balancer (or an affinity change) asks for; see [`Sched::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskMove {
    /// Who moves.
    pub task: TaskId,
    /// From where.
    pub from: CpuId,
    /// To where.
    pub to: CpuId,
    /// Whether it is the current task of `from`, which must be stopped first.
    pub running: bool,
}

/// Rejected input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchedError {
    /// The mask names no CPU of the machine.
    #[error("the affinity mask names no CPU of the machine")]
    EmptyAffinity,
    /// A task of weight 0 would never run.
    #[error("a task's weight must not be 0")]
    ZeroWeight,
}

/// What is known of each task, a vector a fact.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) state: TaskVec<TaskState>,
    pub(crate) weight: TaskVec<u32>,
    pub(crate) affinity: TaskVec<CpuMask>,
    pub(crate) cpu: TaskVec<CpuId>,
    /// In the time of `cpu`'s run queue.
    pub(crate) vruntime: TaskVec<i64>,
    /// EEVDF: virtual deadline.
    pub(crate) deadline: TaskVec<i64>,
    /// EEVDF: lag when it left its queue.
    pub(crate) vlag: TaskVec<i64>,
    pub(crate) queued_at: TaskVec<Nanos>,
    pub(crate) last_ran: TaskVec<Nanos>,
    pub(crate) run_time: TaskVec<Nanos>,
    pub(crate) wait_time: TaskVec<Nanos>,
    pub(crate) nr_migrations: TaskVec<u64>,
}

/// The scheduler's state: tasks, run queues, domains. See the crate's page for the call sequence.
#[derive(Clone, Debug)]
pub struct Sched {
    pub(crate) knobs: SchedKnobs,
    pub(crate) slices: Slices,
    pub(crate) cpus: CpuVec<Cpu>,
    pub(crate) distances: Matrix<u8>,
    pub(crate) node_cpus: NodeVec<Vec<CpuId>>,
    pub(crate) domains: Domains,
    pub(crate) tasks: Tasks,
    pub(crate) rqs: CpuVec<RunQueue>,
    pub(crate) nr_running: CpuVec<u32>,
    pub(crate) load: CpuVec<u64>,
    pub(crate) node_nr_running: NodeVec<u32>,
    pub(crate) node_load: NodeVec<u64>,
    pub(crate) node_nr_idle: NodeVec<u32>,
    /// CPUs with two or more runnable tasks; while there are none a new idle CPU has nothing to
    /// pull.
    pub(crate) nr_overloaded: u32,
    /// How often the current task of a CPU changed.
    pub(crate) nr_switches: u64,
}

impl Sched {
    /// A scheduler for `machine`, all CPUs idle, no task.
    pub fn new(machine: &Machine, knobs: SchedKnobs) -> Self {
        Self::from_cpus(machine.cpus.clone(), machine.distances.clone(), knobs)
    }

    /// The same from the facts of the machine that scheduling uses. `distances` covers every
    /// node named in `cpus`.
    pub fn from_cpus(cpus: CpuVec<Cpu>, distances: Matrix<u8>, knobs: SchedKnobs) -> Self {
        let nr_nodes = distances.0.len();
        let mut node_cpus = NodeVec::filled(Vec::new(), nr_nodes);
        cpus.enumerate().for_each(|(id, cpu)| node_cpus[cpu.node].push(id));
        let nr_cpus = cpus.len();
        Self {
            slices: Slices::new(&knobs, nr_cpus),
            domains: Domains::build(&cpus, &distances, &node_cpus, &knobs),
            tasks: Tasks::default(),
            // A CPU that has not idled yet counts as one that idles long.
            rqs: CpuVec::filled(
                RunQueue::new(knobs.migration_cost + knobs.migration_cost),
                nr_cpus,
            ),
            nr_running: CpuVec::filled(0, nr_cpus),
            load: CpuVec::filled(0, nr_cpus),
            node_nr_running: NodeVec::filled(0, nr_nodes),
            node_load: NodeVec::filled(0, nr_nodes),
            node_nr_idle: node_cpus.iter().map(|list| list.len() as u32).collect(),
            nr_overloaded: 0,
            nr_switches: 0,
            node_cpus,
            cpus,
            distances,
            knobs,
        }
    }

    /// Adds a task (a thread or a kernel thread); ids are given in the order of the calls. It
    /// runs nowhere before [`Sched::enqueue`].
    ///
    /// # Errors
    /// When the weight is 0 or `affinity` names no CPU of the machine.
    pub fn add_task(&mut self, weight: u32, affinity: CpuMask) -> Result<TaskId, SchedError> {
        if weight == 0 {
            return Err(SchedError::ZeroWeight);
        }
        let affinity = self.checked_mask(&affinity)?;
        let home = affinity.iter().next().ok_or(SchedError::EmptyAffinity)?;
        let tasks = &mut self.tasks;
        tasks.weight.push(weight);
        tasks.affinity.push(affinity);
        tasks.cpu.push(home);
        tasks.vruntime.push(0);
        tasks.deadline.push(0);
        tasks.vlag.push(0);
        tasks.queued_at.push(Nanos::ZERO);
        tasks.last_ran.push(Nanos::ZERO);
        tasks.run_time.push(Nanos::ZERO);
        tasks.wait_time.push(Nanos::ZERO);
        tasks.nr_migrations.push(0);
        Ok(tasks.state.push(TaskState::New))
    }

    fn checked_mask(&self, mask: &CpuMask) -> Result<CpuMask, SchedError> {
        let present = mask.and(&CpuMask::first(self.cpus.len()));
        if present.is_empty() { Err(SchedError::EmptyAffinity) } else { Ok(present) }
    }

    /// Makes a new or blocked task runnable on `cpu`, which its affinity must allow. Account the
    /// current task of `cpu` up to `now` before, then ask [`Sched::wakeup_preempts`].
    pub fn enqueue(&mut self, task: TaskId, cpu: CpuId, now: Nanos) {
        let state = self.tasks.state[task];
        assert!(matches!(state, TaskState::New | TaskState::Blocked), "{state:?} task enqueued");
        if self.nr_running[cpu] == 0 {
            self.end_idle(cpu, now);
        }
        self.place_entity(task, cpu);
        self.tasks.queued_at[task] = now;
        self.insert(task, cpu);
        self.count(task, cpu, Count::Add);
    }

    /// Takes a runnable task off its CPU because it sleeps or exits; a running one must have been
    /// accounted. A sleeping task that exits needs this call too.
    pub fn dequeue(&mut self, task: TaskId, now: Nanos, why: Leave) {
        match self.tasks.state[task] {
            TaskState::Queued | TaskState::Running => self.take_off(task, now),
            TaskState::New | TaskState::Blocked => {}
            TaskState::Dead => return,
        }
        self.tasks.state[task] = match why {
            Leave::Block => TaskState::Blocked,
            Leave::Exit => TaskState::Dead,
        };
    }

    /// Chooses the next task of `cpu` and makes it current; `None` when nothing is runnable (the
    /// CPU idles: try [`Sched::newidle_balance`]). A task that is still current is put back first.
    pub fn pick_next(&mut self, cpu: CpuId, now: Nanos) -> Option<Picked> {
        self.put_prev(cpu, now);
        let rq = &mut self.rqs[cpu];
        let task = rq.pop_next(self.slices.policy)?.task;
        rq.current = Some(task);
        self.nr_switches += 1;
        rq.ran = Nanos::ZERO;
        rq.update_min_vruntime(Some(self.tasks.vruntime[task]));
        let wait = now.saturating_sub(self.tasks.queued_at[task]);
        self.tasks.wait_time[task] += wait;
        self.tasks.state[task] = TaskState::Running;
        Some(Picked { task, wait })
    }

    /// Charges the current task of `cpu` with time it ran; nothing when the CPU is idle.
    pub fn account(&mut self, cpu: CpuId, ran: Nanos) {
        self.account_parts(cpu, [ran]);
    }

    /// The same for several times it ran, one after the other.
    pub fn account_parts<const N: usize>(&mut self, cpu: CpuId, parts: [Nanos; N]) {
        let rq = &mut self.rqs[cpu];
        let Some(task) = rq.current else { return };
        let weight = self.tasks.weight[task];
        let alone = rq.nr_waiting() == 0;
        let mut vruntime = self.tasks.vruntime[task];
        let deadline = &mut self.tasks.deadline[task];
        let mut sum = Nanos::ZERO;
        for ran in parts {
            sum += ran;
            vruntime += to_virtual(ran.0, weight);
            // With nobody to compete the next slice begins at once, so that a later wake-up meets a
            // deadline of the present.
            if alone && vruntime >= *deadline {
                *deadline = vruntime + to_virtual(self.slices.min_granularity_ns, weight);
            }
        }
        rq.ran += sum;
        rq.update_min_vruntime(Some(vruntime));
        self.tasks.run_time[task] += sum;
        self.tasks.vruntime[task] = vruntime;
    }

    /// Puts the current task of `cpu` back into its queue (preemption); nothing when there is none.
    pub fn put_prev(&mut self, cpu: CpuId, now: Nanos) {
        let Some(task) = self.rqs[cpu].current.take() else { return };
        self.nr_switches += 1;
        self.tasks.last_ran[task] = now;
        self.tasks.queued_at[task] = now;
        if self.tasks.vruntime[task] >= self.tasks.deadline[task] {
            self.renew_deadline(task);
        }
        self.insert(task, cpu);
    }

    /// At a tick: whether the current task of `cpu` has used up its slice and another one waits.
    pub fn should_preempt(&self, cpu: CpuId) -> bool {
        let rq = &self.rqs[cpu];
        let (Some(task), Some(leftmost)) = (rq.current, rq.leftmost()) else { return false };
        let vruntime = self.tasks.vruntime[task];
        match self.slices.policy {
            FairPolicy::Eevdf => vruntime >= self.tasks.deadline[task],
            FairPolicy::Cfs => {
                let slice_ns = self.slice_ns(task, cpu);
                rq.ran.0 >= slice_ns
                    || (rq.ran.0 >= self.slices.min_granularity_ns
                        && vruntime - leftmost.vruntime > slice_ns as i64)
            }
        }
    }

    /// How long the current task of `cpu` may still run before its slice ends; [`Nanos::MAX`]
    /// when nobody waits there.
    pub fn slice_left(&self, cpu: CpuId) -> Nanos {
        let rq = &self.rqs[cpu];
        let (Some(task), true) = (rq.current, rq.nr_waiting() > 0) else { return Nanos::MAX };
        match self.slices.policy {
            FairPolicy::Cfs => Nanos(self.slice_ns(task, cpu)).saturating_sub(rq.ran),
            FairPolicy::Eevdf => {
                let left = self.tasks.deadline[task] - self.tasks.vruntime[task];
                Nanos(to_wall(left, self.tasks.weight[task]))
            }
        }
    }

    /// Whether `task`, just enqueued on its CPU, should preempt the current task there. True also
    /// when there is none: the CPU must pick.
    pub fn wakeup_preempts(&self, task: TaskId) -> bool {
        let cpu = self.tasks.cpu[task];
        let rq = &self.rqs[cpu];
        let Some(current) = rq.current else { return true };
        let tasks = &self.tasks;
        match self.slices.policy {
            FairPolicy::Cfs => {
                let gran = to_virtual(self.slices.wakeup_granularity_ns, tasks.weight[task]);
                tasks.vruntime[current] - tasks.vruntime[task] > gran
            }
            FairPolicy::Eevdf => {
                let mean = rq.avg_vruntime(Some(self.entry(current)));
                tasks.vruntime[task] <= mean && tasks.deadline[task] < tasks.deadline[current]
            }
        }
    }

    /// Restricts where `task` may run. When it is runnable on a CPU that is no longer allowed,
    /// the move it needs is returned (to an idle CPU of the same node where there is one); a
    /// sleeping task is placed at its next wake-up.
    ///
    /// # Errors
    /// When `mask` names no CPU of the machine; nothing changes.
    pub fn set_affinity(
        &mut self,
        task: TaskId,
        mask: CpuMask,
    ) -> Result<Option<TaskMove>, SchedError> {
        self.tasks.affinity[task] = self.checked_mask(&mask)?;
        let from = self.tasks.cpu[task];
        let running = self.tasks.state[task] == TaskState::Running;
        let runnable = running || self.tasks.state[task] == TaskState::Queued;
        if !runnable || self.allowed(task, from) {
            return Ok(None);
        }
        Ok(Some(TaskMove { task, from, to: self.nearest_allowed(task, from), running }))
    }

    /// Carries out a move. For a running task the caller has stopped `from` and accounted it; both
    /// for it and for a queued one `task` ends up queued on `to`. Afterwards `from` must pick again
    /// if it lost its current task, and `to` if it idles or [`Sched::wakeup_preempts`].
    ///
    /// Returns false and changes nothing when the move is stale: the task is no longer runnable on
    /// `from`, or may not run on `to`.
    pub fn apply(&mut self, task_move: TaskMove, now: Nanos) -> bool {
        let TaskMove { task, from, to, .. } = task_move;
        let runnable = matches!(self.tasks.state[task], TaskState::Queued | TaskState::Running);
        if !runnable || self.tasks.cpu[task] != from || !self.allowed(task, to) {
            return false;
        }
        if self.tasks.state[task] == TaskState::Running {
            self.put_prev(from, now);
        }
        self.migrate(task, to, now);
        true
    }

    /// Moves a queued task to the queue of another CPU, which its affinity must allow. Its wait
    /// goes on.
    pub fn migrate(&mut self, task: TaskId, to: CpuId, now: Nanos) {
        assert_eq!(self.tasks.state[task], TaskState::Queued, "only a queued task is migrated");
        if self.tasks.cpu[task] == to {
            return;
        }
        // The task may define the minimum of its queue, so its distance is measured before it goes.
        let min_before = self.rqs[self.tasks.cpu[task]].min_vruntime;
        self.take_off(task, now);
        if self.nr_running[to] == 0 {
            self.end_idle(to, now);
        }
        self.carry_over(task, to, min_before);
        self.insert(task, to);
        self.count(task, to, Count::Add);
    }

    /// Exchanges the CPUs of two runnable tasks, each allowed on the other's CPU. Running ones have
    /// been accounted; both end up queued and both CPUs must pick again.
    pub fn swap(&mut self, a: TaskId, b: TaskId, now: Nanos) {
        let (cpu_a, cpu_b) = (self.tasks.cpu[a], self.tasks.cpu[b]);
        for (task, cpu) in [(a, cpu_a), (b, cpu_b)] {
            if self.tasks.state[task] == TaskState::Running {
                self.put_prev(cpu, now);
            }
        }
        self.migrate(a, cpu_b, now);
        self.migrate(b, cpu_a, now);
    }
}
