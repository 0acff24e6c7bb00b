//! Free pages of a zone in pageblocks of another kind of allocation than reclaim's own.
//!
//! Movable pages (those of files and of processes) come from movable blocks. When none of these has a
//! free page, the allocator looks at the others (`__rmqueue` and below): it takes a block over that is
//! free for the most part, and otherwise takes single pages, which go back into their block when they
//! are freed. Taking over a block that is not free altogether, or trying to, boosts watermarks.
//!
//! Which block a page lies in is not known, only how many pages of each block are free or were taken;
//! the largest piece of a block is the largest power of two in its count. Left out: page
//! tables, which are taken as movable, and that slabs are given back from a CPU's list.

use std::collections::VecDeque;

use super::state::{Guest, HUGE};
use super::zone::{Mark, Zone};

/// Free pages from which on a block becomes movable when it is tried (`try_to_steal_block`).
const HALF: u16 = HUGE as u16 / 2;
/// Smallest power of two of free pages that is tried (`can_steal_fallback`: `pageblock_order / 2`).
const LEAST_ORDER: u32 = 4;

/// Bytes of a leaf's object in its slab.
const LEAF_SLOT: u64 = 576;

/// Free pages of blocks that a zone starts with, and whether they are of reclaimable memory: about what
/// `/proc/pagetypeinfo` shows of 36 zones of 18 guests at rest. Reclaimable memory (861 pages in the median):
/// two blocks, one of them free. Unmovable memory (676 pages in the mean): in most zones a free block; one
/// that is filled at the moment, a quarter of it free; and in the others pieces too small to be tried.
const AT_START: [(u16, bool); 7] =
    [(512, true), (344, true), (512, false), (127, false), (12, false), (12, false), (13, false)];
/// The DMA zone of all those guests: the rest of its first block.
const AT_START_DMA: [(u16, bool); 1] = [(224, false)];

/// Free pages in blocks of other kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    blocks: Vec<Block>,
    /// Pages in use by their block, with the count of freed pages at which they are free again.
    used: VecDeque<(u64, u8)>,
    /// Pages of the zone that were freed so far.
    freed: u64,
    /// Free in all blocks.
    free: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    free: u16,
    /// Of reclaimable kernel memory, else of unmovable.
    reclaimable: bool,
    /// Taken by movable pages; they lie in its zone's lists, or are in use.
    lent: u16,
}

/// What is free in movable blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Movable {
    /// Pages.
    pub(super) free: u64,
    /// Pages in blocks that are free altogether.
    pub(super) untouched: u64,
}

/// How a CPU's list gets its pages when there are none of the kind (`enum rmqueue_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Claim,
    Steal,
}

/// What a try to take a block over did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// Blocks that were tried and were not free altogether: each boosts the watermarks.
    pub(super) boosts: u64,
    /// Free pages that are movable now.
    pub(super) gained: u64,
}

impl Blocks {
    /// Those of a zone at its start; one of less than four blocks has none.
    pub(super) fn at_start(class: usize, managed: u64) -> Self {
        match class {
            _ if managed < 4 * HUGE as u64 => Self::default(),
            0 => Self::new(&AT_START_DMA),
            _ => Self::new(&AT_START),
        }
    }

    /// Blocks with so many free pages, of reclaimable memory or not.
    pub(super) fn new(free: &[(u16, bool)]) -> Self {
        let block = |&(free, reclaimable): &(u16, bool)| Block { free, reclaimable, lent: 0 };
        let blocks = free.iter().map(block).collect();
        let free = free.iter().map(|(free, _)| u64::from(*free)).sum();
        Self { blocks, free, ..Self::default() }
    }

    /// Free pages in all.
    #[inline]
    pub(super) fn free(&self) -> u64 {
        self.free
    }

