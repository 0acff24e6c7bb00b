//! What a simulator tells the guest besides faults: kswapd's turn, pages that are gone or move.

use std::ops::Range;

use super::super::state::{Guest, HUGE, NONE, OFF, flag, pte};
use super::super::zone::Mark;
use super::Work;

/// What kswapd of a node did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// It worked and has more to do.
    Busy(Work),
    /// It sleeps, after this work, and looks again at that time, ns, unless it is woken before.
    Asleep(Work, Option<u64>),
}

impl Guest {
    /// Whether kswapd of a node has something to do.
    pub fn kswapd_due(&self, node: usize) -> bool {
        self.kswapd_is_due(node)
    }

    /// Lets kswapd of a node do one round on a CPU.
    pub fn run_kswapd(&mut self, now: u64, cpu: usize, node: usize) -> Stroke {
        self.begin_work(now);
        self.cpu = cpu;
        let (busy, nap) = self.kswapd_stroke(node);
        let work = self.end_work(now);
        if busy { Stroke::Busy(work) } else { Stroke::Asleep(work, nap) }
    }

    /// read() of pages of a file, by the process that has the mapping.
    pub fn read(&mut self, now: u64, cpu: usize, region: u32, pages: Range<u32>) -> Work {
        self.begin_work(now);
        pages.for_each(|page| self.file_io(cpu, region, page, false));
        self.end_work(now)
    }

    /// Frees what there is of a range of a mapping, in memory and in swap: munmap() and madvise()
    /// of anonymous memory, truncation of a file. Huge pages that stick out are split.
    pub fn discard(&mut self, cpu: usize, region: u32, pages: Range<u32>) {
        self.cpu = cpu;
        self.drain_all();
        let object = self.vmas[region as usize].object as usize;
        let end = pages.end.min(self.objects[object].pages.len() as u32);
        for index in pages.start..end {
            let folio = self.objects[object].pages[index as usize].folio();
            if folio != NONE {
                let first = self.folios[folio].index;
                let last = first + u32::from(self.folios[folio].nr);
                if first < pages.start || last > end {
                    self.split(folio);
                }
                let folio = self.objects[object].pages[index as usize].folio();
                self.discard_page(folio);
            }
            if self.objects[object].swapbacked {
                self.free_slot(object as u32, index);
            }
        }
        self.outside.log.clear();
    }

    fn discard_page(&mut self, folio: u32) {
        if self.folios.kind(folio) == 0 {
            self.drop_page(folio);
            return;
        }
        self.lru_remove(folio);
        self.unmap_all(folio);
        if self.folios.has(folio, flag::DIRTY) {
            self.clean_page(folio);
        }
        self.forget_write(folio);
        let (object, index) = (self.folios[folio].object, self.folios[folio].index);
        let node = self.node_of(folio);
        self.cache_delete(object, index, 0, node);
        self.release_folio(folio);
    }

    /// Makes base pages of a huge page, on the same list.
    fn split(&mut self, folio: u32) {
        let (object, first) = (self.folios[folio].object, self.folios[folio].index);
        let (zone, flags, memcg) = (
            usize::from(self.folios[folio].zone),
            self.folios[folio].flags,
            self.folios[folio].memcg,
        );
        let (nr, mapped) = (u32::from(self.folios[folio].nr), self.folios[folio].mapped);
        self.lru_remove(folio);
        if mapped > 0 {
            self.note_huge_mapping(folio, -1);
        }
        self.note_resident(folio, -i64::from(nr));
        self.folios[folio].nr = 1;
        self.note_resident(folio, 1);
        let mut parts = vec![folio];
        for index in first + 1..first + nr {
            let part = self.new_folio(object, index, zone, memcg, 1, flags);
            self.folios[part].mapped = mapped;
            self.objects[object as usize].pages[index as usize].set_folio(part);
            parts.push(part);
        }
        for place in 0..self.objects[object as usize].vmas.len() {
            let vma = self.objects[object as usize].vmas[place] as usize;
            let ptes = &mut self.vmas[vma].ptes;
            let end = (first as usize + HUGE).min(ptes.len());
            let young = ptes[first as usize] & pte::YOUNG;
            for entry in &mut ptes[first as usize..end] {
                *entry = *entry & !pte::HUGE | young;
            }
        }
        for part in parts {
            self.insert_evictable(part);
        }
    }

    /// Takes room for a page of a mapping on another node, and the page off its list; gives the
    /// zone. `None` where no zone would stay above its high watermark, or somebody else works on
    /// the page.
    pub fn begin_move(&mut self, region: u32, page: u32, node: usize) -> Option<usize> {
        let folio = self.resident_at(region, page)?;
        let nr = u64::from(self.folios[folio].nr);
        self.drain_all();
        if self.folios[folio].on == OFF || self.folios.has(folio, flag::WRITEBACK) {
            return None;
        }
        let fits = |zone: &super::super::zone::Zone| {
            zone.node == node && zone.free > zone.mark(Mark::High) + zone.reserve + nr
        };
        let zone = self.zones.iter().rposition(fits)?;
        self.zones[zone].free -= nr;
        self.lru_remove(folio);
        Some(zone)
    }

    /// Ends a move, into the zone that was taken or (`moved` is false) where the page was.
    pub fn end_move(&mut self, cpu: usize, region: u32, page: u32, zone: usize, moved: bool) {
        self.cpu = cpu;
        let Some(folio) = self.resident_at(region, page) else { return };
        let nr = u64::from(self.folios[folio].nr);
        let mut freed = zone;
        if moved {
            freed = usize::from(self.folios[folio].zone);
            self.folios[folio].zone = zone as u8;
        }
        self.free_to_zone(freed, nr);
        self.insert_evictable(folio);
    }

    fn resident_at(&self, region: u32, page: u32) -> Option<u32> {
        let object = &self.objects[self.vmas[region as usize].object as usize];
        object.pages.get(page as usize).map(|page| page.folio()).filter(|folio| *folio != NONE)
    }

    /// Zone of a page of a mapping that is in memory and mapped.
    pub fn zone_of_mapped(&self, region: u32, page: u32) -> Option<usize> {
        let entry = self.vmas[region as usize].ptes[page as usize];
        let folio = self.resident_at(region, page).filter(|_| entry & pte::PRESENT != 0)?;
        Some(usize::from(self.folios[folio].zone))
    }
}
