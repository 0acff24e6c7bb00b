//! Processes: fork, exit, mlock, madvise.

use super::stat::Stat;
use super::state::{Guest, NONE, Object, flag, pte};
use super::{Backing, Policy};

/// What madvise() is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// MADV_DONTNEED and MADV_FREE: the pages are dropped.
    DontNeed,
    /// MADV_COLD: the pages go to the cold end.
    Cold,
    /// MADV_PAGEOUT: the pages are reclaimed.
    PageOut,
}

impl Guest {
    /// Starts a child whose region shares all pages of a parent's until either writes; gives the
    /// child and its region.
    pub fn fork(&mut self, cpu: usize, parent_region: u32) -> (u16, u32) {
        self.cpu = cpu;
        let parent = parent_region as usize;
        let proc = self.vmas[parent].proc;
        let child = self.add_process(self.procs[proc as usize].memcg);
        let pages = self.vmas[parent].ptes.len() as u32;
        let region = self.add_region(child, &Backing::Anon, pages, Policy::Default, 0, false);
        for index in 0..pages {
            if self.vmas[parent].ptes[index as usize] & pte::PRESENT != 0 {
                self.vmas[parent].ptes[index as usize] |= pte::PROTECTED;
                self.page_table(region as usize, index);
                let copied = pte::PRESENT | pte::YOUNG | pte::PROTECTED | pte::ZERO;
                self.vmas[region as usize].ptes[index as usize] = copied;
            }
        }
        (child, region)
    }

    /// Ends a process: its anonymous memory, page tables and kernel memory are freed.
    pub fn exit(&mut self, cpu: usize, process: u16) {
        self.cpu = cpu;
        self.drain_all();
        for vma in std::mem::take(&mut self.procs[process as usize].vmas) {
            self.unmap_region(vma as usize);
        }
        let proc = &mut self.procs[process as usize];
        proc.exited = true;
        let zones = std::mem::take(&mut proc.table_zones);
        for (memcg, pages) in std::mem::take(&mut proc.kernel_memory) {
            self.uncharge_counter(memcg, pages);
        }
        for zone in zones {
            self.free_to_zone(zone as usize, 1);
        }
    }

    /// munmap() of a whole region.
    pub fn unmap(&mut self, cpu: usize, region: u32) {
        self.cpu = cpu;
        self.drain_all();
        self.unmap_region(region as usize);
        let proc = self.vmas[region as usize].proc as usize;
        self.procs[proc].vmas.retain(|other| *other != region);
    }

    fn unmap_region(&mut self, vma: usize) {
        let object = self.vmas[vma].object;
        let private =
            self.objects[object as usize].swapbacked && !self.objects[object as usize].shmem;
        for index in 0..self.vmas[vma].ptes.len() {
            let entry = std::mem::take(&mut self.vmas[vma].ptes[index]);
            let folio = self.objects[object as usize].pages[index].folio();
            if folio == NONE {
                continue;
            }
            if private {
                self.drop_page(folio);
            } else {
                self.forget_entry(folio, entry);
            }
        }
        if private {
            for index in 0..self.objects[object as usize].pages.len() as u32 {
                self.free_slot(object, index);
            }
        }
        self.objects[object as usize].vmas.retain(|other| *other as usize != vma);
        if private {
            self.objects[object as usize] = Object { swapbacked: true, ..Object::default() };
        }
    }

    /// A page table entry that led to a folio is gone; an accessed bit in it counts as an access.
    fn forget_entry(&mut self, folio: u32, entry: u8) {
        if entry & pte::PRESENT == 0 || folio == NONE {
            return;
        }
        let mapped = &mut self.folios[folio].mapped;
        *mapped = mapped.saturating_sub(1);
        if entry & pte::YOUNG != 0 && self.folios.kind(folio) == 1 {
            let engine = self.engine;
            engine.mark_accessed(self, folio);
        }
    }

