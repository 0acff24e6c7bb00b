//! Pages of 32-bit numbers in the encoding `DELTA_BINARY_PACKED`.
//!
//! After a header with the first value come blocks: the least difference of the block, how many bits
//! the differences of each of its miniblocks take beyond that one, and these, packed. Sums wrap around.
//! Source: "Delta Encoding" in `Encodings.md` of the Parquet format.

use std::ops::Range;

use bytes::Bytes;
use parquet::basic::Encoding;

use super::bits::{ends, number, signed};
use super::column::{Decoder, Page};
use super::vectors::{UNIT, Vectors, WINDOW};

/// A page being decoded.
#[derive(Default)]
pub(super) struct Deltas {
    vectors: Option<Vectors>,
    /// What is not decoded yet, from `at` on.
    bytes: Bytes,
    at: usize,
    /// Values to come.
    left: usize,
    /// Whether the first value, which is in `last`, is to come.
    is_new: bool,
    /// The last value so far.
    last: u32,
    /// The least difference of the block.
    least: u32,
    /// Where the bit widths of the block's miniblocks to come are.
    widths: Range<usize>,
    /// Miniblocks of a block.
    miniblocks: usize,
    /// Units of a miniblock, and how many of the present one are to come.
    units: usize,
    units_left: usize,
    /// Bits of a difference in the present miniblock.
    width: u8,
}

impl Decoder<u32> for Deltas {
    fn new(vectors: Option<Vectors>) -> Self {
        Self { vectors, ..Self::default() }
    }

    fn dictionary(&mut self, _: &Page) -> Result<bool, String> {
        Ok(false)
    }

    fn open(&mut self, page: &Page) -> Result<bool, String> {
        if page.encoding != Encoding::DELTA_BINARY_PACKED {
            return Ok(false);
        }
        let mut rest = &page.bytes[..];
        let (block, miniblocks) = (number(&mut rest)?, number(&mut rest)?);
        let (values, last) = (number(&mut rest)?, signed(&mut rest)?);
        let divides = |part: u64, whole: u64| part > 0 && whole > 0 && whole.is_multiple_of(part);
        let unit = UNIT as u64;
        if !divides(128, block) || !divides(miniblocks, block) || !divides(unit, block / miniblocks)
        {
            return Err(format!("a page has blocks of {block} values, miniblocks {miniblocks}"));
        }
        if values != page.values as u64 {
            return Err(format!("a page of {} values counts {values}", page.values));
        }
        let count = |count: u64| usize::try_from(count).map_err(|e| e.to_string());
        *self = Self {
            bytes: page.bytes.slice_ref(rest),
            left: page.values,
            is_new: true,
            last,
            miniblocks: count(miniblocks)?,
            units: count(block / miniblocks / unit)?,
            ..Self::new(self.vectors)
        };
        Ok(true)
    }

    fn decode(&mut self, out: &mut [u32]) -> Result<usize, String> {
        let mut done = 0;
        if self.is_new && self.left > 0 {
            let Some(first) = out.first_mut() else { return Ok(0) };
            *first = self.last;
            self.is_new = false;
            self.left -= 1;
            done = 1;
        }
        let units = out[done..].as_chunks_mut().0;
        done += match self.vectors {
            Some(vectors) => vectors.run(
                #[inline(always)]
                || {
                    self.units(
                        units,
                        #[inline(always)]
                        |width, bytes, least, last, out| {
                            let done = vectors.sums(width, bytes, least, last, out);
                            done.unwrap_or_else(|| sums(width, bytes, least, last, out))
                        },
                    )
                },
            )?,
            None => self.units(units, sums)?,
        };
        Ok(done)
    }
}

impl Deltas {
    /// Decodes units until the page is over; `sums` adds up one. Returns how many values that were.
    #[inline(always)]
    fn units(
        &mut self,
        units: &mut [[u32; UNIT]],
        sums: impl Fn(u8, &[u8; WINDOW], u32, u32, &mut [u32; UNIT]) -> u32,
    ) -> Result<usize, String> {
        let bytes = std::mem::take(&mut self.bytes);
        let (mut at, mut last, mut left) = (self.at, self.last, self.left);
        for unit in units {
            if left == 0 {
                break;
            }
            if self.units_left == 0 {
                if self.widths.is_empty() {
                    at = self.block(&bytes, at)?;
                }
                self.width = bytes[self.widths.start];
                self.widths.start += 1;
                self.units_left = self.units;
                if self.width > 32 {
                    return Err(format!("differences of {} bits", self.width));
                }
            }
            self.units_left -= 1;
            let rest = &bytes[at..];
            let length = usize::from(self.width) * UNIT / 8;
            let nr = left.min(UNIT);
            last = match rest.first_chunk() {
                Some(window) => sums(self.width, window, self.least, last, unit),
                None => {
                    let padded = padded(rest, usize::from(self.width) * nr)?;
                    sums(self.width, &padded, self.least, last, unit)
                }
            };
            at += length.min(rest.len());
            left -= nr;
        }
        let done = self.left - left;
        (self.bytes, self.at, self.last, self.left) = (bytes, at, last, left);
        Ok(done)
    }

    /// Begins the next block; returns where what is behind its head begins.
    #[inline(never)]
    fn block(&mut self, bytes: &[u8], at: usize) -> Result<usize, String> {
        let mut rest = &bytes[at..];
        self.least = signed(&mut rest)?;
        if rest.len() < self.miniblocks {
            return Err(ends());
        }
        let start = bytes.len() - rest.len();
        self.widths = start..start + self.miniblocks;
        Ok(self.widths.end)
    }
}

/// A unit near the page's end, which may come before the unit's: what is behind the page's values, that is
/// these bits, is of no meaning.
fn padded(rest: &[u8], bits: usize) -> Result<[u8; WINDOW], String> {
    if rest.len() < bits.div_ceil(8) {
        return Err(ends());
    }
    let mut padded = [0; WINDOW];
    padded[..rest.len()].copy_from_slice(rest);
    Ok(padded)
}

/// Adds up a unit of differences of `width` bits; returns the last sum.
fn sums(width: u8, bytes: &[u8; WINDOW], least: u32, last: u32, out: &mut [u32; UNIT]) -> u32 {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => sums_of::<$width>(bytes, least, last, out),)*
                _ => constant(least, last, out),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

/// With the width known to the compiler every offset, shift and mask is a constant, so that a value takes
/// a load, a shift, a mask, two additions and a store.
fn sums_of<const WIDTH: usize>(
    bytes: &[u8; WINDOW],
    least: u32,
    mut last: u32,
    out: &mut [u32; UNIT],
) -> u32 {
    let mask = u32::MAX >> (32 - WIDTH);
    for (idx, eight) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let bytes = &bytes[idx * WIDTH..][..WIDTH + size_of::<u64>()];
        for (idx, value) in eight.iter_mut().enumerate() {
            let bit = idx * WIDTH;
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[bit / 8..][..8]);
            let difference = (u64::from_le_bytes(word) >> (bit % 8)) as u32 & mask;
            last = last.wrapping_add(difference.wrapping_add(least));
            *value = last;
        }
    }
    last
}

/// Differences of no bits: all are the least.
fn constant(least: u32, mut last: u32, out: &mut [u32; UNIT]) -> u32 {
    for value in out {
        last = last.wrapping_add(least);
        *value = last;
    }
    last
}
