//! The decision about each page that was taken off a cold list.

use super::engine::Engine;
use super::outside::Change;
use super::stat::Stat;
use super::state::{Folio, Guest, NONE, flag, pte};
use super::swap::Written;
use super::vmscan::ScanControl;
use crate::mapped::{Answers, Seen, Verdict};

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
    /// Pages of `freed` that left a shadow, not a copy on another node.
    pub(super) evicted: u64,
    pub(super) unsettled: Freed,
}

/// Folios that are decided about at once.
pub(super) const LOOK: usize = 32;

/// What was decided about folios of a batch, where it was.
pub(super) type Verdicts = [Option<Verdict>; LOOK];

/// Flags of folios that are looked at one by one, in their turn: what ends in between may change them.
pub(super) const BUSY: u16 = flag::MLOCKED | flag::LOCKED | flag::WRITEBACK;

/// Base pages of a group and a zone that are off their lists and not given back yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freed {
    memcg: u16,
    zone: u8,
    /// Anonymous, file.
    pub(super) pages: [i64; 2],
}

/// What becomes of a folio, so many of whose accessed bits were set, by a rule; it is marked for the
/// next look.
#[inline]
pub(super) fn decide(rule: &Answers, folio: &mut Folio, young: u32, executable: bool) -> Verdict {
    let (marked, file) = (folio.has(flag::REFERENCED), folio.kind() == 1);
    let mark = if young > 0 { flag::REFERENCED } else { 0 };
    folio.flags = folio.flags & !flag::REFERENCED | mark;
    rule.verdict(&Seen { young, marked, file, executable: executable && young > 0 })
}

impl Guest {
    /// Decides about isolated folios of a lruvec, oldest first. Those that stay keep `ISOLATED` set
    /// and their flags say where they belong.
    #[inline(never)]
    pub(super) fn shrink_folios<E: Engine + ?Sized>(
        &mut self,
        engine: &E,
        control: &mut ScanControl,
        taken: &[u32],
    ) -> Outcome {
        self.resched();
        let mut outcome = Outcome::default();
        let Some(node) = taken.first().map(|first| self.node_of(*first)) else { return outcome };
        let mut demoted = Vec::new();
        let demotes = self.can_demote(node, control);
        for look in taken.chunks(LOOK) {
            let mut verdicts = [None; LOOK];
            engine.judge(self, control, look, &mut verdicts);
            if self.folios.has(look[0], flag::SWAPBACKED) {
                std::hint::black_box(self.swap.warm_unused(look.len()));
            }
            let plain = !demotes && verdicts[0].is_some() && self.may_be_plain(control, look);
            let (mut look, mut verdicts) = (look, &verdicts[..]);
            loop {
                if plain {
                    let done = self.settle_plain(engine, control, look, verdicts, &mut outcome);
                    (look, verdicts) = (&look[done..], &verdicts[done..]);
                }
                let Some((folio, left)) = look.split_first() else { break };
                let (verdict, left_verdicts) = verdicts.split_first().unwrap_or((&None, &[]));
                (look, verdicts) = (left, left_verdicts);
                self.now += self.config.costs.keep_ns;
                self.end_due_writes();
                let verdict =
                    verdict.unwrap_or_else(|| self.look_at(engine, control, *folio, &mut outcome));
                if !matches!(verdict, Verdict::Keep | Verdict::Activate) {
                    self.now += self.config.costs.scan_ns.saturating_sub(self.config.costs.keep_ns);
                }
                match verdict {
                    Verdict::Keep => {}
                    Verdict::Activate => self.activate_isolated(*folio),
                    _ if demotes => demoted.push(*folio),
                    _ => {
                        let only_clean = verdict == Verdict::ReclaimClean;
                        self.pageout(engine, control, *folio, &mut outcome, only_clean);
                    }
                }
            }
        }
        self.demote(engine, control, &demoted, &mut outcome);
        self.give_back(&mut outcome.unsettled);
        if outcome.evicted > 0 {
            let target = self.lruvec(control.target, node);
            engine.evicted(self, target, outcome.evicted);
        }
        outcome
    }