    /// Tries to take a block over (`__rmqueue_claim`): at each power of two from the largest down, the
    /// first block that has so many pages at a stretch.
    pub(super) fn claim(&mut self) -> Claim {
        let mut claim = Claim::default();
        for order in (LEAST_ORDER..=HUGE.trailing_zeros()).rev() {
            let Some(place) = self.blocks.iter().position(|block| block.free >> order & 1 != 0)
            else {
                continue;
            };
            let block = self.blocks[place];
            claim.boosts += u64::from(block.free < HUGE as u16);
            if block.free + block.lent >= HALF {
                claim.gained = u64::from(block.free);
                self.free -= claim.gained;
                self.blocks[place] = Block::default();
                break;
            }
        }
        claim
    }

    /// Takes pages for reclaimable kernel memory, from movable blocks where there is no other way. Once a
    /// piece had to be stolen, no block is tried any more.
    pub(super) fn take_reclaimable(
        &mut self,
        pages: u16,
        movable: &mut Movable,
        mode: &mut Mode,
    ) -> u64 {
        if self.take_of_kind(true, pages) {
            return 0;
        }
        let boosts = if *mode == Mode::Claim { self.claim_reclaimable(movable) } else { 0 };
        if !self.take_of_kind(true, pages) {
            *mode = Mode::Steal;
            self.take_smallest(pages, movable);
        }
        boosts
    }

    /// Tries to take a block over for reclaimable memory, at each power of two from the largest down:
    /// of unmovable memory, or movable ones that are free altogether, two at a time if they lie side by
    /// side. Pieces of other movable blocks are tried, too, in vain. Gives how many boosts that is.
    fn claim_reclaimable(&mut self, movable: &mut Movable) -> u64 {
        let whole = HUGE as u64;
        if movable.untouched >= 2 * whole {
            (0..2).for_each(|_| self.add_whole(movable));
            return 0;
        }
        let mut boosts = 0;
        for order in (1..=HUGE.trailing_zeros()).rev() {
            let fits = |block: &Block| !block.reclaimable && block.free >> order & 1 != 0;
            let Some(place) = self.blocks.iter().position(fits) else {
                if movable.untouched >= whole {
                    self.add_whole(movable);
                    return boosts;
                }
                boosts += u64::from(movable.free >= 1 << order);
                continue;
            };
            let block = &mut self.blocks[place];
            boosts += u64::from(block.free < HUGE as u16);
            if block.free >= HALF {
                block.reclaimable = true;
                return boosts;
            }
        }
        boosts
    }

    /// Turns a movable block that is free into one of reclaimable memory, unless there are too many.
    fn add_whole(&mut self, movable: &mut Movable) {
        let is_gone = |block: &Block| block.free == 0 && block.lent == 0;
        let place = self.blocks.iter().position(is_gone).unwrap_or(self.blocks.len());
        if u8::try_from(place).is_err() {
            return;
        }
        if place == self.blocks.len() {
            self.blocks.push(Block::default());
        }
        self.blocks[place] = Block { free: HUGE as u16, reclaimable: true, lent: 0 };
        self.free += HUGE as u64;
        movable.free -= HUGE as u64;
        movable.untouched -= HUGE as u64;
    }

    /// Takes pages from the smallest piece of another kind that is large enough, of unmovable memory if it
    /// has one as small as movable memory, whose pieces are told by its count as those of a block.
    fn take_smallest(&mut self, pages: u16, movable: &mut Movable) {
        let least = pages.trailing_zeros();
        let piece = |free: u64| (free >> least << least).trailing_zeros();
        let fits = |block: &&mut Block| !block.reclaimable && block.free >= pages;
        let blocks = self.blocks.iter_mut().filter(fits);
        match blocks.min_by_key(|block| piece(u64::from(block.free))) {
            Some(block) if piece(u64::from(block.free)) <= piece(movable.free) => {
                block.free -= pages;
                self.free -= u64::from(pages);
            }
            _ => movable.free = movable.free.saturating_sub(u64::from(pages)),
        }
    }

