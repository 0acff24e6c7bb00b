//! What threads do: loads and stores, read() and write(), faults.

use super::page::Page;
use super::stat::Stat;
use super::state::{Folio, Guest, HUGE, NONE, flag, pte};

impl Guest {
    /// A load or store of a page of a mapping by a CPU.
    #[inline]
    pub fn touch(&mut self, cpu: usize, vma: u32, index: u32, write: bool) {
        let mapping = &mut self.vmas[vma as usize];
        let entry = &mut mapping.ptes[index as usize];
        self.now += self.config.costs.hit_ns;
        if *entry & pte::PRESENT != 0 && !(write && *entry & pte::PROTECTED != 0) {
            if *entry & pte::HUGE != 0 {
                let head = index as usize & !(HUGE - 1);
                mapping.ptes[head] |= pte::YOUNG;
            } else {
                *entry |= pte::YOUNG;
            }
            mapping.region_young[index as usize >> 9] = true;
            return;
        }
        self.fault(cpu, vma as usize, index, write);
    }

    #[inline]
    fn enter(&mut self, cpu: usize, memcg: u16) {
        self.cpu = cpu;
        self.task = memcg;
        self.reads_cache = false;
        self.flush_if_due();
        self.finish_writes();
    }

    #[inline]
    fn leave(&mut self) {
        if std::mem::take(&mut self.oom) && !self.outside.attached {
            self.end(self.current_proc as u16);
        }
        self.resched();
        self.shrink_zswap();
        if self.over_high > 0 {
            let memcg = self.task;
            let asleep = self.handle_over_high(memcg);
            self.sleep(asleep);
        }
    }

    #[inline(never)]
    pub(super) fn fault(&mut self, cpu: usize, vma: usize, index: u32, write: bool) {
        self.fault_of(self.vmas[vma].proc, cpu, vma, index, write);
    }

    /// A fault of a process, which need not be the one that has the mapping.
    pub(super) fn fault_of(
        &mut self,
        process: u16,
        cpu: usize,
        vma: usize,
        index: u32,
        write: bool,
    ) {
        let proc = &mut self.procs[process as usize];
        if proc.dead {
            return;
        }
        let entry = self.vmas[vma].ptes[index as usize];
        if entry & (pte::PRESENT | pte::ZERO) == pte::PRESENT && self.store_to_lazy(vma, index) {
            return;
        }
        let proc = &mut self.procs[process as usize];
        proc.used = true;
        let memcg = proc.memcg;
        self.current_proc = process as usize;
        self.enter(cpu, memcg);
        self.in_fault = !self.vmas[vma].random;
        self.count(memcg, Stat::pgfault, 1);
        let mapping = &mut self.vmas[vma];
        let region = index as usize >> 9;
        mapping.region_young[region] = true;
        let (object, has_table) = (mapping.object, mapping.has_table[region]);
        let entry = mapping.ptes[index as usize];
        if !has_table {
            self.page_table(vma, index);
        }
        let folio = self.objects[object as usize].pages[index as usize].folio();
        if entry & pte::PRESENT != 0 && entry & pte::ZERO == 0 {
            self.protection_fault(vma, index, folio);
        } else if folio != NONE {
            self.now += self.config.costs.minor_ns;
            if self.folios.has(folio, flag::SWAPCACHE) {
                self.swap_cache_hit(vma, folio, index, write);
            } else {
                let file = self.folios.kind(folio) == 1;
                self.install(vma, index, folio, write);
                self.note_store(folio, write);
                if file {
                    self.note_file_hit(memcg, vma, folio, index);
                }
            }
        } else if self.objects[object as usize].swapbacked {
            self.swapbacked_fault(memcg, vma, index, write);
        } else {
            self.count(memcg, Stat::pgmajfault, 1);
            self.now += self.config.costs.major_ns;
            if let Some(folio) = self.read_around(memcg, vma, index) {
                self.wait_for_read(folio);
                self.install(vma, index, folio, write);
                self.note_store(folio, write);
            }
        }
        self.in_fault = false;
        self.leave();
    }

    /// A store to a page that MADV_FREE let go faults here, but not in the kernel.
    fn store_to_lazy(&mut self, vma: usize, index: u32) -> bool {
        let object = self.vmas[vma].object as usize;
        let folio = self.objects[object].pages[index as usize].folio();
        let lazy = folio != NONE && self.folios.has(folio, flag::LAZY);
        if lazy {
            self.keep_lazy(vma, folio);
        }
        lazy
    }

