//! The limit on migration to a node: so many pages in a window of time.
//!
//! `numamigrate_update_ratelimit` and `migrate_ratelimited` of `mm/migrate.c` in 3.8 to 4.19, and
//! AutoNUMA's of the same kind.

use base::{Bytes, Nanos, NodeId, NodeVec, Pages};

/// When a window is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cap {
    /// A migration has to fit into what is left (AutoNUMA).
    Hard,
    /// Migrations are refused once the limit has been exceeded, so the last one may overshoot it
    /// (mainline).
    Exceeded,
}

/// Windows of all nodes.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    interval: Nanos,
    limit: Pages,
    cap: Cap,
    nodes: NodeVec<Window>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ends: Nanos,
    moved: Pages,
}

impl RateLimit {
    pub(crate) fn new(interval: Nanos, limit: Bytes, cap: Cap, nr_nodes: usize) -> Self {
        let nodes = NodeVec::filled(Window::default(), nr_nodes);
        Self { interval, limit: limit.pages_ceil(), cap, nodes }
    }

    /// Whether `pages` more may go to `node` now; they are counted when they may.
    pub(crate) fn admits(&mut self, node: NodeId, pages: Pages, now: Nanos) -> bool {
        let window = &mut self.nodes[node];
        if now >= window.ends {
            *window = Window { ends: now + self.interval, moved: Pages::ZERO };
        }
        let admitted = match self.cap {
            Cap::Hard => window.moved + pages <= self.limit,
            Cap::Exceeded => window.moved <= self.limit,
        };
        if admitted {
            window.moved += pages;
        }
        admitted
    }

    /// Whether the last window of `node` has exceeded the limit; that is forgotten when the next
    /// one opens, or `after` the end of the last.
    pub(crate) fn is_exceeded(&self, node: NodeId, now: Nanos, after: Nanos) -> bool {
        let window = &self.nodes[node];
        window.moved > self.limit && now < window.ends + after
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(cap: Cap) -> RateLimit {
        RateLimit::new(Nanos::from_ms(100), Bytes::from_mib(4), cap, 2)
    }

    #[test]
    fn a_window_admits_its_limit_to_each_node() {
        let mut limit = limit(Cap::Hard);
        let mut ask = |node, ms| limit.admits(NodeId(node), Pages(512), Nanos::from_ms(ms));
        assert_eq!([ask(0, 0), ask(0, 50), ask(0, 99)], [true, true, false]);
        assert!(ask(1, 99), "the other node has its own window");
        assert!(ask(0, 100), "a new window");
    }

    #[test]
    fn mainline_refuses_once_the_limit_has_been_exceeded() {
        let mut limit = limit(Cap::Exceeded);
        let mut ask = |ms| limit.admits(NodeId(0), Pages(512), Nanos::from_ms(ms));
        assert_eq!([ask(0), ask(1), ask(2), ask(3)], [true, true, true, false]);
        let after = Nanos::from_ms(1000);
        let exceeded =
            |limit: &RateLimit, ms| limit.is_exceeded(NodeId(0), Nanos::from_ms(ms), after);
        assert!(exceeded(&limit, 1099) && !exceeded(&limit, 1100));
        limit.admits(NodeId(0), Pages(1), Nanos::from_ms(500));
        assert!(!exceeded(&limit, 501), "a new window has room");
    }

    proptest! {
        /// Against a list of all that was let through: a window opens with the first question after
        /// the last one's end, and what counts is what went to the node since.
        #[test]
        fn windows_are_as_described(
            asks in prop::collection::vec((0u64..60, 0u8..2, 1u64..700), 0..60),
            hard: bool,
        ) {
            let mut fast = limit(if hard { Cap::Hard } else { Cap::Exceeded });
            let mut admitted: Vec<(u64, u8, u64)> = Vec::new();
            let mut opened: [Option<u64>; 2] = [None; 2];
            let mut now = 0;
            for (pause, node, pages) in asks {
                now += pause;
                let since = match opened[usize::from(node)] {
                    Some(since) if now < since + 100 => since,
                    _ => now,
                };
                // A window that opens in the very millisecond of the last migration starts at 0.
                let reopened = opened[usize::from(node)].replace(since) != Some(since);
                if reopened {
                    admitted.retain(|(_, to, _)| *to != node);
                }
                let moved: u64 = admitted
                    .iter()
                    .filter(|(at, to, _)| *to == node && *at >= since)
                    .map(|one| one.2)
                    .sum();
                let fits = if hard { moved + pages <= 1024 } else { moved <= 1024 };
                if fits {
                    admitted.push((now, node, pages));
                }
                prop_assert_eq!(fast.admits(NodeId(node), Pages(pages), Nanos::from_ms(now)), fits);
            }
        }
    }
}
