//! A scan as a series of walks, mapping by mapping.
//!
//! `task_numa_work` of `kernel/sched/fair.c`. Left out: the scan that is given up because the
//! address space is locked, and mappings that the simulated programs do not have (huge-page file
//! systems, shared libraries, no access rights).

use base::{MmId, Nanos, NodeMask, Pages, TaskId};
use mm::{Mempolicy, Regions, ScanOutcome, ScanPlan, ScanRules, Stamp, Vma};

use super::promote::time_word;
use super::vma::{Answer, Look, VmaFilter, Vmas};
use crate::Cx;

/// Constants of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalkKnobs {
    pub(crate) filter: VmaFilter,
    pub(crate) scan_delay: Nanos,
    /// Range in which something changed, at most.
    pub(crate) scan_size: Pages,
    /// Range walked over, at most.
    pub(crate) virt_size: Pages,
    /// A process with one thread leaves out local base pages.
    pub(crate) skip_local_if_single: bool,
    /// Nodes whose pages are left out: the fast tier, unless its placement is balanced too.
    pub(crate) skip_nodes: NodeMask,
    /// Which base pages are marked 2 MiB at a time.
    pub(crate) regions: Regions,
    /// Nodes whose pages keep the time of the scan: the slow tiers.
    pub(crate) stamp_nodes: NodeMask,
}

/// Where the scans of a process have come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) scan_seq: u64,
    pub(crate) offset: u32,
    pub(crate) vmas: Vmas,
}

/// A scan under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    task: TaskId,
    pub(crate) mm: MmId,
    /// Next page to scan.
    start: u32,
    /// Mappings that end at or before this are behind.
    cursor: u32,
    /// First page of the mapping that is being walked.
    vma: u32,
    left: Pages,
    virt_left: Pages,
    forced: bool,
    skipped: bool,
    /// Whether the pass was closed when the scan began.
    reset: bool,
}

impl Walk {
    pub(crate) fn begin(task: TaskId, mm: MmId, progress: &Progress, knobs: &WalkKnobs) -> Self {
        Self {
            task,
            mm,
            start: progress.offset,
            cursor: progress.offset,
            vma: 0,
            left: knobs.scan_size,
            virt_left: knobs.virt_size,
            forced: false,
            skipped: false,
            reset: false,
        }
    }

    /// The next walk; `None` when the scan is over, and then `progress` is up to date.
    pub(crate) fn next_plan(
        &mut self,
        cx: &Cx<'_>,
        progress: &mut Progress,
        knobs: &WalkKnobs,
    ) -> Option<ScanPlan> {
        self.close_pass_at_the_end(cx, progress);
        while let Some(vma) = self.next_vma(cx) {
            self.cursor = vma.pages.end;
            if is_tied(&vma) {
                continue;
            }
            let look = Look {
                task: self.task,
                now: cx.now,
                scan_seq: progress.scan_seq,
                offset: progress.offset,
                nr_tasks: u64::from(cx.spaces[self.mm].nr_tasks),
                forced: self.forced,
            };
            match progress.vmas.look(vma.pages.start, &look, knobs.filter, knobs.scan_delay) {
                Answer::Scan => return Some(self.plan(cx, &vma, knobs)),
                Answer::Later => {}
                Answer::Done => progress.offset = vma.pages.end,
                Answer::Unused => self.skipped = true,
            }
        }
        if self.skipped && !self.forced && knobs.filter == VmaFilter::V6_12 {
            // Nobody's mapping is due: one is scanned all the same.
            self.forced = true;
            self.reset = false;
            self.start = progress.offset;
            self.cursor = progress.offset;
            return self.next_plan(cx, progress, knobs);
        }
        progress.scan_seq += 1;
        progress.offset = 0;
        None
    }

    /// Takes in a walk's result; `true` when the scan goes on.
    pub(crate) fn walked(&mut self, outcome: &ScanOutcome, progress: &mut Progress) -> bool {
        self.left = self.left.saturating_sub(outcome.charged);
        self.virt_left = self.virt_left.saturating_sub(outcome.walked);
        self.start = outcome.next;
        if outcome.exhausted {
            progress.offset = outcome.next;
            return false;
        }
        progress.vmas.scanned(self.vma, progress.scan_seq);
        if self.forced {
            progress.offset = outcome.next;
        }
        !self.forced
    }

    /// An offset behind the last mapping ends the pass; the scan goes on from the first mapping.
    fn close_pass_at_the_end(&mut self, cx: &Cx<'_>, progress: &mut Progress) {
        let at_begin = self.cursor == progress.offset && self.cursor > 0;
        if at_begin && !self.reset && self.next_vma(cx).is_none() {
            progress.scan_seq += 1;
            progress.offset = 0;
            (self.start, self.cursor, self.reset) = (0, 0, true);
        }
    }

    fn next_vma(&self, cx: &Cx<'_>) -> Option<Vma> {
        let vmas = cx.memory.spaces[self.mm].vmas();
        let idx = vmas.partition_point(|vma| vma.pages.end <= self.cursor);
        vmas.get(idx).cloned()
    }

    fn plan(&mut self, cx: &Cx<'_>, vma: &Vma, knobs: &WalkKnobs) -> ScanPlan {
        self.vma = vma.pages.start;
        self.start = self.start.max(vma.pages.start);
        let single = cx.spaces[self.mm].nr_tasks == 1 && !cx.memory.spaces[self.mm].file;
        let skips_local = knobs.skip_local_if_single && single;
        ScanPlan {
            mm: self.mm,
            start: self.start,
            end: vma.pages.end,
            max_updated: self.left,
            max_walked: self.virt_left,
            rules: ScanRules {
                charge_steps: true,
                skip_base_pages_on: skips_local.then(|| cx.node_of_task(self.task)),
                skip_nodes: knobs.skip_nodes,
                regions: knobs.regions,
                stamp: (!knobs.stamp_nodes.is_empty())
                    .then(|| Stamp { nodes: knobs.stamp_nodes, word: time_word(cx.now) }),
                ..ScanRules::default()
            },
        }
    }
}

/// Whether a policy set for the mapping keeps faults from moving its pages.
fn is_tied(vma: &Vma) -> bool {
    vma.policy.as_ref().is_some_and(|policy| *policy != Mempolicy::Local)
}
