//! The multi-generation engine: generations by type, tiers by use, aging by page table walks.
//!
//! After Linux 6.12. Left out: the lock contention that makes walks skip, `min_ttl_ms`.

use super::engine::Engine;
use super::shadow::Shadow;
use super::stat::{ACTIVATE, REFAULT, RESTORE, SCAN_TYPE, STEAL_TYPE, Stat};
use super::state::{Generations, Guest, NONE, OFF, flag, pte};
use super::vmscan::ScanControl;

/// Generations that are kept at least.
const MIN_GENS: u64 = 2;
/// Generations at most.
const MAX_GENS: u64 = 4;
/// Pages isolated in a batch.
const MIN_BATCH: u64 = 64;
/// Pages looked at in a batch.
const MAX_BATCH: u64 = 4096;

/// The multi-generation engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mglru;

/// The list of a generation, type and zone.
fn list_of(generation: usize, kind: usize, class: usize) -> usize {
    5 + (generation * 2 + kind) * 3 + class
}

/// The tier of a number of accesses.
fn tier(used: u32) -> usize {
    match used {
        0 => 0,
        1 => 1,
        2 | 3 => 2,
        _ => 3,
    }
}

impl Generations {
    fn oldest(&self, kind: usize) -> usize {
        (self.min_seq[kind] % 4) as usize
    }

    fn count(&self, kind: usize) -> u64 {
        self.max_seq + 1 - self.min_seq[kind]
    }

    fn is_young(&self, generation: usize) -> bool {
        generation == (self.max_seq % 4) as usize || generation == ((self.max_seq - 1) % 4) as usize
    }

    fn pages(&self, kind: usize, seq: u64) -> u64 {
        self.nr[(seq % 4) as usize][kind].iter().map(|nr| (*nr).max(0) as u64).sum()
    }

    /// Refaulted and all of a tier, over the current oldest generation and the past.
    fn rates(&self, kind: usize, tier: usize) -> (u64, u64) {
        let protected = if tier > 0 { self.protected[kind][tier] } else { 0 };
        let refaulted = self.avg_refaulted[kind][tier] + self.refaulted[kind][tier];
        (refaulted, self.avg_total[kind][tier] + self.evicted[kind][tier] + protected)
    }

    /// Folds the oldest generation's counts into the averages.
    fn retire(&mut self, kind: usize) {
        for tier in 0..4 {
            let protected = if tier > 0 { self.protected[kind][tier] } else { 0 };
            let total = self.avg_total[kind][tier] + self.evicted[kind][tier] + protected;
            self.avg_refaulted[kind][tier] =
                (self.avg_refaulted[kind][tier] + self.refaulted[kind][tier]) / 2;
            self.avg_total[kind][tier] = total / 2;
            self.refaulted[kind][tier] = 0;
            self.evicted[kind][tier] = 0;
            self.protected[kind][tier] = 0;
        }
    }

    /// The highest tier of a type that is not worth protecting.
    fn tier_limit(&self, kind: usize) -> usize {
        let set_point = self.rates(kind, 0);
        (1..4).find(|tier| !below(set_point, 1, self.rates(kind, *tier), 2)).unwrap_or(4) - 1
    }

    /// Which type refaults less, and up to which tier it may be evicted.
    fn kind_to_scan(&self, swappiness: u64) -> (usize, usize) {
        let gain = [swappiness, 200 - swappiness];
        let kind = usize::from(below(self.rates(0, 0), gain[0], self.rates(1, 0), gain[1]));
        let set_point = self.rates(1 - kind, 0);
        let fits =
            |tier: usize| below(set_point, gain[1 - kind], self.rates(kind, tier), gain[kind]);
        (kind, (1..4).find(|tier| !fits(*tier)).unwrap_or(4) - 1)
    }
}

/// Whether a rate of refaults is at most that of the set point, weighed by gains.
fn below(set_point: (u64, u64), set_gain: u64, value: (u64, u64), gain: u64) -> bool {
    value.0 < 64
        || u128::from(value.0) * u128::from((set_point.1 + 64) * set_gain)
            <= u128::from(set_point.0 + 1) * u128::from(value.1 * gain)
}