    /// Takes pages from the block of a kind that has the fewest.
    fn take_of_kind(&mut self, reclaimable: bool, pages: u16) -> bool {
        let fits = |block: &&mut Block| block.reclaimable == reclaimable && block.free >= pages;
        let Some(block) = self.blocks.iter_mut().filter(fits).min_by_key(|block| block.free) else {
            return false;
        };
        block.free -= pages;
        self.free -= u64::from(pages);
        true
    }

    /// Takes a page (`__rmqueue_steal`): from the smallest piece that there is. Tells its block.
    pub(super) fn steal(&mut self) -> Option<u8> {
        let is_free = |(_, block): &(usize, &mut Block)| block.free > 0;
        let smallest = |(_, block): &(usize, &mut Block)| block.free.trailing_zeros();
        let blocks = self.blocks.iter_mut().enumerate().filter(is_free);
        let (place, block) = blocks.min_by_key(smallest)?;
        block.free -= 1;
        block.lent += 1;
        self.free -= 1;
        Some(place as u8)
    }

    /// Gives a page back that was stolen. Where its block is movable by now, it is, too.
    pub(super) fn put(&mut self, place: u8) {
        let block = &mut self.blocks[place as usize];
        if block.lent > 0 {
            block.lent -= 1;
            block.free += 1;
            self.free += 1;
        }
    }

    /// A stolen page comes into use beside others of its zone. Reclaim takes pages about in the order in
    /// which they came, so it comes back when as many were freed.
    pub(super) fn note_use(&mut self, place: u8, others: u64) {
        self.used.push_back((self.freed + others, place));
    }

    /// Pages of the zone were freed; stolen ones are among them.
    pub(super) fn note_freed(&mut self, pages: u64) {
        self.freed += pages;
        for _ in 0..pages {
            let Some((_, place)) = self.used.pop_front_if(|(due, _)| *due <= self.freed) else {
                break;
            };
            self.put(place);
        }
    }
}

impl Zone {
    /// Fills the rest of a CPU's list from blocks of another kind. Once a page had to be stolen, no block
    /// is tried any more.
    #[inline(never)]
    pub(super) fn fall_back(&mut self, cpu: usize, pages: u64) {
        let mut left = pages;
        while left > 0 {
            let claim = self.blocks.claim();
            self.boost(claim.boosts);
            let gained = claim.gained.min(left);
            self.lists[cpu].count += gained;
            left -= gained;
            if gained == 0 {
                break;
            }
        }
        for _ in 0..left {
            match self.blocks.steal() {
                Some(block) => self.lists[cpu].stolen.push(block),
                None => self.lists[cpu].count += 1,
            }
        }
    }

    /// Takes pages for a slab from a CPU's list, which is filled first if it has none
    /// (`nr_pcp_alloc`: half a batch, a quarter for slabs of four pages).
    fn take_slab(&mut self, cpu: usize, order: u32) {
        let pages = 1 << order;
        if self.lists[cpu].slabs == 0 {
            let most = if self.batch > 1 { (self.batch >> order).max(2) } else { 1 };
            self.fill_slabs(cpu, most.min(self.free / pages), pages);
        }
        self.lists[cpu].slabs = self.lists[cpu].slabs.saturating_sub(pages);
        self.slab += pages;
    }

    fn fill_slabs(&mut self, cpu: usize, nr: u64, pages: u64) {
        let before = self.free.saturating_sub(self.blocks.free());
        let mut movable = Movable { free: before, untouched: self.untouched };
        let (mut mode, mut boosts) = (Mode::Claim, 0);
        for _ in 0..nr {
            boosts += self.blocks.take_reclaimable(pages as u16, &mut movable, &mut mode);
        }
        self.untouched = movable.untouched.min(movable.free);
        self.lists[cpu].slabs += nr * pages;
        self.free -= nr * pages;
        self.boost(boosts);
    }

    /// Raises the watermarks until kswapd has made room (`boost_watermark`).
    fn boost(&mut self, blocks: u64) {
        if blocks > 0 && self.boost_factor > 0 && self.managed >= 4 * HUGE as u64 {
            let most = (self.marks[2] * self.boost_factor / 10_000).max(HUGE as u64);
            self.boost = (self.boost + blocks * HUGE as u64).min(most);
            self.boosted = true;
        }
    }
}

