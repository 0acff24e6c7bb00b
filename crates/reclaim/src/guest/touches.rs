//! Touches of one page after the other, as a trace has them.
//!
//! What [`touch`](Guest::touch) does for each. The usual faults, loads of pages of a file and accesses
//! to pages that are in swap in memory, for which nobody has to be asked or told ([`Guest::plain_faults`]
//! says when), are served in a run with the accesses around them: what the faults of a run have in
//! common is looked up once, and what they count and charge is settled when it ends.

use super::Policy;
use super::lru::BATCH;
use super::page::Page;
use super::stat::Stat;
use super::state::{Folio, Folios, Guest, HUGE, Leaf, NONE, flag, pte};
use super::swap::{Device, Swap};

/// Accesses that are looked ahead for at once.
const BLOCK: usize = 64;

/// What the faults of a run have in common.
#[derive(Clone, Copy)]
struct Run {
    /// 0 for pages that come from swap, 1 for pages of a file.
    kind: usize,
    /// Zone of their pages.
    zone: usize,
    /// How many of them there may be.
    room: usize,
}

/// A mapping's page table entries.
struct Entries<'a> {
    ptes: &'a mut [u8],
    /// Accessed bits of regions, none where nobody asks for them.
    regions: &'a mut [bool],
    /// Bits of which an entry has to have just `PRESENT`.
    faulting: u8,
    /// The entry of a page that came in.
    new: u8,
}

/// What page table entries say of up to [`BLOCK`] pages.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The absent ones, a bit for each page, the first one's lowest.
    absent: u64,
    /// Whether each of the others has an entry of its own that no access faults on.
    is_plain: bool,
}

impl Entries<'_> {
    /// As [`touch`](Self::touch) of pages that are plain but for the absent ones. Which ones are absent
    /// nobody can predict, so these come first, and the others need no branch: nobody looks at accessed
    /// bits in between.
    #[inline(always)]
    fn sweep(
        &mut self,
        pages: &[u32],
        mut absent: u64,
        shadows: &mut [u64],
        mut take_in: impl FnMut(usize) -> Option<u64>,
    ) -> (usize, usize) {
        const { assert!(pte::PRESENT << 1 == pte::YOUNG, "young lies above present") };
        let (mut done, mut faults) = (pages.len(), 0);
        while absent != 0 {
            let place = absent.trailing_zeros() as usize;
            absent &= absent - 1;
            let page = pages[place] as usize;
            let entry = &mut self.ptes[page];
            if *entry & pte::PRESENT != 0 {
                // It was absent twice in the block.
                continue;
            }
            if let Some(room) = shadows.get_mut(faults)
                && let Some(shadow) = take_in(page)
            {
                *entry = self.new;
                *room = shadow;
                faults += 1;
            } else {
                done = place;
                break;
            }
        }
        for page in &pages[..done] {
            let entry = &mut self.ptes[*page as usize];
            *entry |= (*entry & pte::PRESENT) << 1;
        }
        if !self.regions.is_empty() {
            pages[..done].iter().for_each(|page| self.regions[*page as usize >> 9] = true);
        }
        (done, faults)
    }

    /// Touches pages up to one that faults, whatever their entries are; gives how many were touched, and
    /// that no page came in.
    fn touch(&mut self, pages: &[u32]) -> (usize, usize) {
        for (place, page) in pages.iter().map(|page| *page as usize).enumerate() {
            let entry = &mut self.ptes[page];
            if *entry & self.faulting != pte::PRESENT {
                return (place, 0);
            }
            if *entry & pte::HUGE == 0 {
                *entry |= pte::YOUNG;
            } else {
                self.ptes[page & !(HUGE - 1)] |= pte::YOUNG;
            }
            if let Some(region) = self.regions.get_mut(page >> 9) {
                *region = true;
            }
        }
        (pages.len(), 0)
    }
}

/// Where the pages that come in during a run are noted.
struct Arrivals<'a> {
    pages: &'a mut [Page],
    leaves: &'a mut [Leaf],
    swap: &'a mut Swap,
    has_table: &'a [bool],
    folios: &'a mut Folios,
    /// The CPU's batch of new folios.
    add: &'a mut Vec<u32>,
    /// A record as theirs shall be.
    record: Folio,
}

impl Arrivals<'_> {
    /// Takes a page of a file in and gives the shadow that was there, 0 for none; `None` if somebody has
    /// to be asked first.
    #[inline(always)]
    fn read(&mut self, index: usize) -> Option<u64> {
        let page = self.pages.get_mut(index)?;
        let leaf = self.leaves.get_mut(index / 64)?;
        if page.folio() != NONE
            || !leaf.charged
            || leaf.listed
            || !*self.has_table.get(index >> 9)?
        {
            return None;
        }
        let folio = self.folios.take_free()?;
        let shadow = page.shadow();
        leaf.shadows -= u8::from(shadow != 0);
        leaf.pages += 1;
        *page = Page::resident(folio);
        self.put(index, folio);
        Some(shadow)
    }

    /// The same of a page that is in swap; its slot is free again.
    #[inline(always)]
    fn swap_in(&mut self, index: usize) -> Option<u64> {
        let page = self.pages.get_mut(index)?;
        let slot = page.swap();
        let kept = self.swap.slots.get_mut(slot as usize)?;
        let is_own = kept.owner == self.record.memcg;
        if page.folio() != NONE || !is_own || !*self.has_table.get(index >> 9)? {
            return None;
        }
        let folio = self.folios.take_free()?;
        let shadow = kept.take_shadow();
        *page = Page::resident(folio);
        self.swap.give(slot);
        self.put(index, folio);
        Some(shadow)
    }

    #[inline(always)]
    fn put(&mut self, index: usize, folio: u32) {
        let record = &mut self.folios[folio];
        *record = Folio { index: index as u32, queued: record.queued, ..self.record };
        self.add.push(folio);
    }
}