impl Engine for Mglru {
    fn insert(&self, guest: &mut Guest, folio: u32, rotated: bool) {
        let lruvec = guest.lruvec_of(folio);
        let kind = guest.folios.kind(folio);
        let lrugen = &guest.lruvecs[lruvec].generations;
        let (max, min) = (lrugen.max_seq, lrugen.min_seq[kind]);
        let waiting = guest.folios.has(folio, flag::RECLAIM)
            && guest.folios.has(folio, flag::DIRTY | flag::WRITEBACK);
        let seq = if guest.folios.has(folio, flag::ACTIVE) {
            guest.folios.refs[folio as usize] = 0;
            guest.folios.clear(folio, flag::REFERENCED);
            max
        } else if (kind == 0 && !guest.folios.has(folio, flag::SWAPCACHE)) || waiting {
            max - 1
        } else if rotated || min + MIN_GENS >= max {
            min
        } else {
            min + 1
        };
        guest.folios.clear(folio, flag::ACTIVE);
        let generation = (seq % 4) as usize;
        guest.folios.generation[folio as usize] = generation as u8;
        guest.count_generation(lruvec, folio, kind, generation, 1);
        let place = list_of(generation, kind, guest.class_of(folio));
        let list = Guest::list(lruvec, place);
        if rotated {
            guest.lists.push_back(list, folio);
        } else {
            guest.lists.push_front(list, folio);
        }
        guest.folios.on[folio as usize] = place as u8;
    }

    fn remove(&self, guest: &mut Guest, folio: u32, reclaiming: bool) {
        let lruvec = guest.lruvec_of(folio);
        let kind = guest.folios.kind(folio);
        let generation = guest.folios.generation[folio as usize] as usize;
        if !reclaiming && guest.lruvecs[lruvec].generations.is_young(generation) {
            guest.folios.set(folio, flag::ACTIVE);
        }
        guest.count_generation(lruvec, folio, kind, generation, -1);
        guest.folios.generation[folio as usize] = OFF;
        let place = guest.folios.on[folio as usize] as usize;
        guest.lists.del(Guest::list(lruvec, place), folio);
        guest.folios.on[folio as usize] = OFF;
    }

    fn mark_accessed(&self, guest: &mut Guest, folio: u32) {
        if !guest.folios.has(folio, flag::REFERENCED) {
            guest.folios.set(folio, flag::REFERENCED);
        } else if !guest.folios.has(folio, flag::WORKINGSET) {
            guest.folios.set(folio, flag::WORKINGSET);
        } else if guest.folios.refs[folio as usize] < 3 {
            guest.folios.refs[folio as usize] += 1;
        }
    }

    fn evict(&self, guest: &mut Guest, folio: u32, _target: u16) -> u64 {
        let lruvec = guest.lruvec_of(folio);
        let kind = guest.folios.kind(folio);
        let used = used(guest, folio);
        let nr = u64::from(guest.folios.nr[folio as usize]);
        let lrugen = &mut guest.lruvecs[lruvec].generations;
        lrugen.evicted[kind][tier(used)] += nr;
        let value = lrugen.min_seq[kind] << 2 | u64::from(used.saturating_sub(1));
        let memcg = guest.folios.memcg[folio as usize];
        Shadow { memcg, node: guest.node_of(folio), workingset: used > 0, value }.pack()
    }

    fn refault(&self, guest: &mut Guest, folio: u32, shadow: u64) {
        let lruvec = guest.lruvec_of(folio);
        let memcg = guest.folios.memcg[folio as usize];
        let shadow = Shadow::unpack(shadow);
        if guest.lruvec(shadow.memcg, shadow.node) != lruvec {
            return;
        }
        let kind = guest.folios.kind(folio);
        guest.count(memcg, REFAULT[kind], 1);
        let lrugen = &mut guest.lruvecs[lruvec].generations;
        if shadow.value >> 2 != lrugen.min_seq[kind] {
            return;
        }
        let used = (shadow.value & 3) as u32 + u32::from(shadow.workingset);
        lrugen.refaulted[kind][tier(used)] += 1;
        guest.count_activation(lruvec, kind);
        guest.count(memcg, ACTIVATE[kind], 1);
        if guest.in_fault || used >= 3 {
            guest.folios.refs[folio as usize] = 3;
            guest.folios.set(folio, flag::WORKINGSET);
            guest.count(memcg, RESTORE[kind], 1);
        }
    }

    fn shrink_lruvec(&self, guest: &mut Guest, control: &mut ScanControl, lruvec: usize) {
        shrink_one(guest, control, lruvec);
    }

    fn references(&self, guest: &mut Guest, control: &ScanControl, folio: u32) -> u32 {
        look_around(guest, folio, control.target)
    }

    fn is_mglru(&self) -> bool {
        true
    }
}