    /// What becomes of a folio.
    #[inline(never)]
    fn look_at<E: Engine + ?Sized>(
        &mut self,
        engine: &E,
        control: &ScanControl,
        folio: u32,
        outcome: &mut Outcome,
    ) -> Verdict {
        let Folio { flags, mapped, nr, .. } = self.folios[folio];
        let has = |flag| flags & flag != 0;
        let busy = mapped > 0 && (!control.may_unmap || engine.is_mglru() && has(flag::REFERENCED));
        if has(flag::MLOCKED | flag::LOCKED) || busy {
            return Verdict::Keep;
        }
        if has(flag::DIRTY) && !has(flag::SWAPBACKED | flag::LAZY) {
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
        let young = engine.references(self, control, folio);
        let record = &mut self.folios[folio];
        let executable = self.objects[record.object as usize].executable;
        decide(&self.mapped_pages, record, young, executable)
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

    /// Swaps out, marks for reclaim, or frees.
    #[inline(always)]
    pub(super) fn pageout<E: Engine + ?Sized>(
        &mut self,
        engine: &E,
        control: &mut ScanControl,
        folio: u32,
        outcome: &mut Outcome,
        only_clean: bool,
    ) {
        if self.folios.has(folio, flag::LAZY) {
            self.give_back(&mut outcome.unsettled);
            let nr = u64::from(self.folios[folio].nr);
            if self.drop_lazy(folio) {
                outcome.freed += nr;
            } else {
                self.activate_isolated(folio);
            }
            return;
        }
        if self.folios.has(folio, flag::SWAPBACKED) && !self.give_swap(control, folio) {
            return;
        }
        self.unmap_all(folio);
        if self.folios.has(folio, flag::DIRTY)
            && !self.write_out(control, folio, outcome, only_clean)
        {
            return;
        }
        self.free_evicted(engine, folio, control.target, outcome);
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
        outcome: &mut Outcome,
        only_clean: bool,
    ) -> bool {
        let record = &mut self.folios[folio];
        let nr = u64::from(record.nr);
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
    #[inline]
    fn free_evicted<E: Engine + ?Sized>(
        &mut self,
        engine: &E,
        folio: u32,
        target: u16,
        outcome: &mut Outcome,
    ) {
        let record = self.folios[folio];
        let Folio { object, index: first, memcg, zone, nr, .. } = record;
        let node = self.zones[zone as usize].node;
        let (own, target) = (self.lruvec(memcg, node), self.lruvec(target, node));
        let shadow = engine.evict(&mut self.lruvecs, &record, own, target, outcome.evicted);
        outcome.evicted += u64::from(nr);
        outcome.freed += u64::from(nr);
        if record.kind() == 1 {
            self.cache_delete(object, first, shadow, node);
        } else {
            for index in first..first + u32::from(nr) {
                let page = &mut self.objects[object as usize].pages[index as usize];
                page.set_folio(NONE);
                self.swap.keep_shadow(page.swap(), shadow);
            }
        }
        let unsettled = &mut outcome.unsettled;
        if self.is_watched()
            || nr > 1
            || (record.kind() == 0 && self.objects[object as usize].shmem)
        {
            self.give_back(unsettled);
            self.release_folio(folio);
            return;
        }
        self.free_later(unsettled, memcg, zone);
        unsettled.pages[record.kind()] += 1;
        self.folios.release(folio);
    }

    /// Whether somebody looks at charges or takes pages while a batch goes on, and is to see each page.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.counts_charges || self.swap.zswap.enabled
    }

    /// What is freed next is of that group and zone.
    #[inline]
    pub(super) fn free_later(&mut self, freed: &mut Freed, memcg: u16, zone: u8) {
        if (freed.memcg, freed.zone) != (memcg, zone) {
            self.give_back(freed);
            *freed = Freed { memcg, zone, pages: [0; 2] };
        }
    }

    /// Uncharges pages that were freed, and frees them for others.
    #[inline]
    pub(super) fn give_back(&mut self, freed: &mut Freed) {
        let [anon, file] = std::mem::take(&mut freed.pages);
        if anon + file == 0 {
            return;
        }
        let group = &mut self.memcgs[freed.memcg as usize];
        group.anon -= anon;
        group.file -= file;
        let nr = (anon + file) as u64;
        self.uncharge_counter(freed.memcg, nr);
        let zone = &mut self.zones[freed.zone as usize];
        zone.free_pages(self.cpu, nr, self.nodes[zone.node].running);
    }

    /// Gives a folio that is off its list back: uncharges it, frees its page.
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
        let mut was_huge = false;
        for place in 0..self.objects[object].vmas.len() {
            let vma = self.objects[object].vmas[place] as usize;
            let mapping = &mut self.vmas[vma];
            let end = (first + nr as usize).min(mapping.ptes.len());
            let pages = first.min(end)..end;
            let mut had = false;
            let by_one = |entry: &u8| entry & pte::HUGE != 0;
            was_huge |= mapping.ptes[pages.clone()].first().is_some_and(by_one);
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
        }
        if was_huge {
            self.vm[Stat::thp_split_pmd] += 1;
            self.note_huge_mapping(folio, -1);
        }
    }
}