impl Guest {
    /// Room for a leaf of a file's tree, from a new slab when all are full. An allocation under the tree's
    /// lock neither reclaims nor waits (`xas_alloc`).
    pub(super) fn take_leaf(&mut self) {
        if self.leaf_room == 0 {
            let order = slab_order(self.cpus.len());
            self.leaf_room = (4096u64 << order) / LEAF_SLOT;
            self.take_slab(1 << order);
        }
        self.leaf_room -= 1;
    }

    fn take_slab(&mut self, pages: u64) {
        let head = self.cpus[self.cpu].node as usize;
        let fits = |index: &usize, mark| {
            let zone: &Zone = &self.zones[*index];
            zone.free >= zone.mark(mark) + zone.reserve + pages
        };
        let zones = self.fallback[head].iter().copied();
        let low = zones.clone().find(|index| fits(index, Mark::Low));
        let Some(index) = low.or_else(|| zones.clone().find(|index| fits(index, Mark::Min))) else {
            return;
        };
        let (cpu, first) = (self.cpu, self.zones[self.fallback[head][0]].node);
        let zone = &mut self.zones[index];
        zone.take_slab(cpu, pages.trailing_zeros());
        let (node, class) = (zone.node, zone.class);
        let boosted = std::mem::take(&mut zone.boosted);
        self.count_placement(node, first, 1);
        if boosted {
            self.wake_kswapd(node, class);
        }
    }
}

