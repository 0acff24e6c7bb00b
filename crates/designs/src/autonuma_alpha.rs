//! AutoNUMA, early form: confirmed faults queue pages, kernel threads move them.
//!
//! Andrea Arcangeli, "AutoNUMA alpha" 10 to 14, January-June 2012; never merged. Described in the
//! postings of that time and in the branch's `mm/autonuma.c`.
//!
//! Modelled: knuma_scand with two sleeps per pass, which marks base pages by 2 MiB; queues by
//! destination and source node; a knuma_migrated for each node that takes one page of each source
//! in turn, up to a batch; a fault from another node, or a local one, cancels a request;
//! statistics by queued destination; the process's statistics as the scanner finds its pages placed
//! in each pass; strict balancing.
//!
//! Left out: the wake-up of knuma_migrated as soon as a queue has a batch (it looks every
//! interval).

use base::{Bytes, CpuId, MmId, Nanos, NodeId, NodeVec, Pages, TaskId};
use config::Described;
use mm::{ScanOutcome, ScanPlan};
use sched::Permit;
use topology::Machine;

use crate::autonuma::{LastNode, PLACE_REASON, Queues, Scand, ScandKnobs, State, confirm};
use crate::{
    Cx, Design, HintFault, Kthread, KthreadWork, Move, PageMove, Placement, Placing, Verdict,
};

config::config! {
    /// Constants of early AutoNUMA, by the names of its sysfs files.
    pub struct Knobs {
        /// Sleep of the scanner after `pages_to_scan`.
        pub scan_sleep_millisecs: Nanos = Nanos::from_ms(100),
        /// Sleep of the scanner after a pass, taken twice.
        pub scan_sleep_pass_millisecs: Nanos = Nanos::from_ms(5000),
        /// Pages scanned between two sleeps.
        #[check(config::positive)]
        pub pages_to_scan: Pages = Pages(32_768),
        /// Whether the base pages of 2 MiB are marked at once, and one fault is for all of them.
        pub scan_pmd: bool = true,
        /// Sleep of knuma_migrated between two batches.
        pub migrate_sleep_millisecs: Nanos = Nanos::from_ms(100),
        /// A batch of knuma_migrated.
        #[check(config::positive)]
        pub pages_to_migrate: Bytes = Bytes::from_mib(128),
        /// Time between two balance steps of a CPU: the load balancer's own.
        pub sched_balance_interval: Nanos = Nanos::from_ms(100),
        /// Whether the load balancer moves a task off its node to idle CPUs only.
        pub load_balance_strict: bool = true,
    }
}

/// State of early AutoNUMA.
#[derive(Debug)]
pub struct AutonumaAlpha {
    knobs: Knobs,
    scand: Scand,
    state: State,
    queues: Queues,
    /// Pages left in the batch of each node's knuma_migrated.
    batch: NodeVec<Pages>,
}

impl AutonumaAlpha {
    fn batch_size(&self) -> Pages {
        self.knobs.pages_to_migrate.pages_ceil()
    }

    /// The process's counts are where its pages are, or wait to go, at the end of a pass.
    fn recount(&mut self, cx: &Cx<'_>, mm: MmId) {
        let resident = cx.memory.resident_by_node(mm);
        let counts = &mut self.state.spaces[mm].counts;
        for (node, count) in counts.nodes.iter_mut().enumerate() {
            *count = resident[NodeId::from_idx(node)];
        }
        counts.total = counts.nodes.iter().sum();
    }

    /// The next page of knuma_migrated on `node`.
    fn migrated(&mut self, cx: &Cx<'_>, node: NodeId) -> KthreadWork {
        let room = self.batch[node] > Pages::ZERO && cx.can_take(node, Pages(512));
        let Some((mm, page)) = room.then(|| self.queues.take(node)).flatten() else {
            self.batch[node] = self.batch_size();
            return KthreadWork::Sleep(self.knobs.migrate_sleep_millisecs);
        };
        let pte = cx.memory.pte(mm, page);
        let pages = if pte.has(mm::Pte::PRESENT) {
            cx.memory.folios.order(pte.folio()).pages()
        } else {
            Pages(1)
        };
        self.batch[node] = self.batch[node].saturating_sub(pages);
        KthreadWork::Migrate(PageMove { mm, page, to: node })
    }
}

impl Placement for AutonumaAlpha {
    fn task_start(&mut self, cx: &mut Cx<'_>, task: TaskId, parent: Option<TaskId>) {
        self.state.task_start(cx, task, parent, false);
    }

    fn kthreads(&self) -> Vec<Kthread> {
        let migrated =
            |node: NodeId| Kthread { name: format!("knuma_migrated{node}"), node: Some(node) };
        std::iter::once(Scand::kthread()).chain(self.batch.ids().map(migrated)).collect()
    }

