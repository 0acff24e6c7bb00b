//! Dense page numbers that keep order and huge-page alignment.
//!
//! A space's pages are numbered in order of their addresses. A 2 MiB block of addresses that one
//! anonymous mapping covers whole, and of which at least one page was touched, keeps all its 512
//! pages and begins at a multiple of 512 (unused numbers may come before it), so a huge page is
//! possible there as it was in the program. Of other blocks only the touched pages get numbers.
//! Where the source knows no mappings, a block is taken for covered if more than half of its pages
//! were touched.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{Mapping, TraceError};

const BLOCK: u64 = base::HUGE_PAGE_PAGES;
const WORDS: usize = (BLOCK / 64) as usize;

/// The touched pages of a space, as a bitmap per 2 MiB block.
#[derive(Debug, Default)]
pub(super) struct Touched {
    blocks: BTreeMap<u64, [u64; WORDS]>,
}

/// Mappings as recorded: ascending, apart.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    ranges: Vec<Range<u64>>,
}

/// Where a space's pages went.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Block, first dense number, and which of its pages have one.
    blocks: Vec<(u64, u32, [u64; WORDS])>,
    /// Numbers given out.
    pub(super) nr_pages: u32,
}

impl Touched {
    pub(super) fn insert(&mut self, page: u64) {
        let at = page % BLOCK;
        self.blocks.entry(page / BLOCK).or_default()[(at / 64) as usize] |= 1 << (at % 64);
    }

    pub(super) fn any_in(&self, pages: &Range<u64>) -> bool {
        if pages.is_empty() {
            return false;
        }
        let blocks = pages.start / BLOCK..=(pages.end - 1) / BLOCK;
        self.blocks
            .range(blocks)
            .any(|(block, bits)| set_bits(bits).any(|at| pages.contains(&(block * BLOCK + at))))
    }

    pub(super) fn count(&self) -> u64 {
        self.blocks.values().map(|bits| ones(bits)).sum()
    }

    /// All touched pages in order.
    fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks
            .iter()
            .flat_map(|(block, bits)| set_bits(bits).map(move |at| block * BLOCK + at))
    }
}

fn ones(bits: &[u64]) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}

fn set_bits(bits: &[u64; WORDS]) -> impl Iterator<Item = u64> + '_ {
    (0..BLOCK).filter(|at| bits[(at / 64) as usize] >> (at % 64) & 1 == 1)
}

impl Mapped {
    /// Adds a range of pages; ranges that overlap become one, those that only touch stay apart.
    pub(super) fn insert(&mut self, mut pages: Range<u64>) {
        if pages.is_empty() {
            return;
        }
        let first = self.ranges.partition_point(|range| range.end <= pages.start);
        let last = self.ranges.partition_point(|range| range.start < pages.end);
        if first < last {
            pages.start = pages.start.min(self.ranges[first].start);
            pages.end = pages.end.max(self.ranges[last - 1].end);
        }
        self.ranges.splice(first..last, [pages]);
    }

    /// Lets the range that ends at `pages.start` grow (the heap); otherwise adds it.
    pub(super) fn extend(&mut self, pages: Range<u64>) {
        match self.ranges.iter().find(|range| range.end == pages.start) {
            Some(range) if !pages.is_empty() => self.insert(range.start..pages.end),
            _ => self.insert(pages),
        }
    }

    fn covers(&self, pages: &Range<u64>) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= pages.start);
        self.ranges
            .get(at)
            .is_some_and(|range| range.start <= pages.start && pages.end <= range.end)
    }

    fn contains(&self, page: u64) -> bool {
        self.covers(&(page..page + 1))
    }
}

impl Layout {
    /// Numbers the touched pages of a space; without `anonymous` its mappings are unknown.
    pub(super) fn new(touched: &Touched, anonymous: Option<&Mapped>) -> Result<Self, TraceError> {
        let mut layout = Self::default();
        let mut next = 0_u64;
        for (block, bits) in &touched.blocks {
            let whole = match anonymous {
                Some(mapped) => mapped.covers(&(block * BLOCK..(block + 1) * BLOCK)),
                None => ones(bits) > BLOCK / 2,
            };
            let kept = if whole { [u64::MAX; WORDS] } else { *bits };
            if whole {
                next = next.next_multiple_of(BLOCK);
            }
            let first = u32::try_from(next).unwrap_or(u32::MAX);
            layout.blocks.push((*block, first, kept));
            next += ones(&kept);
        }
        layout.nr_pages = u32::try_from(next)
            .map_err(|_| TraceError::Invalid("more than 2^32 pages in one space".to_owned()))?;
        Ok(layout)
    }

    /// The number of a page that was touched.
    pub(super) fn page(&self, raw: u64) -> u32 {
        self.first_from(raw)
    }

