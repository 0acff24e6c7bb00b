//! The walk of a NUMA scanner over page tables: it makes entries inaccessible, so that the next
//! access is a hint fault. What to walk, how far and what to leave out is the design's plan; all
//! designs share this walk.

use base::{HUGE_PAGE_PAGES, MmId, NodeId, NodeMask, Pages};

use crate::{AddressSpace, Folios, Memory, Pte, Vma};

/// What a scanner leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanRules {
    /// Mappings smaller than this.
    pub min_vma: Pages,
    /// Mappings with a policy of their own that ties pages to nodes.
    pub skip_bound_vmas: bool,
    /// Base pages on this node (the kernel leaves out local pages of a single-threaded process).
    pub skip_base_pages_on: Option<NodeId>,
    /// Pages of any size on these nodes (memory tiering leaves out the fast tier).
    pub skip_nodes: NodeMask,
    /// What to keep with the pages that are marked on some nodes, in place of the design's word.
    pub stamp: Option<Stamp>,
    /// Whether a huge page that is marked already counts as changed.
    pub recount_marked: bool,
    /// Charge one page for each step of 2 MiB, and each mapping that is left out, in which nothing
    /// changed, where steps are not charged whole (AutoNUMA's scanner).
    pub charge_idle: bool,
    /// Charge a huge page that changed as one page, where steps are not charged (the kernel between
    /// "Account for a THP NUMA hinting update as one PTE update" and its revert, both 2013).
    pub charge_huge_as_one: bool,
    /// Where the base pages of a step of 2 MiB are marked at once, so that one hint fault is for all
    /// of them.
    pub regions: Regions,
    /// Walk in steps as long as what is left of the budget, and charge it with the whole step when
    /// anything in it changed (the kernel's `change_prot_numa` since 3.13). Else in steps of 2 MiB,
    /// charged with what changed.
    pub charge_steps: bool,
}

/// Which base pages are marked 2 MiB at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Regions {
    /// None.
    #[default]
    Never,
    /// All: a store into the page table's parent marks them (AutoNUMA's `scan_pmd`).
    Always,
    /// Those that are on one node; each is marked by itself as well (the kernel from 3.8 to 3.12,
    /// until "mm: numa: Do not batch handle PMD pages").
    OneNode,
}

/// A word for the pages that a walk marks on some nodes: the time of the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The nodes.
    pub nodes: NodeMask,
    /// The word.
    pub word: u32,
}

/// What to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanPlan {
    /// Space.
    pub mm: MmId,
    /// Page to start from.
    pub start: u32,
    /// Page to stop before; [`u32::MAX`] is the end of the space.
    pub end: u32,
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
    /// Whether the walk stopped because a budget of the plan was used up.
    pub exhausted: bool,
    /// What was charged to [`ScanPlan::max_updated`].
    pub charged: Pages,
    /// Entries visited, a huge page as one.
    pub entries: u64,
    /// Base pages walked over.
    pub walked: Pages,
    /// Base entries made inaccessible.
    pub updated: u64,
    /// Huge entries made inaccessible.
    pub huge_updated: u64,
    /// Stores into page tables: base pages that are marked at once take one.
    pub stores: u64,
    /// Contiguous parts of mappings that changed; each costs a TLB flush.
    pub flushes: u64,
}

impl ScanOutcome {
    /// Base pages made inaccessible.
    pub fn updated_pages(&self) -> Pages {
        Pages(self.updated + self.huge_updated * HUGE_PAGE_PAGES)
    }

    /// What changed, as the plan counts it.
    fn changed(&self, plan: &ScanPlan) -> Pages {
        match plan.rules.charge_huge_as_one {
            true => Pages(self.updated + self.huge_updated),
            false => self.updated_pages(),
        }
    }
}

impl Memory {
    /// Walks once through the space from `plan.start`, at most to `plan.end`, and marks entries.
    pub fn scan(&mut self, plan: &ScanPlan) -> ScanOutcome {
        let space = &mut self.spaces[plan.mm];
        space.regions = plan.rules.regions;
        scan_space(space, &mut self.folios, plan)
    }
}

