//! Tasks and CPUs: who is where, enqueue, pick, account, preempt, move.

use base::{CpuId, CpuMask, CpuVec, Nanos, NodeId, NodeVec, TaskId, TaskVec};
use topology::{Cpu, Machine, Matrix};

use crate::domain::Domains;
use crate::knobs::{FairPolicy, SchedKnobs, Slices, to_virtual, to_wall};
use crate::runqueue::{Entry, RunQueue};

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
        rq.ran = Nanos::ZERO;
        let wait = now.saturating_sub(self.tasks.queued_at[task]);
        self.tasks.wait_time[task] += wait;
        self.tasks.state[task] = TaskState::Running;
        Some(Picked { task, wait })
    }

    /// Charges the current task of `cpu` with time it ran; nothing when the CPU is idle.
    pub fn account(&mut self, cpu: CpuId, ran: Nanos) {
        let rq = &mut self.rqs[cpu];
        let Some(task) = rq.current else { return };
        rq.ran += ran;
        self.tasks.run_time[task] += ran;
        let vruntime = &mut self.tasks.vruntime[task];
        *vruntime += to_virtual(ran.0, self.tasks.weight[task]);
        rq.update_min_vruntime(Some(*vruntime));
    }

    /// Puts the current task of `cpu` back into its queue (preemption); nothing when there is none.
    pub fn put_prev(&mut self, cpu: CpuId, now: Nanos) {
        let Some(task) = self.rqs[cpu].current.take() else { return };
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
        let queued_at = self.tasks.queued_at[task];
        let last_ran = self.tasks.last_ran[task];
        self.take_off(task, now);
        if self.nr_running[to] == 0 {
            self.end_idle(to, now);
        }
        self.carry_over(task, to, min_before);
        self.insert(task, to);
        self.count(task, to, Count::Add);
        self.tasks.queued_at[task] = queued_at;
        self.tasks.last_ran[task] = last_ran;
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

/// Views.
impl Sched {
    /// Number of CPUs.
    pub fn nr_cpus(&self) -> usize {
        self.cpus.len()
    }

    /// Number of tasks ever added.
    pub fn nr_tasks(&self) -> usize {
        self.tasks.state.len()
    }

    /// The settings.
    pub fn knobs(&self) -> &SchedKnobs {
        &self.knobs
    }

    /// Where a task is.
    pub fn state(&self, task: TaskId) -> TaskState {
        self.tasks.state[task]
    }

    /// The CPU a task runs or waits on, or ran on last.
    pub fn cpu_of(&self, task: TaskId) -> CpuId {
        self.tasks.cpu[task]
    }

    /// The node of [`Sched::cpu_of`].
    pub fn node_of(&self, task: TaskId) -> NodeId {
        self.cpus[self.tasks.cpu[task]].node
    }

    /// Node, core, cache and package of a CPU.
    pub fn cpu(&self, cpu: CpuId) -> &Cpu {
        &self.cpus[cpu]
    }

    /// A task's weight.
    pub fn weight(&self, task: TaskId) -> u32 {
        self.tasks.weight[task]
    }

    /// Where a task may run.
    pub fn affinity(&self, task: TaskId) -> &CpuMask {
        &self.tasks.affinity[task]
    }

    /// Whether a task may run on a CPU.
    pub fn allowed(&self, task: TaskId, cpu: CpuId) -> bool {
        self.tasks.affinity[task].contains(cpu)
    }

    /// A task's vruntime in ns, in the time of its CPU's queue.
    pub fn vruntime(&self, task: TaskId) -> i64 {
        self.tasks.vruntime[task]
    }

    /// CPU time a task has used.
    pub fn run_time(&self, task: TaskId) -> Nanos {
        self.tasks.run_time[task]
    }

    /// Time a task has waited on run queues, up to its last pick.
    pub fn wait_time(&self, task: TaskId) -> Nanos {
        self.tasks.wait_time[task]
    }

    /// When a task last stopped running.
    pub fn last_ran(&self, task: TaskId) -> Nanos {
        self.tasks.last_ran[task]
    }

    /// How often a task has changed its CPU.
    pub fn nr_migrations(&self, task: TaskId) -> u64 {
        self.tasks.nr_migrations[task]
    }

    /// The task that a CPU runs.
    pub fn current(&self, cpu: CpuId) -> Option<TaskId> {
        self.rqs[cpu].current
    }

    /// The runnable tasks of a CPU: the current one, then the waiting ones by vruntime.
    pub fn tasks_on(&self, cpu: CpuId) -> impl Iterator<Item = TaskId> + '_ {
        let rq = &self.rqs[cpu];
        rq.current.into_iter().chain(rq.waiting().map(|entry| entry.task))
    }

    /// Runnable tasks of a CPU, the current one included.
    pub fn nr_running(&self, cpu: CpuId) -> u32 {
        self.nr_running[cpu]
    }

    /// Runnable tasks of a node.
    pub fn node_nr_running(&self, node: NodeId) -> u32 {
        self.node_nr_running[node]
    }

    /// Load of a CPU: the sum of its runnable tasks' weights at this moment. There is no decaying
    /// average; a task that sleeps has no load.
    pub fn load(&self, cpu: CpuId) -> u64 {
        self.load[cpu]
    }

    /// Load of a node.
    pub fn node_load(&self, node: NodeId) -> u64 {
        self.node_load[node]
    }

    /// Whether nothing is runnable on a CPU.
    pub fn is_idle(&self, cpu: CpuId) -> bool {
        self.nr_running[cpu] == 0
    }

    /// Since when a CPU idles; `None` when it does not.
    pub fn idle_since(&self, cpu: CpuId) -> Option<Nanos> {
        self.is_idle(cpu).then(|| self.rqs[cpu].idle_since)
    }

    /// The CPUs of a node.
    pub fn node_cpus(&self, node: NodeId) -> &[CpuId] {
        &self.node_cpus[node]
    }

    /// Number of idle CPUs of a node.
    pub fn node_nr_idle(&self, node: NodeId) -> u32 {
        self.node_nr_idle[node]
    }

    /// The idle CPUs of a node, in order.
    pub fn idle_cpus(&self, node: NodeId) -> impl Iterator<Item = CpuId> + '_ {
        self.node_cpus[node].iter().copied().filter(|cpu| self.is_idle(*cpu))
    }
}

