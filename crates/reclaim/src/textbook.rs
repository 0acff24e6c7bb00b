//! Replacement policies of the literature, as yardsticks.
//!
//! A policy is told of hits, faults and insertions of pages `0..nr_pages` and says which resident
//! page to evict. Pages have one size and numbers that stay when they are evicted, since several
//! policies remember evicted pages. Each file begins with its source and with what is left out;
//! [`registry`] lists all.
//!
//! What a policy does without: dirty pages, kinds of pages, time. The engines of the kernel are
//! elsewhere.

use std::hint::black_box;
use std::ops::Range;

mod arc;
mod belady;
mod clock;
mod fifo;
mod lfu;
mod lru;
pub mod registry;
mod ring;
mod s3_fifo;
mod sieve;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod tests;
mod two_q;

pub use arc::Arc;
pub use belady::Belady;
pub use clock::Clock;
pub use fifo::Fifo;
pub use lfu::Lfu;
pub use lru::Lru;
pub use registry::{Build, Maker, OPTIMUM, POLICIES, Registered, Textbook, find};
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;
pub use two_q::TwoQ;

/// Knobs of the policies that have some.
pub mod knobs {
    pub use super::clock::Knobs as Clock;
    pub use super::s3_fifo::Knobs as S3Fifo;
    pub use super::two_q::Knobs as TwoQ;
}

/// What a policy works on.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Pages are numbers below this.
    pub nr_pages: u32,
    /// Pages that may be resident; 0 is taken as 1.
    pub capacity: u32,
    /// All accesses to come, for policies that need them ([`Registered::is_offline`]); others do
    /// not look.
    pub future: &'a [u32],
}

impl<'a> Setting<'a> {
    /// The setting for a stream of accesses that is known as a whole.
    pub fn of(requests: &'a [u32], capacity: u32) -> Self {
        let nr_pages = requests.iter().max().map_or(0, |page| page + 1);
        Self { nr_pages, capacity, future: requests }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity.max(1)
    }

    /// A share of the capacity, rounded down.
    pub(crate) fn share(&self, ratio: f64) -> u32 {
        (f64::from(self.capacity()) * ratio) as u32
    }
}

/// A replacement policy.
///
/// The caller keeps the order: an access is a [`hit`](Self::hit) when
/// [`is_resident`](Self::is_resident), else [`fault`](Self::fault), [`evict`](Self::evict) when
/// memory is full, [`insert`](Self::insert); [`access`](Self::access) does just that. Pages must be
/// below the setting's `nr_pages`, else methods panic.
pub trait Replacement {
    /// Pages that may be resident.
    fn capacity(&self) -> u32;

    /// Pages that are resident.
    fn nr_resident(&self) -> u32;

    /// Whether a page is resident.
    fn is_resident(&self, page: u32) -> bool;

    /// A resident page was accessed.
    fn hit(&mut self, page: u32);

    /// A page that is not resident was accessed. What the policy remembers of it decides what
    /// [`evict`](Self::evict) and [`insert`](Self::insert) do next.
    fn fault(&mut self, _page: u32) {}

    /// Chooses the page to evict and counts it as not resident; `None` when none is.
    fn evict(&mut self) -> Option<u32>;

    /// A page that was not resident becomes so. There is room.
    fn insert(&mut self, page: u32);

    /// The pages were freed by their owner: they are neither resident nor remembered. The time
    /// grows with the range or with the resident pages.
    fn forget(&mut self, pages: Range<u32>);

    /// Reads what the next accesses will need, so that their cache misses overlap; changes nothing.
    /// The value only keeps the reads alive.
    fn warm(&self, _pages: &[u32]) -> u32 {
        0
    }

    /// Checks the policy's own state and panics on a contradiction. Slow; for tests.
    fn validate(&self) {}

    /// A whole access; returns whether it was a hit.
    #[inline]
    fn access(&mut self, page: u32) -> bool {
        if self.is_resident(page) {
            self.hit(page);
            return true;
        }
        self.fault(page);
        if self.nr_resident() >= self.capacity() {
            self.evict();
        }
        self.insert(page);
        false
    }

    /// Accesses pages one after the other and returns how many were not resident. Compiled for each
    /// policy, so that a call through `dyn` costs once, not at every access.
    fn replay(&mut self, requests: &[u32]) -> u64 {
        let mut misses = 0;
        for block in requests.chunks(BLOCK) {
            black_box(self.warm(block));
            misses += block.iter().map(|page| u64::from(!self.access(*page))).sum::<u64>();
        }
        misses
    }
}

/// Accesses that are warmed at once.
const BLOCK: usize = 64;

/// Misses of a policy with its published constants on a whole stream of accesses.
pub fn simulate(policy: &Registered, capacity: u32, requests: &[u32]) -> u64 {
    (policy.build_default)(&Setting::of(requests, capacity)).replay(requests)
}