    fn kthread(&mut self, cx: &mut Cx<'_>, idx: usize) -> KthreadWork {
        if let Some(node) = idx.checked_sub(1) {
            return self.migrated(cx, NodeId::from_idx(node));
        }
        self.scand.next(cx, &mut self.state)
    }

    fn scan_done(
        &mut self,
        cx: &mut Cx<'_>,
        _task: TaskId,
        outcome: &ScanOutcome,
        _took: Nanos,
    ) -> Option<ScanPlan> {
        if let Some(mm) = self.scand.walked(outcome) {
            self.recount(cx, mm);
        }
        None
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let word = LastNode::word(fault.node);
        if !self.state.counts(cx, fault.task) {
            return Verdict::new(fault.word, None);
        }
        let page = (fault.mm, fault.page - fault.page % fault.pages.0 as u32);
        let mut shared = false;
        let confirmed = confirm(LastNode::of(fault.word), fault.node, false, &mut shared);
        if !confirmed || fault.node == fault.page_node {
            self.queues.cancel(page);
        } else {
            self.queues.request(page, fault.page_node, fault.node);
        }
        self.state.notice_pass(fault.task, fault.mm, false);
        let access = self.queues.destination(page).unwrap_or(fault.page_node);
        self.state.tasks[fault.task].counts.add(access, fault.pages.0);
        Verdict::new(word, None)
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

impl Described for AutonumaAlpha {
    const NAME: &'static str = "autonuma-alpha";
    const LINEAGE: &'static str = "Andrea Arcangeli, Jan-Jun 2012, not merged: queues of pages and a migrating thread for each node";
    const SOURCE: &'static str =
        "\"AutoNUMA alpha\" 10-14, linux-mm 2012; mm/autonuma.c of the branch";
    const LEFT_OUT: &'static str = "waking the migrating threads early";
    type Knobs = Knobs;
}

impl Design for AutonumaAlpha {
    type State = Self;

    fn new(knobs: Knobs, machine: &Machine) -> Self {
        let batch = knobs.pages_to_migrate.pages_ceil();
        Self {
            scand: Scand::new(ScandKnobs {
                scan_sleep: knobs.scan_sleep_millisecs,
                scan_sleep_pass: knobs.scan_sleep_pass_millisecs * 2,
                pages_to_scan: knobs.pages_to_scan,
                scan_pmd: knobs.scan_pmd,
            }),
            state: State::new(machine, knobs.sched_balance_interval, knobs.load_balance_strict),
            queues: Queues::new(machine.nodes.len()),
            batch: NodeVec::filled(batch, machine.nodes.len()),
            knobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn a_confirmed_page_waits_for_the_thread_and_another_node_cancels_it() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let (near, far) = (world.add_task(mm, 0), world.add_task(mm, 2));
        let mut design = AutonumaAlpha::new(Knobs::default(), &world.machine);
        design.task_start(&mut world.cx(), far, None);
        let mut fault = world.fault(far, 0, 0);
        fault.word = design.hint_fault(&mut world.cx(), &fault).word;
        assert_eq!(design.queues.destination((mm, 0)), None, "one fault is not enough");
        design.hint_fault(&mut world.cx(), &fault);
        assert_eq!(design.queues.destination((mm, 0)), Some(NodeId(1)));
        let counts = &design.state.tasks[far].counts;
        assert_eq!(counts.nodes, [1, 1], "the queued page counts for its destination");
        let local = world.fault(near, 0, LastNode::word(NodeId(1)));
        design.hint_fault(&mut world.cx(), &local);
        assert_eq!(design.queues.destination((mm, 0)), None);
    }

    #[test]
    fn the_threads_sleep_between_batches() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let knobs = Knobs { pages_to_migrate: Bytes(8192), ..Knobs::default() };
        let sleep = KthreadWork::Sleep(knobs.migrate_sleep_millisecs);
        let mut design = AutonumaAlpha::new(knobs, &world.machine);
        for page in 0..3 {
            design.queues.request((mm, page), NodeId(0), NodeId(1));
        }
        let to = |page| KthreadWork::Migrate(PageMove { mm, page, to: NodeId(1) });
        // Thread 0 scans, thread 1 works for node 0.
        let work: Vec<KthreadWork> = (0..5).map(|_| design.kthread(&mut world.cx(), 2)).collect();
        assert_eq!(work, [to(0), to(1), sleep.clone(), to(2), sleep.clone()]);
        assert_eq!(design.kthread(&mut world.cx(), 1), sleep);
    }
}

#[cfg(test)]
mod twin;
