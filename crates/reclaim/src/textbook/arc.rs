//! ARC: adaptive replacement.
//!
//! N. Megiddo, D. S. Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, figure
//! 4. T1 holds pages seen once, T2 pages seen again; B1 and B2 remember what was evicted from them. An
//! access to a page in B1 makes T1's target `p` grow, one in B2 makes it shrink.
//!
//! The paper does not say whether the step of `p` is an integer; here it is not, as in most later
//! implementations. Where REPLACE would take from an empty T2 it takes from T1.

use std::ops::Range;

use config::{Described, NoKnobs};

use super::{Replacement, Setting, Textbook};
use crate::list::{List, TaggedLists};

const T1: List = List(0);
const T2: List = List(1);
const B1: List = List(2);
const B2: List = List(3);

/// Note on a page that was remembered when it was accessed.
const RECALLED: u8 = 1;

/// Adaptive replacement.
#[derive(Clone, Debug)]
pub struct Arc {
    pages: TaggedLists,
    capacity: u32,
    /// Target length of T1.
    p: f64,
    /// Where the page of the last fault was remembered.
    recalled: Option<List>,
}

impl Arc {
    /// REPLACE of the paper: the oldest of T1 or T2 becomes a memory.
    fn replace(&mut self) -> Option<u32> {
        let t1 = f64::from(self.pages.len(T1));
        let over = t1 > self.p || t1 == self.p && self.recalled == Some(B2);
        let from_t1 = self.pages.len(T1) > 0 && over || self.pages.len(T2) == 0;
        let (from, to) = if from_t1 { (T1, B1) } else { (T2, B2) };
        let page = self.pages.lists().back(from)?;
        self.pages.put_front(to, page);
        Some(page)
    }
}

impl Replacement for Arc {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    #[inline]
    fn nr_resident(&self) -> u32 {
        self.pages.len(T1) + self.pages.len(T2)
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.pages.list_of(page).is_some_and(|list| list <= T2)
    }

    #[inline]
    fn hit(&mut self, page: u32) {
        self.pages.put_front(T2, page);
    }

    fn fault(&mut self, page: u32) {
        self.recalled = self.pages.list_of(page);
        let Some(list) = self.recalled else { return };
        let (b1, b2) = (f64::from(self.pages.len(B1)), f64::from(self.pages.len(B2)));
        self.p = if list == B1 {
            (self.p + (b2 / b1).max(1.0)).min(f64::from(self.capacity))
        } else {
            (self.p - (b1 / b2).max(1.0)).max(0.0)
        };
        self.pages.take_off(page);
        self.pages.set_note(page, RECALLED);
    }

    fn evict(&mut self) -> Option<u32> {
        if self.recalled.is_some() {
            return self.replace();
        }
        let l1 = self.pages.len(T1) + self.pages.len(B1);
        if l1 >= self.capacity {
            if self.pages.pop_back(B1).is_none() {
                return self.pages.pop_back(T1);
            }
        } else if l1 + self.pages.len(T2) + self.pages.len(B2) >= self.capacity.saturating_mul(2) {
            self.pages.pop_back(B2);
        }
        self.replace()
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        let list = if self.pages.take_note(page) == RECALLED { T2 } else { T1 };
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
        let capacity = u64::from(self.capacity);
        let [t1, t2, b1, b2] = [T1, T2, B1, B2].map(|list| u64::from(self.pages.len(list)));
        assert!(t1 + b1 <= capacity, "L1 is too long");
        assert!(t1 + t2 + b1 + b2 <= 2 * capacity, "more is remembered than twice the capacity");
        assert!((0.0..=f64::from(self.capacity)).contains(&self.p), "p is out of range");
    }
}

impl Described for Arc {
    const NAME: &'static str = "arc";
    const LINEAGE: &'static str =
        "pages seen once and pages seen again in shares that adapt (Megiddo, Modha 2003)";
    const SOURCE: &'static str = "N. Megiddo, D. S. Modha, FAST 2003, figure 4";
    const LEFT_OUT: &'static str = "nothing; the adaptation step is a real number";
    type Knobs = NoKnobs;
}

impl Textbook for Arc {
    fn new(_knobs: NoKnobs, setting: &Setting<'_>) -> Self {
        let pages = TaggedLists::new(4, setting.nr_pages);
        Self { pages, capacity: setting.capacity(), p: 0.0, recalled: None }
    }
}
