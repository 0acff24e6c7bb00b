//! Processes: fork, exit, mlock.

use super::Backing;
use super::page::Page;
use super::stat::Stat;
use super::state::{Guest, NONE, Object, Vma, flag, pte};

impl Guest {
    /// Starts a child that has a region of its parent's: of private memory it shares all pages until
    /// either writes, a file is mapped a second time. Gives the child and its region.
    pub fn fork(&mut self, cpu: usize, parent_region: u32) -> (u16, u32) {
        self.cpu = cpu;
        let parent = parent_region as usize;
        let proc = self.vmas[parent].proc;
        let child = self.add_process(self.procs[proc as usize].memcg);
        let Vma { object, offset, policy, huge, .. } = self.vmas[parent];
        let pages = self.vmas[parent].ptes.len() as u32;
        if !self.is_private(object) {
            return (child, self.map_object(child, object, pages, policy, offset, huge));
        }
        let region = self.add_region(child, &Backing::Anon, pages, policy, offset, false);
        for index in 0..pages {
            if self.vmas[parent].ptes[index as usize] & pte::PRESENT != 0 {
                self.vmas[parent].ptes[index as usize] |= pte::PROTECTED;
                self.share_with_child(region as usize, index);
            }
        }
        (child, region)
    }

    /// A child's entry leads to the parent's page, for loads.
    fn share_with_child(&mut self, region: usize, index: u32) {
        self.page_table(region, index);
        self.vmas[region].ptes[index as usize] =
            pte::PRESENT | pte::YOUNG | pte::PROTECTED | pte::ZERO;
    }

    /// A load or store of a forked child. A page that its parent had swapped out is read for both.
    pub fn touch_in_child(
        &mut self,
        cpu: usize,
        parent: u32,
        region: u32,
        index: u32,
        write: bool,
    ) {
        let Vma { object, .. } = self.vmas[parent as usize];
        let page = self.objects[object as usize].pages[index as usize];
        let entry = self.vmas[region as usize].ptes[index as usize];
        let own = self.vmas[region as usize].object;
        let is_away = page.folio() == NONE && page.swap() != NONE;
        let untouched = own != object
            && entry & pte::PRESENT == 0
            && self.objects[own as usize].pages[index as usize] == Page::EMPTY;
        if untouched && is_away {
            self.touch(cpu, parent, index, false);
            if self.procs[self.vmas[region as usize].proc as usize].dead {
                return;
            }
            self.vmas[parent as usize].ptes[index as usize] |= pte::PROTECTED;
            self.share_with_child(region as usize, index);
            if !write {
                return;
            }
        }
        self.touch(cpu, region, index, write);
    }

    /// Ends a process: its anonymous memory, page tables and kernel memory are freed.
    pub fn exit(&mut self, cpu: usize, process: u16) {
        self.cpu = cpu;
        self.drain_all();
        for vma in std::mem::take(&mut self.procs[process as usize].vmas) {
            self.unmap_region(vma as usize);
        }
        self.free_tables(process);
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
    pub(super) fn forget_entry(&mut self, folio: u32, entry: u8) {
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
        if self.folios.take(folio, flag::LAZY) {
            self.folios.set(folio, flag::SWAPBACKED);
        }
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
}
