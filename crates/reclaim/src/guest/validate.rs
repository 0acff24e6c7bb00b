//! Recounting a guest: everything that is kept is compared with what is there. Slow; for tests.

use std::collections::BTreeSet;

use super::state::{Generations, Guest, NONE, NR_LISTS, OFF, UNEVICTABLE_LIST, flag, pte};
use crate::list::List;

/// What the folios come to.
struct Counted {
    /// By lruvec, list and zone class; folios in a CPU's batch are on no list yet.
    listed: Vec<[[i64; 3]; 5]>,
    /// By lruvec: generation, type, zone class.
    generations: Vec<[[[i64; 3]; 2]; 4]>,
    /// By group: anonymous, file, shmem, dirty, under writeback.
    resident: Vec<[i64; 5]>,
    /// By zone.
    pages: Vec<u64>,
    folios: BTreeSet<u32>,
}

impl Guest {
    /// Recounts everything from the folios, slots and entries, and panics on a contradiction: a
    /// resident folio that is not on exactly one list of its own lruvec (or in one CPU's batch), a
    /// page or slot that is lost or has two owners, a counter that differs from what it counts.
    pub fn validate(&self) {
        let counted = self.count_folios();
        self.validate_lists(&counted);
        self.validate_groups(&counted);
        self.validate_zones(&counted);
        self.validate_mappings(&counted);
        self.validate_swap();
        self.validate_zswap();
    }

    fn count_folios(&self) -> Counted {
        let mut counted = Counted {
            listed: vec![[[0; 3]; 5]; self.lruvecs.len()],
            generations: vec![[[[0; 3]; 2]; 4]; self.lruvecs.len()],
            resident: vec![[0; 5]; self.memcgs.len()],
            pages: vec![0; self.zones.len()],
            folios: BTreeSet::new(),
        };
        for (number, object) in self.objects.iter().enumerate() {
            for (index, folio) in object.pages.iter().map(|page| page.folio()).enumerate() {
                if folio == NONE {
                    continue;
                }
                let first = self.folios[folio].index as usize;
                let range = first..first + self.folios[folio].nr as usize;
                assert_eq!(self.folios[folio].object as usize, number, "a page leads elsewhere");
                assert!(range.contains(&index), "page {index} is not of its folio {range:?}");
                if first == index {
                    assert!(counted.folios.insert(folio), "a folio is resident twice");
                    self.count_folio(&mut counted, folio);
                }
            }
        }
        counted
    }

    fn count_folio(&self, counted: &mut Counted, folio: u32) {
        let nr = i64::from(self.folios[folio].nr);
        let (lruvec, class, kind) =
            (self.lruvec_of(folio), self.class_of(folio), self.folios.kind(folio));
        let on = self.folios[folio].on as usize;
        if on == UNEVICTABLE_LIST || on < 4 {
            counted.listed[lruvec][on][class] += nr;
        } else if on != usize::from(OFF) {
            let generation = self.folios[folio].generation as usize;
            let young = self.lruvecs[lruvec].generations.is_young(generation);
            counted.listed[lruvec][kind * 2 + usize::from(young)][class] += nr;
            counted.generations[lruvec][generation][kind][class] += nr;
        }
        let object = &self.objects[self.folios[folio].object as usize];
        let resident = &mut counted.resident[self.folios[folio].memcg as usize];
        resident[usize::from(!object.swapbacked || object.shmem)] += nr;
        resident[2] += if object.shmem { nr } else { 0 };
        if kind == 1 && !self.folios.has(folio, flag::LAZY) {
            resident[3] += i64::from(self.folios.has(folio, flag::DIRTY));
            resident[4] += i64::from(self.folios.has(folio, flag::WRITEBACK));
        }
        counted.pages[self.folios[folio].zone as usize] += nr as u64;
    }

    fn validate_lists(&self, counted: &Counted) {
        let list_of = |folio: u32| {
            let on = self.folios.get(folio)?.on;
            (on != OFF && counted.folios.contains(&folio))
                .then(|| Self::list(self.lruvec_of(folio), on as usize))
        };
        self.lists.validate(&self.folios, list_of);
        let mut waiting = BTreeSet::new();
        for folio in self.cpus.iter().flat_map(|cpu| &cpu.add) {
            assert!(waiting.insert(*folio), "a folio waits in two batches");
        }
        for folio in &counted.folios {
            let is_listed = self.folios[*folio].on != OFF;
            assert!(is_listed != waiting.contains(folio), "folio {folio} is on no list, or on two");
        }
        let mut nodes = vec![[0; 5]; self.nr_nodes()];
        for (lruvec, sizes) in counted.listed.iter().enumerate() {
            assert_eq!(self.lruvecs[lruvec].size, *sizes, "sizes of lruvec {lruvec}");
            let generations: &Generations = &self.lruvecs[lruvec].generations;
            assert_eq!(generations.nr, counted.generations[lruvec], "generations of {lruvec}");
            let node = &mut nodes[self.lruvecs[lruvec].node as usize];
            for (sum, own) in node.iter_mut().zip(sizes) {
                *sum += own.iter().sum::<i64>();
            }
        }
        assert_eq!(self.node_size, nodes, "lists of the nodes");
        let on_lists: u32 =
            (0..self.lruvecs.len() * NR_LISTS).map(|list| self.lists.len(List(list as u32))).sum();
        assert_eq!(on_lists as usize + waiting.len(), counted.folios.len(), "folios on lists");
    }

