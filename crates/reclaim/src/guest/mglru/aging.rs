//! Aging: walks of page tables, and looks around met pages, that give pages younger generations.

use super::super::state::{Generations, Guest, NONE, OFF, flag, pte};
use super::{MAX_GENS, MIN_GENS, list_of};

/// Whether a generation should be made, and how many pages there are.
pub(super) fn should_age(lrugen: &Generations, swappiness: u64) -> (bool, u64) {
    let lead = usize::from(swappiness == 0);
    if lrugen.min_seq[lead] + MIN_GENS > lrugen.max_seq {
        return (true, 0);
    }
    let (mut total, mut young, mut old) = (0, 0, 0);
    for kind in lead..2 {
        for seq in lrugen.min_seq[kind]..=lrugen.max_seq {
            let pages = lrugen.pages(kind, seq);
            total += pages;
            if seq == lrugen.max_seq {
                young += pages;
            } else if seq + MIN_GENS == lrugen.max_seq {
                old += pages;
            }
        }
    }
    if lrugen.min_seq[lead] + MIN_GENS < lrugen.max_seq {
        return (false, total);
    }
    (young * MIN_GENS > total || old * (MIN_GENS + 2) < total, total)
}

/// Walks page tables and makes a generation.
pub(super) fn age(guest: &mut Guest, lruvec: usize, swappiness: u64) -> bool {
    let seq = guest.lruvecs[lruvec].generations.max_seq;
    if seq <= guest.lruvecs[lruvec].generations.walked_seq {
        return false;
    }
    if guest.knobs.lru_gen & 2 != 0 {
        guest.walk_exists = true;
        walk_group(guest, lruvec, seq, swappiness);
    }
    guest.lruvecs[lruvec].generations.walked_seq = seq;
    for kind in (0..2).rev() {
        if guest.lruvecs[lruvec].generations.count(kind) == MAX_GENS {
            retire_oldest(guest, lruvec, kind, swappiness);
        }
    }
    let lrugen = &mut guest.lruvecs[lruvec].generations;
    let (previous, next) =
        (((lrugen.max_seq - 1) % 4) as usize, ((lrugen.max_seq + 1) % 4) as usize);
    let moves: Vec<(usize, usize, i64)> = (0..2)
        .flat_map(|kind| (0..3).map(move |class| (kind, class)))
        .map(|(kind, class)| {
            (kind, class, lrugen.nr[previous][kind][class] - lrugen.nr[next][kind][class])
        })
        .collect();
    lrugen.max_seq += 1;
    for (kind, class, by) in moves {
        guest.resize(lruvec, kind * 2, class, by);
        guest.resize(lruvec, kind * 2 + 1, class, -by);
    }
    true
}

/// Moves what is left of the oldest generation to the next one.
fn retire_oldest(guest: &mut Guest, lruvec: usize, kind: usize, swappiness: u64) {
    if kind == 1 || swappiness > 0 {
        let oldest = guest.lruvecs[lruvec].generations.oldest(kind);
        for class in 0..3 {
            let list = Guest::list(lruvec, list_of(oldest, kind, class));
            while let Some(folio) = guest.lists.back(list) {
                let generation = inc_generation(guest, lruvec, folio, oldest);
                guest.move_to(lruvec, folio, generation, true);
            }
        }
    }
    let lrugen = &mut guest.lruvecs[lruvec].generations;
    lrugen.retire(kind);
    lrugen.min_seq[kind] += 1;
}

/// The generation after the oldest, unless the folio was promoted already.
pub(super) fn inc_generation(guest: &mut Guest, lruvec: usize, folio: u32, oldest: usize) -> usize {
    let own = guest.folios[folio].generation as usize;
    if own != oldest {
        return own;
    }
    let next = (oldest + 1) % 4;
    guest.set_generation(lruvec, folio, next);
    next
}

