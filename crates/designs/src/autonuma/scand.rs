//! knuma_scand: one kernel thread that makes the memory of all processes inaccessible in turn.

use base::{MmId, Nanos, Pages};
use mm::{Regions, ScanOutcome, ScanPlan, ScanRules};

use crate::{Cx, KthreadWork};

/// Constants of the scanner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScandKnobs {
    pub(crate) scan_sleep: Nanos,
    pub(crate) scan_sleep_pass: Nanos,
    pub(crate) pages_to_scan: Pages,
    pub(crate) scan_pmd: bool,
}

/// What the scanner tells the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// A pass over a process begins.
    Enter(MmId),
    /// A pass over a process has ended.
    Leave(MmId),
}

/// State of the scanner.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scand {
    /// Whether it has slept for its random phase.
    begun: bool,
    /// Next process in the list.
    mm: usize,
    /// Whether a process is under way; else the next one is to be entered.
    inside: bool,
    offset: u32,
    /// Work since the last sleep.
    progress: Pages,
    /// Passes over all processes.
    pub(crate) full_scans: u64,
}

impl Scand {
    /// What the thread does next, and which pass over a process begins with it.
    ///
    /// When the workload starts, the thread is anywhere in the sleep between two of its passes.
    pub(crate) fn next(
        &mut self,
        cx: &mut Cx<'_>,
        knobs: &ScandKnobs,
    ) -> (KthreadWork, Option<Passed>) {
        if !self.begun {
            self.begun = true;
            let phase = cx.rng.below(knobs.scan_sleep_pass.0.max(1));
            return (KthreadWork::Sleep(Nanos(phase)), None);
        }
        if self.progress >= knobs.pages_to_scan {
            self.progress = Pages::ZERO;
            return (KthreadWork::Sleep(knobs.scan_sleep), None);
        }
        while self.mm < cx.spaces.len() && cx.spaces[MmId::from_idx(self.mm)].nr_tasks == 0 {
            (self.mm, self.inside, self.offset) = (self.mm + 1, false, 0);
        }
        if self.mm >= cx.spaces.len() {
            *self = Self { begun: true, full_scans: self.full_scans + 1, ..Self::default() };
            return (KthreadWork::Sleep(knobs.scan_sleep_pass), None);
        }
        let mm = MmId::from_idx(self.mm);
        let entered = (!self.inside).then_some(Passed::Enter(mm));
        self.inside = true;
        let plan = ScanPlan {
            mm,
            start: self.offset,
            end: u32::MAX,
            max_updated: knobs.pages_to_scan - self.progress,
            max_walked: Pages::MAX,
            rules: ScanRules {
                skip_bound_vmas: true,
                charge_idle: true,
                regions: if knobs.scan_pmd { Regions::Always } else { Regions::Never },
                ..ScanRules::default()
            },
        };
        (KthreadWork::Scan(plan), entered)
    }

    /// Takes in a walk; returns the process whose pass has ended with it.
    pub(crate) fn walked(&mut self, outcome: &ScanOutcome) -> Option<Passed> {
        self.progress += outcome.charged;
        self.offset = outcome.next;
        if !outcome.wrapped {
            return None;
        }
        let mm = MmId::from_idx(self.mm);
        (self.mm, self.inside) = (self.mm + 1, false);
        Some(Passed::Leave(mm))
    }
}