    fn validate_groups(&self, counted: &Counted) {
        let mut usage = vec![0; self.memcgs.len()];
        for (memcg, resident) in counted.resident.iter().enumerate() {
            let group = &self.memcgs[memcg];
            let kept = [group.anon, group.file, group.shmem, group.dirty, group.writeback];
            assert_eq!(kept, *resident, "pages of group {memcg}");
            let own = (resident[0] + resident[1]) as u64 + group.slab_pages;
            self.add_upward(&mut usage, memcg as u16, own);
            assert!(group.slab_bytes <= group.slab_pages * 4096, "slab of group {memcg}");
        }
        for cpu in &self.cpus {
            self.add_upward(&mut usage, cpu.stock.0, cpu.stock.1);
        }
        for (memcg, pages) in self.procs.iter().flat_map(|proc| &proc.kernel_memory) {
            self.add_upward(&mut usage, *memcg, *pages);
        }
        for (memcg, usage) in usage.iter().enumerate() {
            assert_eq!(self.memcgs[memcg].usage, *usage, "usage of group {memcg}");
        }
        let (dirty, writeback) = self.dirty_pages();
        let sum = |of: usize| counted.resident.iter().map(|pages| pages[of]).sum::<i64>() as u64;
        assert_eq!((dirty, writeback), (sum(3), sum(4)), "dirty pages, pages under writeback");
    }

    /// Adds to a group and those above it; what is the root's own is charged to nobody.
    fn add_upward(&self, sums: &mut [u64], memcg: u16, pages: u64) {
        let mut at = (memcg != 0).then_some(memcg);
        while let Some(memcg) = at {
            sums[memcg as usize] += pages;
            at = self.memcgs[memcg as usize].parent;
        }
    }

    fn validate_zones(&self, counted: &Counted) {
        let mut pages = counted.pages.clone();
        let tables =
            self.procs.iter().flat_map(|proc| &proc.table_zones).map(|zone| *zone as usize);
        for zone in tables.chain(self.swap.zswap.zones().iter().copied()) {
            pages[zone] += 1;
        }
        for (index, zone) in self.zones.iter().enumerate() {
            let held: u64 = zone.lists.iter().map(|list| list.len() + list.slabs).sum();
            let all = zone.free + held + zone.slab + pages[index];
            assert_eq!(all, self.config.zones[index].free, "pages of zone {index}");
        }
    }

    fn validate_mappings(&self, counted: &Counted) {
        let mut mapped = vec![0; self.folios.len()];
        for vma in &self.vmas {
            let object = &self.objects[vma.object as usize];
            for (index, entry) in vma.ptes.iter().enumerate() {
                if entry & pte::PRESENT == 0 || entry & pte::ZERO != 0 {
                    continue;
                }
                let folio = object.pages[index].folio();
                assert_ne!(folio, NONE, "an entry without a page");
                let first = self.folios[folio].index as usize;
                mapped[folio as usize] += u16::from(index == first);
            }
        }
        for folio in &counted.folios {
            assert_eq!(
                self.folios[*folio].mapped, mapped[*folio as usize],
                "mappings of folio {folio}"
            );
        }
    }

    fn validate_swap(&self) {
        let mut slots = BTreeSet::new();
        let mut charged = vec![0; self.memcgs.len()];
        for object in &self.objects {
            for page in &object.pages {
                let slot = page.swap();
                if slot == NONE {
                    continue;
                }
                assert!(slots.insert(slot), "a slot with two owners");
                let folio = page.folio();
                let cached = folio == NONE || self.folios.has(folio, flag::SWAPCACHE);
                assert!(cached, "a slot of a page that left it");
                let mut at = Some(self.swap.slots[slot as usize].owner);
                while let Some(memcg) = at {
                    charged[memcg as usize] += 1;
                    at = self.memcgs[memcg as usize].parent;
                }
            }
        }
        let used = slots.len() as u64;
        assert_eq!(used, self.swap.total() - self.swap.free(), "a slot was lost");
        for (memcg, slots) in charged.iter().enumerate() {
            let group = &self.memcgs[memcg];
            assert_eq!(group.swap, *slots, "charged slots of group {memcg}");
        }
        for slot in 0..self.swap.total() as u32 {
            let stored = self.swap.zswap.holds(slot);
            assert!(!stored || slots.contains(&slot), "the store holds a slot that is free");
        }
    }

    fn validate_zswap(&self) {
        let zswap = &self.swap.zswap;
        let stored: u64 = (0..self.memcgs.len() as u16)
            .map(|memcg| {
                let entries = zswap.entries_of(memcg);
                assert_eq!(
                    self.memcgs[memcg as usize].zswapped as u64, entries,
                    "entries of {memcg}"
                );
                entries
            })
            .sum();
        assert_eq!(zswap.stats.stored_pages, stored);
        assert_eq!(zswap.stats.stored_bytes, zswap.counted_bytes(), "bytes in the store");
        assert_eq!(zswap.stats.pool_pages, zswap.counted_pages(), "pages of the pool");
    }
}