fn walk_group(guest: &mut Guest, lruvec: usize, seq: u64, swappiness: u64) {
    let memcg = guest.memcg_of_lruvec(lruvec);
    let node = guest.lruvecs[lruvec].node as usize;
    let mut first = true;
    let mut forced = false;
    for proc in 0..guest.procs.len() {
        if guest.procs[proc].memcg != memcg || guest.procs[proc].vmas.is_empty() {
            continue;
        }
        let fresh = std::mem::take(&mut guest.procs[proc].fresh);
        // The bit is set when the CPU switches to the process; here, at each of its faults. Of the
        // first reclaim calls of recorded runs, which age twice, the second walk took the running
        // process again in 24 of 30 where it was reading a file, and in none of 24 where it was
        // not, so we take a process that reads files for one that never keeps the bit clear. In the
        // kernel it is a worker telling of memory.events that switches to it or not, by the phase
        // of the event against the tick, which is not known of a recorded run.
        let current = guest.reads_cache && proc == guest.current_proc;
        let ran = std::mem::take(&mut guest.procs[proc].used) || current;
        if !ran && !fresh {
            continue;
        }
        forced |= fresh;
        if first {
            first = false;
            let words = guest.nr_regions as usize / 64 + 1;
            guest.lruvecs[lruvec].generations.filters[((seq + 1) % 2) as usize] =
                Some(vec![0; words]);
        }
        for vma in guest.procs[proc].vmas.clone() {
            for region in 0..guest.vmas[vma as usize].region_young.len() {
                walk_region(guest, lruvec, node, vma as usize, region, seq, swappiness, forced);
            }
        }
    }
}

fn filter_has(filter: Option<&Vec<u64>>, region: usize) -> bool {
    filter
        .is_none_or(|bits| bits.get(region / 64).is_some_and(|word| word >> (region % 64) & 1 != 0))
}

fn filter_add(guest: &mut Guest, lruvec: usize, seq: u64, region: usize) {
    if let Some(bits) = &mut guest.lruvecs[lruvec].generations.filters[(seq % 2) as usize]
        && let Some(word) = bits.get_mut(region / 64)
    {
        *word |= 1 << (region % 64);
    }
}

#[expect(clippy::too_many_arguments, reason = "one walk, unrolled into a function for its length")]
fn walk_region(
    guest: &mut Guest,
    lruvec: usize,
    node: usize,
    vma: usize,
    region: usize,
    seq: u64,
    swappiness: u64,
    forced: bool,
) {
    let number = guest.vmas[vma].first_region as usize + region;
    // Mappings that mlock() holds are left out, so their accessed bits stay.
    let mapping = &guest.vmas[vma];
    if !mapping.has_table[region] || mapping.locked || mapping.random {
        return;
    }
    // What one entry maps is looked at in any case; the filter is of page tables.
    let is_huge = mapping.ptes[region * 512] & pte::HUGE != 0;
    if !forced && !is_huge {
        if guest.knobs.lru_gen & 4 != 0
            && !guest.outside.attached
            && !std::mem::take(&mut guest.vmas[vma].region_young[region])
        {
            return;
        }
        let filter = guest.lruvecs[lruvec].generations.filters[(seq % 2) as usize].as_ref();
        if !filter_has(filter, number) {
            return;
        }
    }
    let to = (seq % 4) as usize;
    let first = region * 512;
    let last = (first + 512).min(guest.vmas[vma].ptes.len());
    let object = guest.vmas[vma].object as usize;
    let entries = if is_huge { 1 } else { last - first };
    guest.now += guest.config.costs.pte_ns * entries as u64;
    let mut young = 0;
    let mut from = first;
    while let Some(index) = guest.next_young(vma, from..last) {
        from = index + 1;
        guest.now += guest.config.costs.walk_ns;
        let folio = guest.objects[object].pages[index].folio();
        if folio == NONE || guest.folios[folio].memcg as usize != lruvec / guest.nr_nodes() {
            continue;
        }
        if guest.node_of(folio) != node || (swappiness == 0 && guest.folios.kind(folio) == 0) {
            continue;
        }
        guest.clear_young(vma, index);
        young += 1;
        promote(guest, lruvec, folio, to);
    }
    if young * 8 >= last - first && !is_huge {
        filter_add(guest, lruvec, seq + 1, number);
    }
}

/// Gives a folio the youngest generation, or a mark if it is off its list.
fn promote(guest: &mut Guest, lruvec: usize, folio: u32, to: usize) {
    if guest.folios[folio].generation == OFF {
        guest.folios.set(folio, flag::REFERENCED);
    } else {
        guest.set_generation(lruvec, folio, to);
    }
}

