//! madvise().
//!
//! After Linux 6.12. Left out: huge pages that are only partly advised, which whole regions do not
//! have, and pages that several processes map, which advice about cold pages leaves alone.

use super::stat::Stat;
use super::state::{Guest, NONE, flag, pte};

/// Pages of a file that MADV_WILLNEED reads at most where read_ahead_kb is less: a disk's default
/// largest request, 255 sectors.
const REQUEST_PAGES: u32 = 31;

/// What madvise() is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// MADV_DONTNEED: the pages are dropped.
    DontNeed,
    /// MADV_FREE: anonymous pages are dropped when memory is short, unless they are written first.
    Free,
    /// MADV_COLD: the pages go to the cold end.
    Cold,
    /// MADV_PAGEOUT: the pages are reclaimed.
    PageOut,
    /// MADV_WILLNEED: pages are read that are not there.
    WillNeed,
    /// MADV_RANDOM: nothing is read ahead, and accessed bits do not count.
    Random,
    /// MADV_NOHUGEPAGE.
    NoHuge,
}

impl Guest {
    /// madvise() of a whole region.
    pub fn advise(&mut self, cpu: usize, region: u32, advice: Advice) {
        self.cpu = cpu;
        self.drain_all();
        let vma = region as usize;
        let process = self.vmas[vma].proc as usize;
        if self.procs[process].dead {
            return;
        }
        (self.current_proc, self.task) = (process, self.procs[process].memcg);
        match advice {
            Advice::WillNeed => self.read_region(vma),
            Advice::Random => self.vmas[vma].random = true,
            Advice::NoHuge => self.vmas[vma].huge = false,
            _ => {
                for index in 0..self.vmas[vma].ptes.len() as u32 {
                    self.advise_page(vma, index, advice);
                }
                self.send_plugged();
            }
        }
    }

    pub(super) fn is_private(&self, object: u32) -> bool {
        let object = &self.objects[object as usize];
        object.swapbacked && !object.shmem
    }

    fn advise_page(&mut self, vma: usize, index: u32, advice: Advice) {
        let object = self.vmas[vma].object;
        let private = self.is_private(object);
        let folio = self.objects[object as usize].pages[index as usize].folio();
        if folio == NONE {
            if private && matches!(advice, Advice::DontNeed | Advice::Free) {
                self.free_slot(object, index);
                self.vmas[vma].ptes[index as usize] = 0;
            }
            return;
        }
        let entry = self.vmas[vma].ptes[index as usize];
        let head = self.folios[folio].index == index;
        let mapped = entry & pte::PRESENT != 0;
        let locked = self.folios.has(folio, flag::MLOCKED);
        if locked || (!mapped && !private) {
            return;
        }
        match advice {
            Advice::DontNeed if private => self.drop_page(folio),
            Advice::DontNeed => {
                self.vmas[vma].ptes[index as usize] = 0;
                let entry = if self.vmas[vma].random { entry & !pte::YOUNG } else { entry };
                self.forget_entry(folio, entry);
            }
            Advice::Free if private && !mapped => self.drop_page(folio),
            Advice::Free if private && head => self.free_lazily(vma, folio),
            Advice::Cold if mapped && head => self.make_cold(folio),
            Advice::PageOut if mapped && head => {
                self.take_young(folio, 0);
                self.folios.clear(folio, flag::REFERENCED);
                self.page_out_one(folio);
            }
            _ => {}
        }
    }