    /// Frees an anonymous page for good.
    pub(super) fn drop_page(&mut self, folio: u32) {
        self.lru_remove(folio);
        self.unmap_all(folio);
        if self.folios.has(folio, flag::SWAPCACHE) {
            self.free_swap_of(folio);
        }
        let (object, first) = (self.folios[folio].object, self.folios[folio].index);
        let nr = u32::from(self.folios[folio].nr);
        for page in &mut self.objects[object as usize].pages[first as usize..(first + nr) as usize]
        {
            page.set_folio(NONE);
        }
        self.writes.retain(|_, other| *other != folio);
        self.release_folio(folio);
    }

    /// mlock() of a whole region.
    pub fn lock(&mut self, cpu: usize, region: u32) {
        let pages = self.vmas[region as usize].ptes.len() as u32;
        self.vmas[region as usize].locked = true;
        for index in 0..pages {
            if self.vmas[region as usize].ptes[index as usize] & pte::PRESENT == 0 {
                self.touch(cpu, region, index, true);
            }
        }
        if self.procs[self.vmas[region as usize].proc as usize].dead {
            return;
        }
        self.drain_all();
        let object = self.vmas[region as usize].object as usize;
        for index in 0..pages as usize {
            let folio = self.objects[object].pages[index].folio();
            if folio != NONE && !self.folios.has(folio, flag::MLOCKED) {
                self.lru_remove(folio);
                self.folios.set(folio, flag::MLOCKED);
                self.insert_evictable(folio);
            }
        }
    }

    /// munlock() of a whole region: its pages can be evicted again.
    pub fn unlock(&mut self, cpu: usize, region: u32) {
        self.cpu = cpu;
        self.vmas[region as usize].locked = false;
        if self.procs[self.vmas[region as usize].proc as usize].dead {
            return;
        }
        self.drain_all();
        let object = self.vmas[region as usize].object as usize;
        let memcg = self.procs[self.vmas[region as usize].proc as usize].memcg;
        for index in 0..self.vmas[region as usize].ptes.len() {
            let folio = self.objects[object].pages[index].folio();
            if folio == NONE || !self.folios.has(folio, flag::MLOCKED) {
                continue;
            }
            let nr = u64::from(self.folios[folio].nr);
            self.lru_remove(folio);
            self.folios.clear(folio, flag::MLOCKED | flag::UNEVICTABLE);
            self.insert_evictable(folio);
            self.count(memcg, Stat::unevictable_pgs_munlocked, nr);
            self.count(memcg, Stat::unevictable_pgs_rescued, nr);
        }
    }

    /// madvise() of a whole region.
    pub fn advise(&mut self, cpu: usize, region: u32, advice: Advice) {
        self.cpu = cpu;
        self.drain_all();
        let vma = region as usize;
        if self.procs[self.vmas[vma].proc as usize].dead {
            return;
        }
        let object = self.vmas[vma].object;
        let private =
            self.objects[object as usize].swapbacked && !self.objects[object as usize].shmem;
        for index in 0..self.vmas[vma].ptes.len() {
            let folio = self.objects[object as usize].pages[index].folio();
            if folio == NONE && private && advice == Advice::DontNeed {
                self.free_slot(object, index as u32);
            }
            if folio == NONE || self.folios.has(folio, flag::MLOCKED) {
                continue;
            }
            match advice {
                Advice::DontNeed if private => self.drop_page(folio),
                Advice::DontNeed => {
                    let entry = std::mem::take(&mut self.vmas[vma].ptes[index]);
                    self.forget_entry(folio, entry);
                }
                Advice::Cold => self.make_cold(folio),
                Advice::PageOut => {
                    self.make_cold(folio);
                    self.page_out_one(folio);
                }
            }
        }
        self.send_plugged();
    }

    fn make_cold(&mut self, folio: u32) {
        self.take_young(folio, 0);
        let was_active = self.folios.has(folio, flag::ACTIVE);
        self.lru_remove(folio);
        self.folios.clear(folio, flag::ACTIVE | flag::REFERENCED);
        let engine = self.engine;
        engine.insert(self, folio, true);
        if was_active {
            let memcg = self.folios[folio].memcg;
            self.count(memcg, Stat::pgdeactivate, u64::from(self.folios[folio].nr));
        }
    }

    fn page_out_one(&mut self, folio: u32) {
        let mut control = super::vmscan::ScanControl {
            class: 2,
            may_swap: true,
            may_write: true,
            may_unmap: true,
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
}