/// Power of two of pages in a slab of leaves (`calculate_order`: the fewest that hold so many objects).
fn slab_order(nr_cpus: usize) -> u32 {
    let objects = 4 * (u64::from(usize::BITS - nr_cpus.leading_zeros()) + 1);
    (objects * LEAF_SLOT).div_ceil(4096).next_power_of_two().trailing_zeros().min(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::zone::PageList;
    use super::*;

    fn blocks(free: &[u16]) -> Blocks {
        Blocks::new(&free.iter().map(|free| (*free, false)).collect::<Vec<_>>())
    }

    #[test]
    fn whole_blocks_are_taken_over_without_a_boost_and_half_ones_with_one() {
        let mut blocks = blocks(&[100, 300, 512]);
        assert_eq!(blocks.claim(), Claim { boosts: 0, gained: 512 });
        assert_eq!(blocks.claim(), Claim { boosts: 1, gained: 300 });
        // 100 = 64 + 32 + 4: two pieces that are large enough to be tried, in vain.
        assert_eq!(blocks.claim(), Claim { boosts: 2, gained: 0 });
        assert_eq!(blocks.free(), 100);
    }

    #[test]
    fn a_boost_is_at_most_its_factor_of_the_high_watermark() {
        let boosted = |boost_factor| {
            let mut zone =
                Zone { managed: 100_000, marks: [0, 0, 2000, 0], boost_factor, ..Zone::default() };
            zone.boost(20);
            (zone.boost, zone.boosted)
        };
        assert_eq!(boosted(15_000), (3000, true));
        assert_eq!(boosted(0), (0, false), "kernels before 5.0 boost nothing");
    }

    #[test]
    fn a_block_is_taken_over_when_what_it_lent_makes_it_half_movable() {
        let mut blocks = blocks(&[260]);
        (0..200).for_each(|_| assert_eq!(blocks.steal(), Some(0)));
        assert_eq!(blocks.claim(), Claim { boosts: 1, gained: 60 });
        blocks.put(0);
        assert_eq!(blocks.free(), 0, "what comes back is movable");
    }

    #[test]
    fn stolen_pages_come_back_when_as_many_were_freed_as_lay_beside_them() {
        let mut blocks = blocks(&[12]);
        let place = blocks.steal().expect("free pages");
        blocks.note_use(place, 1000);
        blocks.note_freed(999);
        assert_eq!(blocks.free(), 11);
        blocks.note_freed(1);
        assert_eq!(blocks.free(), 12);
    }

    /// Takes a slab of two pages beside so many free movable pages, of which some lie in free blocks.
    fn take(blocks: &mut Blocks, movable: [u64; 2], mode: &mut Mode) -> (u64, Movable) {
        let mut movable = Movable { free: movable[0], untouched: movable[1] };
        (blocks.take_reclaimable(2, &mut movable, mode), movable)
    }

    #[test]
    fn reclaimable_memory_prefers_its_own_blocks_and_takes_free_ones_over() {
        let mut blocks = Blocks::new(&[(4, true), (512, false)]);
        for left in [514, 512, 510] {
            assert_eq!(take(&mut blocks, [0, 0], &mut Mode::Claim).0, 0);
            assert_eq!(blocks.free(), left);
        }
        assert!(blocks.blocks[1].reclaimable);
        let mut movable = Blocks::default();
        assert_eq!(take(&mut movable, [600, 512], &mut Mode::Claim).1.free, 88);
        assert_eq!(movable.free(), 510);
    }

    #[test]
    fn reclaimable_memory_takes_two_free_movable_blocks_at_once_where_it_can() {
        let mut blocks = Blocks::default();
        let (boosts, movable) = take(&mut blocks, [3000, 1100], &mut Mode::Claim);
        assert_eq!((boosts, blocks.free()), (0, 1022));
        assert_eq!((movable.free, movable.untouched), (1976, 76));
    }

    #[test]
    fn a_slab_that_must_steal_takes_the_smallest_piece() {
        // 224 = 128 + 64 + 32: movable memory has smaller pieces, unless its count has none of them.
        let mut blocks = blocks(&[224]);
        let mut mode = Mode::Claim;
        let (boosts, movable) = take(&mut blocks, [300, 0], &mut mode);
        assert!(boosts > 0);
        assert_eq!((movable.free, blocks.free(), mode), (298, 224, Mode::Steal));
        let (boosts, movable) = take(&mut blocks, [128, 0], &mut mode);
        assert_eq!((boosts, movable.free, blocks.free()), (0, 128, 222), "one try a batch");
    }

    #[test]
    fn a_list_takes_pages_for_several_slabs_at_once() {
        let zone = |batch| Zone {
            managed: 10_000,
            free: 5000,
            batch,
            lists: vec![PageList::default()],
            ..Zone::default()
        };
        for (batch, held) in [(15, 12), (1, 0)] {
            let mut zone = zone(batch);
            zone.take_slab(0, 1);
            assert_eq!((zone.slab, zone.lists[0].slabs), (2, held));
            assert_eq!(zone.free, 4998 - held);
        }
    }

    proptest! {
        /// No page is lost: each is free, lent, or was gained or taken.
        #[test]
        fn pages_are_conserved(
            free in prop::collection::vec(0u16..=512, 1..6),
            steps in prop::collection::vec((0u8..5, any::<u8>()), 0..300),
        ) {
            let mut blocks = blocks(&free);
            let mut gone = 0u64;
            for (step, value) in steps {
                let before = blocks.free();
                match step {
                    0 => gone += blocks.claim().gained,
                    1 => { take(&mut blocks, [0, 0], &mut Mode::Claim); gone += before - blocks.free(); }
                    2 => blocks.put(value % free.len() as u8),
                    3 => blocks.steal().into_iter().for_each(|place| blocks.note_use(place, 9)),
                    _ => blocks.note_freed(u64::from(value)),
                }
                let counted: u64 = blocks.blocks.iter().map(|block| u64::from(block.free)).sum();
                prop_assert_eq!(blocks.free(), counted);
                let lent: u64 = blocks.blocks.iter().map(|block| u64::from(block.lent)).sum();
                let all: u64 = free.iter().map(|free| u64::from(*free)).sum();
                prop_assert!(blocks.free() + lent + gone <= all);
            }
        }
    }
}
