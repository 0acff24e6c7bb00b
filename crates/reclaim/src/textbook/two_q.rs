//! 2Q: a page is worth keeping when it comes back after a while.
//!
//! T. Johnson, D. Shasha, "2Q: a low overhead high performance buffer management replacement
//! algorithm", VLDB 1994, the full version. New pages pass a FIFO (A1in); evicted from there they
//! are remembered (A1out); a remembered page that is accessed again goes to an LRU list (Am). A hit
//! in A1in changes nothing.
//!
//! Differs from the paper in the order within a fault: the page is taken off A1out before a victim is
//! chosen, so that its place there is free for the victim. Left out: nothing.

use std::ops::Range;

use config::Described;

use super::{Replacement, Setting, Textbook};
use crate::list::{List, TaggedLists};

config::config! {
    /// Constants of 2Q.
    pub struct Knobs {
        /// A1in's share of the capacity (Kin).
        #[check(config::in_range(0.0..=1.0))]
        pub a1in_ratio: f64 = 0.25,
        /// Evicted pages that A1out remembers, as a share of the capacity (Kout).
        #[check(config::in_range(0.0..=16.0))]
        pub a1out_ratio: f64 = 0.5,
    }
}

const A1IN: List = List(0);
const AM: List = List(1);
const A1OUT: List = List(2);

/// Note on a page that was on A1out when it was accessed.
const RECALLED: u8 = 1;

/// The two queues, and what is remembered.
#[derive(Clone, Debug)]
pub struct TwoQ {
    pages: TaggedLists,
    capacity: u32,
    a1in: u32,
    a1out: u32,
}

impl Replacement for TwoQ {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    #[inline]
    fn nr_resident(&self) -> u32 {
        self.pages.len(A1IN) + self.pages.len(AM)
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.pages.list_of(page).is_some_and(|list| list != A1OUT)
    }

    #[inline]
    fn hit(&mut self, page: u32) {
        if self.pages.list_of(page) == Some(AM) {
            self.pages.put_front(AM, page);
        }
    }

    #[inline]
    fn fault(&mut self, page: u32) {
        if self.pages.list_of(page) == Some(A1OUT) {
            self.pages.take_off(page);
            self.pages.set_note(page, RECALLED);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        if self.pages.len(A1IN) <= self.a1in && self.pages.len(AM) > 0 {
            return self.pages.pop_back(AM);
        }
        let page = self.pages.pop_back(A1IN)?;
        self.pages.put_front_of(A1OUT, self.a1out, page);
        Some(page)
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        let list = if self.pages.take_note(page) == RECALLED { AM } else { A1IN };
        self.pages.put_front(list, page);
    }

    fn forget(&mut self, pages: Range<u32>) {
        self.pages.forget(pages);
    }

    #[inline]
    fn warm(&self, pages: &[u32]) -> u32 {
        self.pages.warm(pages)
    }

    fn validate(&self) {
        self.pages.validate();
        assert!(self.pages.len(A1OUT) <= self.a1out, "A1out is too long");
    }
}

impl Described for TwoQ {
    const NAME: &'static str = "2q";
    const LINEAGE: &'static str =
        "a FIFO of newcomers, an LRU list of those that came back (Johnson, Shasha 1994)";
    const SOURCE: &'static str = "T. Johnson, D. Shasha, VLDB 1994";
    const LEFT_OUT: &'static str =
        "nothing; a fault takes its page off A1out before the victim is put there";
    type Knobs = Knobs;
}

impl Textbook for TwoQ {
    fn new(knobs: Knobs, setting: &Setting<'_>) -> Self {
        Self {
            pages: TaggedLists::new(3, setting.nr_pages),
            capacity: setting.capacity(),
            a1in: setting.share(knobs.a1in_ratio),
            a1out: setting.share(knobs.a1out_ratio),
        }
    }
}
