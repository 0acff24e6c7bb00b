//! The walk of a NUMA scanner over page tables: it makes entries inaccessible, so that the next
//! access is a hint fault. What to walk, how far and what to leave out is the design's plan; all
//! designs share this walk.

use base::{HUGE_PAGE_PAGES, MmId, NodeId, Pages};

use crate::{AddressSpace, Memory, Pte, Vma};

/// What a scanner leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanRules {
    /// Mappings smaller than this.
    pub min_vma: Pages,
    /// Mappings with a policy of their own that ties pages to nodes.
    pub skip_bound_vmas: bool,
    /// Base pages on this node (the kernel leaves out local pages of a single-threaded process).
    pub skip_base_pages_on: Option<NodeId>,
    /// Whether a huge page that is marked already counts as changed.
    pub recount_marked: bool,
}

/// What to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanPlan {
    /// Space.
    pub mm: MmId,
    /// Page to start from.
    pub start: u32,
    /// Stop when as many base pages were made inaccessible (rounded up to the 2 MiB step).
    pub max_updated: Pages,
    /// Stop when as many base pages were walked over.
    pub max_walked: Pages,
    /// What to leave out.
    pub rules: ScanRules,
}

/// What was walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanOutcome {
    /// Page to go on from; 0 after the end of the space.
    pub next: u32,
    /// Whether the end of the space was reached.
    pub wrapped: bool,
    /// Entries visited, a huge page as one.
    pub entries: u64,
    /// Base pages walked over.
    pub walked: Pages,
    /// Base entries made inaccessible.
    pub updated: u64,
    /// Huge entries made inaccessible.
    pub huge_updated: u64,
    /// Contiguous parts of mappings that changed; each costs a TLB flush.
    pub flushes: u64,
}

impl ScanOutcome {
    /// Base pages made inaccessible.
    pub fn updated_pages(&self) -> Pages {
        Pages(self.updated + self.huge_updated * HUGE_PAGE_PAGES)
    }
}

impl Memory {
    /// Walks once through the space from `plan.start`, at most to its end, and marks entries.
    pub fn scan(&mut self, plan: &ScanPlan) -> ScanOutcome {
        let mut out = ScanOutcome { next: plan.start, ..ScanOutcome::default() };
        let space = &mut self.spaces[plan.mm];
        let vmas: Vec<Vma> =
            space.vmas().iter().filter(|vma| vma.pages.end > plan.start).cloned().collect();
        for vma in vmas {
            if vma.len() < plan.rules.min_vma || plan.rules.skip_bound_vmas && is_bound(&vma) {
                continue;
            }
            let before = out.updated_pages();
            let stopped = scan_vma(space, &vma, plan, &mut out);
            out.flushes += u64::from(out.updated_pages() > before);
            if stopped {
                return out;
            }
        }
        ScanOutcome { next: 0, wrapped: true, ..out }
    }
}

fn is_bound(vma: &Vma) -> bool {
    vma.policy.as_ref().is_some_and(|policy| policy.static_nodes().is_some())
}

/// Walks one mapping in steps of 2 MiB; returns whether the budget is used up.
fn scan_vma(space: &mut AddressSpace, vma: &Vma, plan: &ScanPlan, out: &mut ScanOutcome) -> bool {
    let step = HUGE_PAGE_PAGES as u32;
    let mut page = vma.pages.start.max(plan.start);
    while page < vma.pages.end {
        let end = ((page | (step - 1)) + 1).min(vma.pages.end);
        scan_step(&mut space.ptes[page as usize..end as usize], plan, out);
        out.walked += Pages(u64::from(end - page));
        out.next = end;
        page = end;
        if out.updated_pages() >= plan.max_updated || out.walked >= plan.max_walked {
            return true;
        }
    }
    false
}

/// Marks the entries of one 2 MiB step (or the part of one that the mapping covers).
fn scan_step(ptes: &mut [Pte], plan: &ScanPlan, out: &mut ScanOutcome) {
    if ptes.first().is_some_and(|pte| pte.has(Pte::HUGE)) {
        out.entries += 1;
        if ptes[0].has(Pte::OPEN) {
            ptes.iter_mut().for_each(|pte| *pte = mark(*pte));
            out.huge_updated += 1;
        } else if plan.rules.recount_marked && ptes[0].has(Pte::PROTNONE) {
            out.huge_updated += 1;
        }
        return;
    }
    for pte in ptes {
        out.entries += 1;
        if pte.has(Pte::OPEN) && Some(pte.node()) != plan.rules.skip_base_pages_on {
            *pte = mark(*pte);
            out.updated += 1;
        }
    }
}

fn mark(pte: Pte) -> Pte {
    pte.without(Pte::OPEN).with(Pte::PROTNONE)
}
