//! balancenuma: migrate on reference, gently.
//!
//! Mel Gorman, November-December 2012, merged in 3.8, unchanged to 3.12. Described in
//! "Foundation for automatic NUMA balancing" (v1-v10) and in the kernel's `kernel/sched/fair.c`
//! and `mm/huge_memory.c` of those versions. Tasks go where the scheduler puts them; their memory
//! follows:
//!
//! - *delay start*: nothing is scanned until a thread of the process runs on another node than the
//!   first that tried to scan;
//! - a thread whose CPU time advanced by its period makes up to `scan_size` of PTEs inaccessible;
//!   one thread per process wins each period; a huge page that is marked already counts again (3.13
//!   changed that: "Only flush TLBs if a transhuge PMD is modified for NUMA pte scanning");
//! - *two-stage filter*: a page moves to the faulting CPU's node when the fault before it came from
//!   the same node; unset counts as different;
//! - *back-off*: a fault that moves nothing lengthens the thread's period;
//! - *batches*: where all base pages of 2 MiB are on one node, one fault is for all of them, until
//!   "mm: numa: Do not batch handle PMD pages" of October 2013. Those that are not to move are not
//!   accounted, and so lengthen no period ("mm, numa: Sanitize task_numa_fault() callsites", Peter
//!   Zijlstra, linux-mm 2013-07-22, which changed that in 3.12-rc);
//! - *rate limit*: once more than `ratelimit` went to a node within `migrate_interval`, nothing more
//!   does, and scans from that node are skipped.
//!
//! Left out: reference counting of pages shared between processes; splitting of huge pages that
//! cannot be moved whole; the V3 home-node step, which was dropped before the merge.

use base::{Bytes, MmVec, Nanos, NodeId, PAGE_BYTES, Pages, TaskId, TaskVec};
use config::Described;

use crate::ratelimit::{Cap, RateLimit};
use crate::{
    Cx, Design, HintFault, Migration, Placement, Regions, ScanOutcome, ScanPlan, ScanRules, Verdict,
};

config::config! {
    /// Constants of balancenuma, by their sysctl names where they had one.
    pub struct Knobs {
        /// Period of a new task, and delay of its first scan.
        pub numa_balancing_scan_delay: Nanos = Nanos::from_ms(1000),
        /// Shortest scan period, in a task's CPU time.
        pub numa_balancing_scan_period_min: Nanos = Nanos::from_ms(100),
        /// Longest scan period.
        pub numa_balancing_scan_period_max: Nanos = Nanos::from_ms(5000),
        /// Every so often the period of the thread that notices goes back to the shortest.
        pub numa_balancing_scan_period_reset: Nanos = Nanos::from_secs(60),
        /// Memory made inaccessible by one scan.
        pub numa_balancing_scan_size: Bytes = Bytes::from_mib(256),
        /// Jiffies a fault that moved nothing adds to the period; their length is the machine's HZ.
        pub backoff_jiffies: u32 = 10,
        /// Window of the rate limit.
        pub migrate_interval: Nanos = Nanos::from_ms(100),
        /// Memory moved to one node per window at most.
        pub ratelimit: Bytes = Bytes::from_mib(128),
        /// A throttled node is scanned again after its window closed and this long.
        pub pteupdate_interval: Nanos = Nanos::from_ms(1000),
        /// Mappings below this size are left out.
        pub min_vma: Bytes = Bytes::from_mib(2),
        /// Two-stage filter; off gives the "moron" of the first posting.
        pub two_stage: bool = true,
        /// Back-off of the scan period; off gives the state before "adaptscan".
        pub adapt_scan: bool = true,
        /// Start delay until the process uses two nodes; off gives the state before "delaystart".
        pub delay_start: bool = true,
        /// Whether a scan counts a huge page as one page of its size; on gives the base of October
        /// 2013 ("account": 3.12-rc3 with "Account for a THP NUMA hinting update as one PTE
        /// update", which its revert says made the scanner do more work than configured).
        pub charge_huge_as_one: bool = false,
        /// Whether one fault is for all base pages of 2 MiB that are on one node; off gives the
        /// "moron" of the first posting.
        pub batch_pmds: bool = true,
    }
}

/// State of balancenuma.
#[derive(Debug)]
pub struct BalanceNuma {
    knobs: Knobs,
    /// What a fault that moved nothing adds to the period.
    backoff: Nanos,
    tasks: TaskVec<TaskState>,
    spaces: MmVec<SpaceState>,
    limit: RateLimit,
}

#[derive(Clone, Copy, Debug, Default)]
struct TaskState {
    /// CPU time at the last expiry of the period (`node_stamp`).
    stamp: Nanos,
    period: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct SpaceState {
    started: bool,
    next_scan: Nanos,
    next_reset: Nanos,
    offset: u32,
    first_node: Option<NodeId>,
    two_nodes: bool,
}

/// The design's word of a folio: the node of the last fault, plus one (0 is unset).
fn word_of(node: NodeId) -> u32 {
    u32::from(node.0) + 1
}

impl BalanceNuma {
    fn grow(&mut self, cx: &Cx<'_>) {
        self.tasks.0.resize(cx.tasks.len(), TaskState::default());
        self.spaces.0.resize(cx.spaces.len(), SpaceState::default());
    }

