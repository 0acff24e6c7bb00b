//! State of numa/core.

use base::{CpuId, MmId, MmVec, Nanos, NodeId, NodeMask, Pages, TaskId, TaskVec};

use super::place::{Class, Classes, gather, nodes_of_process, spread};
use crate::numab::CpuPid;
use crate::{Cx, HintFault};

mod answers;

/// How faults are told apart, averaged, and made into a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// Private if the fault before came from the same CPU; halved after each complete scan
    /// (November 2012).
    ByCpu,
    /// Private if the fault before was the same task's, by its low eight bits, or if there was
    /// none: such a page counts for the faulting CPU's node. A complete scan replaces one part of
    /// `fault_weight` of the average, and a task's class, private at first, has hysteresis. After
    /// "numa, mm, sched: Implement last-CPU+PID hash tracking" and "numa, sched: Improve staggered
    /// convergence", linux-mm 2012-12-07.
    ByCpuPid {
        /// `sched_numa_fault_weight`.
        fault_weight: u64,
    },
}

/// What a version does, and its constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) scan_delay: Nanos,
    pub(crate) period_min: Nanos,
    pub(crate) period_max: Nanos,
    pub(crate) size_min: Pages,
    pub(crate) size_max: Pages,
    /// Processes with less resident memory are left alone.
    pub(crate) rss_threshold: Pages,
    /// Complete scans up to and with the one that may place a task, from its start or the last
    /// change of its class or node.
    pub(crate) settle_count: u32,
    /// Whether an unchanged placement doubles the period.
    pub(crate) back_off: bool,
    pub(crate) statistics: Statistics,
}

const SHARED: usize = 0;
const PRIVATE: usize = 1;
/// All faults on one node.
const STRONGEST: u64 = 1024;

