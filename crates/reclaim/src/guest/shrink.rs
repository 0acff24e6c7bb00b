//! The decision about each page that was taken off a cold list.

use super::outside::Change;
use super::stat::Stat;
use super::state::{Folio, Guest, NONE, flag, pte};
use super::swap::Written;
use super::vmscan::ScanControl;
use crate::mapped::{Seen, Verdict};

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) freed: u64,
    /// Pages sent to a device.
    pub(super) written: u64,
    pub(super) dirty: u64,
    pub(super) congested: u64,
    pub(super) immediate: u64,
    /// Dirty file pages that nobody writes yet.
    pub(super) unqueued: u64,
}

impl Guest {
    /// Reads what deciding about a batch will need, so that cache misses overlap.
    pub(super) fn warm_batch(&self, taken: &[u32]) {
        let mut last = NONE;
        let (mut ptes, mut pages, mut leaves) = (&[][..], &[][..], &[][..]);
        let mut seen = 0;
        for folio in taken {
            let Folio { object, index, .. } = self.folios[*folio];
            if object != last {
                last = object;
                let object = &self.objects[object as usize];
                (pages, leaves) = (&object.pages, &object.leaves);
                ptes = object.vmas.first().map_or(&[], |vma| &self.vmas[*vma as usize].ptes);
            }
            let index = index as usize;
            seen ^= pages[index].bits();
            if let Some(entry) = ptes.get(index) {
                seen ^= u32::from(*entry);
            }
            if let Some(leaf) = leaves.get(index / 64) {
                seen ^= u32::from(leaf.pages);
            }
        }
        if taken.first().is_some_and(|first| self.folios.has(*first, flag::SWAPBACKED)) {
            seen ^= self.swap.warm_unused(taken.len());
        }
        std::hint::black_box(seen);
    }

    /// Decides about isolated folios of a lruvec, oldest first. Those that stay keep `ISOLATED` set
    /// and their flags say where they belong.
    pub(super) fn shrink_folios(&mut self, control: &mut ScanControl, taken: &[u32]) -> Outcome {
        self.resched();
        let mut outcome = Outcome::default();
        let mut demoted = Vec::new();
        let mglru = self.is_mglru;
        let demotes = taken.first().is_some_and(|first| {
            let node = self.node_of(*first);
            self.can_demote(node, control)
        });
        for folio in taken.iter().copied() {
            self.now += self.config.costs.scan_ns;
            self.end_due_writes();
            match self.look_at(control, folio, mglru, &mut outcome) {
                Verdict::Reclaim | Verdict::ReclaimClean if demotes => demoted.push(folio),
                Verdict::Keep => {}
                Verdict::Activate => self.activate_isolated(folio),
                verdict => {
                    let nr = u64::from(self.folios[folio].nr);
                    let only_clean = verdict == Verdict::ReclaimClean;
                    if self.pageout(control, folio, nr, &mut outcome, only_clean) {
                        outcome.freed += nr;
                    }
                }
            }
        }
        outcome.freed += self.demote(control, &demoted, &mut outcome);
        outcome
    }

    /// What becomes of a folio.
    #[inline]
    fn look_at(
        &mut self,
        control: &ScanControl,
        folio: u32,
        mglru: bool,
        outcome: &mut Outcome,
    ) -> Verdict {
        let Folio { flags, mapped, nr, .. } = self.folios[folio];
        let has = |flag| flags & flag != 0;
        let busy = mapped > 0 && (!control.may_unmap || mglru && has(flag::REFERENCED));
        if has(flag::MLOCKED | flag::LOCKED) || busy {
            return Verdict::Keep;
        }
        if has(flag::DIRTY) && !has(flag::SWAPBACKED) {
            outcome.dirty += u64::from(nr);
            if !has(flag::WRITEBACK) {
                outcome.unqueued += u64::from(nr);
            }
        }
        if has(flag::WRITEBACK) {
            outcome.dirty += u64::from(nr);
            if has(flag::RECLAIM) {
                outcome.congested += u64::from(nr);
            }
            // The flag makes the end of the write rotate the page to the tail.
            self.folios.set(folio, flag::RECLAIM);
            return Verdict::Activate;
        }
        self.check_references(control, folio)
    }

    #[inline]
    fn activate_isolated(&mut self, folio: u32) {
        if self.folios.has(folio, flag::SWAPCACHE) && self.swap_full(folio) {
            self.free_swap_of(folio);
        }
        if !self.folios.has(folio, flag::MLOCKED) {
            self.folios.set(folio, flag::ACTIVE);
            let memcg = self.folios[folio].memcg;
            let nr = u64::from(self.folios[folio].nr);
            self.count(memcg, Stat::pgactivate, nr);
        }
    }

    #[inline]
    fn check_references(&mut self, control: &ScanControl, folio: u32) -> Verdict {
        let engine = self.engine;
        let young = engine.references(self, control, folio);
        let record = &mut self.folios[folio];
        let marked = record.has(flag::REFERENCED);
        let mark = if young > 0 { flag::REFERENCED } else { 0 };
        record.flags = record.flags & !flag::REFERENCED | mark;
        let file = record.kind() == 1;
        let executable = young > 0 && self.objects[record.object as usize].executable;
        self.mapped_pages.decide(&Seen { young, marked, file, executable })
    }

