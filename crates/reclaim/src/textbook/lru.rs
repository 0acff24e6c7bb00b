//! Least recently used.
//!
//! L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
//! Journal 5(2), 1966, and R. L. Mattson, J. Gecsei, D. R. Slutz, I. L. Traiger, "Evaluation
//! techniques for storage hierarchies", IBM Systems Journal 9(2), 1970 (the inclusion property).
//! Exact: every hit moves the page to the front.

use std::ops::Range;

use config::{Described, NoKnobs};

use super::{Replacement, Setting, Textbook};
use crate::list::{List, Lists};

const RECENT: List = List(0);

/// Least recently used.
#[derive(Clone, Debug)]
pub struct Lru {
    lists: Lists,
    capacity: u32,
}

impl Lru {
    /// Resident pages, the most recently used first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.lists.iter(RECENT)
    }
}

impl Replacement for Lru {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn nr_resident(&self) -> u32 {
        self.lists.len(RECENT)
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.lists.is_listed(page)
    }

    #[inline]
    fn hit(&mut self, page: u32) {
        self.lists.rotate(RECENT, page);
    }

    #[inline]
    fn evict(&mut self) -> Option<u32> {
        self.lists.pop_back(RECENT)
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        self.lists.push_front(RECENT, page);
    }

    fn forget(&mut self, pages: Range<u32>) {
        for page in pages {
            if self.is_resident(page) {
                self.lists.del(RECENT, page);
            }
        }
    }

    #[inline]
    fn warm(&self, pages: &[u32]) -> u32 {
        self.lists.warm(pages)
    }

    fn validate(&self) {
        self.lists.validate(|page| self.is_resident(page).then_some(RECENT));
    }
}

impl Described for Lru {
    const NAME: &'static str = "lru";
    const LINEAGE: &'static str = "the page not used for the longest time goes (Belady 1966)";
    const SOURCE: &'static str = "L. A. Belady, IBM Systems Journal 5(2), 1966; R. L. Mattson et al., IBM Systems Journal 9(2), 1970";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}

impl Textbook for Lru {
    fn new(_knobs: NoKnobs, setting: &Setting<'_>) -> Self {
        let lists = Lists::new(1, setting.nr_pages);
        Self { lists, capacity: setting.capacity() }
    }
}