    fn swapbacked_fault(&mut self, memcg: u16, vma: usize, index: u32, write: bool) {
        let object = self.vmas[vma].object;
        if self.objects[object as usize].pages[index as usize].swap() != NONE {
            self.count(memcg, Stat::pgmajfault, 1);
            self.outside.note_major();
            self.now += self.config.costs.swap_in_ns;
            self.swap_in(vma, index, write);
            return;
        }
        if !write && !self.objects[object as usize].shmem {
            self.now += self.config.costs.minor_ns;
            self.vmas[vma].ptes[index as usize] =
                pte::PRESENT | pte::YOUNG | pte::ZERO | pte::PROTECTED;
            return;
        }
        if self.vmas[vma].huge && self.huge_fault(memcg, vma, index) {
            return;
        }
        self.now += self.config.costs.anon_ns;
        let Some(folio) = self.new_page(memcg, vma, index, 1) else { return };
        self.vmas[vma].ptes[index as usize] = 0;
        self.install(vma, index, folio, true);
        self.lru_add(folio);
    }

    /// A huge page, if the whole of its range is free to have one.
    fn huge_fault(&mut self, memcg: u16, vma: usize, index: u32) -> bool {
        let first = index & !(HUGE as u32 - 1);
        let range = first as usize..first as usize + HUGE;
        let object = self.vmas[vma].object as usize;
        let fits = range.end <= self.vmas[vma].ptes.len()
            && self.vmas[vma].ptes[range.clone()].iter().all(|entry| *entry == 0)
            && self.objects[object].pages[range].iter().all(|page| *page == Page::EMPTY);
        if !fits {
            return false;
        }
        self.now += self.config.costs.huge_ns;
        let Some(folio) = self.new_page(memcg, vma, first, HUGE as u16) else { return false };
        self.vm[Stat::thp_fault_alloc] += 1;
        self.install(vma, first, folio, true);
        self.lru_add(folio);
        true
    }

    /// Allocates, charges and places a new anonymous or shmem page; it is on no list yet.
    fn new_page(&mut self, memcg: u16, vma: usize, index: u32, nr: u16) -> Option<u32> {
        let object = self.vmas[vma].object;
        let zone = self.alloc_zone(vma, index, nr > 1)?;
        if !self.charge(memcg, u64::from(nr)) {
            self.free_to_zone(zone, u64::from(nr));
            return None;
        }
        let folio = self.new_folio(object, index, zone, memcg, nr, flag::SWAPBACKED | flag::DIRTY);
        for page in index..index + u32::from(nr) {
            self.objects[object as usize].pages[page as usize].set_folio(folio);
        }
        Some(folio)
    }

    /// A folio's record.
    #[inline(always)]
    pub(super) fn new_folio(
        &mut self,
        object: u32,
        index: u32,
        zone: usize,
        memcg: u16,
        nr: u16,
        flags: u16,
    ) -> u32 {
        let zone = zone as u8;
        let folio = self.folios.take_free().unwrap_or_else(|| self.folios.push());
        let record = &mut self.folios[folio];
        let queued = record.queued;
        *record = Folio { object, index, zone, memcg, nr, flags, queued, ..Folio::UNLISTED };
        self.note_resident(folio, i64::from(nr));
        folio
    }

    /// Counts a folio's pages among its group's resident ones.
    #[inline(always)]
    pub(super) fn note_resident(&mut self, folio: u32, by: i64) {
        let record = &self.folios[folio];
        let memcg = record.memcg;
        let group = &mut self.memcgs[memcg as usize];
        if record.kind() == 1 {
            group.file += by;
        } else if self.objects[record.object as usize].shmem {
            group.file += by;
            group.shmem += by;
        } else {
            group.anon += by;
        }
        if self.counts_charges {
            self.note_charges(memcg, self.node_of(folio), by.unsigned_abs());
        }
    }

    /// Reads a page of a file into the page cache.
    pub(super) fn read_file_page(&mut self, memcg: u16, vma: usize, index: u32) -> Option<u32> {
        self.reads_cache = true;
        let object = self.vmas[vma].object;
        let zone = self.alloc_zone(vma, index, false)?;
        if !self.charge(memcg, 1) {
            self.free_to_zone(zone, 1);
            return None;
        }
        let folio = self.new_folio(object, index, zone, memcg, 1, 0);
        if let Some(done) = self.outside.file_read(self.now, object, index) {
            self.sleep(done.saturating_sub(self.now));
        }
        let shadow = self.cache_insert(object, index, folio);
        if shadow != 0 {
            let engine = self.engine;
            engine.refault(self, &[folio], &[shadow]);
        }
        self.lru_add(folio);
        Some(folio)
    }

    /// Maps a folio's page, young.
    #[inline(always)]
    pub(super) fn install(&mut self, vma: usize, index: u32, folio: u32, write: bool) {
        let record = &mut self.folios[folio];
        record.mapped += 1;
        let mapping = &mut self.vmas[vma];
        if record.nr > 1 {
            let (first, nr) = (record.index as usize, record.nr as usize);
            mapping.ptes[first..first + nr].fill(pte::PRESENT | pte::HUGE);
            mapping.ptes[first] |= pte::YOUNG;
            if record.mapped == 1 {
                self.note_huge_mapping(folio, 1);
            }
            self.log_mapped(vma, first as u32, folio);
            return;
        }
        let protected = if record.kind() == 1 && !write { pte::PROTECTED } else { 0 };
        mapping.ptes[index as usize] = pte::PRESENT | pte::YOUNG | protected;
        self.log_mapped(vma, index, folio);
    }