    fn back_off(&mut self, task: TaskId) {
        if self.knobs.adapt_scan {
            let state = &mut self.tasks[task];
            state.period =
                (state.period + self.backoff).min(self.knobs.numa_balancing_scan_period_max);
        }
    }

    /// Whether the process has been seen on two nodes, so that scanning is worth while.
    fn uses_two_nodes(&mut self, cx: &Cx<'_>, task: TaskId, mm: base::MmId) -> bool {
        let node = cx.node_of_task(task);
        let space = &mut self.spaces[mm];
        match space.first_node {
            None => space.first_node = Some(node),
            Some(first) => space.two_nodes |= first != node,
        }
        space.two_nodes || !self.knobs.delay_start
    }
}

impl Placement for BalanceNuma {
    fn task_start(&mut self, cx: &mut Cx<'_>, task: TaskId, _parent: Option<TaskId>) {
        self.grow(cx);
        let delay = self.knobs.numa_balancing_scan_delay;
        self.tasks[task] = TaskState { stamp: Nanos::ZERO, period: delay };
        if let Some(mm) = cx.tasks[task].mm {
            let space = &mut self.spaces[mm];
            if !space.started {
                space.started = true;
                space.next_scan = cx.now + delay;
                space.next_reset = cx.now + self.knobs.numa_balancing_scan_period_reset;
            }
        }
    }

    fn scan(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<ScanPlan> {
        let info = &cx.tasks[task];
        let mm = info.mm?;
        let state = &mut self.tasks[task];
        if info.cpu_time < state.stamp + state.period {
            return None;
        }
        if state.stamp == Nanos::ZERO {
            state.period = self.knobs.numa_balancing_scan_period_min;
        }
        state.stamp = info.cpu_time;
        if !self.uses_two_nodes(cx, task, mm) {
            return None;
        }
        let space = &mut self.spaces[mm];
        if cx.now >= space.next_reset {
            space.next_reset = cx.now + self.knobs.numa_balancing_scan_period_reset;
            self.tasks[task].period = self.knobs.numa_balancing_scan_period_min;
        }
        if cx.now < space.next_scan {
            return None;
        }
        space.next_scan = cx.now + self.tasks[task].period;
        let after = self.knobs.pteupdate_interval;
        if self.limit.is_exceeded(cx.node_of_task(task), cx.now, after) {
            return None;
        }
        Some(ScanPlan {
            mm,
            start: space.offset,
            end: u32::MAX,
            max_updated: Pages(self.knobs.numa_balancing_scan_size.0 / PAGE_BYTES),
            max_walked: Pages::MAX,
            rules: ScanRules {
                min_vma: self.knobs.min_vma.pages_ceil(),
                skip_bound_vmas: true,
                recount_marked: true,
                charge_huge_as_one: self.knobs.charge_huge_as_one,
                regions: if self.knobs.batch_pmds { Regions::OneNode } else { Regions::Never },
                ..ScanRules::default()
            },
        })
    }

    fn scan_done(
        &mut self,
        cx: &mut Cx<'_>,
        task: TaskId,
        outcome: &ScanOutcome,
        _took: Nanos,
    ) -> Option<ScanPlan> {
        if let Some(mm) = cx.tasks[task].mm {
            self.spaces[mm].offset = outcome.next;
        }
        None
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let word = word_of(fault.node);
        let confirmed = fault.word == word || !self.knobs.two_stage;
        let wanted = fault.page_node != fault.node && !fault.waited && confirmed;
        let migrate = wanted
            && cx.can_take(fault.node, fault.pages)
            && self.limit.admits(fault.node, fault.pages, cx.now);
        let accounted = wanted || !fault.batch;
        if !migrate && accounted {
            self.back_off(fault.task);
        }
        Verdict::new(word, migrate.then_some(fault.node))
    }

    fn migration_done(&mut self, _cx: &mut Cx<'_>, migration: &Migration) {
        if !migration.moved {
            self.back_off(migration.task);
        }
    }
}

impl Described for BalanceNuma {
    const NAME: &'static str = "balancenuma";
    const LINEAGE: &'static str =
        "Mel Gorman, Nov-Dec 2012, merged in Linux 3.8: migrate on reference, tasks stay";
    const SOURCE: &'static str = "\"Foundation for automatic NUMA balancing\" v10, linux-mm 2012-12-07, <1354875832-9700-1-git-send-email-mgorman@suse.de>";
    const LEFT_OUT: &'static str =
        "pages shared between processes; splitting huge pages that cannot move whole";
    type Knobs = Knobs;
}

impl Design for BalanceNuma {
    type State = Self;

    fn new(knobs: Knobs, machine: &topology::Machine) -> Self {
        let jiffy = Nanos(1_000_000_000 / u64::from(machine.kernel.hz));
        let nr_nodes = machine.nodes.len();
        let limit =
            RateLimit::new(knobs.migrate_interval, knobs.ratelimit, Cap::Exceeded, nr_nodes);
        Self {
            backoff: jiffy * u64::from(knobs.backoff_jiffies),
            knobs,
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
            limit,
        }
    }
}

#[cfg(test)]
mod twin;
