//! The classic engine: active and inactive lists, refault distances, pressure by cost.
//!
//! After Linux 6.12 with lru_gen off. Left out: what large folios other than huge pages change.

use super::engine::{Engine, Shrinking};
use super::lru::Above;
use super::shadow::Shadow;
use super::shrink::{BUSY, Verdicts, decide};
use super::stat::{ACTIVATE, REFAULT, RESTORE, SCAN_TYPE, STEAL_TYPE, Stat};
use super::state::flag::{DIRTY, SWAPBACKED};
use super::state::{Folio, Folios, Guest, Lruvec, flag};
use super::vmscan::ScanControl;

/// Pages taken at once.
const CLUSTER: u64 = 32;

/// The classic engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic;

/// How anonymous and file lists are weighed.
enum Balance {
    Equal,
    File,
    Anon,
    Fraction([u64; 2], u64),
}

/// A lruvec as those see it that were evicted from it.
struct Evictor {
    of: (u16, usize),
    lruvec: usize,
    /// A refault is activated if no more pages than these went or were activated meanwhile; `None`: none is.
    workingset: Option<u64>,
}

impl Evictor {
    fn of(guest: &Guest, memcg: u16, node: usize, kind: usize) -> Self {
        let lruvec = guest.lruvec(memcg, node);
        let size = guest.lruvecs[lruvec].stale.size;
        let mut workingset = size[3] + if kind == 0 { size[2] } else { 0 };
        if guest.swap_left(memcg) > 0 {
            workingset += size[1] + if kind == 1 { size[0] } else { 0 };
        }
        let gone = guest.memcgs[memcg as usize].is_offline;
        let activates = guest.mapped_pages.activates_refaults && !gone;
        Self { of: (memcg, node), lruvec, workingset: activates.then_some(workingset) }
    }
}

impl Engine for Classic {
    fn insert(&self, guest: &mut Guest, folio: u32, rotated: bool) {
        guest.classic_insert(folio, rotated);
    }

    fn insert_batch(&self, guest: &mut Guest, folios: &[u32]) {
        guest.classic_insert_batch(folios);
    }

    fn remove(&self, guest: &mut Guest, folio: u32, _reclaiming: bool) {
        guest.classic_remove(folio);
    }

    fn mark_accessed(&self, guest: &mut Guest, folio: u32) {
        if !guest.folios.has(folio, flag::REFERENCED) {
            guest.folios.set(folio, flag::REFERENCED);
        } else if !guest.folios.has(folio, flag::ACTIVE | flag::UNEVICTABLE) {
            if guest.folios[folio].on == super::state::OFF {
                guest.folios.set(folio, flag::ACTIVE);
            } else {
                guest.queue_activation(folio);
            }
            guest.folios.clear(folio, flag::REFERENCED);
            let lruvec = guest.lruvec_of(folio);
            guest.age(lruvec, 1);
        }
    }

    #[inline]
    fn evict(
        &self,
        lruvecs: &mut [Lruvec],
        folio: &Folio,
        _own: usize,
        target: usize,
        before: u64,
    ) -> u64 {
        let Lruvec { memcg, node, age, .. } = lruvecs[target];
        let workingset = folio.has(flag::WORKINGSET);
        Shadow { memcg, node: node as usize, workingset, value: age + before }.pack()
    }

    fn evicted(&self, guest: &mut Guest, target: usize, pages: u64) {
        guest.age(target, pages);
    }

    fn refault(&self, guest: &mut Guest, folios: &[u32], shadows: &[u64]) {
        guest.flush_if_old();
        let Some(first) = folios.first().copied() else { return };
        let (kind, memcg) = (guest.folios.kind(first), guest.folios[first].memcg);
        let own = guest.lruvec_of(first);
        // Mostly all were evicted from the lruvec that they come back to.
        let mut evictor = Evictor::of(guest, memcg, guest.node_of(first), kind);
        let (mut refaulted, mut activated, mut restored) = (0, 0, 0);
        for (folio, shadow) in folios.iter().zip(shadows).filter(|(_, shadow)| **shadow != 0) {
            refaulted += 1;
            let shadow = Shadow::unpack(*shadow);
            if (shadow.memcg, shadow.node) != evictor.of {
                evictor = Evictor::of(guest, shadow.memcg, shadow.node, kind);
            }
            let age = guest.lruvecs[evictor.lruvec].age;
            let distance = age.wrapping_sub(shadow.value) & ((1 << 40) - 1);
            if evictor.workingset.is_none_or(|pages| distance > pages) {
                continue;
            }
            activated += 1;
            guest.folios.set(*folio, flag::ACTIVE);
            guest.upward_lruvecs(own, |lruvec| {
                lruvec.age += 1;
                lruvec.activated[kind] += 1;
            });
            if shadow.workingset {
                restored += 1;
                guest.folios.set(*folio, flag::WORKINGSET);
                guest.note_cost(own, kind, CLUSTER);
            }
        }
        guest.count(memcg, REFAULT[kind], refaulted);
        guest.count(memcg, ACTIVATE[kind], activated);
        guest.count(memcg, RESTORE[kind], restored);
    }

