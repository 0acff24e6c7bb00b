//! `perf bench numa mem`'s random walk: blocks of 8 KiB in the order of a shift register.

use std::ops::Range;

use base::{MmId, Rng};

use crate::Step;
use crate::generate::script::{BATCH_ROWS, Batches, PAGE_WRITE};

/// Pages of a block.
pub(super) const BLOCK_PAGES: u32 = 2;

/// A 32-bit Galois shift register with the maximal polynomial x^32 + x^22 + x^2 + x + 1: all values
/// but 0 in a fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lfsr(u32);

impl Lfsr {
    const TAPS: u32 = 1 << 31 | 1 << 21 | 1 << 1 | 1;

    fn new(state: u32) -> Self {
        Self(state.max(1))
    }

    fn next(&mut self) -> u32 {
        let low = self.0 & 1;
        self.0 = (self.0 >> 1) ^ (Self::TAPS * low);
        self.0
    }
}

/// Writes `visits` blocks at places a shift register picks; the register goes on in the next round.
///
/// The program's blocks begin at any 8-byte word and so overlap a third page by a part; here they
/// begin at a page. What a block moves is the same.
pub(super) struct Blocks {
    mm: MmId,
    pages: Range<u32>,
    visits: u64,
    left: u64,
    register: Option<Lfsr>,
    batches: Batches,
}

impl Blocks {
    pub(super) fn new(mm: MmId, pages: Range<u32>, visits: u64) -> Self {
        let batches = Batches::default();
        Self { mm, pages, visits, left: visits, register: None, batches }
    }

    /// The next batch; `None` at the end of the round. The first call seeds the register.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Option<Step> {
        let nr_pages = self.pages.end.saturating_sub(self.pages.start);
        let length = BLOCK_PAGES.min(nr_pages);
        if self.left == 0 || length == 0 {
            self.left = self.visits;
            return None;
        }
        let nr_blocks = self.left.min(BATCH_ROWS as u64 / u64::from(BLOCK_PAGES));
        self.left -= nr_blocks;
        let register = self.register.get_or_insert_with(|| Lfsr::new(rng.next_u64() as u32));
        let (mm, first) = (self.mm, self.pages.start);
        let step = self.batches.step(|points| {
            (points.mm, points.sequential, points.dependent) = (mm, false, false);
            for _ in 0..nr_blocks {
                let page = first + register.next() % (nr_pages - length + 1);
                points.page.extend(page..page + length);
            }
            points.traffic.resize(points.page.len(), PAGE_WRITE);
            points.think_ns.resize(points.page.len(), 0);
        });
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Matrix = [u32; 32];

    /// `matrix` applied to a vector; column k is the image of bit k.
    fn apply(matrix: &Matrix, vector: u32) -> u32 {
        (0..32).filter(|bit| vector >> bit & 1 == 1).fold(0, |sum, bit| sum ^ matrix[bit])
    }

    fn power(matrix: Matrix, mut exponent: u64) -> Matrix {
        let times = |a: &Matrix, b: &Matrix| b.map(|column| apply(a, column));
        let (mut result, mut square): (Matrix, Matrix) =
            (std::array::from_fn(|bit| 1 << bit), matrix);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = times(&result, &square);
            }
            square = times(&square, &square);
            exponent >>= 1;
        }
        result
    }

    /// The register's period is 2^32 - 1: its step is a linear map over GF(2) whose order divides
    /// that number and none of the quotients by its primes 3, 5, 17, 257, 65537.
    #[test]
    fn the_register_visits_every_value() {
        let step: Matrix = std::array::from_fn(|bit| Lfsr(1 << bit).next());
        let identity: Matrix = std::array::from_fn(|bit| 1 << bit);
        let period = u64::from(u32::MAX);
        assert_eq!(power(step, period), identity);
        for prime in [3, 5, 17, 257, 65537] {
            assert_ne!(power(step, period / prime), identity, "period divides by {prime}");
        }
    }

    #[test]
    fn blocks_stay_inside_and_come_in_the_stated_number() {
        let mut rng = base::stream(3, "test.blocks", 0);
        let mut blocks = Blocks::new(MmId(1), 10..26, 1000);
        for _round in 0..2 {
            let mut visits = [0u32; 16];
            let mut rows = 0;
            while let Some(step) = blocks.next(&mut rng) {
                let Step::Points(points, range) = step else { panic!("no points") };
                rows += range.len();
                for pair in points.page[range].chunks(2) {
                    assert_eq!(pair[1], pair[0] + 1);
                    visits[pair[0] as usize - 10] += 1;
                }
            }
            assert_eq!(rows, 2000);
            assert_eq!(visits[15], 0, "a block would end outside");
            assert!(visits[..15].iter().all(|nr| (30..110).contains(nr)), "{visits:?}");
        }
    }
}