    /// Swaps out, marks for reclaim, or frees.
    #[inline]
    pub(super) fn pageout(
        &mut self,
        control: &mut ScanControl,
        folio: u32,
        nr: u64,
        outcome: &mut Outcome,
        only_clean: bool,
    ) -> bool {
        if self.folios.has(folio, flag::SWAPBACKED) && !self.give_swap(control, folio) {
            return false;
        }
        self.unmap_all(folio);
        if self.folios.has(folio, flag::DIRTY)
            && !self.write_out(control, folio, nr, outcome, only_clean)
        {
            return false;
        }
        self.free_evicted(folio, control.target);
        true
    }

    /// Puts a folio into the swap cache; if it may not go there, it is activated.
    fn give_swap(&mut self, control: &ScanControl, folio: u32) -> bool {
        if self.folios.has(folio, flag::SWAPCACHE) {
            return true;
        }
        if !control.may_swap || !self.add_to_swap(folio) {
            self.activate_isolated(folio);
            return false;
        }
        self.folios.set(folio, flag::DIRTY);
        true
    }

    /// Whether a dirty folio is clean now. If not, it is being written, left to the flusher, or stays.
    fn write_out(
        &mut self,
        control: &ScanControl,
        folio: u32,
        nr: u64,
        outcome: &mut Outcome,
        only_clean: bool,
    ) -> bool {
        let record = &mut self.folios[folio];
        if record.kind() == 1 {
            // Only kswapd may write file pages, and leaves it to the flusher here.
            record.flags |= flag::RECLAIM;
            self.vm[Stat::nr_vmscan_immediate_reclaim] += nr;
            self.activate_isolated(folio);
            outcome.immediate += nr;
            return false;
        }
        if only_clean || !control.may_write {
            return false;
        }
        record.flags = record.flags & !flag::DIRTY | flag::RECLAIM;
        match self.write_to_swap(folio, nr) {
            Written::Done => {
                outcome.written += nr;
                self.folios.clear(folio, flag::RECLAIM);
                true
            }
            Written::InFlight => {
                outcome.written += nr;
                false
            }
            Written::Refused => {
                self.folios.clear(folio, flag::RECLAIM);
                self.folios.set(folio, flag::DIRTY);
                self.activate_isolated(folio);
                false
            }
        }
    }

    /// Takes a clean, unmapped folio out of its object, leaving a shadow.
    #[inline(always)]
    pub(super) fn free_evicted(&mut self, folio: u32, target: u16) {
        let engine = self.engine;
        let shadow = engine.evict(self, folio, target);
        let record = self.folios[folio];
        let (object, first) = (record.object, record.index);
        if record.kind() == 1 {
            let node = self.zones[record.zone as usize].node;
            self.cache_delete(object, first, shadow, node);
        } else {
            for index in first..first + u32::from(record.nr) {
                let page = &mut self.objects[object as usize].pages[index as usize];
                page.set_folio(NONE);
                self.swap.keep_shadow(page.swap(), shadow);
            }
        }
        self.release_folio(folio);
    }

    /// Gives a folio that is off its list back: uncharges it, frees its page.
    #[inline(always)]
    pub(super) fn release_folio(&mut self, folio: u32) {
        let Folio { memcg, nr, zone, .. } = self.folios[folio];
        self.note_resident(folio, -i64::from(nr));
        self.uncharge_counter(memcg, u64::from(nr));
        self.free_to_zone(zone as usize, u64::from(nr));
        self.folios.release(folio);
    }

    /// Removes all page table entries of a folio.
    #[inline(always)]
    pub(super) fn unmap_all(&mut self, folio: u32) {
        let Folio { object, index: first, nr, mapped, .. } = self.folios[folio];
        if mapped == 0 {
            return;
        }
        let (object, first) = (object as usize, first as usize);
        self.folios[folio].mapped = 0;
        if let [only] = self.objects[object].vmas[..]
            && nr == 1
            && !self.outside.attached
            && let Some(entry) = self.vmas[only as usize].ptes.get_mut(first)
        {
            if *entry & pte::PRESENT != 0 {
                *entry = 0;
            }
            return;
        }
        for place in 0..self.objects[object].vmas.len() {
            let vma = self.objects[object].vmas[place] as usize;
            let mapping = &mut self.vmas[vma];
            let end = (first + nr as usize).min(mapping.ptes.len());
            let pages = first.min(end)..end;
            let mut had = false;
            for entry in &mut mapping.ptes[pages.clone()] {
                if *entry & pte::PRESENT != 0 {
                    *entry = 0;
                    had = true;
                }
            }
            if self.outside.attached {
                self.harvest_dirty(folio, vma, pages);
                if had {
                    let (region, page) = (vma as u32, first as u32);
                    self.outside.log(Change::Unmapped { region, page });
                }
            }
            if had && nr > 1 {
                self.vm[Stat::thp_split_pmd] += 1;
            }
        }
    }
}