impl Guest {
    /// As [`touch`](Self::touch) for one page after the other; what they will need is read some pages
    /// ahead, so that cache misses overlap.
    pub fn touch_all(&mut self, cpu: usize, vma: u32, pages: &[u32], write: bool) {
        for block in pages.chunks(BLOCK) {
            let mut seen = self.look(vma, block, write);
            std::hint::black_box(self.warm(vma, block, seen.absent));
            let mut left = block;
            while let Some(page) = self.touch_run(cpu, vma as usize, &mut left, write, seen) {
                self.fault(cpu, vma as usize, page, write);
                seen = self.look(vma, left, write);
            }
        }
    }

    /// Touches pages up to one whose fault is not plain, which it gives.
    fn touch_run(
        &mut self,
        cpu: usize,
        vma: usize,
        pages: &mut &[u32],
        write: bool,
        seen: Seen,
    ) -> Option<u32> {
        let run = self.plain_faults(cpu, vma, write);
        let mut shadows = [0; BATCH];
        let (mut entries, mut arrivals) = self.borrow_run(cpu, vma, run, write);
        let (done, faults) = match run {
            _ if !seen.is_plain => entries.touch(pages),
            None => entries.sweep(pages, seen.absent, &mut [], |_| None),
            Some(Run { kind: 0, room, .. }) => {
                let take_in = |page| arrivals.swap_in(page);
                entries.sweep(pages, seen.absent, &mut shadows[..room], take_in)
            }
            Some(Run { room, .. }) => {
                let take_in = |page| arrivals.read(page);
                entries.sweep(pages, seen.absent, &mut shadows[..room], take_in)
            }
        };
        if let Some(run) = run
            && faults > 0
        {
            self.settle_faults(cpu, vma, run, &shadows[..faults]);
        }
        let fault = pages.get(done).copied();
        let touched = done + usize::from(fault.is_some());
        self.now += self.config.costs.hit_ns * touched as u64;
        *pages = &pages[touched..];
        fault
    }

    /// What a run of touches works on.
    #[inline(always)]
    fn borrow_run(
        &mut self,
        cpu: usize,
        vma: usize,
        run: Option<Run>,
        write: bool,
    ) -> (Entries<'_>, Arrivals<'_>) {
        let Run { kind, zone, .. } = run.unwrap_or(Run { kind: 0, zone: 0, room: 0 });
        let mapping = &mut self.vmas[vma];
        let object = &mut self.objects[mapping.object as usize];
        let (protected, flags) =
            if kind == 1 { (pte::PROTECTED, 0) } else { (0, flag::SWAPBACKED | flag::DIRTY) };
        let young = if self.is_mglru && !mapping.random { flag::ACTIVE } else { 0 };
        let record = Folio {
            object: mapping.object,
            memcg: self.procs[mapping.proc as usize].memcg,
            zone: zone as u8,
            mapped: 1,
            flags: flags | young,
            ..Folio::UNLISTED
        };
        let entries = Entries {
            ptes: &mut mapping.ptes,
            // Only walks of page tables, which the classic engine has none of, ask for regions.
            regions: if self.is_mglru { &mut mapping.region_young } else { &mut [] },
            faulting: if write { pte::PRESENT | pte::PROTECTED } else { pte::PRESENT },
            new: pte::PRESENT | pte::YOUNG | protected,
        };
        let arrivals = Arrivals {
            pages: &mut object.pages,
            leaves: &mut object.leaves,
            swap: &mut self.swap,
            has_table: &mapping.has_table,
            folios: &mut self.folios,
            add: &mut self.cpus[cpu].add,
            record,
        };
        (entries, arrivals)
    }

