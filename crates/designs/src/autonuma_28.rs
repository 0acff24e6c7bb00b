//! AutoNUMA, late form: one scanner for the machine, migration in the fault, tasks to memory.
//!
//! Andrea Arcangeli, versions 27 and 28, October-November 2012; never merged. Described in the
//! postings "AutoNUMA24" to "autonuma28" and in the branch's `mm/autonuma.c` and
//! `kernel/sched/numa.c`.
//!
//! Modelled: knuma_scand at a random phase, which marks base pages by 2 MiB; the filter of two
//! faults from a node, the very first fault being enough; the flag of false sharing that stops a
//! task's migrations for a pass; statistics of tasks and processes; the balance step of busy CPUs;
//! the limit per node.
//!
//! Left out: splitting of huge pages before they move (they move whole, as in the published
//! comparisons); the wake-up search's preference for a task's node.

use base::{Bytes, CpuId, Nanos, NodeId, Pages, TaskId};
use config::Described;
use mm::{ScanOutcome, ScanPlan};
use sched::Permit;
use topology::Machine;

use crate::autonuma::{LastNode, PLACE_REASON, Scand, ScandKnobs, State, confirm};
use crate::ratelimit::{Cap, RateLimit};
use crate::{
    Cx, Design, HintFault, Kthread, KthreadWork, Migration, Move, Placement, Placing, Verdict,
};

config::config! {
    /// Constants of AutoNUMA, by the names of its sysfs files.
    pub struct Knobs {
        /// Sleep of the scanner after `pages_to_scan`.
        pub scan_sleep_millisecs: Nanos = Nanos::from_ms(100),
        /// Sleep of the scanner between two passes over all processes.
        pub scan_sleep_pass_millisecs: Nanos = Nanos::from_ms(10_000),
        /// Pages scanned between two sleeps.
        #[check(config::positive)]
        pub pages_to_scan: Pages = Pages(32_768),
        /// Whether the base pages of 2 MiB are marked at once, and one fault is for all of them.
        pub scan_pmd: bool = true,
        /// Window of the limit on migration.
        pub migrate_interval_millisecs: Nanos = Nanos::from_ms(100),
        /// Memory moved to one node per window at most.
        pub pages_to_migrate: Bytes = Bytes::from_mib(128),
        /// Time between two balance steps of a CPU.
        pub sched_autonuma_balance_interval_millisecs: Nanos = Nanos::from_ms(100),
        /// Whether the very first fault on a page may move it.
        pub migrate_allow_first_fault: bool = true,
        /// Whether the load balancer moves a task off its node to idle CPUs only.
        pub load_balance_strict: bool = false,
        /// Whether a thread starts with its parent's statistics.
        pub child_inheritance: bool = false,
    }
}

/// State of AutoNUMA.
#[derive(Debug)]
pub struct Autonuma28 {
    knobs: Knobs,
    scand: Scand,
    state: State,
    limit: RateLimit,
    /// Faults whose migration is under way, by task.
    pending: base::TaskVec<Option<HintFault>>,
}

impl Autonuma28 {
    fn account(&mut self, fault: &HintFault, access: base::NodeId) {
        self.state.notice_pass(fault.task, fault.mm, true);
        self.state.tasks[fault.task].counts.add(access, fault.pages.0);
        self.state.spaces[fault.mm].counts.add(access, fault.pages.0);
    }
}

impl Placement for Autonuma28 {
    fn task_start(&mut self, cx: &mut Cx<'_>, task: TaskId, parent: Option<TaskId>) {
        self.state.task_start(cx, task, parent, self.knobs.child_inheritance);
        self.pending.0.resize(cx.tasks.len(), None);
    }

    fn kthreads(&self) -> Vec<Kthread> {
        vec![Scand::kthread()]
    }

    fn kthread(&mut self, cx: &mut Cx<'_>, _idx: usize) -> KthreadWork {
        self.scand.next(cx, &mut self.state)
    }

    fn scan_done(
        &mut self,
        _cx: &mut Cx<'_>,
        _task: TaskId,
        outcome: &ScanOutcome,
        _took: Nanos,
    ) -> Option<ScanPlan> {
        self.scand.walked(outcome);
        None
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let word = LastNode::word(fault.node);
        if !self.state.counts(cx, fault.task) {
            return Verdict::new(fault.word, None);
        }
        let first = self.knobs.migrate_allow_first_fault;
        let task = &mut self.state.tasks[fault.task];
        let confirmed =
            confirm(LastNode::of(fault.word), fault.node, first, &mut task.false_sharing);
        let wanted = confirmed
            && !task.false_sharing
            && fault.node != fault.page_node
            && !fault.waited
            && cx.can_take(fault.node, fault.pages)
            && self.limit.admits(fault.node, fault.pages, cx.now);
        if wanted {
            self.pending[fault.task] = Some(*fault);
        } else {
            self.account(fault, fault.page_node);
        }
        Verdict::new(word, wanted.then_some(fault.node))
    }

