//! The usual cases of a batch: clean pages of a file that is mapped once, and anonymous pages that go to
//! swap in memory.
//!
//! What [`pageout`](Guest::pageout) and [`free_evicted`](Guest::free_evicted) do for any folio, where
//! no device writes and nobody has to be told; what the folios have in common is looked up once.

use super::engine::Engine;
use super::page::Page;
use super::shadow::SLOTS;
use super::shrink::{LOOK, Outcome};
use super::stat::Stat;
use super::state::{Folio, Folios, Guest, flag, pte};
use super::swap::Device;
use super::vmscan::ScanControl;
use crate::mapped::Verdict;

impl Guest {
    /// Whether folios of a batch may be settled by [`settle_plain`](Self::settle_plain).
    pub(super) fn may_be_plain(&self, control: &ScanControl, batch: &[u32]) -> bool {
        let Some(first) = batch.first() else { return false };
        let may_go = self.folios.kind(*first) == 1
            || self.swap.device == Device::Synchronous && control.may_swap && control.may_write;
        may_go && !self.outside.attached && !self.is_watched() && self.writes.is_empty()
    }

    /// Does what was decided about the first folios of a batch, as long as they are base pages of one
    /// object in one zone that need nothing else; gives how many.
    pub(super) fn settle_plain<E: Engine + ?Sized>(
        &mut self,
        engine: &E,
        control: &ScanControl,
        batch: &[u32],
        verdicts: &[Option<Verdict>],
        outcome: &mut Outcome,
    ) -> usize {
        let Some(first) = batch.first().map(|first| self.folios[*first]) else { return 0 };
        if first.has(flag::LAZY) {
            0
        } else if first.kind() == 0 {
            self.settle_kind::<E, 0>(engine, control, &first, batch, verdicts, outcome)
        } else {
            self.settle_kind::<E, 1>(engine, control, &first, batch, verdicts, outcome)
        }
    }

    /// The same for folios of a `KIND`: 0 for pages that go to swap, 1 for file pages. One loop for
    /// both takes a quarter longer.
    #[inline(never)]
    fn settle_kind<E: Engine + ?Sized, const KIND: usize>(
        &mut self,
        engine: &E,
        control: &ScanControl,
        first: &Folio,
        batch: &[u32],
        verdicts: &[Option<Verdict>],
        outcome: &mut Outcome,
    ) -> usize {
        self.free_later(&mut outcome.unsettled, first.memcg, first.zone);
        let node = self.zones[first.zone as usize].node;
        let (own, target) = (self.lruvec(first.memcg, node), self.lruvec(control.target, node));
        let room = if KIND == 0 { self.swap_left(first.memcg) } else { u64::MAX };
        let object = &mut self.objects[first.object as usize];
        let ([vma], false) = (&object.vmas[..], object.shmem) else { return 0 };
        let ptes = &mut self.vmas[*vma as usize].ptes[..];
        let mut going = [0; LOOK];
        let sorted = sort::<KIND>(&mut self.folios, first, batch, verdicts, room, &mut going);
        let Sorted { done, activated, nr_going } = sorted;
        let going = &going[..nr_going];
        let mut seen = 0;
        for folio in going {
            let index = self.folios[*folio].index as usize;
            seen ^= object.pages.get(index).map_or(0, |page| page.bits());
            seen ^= object.leaves.get(index / 64).map_or(0, |leaf| u32::from(leaf.pages));
        }
        std::hint::black_box(seen);
        for (before, folio) in (outcome.evicted..).zip(going) {
            let record = &mut self.folios[*folio];
            let index = record.index;
            unmap(record, ptes);
            let shadow = engine.evict(&mut self.lruvecs, record, own, target, before);
            if KIND == 0 {
                let slot = self.swap.put(first.memcg, shadow).expect("there was room for it");
                object.pages[index as usize] = Page::swapped(slot);
            } else if let Some(leaf) = object.take_out(index, shadow) {
                let lruvec = leaf.memcg as usize * self.nodes.len() + node;
                self.lruvecs[lruvec].list_leaf(leaf, first.object, index / SLOTS);
            }
            record.release();
        }
        self.folios.released(going);
        let evicted = nr_going as u64;
        if KIND == 0 && evicted > 0 {
            self.count(first.memcg, Stat::pswpout, evicted);
            self.charge_swap(first.memcg, evicted);
            outcome.written += evicted;
        }
        let costs = &self.config.costs;
        self.now += costs.scan_ns * evicted + costs.keep_ns * (done as u64 - evicted);
        outcome.freed += evicted;
        outcome.evicted += evicted;
        outcome.unsettled.pages[KIND] += evicted as i64;
        if activated > 0 {
            self.count(first.memcg, Stat::pgactivate, activated);
        }
        done
    }
}

/// The first folios of a batch, sorted by what was decided.
struct Sorted {
    /// How many of them there are.
    done: usize,
    activated: u64,
    /// Those that are to go.
    nr_going: usize,
}

/// Sorts the first folios of a batch, as many as are like its first one and plain, and notes those that are to
/// go, at most `room`. Nobody can predict what was decided, so there is no branch for it. Out of line the loop
/// has the registers for itself.
#[inline(never)]
fn sort<const KIND: usize>(
    folios: &mut Folios,
    first: &Folio,
    batch: &[u32],
    verdicts: &[Option<Verdict>],
    room: u64,
    going: &mut [u32; LOOK],
) -> Sorted {
    let mut sorted = Sorted { done: 0, activated: 0, nr_going: 0 };
    let (object, zone) = (first.object, first.zone);
    for (folio, verdict) in batch.iter().zip(verdicts).take(LOOK) {
        let Some(verdict) = *verdict else { break };
        let record = &mut folios[*folio];
        let is_like = record.object == object && record.zone == zone;
        let is_full = KIND == 0 && sorted.nr_going as u64 >= room;
        if !is_like || !is_plain::<KIND>(record, verdict) || is_full {
            break;
        }
        sorted.done += 1;
        let is_active = verdict == Verdict::Activate;
        record.flags |= u16::from(is_active) * flag::ACTIVE;
        sorted.activated += u64::from(is_active);
        going[sorted.nr_going % LOOK] = *folio;
        sorted.nr_going += usize::from(!is_active && verdict != Verdict::Keep);
    }
    sorted
}

/// Removes the page table entry of a folio that is mapped in one place.
#[inline]
fn unmap(folio: &mut Folio, ptes: &mut [u8]) {
    if std::mem::take(&mut folio.mapped) > 0
        && let Some(entry) = ptes.get_mut(folio.index as usize)
        && *entry & pte::PRESENT != 0
    {
        *entry = 0;
    }
}

/// Whether a folio, locked by nobody, is of a kind and needs no more than others to be done with as
/// decided.
#[inline]
fn is_plain<const KIND: usize>(folio: &Folio, verdict: Verdict) -> bool {
    if KIND == 0 {
        // What has a slot already or is to stay if it is dirty goes its own way.
        folio.flags & (flag::SWAPBACKED | flag::SWAPCACHE) == flag::SWAPBACKED
            && folio.nr == 1
            && verdict != Verdict::ReclaimClean
    } else {
        // Its object is a file.
        true
    }
}
