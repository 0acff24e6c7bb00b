//! What a reclaim engine is to the rest of the guest.

use super::shrink::Verdicts;
use super::state::{Folio, Guest, Lruvec};
use super::vmscan::ScanControl;

/// A lruvec that is being reclaimed, between two batches.
#[derive(Clone, Debug, Default)]
pub(super) struct Shrinking {
    pub(super) lruvec: usize,
    /// Pages to look at by list, at first and still; the list that comes next.
    pub(super) targets: [u64; 4],
    pub(super) left: [u64; 4],
    pub(super) next: usize,
    /// Whether targets are as they shall be.
    pub(super) adjusted: bool,
    pub(super) freed: u64,
    pub(super) scanned: u64,
    pub(super) swappiness: u64,
    /// Whether page tables are walked in this call.
    pub(super) walks: bool,
}

/// An engine: which lists pages are on, how accesses move them, and which go first.
///
/// An engine has no state of its own; each lruvec holds what the engine keeps by lruvec.
pub(super) trait Engine: std::fmt::Debug + Sync {
    /// Puts a folio on the list that its flags ask for; `rotated` folios go to the cold end.
    fn insert(&self, guest: &mut Guest, folio: u32, rotated: bool);
    /// Puts folios on the lists that their flags ask for, locked ones on the unevictable list.
    fn insert_batch(&self, guest: &mut Guest, folios: &[u32]) {
        folios.iter().for_each(|folio| guest.insert_evictable(*folio));
    }
    /// Takes a folio off its list; `reclaiming` if to decide about it.
    fn remove(&self, guest: &mut Guest, folio: u32, reclaiming: bool);
    /// A read() or write() of the folio.
    fn mark_accessed(&self, guest: &mut Guest, folio: u32);
    /// What to remember of a folio of the lruvec `own`, evicted by reclaim of the lruvec `target` (or one
    /// above it) after `before` other pages of a batch.
    fn evict(
        &self,
        lruvecs: &mut [Lruvec],
        folio: &Folio,
        own: usize,
        target: usize,
        before: u64,
    ) -> u64;
    /// A batch evicted so many pages for the lruvec `target`.
    fn evicted(&self, _guest: &mut Guest, _target: usize, _pages: u64) {}
    /// Folios of one group, node and type came in, the eviction of each of which left a shadow, 0 for
    /// none.
    fn refault(&self, guest: &mut Guest, folios: &[u32], shadows: &[u64]);
    /// Begins to take from a lruvec at the priority of `control`.
    fn begin(&self, guest: &mut Guest, control: &mut ScanControl, lruvec: usize) -> Shrinking;
    /// One batch of that; false when the lruvec is done with.
    fn step(&self, guest: &mut Guest, control: &mut ScanControl, shrinking: &mut Shrinking)
    -> bool;
    /// Takes what it can from a lruvec at the priority of `control`.
    fn shrink_lruvec(&self, guest: &mut Guest, control: &mut ScanControl, lruvec: usize) {
        let mut shrinking = self.begin(guest, control, lruvec);
        while self.step(guest, control, &mut shrinking) {}
    }
    /// Decides about those folios of a batch that the bits in their page tables decide about alone.
    fn judge(&self, _: &mut Guest, _: &ScanControl, _batch: &[u32], _: &mut Verdicts) {}
    /// Looks at a mapped folio's accessed bits, clears them and says how many were set.
    fn references(&self, guest: &mut Guest, control: &ScanControl, folio: u32) -> u32;
    /// Whether it keeps generations.
    fn is_mglru(&self) -> bool;
}
