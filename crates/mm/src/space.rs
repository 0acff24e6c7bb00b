//! Address spaces: the page table and the mappings.

use std::ops::Range;

use base::{HUGE_PAGE_PAGES, Pages};

use crate::huge::{HugeWords, word_of};
use crate::{Mempolicy, Pte, Regions};

/// Entries, 512 KiB of them, that do not fit into a core's cache together with what else it reads.
const MANY_ENTRIES: usize = 1 << 16;

/// A mapped range (the kernel's `vm_area_struct`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// Pages covered.
    pub pages: Range<u32>,
    /// `MADV_HUGEPAGE` (true), `MADV_NOHUGEPAGE` (false), or neither.
    pub thp: Option<bool>,
    /// Policy of the range, where it has one.
    pub policy: Option<Mempolicy>,
}

impl Vma {
    /// Pages covered.
    pub fn len(&self) -> Pages {
        Pages(u64::from(self.pages.end - self.pages.start))
    }

    /// Whether nothing is covered.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Whether a policy of the range ties its pages to nodes, so that no fault may move them.
    pub fn is_bound(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.static_nodes().is_some())
    }
}

/// An address space, or the page cache of a file.
#[derive(Debug)]
pub struct AddressSpace {
    /// As shown to users.
    pub name: String,
    /// Whether it is a file.
    pub file: bool,
    /// One entry a page, dense.
    pub ptes: Vec<Pte>,
    huge: HugeWords,
    vmas: Vec<Vma>,
    /// Base pages that are mapped.
    pub resident: Pages,
    /// Which base pages the last walk marked 2 MiB at a time.
    pub regions: Regions,
}

impl AddressSpace {
    /// An empty space for pages `0..nr_pages`.
    pub fn new(name: &str, file: bool, nr_pages: Pages) -> Self {
        let ptes = vec![Pte::ABSENT; nr_pages.0 as usize];
        let huge = HugeWords::new(ptes.len());
        let (vmas, resident, regions) = (Vec::new(), Pages::ZERO, Regions::Never);
        Self { name: name.to_owned(), file, ptes, huge, vmas, resident, regions }
    }

    /// A word for each 2 MiB: the low sixteen bits, flags and node, of the entries of the huge page there, with
    /// [`Pte::YOUNG`] and [`Pte::DIRTY`] set, which only the entries themselves tell. 0 where there is no
    /// huge page, or a part of it is marked and the rest is not.
    pub fn huge_words(&self) -> &[u16] {
        self.huge.all()
    }

    /// The entries, of which only young and dirty may be changed, and the words of huge pages where accesses may
    /// be replayed by those: not where somebody asks which pages are young or dirty, and not where most of
    /// what is mapped are base pages or all entries fit into a cache, since then looking at a second table costs
    /// more than it saves.
    #[inline]
    pub fn tables(&mut self, accessed_matters: bool) -> (&mut [Pte], &[u16]) {
        let known = 2 * self.huge.nr_known() as u64 * HUGE_PAGE_PAGES;
        let is_large = self.ptes.len() >= MANY_ENTRIES;
        let by_words = !accessed_matters && is_large && known > self.resident.0;
        (&mut self.ptes, if by_words { self.huge.all() } else { &[] })
    }

    /// Flags and node of a page's entry; of a huge page, young and dirty may be set although they are not.
    #[inline]
    pub fn look(&self, page: u32) -> Pte {
        match self.huge.all().get(page as usize / HUGE_PAGE_PAGES as usize) {
            Some(word) if *word != 0 => Pte(u64::from(*word)),
            _ => self.ptes[page as usize],
        }
    }

    /// Entries of a huge page changed, or a huge page came or went, in the 2 MiB around `page`.
    pub(crate) fn huge_changed(&mut self, page: u32) {
        self.huge.renew(&self.ptes, page);
    }

    /// Panics when a word is not what the entries say.
    pub(crate) fn validate_huge(&self) {
        let blocks = self.ptes.chunks_exact(HUGE_PAGE_PAGES as usize);
        for (at, (word, block)) in self.huge.all().iter().zip(blocks).enumerate() {
            assert_eq!(*word, word_of(block), "word {at} of {}", self.name);
        }
    }

    /// The mappings, ascending and apart.
    pub fn vmas(&self) -> &[Vma] {
        &self.vmas
    }

