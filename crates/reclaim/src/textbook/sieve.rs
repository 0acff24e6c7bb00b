//! SIEVE: a hand that moves over a FIFO without reordering it.
//!
//! Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson, K. V. Rashmi, "SIEVE is simpler than LRU: an efficient
//! turn-key eviction algorithm for web caches", NSDI 2024, algorithm 1. A hit marks the page; the
//! hand goes from the oldest page towards the newest, clears marks and evicts the first page without
//! one. Unlike CLOCK it leaves survivors where they are, so newcomers are examined soon.
//!
//! Left out: nothing.

use std::ops::Range;

use config::{Described, NoKnobs};

use super::{Replacement, Setting, Textbook};
use crate::list::{List, TaggedLists};

const QUEUE: List = List(0);

/// Note on a page that was accessed since the hand passed it.
const VISITED: u8 = 1;

/// A hand over a FIFO.
#[derive(Clone, Debug)]
pub struct Sieve {
    pages: TaggedLists,
    capacity: u32,
    /// The page to be examined next; `None` is the oldest.
    hand: Option<u32>,
}

impl Replacement for Sieve {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    #[inline]
    fn nr_resident(&self) -> u32 {
        self.pages.len(QUEUE)
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.pages.list_of(page).is_some()
    }

    #[inline]
    fn hit(&mut self, page: u32) {
        self.pages.set_note(page, VISITED);
    }

    fn evict(&mut self) -> Option<u32> {
        loop {
            let page = self.hand.or_else(|| self.pages.lists().back(QUEUE))?;
            self.hand = self.pages.lists().before(page);
            if self.pages.note(page) != VISITED {
                self.pages.take_off(page);
                return Some(page);
            }
            self.pages.set_note(page, 0);
        }
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        self.pages.put_front(QUEUE, page);
    }

    fn forget(&mut self, pages: Range<u32>) {
        while let Some(hand) = self.hand.filter(|hand| pages.contains(hand)) {
            self.hand = self.pages.lists().before(hand);
        }
        self.pages.forget(pages);
    }

    #[inline]
    fn warm(&self, pages: &[u32]) -> u32 {
        self.pages.warm(pages)
    }

    fn validate(&self) {
        self.pages.validate();
        assert!(self.hand.is_none_or(|hand| self.is_resident(hand)), "the hand is off the queue");
    }
}

impl Described for Sieve {
    const NAME: &'static str = "sieve";
    const LINEAGE: &'static str =
        "a hand over a FIFO that leaves marked pages in place (Zhang et al. 2024)";
    const SOURCE: &'static str = "Y. Zhang et al., NSDI 2024, algorithm 1";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}

impl Textbook for Sieve {
    fn new(_knobs: NoKnobs, setting: &Setting<'_>) -> Self {
        let pages = TaggedLists::new(1, setting.nr_pages);
        Self { pages, capacity: setting.capacity(), hand: None }
    }
}
