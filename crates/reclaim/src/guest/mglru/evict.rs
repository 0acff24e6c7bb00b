//! Eviction: batches off the oldest generation, and where those go that stay.

use super::super::engine::Engine;
use super::super::stat::{SCAN_TYPE, STEAL_TYPE, Stat};
use super::super::state::{Guest, flag};
use super::super::vmscan::ScanControl;
use super::aging::inc_generation;
use super::control::tier;
use super::{MAX_BATCH, MIN_BATCH, MIN_GENS, Mglru, list_of, used};
use crate::list::List;

/// Folios that are read ahead at once.
const WARMED: usize = MIN_BATCH as usize;

/// One batch of eviction; gives the progress.
pub(super) fn evict(
    guest: &mut Guest,
    control: &mut ScanControl,
    lruvec: usize,
    swappiness: u64,
) -> u64 {
    let (mut scanned, kind, taken) = isolate(guest, control, lruvec, swappiness);
    scanned += u64::from(advance_oldest(guest, lruvec, swappiness));
    if guest.lruvecs[lruvec].generations.count(usize::from(swappiness == 0)) == MIN_GENS {
        scanned = 0;
    }
    if taken.is_empty() {
        return scanned;
    }
    let memcg = guest.memcg_of_lruvec(lruvec);
    let mut batch = taken;
    for retry in [false, true] {
        let outcome = guest.shrink_folios(&Mglru, control, &batch);
        control.note(&outcome, batch.len() as u64);
        control.reclaimed += outcome.freed;
        guest.count_scan(control, memcg, Stat::pgsteal_kswapd, STEAL_TYPE[kind], outcome.freed);
        if !retry {
            let nr = batch.len() as u64;
            guest.note_recent(lruvec, kind, nr, nr.saturating_sub(outcome.freed), true);
        }
        let clean = put_back(guest, &batch, retry);
        if clean.is_empty() {
            break;
        }
        batch = clean;
    }
    guest.batch = batch;
    scanned
}

/// Puts survivors on lists; gives those that are worth another try at once.
fn put_back(guest: &mut Guest, batch: &[u32], retry: bool) -> Vec<u32> {
    let mut clean = Vec::new();
    for folio in batch.iter().copied() {
        if !guest.folios.has(folio, flag::ISOLATED) {
            continue;
        }
        let busy = flag::DIRTY | flag::WRITEBACK;
        if guest.folios.has(folio, flag::MLOCKED) {
            // Goes to the unevictable list.
        } else if guest.folios.has(folio, flag::RECLAIM) && guest.folios.has(folio, busy) {
            if guest.folios.has(folio, flag::WORKINGSET) {
                guest.folios.set(folio, flag::REFERENCED);
            }
        } else if retry
            || guest.folios.has(folio, flag::ACTIVE | flag::REFERENCED | busy)
            || guest.folios[folio].mapped > 0
        {
            guest.folios[folio].refs = 0;
            guest.folios.clear(folio, flag::REFERENCED | flag::WORKINGSET);
            guest.folios.set(folio, flag::ACTIVE);
        } else {
            clean.push(folio);
            continue;
        }
        guest.folios.clear(folio, flag::ISOLATED);
        Mglru.insert_batch(guest, &[folio]);
    }
    clean
}

/// Takes a batch off the oldest generation of the type that is due.
fn isolate(
    guest: &mut Guest,
    control: &mut ScanControl,
    lruvec: usize,
    swappiness: u64,
) -> (u64, usize, Vec<u32>) {
    let lrugen = &guest.lruvecs[lruvec].generations;
    let (mut kind, mut limit) = if swappiness == 0 {
        (1, None)
    } else if lrugen.min_seq[0] < lrugen.min_seq[1] {
        (0, None)
    } else if swappiness == 1 {
        (1, None)
    } else if swappiness == 200 {
        (0, None)
    } else {
        let (kind, limit) = lrugen.kind_to_scan(swappiness);
        (kind, Some(limit))
    };
    for _ in usize::from(swappiness == 0)..2 {
        let tiers = limit.unwrap_or_else(|| guest.lruvecs[lruvec].generations.tier_limit(kind));
        let (scanned, taken) = scan(guest, control, lruvec, kind, tiers);
        if scanned > 0 {
            return (scanned, kind, taken);
        }
        kind = 1 - kind;
        limit = None;
    }
    (0, kind, Vec::new())
}