/// Accesses that the tiers go by.
fn used(guest: &Guest, folio: u32) -> u32 {
    u32::from(guest.folios.refs[folio as usize])
        + u32::from(guest.folios.has(folio, flag::WORKINGSET))
}

impl Guest {
    fn count_generation(
        &mut self,
        lruvec: usize,
        folio: u32,
        kind: usize,
        generation: usize,
        sign: i64,
    ) {
        let class = self.class_of(folio);
        let by = sign * i64::from(self.folios.nr[folio as usize]);
        self.lruvecs[lruvec].generations.nr[generation][kind][class] += by;
        let active = self.lruvecs[lruvec].generations.is_young(generation);
        self.resize(lruvec, kind * 2 + usize::from(active), class, by);
    }

    /// Changes the generation that a folio says it is of; it moves when eviction meets it.
    fn set_generation(&mut self, lruvec: usize, folio: u32, to: usize) {
        let kind = self.folios.kind(folio);
        let from = self.folios.generation[folio as usize] as usize;
        self.folios.refs[folio as usize] = 0;
        self.folios.clear(folio, flag::REFERENCED | flag::WORKINGSET);
        if from != to {
            self.count_generation(lruvec, folio, kind, from, -1);
            self.folios.generation[folio as usize] = to as u8;
            self.count_generation(lruvec, folio, kind, to, 1);
        }
    }

    fn move_to(&mut self, lruvec: usize, folio: u32, generation: usize, at_tail: bool) {
        let kind = self.folios.kind(folio);
        let place = list_of(generation, kind, self.class_of(folio));
        let from = self.folios.on[folio as usize] as usize;
        self.lists.del(Self::list(lruvec, from), folio);
        if at_tail {
            self.lists.push_back(Self::list(lruvec, place), folio);
        } else {
            self.lists.push_front(Self::list(lruvec, place), folio);
        }
        self.folios.on[folio as usize] = place as u8;
    }

    fn swappiness_of(&self, memcg: u16, node: usize, control: &ScanControl) -> u64 {
        if !control.may_swap {
            return 0;
        }
        if !self.can_demote(node, control) && self.swap_left(memcg) < MIN_BATCH {
            return 0;
        }
        self.knobs.swappiness
    }

    /// Global reclaim: every group, until enough was freed.
    pub(super) fn shrink_node_mglru(&mut self, control: &mut ScanControl, node: usize) {
        if !control.may_write || !control.may_unmap {
            return;
        }
        self.initial_priority(control, node);
        for memcg in self.subtrees[0].clone() {
            if self.protects(control, memcg) {
                continue;
            }
            let lruvec = self.lruvec(memcg, node);
            shrink_one(self, control, lruvec);
            self.shrink_slab(control, memcg, node);
            if self.should_abort(control, lruvec) {
                break;
            }
        }
    }

    fn initial_priority(&mut self, control: &mut ScanControl, node: usize) {
        if control.priority != 12 || control.want < MIN_BATCH {
            return;
        }
        let lruvec = self.lruvec(0, node);
        let size = &self.lruvecs[lruvec].tree_size;
        let mut pages = size[2].max(0) as u64;
        if self.can_reclaim_anon(0, node, control) {
            pages += size[0].max(0) as u64;
        }
        let width = |n: u64| 64 - n.leading_zeros();
        let priority = i64::from(width(pages)) - 1 - i64::from(width(control.want - 1));
        control.priority = priority.clamp(6, 12) as u32;
    }

    fn should_abort(&self, control: &ScanControl, lruvec: usize) -> bool {
        if !control.is_root() {
            return false;
        }
        if control.reclaimed >= control.want.max(super::vmscan::CLUSTER) {
            return true;
        }
        if !control.kswapd || control.order > 0 {
            return false;
        }
        let node = lruvec % self.nr_nodes();
        let mark = if self.knobs.numa_balancing & 2 != 0 { 3 } else { 2 };
        self.zones
            .iter()
            .filter(|zone| zone.node == node && zone.class <= control.class)
            .all(|zone| zone.free > zone.marks[mark] + zone.reserve + MIN_BATCH)
    }
}

fn shrink_one(guest: &mut Guest, control: &mut ScanControl, lruvec: usize) {
    guest.drain(guest.cpu);
    let memcg = guest.memcg_of_lruvec(lruvec);
    let node = lruvec % guest.nr_nodes();
    let swappiness = guest.swappiness_of(memcg, node, control);
    guest.walk_exists = control.kswapd;
    let mut scanned = 0;
    loop {
        let nr = to_scan(guest, control, lruvec, swappiness);
        if nr <= 0 {
            break;
        }
        let done = evict(guest, control, lruvec, swappiness);
        scanned += done;
        if done == 0 || scanned >= nr as u64 || guest.should_abort(control, lruvec) {
            break;
        }
    }
    guest.walk_exists = false;
}

