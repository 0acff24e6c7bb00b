//! What designs and engines may look at, each in constant time unless it returns a list.

use base::{CpuId, CpuMask, Nanos, NodeId, TaskId};
use topology::Cpu;

use crate::knobs::SchedKnobs;
use crate::sched::{Sched, TaskState};

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

    /// How often [`Sched::current`] changed for some CPU.
    pub fn nr_switches(&self) -> u64 {
        self.nr_switches
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
