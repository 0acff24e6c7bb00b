//! sched/numa, second form: fault statistics choose each task's home.
//!
//! Peter Zijlstra, with ideas of Rik van Riel and AutoNUMA's filter, September-October 2012 (tree
//! `numa/core` before Ingo Molnar's rework); not merged. Described in the posting of 2012-10-25.
//!
//! Modelled: the running task makes its whole address space inaccessible, at a period of its own
//! CPU time; pages move after two faults in a row from a node; faults of a task decay by half a
//! scan; the home is the node with most of them, and settles for two scans; memory comes from the
//! home node; the scheduler's pull.
//!
//! Left out: the bias of wake-ups, off by default. The postings leave open how the period moves
//! between its bounds; here a changed home takes it to the shortest, and an unchanged one doubles
//! it, as the tree did a month later.

use base::{CpuId, MmVec, Nanos, NodeId, Pages, TaskId, TaskVec};
use config::Described;
use mm::{Mempolicy, ScanOutcome, ScanPlan, ScanRules};
use sched::Permit;
use topology::Machine;

use crate::hometask::{permit, way_home};
use crate::{AllocRequest, Cx, Design, HintFault, Migration, Move, Placement, Placing, Verdict};
use crate::{autonuma::LastNode, autonuma::confirm};

config::config! {
    /// Constants of sched/numa as of October 2012.
    pub struct Knobs {
        /// Shortest scan period, in a task's CPU time.
        pub sched_numa_scan_period_min: Nanos = Nanos::from_ms(5000),
        /// Longest scan period.
        pub sched_numa_scan_period_max: Nanos = Nanos::from_ms(80_000),
        /// Scans for which a new home stays.
        pub sched_numa_settle_count: u32 = 2,
        /// A process is scanned at most every so many shortest periods.
        pub mm_interval: u32 = 2,
        /// Time between two tries of a running task to get home (load balancing of its CPU).
        pub pull_interval: Nanos = Nanos::from_ms(64),
    }
}

/// What is known of a task.
#[derive(Clone, Debug, Default)]
struct Task {
    stamp: Nanos,
    period: Nanos,
    /// Scan of its process that it last took notice of.
    scan_seq: u64,
    faults: Vec<u64>,
    home: Option<NodeId>,
    /// Scans for which the home still stays.
    settle: u32,
    next_pull: Nanos,
    /// A fault whose page moves.
    pending: Option<HintFault>,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, Default)]
struct Space {
    next_scan: Nanos,
    scan_seq: u64,
}

/// State of sched/numa.
#[derive(Debug)]
pub struct SchednumaOctober {
    knobs: Knobs,
    nr_nodes: usize,
    tasks: TaskVec<Task>,
    spaces: MmVec<Space>,
}

impl SchednumaOctober {
    fn home_of(&self, task: TaskId) -> Option<NodeId> {
        self.tasks.0.get(task.idx())?.home
    }

    /// After each scan of its process: choose the home, adapt the period, halve the faults.
    fn notice_scan(&mut self, task: TaskId, seq: u64) {
        let (min, max) =
            (self.knobs.sched_numa_scan_period_min, self.knobs.sched_numa_scan_period_max);
        let state = &mut self.tasks[task];
        if state.scan_seq == seq {
            return;
        }
        state.scan_seq = seq;
        let most = state.faults.iter().copied().max().unwrap_or(0);
        let best = state.faults.iter().position(|count| *count == most && most > 0);
        state.faults.iter_mut().for_each(|count| *count /= 2);
        if state.settle > 0 {
            state.settle -= 1;
            return;
        }
        let Some(best) = best.map(NodeId::from_idx) else { return };
        if state.home == Some(best) {
            state.period = (state.period * 2).min(max);
        } else {
            state.home = Some(best);
            state.period = min;
            state.settle = self.knobs.sched_numa_settle_count;
        }
    }

    fn account(&mut self, fault: &HintFault, node: NodeId) {
        self.notice_scan(fault.task, self.spaces[fault.mm].scan_seq);
        self.tasks[fault.task].faults[node.idx()] += fault.pages.0;
    }
}

impl Placement for SchednumaOctober {
    fn alloc_policy(&mut self, _cx: &mut Cx<'_>, request: &AllocRequest) -> Option<Mempolicy> {
        self.home_of(request.task).map(Mempolicy::Preferred)
    }

    fn task_start(&mut self, cx: &mut Cx<'_>, _task: TaskId, _parent: Option<TaskId>) {
        let period = self.knobs.sched_numa_scan_period_min;
        let fresh = Task { period, faults: vec![0; self.nr_nodes], ..Task::default() };
        self.tasks.0.resize(cx.tasks.len(), fresh);
        self.spaces.0.resize(cx.spaces.len(), Space::default());
    }

