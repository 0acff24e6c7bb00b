//! Pages waiting for knuma_migrated: a queue for each pair of destination and source node.

use std::collections::{BTreeMap, VecDeque};

use base::{MmId, NodeId};

/// A page in a space.
pub(crate) type Page = (MmId, u32);

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    to: NodeId,
    from: NodeId,
    /// Tells a live entry of a queue from one that was cancelled.
    ticket: u64,
}

/// All queues.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    live: BTreeMap<Page, Request>,
    /// `[to][from]`; entries whose request is gone are skipped.
    queues: Vec<Vec<VecDeque<(u64, Page)>>>,
    /// Source node to take from next, by destination.
    turn: Vec<usize>,
    next_ticket: u64,
}

impl Queues {
    pub(crate) fn new(nr_nodes: usize) -> Self {
        Self {
            live: BTreeMap::new(),
            queues: vec![vec![VecDeque::new(); nr_nodes]; nr_nodes],
            turn: vec![0; nr_nodes],
            next_ticket: 0,
        }
    }

    /// Where a page waits to go.
    pub(crate) fn destination(&self, page: Page) -> Option<NodeId> {
        self.live.get(&page).map(|request| request.to)
    }

    /// Asks for a page to be moved; an older request is replaced, an equal one stays in its place.
    pub(crate) fn request(&mut self, page: Page, from: NodeId, to: NodeId) {
        if self.live.get(&page).is_some_and(|old| (old.to, old.from) == (to, from)) {
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.live.insert(page, Request { to, from, ticket });
        self.queues[to.idx()][from.idx()].push_back((ticket, page));
    }

    pub(crate) fn cancel(&mut self, page: Page) {
        self.live.remove(&page);
    }

    /// The next page for `to`: the oldest of each source node in turn.
    pub(crate) fn take(&mut self, to: NodeId) -> Option<Page> {
        let nr_nodes = self.turn.len();
        for step in 0..nr_nodes {
            let from = (self.turn[to.idx()] + step) % nr_nodes;
            while let Some((ticket, page)) = self.queues[to.idx()][from].pop_front() {
                if self.live.get(&page).is_some_and(|request| request.ticket == ticket) {
                    self.live.remove(&page);
                    self.turn[to.idx()] = (from + 1) % nr_nodes;
                    return Some(page);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);
    const C: NodeId = NodeId(2);

    fn page(page: u32) -> Page {
        (MmId(0), page)
    }

    #[test]
    fn sources_take_turns_oldest_first() {
        let mut queues = Queues::new(3);
        for (nr, from) in [(1, A), (2, A), (3, B), (4, A)] {
            queues.request(page(nr), from, C);
        }
        let order: Vec<u32> = std::iter::from_fn(|| queues.take(C)).map(|page| page.1).collect();
        assert_eq!(order, [1, 3, 2, 4]);
    }

    #[test]
    fn cancelled_and_redirected_pages_are_not_taken() {
        let mut queues = Queues::new(3);
        queues.request(page(1), A, C);
        queues.request(page(2), A, C);
        queues.cancel(page(1));
        queues.request(page(2), A, B);
        assert_eq!(queues.take(C), None);
        assert_eq!((queues.destination(page(1)), queues.destination(page(2))), (None, Some(B)));
        assert_eq!(queues.take(B), Some(page(2)));
        assert_eq!(queues.take(B), None);
    }

    proptest! {
        /// Whatever is asked and cancelled, each page comes out once, at its last destination.
        #[test]
        fn the_last_word_counts(ops in prop::collection::vec((0u32..6, 0u8..3, 0u8..3, any::<bool>()), 0..60)) {
            let mut queues = Queues::new(3);
            let mut model: BTreeMap<Page, NodeId> = BTreeMap::new();
            for (nr, from, to, cancel) in ops {
                if cancel {
                    queues.cancel(page(nr));
                    model.remove(&page(nr));
                } else {
                    queues.request(page(nr), NodeId(from), NodeId(to));
                    model.insert(page(nr), NodeId(to));
                }
            }
            for to in [A, B, C] {
                while let Some(page) = queues.take(to) {
                    prop_assert_eq!(model.remove(&page), Some(to));
                }
            }
            prop_assert!(model.is_empty());
        }
    }
}