enum Count {
    Add,
    Remove,
}

/// What the calls above are made of.
impl Sched {
    fn entry(&self, task: TaskId) -> Entry {
        let tasks = &self.tasks;
        Entry {
            vruntime: tasks.vruntime[task],
            task,
            weight: tasks.weight[task],
            deadline: tasks.deadline[task],
        }
    }

    fn slice_ns(&self, task: TaskId, cpu: CpuId) -> u64 {
        self.slices.slice_ns(self.tasks.weight[task], self.nr_running[cpu], self.load[cpu])
    }

    fn renew_deadline(&mut self, task: TaskId) {
        let vslice = to_virtual(self.slices.min_granularity_ns, self.tasks.weight[task]);
        self.tasks.deadline[task] = self.tasks.vruntime[task] + vslice;
    }

    fn insert(&mut self, task: TaskId, cpu: CpuId) {
        let entry = self.entry(task);
        self.tasks.state[task] = TaskState::Queued;
        self.rqs[cpu].insert(entry);
    }

    /// Takes a queued or running task off its CPU and leaves its state to the caller.
    fn take_off(&mut self, task: TaskId, now: Nanos) {
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
    fn place_entity(&mut self, task: TaskId, cpu: CpuId) {
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
    fn carry_over(&mut self, task: TaskId, to: CpuId, from_min: i64) {
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

    fn count(&mut self, task: TaskId, cpu: CpuId, count: Count) {
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
    fn end_idle(&mut self, cpu: CpuId, now: Nanos) {
        let rq = &mut self.rqs[cpu];
        let idled = now.saturating_sub(rq.idle_since).0 as i64;
        let avg = rq.avg_idle.0 as i64 + (idled - rq.avg_idle.0 as i64) / 8;
        rq.avg_idle = Nanos((avg as u64).min(2 * self.knobs.migration_cost.0));
    }
}