    /// What the next faults of a CPU on a mapping have in common, and how many of them are plain at
    /// least if their pages are in a file or in swap; `None` if none is. None of the plain ones wakes or
    /// has to wait for anybody, reads ahead, meets a limit, or fills the CPU's batch before the last one.
    #[inline(never)]
    fn plain_faults(&self, cpu: usize, vma: usize, write: bool) -> Option<Run> {
        let (mapping, costs) = (&self.vmas[vma], &self.config.costs);
        let process = &self.procs[mapping.proc as usize];
        let object = &self.objects[mapping.object as usize];
        let kind = usize::from(!object.swapbacked);
        let is_near = matches!(mapping.policy, Policy::Default | Policy::Local);
        let cost = costs.hit_ns + costs.major_ns.max(costs.swap_in_ns);
        let is_plain = is_near
            && !process.dead
            && !self.is_watched_fault()
            && self.is_quiet(self.now + BLOCK as u64 * cost)
            && match kind {
                0 => !object.shmem && !mapping.random && self.swaps_in_at_once(process.memcg),
                _ => !write && self.reads_single_pages(vma, 1),
            };
        if !is_plain {
            return None;
        }
        let (zone, pages) = self.near_pages(cpu)?;
        let room = pages.min(self.charge_room(cpu, process.memcg)) as usize;
        let room = room.min(BATCH - self.cpus[cpu].add.len());
        (room > 0).then_some(Run { kind, zone, room })
    }

    /// Whether pages of a group come from swap without a device or a store, and whether the slots that
    /// they leave change nothing for refaults, which ask whether there are any left.
    fn swaps_in_at_once(&self, memcg: u16) -> bool {
        self.swap.device == Device::Synchronous
            && !self.swap.zswap.enabled
            && self.swap_left(memcg) > 0
    }

    /// Whether somebody looks at each fault, or is owed something at the end of the next one.
    fn is_watched_fault(&self) -> bool {
        self.outside.attached
            || self.counts_charges
            || self.oom
            || self.over_high > 0
            || self.swap.zswap.needs_shrinking
    }

    /// Whether nothing is due up to a time: no write ends, no kswapd runs, no statistics are flushed.
    fn is_quiet(&self, until: u64) -> bool {
        !self.has_writes()
            && until < self.next_flush
            && !self.is_flush_old(until)
            && self.nodes.iter().all(|kswapd| kswapd.is_idle(until))
    }

    /// What the plain faults of a run take, charge, count and cost; `shadows` are those of the pages.
    #[inline(never)]
    fn settle_faults(&mut self, cpu: usize, vma: usize, run: Run, shadows: &[u64]) {
        let nr = shadows.len() as u64;
        let mapping = &mut self.vmas[vma];
        let process = &mut self.procs[mapping.proc as usize];
        process.used = true;
        let memcg = process.memcg;
        self.in_fault = !mapping.random;
        self.current_proc = mapping.proc as usize;
        (self.cpu, self.task, self.reads_cache) = (cpu, memcg, run.kind == 1);
        self.take_near_pages(run.zone, nr);
        let is_charged = self.charge(memcg, nr);
        debug_assert!(is_charged, "there was room for {nr} pages");
        self.count(memcg, Stat::pgfault, nr);
        self.count(memcg, Stat::pgmajfault, nr);
        if run.kind == 1 {
            self.vmas[vma].file_readahead.note_misses(nr as u32);
            self.memcgs[memcg as usize].file += nr as i64;
            self.now += self.config.costs.major_ns * nr;
        } else {
            self.count(memcg, Stat::pswpin, nr);
            self.outside.reading += nr;
            self.uncharge_swap(memcg, nr);
            self.memcgs[memcg as usize].anon += nr as i64;
            self.now += self.config.costs.swap_in_ns * nr;
        }
        let add = std::mem::take(&mut self.cpus[cpu].add);
        let engine = self.engine;
        engine.refault(self, &add[add.len() - shadows.len()..], shadows);
        let is_full = add.len() >= BATCH;
        self.cpus[cpu].add = add;
        if is_full {
            self.drain(cpu);
        }
        self.in_fault = false;
    }

    /// Looks at the entries of up to [`BLOCK`] pages.
    #[inline]
    fn look(&self, vma: u32, pages: &[u32], write: bool) -> Seen {
        let ptes = &self.vmas[vma as usize].ptes[..];
        // Which pages are absent nobody can predict, so they are noted without a branch: as bits, the
        // last page's on top.
        let (mut absent, mut all) = (0u64, 0);
        for page in pages {
            let entry = ptes[*page as usize];
            absent = absent >> 1 | u64::from(!entry & pte::PRESENT) << (BLOCK - 1);
            all |= entry;
        }
        let odd = if write { pte::HUGE | pte::PROTECTED } else { pte::HUGE };
        let absent = absent.checked_shr((BLOCK - pages.len()) as u32).unwrap_or(0);
        Seen { absent, is_plain: all & odd == 0 }
    }

    /// Reads what the touches of a block will need, so many of whose pages are absent; the value only
    /// keeps the reads alive.
    #[inline(never)]
    fn warm(&self, vma: u32, pages: &[u32], mut absent: u64) -> u32 {
        let object = &self.objects[self.vmas[vma as usize].object as usize];
        let (slots, leaves) = (&object.pages[..], &object.leaves[..]);
        let mut seen = 0;
        while absent != 0 {
            let page = pages[absent.trailing_zeros() as usize] as usize;
            absent &= absent - 1;
            // Private memory of a process that was killed has no pages.
            let Some(slot) = slots.get(page) else { continue };
            seen ^= match leaves.get(page / 64) {
                Some(leaf) => slot.bits() ^ u32::from(leaf.pages),
                None => self.swap.warm(slot.swap()),
            };
        }
        seen
    }
}