    /// Makes a folio clean and puts it among the cold file pages: reclaim drops it unless it is written
    /// before. Entries are protected so that a store is seen, which costs no fault.
    fn free_lazily(&mut self, vma: usize, folio: u32) {
        if self.folios.has(folio, flag::SWAPCACHE) {
            self.free_swap_of(folio);
        }
        let (first, nr) = (self.folios[folio].index as usize, self.folios[folio].nr as usize);
        for entry in &mut self.vmas[vma].ptes[first..first + nr] {
            *entry = *entry & !pte::YOUNG | pte::PROTECTED;
        }
        self.folios.clear(folio, flag::DIRTY);
        if self.folios.has(folio, flag::LAZY | flag::WRITEBACK) {
            return;
        }
        self.lru_remove(folio);
        self.folios.clear(folio, flag::ACTIVE | flag::REFERENCED | flag::SWAPBACKED);
        self.folios.set(folio, flag::LAZY);
        let engine = self.engine;
        engine.insert(self, folio, false);
        let memcg = self.folios[folio].memcg;
        self.count(memcg, Stat::pglazyfree, nr as u64);
    }

    /// A store to a folio that was to be freed lazily: it stays where it is until reclaim meets it.
    pub(super) fn keep_lazy(&mut self, vma: usize, folio: u32) {
        let (first, nr) = (self.folios[folio].index as usize, self.folios[folio].nr as usize);
        for entry in &mut self.vmas[vma].ptes[first..first + nr] {
            *entry &= !pte::PROTECTED;
        }
        self.vmas[vma].ptes[first] |= pte::YOUNG;
        self.folios.set(folio, flag::DIRTY);
    }

    /// Drops an unmapped, isolated folio that was to be freed lazily; false if it was written since
    /// and is an ordinary one again.
    pub(super) fn drop_lazy(&mut self, folio: u32) -> bool {
        self.folios.clear(folio, flag::LAZY);
        self.folios.set(folio, flag::SWAPBACKED);
        if self.folios.has(folio, flag::DIRTY) {
            return false;
        }
        self.unmap_all(folio);
        let record = self.folios[folio];
        for index in record.index..record.index + u32::from(record.nr) {
            let pages = &mut self.objects[record.object as usize].pages;
            pages[index as usize].set_folio(NONE);
        }
        self.count(record.memcg, Stat::pglazyfreed, u64::from(record.nr));
        self.release_folio(folio);
        true
    }

    fn make_cold(&mut self, folio: u32) {
        self.take_young(folio, 0);
        self.folios.clear(folio, flag::REFERENCED);
        if !self.is_mglru && !self.folios.has(folio, flag::ACTIVE) {
            return;
        }
        self.lru_remove(folio);
        self.folios.clear(folio, flag::ACTIVE | flag::REFERENCED);
        let engine = self.engine;
        engine.insert(self, folio, false);
        let memcg = self.folios[folio].memcg;
        self.count(memcg, Stat::pgdeactivate, u64::from(self.folios[folio].nr));
    }

    fn page_out_one(&mut self, folio: u32) {
        let mut control = super::vmscan::ScanControl {
            class: 2,
            may_swap: true,
            may_write: true,
            may_unmap: true,
            no_demotion: true,
            ..super::vmscan::ScanControl::default()
        };
        self.lru_remove(folio);
        self.folios.set(folio, flag::ISOLATED);
        let engine = self.engine;
        self.shrink_folios(engine, &mut control, &[folio]);
        if self.folios.take(folio, flag::ISOLATED) {
            self.insert_evictable(folio);
        }
    }

    /// Reads what a region has in swap, or the beginning of a file's pages that are not there.
    fn read_region(&mut self, vma: usize) {
        let object = self.vmas[vma].object;
        let nr = self.vmas[vma].ptes.len() as u32;
        let memcg = self.task;
        if !self.objects[object as usize].swapbacked {
            let most = self.knobs.read_ahead_pages.max(REQUEST_PAGES).min(nr);
            for index in 0..most {
                let absent = self.objects[object as usize].pages[index as usize].folio() == NONE;
                if absent && self.read_file_page(memcg, vma, index).is_none() {
                    break;
                }
            }
            return;
        }
        for index in 0..nr {
            let page = self.objects[object as usize].pages[index as usize];
            let away = page.folio() == NONE && page.swap() != NONE;
            if away && self.read_slot(vma, object, index, false).is_none() {
                break;
            }
        }
        self.drain(self.cpu);
    }
}