fn scan_space(space: &mut AddressSpace, folios: &mut Folios, plan: &ScanPlan) -> ScanOutcome {
    let mut out = ScanOutcome { next: plan.start, ..ScanOutcome::default() };
    let inside = |vma: &&Vma| vma.pages.end > plan.start && vma.pages.start < plan.end;
    let vmas: Vec<Vma> = space.vmas().iter().filter(inside).cloned().collect();
    for vma in vmas {
        if vma.len() < plan.rules.min_vma || plan.rules.skip_bound_vmas && vma.is_bound() {
            out.charged += Pages(u64::from(plan.rules.charge_idle));
            continue;
        }
        let before = out.updated_pages();
        let stopped = scan_vma(space, folios, &vma, plan, &mut out);
        out.flushes += u64::from(out.updated_pages() > before);
        if stopped {
            return out;
        }
    }
    match plan.end {
        u32::MAX => ScanOutcome { next: 0, wrapped: true, ..out },
        end => ScanOutcome { next: end, ..out },
    }
}

/// Walks one mapping step by step; returns whether the budget is used up.
fn scan_vma(
    space: &mut AddressSpace,
    folios: &mut Folios,
    vma: &Vma,
    plan: &ScanPlan,
    out: &mut ScanOutcome,
) -> bool {
    let last = vma.pages.end.min(plan.end);
    let mut page = vma.pages.start.max(plan.start);
    while page < last {
        let end = step_end(page, plan, out).min(last);
        let before = out.changed(plan);
        let mut piece = page;
        while piece < end {
            let piece_end = next_border(piece, 1).min(end);
            let ptes = &mut space.ptes[piece as usize..piece_end as usize];
            let marked = out.huge_updated;
            scan_step(ptes, folios, plan, out);
            if out.huge_updated > marked {
                space.huge_changed(piece);
            }
            piece = piece_end;
        }
        let step = Pages(u64::from(end - page));
        let changed = out.changed(plan) - before;
        out.charged += match plan.rules.charge_steps {
            true if changed > Pages::ZERO => step,
            true => Pages::ZERO,
            false if changed == Pages::ZERO => Pages(u64::from(plan.rules.charge_idle)),
            false => changed,
        };
        out.walked += step;
        out.next = end;
        page = end;
        if out.charged >= plan.max_updated || out.walked >= plan.max_walked {
            out.exhausted = true;
            return true;
        }
    }
    false
}

/// Where the step that begins at `page` ends.
fn step_end(page: u32, plan: &ScanPlan, out: &ScanOutcome) -> u32 {
    let left = plan.max_updated.saturating_sub(out.charged);
    next_border(page, if plan.rules.charge_steps { left.0 } else { 1 })
}

/// The first border of 2 MiB that is at least `pages` after `page`.
fn next_border(page: u32, pages: u64) -> u32 {
    let end = (u64::from(page) + pages).div_ceil(HUGE_PAGE_PAGES).saturating_mul(HUGE_PAGE_PAGES);
    u32::try_from(end).unwrap_or(u32::MAX)
}

/// Marks the entries of one 2 MiB step (or the part of one that the mapping covers).
fn scan_step(ptes: &mut [Pte], folios: &mut Folios, plan: &ScanPlan, out: &mut ScanOutcome) {
    let rules = &plan.rules;
    let mut stamp = |pte: Pte| {
        if let Some(stamp) = rules.stamp.filter(|stamp| stamp.nodes.contains(pte.node())) {
            folios.set_word(pte.folio(), stamp.word);
        }
    };
    if ptes.first().is_some_and(|pte| pte.has(Pte::HUGE)) {
        out.entries += 1;
        if ptes[0].has(Pte::OPEN) && !rules.skip_nodes.contains(ptes[0].node()) {
            stamp(ptes[0]);
            ptes.iter_mut().for_each(|pte| *pte = mark(*pte));
            (out.huge_updated, out.stores) = (out.huge_updated + 1, out.stores + 1);
        } else if rules.recount_marked && ptes[0].has(Pte::PROTNONE) {
            (out.huge_updated, out.stores) = (out.huge_updated + 1, out.stores + 1);
        }
        return;
    }
    let before = out.updated;
    let always = rules.regions == Regions::Always;
    for pte in ptes.iter_mut() {
        out.entries += 1;
        let node = pte.node();
        let skipped = Some(node) == rules.skip_base_pages_on || rules.skip_nodes.contains(node);
        if pte.has(Pte::OPEN) && !skipped {
            stamp(*pte);
            *pte = mark(*pte).with(if always { Pte::REGION } else { 0 });
            out.updated += 1;
        }
    }
    let changed = out.updated - before;
    out.stores += if always { changed.min(1) } else { changed };
    if rules.regions == Regions::OneNode {
        join_marked(ptes);
    }
}

