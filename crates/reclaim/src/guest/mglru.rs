//! The multi-generation engine: generations by type, tiers by use, aging by page table walks.
//!
//! After Linux 6.12. Left out: the lock contention that makes walks skip, `min_ttl_ms`.

mod aging;
mod control;
mod evict;

use super::engine::{Engine, Shrinking};
use super::shadow::Shadow;
use super::shrink::{BUSY, Verdicts, decide};
use super::stat::{ACTIVATE, REFAULT, RESTORE};
use super::state::flag::{DIRTY, SWAPBACKED};
use super::state::{Folio, Guest, Lruvec, OFF, flag};
use super::swap::Device;
use super::vmscan::ScanControl;
use super::zone::Zone;
use crate::mapped::Verdict;
use aging::{age, look_around, should_age, warm_looks};
use control::tier;
use evict::evict;

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

impl Engine for Mglru {
    #[inline]
    fn insert(&self, guest: &mut Guest, folio: u32, rotated: bool) {
        let record = &mut guest.folios[folio];
        let Zone { node, class, .. } = guest.zones[record.zone as usize];
        let (kind, nr) = (record.kind(), i64::from(record.nr));
        let lruvec = record.memcg as usize * guest.nodes.len() + node;
        let lrugen = &guest.lruvecs[lruvec].generations;
        let (max, min) = (lrugen.max_seq, lrugen.min_seq[kind]);
        let waiting = record.has(flag::RECLAIM) && record.has(flag::DIRTY | flag::WRITEBACK);
        let seq = if record.has(flag::ACTIVE) {
            // Anonymous pages keep what a refault gave them: on a recorded kernel each page that came
            // back from swap met eviction as used four times. Of file pages recorded cases tell the
            // opposite.
            if kind == 1 {
                record.refs = 0;
                record.flags &= !flag::REFERENCED;
            }
            max
        } else if (kind == 0 && !record.has(flag::SWAPCACHE)) || waiting {
            max - 1
        } else if rotated || min + MIN_GENS >= max {
            min
        } else {
            min + 1
        };
        record.flags &= !flag::ACTIVE;
        let generation = (seq % 4) as usize;
        let place = list_of(generation, kind, class);
        (record.generation, record.on) = (generation as u8, place as u8);
        guest.count_generation(lruvec, (generation, kind, class), nr);
        let list = Guest::list(lruvec, place);
        if rotated {
            guest.lists.push_back(list, folio, &mut guest.folios);
        } else {
            guest.lists.push_front(list, folio, &mut guest.folios);
        }
    }

    fn insert_batch(&self, guest: &mut Guest, folios: &[u32]) {
        for folio in folios.iter().copied() {
            if guest.folios.has(folio, flag::MLOCKED | flag::UNEVICTABLE) {
                guest.insert_evictable(folio);
            } else {
                self.insert(guest, folio, false);
            }
        }
    }

    #[inline]
    fn remove(&self, guest: &mut Guest, folio: u32, reclaiming: bool) {
        let record = &mut guest.folios[folio];
        let Zone { node, class, .. } = guest.zones[record.zone as usize];
        let (kind, nr) = (record.kind(), i64::from(record.nr));
        let lruvec = record.memcg as usize * guest.nodes.len() + node;
        let generation = std::mem::replace(&mut record.generation, OFF) as usize;
        let place = std::mem::replace(&mut record.on, OFF) as usize;
        if !reclaiming && guest.lruvecs[lruvec].generations.is_young(generation) {
            record.flags |= flag::ACTIVE;
        }
        guest.count_generation(lruvec, (generation, kind, class), -nr);
        guest.lists.del(Guest::list(lruvec, place), folio, &guest.folios);
    }

    fn mark_accessed(&self, guest: &mut Guest, folio: u32) {
        if !guest.folios.has(folio, flag::REFERENCED) {
            guest.folios.set(folio, flag::REFERENCED);
        } else if !guest.folios.has(folio, flag::WORKINGSET) {
            guest.folios.set(folio, flag::WORKINGSET);
        } else if guest.folios[folio].refs < 3 {
            guest.folios[folio].refs += 1;
        }
    }

    #[inline]
    fn evict(
        &self,
        lruvecs: &mut [Lruvec],
        folio: &Folio,
        own: usize,
        _target: usize,
        _before: u64,
    ) -> u64 {
        let Lruvec { memcg, node, generations: lrugen, .. } = &mut lruvecs[own];
        let (kind, used) = (folio.kind(), used(folio));
        lrugen.evicted[kind][tier(used)] += u64::from(folio.nr);
        let value = lrugen.min_seq[kind] << 2 | u64::from(used.saturating_sub(1));
        Shadow { memcg: *memcg, node: *node as usize, workingset: used > 0, value }.pack()
    }

