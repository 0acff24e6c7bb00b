//! First in, first out.
//!
//! L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
//! Journal 5(2), 1966. A hit changes nothing.

use std::ops::Range;

use config::{Described, NoKnobs};

use super::ring::Ring;
use super::{Replacement, Setting, Textbook};

/// First in, first out.
#[derive(Clone, Debug)]
pub struct Fifo {
    resident: Vec<bool>,
    ring: Ring,
}

impl Replacement for Fifo {
    fn capacity(&self) -> u32 {
        self.ring.capacity()
    }

    #[inline]
    fn nr_resident(&self) -> u32 {
        self.ring.len()
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.resident[page as usize]
    }

    #[inline]
    fn hit(&mut self, _page: u32) {}

    #[inline]
    fn evict(&mut self) -> Option<u32> {
        let page = self.ring.pop_front()?;
        self.resident[page as usize] = false;
        Some(page)
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        self.resident[page as usize] = true;
        self.ring.push_back(page);
    }

    fn forget(&mut self, pages: Range<u32>) {
        self.ring.forget(&pages);
        self.resident[pages.start as usize..pages.end as usize].fill(false);
    }

    #[inline]
    fn warm(&self, pages: &[u32]) -> u32 {
        pages.iter().fold(0, |seen, page| seen ^ u32::from(self.resident[*page as usize]))
    }

    fn validate(&self) {
        let resident = self.resident.iter().filter(|resident| **resident).count();
        assert_eq!(resident, self.ring.len() as usize, "pages in the queue");
    }
}

impl Described for Fifo {
    const NAME: &'static str = "fifo";
    const LINEAGE: &'static str = "the page resident for the longest time goes (Belady 1966)";
    const SOURCE: &'static str = "L. A. Belady, IBM Systems Journal 5(2), 1966";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}

impl Textbook for Fifo {
    fn new(_knobs: NoKnobs, setting: &Setting<'_>) -> Self {
        let resident = vec![false; setting.nr_pages as usize];
        Self { resident, ring: Ring::new(setting.capacity()) }
    }
}
