//! The usual case of a batch: clean pages of a file that is mapped once.
//!
//! What [`pageout`](Guest::pageout) and [`free_evicted`](Guest::free_evicted) do for any folio, where
//! nothing is to be written and nobody has to be told; what the folios have in common is looked up
//! once.

use super::engine::Engine;
use super::shadow::SLOTS;
use super::shrink::Outcome;
use super::stat::Stat;
use super::state::{Guest, flag, pte};
use super::vmscan::ScanControl;
use crate::mapped::Verdict;

impl Guest {
    /// Whether folios of a batch may be settled by [`settle_plain`](Self::settle_plain).
    pub(super) fn may_be_plain(&self, batch: &[u32]) -> bool {
        let is_file = batch.first().is_some_and(|first| self.folios.kind(*first) == 1);
        is_file && !self.outside.attached && !self.is_watched() && self.writes.is_empty()
    }

    /// Does what was decided about the first folios of a batch, as long as they are pages of one file
    /// in one zone; gives how many.
    #[inline(never)]
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
            return 0;
        }
        self.free_later(&mut outcome.unsettled, first.memcg, first.zone);
        let node = self.zones[first.zone as usize].node;
        let (own, target) = (self.lruvec(first.memcg, node), self.lruvec(control.target, node));
        let object = &mut self.objects[first.object as usize];
        let [vma] = object.vmas[..] else { return 0 };
        let ptes = &mut self.vmas[vma as usize].ptes[..];
        let (mut done, mut activated, mut evicted) = (0, 0, 0);
        for (folio, verdict) in batch.iter().zip(verdicts) {
            let Some(verdict) = *verdict else { break };
            done += 1;
            if verdict == Verdict::Keep {
                continue;
            }
            let record = &mut self.folios[*folio];
            if record.object != first.object || record.zone != first.zone {
                done -= 1;
                break;
            }
            if verdict == Verdict::Activate {
                record.flags |= flag::ACTIVE;
                activated += 1;
                continue;
            }
            record.mapped = 0;
            let index = record.index;
            if let Some(entry) = ptes.get_mut(index as usize)
                && *entry & pte::PRESENT != 0
            {
                *entry = 0;
            }
            let before = outcome.evicted + evicted;
            let shadow = engine.evict(&mut self.lruvecs, record, own, target, before);
            if let Some(leaf) = object.take_out(index, shadow) {
                let lruvec = leaf.memcg as usize * self.nodes.len() + node;
                self.lruvecs[lruvec].list_leaf(leaf, first.object, index / SLOTS);
            }
            self.folios.release(*folio);
            evicted += 1;
        }
        self.now += self.config.costs.scan_ns * done as u64;
        outcome.freed += evicted;
        outcome.evicted += evicted;
        outcome.unsettled.pages[1] += evicted as i64;
        if activated > 0 {
            self.count(first.memcg, Stat::pgactivate, activated);
        }
        done
    }
}
