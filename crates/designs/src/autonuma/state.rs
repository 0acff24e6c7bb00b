//! Statistics of tasks and processes, and the balance step that reads them.

use base::{CpuId, CpuVec, MmId, MmVec, Nanos, NodeId, TaskId, TaskVec};
use sched::Permit;

use super::balance::{Candidate, Counts, Weighed, busy_cpus, decide};
use crate::{Cx, Move, Placing};

/// Why the balance step moves a task.
pub(crate) const PLACE_REASON: &str = "larger share of its faults";

/// What is known of a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Task {
    /// Pass of its process in which its counts were halved last.
    pass: u64,
    pub(crate) counts: Counts,
    /// Another node used its pages too; cleared with the next pass.
    pub(crate) false_sharing: bool,
    /// The node the balance step gave it.
    node: Option<NodeId>,
}

/// What is known of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    /// Passes of the scanner.
    pub(crate) pass: u64,
    halved: u64,
    pub(crate) counts: Counts,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct State {
    nr_nodes: usize,
    pub(crate) tasks: TaskVec<Task>,
    pub(crate) spaces: MmVec<Process>,
    /// When the task of a CPU is next looked at.
    next_balance: CpuVec<Nanos>,
    interval: Nanos,
    strict: bool,
}

impl State {
    pub(crate) fn new(machine: &topology::Machine, interval: Nanos, strict: bool) -> Self {
        Self {
            nr_nodes: machine.nodes.len(),
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
            next_balance: CpuVec::filled(Nanos::ZERO, machine.cpus.len()),
            interval,
            strict,
        }
    }

    /// Makes room for a new task; with `inherit` it starts with its parent's statistics.
    pub(crate) fn task_start(
        &mut self,
        cx: &Cx<'_>,
        task: TaskId,
        parent: Option<TaskId>,
        inherit: bool,
    ) {
        let counts = Counts::new(self.nr_nodes);
        let fresh = Task { counts: counts.clone(), ..Task::default() };
        self.tasks.0.resize(cx.tasks.len(), fresh);
        let process = Process { counts, ..Process::default() };
        self.spaces.0.resize(cx.spaces.len(), process);
        if let Some(parent) = parent.filter(|_| inherit) {
            self.tasks[task] = self.tasks[parent].clone();
        }
    }

    /// Whether faults of a task are counted.
    pub(crate) fn counts(&self, cx: &Cx<'_>, task: TaskId) -> bool {
        task.idx() < self.tasks.len() && !cx.tasks[task].has_policy
    }

    /// The scanner begins a pass over a process.
    pub(crate) fn enter(&mut self, mm: MmId) {
        if let Some(process) = self.spaces.0.get_mut(mm.idx()) {
            process.pass += 1;
        }
    }

    /// Halves a task's counts, and with `with_process` its process's, once a pass.
    pub(crate) fn notice_pass(&mut self, task: TaskId, mm: MmId, with_process: bool) {
        let (state, process) = (&mut self.tasks[task], &mut self.spaces[mm]);
        if state.pass == process.pass {
            return;
        }
        state.pass = process.pass;
        state.counts.halve();
        state.false_sharing = false;
        if with_process && process.halved != process.pass {
            process.halved = process.pass;
            process.counts.halve();
        }
    }

    /// Where a task goes at a tick; see [`PLACE_REASON`].
    pub(crate) fn place(&mut self, cx: &Cx<'_>, task: TaskId, why: Placing) -> Option<Move> {
        (why == Placing::Tick).then(|| self.balance(cx, task)).flatten()
    }

    /// The step of a busy CPU's task, once per interval.
    fn balance(&mut self, cx: &Cx<'_>, task: TaskId) -> Option<Move> {
        let cpu = cx.sched.cpu_of(task);
        if cx.now < self.next_balance[cpu] || !self.counts(cx, task) {
            return None;
        }
        self.next_balance[cpu] = cx.now + self.interval;
        let here = cx.node_of(cpu);
        let others: Vec<Candidate<'_>> = busy_cpus(cx, task, here)
            .filter(|(other, _)| cx.sched.allowed(task, *other))
            .filter_map(|(cpu, runs)| {
                Some(Candidate { cpu, node: cx.node_of(cpu), runs: self.weighed(cx, runs)? })
            })
            .collect();
        let decision = decide(&self.weighed(cx, task)?, here, &others)?;
        self.tasks[task].node = Some(decision.node);
        decision.target.map(|cpu| cx.displace(task, cpu))
    }

    fn weighed(&self, cx: &Cx<'_>, task: TaskId) -> Option<Weighed<'_>> {
        let mm = cx.tasks[task].mm?;
        let own = self.tasks.0.get(task.idx())?;
        let mm = &self.spaces.0.get(mm.idx())?.counts;
        Some(Weighed { process: cx.tasks[task].process, task: &own.counts, mm })
    }

    /// The load balancer first takes tasks that belong to the node it pulls to; in strict mode
    /// others only go to idle CPUs.
    pub(crate) fn permit(&self, cx: &Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        let node = self.tasks.0.get(task.idx()).and_then(|task| task.node);
        let to_node = cx.node_of(to);
        match node {
            None => Permit::Default,
            Some(_) if cx.node_of_task(task) == to_node => Permit::Default,
            Some(node) if node == to_node => Permit::Encourage,
            Some(_) if self.strict && !cx.sched.is_idle(to) => Permit::Refuse,
            Some(_) => Permit::Default,
        }
    }
}
