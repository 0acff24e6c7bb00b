//! Demotion: reclaim that moves pages to a slower node instead of freeing them.

use super::engine::Engine;
use super::shrink::Outcome;
use super::stat::Stat;
use super::state::Guest;
use super::vmscan::ScanControl;

impl Guest {
    /// The slower node next to a node, if demotion is on.
    #[inline]
    fn demotion_target(&self, node: usize) -> Option<usize> {
        if !self.knobs.demotion {
            return None;
        }
        let tier = *self.config.tiers.get(node)?;
        let slower = (0..self.nr_nodes()).filter(|other| self.config.tiers[*other] > tier);
        slower.min_by_key(|other| {
            (self.config.tiers[*other], self.config.distances[node][*other], *other)
        })
    }

    /// Whether pages of a node can be demoted by this reclaim.
    #[inline]
    pub(super) fn can_demote(&self, node: usize, control: &ScanControl) -> bool {
        !control.no_demotion && self.demotion_target(node).is_some()
    }

    /// Moves folios to the slower node; those that find no room are decided about as usual.
    pub(super) fn demote<E: Engine + ?Sized>(
        &mut self,
        engine: &E,
        control: &mut ScanControl,
        batch: &[u32],
        outcome: &mut Outcome,
    ) {
        for folio in batch.iter().copied() {
            let nr = u64::from(self.folios[folio].nr);
            let target = self.demotion_target(self.node_of(folio));
            let Some(zone) = target.and_then(|node| self.alloc_on_node(node, 1)) else {
                let without = control.no_demotion;
                control.no_demotion = true;
                self.pageout(engine, control, folio, outcome, false);
                control.no_demotion = without;
                self.give_back(&mut outcome.unsettled);
                continue;
            };
            self.move_folio(folio, zone);
            outcome.freed += nr;
            self.now += self.config.costs.demote_ns;
            let stat = if control.kswapd { Stat::pgdemote_kswapd } else { Stat::pgdemote_direct };
            self.vm[stat] += nr;
        }
    }
}
