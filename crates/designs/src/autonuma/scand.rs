//! knuma_scand: one kernel thread that makes the memory of all processes inaccessible in turn.

use base::{MmId, Nanos, Pages};
use mm::{Regions, ScanOutcome, ScanPlan, ScanRules};

use super::State;
use crate::{Cx, Kthread, KthreadWork};

/// Constants of the scanner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScandKnobs {
    pub(crate) scan_sleep: Nanos,
    pub(crate) scan_sleep_pass: Nanos,
    pub(crate) pages_to_scan: Pages,
    pub(crate) scan_pmd: bool,
}

/// The scanner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scand {
    knobs: ScandKnobs,
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
    pub(crate) fn new(knobs: ScandKnobs) -> Self {
        Self {
            knobs,
            begun: false,
            mm: 0,
            inside: false,
            offset: 0,
            progress: Pages::ZERO,
            full_scans: 0,
        }
    }

    /// The kernel thread.
    pub(crate) fn kthread() -> Kthread {
        Kthread { name: "knuma_scand".to_owned(), node: None }
    }

    /// What the thread does next. `state` is told of the pass over a process that begins with it.
    ///
    /// When the workload starts, the thread is anywhere in the sleep between two of its passes.
    pub(crate) fn next(&mut self, cx: &mut Cx<'_>, state: &mut State) -> KthreadWork {
        let knobs = self.knobs;
        if !self.begun {
            self.begun = true;
            let phase = cx.rng.below(knobs.scan_sleep_pass.0.max(1));
            return KthreadWork::Sleep(Nanos(phase));
        }
        if self.progress >= knobs.pages_to_scan {
            self.progress = Pages::ZERO;
            return KthreadWork::Sleep(knobs.scan_sleep);
        }
        while self.mm < cx.spaces.len() && cx.spaces[MmId::from_idx(self.mm)].nr_tasks == 0 {
            (self.mm, self.inside, self.offset) = (self.mm + 1, false, 0);
        }
        if self.mm >= cx.spaces.len() {
            *self = Self { begun: true, full_scans: self.full_scans + 1, ..Self::new(knobs) };
            return KthreadWork::Sleep(knobs.scan_sleep_pass);
        }
        let mm = MmId::from_idx(self.mm);
        if !std::mem::replace(&mut self.inside, true) {
            state.enter(mm);
        }
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
        KthreadWork::Scan(plan)
    }

    /// Takes in a walk; returns the process whose pass has ended with it.
    pub(crate) fn walked(&mut self, outcome: &ScanOutcome) -> Option<MmId> {
        self.progress += outcome.charged;
        self.offset = outcome.next;
        if !outcome.wrapped {
            return None;
        }
        let mm = MmId::from_idx(self.mm);
        (self.mm, self.inside) = (self.mm + 1, false);
        Some(mm)
    }
}