    fn migration_done(&mut self, _cx: &mut Cx<'_>, migration: &Migration) {
        let pending = self.pending.0.get_mut(migration.task.idx()).and_then(Option::take);
        if let Some(fault) = pending {
            self.account(&fault, if migration.moved { migration.to } else { migration.from });
        }
    }

    fn place_task(&mut self, cx: &mut Cx<'_>, task: TaskId, why: Placing) -> Option<Move> {
        self.state.place(cx, task, why)
    }

    fn place_reason(&self, _task: TaskId, _to: NodeId) -> &'static str {
        PLACE_REASON
    }

    fn can_migrate_task(&mut self, cx: &mut Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        self.state.permit(cx, task, to)
    }
}

impl Described for Autonuma28 {
    const NAME: &'static str = "autonuma-28";
    const LINEAGE: &'static str = "Andrea Arcangeli, Oct-Nov 2012, not merged: a scanner thread, migration in the fault, tasks balanced by fault weights";
    const SOURCE: &'static str =
        "autonuma28, linux-mm 2012; mm/autonuma.c and kernel/sched/numa.c of the branch";
    const LEFT_OUT: &'static str = "splitting of huge pages; wake-up preference";
    type Knobs = Knobs;
}

impl Design for Autonuma28 {
    type State = Self;

    fn new(knobs: Knobs, machine: &Machine) -> Self {
        let interval = knobs.sched_autonuma_balance_interval_millisecs;
        Self {
            scand: Scand::new(ScandKnobs {
                scan_sleep: knobs.scan_sleep_millisecs,
                scan_sleep_pass: knobs.scan_sleep_pass_millisecs,
                pages_to_scan: knobs.pages_to_scan,
                scan_pmd: knobs.scan_pmd,
            }),
            state: State::new(machine, interval, knobs.load_balance_strict),
            limit: RateLimit::new(
                knobs.migrate_interval_millisecs,
                knobs.pages_to_migrate,
                Cap::Hard,
                machine.nodes.len(),
            ),
            pending: base::TaskVec::default(),
            knobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use base::NodeId;

    use super::*;
    use crate::testing::World;

    #[test]
    fn false_sharing_stops_a_task_until_the_next_pass() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let task = world.add_task(mm, 2);
        let mut design = Autonuma28::new(Knobs::default(), &world.machine);
        design.task_start(&mut world.cx(), task, None);
        let fresh = world.fault(task, 0, 0);
        let first = design.hint_fault(&mut world.cx(), &fresh);
        assert_eq!(first.migrate_to, Some(NodeId(1)), "the first fault is enough");
        let foreign = world.fault(task, 0, LastNode::word(NodeId(0)));
        assert_eq!(design.hint_fault(&mut world.cx(), &foreign).migrate_to, None);
        let fresh = world.fault(task, 0, 0);
        assert_eq!(design.hint_fault(&mut world.cx(), &fresh).migrate_to, None, "flagged");
        design.state.enter(mm);
        let local = world.fault(task, 1, LastNode::word(NodeId(1)));
        design.hint_fault(&mut world.cx(), &local);
        assert_eq!(design.hint_fault(&mut world.cx(), &fresh).migrate_to, Some(NodeId(1)));
    }

    #[test]
    fn the_scanner_starts_within_a_pass_sleep_and_rests_after_its_pages() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        world.add_task(mm, 0);
        let knobs = Knobs { pages_to_scan: Pages(100), ..Knobs::default() };
        let mut design = Autonuma28::new(knobs, &world.machine);
        let KthreadWork::Sleep(phase) = design.kthread(&mut world.cx(), 0) else {
            panic!("it sleeps first");
        };
        assert!(phase < Nanos::from_ms(10_000));
        let KthreadWork::Scan(plan) = design.kthread(&mut world.cx(), 0) else {
            panic!("then it scans");
        };
        assert_eq!((plan.mm, plan.start, plan.max_updated), (mm, 0, Pages(100)));
        let outcome = ScanOutcome {
            next: 512,
            charged: Pages(100),
            exhausted: true,
            ..ScanOutcome::default()
        };
        design.scan_done(&mut world.cx(), TaskId::from_idx(0), &outcome, Nanos::ZERO);
        assert_eq!(design.kthread(&mut world.cx(), 0), KthreadWork::Sleep(Nanos::from_ms(100)));
        let KthreadWork::Scan(plan) = design.kthread(&mut world.cx(), 0) else {
            panic!("it goes on");
        };
        assert_eq!(plan.start, 512);
        let end = ScanOutcome { wrapped: true, ..ScanOutcome::default() };
        design.scan_done(&mut world.cx(), TaskId::from_idx(0), &end, Nanos::ZERO);
        assert_eq!(design.kthread(&mut world.cx(), 0), KthreadWork::Sleep(Nanos::from_ms(10_000)));
    }
}

#[cfg(test)]
mod twin;
