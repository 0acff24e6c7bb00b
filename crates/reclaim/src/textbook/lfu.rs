//! Least frequently used, counted while resident.
//!
//! E. G. Coffman, P. J. Denning, "Operating Systems Theory", 1973, chapter 6. Among pages with
//! equal counts the one that reached the count first goes. An evicted page's count is forgotten.
//!
//! Left out: aging; a binary tree instead of buckets, so the time grows with the logarithm of the
//! capacity.

use std::collections::BTreeSet;
use std::ops::Range;

use config::{Described, NoKnobs};

use super::{Replacement, Setting, Textbook};

/// Least frequently used.
#[derive(Clone, Debug)]
pub struct Lfu {
    /// Accesses while resident (0: not resident) and when the last was.
    count: Vec<(u32, u64)>,
    /// Resident pages by count, then by the time at which they reached it.
    order: BTreeSet<(u32, u64, u32)>,
    capacity: u32,
    accesses: u64,
}

impl Lfu {
    fn count_up(&mut self, page: u32, count: u32) {
        self.accesses += 1;
        self.count[page as usize] = (count, self.accesses);
        self.order.insert((count, self.accesses, page));
    }

    fn drop_page(&mut self, page: u32) {
        let (count, at) = std::mem::take(&mut self.count[page as usize]);
        self.order.remove(&(count, at, page));
    }
}

impl Replacement for Lfu {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn nr_resident(&self) -> u32 {
        self.order.len() as u32
    }

    fn is_resident(&self, page: u32) -> bool {
        self.count[page as usize].0 > 0
    }

    fn hit(&mut self, page: u32) {
        let (count, _) = self.count[page as usize];
        self.drop_page(page);
        self.count_up(page, count.saturating_add(1));
    }

    fn evict(&mut self) -> Option<u32> {
        let (_, _, page) = self.order.pop_first()?;
        self.count[page as usize] = (0, 0);
        Some(page)
    }

    fn insert(&mut self, page: u32) {
        self.count_up(page, 1);
    }

    fn forget(&mut self, pages: Range<u32>) {
        pages.for_each(|page| self.drop_page(page));
    }

    fn validate(&self) {
        let resident = self.count.iter().filter(|(count, _)| *count > 0).count();
        assert_eq!(resident, self.order.len(), "pages in order");
    }
}

impl Described for Lfu {
    const NAME: &'static str = "lfu";
    const LINEAGE: &'static str =
        "the page used least often while resident goes, the oldest of equals";
    const SOURCE: &'static str = "E. G. Coffman, P. J. Denning, Operating Systems Theory, 1973";
    const LEFT_OUT: &'static str = "aging; counts of evicted pages";
    type Knobs = NoKnobs;
}

impl Textbook for Lfu {
    fn new(_knobs: NoKnobs, setting: &Setting<'_>) -> Self {
        Self {
            count: vec![(0, 0); setting.nr_pages as usize],
            order: BTreeSet::new(),
            capacity: setting.capacity(),
            accesses: 0,
        }
    }
}
