//! The limit on migration to a node: so many pages in a window of time.
//!
//! `numamigrate_update_ratelimit` of `mm/migrate.c` in 3.13 to 4.19, and AutoNUMA's of the same
//! kind.

use base::{Bytes, Nanos, NodeId, NodeVec, Pages};

/// Windows of all nodes.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    interval: Nanos,
    limit: Pages,
    nodes: NodeVec<Window>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    ends: Nanos,
    moved: Pages,
}

impl RateLimit {
    pub(crate) fn new(interval: Nanos, limit: Bytes, nr_nodes: usize) -> Self {
        let nodes = NodeVec::filled(Window::default(), nr_nodes);
        Self { interval, limit: limit.pages_ceil(), nodes }
    }

    /// Whether `pages` more may go to `node` now; they are counted when they may.
    pub(crate) fn admits(&mut self, node: NodeId, pages: Pages, now: Nanos) -> bool {
        let window = &mut self.nodes[node];
        if now >= window.ends {
            *window = Window { ends: now + self.interval, moved: Pages::ZERO };
        }
        let admitted = window.moved + pages <= self.limit;
        if admitted {
            window.moved += pages;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_admits_its_limit_to_each_node() {
        let mut limit = RateLimit::new(Nanos::from_ms(100), Bytes::from_mib(4), 2);
        let mut ask = |node, ms| limit.admits(NodeId(node), Pages(512), Nanos::from_ms(ms));
        assert_eq!([ask(0, 0), ask(0, 50), ask(0, 99)], [true, true, false]);
        assert!(ask(1, 99), "the other node has its own window");
        assert!(ask(0, 100), "a new window");
    }
}
