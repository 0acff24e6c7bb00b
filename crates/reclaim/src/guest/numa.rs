//! What NUMA balancing needs of a guest: entries made inaccessible, hint faults, moves of pages.
//!
//! Who marks, who decides and what that costs is the caller's; an entry that is marked is to be
//! asked for ([`Guest::is_marked`]) before it is touched.

use super::stat::Stat;
use super::state::{Guest, HUGE, NONE, OFF, flag, pte};
use super::zone::Mark;

/// A page table entry as a scanner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// No page of its own to move.
    Absent,
    /// A page of a node, perhaps a huge one.
    Present {
        /// Node of the page.
        node: usize,
        /// Whether it is part of a huge page.
        huge: bool,
        /// Whether it is inaccessible already.
        marked: bool,
    },
}

/// What a hint fault found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hinted {
    /// Node of the page.
    pub node: usize,
    /// Base pages of the entry.
    pub pages: u64,
    /// The word kept with the page, 0 for none.
    pub word: u32,
}

impl Guest {
    /// Lets time pass for work that the guest does not do itself.
    pub fn spend(&mut self, ns: u64) {
        self.now += ns;
    }

    /// Whether the next access of a page is a hint fault.
    #[inline]
    pub fn is_marked(&self, region: u32, index: u32) -> bool {
        self.vmas[region as usize].ptes[index as usize] & pte::NUMA != 0
    }

    /// The entry of a page.
    pub fn entry(&self, region: u32, index: u32) -> Entry {
        let entry = self.vmas[region as usize].ptes[index as usize];
        let folio = self.folio_at(region, index);
        if entry & pte::PRESENT == 0 || entry & pte::ZERO != 0 || folio == NONE {
            return Entry::Absent;
        }
        Entry::Present {
            node: self.node_of(folio),
            huge: entry & pte::HUGE != 0,
            marked: entry & pte::NUMA != 0,
        }
    }

    fn folio_at(&self, region: u32, index: u32) -> u32 {
        let object = self.vmas[region as usize].object as usize;
        self.objects[object].pages.get(index as usize).map_or(NONE, |page| page.folio())
    }

    /// The entries that map the page of `index`.
    fn entries_of(&self, region: u32, index: u32) -> std::ops::Range<usize> {
        let index = index as usize;
        if self.vmas[region as usize].ptes[index] & pte::HUGE == 0 {
            return index..index + 1;
        }
        let first = index & !(HUGE - 1);
        first..(first + HUGE).min(self.vmas[region as usize].ptes.len())
    }

    /// Makes a present entry inaccessible, a huge one as a whole; `word` is kept with the page if
    /// given. Nothing happens to absent and marked entries.
    pub fn mark(&mut self, region: u32, index: u32, word: Option<u32>) {
        let Entry::Present { huge, marked: false, .. } = self.entry(region, index) else { return };
        let entries = self.entries_of(region, index);
        self.vm[Stat::numa_pte_updates] += entries.len() as u64;
        self.vm[Stat::numa_huge_pte_updates] += u64::from(huge);
        for entry in &mut self.vmas[region as usize].ptes[entries] {
            *entry |= pte::NUMA;
        }
        if let Some(word) = word {
            let folio = self.folio_at(region, index);
            self.folios[folio].word = word;
        }
    }

    /// Counts a hint fault of a CPU on a marked entry.
    pub fn hint_fault(&mut self, cpu: usize, region: u32, index: u32) -> Hinted {
        let folio = self.folio_at(region, index);
        let (node, pages) = (self.node_of(folio), u64::from(self.folios[folio].nr));
        let memcg = self.procs[self.vmas[region as usize].proc as usize].memcg;
        self.count(memcg, Stat::pgfault, 1);
        self.vm[Stat::numa_hint_faults] += 1;
        if node == self.cpus[cpu].node as usize {
            self.vm[Stat::numa_hint_faults_local] += 1;
        }
        Hinted { node, pages, word: self.folios[folio].word }
    }

    /// Makes the page of a marked entry accessible again where it is, and keeps a word with it.
    pub fn open(&mut self, region: u32, index: u32, word: u32) {
        let folio = self.folio_at(region, index);
        self.folios[folio].word = word;
        let entries = self.entries_of(region, index);
        for entry in &mut self.vmas[region as usize].ptes[entries] {
            *entry &= !pte::NUMA;
        }
    }