    /// The mapping that covers `page`.
    pub fn vma(&self, page: u32) -> Option<&Vma> {
        self.vma_index(page).map(|idx| &self.vmas[idx])
    }

    /// Index in [`AddressSpace::vmas`] of the mapping that covers `page`.
    #[inline]
    pub fn vma_index(&self, page: u32) -> Option<usize> {
        let idx = self.vmas.partition_point(|vma| vma.pages.end <= page);
        self.vmas.get(idx).filter(|vma| vma.pages.contains(&page)).map(|_| idx)
    }

    /// Maps a range; what it overlaps is replaced. An empty range changes nothing.
    pub fn map(&mut self, vma: Vma) {
        if vma.is_empty() {
            return;
        }
        self.unmap(vma.pages.clone());
        let idx = self.vmas.partition_point(|other| other.pages.start < vma.pages.start);
        self.vmas.insert(idx, vma);
    }

    /// Unmaps a range, cutting mappings at its ends. Freeing the pages is the caller's.
    pub fn unmap(&mut self, range: Range<u32>) {
        self.split(range.start);
        self.split(range.end);
        self.vmas.retain(|vma| vma.pages.start < range.start || vma.pages.start >= range.end);
    }

    /// Changes the mappings inside `range`, cutting them at its ends.
    pub fn change(&mut self, range: Range<u32>, mut change: impl FnMut(&mut Vma)) {
        self.split(range.start);
        self.split(range.end);
        let inside = |vma: &&mut Vma| range.contains(&vma.pages.start);
        self.vmas.iter_mut().filter(inside).for_each(&mut change);
    }

    /// Whether a huge page fits: the 2 MiB-aligned range round `page` lies in the mapping and
    /// nothing in it is mapped yet.
    pub fn huge_fits(&self, page: u32, vma: &Vma) -> bool {
        let start = page & !(HUGE_PAGE_PAGES as u32 - 1);
        let end = start + HUGE_PAGE_PAGES as u32;
        vma.pages.start <= start
            && end <= vma.pages.end
            && self.ptes[start as usize..end as usize].iter().all(|pte| !pte.has(Pte::PRESENT))
    }

    fn split(&mut self, at: u32) {
        let idx = self.vmas.partition_point(|vma| vma.pages.end <= at);
        if let Some(vma) = self.vmas.get_mut(idx).filter(|vma| vma.pages.start < at) {
            let mut upper = vma.clone();
            vma.pages.end = at;
            upper.pages.start = at;
            self.vmas.insert(idx + 1, upper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vma(pages: Range<u32>) -> Vma {
        Vma { pages, thp: None, policy: None }
    }

    fn ranges(space: &AddressSpace) -> Vec<Range<u32>> {
        space.vmas().iter().map(|vma| vma.pages.clone()).collect()
    }

    #[test]
    fn unmapping_the_middle_leaves_both_ends() {
        let mut space = AddressSpace::new("a", false, Pages(100));
        space.map(vma(10..50));
        space.unmap(20..30);
        assert_eq!(ranges(&space), [10..20, 30..50]);
        assert!(space.vma(25).is_none() && space.vma(30).is_some() && space.vma(50).is_none());
    }

    #[test]
    fn mapping_over_others_replaces_them() {
        let mut space = AddressSpace::new("a", false, Pages(100));
        space.map(vma(10..20));
        space.map(vma(30..40));
        space.map(vma(15..35));
        assert_eq!(ranges(&space), [10..15, 15..35, 35..40]);
    }

    #[test]
    fn change_cuts_at_the_ends() {
        let mut space = AddressSpace::new("a", false, Pages(100));
        space.map(vma(0..100));
        space.change(10..20, |vma| vma.thp = Some(true));
        let huge: Vec<_> = space.vmas().iter().map(|vma| vma.thp).collect();
        assert_eq!(
            (ranges(&space), huge),
            (vec![0..10, 10..20, 20..100], vec![None, Some(true), None])
        );
    }

    #[test]
    fn huge_pages_need_an_aligned_empty_range() {
        let mut space = AddressSpace::new("a", false, Pages(2048));
        let whole = vma(0..1100);
        assert!(space.huge_fits(600, &whole) && !space.huge_fits(1050, &whole));
        space.ptes[513] = Pte::mapped(base::FolioId(0), base::NodeId(0), false);
        assert!(!space.huge_fits(600, &whole) && space.huge_fits(5, &whole));
    }
}