/// Lets one fault be for all marked base pages of a step, if its pages are on one node.
fn join_marked(ptes: &mut [Pte]) {
    let mapped = |pte: &&mut Pte| pte.has(Pte::OPEN) || pte.has(Pte::PROTNONE);
    let mut nodes = ptes.iter_mut().filter(mapped).map(|pte| pte.node());
    let first = nodes.next();
    if nodes.all(|node| Some(node) == first) {
        let marked = ptes.iter_mut().filter(|pte| pte.has(Pte::PROTNONE));
        marked.for_each(|pte| *pte = pte.with(Pte::REGION));
    }
}

fn mark(pte: Pte) -> Pte {
    pte.without(Pte::OPEN).with(Pte::PROTNONE)
}

#[cfg(test)]
mod tests {
    use base::{FolioId, NodeId};

    use super::*;

    const NODE: NodeId = NodeId(0);

    /// 8192 pages, mapped from 0 to 4096 and from 5000 on; base pages are resident at `resident`.
    fn space(resident: std::ops::Range<u32>) -> AddressSpace {
        let mut space = AddressSpace::new("a", false, Pages(8192));
        space.map(Vma { pages: 0..4096, thp: None, policy: None });
        space.map(Vma { pages: 5000..8192, thp: None, policy: None });
        for page in resident {
            space.ptes[page as usize] = Pte::mapped(FolioId(page), NODE, false);
        }
        space
    }

    fn plan(max_updated: u64, charge_steps: bool) -> ScanPlan {
        ScanPlan {
            mm: MmId(0),
            start: 0,
            end: u32::MAX,
            max_updated: Pages(max_updated),
            max_walked: Pages::MAX,
            rules: ScanRules { charge_steps, ..ScanRules::default() },
        }
    }

    #[test]
    fn a_step_with_one_change_uses_up_the_budget_when_steps_are_charged() {
        let mut space = space(100..101);
        let out = scan_space(&mut space, &mut Folios::default(), &plan(2048, true));
        assert_eq!((out.next, out.updated, out.charged), (2048, 1, Pages(2048)));
        assert!(out.exhausted);
    }

    #[test]
    fn steps_without_a_change_are_free() {
        let mut space = space(3000..3001);
        let out = scan_space(&mut space, &mut Folios::default(), &plan(1024, true));
        assert_eq!((out.next, out.walked, out.charged), (3072, Pages(3072), Pages(1024)));
    }

    #[test]
    fn changes_are_charged_one_by_one_otherwise() {
        let mut space = space(100..101);
        let out = scan_space(&mut space, &mut Folios::default(), &plan(2048, false));
        assert!(out.wrapped && !out.exhausted);
        assert_eq!((out.charged, out.walked), (Pages(1), Pages(4096 + 8192 - 5000)));
    }

    #[test]
    fn idle_steps_are_charged_one_page_each_where_the_rules_say_so() {
        let mut space = space(100..101);
        let rules = ScanRules { charge_idle: true, ..ScanRules::default() };
        let plan = ScanPlan { rules, ..plan(12, false) };
        let out = scan_space(&mut space, &mut Folios::default(), &plan);
        // One page, then seven empty steps to the end of the first mapping, then four more.
        assert_eq!((out.charged, out.exhausted, out.next), (Pages(12), true, 14 * 512 - 512));
    }

