//! S3-FIFO: three FIFO queues.
//!
//! J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO queues are all you need for cache
//! eviction", SOSP 2023. New pages enter a small queue; those accessed often enough there move on to
//! the main one, others are evicted and remembered; a remembered page that is accessed again enters
//! the main queue. The main queue is a CLOCK with a 2-bit counter.
//!
//! As the authors' simulator since its version 0.3, and unlike the paper: until the first eviction
//! new pages go to the main queue once the small one has its size. Left out: nothing.

use std::ops::Range;

use config::Described;

use super::{Replacement, Setting, Textbook};
use crate::list::{List, TaggedLists};

config::config! {
    /// Constants of S3-FIFO.
    pub struct Knobs {
        /// The small queue's share of the capacity.
        #[check(config::in_range(0.0..=1.0))]
        pub small_ratio: f64 = 0.1,
        /// Evicted pages that are remembered, as a share of the capacity.
        #[check(config::in_range(0.0..=16.0))]
        pub ghost_ratio: f64 = 0.9,
        /// Hits in the small queue that move a page on.
        #[check(config::in_range(1u8..=14))]
        pub move_to_main_threshold: u8 = 2,
    }
}

const SMALL: List = List(0);
const MAIN: List = List(1);
const GHOST: List = List(2);

/// Note on a page that was remembered when it was accessed; lower notes count hits.
const RECALLED: u8 = 15;
/// Most hits that count in the main queue.
const MAIN_HITS: u8 = 3;

/// Three FIFO queues.
#[derive(Clone, Debug)]
pub struct S3Fifo {
    pages: TaggedLists,
    capacity: u32,
    small: u32,
    ghost: u32,
    threshold: u8,
    has_evicted: bool,
}

impl S3Fifo {
    /// Evicts from the small queue; `None` when all that was in it moved on.
    fn evict_small(&mut self) -> Option<u32> {
        while let Some(page) = self.pages.lists().back(SMALL) {
            if self.pages.take_note(page) >= self.threshold {
                self.pages.put_front(MAIN, page);
                continue;
            }
            self.pages.take_off(page);
            self.pages.put_front_of(GHOST, self.ghost, page);
            return Some(page);
        }
        None
    }

    fn evict_main(&mut self) -> Option<u32> {
        while let Some(page) = self.pages.lists().back(MAIN) {
            let hits = self.pages.note(page).min(MAIN_HITS);
            if hits == 0 {
                self.pages.take_off(page);
                return Some(page);
            }
            self.pages.set_note(page, hits - 1);
            self.pages.put_front(MAIN, page);
        }
        None
    }
}

impl Replacement for S3Fifo {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    #[inline]
    fn nr_resident(&self) -> u32 {
        self.pages.len(SMALL) + self.pages.len(MAIN)
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.pages.list_of(page).is_some_and(|list| list != GHOST)
    }

    #[inline]
    fn hit(&mut self, page: u32) {
        let most = self.threshold.max(MAIN_HITS);
        let hits = self.pages.note(page);
        self.pages.set_note(page, hits + u8::from(hits < most));
    }

    #[inline]
    fn fault(&mut self, page: u32) {
        if self.pages.list_of(page) == Some(GHOST) {
            self.pages.take_off(page);
            self.pages.set_note(page, RECALLED);
        }
    }

    fn evict(&mut self) -> Option<u32> {
        self.has_evicted = true;
        while self.nr_resident() > 0 {
            let main_is_over = self.pages.len(MAIN) > self.capacity - self.small;
            let victim = if main_is_over || self.pages.len(SMALL) == 0 {
                self.evict_main()
            } else {
                self.evict_small()
            };
            if victim.is_some() {
                return victim;
            }
        }
        None
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        let filling = !self.has_evicted && self.pages.len(SMALL) >= self.small;
        let recalled = self.pages.take_note(page) == RECALLED;
        let list = if filling || recalled { MAIN } else { SMALL };
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
        assert!(self.pages.len(GHOST) <= self.ghost, "more is remembered than allowed");
    }
}

impl Described for S3Fifo {
    const NAME: &'static str = "s3-fifo";
    const LINEAGE: &'static str =
        "a small FIFO filters newcomers, a main one keeps them (Yang et al. 2023)";
    const SOURCE: &'static str = "J. Yang et al., SOSP 2023";
    const LEFT_OUT: &'static str = "nothing; until the first eviction new pages go to the main queue once the small one has its size";
    type Knobs = Knobs;
}

impl Textbook for S3Fifo {
    fn new(knobs: Knobs, setting: &Setting<'_>) -> Self {
        Self {
            pages: TaggedLists::new(3, setting.nr_pages),
            capacity: setting.capacity(),
            small: setting.share(knobs.small_ratio).min(setting.capacity()),
            ghost: setting.share(knobs.ghost_ratio),
            threshold: knobs.move_to_main_threshold.clamp(1, RECALLED - 1),
            has_evicted: false,
        }
    }
}