/// What is known of a task.
#[derive(Clone, Debug, Default)]
struct Task {
    stamp: Nanos,
    period: Nanos,
    /// How far its faults are on one node, of 1024.
    strength: u64,
    /// Complete scan of its process that it last took notice of.
    scan_seq: u64,
    /// By node: shared and private.
    faults: Vec<[u64; 2]>,
    /// Those since the last complete scan, where they are not in `faults` yet.
    faults_curr: Vec<[u64; 2]>,
    class: Option<Class>,
    /// Choice of the last placement; the same one again is acted upon.
    ideal: Option<CpuId>,
    target: Option<CpuId>,
    /// Complete scans since it started or changed.
    settled: u32,
    /// Nodes that the pages of a shared task are spread over: where its process runs.
    nodes: NodeMask,
    pending: Option<(HintFault, bool)>,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Space {
    next_scan: Nanos,
    offset: u32,
    scan_seq: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Core {
    rules: Rules,
    nr_nodes: usize,
    tasks: TaskVec<Task>,
    spaces: MmVec<Space>,
}

impl Rules {
    /// What one scan covers: the less, the more the task's faults are on one node. After "sched: Add
    /// convergence strength based adaptive NUMA page fault rate", linux-mm 2012-11-30.
    fn scan_size(&self, strength: u64) -> Pages {
        let range = self.size_max.0.saturating_sub(self.size_min.0);
        Pages(self.size_min.0 + range * (STRONGEST - strength.min(STRONGEST)) / STRONGEST)
    }
}

impl Task {
    fn sum(&self, kind: usize) -> u64 {
        self.faults.iter().map(|pair| pair[kind]).sum()
    }

    fn on(&self, node: NodeId) -> u64 {
        self.faults.get(node.idx()).map_or(0, |pair| pair.iter().sum())
    }

    /// Takes the faults since the last complete scan into the average.
    fn average(&mut self, weight: u64) {
        for (old, new) in self.faults.iter_mut().zip(&mut self.faults_curr) {
            for (old, new) in old.iter_mut().zip(new) {
                *old = (*old * (weight - 1) + std::mem::take(new)) / weight;
            }
        }
    }
}

impl Core {
    pub(crate) fn new(rules: Rules, machine: &topology::Machine) -> Self {
        Self {
            rules,
            nr_nodes: machine.nodes.len(),
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
        }
    }

    /// Where the page belongs. Pages of shared tasks are dealt out to the nodes of the process by
    /// their place in the space ("sched, numa, mm: Interleave shared tasks" and "sched, mm,
    /// mempolicy: Add per task mempolicy", linux-mm 2012-11-22); others go to the second of two
    /// tasks of one node in a row.
    fn page_target(&self, cx: &Cx<'_>, fault: &HintFault, last: Option<CpuPid>) -> Option<NodeId> {
        let state = &self.tasks[fault.task];
        if state.class == Some(Class::Shared) {
            let number = u64::from(fault.page) / fault.pages.0.max(1);
            return state.nodes.nth((number % state.nodes.len().max(1) as u64) as usize);
        }
        last.is_some_and(|last| cx.node_of(last.cpu) == fault.node).then_some(fault.node)
    }

    fn account(&mut self, cx: &Cx<'_>, fault: &HintFault, node: NodeId, private: bool) {
        self.notice_scan(cx, fault.task, fault.mm);
        let state = &mut self.tasks[fault.task];
        let (faults, node) = match self.rules.statistics {
            Statistics::ByCpu => (&mut state.faults, node),
            Statistics::ByCpuPid { .. } => {
                let fresh = CpuPid::of(fault.word).is_none();
                (&mut state.faults_curr, if fresh { fault.node } else { node })
            }
        };
        faults[node.idx()][usize::from(private)] += fault.pages.0;
    }

    /// After a complete scan of its process: average of faults, class, place, period.
    fn notice_scan(&mut self, cx: &Cx<'_>, task: TaskId, mm: MmId) {
        let seq = self.spaces[mm].scan_seq;
        let state = &mut self.tasks[task];
        if state.scan_seq == seq {
            return;
        }
        state.scan_seq = seq;
        if let Statistics::ByCpuPid { fault_weight } = self.rules.statistics {
            state.average(fault_weight);
        }
        let (shared, private) = (state.sum(SHARED), state.sum(PRIVATE));
        let most = state.faults.iter().map(|pair| pair.iter().sum::<u64>()).max().unwrap_or(0);
        if let Some(strength) = (most * STRONGEST).checked_div(shared + private) {
            state.strength = strength;
        }
        if self.rules.statistics == Statistics::ByCpu {
            state.faults.iter_mut().flatten().for_each(|count| *count /= 2);
        }
        state.settled += 1;
        if state.settled < self.rules.settle_count {
            return;
        }
        let class = match self.rules.statistics {
            Statistics::ByCpu => Class::of(shared, private).or(state.class),
            Statistics::ByCpuPid { .. } => Some(Class::after(state.class, shared, private)),
        };
        let ideal = match class {
            None => return,
            Some(Class::Private) => spread(cx, task),
            Some(Class::Shared) => gather(cx, self, task),
        };
        let here = cx.node_of_task(task);
        let state = &mut self.tasks[task];
        state.nodes = nodes_of_process(cx, task);
        let chosen_again = ideal.is_some() && ideal == state.ideal;
        state.ideal = ideal;
        state.target = ideal.filter(|cpu| chosen_again && cx.node_of(*cpu) != here);
        if state.target.is_some() || class != state.class {
            state.class = class;
            state.settled = 0;
            state.period = self.rules.period_min;
        } else if self.rules.back_off {
            state.period = (state.period * 2).min(self.rules.period_max);
        }
    }
}

impl Classes for Core {
    fn class(&self, task: TaskId) -> Option<Class> {
        self.tasks.0.get(task.idx())?.class
    }
}

impl Core {
    /// Whether a task is on its own ideal node.
    fn is_ideal(&self, cx: &Cx<'_>, task: TaskId) -> bool {
        let ideal = self.tasks.0.get(task.idx()).and_then(|task| task.ideal);
        ideal.is_some_and(|cpu| cx.node_of(cpu) == cx.node_of_task(task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use crate::{Move, Placement, Placing};

    const RULES: Rules = Rules {
        scan_delay: Nanos::from_ms(1000),
        period_min: Nanos::from_ms(100),
        period_max: Nanos::from_ms(1600),
        size_min: Pages(8192),
        size_max: Pages(131_072),
        rss_threshold: Pages::ZERO,
        settle_count: 0,
        back_off: true,
        statistics: Statistics::ByCpu,
    };

    fn setup() -> (World, Core, TaskId, MmId) {
        let mut world = World::new(2, 3);
        let mm = world.add_space();
        let task = world.add_task(mm, 0);
        let mut core = Core::new(RULES, &world.machine);
        core.task_start(&mut world.cx(), task, None);
        (world, core, task, mm)
    }

    /// The word of a page that another task used from this CPU.
    fn used_on(cpu: u16) -> u32 {
        CpuPid::new(CpuId(cpu), TaskId::from_idx(77)).word()
    }

    /// A complete scan, and a fault after it.
    fn pass(world: &mut World, core: &mut Core, task: TaskId, word: u32) {
        let mm = world.tasks[task].mm.expect("a user task");
        core.spaces[mm].scan_seq += 1;
        let fault = world.fault(task, 0, word);
        core.hint_fault(&mut world.cx(), &fault);
    }

    #[test]
    fn pages_move_when_the_last_cpu_was_on_this_node_too() {
        let (mut world, mut core, task, _) = setup();
        let mut ask = |word| {
            let fault = world.fault(task, 1, word);
            core.hint_fault(&mut world.cx(), &fault).migrate_to
        };
        assert_eq!(ask(0), None, "never used before");
        assert_eq!(ask(used_on(4)), None, "a CPU of the other node");
        assert_eq!(ask(used_on(2)), Some(NodeId(0)), "a neighbour");
    }

    #[test]
    fn pages_of_shared_tasks_are_dealt_out_to_the_nodes_of_the_process() {
        let (mut world, mut core, task, _) = setup();
        core.tasks[task].class = Some(Class::Shared);
        let mut ask = |core: &mut Core, page, page_node| {
            let fault = HintFault { page, ..world.fault(task, page_node, 0) };
            core.hint_fault(&mut world.cx(), &fault).migrate_to
        };
        assert_eq!(ask(&mut core, 6, 1), Some(NodeId(0)));
        assert_eq!(ask(&mut core, 7, 0), Some(NodeId(1)));
        assert_eq!(ask(&mut core, 7, 1), None, "there already");
        core.tasks[task].nodes = NodeMask::only(NodeId(0));
        assert_eq!(ask(&mut core, 7, 1), Some(NodeId(0)), "it runs on one node only");
    }

    #[test]
    fn a_converged_task_scans_least() {
        assert_eq!(RULES.scan_size(0), RULES.size_max);
        assert_eq!(RULES.scan_size(STRONGEST / 2), Pages((8192 + 131_072) / 2));
        assert_eq!(RULES.scan_size(STRONGEST), RULES.size_min);
    }

    #[test]
    fn an_unchanged_place_doubles_the_period_up_to_its_maximum() {
        let (mut world, mut core, task, _) = setup();
        core.tasks[task].period = RULES.period_min;
        let mut periods = Vec::new();
        for _ in 0..7 {
            pass(&mut world, &mut core, task, used_on(0));
            periods.push(core.tasks[task].period.as_ms());
        }
        // The first pass had no faults to class the task by; in the second it got its class.
        assert_eq!(periods, [100, 100, 200, 400, 800, 1600, 1600]);
    }

    #[test]
    fn a_place_chosen_twice_is_taken_and_private_faults_go_along() {
        let (mut world, mut core, task, mm) = setup();
        let other = world.add_task(mm, 1);
        core.task_start(&mut world.cx(), other, None);
        core.tasks[task].faults[0][PRIVATE] = 1000;
        pass(&mut world, &mut core, task, used_on(0));
        assert_eq!(core.place_task(&mut world.cx(), task, Placing::Tick), None, "chosen once");
        pass(&mut world, &mut core, task, used_on(0));
        let before = core.tasks[task].on(NodeId(0));
        assert_eq!(core.place_task(&mut world.cx(), task, Placing::Tick), Some(Move::To(CpuId(3))));
        assert_eq!(core.tasks[task].on(NodeId(1)), before);
        assert_eq!(core.tasks[task].period, RULES.period_min);
    }

    #[test]
    fn small_processes_are_left_alone() {
        let (mut world, mut core, task, _) = setup();
        core.rules.rss_threshold = Pages(1);
        world.now = Nanos::from_secs(5);
        world.tasks[task].cpu_time = Nanos::from_secs(5);
        assert_eq!(core.scan(&mut world.cx(), task), None);
    }
}

#[cfg(test)]
mod twin;
