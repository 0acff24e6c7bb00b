//! Promotion by hint faults: which pages of a slow node are worth a place on a fast one.
//!
//! The tiering half of `should_numa_migrate_memory` and its helpers in `kernel/sched/fair.c`
//! (Huang Ying, 5.18 and 6.1). A page is hot when its hint fault comes soon after the scan that
//! marked it. Only candidates are rate limited, and the threshold follows their number. Left out:
//! the promo watermark of zones, for which high stands here; it matters only beside the GiB that
//! must be free.

use base::{Bytes, Nanos, NodeId, NodeMask, NodeVec, Pages};
use mm::Watermark;
use topology::Machine;

use crate::Cx;

/// A node with as much free memory takes whatever is used.
const ENOUGH: Bytes = Bytes::from_mib(1024);
/// Steps of the threshold, of twice its default.
const STEPS: u64 = 16;
/// Marks a word as a time, apart from who faulted last.
const TIME: u32 = 1 << 30;

/// Constants of promotion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromoteKnobs {
    /// `hot_threshold_ms`.
    pub(crate) hot_threshold: Nanos,
    /// `numa_balancing_promote_rate_limit_MBps`, in a second.
    pub(crate) rate_limit: Bytes,
    /// Time between two adaptations of the threshold: the longest scan period.
    pub(crate) adapt_every: Nanos,
}

/// A fast node's threshold and counts.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// `None` for the default.
    threshold: Option<Nanos>,
    candidates: u64,
    /// The running second: its start, and the candidates then.
    second: (Nanos, u64),
    /// The running interval of the threshold.
    interval: (Nanos, u64),
}

/// What becomes of a page that a hint fault found on a slow node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) promote: bool,
    /// It is hot enough to be counted.
    pub(crate) candidate: bool,
}

/// Tiers and what is known of the fast nodes.
#[derive(Clone, Debug)]
pub(crate) struct Promotion {
    knobs: PromoteKnobs,
    nodes: NodeVec<Node>,
    /// Nodes of the fastest tier.
    pub(crate) top: NodeMask,
    /// The others.
    pub(crate) slow: NodeMask,
}

/// The word of a page that was marked at `now`.
pub(crate) fn time_word(now: Nanos) -> u32 {
    TIME | (now.as_ms() as u32 & (TIME - 1))
}

/// Time since a page was marked; `None` when its word is no time.
fn latency(word: u32, now: Nanos) -> Option<Nanos> {
    let since = (now.as_ms() as u32).wrapping_sub(word) & (TIME - 1);
    (word & TIME != 0 && word >> 31 == 0).then_some(Nanos::from_ms(u64::from(since)))
}

impl Promotion {
    pub(crate) fn new(knobs: PromoteKnobs, machine: &Machine) -> Self {
        let best = machine.nodes.iter().map(|node| node.tier).min().unwrap_or(0);
        let of = |top: bool| {
            let nodes = machine.nodes.enumerate().filter(|(_, node)| (node.tier == best) == top);
            nodes.map(|(id, _)| id).collect()
        };
        let nodes = NodeVec::filled(Node::default(), machine.nodes.len());
        Self { knobs, nodes, top: of(true), slow: of(false) }
    }

    /// Whether a page of `pages`, marked at the time in `word`, moves up to `to`.
    pub(crate) fn decide(&mut self, cx: &Cx<'_>, to: NodeId, word: u32, pages: Pages) -> Decision {
        if self.is_roomy(cx, to) {
            self.nodes[to].threshold = None;
            return Decision { promote: true, candidate: false };
        }
        self.nodes[to].adapt(&self.knobs, cx.now);
        let threshold = self.nodes[to].threshold.unwrap_or(self.knobs.hot_threshold);
        if latency(word, cx.now).is_none_or(|latency| latency >= threshold) {
            return Decision::default();
        }
        let limit = self.knobs.rate_limit.pages_ceil().0;
        Decision { promote: self.nodes[to].count(pages.0, limit, cx.now), candidate: true }
    }

    fn is_roomy(&self, cx: &Cx<'_>, node: NodeId) -> bool {
        let sixteenth = Pages(cx.memory.zones.managed(node).0 / 16);
        let enough = ENOUGH.pages_ceil().max(sixteenth);
        cx.memory.zones.would_stay_above(node, enough, Watermark::High)
    }
}

impl Node {
    /// Counts candidates; whether the running second still has room for them.
    fn count(&mut self, pages: u64, limit: u64, now: Nanos) -> bool {
        self.candidates += pages;
        if now.saturating_sub(self.second.0) > Nanos::from_secs(1) {
            self.second = (now, self.candidates);
        }
        self.candidates - self.second.1 < limit
    }