    fn scan(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<ScanPlan> {
        let info = &cx.tasks[task];
        let mm = info.mm.filter(|_| !info.has_policy)?;
        let state = &mut self.tasks[task];
        if info.cpu_time < state.stamp + state.period {
            return None;
        }
        state.stamp = info.cpu_time;
        let space = &mut self.spaces[mm];
        if cx.now < space.next_scan {
            return None;
        }
        let interval = self.knobs.sched_numa_scan_period_min * u64::from(self.knobs.mm_interval);
        space.next_scan = cx.now + interval;
        Some(ScanPlan {
            mm,
            start: 0,
            end: u32::MAX,
            max_updated: Pages::MAX,
            max_walked: Pages::MAX,
            rules: ScanRules { skip_bound_vmas: true, ..ScanRules::default() },
        })
    }

    fn scan_done(
        &mut self,
        cx: &mut Cx<'_>,
        task: TaskId,
        _outcome: &ScanOutcome,
        _took: Nanos,
    ) -> Option<ScanPlan> {
        if let Some(mm) = cx.tasks[task].mm {
            self.spaces[mm].scan_seq += 1;
        }
        None
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let mut shared = false;
        let confirmed = confirm(LastNode::of(fault.word), fault.node, false, &mut shared);
        let wanted = confirmed
            && fault.node != fault.page_node
            && !fault.waited
            && cx.can_take(fault.node, fault.pages);
        if wanted {
            self.tasks[fault.task].pending = Some(*fault);
        } else {
            self.account(fault, fault.page_node);
        }
        Verdict::new(LastNode::word(fault.node), wanted.then_some(fault.node))
    }

    fn migration_done(&mut self, _cx: &mut Cx<'_>, migration: &Migration) {
        if let Some(fault) = self.tasks[migration.task].pending.take() {
            self.account(&fault, if migration.moved { migration.to } else { migration.from });
        }
    }

    fn place_task(&mut self, cx: &mut Cx<'_>, task: TaskId, why: Placing) -> Option<Move> {
        let home = self.home_of(task)?;
        if why != Placing::Tick || cx.now < self.tasks[task].next_pull {
            return None;
        }
        self.tasks[task].next_pull = cx.now + self.knobs.pull_interval;
        way_home(cx, task, home, |task| self.home_of(task))
    }

    fn place_reason(&self, _task: TaskId, _to: NodeId) -> &'static str {
        "home node"
    }

    fn can_migrate_task(&mut self, cx: &mut Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        permit(cx, task, self.home_of(task), to)
    }
}

impl Described for SchednumaOctober {
    const NAME: &'static str = "schednuma-october";
    const LINEAGE: &'static str =
        "Peter Zijlstra, Sep-Oct 2012, not merged: a home node for each task, from its hint faults";
    const SOURCE: &'static str = "\"sched/numa\" with fault statistics, lkml 2012-10-25";
    const LEFT_OUT: &'static str =
        "bias of wake-ups; the period's path between its bounds is not described and assumed";
    type Knobs = Knobs;
}

impl Design for SchednumaOctober {
    type State = Self;

    fn new(knobs: Knobs, machine: &Machine) -> Self {
        Self {
            knobs,
            nr_nodes: machine.nodes.len(),
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn one_task() -> (World, SchednumaOctober, TaskId) {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let task = world.add_task(mm, 0);
        let mut design = SchednumaOctober::new(Knobs::default(), &world.machine);
        design.task_start(&mut world.cx(), task, None);
        (world, design, task)
    }

    #[test]
    fn the_whole_space_is_marked_every_other_period() {
        let (mut world, mut design, task) = one_task();
        let mut scans = Vec::new();
        for second in 1..=20 {
            world.now = Nanos::from_secs(second);
            world.tasks[task].cpu_time = Nanos::from_secs(second);
            if let Some(plan) = design.scan(&mut world.cx(), task) {
                assert_eq!((plan.start, plan.max_updated), (0, Pages::MAX));
                scans.push(second);
            }
        }
        assert_eq!(scans, [5, 15]);
    }

    #[test]
    fn home_is_where_most_faults_are_and_settles() {
        let (mut world, mut design, task) = one_task();
        let on = |world: &World, node| world.fault(task, node, 0);
        let mut round = |node: u8, nr: usize| {
            for _ in 0..nr {
                let fault = on(&world, node);
                design.hint_fault(&mut world.cx(), &fault);
            }
            design.spaces[base::MmId(0)].scan_seq += 1;
            design.notice_scan(task, design.spaces[base::MmId(0)].scan_seq);
            design.tasks[task].home
        };
        assert_eq!(round(1, 5), Some(NodeId(1)));
        assert_eq!(round(0, 50), Some(NodeId(1)), "it settles for two scans");
        assert_eq!(round(0, 50), Some(NodeId(1)));
        assert_eq!(round(0, 50), Some(NodeId(0)));
    }

    #[test]
    fn pages_move_at_the_second_fault_from_a_node() {
        let (mut world, mut design, task) = one_task();
        let mut fault = world.fault(task, 1, 0);
        let first = design.hint_fault(&mut world.cx(), &fault);
        assert_eq!(first.migrate_to, None);
        fault.word = first.word;
        assert_eq!(design.hint_fault(&mut world.cx(), &fault).migrate_to, Some(NodeId(0)));
    }
}

#[cfg(test)]
mod twin;