    fn begin(&self, guest: &mut Guest, control: &mut ScanControl, lruvec: usize) -> Shrinking {
        let targets = scan_counts(guest, control, lruvec);
        let adjusted = control.is_root() && !control.kswapd && control.priority == 12;
        Shrinking { lruvec, targets, left: targets, adjusted, ..Shrinking::default() }
    }

    fn step(
        &self,
        guest: &mut Guest,
        control: &mut ScanControl,
        shrinking: &mut Shrinking,
    ) -> bool {
        let Shrinking { lruvec, left, next, .. } = shrinking;
        if *next > 0 || left[0] > 0 || left[2] > 0 || left[3] > 0 {
            if let Some(list) = (*next..4).find(|list| left[*list] > 0) {
                let nr = left[list].min(CLUSTER);
                left[list] -= nr;
                *next = list + 1;
                shrinking.freed += shrink_list(guest, control, *lruvec, list, nr);
                return true;
            }
            *next = 0;
            if shrinking.freed < control.want || shrinking.adjusted || adjust(shrinking) {
                return true;
            }
        }
        let lruvec = shrinking.lruvec;
        control.reclaimed += shrinking.freed;
        guest.send_plugged();
        let memcg = guest.memcg_of_lruvec(lruvec);
        if guest.can_age_anon(memcg, control) && guest.inactive_is_low(lruvec, 0) {
            shrink_active(guest, control, lruvec, 0, CLUSTER);
        }
        false
    }

    fn judge(
        &self,
        guest: &mut Guest,
        control: &ScanControl,
        batch: &[u32],
        verdicts: &mut Verdicts,
    ) {
        if !control.may_unmap {
            return;
        }
        let rule = guest.mapped_pages;
        let plain =
            |folio: &Folio| !folio.has(BUSY | DIRTY) || !folio.has(BUSY) && folio.has(SWAPBACKED);
        guest.take_young_of(batch, control.target, plain, |place, folio, young, executable| {
            if let Some(verdict) = verdicts.get_mut(place) {
                *verdict = Some(decide(&rule, folio, young, executable));
            }
        });
    }

    fn references(&self, guest: &mut Guest, control: &ScanControl, folio: u32) -> u32 {
        guest.take_young(folio, control.target)
    }

    fn is_mglru(&self) -> bool {
        false
    }
}

/// Once enough is freed: the type with less left is done with, and the other one is scanned in the
/// same proportion. False when nothing is left of either.
fn adjust(shrinking: &mut Shrinking) -> bool {
    let Shrinking { targets, left, .. } = shrinking;
    let (file, anon) = (left[2] + left[3], left[0] + left[1]);
    if file == 0 || anon == 0 {
        return false;
    }
    let smaller = if file > anon { 0 } else { 2 };
    let all = targets[smaller] + targets[smaller + 1] + 1;
    let percent = file.min(anon) * 100 / all;
    left[smaller] = 0;
    left[smaller + 1] = 0;
    let other = 2 - smaller;
    for list in [other, other + 1] {
        let done = targets[list] - left[list];
        left[list] = targets[list] * (100 - percent.min(100)) / 100;
        left[list] -= left[list].min(done);
    }
    shrinking.adjusted = true;
    true
}

fn shrink_list(
    guest: &mut Guest,
    control: &mut ScanControl,
    lruvec: usize,
    list: usize,
    nr: u64,
) -> u64 {
    if list % 2 == 1 {
        if control.may_deactivate[list / 2] {
            shrink_active(guest, control, lruvec, list / 2, nr);
        } else {
            control.skipped_deactivate = true;
        }
        return 0;
    }
    shrink_inactive(guest, control, lruvec, list / 2, nr)
}