/// Clears the accessed bits of a folio's mappings and of their neighbours; says how many of the
/// folio's own were set.
pub(super) fn look_around(guest: &mut Guest, folio: u32, target: u16) -> u32 {
    if guest.folios[folio].mapped == 0 {
        return 0;
    }
    let object = guest.folios[folio].object as usize;
    let index = guest.folios[folio].index as usize;
    let lruvec = guest.lruvec_of(folio);
    let mut referenced = 0;
    for place in 0..guest.objects[object].vmas.len() {
        let vma = guest.objects[object].vmas[place] as usize;
        for page in index..index + usize::from(guest.folios[folio].nr) {
            if !guest.clear_young_for(target, vma, page) {
                continue;
            }
            referenced += 1;
            if guest.vmas[vma].ptes[page] & pte::HUGE == 0 {
                neighbours(guest, lruvec, vma, page);
            }
        }
    }
    referenced
}

/// The entries around one that a look takes in: 64 of its page table, of which there are `nr` in all.
fn around(index: usize, nr: usize) -> (usize, usize) {
    let first = index & !511;
    let last = (first + 512).min(nr);
    if last - first <= 64 {
        (first, last)
    } else if index - first < 32 {
        (first, first + 64)
    } else if last - index - 1 < 32 {
        (last - 64, last)
    } else {
        (index - 32, index + 32)
    }
}

/// Reads what looks around the folios of a batch will meet, which lies anywhere, so that cache misses
/// overlap: their entries, then the pages beside those that are young, then the folios of these.
pub(super) fn warm_looks(guest: &Guest, batch: &[u32]) {
    let Some(of) = batch.first().map(|first| guest.folios[*first].object) else { return };
    let object = &guest.objects[of as usize];
    let [vma] = object.vmas[..] else { return };
    let (ptes, pages) = (&guest.vmas[vma as usize].ptes[..], &object.pages[..]);
    let own = batch.iter().map(|folio| &guest.folios[*folio]).filter(|own| own.object == of);
    let own = own.filter_map(|own| Some((own.index as usize, *ptes.get(own.index as usize)?)));
    let mut seen = own.clone().fold(0, |seen, (index, entry)| {
        let leaf = object.leaves.get(index / 64).map_or(0, |leaf| leaf.pages);
        seen ^ pages[index].bits() ^ u32::from(entry ^ leaf)
    });
    let (mut beside, mut nr) = ([NONE; 256], 0);
    for (index, _) in own.filter(|(_, entry)| pte::young(&[*entry]) != 0) {
        let (first, last) = around(index, ptes.len());
        let mut young = pte::young(&ptes[first..last]);
        while young != 0 {
            beside[nr % beside.len()] = first as u32 + young.trailing_zeros();
            nr += 1;
            young &= young - 1;
        }
    }
    let beside = &mut beside[..nr.min(256)];
    beside.iter_mut().for_each(|near| *near = pages[*near as usize].folio());
    for folio in beside.iter().filter_map(|folio| guest.folios.get(*folio)) {
        seen ^= u32::from(folio.generation);
    }
    std::hint::black_box(seen);
}

fn neighbours(guest: &mut Guest, lruvec: usize, vma: usize, index: usize) {
    let (first, last) = around(index, guest.vmas[vma].ptes.len());
    let object = guest.vmas[vma].object as usize;
    let max_seq = guest.lruvecs[lruvec].generations.max_seq;
    let to = (max_seq % 4) as usize;
    let (mut young, mut left) = (1, guest.young(vma, first..last));
    while left != 0 {
        let near = first + left.trailing_zeros() as usize;
        left &= left - 1;
        if near == index {
            continue;
        }
        let other = guest.objects[object].pages[near].folio();
        if other == NONE || guest.lruvec_of(other) != lruvec {
            continue;
        }
        guest.clear_young(vma, near);
        young += 1;
        let generation = guest.folios[other].generation;
        if guest.walk_exists {
            promote(guest, lruvec, other, to);
        } else if generation == OFF {
            guest.folios.set(other, flag::REFERENCED);
        } else if generation as usize != to {
            if guest.folios.kind(other) == 1 {
                guest.folios[other].refs = 0;
            }
            guest.queue_activation(other);
        }
    }
    if young * 8 >= last - first {
        let region = guest.vmas[vma].first_region as usize + index / 512;
        filter_add(guest, lruvec, max_seq, region);
    }
}