/// How many pages to look at; 0 or less to stop. May age.
fn to_scan(guest: &mut Guest, control: &ScanControl, lruvec: usize, swappiness: u64) -> i64 {
    let memcg = guest.memcg_of_lruvec(lruvec) as usize;
    let group = &guest.memcgs[memcg];
    if memcg != control.target as usize && group.emin >= group.usage && group.emin > 0 {
        return -1;
    }
    let (age_now, total) = should_age(&guest.lruvecs[lruvec].generations, swappiness);
    if !age_now || control.priority == 12 {
        return (total >> control.priority) as i64;
    }
    if age(guest, lruvec, swappiness) { -1 } else { 0 }
}

/// Whether a generation should be made, and how many pages there are.
fn should_age(lrugen: &Generations, swappiness: u64) -> (bool, u64) {
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
fn age(guest: &mut Guest, lruvec: usize, swappiness: u64) -> bool {
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
fn inc_generation(guest: &mut Guest, lruvec: usize, folio: u32, oldest: usize) -> usize {
    let own = guest.folios.generation[folio as usize] as usize;
    if own != oldest {
        return own;
    }
    let next = (oldest + 1) % 4;
    guest.set_generation(lruvec, folio, next);
    next
}

fn walk_group(guest: &mut Guest, lruvec: usize, seq: u64, swappiness: u64) {
    let memcg = guest.memcg_of_lruvec(lruvec);
    let node = lruvec % guest.nr_nodes();
    let mut first = true;
    let mut forced = false;
    for proc in 0..guest.procs.len() {
        if guest.procs[proc].memcg != memcg || guest.procs[proc].vmas.is_empty() {
            continue;
        }
        let fresh = std::mem::take(&mut guest.procs[proc].fresh);
        // The bit is set when the CPU switches to the process; here, at each of its faults. Where
        // only file pages can go, recorded runs show walk after walk within one reclaim call, as if
        // the bit of the running task were never clear; with swap they do not. The cause of the
        // difference is not known.
        let current = swappiness == 0 && proc == guest.current_proc;
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
    if !guest.vmas[vma].has_table[region] {
        return;
    }
    if !forced {
        if guest.knobs.lru_gen & 4 != 0
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
    let mut young = 0;
    for index in first..last {
        let entry = guest.vmas[vma].ptes[index];
        if entry & pte::YOUNG == 0 || entry & pte::PRESENT == 0 {
            continue;
        }
        let folio = guest.objects[object].pages[index];
        if folio == NONE || guest.folios.memcg[folio as usize] as usize != lruvec / guest.nr_nodes()
        {
            continue;
        }
        if guest.node_of(folio) != node || (swappiness == 0 && guest.folios.kind(folio) == 0) {
            continue;
        }
        guest.vmas[vma].ptes[index] = entry & !pte::YOUNG;
        young += 1;
        promote(guest, lruvec, folio, to);
    }
    if young * 8 >= last - first {
        filter_add(guest, lruvec, seq + 1, number);
    }
}

/// Gives a folio the youngest generation, or a mark if it is off its list.
fn promote(guest: &mut Guest, lruvec: usize, folio: u32, to: usize) {
    if guest.folios.generation[folio as usize] == OFF {
        guest.folios.set(folio, flag::REFERENCED);
    } else {
        guest.set_generation(lruvec, folio, to);
    }
}

/// Clears the accessed bits of a folio's mappings and of their neighbours; says how many of the
/// folio's own were set.
fn look_around(guest: &mut Guest, folio: u32, target: u16) -> u32 {
    if guest.folios.mapped[folio as usize] == 0 {
        return 0;
    }
    let object = guest.folios.object[folio as usize] as usize;
    let index = guest.folios.index[folio as usize] as usize;
    let lruvec = guest.lruvec_of(folio);
    let mut referenced = 0;
    for place in 0..guest.objects[object].vmas.len() {
        let vma = guest.objects[object].vmas[place] as usize;
        let Some(entry) = guest.vmas[vma].ptes.get(index).copied() else { continue };
        if entry & pte::PRESENT == 0 || entry & pte::YOUNG == 0 || !guest.counts_for(target, vma) {
            continue;
        }
        guest.vmas[vma].ptes[index] = entry & !pte::YOUNG;
        referenced += 1;
        if entry & pte::HUGE == 0 {
            neighbours(guest, lruvec, vma, index);
        }
    }
    referenced
}

fn neighbours(guest: &mut Guest, lruvec: usize, vma: usize, index: usize) {
    let table = index & !511;
    let end = (table + 512).min(guest.vmas[vma].ptes.len());
    let (mut first, mut last) = (table, end);
    if last - first > 64 {
        if index - first < 32 {
            last = first + 64;
        } else if last - index - 1 < 32 {
            first = last - 64;
        } else {
            (first, last) = (index - 32, index + 32);
        }
    }
    let object = guest.vmas[vma].object as usize;
    let max_seq = guest.lruvecs[lruvec].generations.max_seq;
    let to = (max_seq % 4) as usize;
    let mut young = 1;
    for near in first..last {
        let entry = guest.vmas[vma].ptes[near];
        if near == index || entry & pte::YOUNG == 0 || entry & pte::PRESENT == 0 {
            continue;
        }
        let other = guest.objects[object].pages[near];
        if other == NONE || guest.lruvec_of(other) != lruvec {
            continue;
        }
        guest.vmas[vma].ptes[near] = entry & !pte::YOUNG;
        young += 1;
        let generation = guest.folios.generation[other as usize];
        if guest.walk_exists {
            promote(guest, lruvec, other, to);
        } else if generation == OFF {
            guest.folios.set(other, flag::REFERENCED);
        } else if generation as usize != to {
            guest.folios.refs[other as usize] = 0;
            guest.queue_activation(other);
        }
    }
    if young * 8 >= last - first {
        let region = guest.vmas[vma].first_region as usize + index / 512;
        filter_add(guest, lruvec, max_seq, region);
    }
}

/// One batch of eviction; gives the progress.
fn evict(guest: &mut Guest, control: &mut ScanControl, lruvec: usize, swappiness: u64) -> u64 {
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
        let outcome = guest.shrink_folios(control, &batch);
        control.note(&outcome, batch.len() as u64);
        control.reclaimed += outcome.freed;
        guest.count_scan(control, memcg, Stat::pgsteal_kswapd, STEAL_TYPE[kind], outcome.freed);
        let clean = put_back(guest, &batch, retry);
        if clean.is_empty() {
            break;
        }
        batch = clean;
    }
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
            || guest.folios.mapped[folio as usize] > 0
        {
            guest.folios.refs[folio as usize] = 0;
            guest.folios.clear(folio, flag::REFERENCED | flag::WORKINGSET);
            guest.folios.set(folio, flag::ACTIVE);
        } else {
            clean.push(folio);
            continue;
        }
        guest.folios.clear(folio, flag::ISOLATED);
        guest.insert_evictable(folio);
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
    let mut taken = Vec::new();
    if guest.lruvecs[lruvec].generations.count(kind) == MIN_GENS {
        return (0, taken);
    }
    let oldest = guest.lruvecs[lruvec].generations.oldest(kind);
    let (mut scanned, mut sorted, mut isolated) = (0, 0, 0);
    let mut remaining = MAX_BATCH;
    'zones: for step in (1..=3).rev() {
        let class = (control.class + step) % 3;
        let list = Guest::list(lruvec, list_of(oldest, kind, class));
        while let Some(folio) = guest.lists.back(list) {
            let nr = u64::from(guest.folios.nr[folio as usize]);
            scanned += nr;
            if sort(guest, control, lruvec, folio, oldest, limit) {
                sorted += nr;
            } else {
                let engine = guest.engine;
                engine.remove(guest, folio, true);
                let folios = &mut guest.folios;
                folios.set(folio, flag::ISOLATED);
                if !folios.has(folio, flag::REFERENCED) {
                    folios.refs[folio as usize] = 0;
                    folios.clear(folio, flag::WORKINGSET);
                }
                folios.clear(folio, flag::REFERENCED | flag::RECLAIM);
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
    let own = guest.folios.generation[folio as usize] as usize;
    if own != oldest {
        guest.move_to(lruvec, folio, own, false);
        return true;
    }
    let used = used(guest, folio);
    let tier = tier(used);
    if tier > limit || used == 4 {
        let kind = guest.folios.kind(folio);
        let nr = u64::from(guest.folios.nr[folio as usize]);
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
    for kind in lead..2 {
        if min[kind] != lrugen.min_seq[kind] {
            lrugen.retire(kind);
            lrugen.min_seq[kind] = min[kind];
            moved = true;
        }
    }
    moved
}