    fn refault(&self, guest: &mut Guest, folios: &[u32], shadows: &[u64]) {
        let Some(first) = folios.first().copied() else { return };
        let (kind, memcg) = (guest.folios.kind(first), guest.folios[first].memcg);
        let (own, place) = (guest.lruvec_of(first), (memcg, guest.node_of(first)));
        let (mut refaulted, mut activated, mut restored) = (0, 0, 0);
        for (folio, shadow) in folios.iter().zip(shadows).filter(|(_, shadow)| **shadow != 0) {
            let shadow = Shadow::unpack(*shadow);
            if (shadow.memcg, shadow.node) != place {
                continue;
            }
            refaulted += 1;
            let lrugen = &mut guest.lruvecs[own].generations;
            if shadow.value >> 2 != lrugen.min_seq[kind] {
                continue;
            }
            activated += 1;
            let used = (shadow.value & 3) as u32 + u32::from(shadow.workingset);
            lrugen.refaulted[kind][tier(used)] += 1;
            if guest.in_fault || used >= 3 {
                restored += 1;
                guest.folios[*folio].refs = 3;
                guest.folios.set(*folio, flag::WORKINGSET);
            }
        }
        guest.upward_lruvecs(own, |lruvec| lruvec.activated[kind] += activated);
        guest.count(memcg, REFAULT[kind], refaulted);
        guest.count(memcg, ACTIVATE[kind], activated);
        guest.count(memcg, RESTORE[kind], restored);
    }

    fn begin(&self, guest: &mut Guest, control: &mut ScanControl, lruvec: usize) -> Shrinking {
        guest.drain(guest.cpu);
        let memcg = guest.memcg_of_lruvec(lruvec);
        let node = guest.lruvecs[lruvec].node as usize;
        let swappiness = guest.swappiness_of(memcg, node, control);
        Shrinking { lruvec, swappiness, walks: control.kswapd, ..Shrinking::default() }
    }

    fn step(
        &self,
        guest: &mut Guest,
        control: &mut ScanControl,
        shrinking: &mut Shrinking,
    ) -> bool {
        guest.walk_exists = shrinking.walks;
        let more = evict_batch(guest, control, shrinking);
        shrinking.walks = std::mem::take(&mut guest.walk_exists);
        if !more {
            guest.send_plugged();
        }
        more
    }

    fn judge(
        &self,
        guest: &mut Guest,
        control: &ScanControl,
        batch: &[u32],
        verdicts: &mut Verdicts,
    ) {
        if !control.may_unmap || !guest.settles_at_once(batch) {
            return;
        }
        warm_looks(guest, batch);
        for (folio, verdict) in batch.iter().zip(verdicts) {
            let record = guest.folios[*folio];
            let of_group = guest.is_of_group(record.object, control.target);
            if record.has(BUSY) || record.flags & (DIRTY | SWAPBACKED) == DIRTY || !of_group {
                return;
            }
            *verdict = Some(if record.mapped > 0 && record.has(flag::REFERENCED) {
                Verdict::Keep
            } else {
                let young = look_around(guest, *folio, control.target);
                let executable = guest.objects[record.object as usize].executable;
                decide(&guest.mapped_pages, &mut guest.folios[*folio], young, executable)
            });
        }
    }

    fn references(&self, guest: &mut Guest, control: &ScanControl, folio: u32) -> u32 {
        look_around(guest, folio, control.target)
    }

    fn is_mglru(&self) -> bool {
        true
    }
}

/// Accesses that the tiers go by.
fn used(folio: &Folio) -> u32 {
    u32::from(folio.refs) + u32::from(folio.has(flag::WORKINGSET))
}

impl Guest {
    /// Whether no write ends while a batch is decided about: then looks at all its folios may come
    /// before anything is done with one.
    fn settles_at_once(&self, batch: &[u32]) -> bool {
        let is_file = batch.first().is_some_and(|first| self.folios.kind(*first) == 1);
        let starts_writes = !is_file && matches!(self.swap.device, Device::Disk { .. });
        self.writes.is_empty() && !starts_writes
    }

    /// Whether all mappings of an object are of processes in a group, so that a look clears all their
    /// accessed bits.
    fn is_of_group(&self, object: u32, group: u16) -> bool {
        let vmas = &self.objects[object as usize].vmas;
        group == 0 || vmas.iter().all(|vma| self.vmas[*vma as usize].memcg == group)
    }