    #[test]
    fn pages_of_some_nodes_stay_open_and_others_keep_the_time() {
        let mut space = AddressSpace::new("a", false, Pages(512));
        space.map(Vma { pages: 0..512, thp: None, policy: None });
        let mut folios = Folios::default();
        for (page, node) in [(0, NODE), (1, NodeId(1))] {
            let folio = folios.insert(MmId(0), page, node, 0, crate::Order::Base);
            space.ptes[page as usize] = Pte::mapped(folio, node, false);
        }
        let stamp = Some(Stamp { nodes: NodeMask::only(NodeId(1)), word: 7 });
        let skip_nodes = NodeMask::only(NODE);
        let rules = ScanRules { skip_nodes, stamp, ..ScanRules::default() };
        let out = scan_space(&mut space, &mut folios, &ScanPlan { rules, ..plan(512, true) });
        assert_eq!(out.updated, 1);
        assert!(space.ptes[0].has(Pte::OPEN) && space.ptes[1].has(Pte::PROTNONE));
        let word = |page: usize| folios.word(space.ptes[page].folio());
        assert_eq!((word(0), word(1)), (0, 7));
    }

    /// Sixteen huge pages, the first marked already; who counts it again stops a step earlier, and
    /// who charges a huge page as one page walks them all.
    #[test]
    fn marked_huge_pages_count_again_and_as_one_page_where_the_rules_say_so() {
        let walk = |recount_marked, charge_huge_as_one| {
            let mut space = AddressSpace::new("a", false, Pages(8192));
            space.map(Vma { pages: 0..8192, thp: None, policy: None });
            for (page, pte) in space.ptes.iter_mut().enumerate() {
                *pte = Pte::mapped(FolioId(page as u32 / 512), NODE, true);
            }
            space.ptes[..512].iter_mut().for_each(|pte| *pte = mark(*pte));
            let rules = ScanRules { recount_marked, charge_huge_as_one, ..ScanRules::default() };
            let plan = ScanPlan { rules, ..plan(2048, false) };
            let out = scan_space(&mut space, &mut Folios::default(), &plan);
            (out.next, out.huge_updated, out.charged)
        };
        assert_eq!(walk(false, false), (5 * 512, 4, Pages(2048)));
        assert_eq!(walk(true, false), (4 * 512, 4, Pages(2048)));
        assert_eq!(walk(true, true), (0, 16, Pages(16)));
    }

    #[test]
    fn base_pages_are_marked_at_once_where_the_rules_say_so() {
        let cases =
            [(Regions::Never, 700, 0), (Regions::Always, 2, 700), (Regions::OneNode, 700, 700)];
        for (regions, stores, together) in cases {
            let mut space = space(100..800);
            let rules = ScanRules { regions, ..ScanRules::default() };
            let plan = ScanPlan { rules, ..plan(u64::MAX, false) };
            let out = scan_space(&mut space, &mut Folios::default(), &plan);
            assert_eq!((out.updated, out.charged, out.stores), (700, Pages(700), stores));
            let with_others = space.ptes[100..800].iter().filter(|pte| pte.has(Pte::REGION));
            assert_eq!(with_others.count(), together);
        }
    }

    /// Two steps; a page of the first is on another node, and one of the second was marked before.
    #[test]
    fn base_pages_of_two_nodes_are_marked_one_by_one() {
        let mut space = space(0..1024);
        space.ptes[7] = Pte::mapped(FolioId(7), NodeId(1), false);
        space.ptes[600] = mark(space.ptes[600]);
        let rules = ScanRules { regions: Regions::OneNode, ..ScanRules::default() };
        let plan = ScanPlan { rules, ..plan(u64::MAX, false) };
        let out = scan_space(&mut space, &mut Folios::default(), &plan);
        assert_eq!(out.updated, 1023);
        assert!(space.ptes[..512].iter().all(|pte| !pte.has(Pte::REGION)));
        assert!(space.ptes[512..1024].iter().all(|pte| pte.has(Pte::REGION)));
    }

    #[test]
    fn a_walk_stops_before_its_end() {
        let mut space = space(0..600);
        let out = scan_space(
            &mut space,
            &mut Folios::default(),
            &ScanPlan { end: 300, ..plan(u64::MAX, true) },
        );
        assert_eq!((out.next, out.updated, out.wrapped), (300, 300, false));
        assert!(space.ptes[300].has(Pte::OPEN) && space.ptes[299].has(Pte::PROTNONE));
    }
}
