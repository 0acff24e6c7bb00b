//! CLOCK: second chance, with a counter of one or more bits.
//!
//! F. J. Corbato, "A paging experiment with the Multics system", MIT Project MAC report, 1968 (one
//! bit); A. J. Smith, "Sequentiality and prefetching in database systems", ACM TODS 3(3), 1978
//! (several bits, "generalized CLOCK"). A page comes in with counter 0, a hit counts up to 2^bits - 1;
//! the hand counts a page down and goes on, evicts at 0, and the new page takes the slot. The same as
//! FIFO with reinsertion. A hit only sets a bit of the page's own byte, as an MMU does.
//!
//! Left out: nothing.

use std::ops::Range;

use config::Described;

use super::ring::Ring;
use super::{Replacement, Setting, Textbook};

config::config! {
    /// Constants of CLOCK.
    pub struct Knobs {
        /// Bits of a page's counter; 1 is the classic reference bit.
        #[check(config::in_range(1u8..=7))]
        pub bits: u8 = 1,
    }
}

/// Second chance.
#[derive(Clone, Debug)]
pub struct Clock {
    /// 0 when not resident, else 1 and the counter.
    state: Vec<u8>,
    ring: Ring,
    /// Largest state.
    most: u8,
}

impl Replacement for Clock {
    fn capacity(&self) -> u32 {
        self.ring.capacity()
    }

    #[inline]
    fn nr_resident(&self) -> u32 {
        self.ring.len()
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.state[page as usize] != 0
    }

    #[inline]
    fn hit(&mut self, page: u32) {
        let state = &mut self.state[page as usize];
        *state += u8::from(*state < self.most);
    }

    #[inline]
    fn evict(&mut self) -> Option<u32> {
        while let Some(page) = self.ring.front() {
            let state = &mut self.state[page as usize];
            *state -= 1;
            if *state == 0 {
                return self.ring.pop_front();
            }
            self.ring.rotate();
        }
        None
    }

    #[inline]
    fn insert(&mut self, page: u32) {
        self.state[page as usize] = 1;
        self.ring.push_back(page);
    }

    fn forget(&mut self, pages: Range<u32>) {
        self.ring.forget(&pages);
        self.state[pages.start as usize..pages.end as usize].fill(0);
    }

    #[inline]
    fn warm(&self, pages: &[u32]) -> u32 {
        pages.iter().fold(0, |seen, page| seen ^ u32::from(self.state[*page as usize]))
    }

    fn validate(&self) {
        let resident = self.state.iter().filter(|state| **state != 0).count();
        assert_eq!(resident, self.ring.len() as usize, "pages on the ring");
        assert!(self.state.iter().all(|state| *state <= self.most), "a counter ran over");
    }
}

impl Described for Clock {
    const NAME: &'static str = "clock";
    const LINEAGE: &'static str =
        "FIFO that gives pages with a reference bit or count another round (Corbato 1968)";
    const SOURCE: &'static str =
        "F. J. Corbato, MIT Project MAC, 1968; A. J. Smith, ACM TODS 3(3), 1978";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = Knobs;
}

impl Textbook for Clock {
    fn new(knobs: Knobs, setting: &Setting<'_>) -> Self {
        let state = vec![0; setting.nr_pages as usize];
        let most = 1u8 << knobs.bits.clamp(1, 7);
        Self { state, ring: Ring::new(setting.capacity()), most }
    }
}