    /// The number of the first kept page at or after `raw`.
    fn first_from(&self, raw: u64) -> u32 {
        let at = self.blocks.partition_point(|(block, _, _)| *block < raw / BLOCK);
        match self.blocks.get(at) {
            Some((block, first, bits)) if *block == raw / BLOCK => {
                let rank = first + rank(bits, raw % BLOCK);
                // Behind the last kept page of a block comes the next block's first.
                let left = u64::from(rank - first) < ones(bits);
                if left { rank } else { self.blocks.get(at + 1).map_or(self.nr_pages, |b| b.1) }
            }
            Some((_, first, _)) => *first,
            None => self.nr_pages,
        }
    }

    /// One more than the number of the last kept page before `raw`.
    fn end_before(&self, raw: u64) -> u32 {
        let at = self.blocks.partition_point(|(block, _, _)| *block < raw / BLOCK);
        let in_block = self.blocks.get(at).filter(|(block, _, _)| *block == raw / BLOCK);
        let here = in_block.map(|(_, first, bits)| (*first, rank(bits, raw % BLOCK)));
        match here {
            Some((first, rank)) if rank > 0 => first + rank,
            _ => match at.checked_sub(1).and_then(|before| self.blocks.get(before)) {
                Some((_, first, bits)) => first + ones(bits) as u32,
                None => 0,
            },
        }
    }

    /// The numbers of the kept pages of a range; `None` if there are none.
    pub(super) fn range(&self, raw: &Range<u64>) -> Option<Range<u32>> {
        let range = self.first_from(raw.start)..self.end_before(raw.end);
        (range.start < range.end).then_some(range)
    }

    /// All mappings in the new numbers: anonymous ones, files (which huge pages leave alone), and
    /// touched pages outside both. Unknown mappings are one that covers everything.
    pub(super) fn mappings(
        &self,
        touched: &Touched,
        anonymous: Option<&Mapped>,
        files: &Mapped,
    ) -> Vec<Mapping> {
        let Some(anonymous) = anonymous else {
            let all = Mapping { pages: 0..self.nr_pages, thp: None, policy: None };
            return if self.nr_pages == 0 { Vec::new() } else { vec![all] };
        };
        let mut strays = Mapped::default();
        let mut plain = Mapped::default();
        for page in touched.pages().filter(|page| !anonymous.contains(*page)) {
            let to = if files.contains(page) { &mut plain } else { &mut strays };
            to.extend(page..page + 1);
        }
        let new = |mapped: &Mapped, thp: Option<bool>| -> Vec<Mapping> {
            let ranges = mapped.ranges.iter().filter_map(|range| self.range(range));
            ranges.map(|pages| Mapping { pages, thp, policy: None }).collect()
        };
        let mut all = new(anonymous, None);
        all.extend(new(&plain, Some(false)));
        all.extend(new(&strays, None));
        all.sort_by_key(|mapping| mapping.pages.start);
        all
    }
}

/// Kept pages of a block before `at`.
fn rank(bits: &[u64; WORDS], at: u64) -> u32 {
    let word = (at / 64) as usize;
    let before: u32 = bits[..word].iter().map(|word| word.count_ones()).sum();
    before + (bits[word] & ((1 << (at % 64)) - 1)).count_ones()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_keep_order_alignment_and_mappings(
            pages in prop::collection::btree_set(0_u64..6000, 1..200),
            ranges in prop::collection::vec((0_u64..6000, 1_u64..3000), 0..6),
        ) {
            let mut touched = Touched::default();
            pages.iter().for_each(|page| touched.insert(*page));
            let mut mapped = Mapped::default();
            ranges.iter().for_each(|(start, len)| mapped.insert(*start..start + len));
            let layout = Layout::new(&touched, Some(&mapped)).expect("fits");
            let numbers: Vec<u32> = pages.iter().map(|page| layout.page(*page)).collect();
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(numbers.iter().all(|number| *number < layout.nr_pages));
            let mappings = layout.mappings(&touched, Some(&mapped), &Mapped::default());
            prop_assert!(mappings.windows(2).all(|pair| pair[0].pages.end <= pair[1].pages.start));
            for (page, number) in pages.iter().zip(&numbers) {
                prop_assert!(mappings.iter().any(|mapping| mapping.pages.contains(number)));
                let block = page / BLOCK * BLOCK;
                if mapped.covers(&(block..block + BLOCK)) {
                    prop_assert_eq!(u64::from(*number) % BLOCK, page % BLOCK);
                }
            }
            for (start, len) in ranges {
                let raw = start..start + len;
                let inside: Vec<u32> =
                    pages.iter().filter(|page| raw.contains(page)).map(|page| layout.page(*page)).collect();
                if let (Some(first), Some(last)) = (inside.first(), inside.last()) {
                    let range = layout.range(&raw).expect("has pages");
                    prop_assert!(range.contains(first) && range.contains(last));
                }
                prop_assert_eq!(touched.any_in(&raw), !inside.is_empty());
            }
        }
    }
}
