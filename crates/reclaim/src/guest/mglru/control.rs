//! The controller: which type refaults less, and from which tier on pages are protected.

use super::super::state::Generations;

/// The tier of a number of accesses.
pub(super) fn tier(used: u32) -> usize {
    match used {
        0 => 0,
        1 => 1,
        2 | 3 => 2,
        _ => 3,
    }
}

impl Generations {
    pub(in crate::guest) fn oldest(&self, kind: usize) -> usize {
        (self.min_seq[kind] % 4) as usize
    }

    pub(in crate::guest) fn count(&self, kind: usize) -> u64 {
        self.max_seq + 1 - self.min_seq[kind]
    }

    pub(in crate::guest) fn is_young(&self, generation: usize) -> bool {
        generation == (self.max_seq % 4) as usize || generation == ((self.max_seq - 1) % 4) as usize
    }

    pub(in crate::guest) fn pages(&self, kind: usize, seq: u64) -> u64 {
        self.nr[(seq % 4) as usize][kind].iter().map(|nr| (*nr).max(0) as u64).sum()
    }

    /// Refaulted and all of a tier, over the current oldest generation and the past.
    fn rates(&self, kind: usize, tier: usize) -> (u64, u64) {
        let protected = if tier > 0 { self.protected[kind][tier] } else { 0 };
        let refaulted = self.avg_refaulted[kind][tier] + self.refaulted[kind][tier];
        (refaulted, self.avg_total[kind][tier] + self.evicted[kind][tier] + protected)
    }

    /// Folds the oldest generation's counts into the averages.
    pub(in crate::guest) fn retire(&mut self, kind: usize) {
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
    pub(in crate::guest) fn tier_limit(&self, kind: usize) -> usize {
        let set_point = self.rates(kind, 0);
        (1..4).find(|tier| !below(set_point, 1, self.rates(kind, *tier), 2)).unwrap_or(4) - 1
    }

    /// Which type refaults less, and up to which tier it may be evicted.
    pub(in crate::guest) fn kind_to_scan(&self, swappiness: u64) -> (usize, usize) {
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