    /// Counts pages of a generation, type and zone class.
    #[inline]
    fn count_generation(
        &mut self,
        lruvec: usize,
        (generation, kind, class): (usize, usize, usize),
        by: i64,
    ) {
        let lruvec = &mut self.lruvecs[lruvec];
        lruvec.generations.nr[generation][kind][class] += by;
        let list = kind * 2 + usize::from(lruvec.generations.is_young(generation));
        lruvec.size[list][class] += by;
        self.node_size[lruvec.node as usize][list] += by;
    }

    /// Changes the generation that a folio says it is of; it moves when eviction meets it.
    fn set_generation(&mut self, lruvec: usize, folio: u32, to: usize) {
        let record = &mut self.folios[folio];
        record.refs = 0;
        record.flags &= !(flag::REFERENCED | flag::WORKINGSET);
        let from = std::mem::replace(&mut record.generation, to as u8) as usize;
        if from != to {
            let (kind, nr) = (record.kind(), i64::from(record.nr));
            let class = self.zones[record.zone as usize].class;
            self.count_generation(lruvec, (from, kind, class), -nr);
            self.count_generation(lruvec, (to, kind, class), nr);
        }
    }

    fn move_to(&mut self, lruvec: usize, folio: u32, generation: usize, at_tail: bool) {
        let kind = self.folios.kind(folio);
        let place = list_of(generation, kind, self.class_of(folio));
        let from = self.folios[folio].on as usize;
        self.lists.del(Self::list(lruvec, from), folio, &self.folios);
        let to = Self::list(lruvec, place);
        if at_tail {
            self.lists.push_back(to, folio, &mut self.folios);
        } else {
            self.lists.push_front(to, folio, &mut self.folios);
        }
        self.folios[folio].on = place as u8;
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
            let shrunk = self.shrink_group(control, memcg, node, 0);
            if shrunk && self.should_abort(control, self.lruvec(memcg, node)) {
                break;
            }
        }
    }

    pub(super) fn initial_priority(&mut self, control: &mut ScanControl, node: usize) {
        if control.priority != 12 || control.want < MIN_BATCH {
            return;
        }
        let size = self.tree_size(0, node);
        let mut pages = size[2].max(0) as u64;
        if self.can_reclaim_anon(0, node, control) {
            pages += size[0].max(0) as u64;
        }
        let width = |n: u64| 64 - n.leading_zeros();
        let priority = i64::from(width(pages)) - 1 - i64::from(width(control.want - 1));
        control.priority = priority.clamp(6, 12) as u32;
    }

    pub(super) fn should_abort(&self, control: &ScanControl, lruvec: usize) -> bool {
        if !control.is_root() {
            return false;
        }
        if control.reclaimed >= control.want.max(super::vmscan::CLUSTER) {
            return true;
        }
        if !control.kswapd || control.order > 0 {
            return false;
        }
        let node = self.lruvecs[lruvec].node as usize;
        let mark = if self.knobs.numa_balancing & 2 != 0 { 3 } else { 2 };
        self.zones.iter().filter(|zone| zone.node == node && zone.class <= control.class).all(
            |zone| {
                zone.free
                    > zone.marks[mark] + zone.boost + zone.held_from(control.class) + MIN_BATCH
            },
        )
    }
}

/// A batch of a lruvec; false when it is done with.
fn evict_batch(guest: &mut Guest, control: &mut ScanControl, shrinking: &mut Shrinking) -> bool {
    let (lruvec, swappiness) = (shrinking.lruvec, shrinking.swappiness);
    let nr = to_scan(guest, control, lruvec, swappiness);
    if nr <= 0 {
        return false;
    }
    let done = evict(guest, control, lruvec, swappiness);
    shrinking.scanned += done;
    done > 0 && shrinking.scanned < nr as u64 && !guest.should_abort(control, lruvec)
}

/// How many pages to look at; 0 or less to stop. May age.
fn to_scan(guest: &mut Guest, control: &ScanControl, lruvec: usize, swappiness: u64) -> i64 {
    let memcg = guest.memcg_of_lruvec(lruvec);
    let min = control.protection[0];
    if min >= guest.memcgs[memcg as usize].usage && min > 0 {
        return -1;
    }
    let (age_now, total) = should_age(&guest.lruvecs[lruvec].generations, swappiness);
    if !age_now || control.priority == 12 {
        return (total >> control.priority) as i64;
    }
    if age(guest, lruvec, swappiness) { -1 } else { 0 }
}