fn scan(
    guest: &mut Guest,
    control: &mut ScanControl,
    lruvec: usize,
    kind: usize,
    limit: usize,
) -> (u64, Vec<u32>) {
    if guest.lruvecs[lruvec].generations.count(kind) == MIN_GENS {
        return (0, Vec::new());
    }
    let mut taken = std::mem::take(&mut guest.batch);
    taken.clear();
    let oldest = guest.lruvecs[lruvec].generations.oldest(kind);
    let (mut scanned, mut sorted, mut isolated) = (0, 0, 0);
    let mut remaining = MAX_BATCH;
    'zones: for step in (1..=3).rev() {
        let class = (control.class + step) % 3;
        let list = Guest::list(lruvec, list_of(oldest, kind, class));
        let mut warmed = 0;
        while let Some(folio) = guest.lists.back(list) {
            if warmed == 0 {
                warmed = WARMED;
                guest.warm_cold(list);
            }
            warmed -= 1;
            let nr = u64::from(guest.folios[folio].nr);
            scanned += nr;
            if sort(guest, control, lruvec, folio, oldest, limit) {
                sorted += nr;
            } else {
                Mglru.remove(guest, folio, true);
                let record = &mut guest.folios[folio];
                if !record.has(flag::REFERENCED) {
                    record.refs = 0;
                    record.flags &= !flag::WORKINGSET;
                }
                record.flags = record.flags & !(flag::REFERENCED | flag::RECLAIM) | flag::ISOLATED;
                taken.push(folio);
                isolated += nr;
            }
            remaining -= 1;
            if remaining == 0 || isolated >= MIN_BATCH {
                break 'zones;
            }
        }
    }
    let memcg = guest.memcg_of_lruvec(lruvec);
    guest.count_scan(control, memcg, Stat::pgscan_kswapd, SCAN_TYPE[kind], isolated);
    guest.count_memcg(memcg, Stat::pgrefill, sorted);
    control.scanned += isolated;
    (if isolated > 0 || remaining == 0 { scanned } else { 0 }, taken)
}

impl Guest {
    /// Reads the folios at the cold end of a list, so that cache misses overlap.
    fn warm_cold(&self, list: List) {
        let cold = self.lists.iter_back(list).take(WARMED);
        std::hint::black_box(cold.fold(0, |seen, folio| seen ^ self.folios[folio].flags));
    }
}

/// Moves a folio that is not to be evicted; false if it is.
fn sort(
    guest: &mut Guest,
    control: &ScanControl,
    lruvec: usize,
    folio: u32,
    oldest: usize,
    limit: usize,
) -> bool {
    if guest.folios.has(folio, flag::MLOCKED) {
        let engine = guest.engine;
        engine.remove(guest, folio, true);
        guest.insert_evictable(folio);
        return true;
    }
    let own = guest.folios[folio].generation as usize;
    if own != oldest {
        guest.move_to(lruvec, folio, own, false);
        return true;
    }
    let used = used(&guest.folios[folio]);
    let tier = tier(used);
    if tier > limit || used == 4 {
        let kind = guest.folios.kind(folio);
        let nr = u64::from(guest.folios[folio].nr);
        let next = inc_generation(guest, lruvec, folio, oldest);
        guest.move_to(lruvec, folio, next, true);
        guest.lruvecs[lruvec].generations.protected[kind][tier] += nr;
        return true;
    }
    if guest.class_of(folio) > control.class {
        let next = inc_generation(guest, lruvec, folio, oldest);
        guest.move_to(lruvec, folio, next, true);
        return true;
    }
    false
}

/// Moves the oldest seq past empty generations.
fn advance_oldest(guest: &mut Guest, lruvec: usize, swappiness: u64) -> bool {
    let lead = usize::from(swappiness == 0);
    let mut min = guest.lruvecs[lruvec].generations.min_seq;
    let max = guest.lruvecs[lruvec].generations.max_seq;
    for (kind, seq) in min.iter_mut().enumerate().skip(lead) {
        while *seq + MIN_GENS <= max {
            let generation = (*seq % 4) as usize;
            let empty = (0..3).all(|class| {
                guest.lists.is_empty(Guest::list(lruvec, list_of(generation, kind, class)))
            });
            if !empty {
                break;
            }
            *seq += 1;
        }
    }
    let lrugen = &mut guest.lruvecs[lruvec].generations;
    if swappiness > 0 {
        min[0] = min[0].min(min[1]);
        min[1] = min[0].max(lrugen.min_seq[1]);
    }
    let mut moved = false;
    for (kind, seq) in min.into_iter().enumerate().skip(lead) {
        if seq != lrugen.min_seq[kind] {
            lrugen.retire(kind);
            lrugen.min_seq[kind] = seq;
            moved = true;
        }
    }
    moved
}