    /// Maps all pages of a huge page by entries of their own, each of them young.
    pub(super) fn install_by_pages(&mut self, vma: usize, folio: u32, write: bool) {
        let record = &mut self.folios[folio];
        record.mapped += 1;
        let (first, nr) = (record.index as usize, record.nr as usize);
        let protected = if write { 0 } else { pte::PROTECTED };
        let mapping = &mut self.vmas[vma];
        mapping.ptes[first..first + nr].fill(pte::PRESENT | pte::YOUNG | protected);
        mapping.region_young[first >> 9] = true;
    }

    /// Counts a huge page that some page table maps by one entry (`sign` 1), or none any more (-1):
    /// what anon_thp is.
    pub(super) fn note_huge_mapping(&mut self, folio: u32, sign: i64) {
        let Folio { object, memcg, nr, .. } = self.folios[folio];
        if !self.objects[object as usize].shmem {
            self.memcgs[memcg as usize].anon_huge += sign * i64::from(nr);
        }
    }

    fn note_store(&mut self, folio: u32, write: bool) {
        if !write {
            return;
        }
        if self.folios.kind(folio) == 1 {
            self.dirty_file_page(folio);
            self.balance_dirty(self.task);
        } else {
            self.folios.set(folio, flag::DIRTY);
        }
    }

    /// A store to a page that is mapped for loads only.
    fn protection_fault(&mut self, vma: usize, index: u32, folio: u32) {
        self.now += self.config.costs.minor_ns;
        if folio == NONE {
            return;
        }
        if self.folios.kind(folio) == 1 {
            self.dirty_file_page(folio);
            self.balance_dirty(self.task);
        } else {
            self.vm[Stat::pgreuse] += 1;
            if self.folios.has(folio, flag::SWAPCACHE) {
                self.free_swap_of(folio);
            }
            self.folios.set(folio, flag::DIRTY);
        }
        if self.vmas[vma].ptes[index as usize] & pte::HUGE != 0 {
            let first = self.folios[folio].index as usize;
            let ptes = &mut self.vmas[vma].ptes[first..first + HUGE];
            ptes.iter_mut().for_each(|entry| *entry &= !pte::PROTECTED);
            ptes[0] |= pte::YOUNG;
            return;
        }
        self.vmas[vma].ptes[index as usize] = pte::PRESENT | pte::YOUNG;
    }

    /// Gives a mapping the page tables for a page.
    #[inline]
    pub(super) fn page_table(&mut self, vma: usize, index: u32) {
        let region = index as usize >> 9;
        if self.vmas[vma].has_table[region] {
            return;
        }
        let proc = self.vmas[vma].proc as usize;
        let mut tables = 1;
        // The first table of a GiB brings its directory, a process's first one more.
        let gib = region & !511;
        let end = (gib + 512).min(self.vmas[vma].has_table.len());
        if !self.vmas[vma].has_table[gib..end].iter().any(|has| *has) {
            tables += 1;
        }
        if !std::mem::replace(&mut self.procs[proc].has_upper_table, true) {
            tables += 1;
        }
        self.vmas[vma].has_table[region] = true;
        for _ in 0..tables {
            let zone = self.alloc_kernel_page();
            self.procs[proc].table_zones.extend(zone.map(|zone| zone as u8));
            self.charge_kernel(proc as u16, 1);
        }
    }

    /// pread() or pwrite() of a whole page of a file.
    pub fn file_io(&mut self, cpu: usize, vma: u32, index: u32, write: bool) {
        if self.objects[self.vmas[vma as usize].object as usize].swapbacked {
            // tmpfs keeps no file behind its pages; a copy is like a touch here.
            self.touch(cpu, vma, index, write);
            return;
        }
        let vma = vma as usize;
        let memcg = self.procs[self.vmas[vma].proc as usize].memcg;
        let proc = self.vmas[vma].proc as usize;
        if self.procs[proc].dead {
            return;
        }
        self.procs[proc].used = true;
        self.current_proc = proc;
        self.enter(cpu, memcg);
        self.now += self.config.costs.read_ns;
        let object = self.vmas[vma].object;
        let mut folio = self.objects[object as usize].pages[index as usize].folio();
        if folio == NONE {
            self.now += self.config.costs.read_miss_ns;
            let Some(read) = self.read_file_page(memcg, vma, index) else {
                self.leave();
                return;
            };
            folio = read;
            if !write {
                self.wait_for_read(folio);
            }
        }
        if self.objects[object as usize].last_read != index || write {
            let engine = self.engine;
            engine.mark_accessed(self, folio);
        }
        self.objects[object as usize].last_read = index;
        if write {
            self.dirty_file_page(folio);
            self.balance_dirty(memcg);
        }
        self.leave();
    }
}