    /// Makes the threshold smaller when there were more candidates than the limit takes in the
    /// interval, larger when there were fewer.
    fn adapt(&mut self, knobs: &PromoteKnobs, now: Nanos) {
        if now.saturating_sub(self.interval.0) <= knobs.adapt_every {
            return;
        }
        let default = knobs.hot_threshold;
        let step = Nanos(default.0 * 2 / STEPS);
        let per_ms = u128::from(knobs.rate_limit.pages_ceil().0);
        let reference = (per_ms * u128::from(knobs.adapt_every.as_ms()) / 1000) as u64;
        let found = self.candidates - self.interval.1;
        let old = self.threshold.unwrap_or(default);
        let new = if found > reference / 10 * 11 {
            old.saturating_sub(step).max(step)
        } else if found < reference / 10 * 9 {
            (old + step).min(default * 2)
        } else {
            old
        };
        self.threshold = Some(new);
        self.interval = (now, self.candidates);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::World;

    const KNOBS: PromoteKnobs = PromoteKnobs {
        hot_threshold: Nanos::from_ms(1000),
        rate_limit: Bytes::from_mib(1),
        adapt_every: Nanos::from_secs(60),
    };

    #[test]
    fn times_are_kept_apart_from_tasks_and_wrap() {
        let ms = |ms| Nanos::from_ms(ms);
        assert_eq!(latency(time_word(ms(500)), ms(1700)), Some(ms(1200)));
        let late = u64::from(TIME) - 100;
        assert_eq!(latency(time_word(ms(late)), ms(late + 300)), Some(ms(300)));
        assert_eq!(latency(0, ms(5)), None);
        assert_eq!(latency(1 << 31 | TIME, ms(5)), None);
    }

    #[test]
    fn pages_touched_soon_after_the_scan_are_hot_until_the_limit_is_reached() {
        let mut world = World::new(2, 2);
        let mut promotion = Promotion::new(KNOBS, &world.machine);
        let word = time_word(Nanos::from_ms(5000));
        let mut ask = |ms, pages| {
            world.now = Nanos::from_ms(ms);
            promotion.decide(&world.cx(), NodeId(0), word, Pages(pages))
        };
        let (cold, hot) = (Decision::default(), Decision { promote: true, candidate: true });
        assert_eq!(ask(6000, 1), cold, "a second is too late");
        assert_eq!([ask(5999, 1), ask(5999, 255)], [hot, hot]);
        assert_eq!(ask(5999, 1), Decision { promote: false, candidate: true }, "256 in a second");
    }

    #[test]
    fn the_threshold_follows_the_number_of_candidates() {
        let mut node = Node::default();
        node.adapt(&KNOBS, Nanos::from_secs(60));
        assert_eq!(node.threshold, None, "not before the interval is over");
        node.adapt(&KNOBS, Nanos::from_secs(61));
        assert_eq!(node.threshold, Some(Nanos::from_ms(1125)), "nobody came");
        for interval in 2..20 {
            node.candidates += 60 * 256 * 2;
            node.adapt(&KNOBS, Nanos::from_secs(61 * interval));
        }
        assert_eq!(node.threshold, Some(Nanos::from_ms(125)), "never below one step");
    }

    /// The description with the candidates as a list of (time, pages), recounted each time.
    #[derive(Default)]
    struct Slow {
        found: Vec<(u64, u64)>,
        /// How many entries of `found` were there when the running second, the running interval
        /// began, and when that was.
        second: (u64, usize),
        interval: (u64, usize),
        threshold: Option<u64>,
    }

    impl Slow {
        fn pages(&self, from: usize) -> u64 {
            self.found[from..].iter().map(|(_, pages)| pages).sum()
        }

        fn decide(&mut self, now: u64, marked: Option<u64>, pages: u64) -> Decision {
            if now - self.interval.0 > 60_000 {
                // 256 pages a second are 15,360 in the interval; a step is an eighth of a second.
                let found = self.pages(self.interval.1);
                let old = self.threshold.unwrap_or(1000);
                self.threshold = Some(if found > 15_360 / 10 * 11 {
                    old.saturating_sub(125).max(125)
                } else if found < 15_360 / 10 * 9 {
                    (old + 125).min(2000)
                } else {
                    old
                });
                self.interval = (now, self.found.len());
            }
            match marked {
                Some(marked) if now - marked < self.threshold.unwrap_or(1000) => {}
                _ => return Decision::default(),
            }
            self.found.push((now, pages));
            if now - self.second.0 > 1000 {
                self.second = (now, self.found.len());
            }
            let promote = self.pages(self.second.1) < 256;
            Decision { promote, candidate: true }
        }
    }

    proptest! {
        #[test]
        fn promotion_is_as_described(
            faults in prop::collection::vec(
                (prop::sample::select(vec![0u64, 1, 7, 300, 1000, 1200, 61_000, 61_000]),
                 prop::option::weighted(0.9, 0u64..2300), prop::sample::select(vec![1u64, 64, 512])),
                1..120),
            bursts in prop::collection::vec((1usize..40, 30_000u64..70_000), 0..6),
        ) {
            let mut world = World::new(2, 2);
            let mut promotion = Promotion::new(KNOBS, &world.machine);
            let (mut slow, mut now) = (Slow::default(), 10_000);
            // Bursts of hot huge pages between long waits move the threshold both ways.
            let hot = bursts.iter().flat_map(|(len, wait)| {
                (0..*len).map(move |at| (if at == 0 { *wait } else { 1 }, Some(5), 512))
            });
            for (wait, age, pages) in hot.chain(faults) {
                now += wait;
                world.now = Nanos::from_ms(now);
                let marked = age.map(|age| now - age);
                let word = marked.map_or(7, |at| time_word(Nanos::from_ms(at)));
                let got = promotion.decide(&world.cx(), NodeId(0), word, Pages(pages));
                prop_assert_eq!(got, slow.decide(now, marked, pages));
            }
        }
    }
}