/// How many pages of each list to look at.
fn scan_counts(guest: &Guest, control: &mut ScanControl, lruvec: usize) -> [u64; 4] {
    let memcg = guest.memcg_of_lruvec(lruvec);
    let node = guest.lruvecs[lruvec].node as usize;
    let swappiness = guest.knobs.swappiness;
    let no_anon = !control.may_swap || !guest.can_reclaim_anon(memcg, node, control);
    let balance = if no_anon || (!control.is_root() && swappiness == 0) {
        Balance::File
    } else if control.priority == 0 && swappiness > 0 {
        Balance::Equal
    } else if control.file_is_tiny {
        Balance::Anon
    } else if control.cache_trim {
        Balance::File
    } else {
        let total = control.cost[0] + control.cost[1];
        let (anon, file) = (total + control.cost[0], total + control.cost[1]);
        let all = anon + file;
        let anon_part = swappiness * (all + 1) / (anon + 1);
        let file_part = (200 - swappiness) * (all + 1) / (file + 1);
        Balance::Fraction([anon_part, file_part], anon_part + file_part)
    };
    let group = &guest.memcgs[memcg as usize];
    let [min, low] = control.protection;
    let mut counts = [0; 4];
    for (list, count) in counts.iter_mut().enumerate() {
        let size = guest.lruvecs[lruvec].len(list, control.class);
        let scan = if min > 0 || low > 0 {
            let protection = if !control.is_rerun && low > min {
                control.skipped_low = true;
                low
            } else {
                min
            };
            let usage = group.usage.max(protection);
            let kept = (u128::from(size) * u128::from(protection) / u128::from(usage + 1)) as u64;
            size.saturating_sub(kept).max(CLUSTER)
        } else {
            size
        };
        let mut scan = scan >> control.priority;
        if scan == 0 && group.is_offline {
            scan = size.min(CLUSTER);
        }
        let kind = list / 2;
        *count = match &balance {
            Balance::Equal => scan,
            Balance::File => scan * u64::from(kind == 1),
            Balance::Anon => scan * u64::from(kind == 0),
            Balance::Fraction(parts, all) if group.is_offline => {
                (scan * parts[kind]).div_ceil((*all).max(1))
            }
            Balance::Fraction(parts, all) => scan * parts[kind] / (*all).max(1),
        };
    }
    counts
}

/// Takes pages off the tail of an inactive list and decides about each.
///
/// Out of line, since most steps pass a list by, and are short without it.
#[inline(never)]
fn shrink_inactive(
    guest: &mut Guest,
    control: &mut ScanControl,
    lruvec: usize,
    kind: usize,
    nr: u64,
) -> u64 {
    let memcg = guest.memcg_of_lruvec(lruvec);
    guest.finish_writes();
    guest.drain(guest.cpu);
    let (mut taken, nr_taken, passed) =
        guest.take_cold((lruvec, kind * 2), nr, control.class, flag::ISOLATED, Above::Pass);
    let looked = nr_taken + passed;
    guest.count_scan(control, memcg, Stat::pgscan_kswapd, SCAN_TYPE[kind], looked);
    control.scanned += looked;
    let outcome = guest.shrink_folios(&Classic, control, &taken);
    keep_isolated(&mut guest.folios, &mut taken);
    let rotated = guest.classic_insert_batch(&taken);
    if rotated > 0 {
        guest.age(lruvec, rotated);
    }
    guest.count_scan(control, memcg, Stat::pgsteal_kswapd, STEAL_TYPE[kind], outcome.freed);
    let cost = CLUSTER * outcome.written + nr_taken.saturating_sub(outcome.freed);
    guest.note_cost(lruvec, kind, cost);
    guest.note_recent(lruvec, kind, nr_taken, rotated, true);
    guest.batch = taken;
    control.note(&outcome, nr_taken);
    outcome.freed
}

/// Keeps those of a batch that are isolated still, which they are no more then. Which ones these are nobody
/// can predict, so there is no branch. Out of line the loop has the registers for itself.
#[inline(never)]
fn keep_isolated(folios: &mut Folios, batch: &mut Vec<u32>) {
    let mut nr = 0;
    for place in 0..batch.len() {
        let folio = batch[place];
        let record = &mut folios[folio];
        batch[nr] = folio;
        nr += usize::from(record.has(flag::ISOLATED));
        record.flags &= !flag::ISOLATED;
    }
    batch.truncate(nr);
}

/// Moves pages from the tail of an active list to the inactive one.
fn shrink_active(
    guest: &mut Guest,
    control: &mut ScanControl,
    lruvec: usize,
    kind: usize,
    nr: u64,
) {
    let memcg = guest.memcg_of_lruvec(lruvec);
    guest.drain(guest.cpu);
    let (taken, pages, _) =
        guest.take_cold((lruvec, kind * 2 + 1), nr, control.class, 0, Above::Stop);
    guest.count_memcg(memcg, Stat::pgrefill, pages);
    if control.is_root() {
        guest.vm[Stat::pgrefill] += pages;
    }
    let (mut rotated, mut stayed) = (0, 0);
    let keeps_text = guest.mapped_pages.keeps_executables;
    let all = |_: &Folio| true;
    guest.take_young_of(&taken, control.target, all, |_, folio, young, executable| {
        if young > 0 {
            rotated += u64::from(folio.nr);
            if executable && folio.kind() == 1 && keeps_text {
                stayed += u64::from(folio.nr);
                return;
            }
        }
        folio.flags = folio.flags & !flag::ACTIVE | flag::WORKINGSET;
    });
    guest.classic_insert_batch(&taken);
    guest.batch = taken;
    if stayed > 0 {
        guest.age(lruvec, stayed);
    }
    guest.note_cost(lruvec, kind, stayed);
    guest.note_recent(lruvec, kind, pages, rotated, false);
    guest.count(memcg, Stat::pgdeactivate, pages - stayed);
}
