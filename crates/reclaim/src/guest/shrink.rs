//! The decision about each page that was taken off a cold list.

use super::outside::Change;
use super::stat::Stat;
use super::state::{Guest, NONE, flag, pte};
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
    /// Reads what deciding about a batch will need, a kind after the other, so that cache misses
    /// overlap.
    pub(super) fn warm_batch(&self, taken: &[u32]) {
        let place = |folio: u32| {
            let object = &self.objects[self.folios[folio].object as usize];
            (object, self.folios[folio].index as usize)
        };
        let mut seen = 0;
        for folio in taken {
            let (object, index) = place(*folio);
            if let Some(vma) = object.vmas.first() {
                let entry = self.vmas[*vma as usize].ptes.get(index);
                seen ^= u32::from(entry.copied().unwrap_or(0));
            }
            seen ^= object.pages[index];
        }
        for folio in taken {
            let (object, index) = place(*folio);
            let shadow = object.shadow.get(index).copied().unwrap_or(0);
            let leaf = object.leaves.get(index / 64).map_or(0, |leaf| leaf.pages);
            seen ^= shadow as u32 ^ u32::from(leaf);
            seen ^= object.swap.get(index).copied().unwrap_or(0);
        }
        std::hint::black_box(seen);
    }

    /// Decides about isolated folios, oldest first. Those that stay keep `ISOLATED` set and their
    /// flags say where they belong.
    pub(super) fn shrink_folios(&mut self, control: &mut ScanControl, taken: &[u32]) -> Outcome {
        let mut outcome = Outcome::default();
        let mut demoted = Vec::new();
        for folio in taken.iter().copied() {
            let nr = u64::from(self.folios[folio].nr);
            self.now += self.config.costs.scan_ns;
            self.end_due_writes();
            if self.shrink_folio(control, folio, nr, &mut outcome, &mut demoted) {
                outcome.freed += nr;
            }
        }
        outcome.freed += self.demote(control, &demoted, &mut outcome);
        outcome
    }

    /// Whether the folio was freed.
    #[inline]
    fn shrink_folio(
        &mut self,
        control: &mut ScanControl,
        folio: u32,
        nr: u64,
        outcome: &mut Outcome,
        demoted: &mut Vec<u32>,
    ) -> bool {
        let mglru = self.engine.is_mglru();
        if self.folios.has(folio, flag::MLOCKED | flag::LOCKED) {
            return false;
        }
        if !control.may_unmap && self.folios[folio].mapped > 0 {
            return false;
        }
        if mglru && self.folios[folio].mapped > 0 && self.folios.has(folio, flag::REFERENCED) {
            return false;
        }
        if self.folios.has(folio, flag::DIRTY) && self.folios.kind(folio) == 1 {
            outcome.dirty += nr;
            if !self.folios.has(folio, flag::WRITEBACK) {
                outcome.unqueued += nr;
            }
        }
        if self.folios.has(folio, flag::WRITEBACK) {
            return self.meet_writeback(folio, nr, outcome);
        }
        let references = self.check_references(control, folio);
        match references {
            Verdict::Activate => {
                self.activate_isolated(folio);
                return false;
            }
            Verdict::Keep => return false,
            Verdict::ReclaimClean | Verdict::Reclaim => {}
        }
        if self.can_demote(self.node_of(folio), control) {
            demoted.push(folio);
            return false;
        }
        self.pageout(control, folio, nr, outcome, references == Verdict::ReclaimClean)
    }

    fn meet_writeback(&mut self, folio: u32, nr: u64, outcome: &mut Outcome) -> bool {
        outcome.dirty += nr;
        if self.folios.has(folio, flag::RECLAIM) {
            outcome.congested += nr;
        }
        // The flag makes the end of the write rotate the page to the tail.
        self.folios.set(folio, flag::RECLAIM);
        self.activate_isolated(folio);
        false
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
        let marked = self.folios.take(folio, flag::REFERENCED);
        if young > 0 {
            self.folios.set(folio, flag::REFERENCED);
        }
        let object = self.folios[folio].object as usize;
        let executable = young > 0 && self.objects[object].executable;
        let file = self.folios.kind(folio) == 1;
        self.mapped_pages.decide(&Seen { young, marked, file, executable })
    }

    /// Swaps out, marks for reclaim, or frees.
    pub(super) fn pageout(
        &mut self,
        control: &mut ScanControl,
        folio: u32,
        nr: u64,
        outcome: &mut Outcome,
        only_clean: bool,
    ) -> bool {
        if self.folios.has(folio, flag::SWAPBACKED) && !self.folios.has(folio, flag::SWAPCACHE) {
            if !control.may_swap || !self.add_to_swap(folio) {
                self.activate_isolated(folio);
                return false;
            }
            self.folios.set(folio, flag::DIRTY);
        }
        self.unmap_all(folio);
        if self.folios.has(folio, flag::DIRTY) {
            if self.folios.kind(folio) == 1 {
                // Only kswapd may write file pages, and leaves it to the flusher here.
                self.vm[Stat::nr_vmscan_immediate_reclaim] += nr;
                self.folios.set(folio, flag::RECLAIM);
                self.activate_isolated(folio);
                outcome.immediate += nr;
                return false;
            }
            if only_clean || !control.may_write {
                return false;
            }
            self.folios.clear(folio, flag::DIRTY);
            self.folios.set(folio, flag::RECLAIM);
            match self.write_to_swap(folio, nr) {
                Written::Done => outcome.written += nr,
                Written::InFlight => {
                    outcome.written += nr;
                    return false;
                }
                Written::Refused => {
                    self.folios.clear(folio, flag::RECLAIM);
                    self.folios.set(folio, flag::DIRTY);
                    self.activate_isolated(folio);
                    return false;
                }
            }
            self.folios.clear(folio, flag::RECLAIM);
        }
        self.free_evicted(folio, control.target);
        true
    }

    /// Takes a clean, unmapped folio out of its object, leaving a shadow.
    #[inline]
    pub(super) fn free_evicted(&mut self, folio: u32, target: u16) {
        let engine = self.engine;
        let (object, first) = (self.folios[folio].object, self.folios[folio].index);
        let nr = u32::from(self.folios[folio].nr);
        let node = self.node_of(folio);
        let shadow = engine.evict(self, folio, target);
        for index in first..first + nr {
            if self.folios.has(folio, flag::SWAPBACKED) {
                let slot = self.objects[object as usize].swap[index as usize];
                self.swap.keep_shadow(slot, shadow);
                self.objects[object as usize].pages[index as usize] = NONE;
            } else {
                self.cache_delete(object, index, shadow, node);
            }
        }
        self.release_folio(folio);
    }

    /// Gives a folio that is off its list back: uncharges it, frees its page.
    #[inline]
    pub(super) fn release_folio(&mut self, folio: u32) {
        let memcg = self.folios[folio].memcg;
        let nr = u64::from(self.folios[folio].nr);
        self.note_resident(folio, -(nr as i64));
        self.uncharge_counter(memcg, nr);
        let zone = self.folios[folio].zone as usize;
        self.free_to_zone(zone, nr);
        self.folios[folio].flags = 0;
        self.folios.release(folio);
    }

    /// Removes all page table entries of a folio.
    #[inline]
    pub(super) fn unmap_all(&mut self, folio: u32) {
        if self.folios[folio].mapped == 0 {
            return;
        }
        let object = self.folios[folio].object as usize;
        let first = self.folios[folio].index as usize;
        let nr = self.folios[folio].nr as usize;
        for place in 0..self.objects[object].vmas.len() {
            let vma = self.objects[object].vmas[place] as usize;
            let mut had = false;
            let end = (first + nr).min(self.vmas[vma].ptes.len());
            self.harvest_dirty(folio, vma, first.min(end)..end);
            for entry in &mut self.vmas[vma].ptes[first.min(end)..end] {
                if *entry & pte::PRESENT != 0 {
                    *entry = 0;
                    had = true;
                }
            }
            if had {
                let (region, page) = (vma as u32, first as u32);
                self.outside.log(Change::Unmapped { region, page });
            }
            if had && nr > 1 {
                self.vm[Stat::thp_split_pmd] += u64::from(nr > 1);
            }
        }
        self.folios[folio].mapped = 0;
    }
}