    /// Moves the page of a marked entry to another node and opens it; whether it moved. It comes
    /// back for loads only, so that a store faults once more.
    ///
    /// It stays when no zone of the node would keep more than its high watermark, which wakes the
    /// node's kswapd in tiering mode, and while it waits in some CPU's batch for its list.
    pub fn move_to_node(
        &mut self,
        cpu: usize,
        region: u32,
        index: u32,
        node: usize,
        word: u32,
    ) -> bool {
        self.cpu = cpu;
        self.open(region, index, word);
        let folio = self.folio_at(region, index);
        let nr = u64::from(self.folios[folio].nr);
        let tiering = self.knobs.numa_balancing & 2 != 0;
        if !self.takes(node, nr) {
            if tiering {
                self.wake_kswapd(node, 2);
            }
            return false;
        }
        if self.folios[folio].on == OFF {
            return false;
        }
        let Some(zone) = self.alloc_on_node(node, nr) else { return false };
        let from = self.node_of(folio);
        let entries = self.entries_of(region, index);
        for entry in &mut self.vmas[region as usize].ptes[entries] {
            *entry |= pte::PROTECTED;
        }
        self.lru_remove(folio);
        self.in_fault = true;
        self.move_folio(folio, zone);
        self.in_fault = false;
        self.vm[Stat::numa_pages_migrated] += nr;
        self.vm[Stat::thp_migration_success] += u64::from(nr > 1);
        if tiering && self.config.tiers[from] > self.config.tiers[node] {
            self.vm[Stat::pgpromote_success] += nr;
        }
        true
    }

    /// Whether some zone of a node stays above its high watermark after giving pages.
    fn takes(&self, node: usize, pages: u64) -> bool {
        let zones = self.zones.iter().filter(|zone| zone.node == node);
        zones.into_iter().any(|zone| zone.free > zone.mark(Mark::High) + zone.reserve + pages)
    }

    /// Counts pages that were considered for a faster tier.
    pub fn count_promotion_candidates(&mut self, pages: u64) {
        self.vm[Stat::pgpromote_candidate] += pages;
    }

    /// Gives an isolated folio a page of another zone and queues it for that node's list.
    pub(super) fn move_folio(&mut self, folio: u32, zone: usize) {
        let old = self.folios[folio].zone as usize;
        let nr = u64::from(self.folios[folio].nr);
        self.folios[folio].zone = zone as u8;
        self.free_to_zone(old, nr);
        self.folios.clear(folio, flag::ISOLATED);
        self.lru_add(folio);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, config};
    use super::super::{Backing, Knobs, Policy, SwapDevice};
    use super::*;

    /// A guest of two nodes with a region of 100 pages, written by CPU 0 of node 0.
    fn two_nodes() -> (Guest, u32) {
        let mut guest = Guest::new(
            config(&[1, 1], &[(0, 1, 4096), (1, 1, 4096)]),
            Knobs::default(),
            SwapDevice::default(),
        );
        let process = guest.add_process(0);
        let region = guest.add_region(process, &Backing::Anon, 100, Policy::Default, 0, false);
        for page in 0..100 {
            guest.touch(0, region, page, true);
        }
        (guest, region)
    }

    #[test]
    fn a_moved_page_faults_once_more_when_it_is_written() {
        let (mut guest, region) = two_nodes();
        guest.mark(region, 5, Some(7));
        guest.mark(region, 5, None);
        assert_eq!(guest.vm[Stat::numa_pte_updates], 1, "a marked entry is not marked again");
        assert!(guest.is_marked(region, 5) && !guest.is_marked(region, 6));
        let hinted = guest.hint_fault(1, region, 5);
        assert_eq!(hinted, Hinted { node: 0, pages: 1, word: 7 });
        let before = guest.vm[Stat::pgfault];
        assert!(guest.move_to_node(1, region, 5, 1, 9));
        assert_eq!(guest.pages_by_node(region), [99, 1]);
        guest.touch(1, region, 5, true);
        guest.touch(1, region, 5, true);
        assert_eq!(guest.vm[Stat::pgfault], before + 1);
        check(&mut guest);
    }

    #[test]
    fn a_page_in_a_batch_for_its_list_does_not_move() {
        let (mut guest, region) = two_nodes();
        // 100 = 3 x 31 + 7: the last seven wait in the batch of CPU 0.
        let moved: Vec<u32> = (0..100)
            .filter(|page| {
                guest.mark(region, *page, None);
                guest.hint_fault(1, region, *page);
                guest.move_to_node(1, region, *page, 1, 0)
            })
            .collect();
        assert_eq!(moved, (0..93).collect::<Vec<u32>>());
    }
}
