//! The fast path: blocks of accesses to present, open pages.
//!
//! *First gather, then decide.* The first pass copies the low bits of the block's PTEs into a local
//! array, so that all cache misses overlap; all later passes run over that array and are written so
//! that the compiler turns them into vector instructions. They tell whether every page is open,
//! count by class, and find out whether young or dirty must be set anywhere. Functions over
//! primitive arrays: no trait object, no allocation, no random number, no log line in here.
//!
//! Within a block young and dirty only ever go up, and node and protection cannot change (only the
//! slow path and events change them), so deciding on copies is exact. A block survives a slow access
//! that changes no open entry, as page faults do: closed entries are looked up again when their turn
//! comes. Whoever opens an entry before its row goes through, as the first touch of a base page does,
//! need not even have the rows before it counted: all go through together.

use std::ops::Range;

use base::{HUGE_PAGE_PAGES, MAX_NODES, NodeId, NodeMask};
use mm::Pte;
use trace::{Points, Traffic};

/// Most accesses of a block: their number fits in eight bits, their lines in sixteen.
pub const BLOCK: usize = 240;

/// Accesses, in the upper half, and lines, in the lower half: one addition adds both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(u64);

impl Count {
    fn new(accesses: u64, lines: u64) -> Self {
        Self(accesses << 32 | lines)
    }

    /// Accesses.
    pub fn accesses(self) -> u64 {
        self.0 >> 32
    }

    /// Lines they moved.
    pub fn lines(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

impl std::ops::Add for Count {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What a block saw, by class of access: node, read or write.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Reads and writes of each node.
    table: [[Count; 2]; MAX_NODES],
    /// Nodes that have counts.
    nodes: NodeMask,
}

impl Default for Seen {
    fn default() -> Self {
        Self { table: [[Count::default(); 2]; MAX_NODES], nodes: NodeMask::EMPTY }
    }
}

impl Seen {
    /// Takes all counts: of each node those of reads, then of writes.
    pub fn drain(&mut self) -> impl Iterator<Item = (NodeId, [Count; 2])> {
        let table = &mut self.table;
        let nodes = std::mem::replace(&mut self.nodes, NodeMask::EMPTY);
        nodes.iter().map(|node| (node, std::mem::take(&mut table[node.idx()])))
    }

    fn add(&mut self, node: NodeId, counts: [Count; 2]) {
        self.nodes.insert(node);
        let of_node = &mut self.table[node.idx()];
        of_node[0] += counts[0];
        of_node[1] += counts[1];
    }
}

/// Bits of an entry that a block decides on: its flags and its node.
const OPEN: u16 = Pte::OPEN as u16;
const YOUNG: u16 = Pte::YOUNG as u16;
const DIRTY: u16 = Pte::DIRTY as u16;
const NODE_BITS: u16 = 63 << Pte::NODE_SHIFT;

/// The node of an entry's low bits.
#[inline]
fn node_of(low: u16) -> NodeId {
    Pte(u64::from(low)).node()
}

/// All ones when `condition` holds.
#[inline]
fn mask(condition: bool) -> u16 {
    if condition { u16::MAX } else { 0 }
}

/// Bits that an access sets, without a branch.
#[inline]
fn wanted(write: bool) -> u16 {
    YOUNG | (DIRTY & mask(write))
}

/// Words with a bit for each row of a block.
const WORDS: usize = BLOCK.div_ceil(64);

/// Rows that passes take at a time.
const LANES: usize = 8;

/// The bit of a packed access that writes.
const WRITES: u16 = 1 << 15;

/// The class of an access as a small number: node and whether it writes.
#[inline]
fn class_of(low: u16, write: bool) -> u16 {
    (low & NODE_BITS) >> (Pte::NODE_SHIFT - 1) | u16::from(write)
}

/// The entries that are closed, as a bit each, without a branch.
fn closed_of(lows: &[u16; BLOCK]) -> [u64; WORDS] {
    /// The product of eight bytes that are 0 or 1 has the bits of all of them in its highest byte.
    const TO_BITS: u64 = 0x0102_0408_1020_4080;
    let mut open = [0; WORDS * 64];
    open.iter_mut().zip(lows).for_each(|(open, low)| *open = (low & OPEN) as u8);
    let (eights, _) = open.as_chunks::<8>();
    let mut words = [0; WORDS];
    for (word, eights) in words.iter_mut().zip(eights.as_chunks::<8>().0) {
        for (at, eight) in eights.iter().enumerate() {
            *word |= (u64::from_le_bytes(*eight).wrapping_mul(TO_BITS) >> 56) << (8 * at);
        }
    }
    words.map(|open| !open)
}

/// All ones in as many first lanes as the index says, and one more.
const FIRST_LANES: [[u16; LANES]; LANES] = {
    let mut masks = [[0; LANES]; LANES];
    let mut nr = 0;
    while nr < LANES {
        let mut lane = 0;
        while lane <= nr {
            masks[nr][lane] = u16::MAX;
            lane += 1;
        }
        nr += 1;
    }
    masks
};

/// Rows of a block and as many as a vector may stick out of it.
type Rows = [u16; BLOCK + LANES];

/// Runs a pass over some rows, not none, in whole vectors: a loop over single rows would be
/// mispredicted at its end. What is behind the rows is 0 meanwhile.
fn in_vectors(all: &mut Rows, rows: Range<usize>, pass: impl FnOnce(&[[u16; LANES]])) {
    let (vectors, _) = all[rows.start..].as_chunks_mut::<LANES>();
    let nr = rows.len().div_ceil(LANES);
    let kept = vectors[nr - 1];
    let first_lanes = &FIRST_LANES[(rows.len() - 1) % LANES];
    vectors[nr - 1].iter_mut().zip(first_lanes).for_each(|(row, mask)| *row &= mask);
    pass(&vectors[..nr]);
    vectors[nr - 1] = kept;
}

/// Copies the low bits of the entries of pages.
fn copy_lows(low: &mut [u16], page: &[u32], low_of: impl Fn(u32) -> u16) {
    let (pages, last_pages) = page.as_chunks::<LANES>();
    let (lows, last_lows) = low.as_chunks_mut::<LANES>();
    for (low, page) in lows.iter_mut().zip(pages) {
        for at in 0..LANES {
            low[at] = low_of(page[at]);
        }
    }
    for (low, page) in last_lows.iter_mut().zip(last_pages) {
        *low = low_of(*page);
    }
}

/// Looks entries up again where there is no word of a huge page.
fn complete_lows(low: &mut [u16], page: &[u32], ptes: &[Pte]) {
    if low.iter().fold(u16::MAX, |all, low| all & low) & Pte::HUGE as u16 == 0 {
        let others = low.iter_mut().zip(page).filter(|(low, _)| **low == 0);
        others.for_each(|(low, page)| *low = ptes[*page as usize].0 as u16);
    }
}

/// A block of accesses as the passes read it; kept, so that it need not be cleared each time.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// Low bits of the entries.
    low: [u16; BLOCK],
    /// Once `is_packed`: the lines of each access, with [`WRITES`].
    traffic: Rows,
    /// Once `is_weighed`: the class of each access, and what it adds to its class: its lines above,
    /// one access below.
    class: Rows,
    weight: Rows,
    /// Weights by class, all 0 between blocks.
    sums: [[u32; 256]; 2],
    /// Rows gathered, and how many of them went through.
    nr: usize,
    at: usize,
    /// The AND of all open entries and the OR of all entries.
    all: u16,
    any: u16,
    /// A bit for each row that is closed, as far as is known.
    closed: [u64; WORDS],
    has_closed: bool,
    /// Whether [`Gathered::closed_ahead`] has given the closed rows.
    is_given: bool,
    is_packed: bool,
    is_weighed: bool,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            low: [0; BLOCK],
            traffic: [0; BLOCK + LANES],
            class: [0; BLOCK + LANES],
            weight: [0; BLOCK + LANES],
            sums: [[0; 256]; 2],
            nr: 0,
            at: 0,
            all: 0,
            any: 0,
            closed: [0; WORDS],
            has_closed: false,
            is_given: false,
            is_packed: false,
            is_weighed: false,
        }
    }
}

impl Gathered {
    /// Copies the entries of at most [`BLOCK`] accesses. All cache misses happen here.
    fn gather(&mut self, ptes: &[Pte], huge: &[u16], page: &[u32]) {
        let nr = page.len();
        let lows = &mut self.low[..nr];
        if huge.is_empty() {
            copy_lows(lows, page, |page| ptes[page as usize].0 as u16);
        } else {
            copy_lows(lows, page, |page| huge[page as usize / HUGE_PAGE_PAGES as usize]);
            complete_lows(lows, page, ptes);
        }
        let lows = &self.low[..nr];
        let (all, any) = lows.iter().fold((u16::MAX, 0), |(all, any), low| (all & low, any | low));
        self.has_closed = all & OPEN == 0;
        self.all = all;
        if self.has_closed {
            // All ones in place of closed entries.
            let open = |low: &u16| low | (low & OPEN).wrapping_sub(OPEN);
            self.all = lows.iter().fold(u16::MAX, |all, low| all & open(low));
            self.closed = closed_of(&self.low);
        }
        (self.nr, self.at, self.any) = (nr, 0, any);
        (self.is_packed, self.is_weighed, self.is_given) = (false, false, false);
    }

    /// Forgets what is gathered: entries may have changed.
    pub fn forget(&mut self) {
        (self.nr, self.at) = (0, 0);
    }

    /// Rows gathered that have not gone through yet.
    fn left(&self) -> usize {
        self.nr - self.at
    }

    /// Replays `rows`, which start behind those that went through before, until one is closed; gives
    /// its place among the rows left then, which the ones before it in its block are also. Whoever
    /// opens it asks for the [`Gathered::next`] one, and calls this again when there is none; whoever
    /// does not calls [`Gathered::stop`]. Of the entries gathered, only closed ones may have changed
    /// since the last call. `block` is the length of the next block.
    ///
    /// `huge` are [`mm::AddressSpace::huge_words`], where the entries of huge pages need not be marked young and
    /// dirty, else none.
    pub fn run(
        &mut self,
        (ptes, huge): (&mut [Pte], &[u16]),
        points: &Points,
        rows: &mut Range<usize>,
        block: &mut usize,
        seen: &mut Seen,
    ) -> Option<usize> {
        while rows.start < rows.end {
            if self.left() == 0 {
                let page = &points.page[rows.start..(rows.start + *block).min(rows.end)];
                self.gather(ptes, huge, page);
                *block = (*block * 2).min(BLOCK);
            }
            if self.has_closed {
                let closed = self.next(ptes, points, rows);
                if closed.is_some() {
                    return closed;
                }
            }
            self.pass(ptes, points, rows, self.left().min(rows.len()), seen);
        }
        None
    }

    /// The rows that are closed among the first `nr` of those left, once for each block: whoever serves
    /// the first one may read ahead what it will need for the others.
    pub fn closed_ahead(&mut self, nr: usize) -> impl Iterator<Item = usize> {
        let given = std::mem::replace(&mut self.is_given, true);
        let rows = if given { 0..0 } else { self.at..self.nr.min(self.at + nr) };
        let (at, closed) = (self.at, self.closed);
        rows.filter(move |row| closed[row / 64] >> (row % 64) & 1 != 0).map(move |row| row - at)
    }

    /// The first row left that is closed still, in the block at hand.
    #[inline]
    pub fn next(
        &mut self,
        ptes: &mut [Pte],
        points: &Points,
        rows: &Range<usize>,
    ) -> Option<usize> {
        let end = self.nr.min(self.at + rows.len());
        loop {
            // The first word that has a bit, or the last one, without a branch.
            let [first, second, third, _] = self.closed.map(|closed| usize::from(closed == 0));
            let word = first + (first & second) + (first & second & third);
            let row = word * 64 + self.closed[word].trailing_zeros() as usize;
            if row >= end {
                return None;
            }
            let left = row - self.at;
            let pte = &mut ptes[points.page[rows.start + left] as usize];
            if !pte.has(Pte::OPEN) {
                return Some(left);
            }
            // Gathered again, and marked at once: it will go through.
            let write = points.traffic[rows.start + left].is_write();
            pte.0 |= u64::from(wanted(write));
            let low = pte.0 as u16 | YOUNG | DIRTY;
            self.low[row] = low;
            self.class[row] = class_of(low, write);
            self.all &= low;
            self.any |= low;
            self.closed[word] &= self.closed[word] - 1;
        }
    }

    /// Replays the first `nr` of the rows left, which [`Gathered::run`] found to be open.
    pub fn stop(
        &mut self,
        ptes: &mut [Pte],
        points: &Points,
        rows: &mut Range<usize>,
        nr: usize,
        seen: &mut Seen,
    ) {
        if nr > 0 {
            self.pass(ptes, points, rows, nr, seen);
        }
    }

    /// Replays the next `nr` rows left, which are open.
    fn pass(
        &mut self,
        ptes: &mut [Pte],
        points: &Points,
        rows: &mut Range<usize>,
        nr: usize,
        seen: &mut Seen,
    ) {
        let left = rows.start..rows.start + self.left();
        let (page, traffic) = (&points.page[left.clone()], &points.traffic[left]);
        let passing = self.at..self.at + nr;
        if (self.all ^ self.any) & NODE_BITS == 0 {
            self.sum_up(passing.clone(), traffic).store(node_of(self.any), nr, seen);
        } else {
            if !self.is_weighed {
                self.weigh(traffic);
            }
            self.count(passing.clone(), seen);
        }
        if self.all & (YOUNG | DIRTY) != YOUNG | DIRTY {
            mark(&self.low[passing.clone()], &traffic[..nr], ptes, &page[..nr]);
        }
        self.at = passing.end;
        rows.start += nr;
    }

    /// Sums up rows of one node.
    fn sum_up(&mut self, rows: Range<usize>, traffic: &[Traffic]) -> Sums {
        let mut sums = Sums::default();
        if rows.len() == self.nr {
            traffic[..rows.len()]
                .iter()
                .for_each(|now| sums.add(now.lines(), mask(now.is_write())));
            return sums;
        }
        // A part of a block: there will be more.
        if !self.is_packed {
            self.is_packed = true;
            let left = self.at..self.nr;
            for (packed, traffic) in self.traffic[left].iter_mut().zip(traffic) {
                *packed = traffic.lines() | WRITES & mask(traffic.is_write());
            }
        }
        in_vectors(&mut self.traffic, rows, |vectors| {
            let packed = vectors.as_flattened().iter();
            packed.for_each(|packed| sums.add(packed & 255, mask(packed & WRITES != 0)));
        });
        sums
    }

    /// Finds classes and weights of the rows left.
    fn weigh(&mut self, traffic: &[Traffic]) {
        self.is_weighed = true;
        let left = self.at..self.nr;
        let to = self.class[left.clone()].iter_mut().zip(&mut self.weight[left.clone()]);
        for ((low, traffic), (class, weight)) in self.low[left].iter().zip(traffic).zip(to) {
            *class = class_of(*low, traffic.is_write());
            *weight = traffic.lines() << 8 | 1;
        }
    }

    /// Counts rows by class.
    fn count(&mut self, rows: Range<usize>, seen: &mut Seen) {
        let (classes, _) = self.class[rows.start..].as_chunks::<LANES>();
        let sums = &mut self.sums;
        in_vectors(&mut self.weight, rows, |weights| {
            for (class, weight) in classes.iter().zip(weights) {
                for at in 0..LANES {
                    // In turn, lest an addition wait for the one before.
                    sums[at % 2][usize::from(class[at] as u8)] += u32::from(weight[at]);
                }
            }
        });
        // The nodes are those of the common bits with some of the varying ones; subtracting steps
        // through the subsets of a mask.
        let common = self.all & NODE_BITS;
        let varying = (self.all ^ self.any) & NODE_BITS;
        let mut subset = 0;
        loop {
            let node = common | subset;
            let mut sum_of = |write| -> u32 {
                let class = usize::from(class_of(node, write) as u8);
                self.sums.iter_mut().map(|sums| std::mem::take(&mut sums[class])).sum()
            };
            let sums = [false, true].map(&mut sum_of);
            if sums != [0, 0] {
                let count = |sum: u32| Count::new(u64::from(sum & 255), u64::from(sum >> 8));
                seen.add(node_of(node), sums.map(count));
            }
            subset = subset.wrapping_sub(varying) & varying;
            if subset == 0 {
                return;
            }
        }
    }
}

const _: () = assert!(
    BLOCK.is_multiple_of(16)
        && 3 * 64 < BLOCK
        && BLOCK < 4 * 64
        && BLOCK * 254 <= u16::MAX as usize
);

/// Sums over a block at one node. Sixteen bits hold them, and a pass over sixteen bits is twice as
/// fast as one over thirty-two.
#[derive(Default)]
struct Sums {
    lines: u16,
    writes: u16,
    written: u16,
}

impl Sums {
    /// Adds an access; `write` is all ones when it writes.
    #[inline]
    fn add(&mut self, lines: u16, write: u16) {
        self.lines = self.lines.wrapping_add(lines);
        // Subtracting all ones adds one.
        self.writes = self.writes.wrapping_sub(write);
        self.written = self.written.wrapping_add(lines & write);
    }

    fn store(self, node: NodeId, accesses: usize, seen: &mut Seen) {
        let reads = accesses as u64 - u64::from(self.writes);
        let read = Count::new(reads, (self.lines - self.written).into());
        seen.add(node, [read, Count::new(self.writes.into(), self.written.into())]);
    }
}

/// Sets young and dirty where they are not set yet, which is seldom anywhere.
fn mark(low: &[u16], traffic: &[Traffic], ptes: &mut [Pte], page: &[u32]) {
    let chunks = low.chunks(LANES).zip(traffic.chunks(LANES)).zip(page.chunks(LANES));
    for ((low, traffic), page) in chunks {
        let lacks = |low: &u16, traffic: &Traffic| !low & wanted(traffic.is_write());
        let rows = low.iter().zip(traffic);
        if rows.clone().fold(0, |any, (low, traffic)| any | lacks(low, traffic)) == 0 {
            continue;
        }
        for ((low, traffic), page) in rows.zip(page) {
            let lacks = lacks(low, traffic);
            if lacks != 0 {
                ptes[*page as usize].0 |= u64::from(lacks);
            }
        }
    }
}

/// Replays up to `nr` consecutive pages from `page` on until one needs the slow path. Returns how
/// many went through. A huge page is looked at once; `huge` are as for [`Gathered::run`].
pub fn run_sweep(
    (ptes, huge): (&mut [Pte], &[u16]),
    page: u32,
    nr: u32,
    traffic: Traffic,
    seen: &mut Seen,
) -> u32 {
    let write = traffic.is_write();
    let lines = u64::from(traffic.lines());
    let wanted = u64::from(wanted(write));
    let end = page + nr;
    let mut at = page;
    while at < end {
        let pte = match huge.get(at as usize / HUGE_PAGE_PAGES as usize) {
            Some(word) if *word != 0 => Pte(u64::from(*word)),
            _ => ptes[at as usize],
        };
        if !pte.has(Pte::OPEN) {
            break;
        }
        if pte.0 & wanted != wanted {
            ptes[at as usize].0 |= wanted;
        }
        let step = if pte.has(Pte::HUGE) { ((at | 511) + 1).min(end) - at } else { 1 };
        let mut counts = [Count::default(); 2];
        counts[usize::from(write)] = Count::new(u64::from(step), u64::from(step) * lines);
        seen.add(pte.node(), counts);
        at += step;
    }
    at - page
}

#[cfg(test)]
mod tests {
    use base::{FolioId, NodeId};
    use proptest::prelude::*;

    use super::*;

    /// The obvious model: one access after the other.
    fn one_by_one(ptes: &mut [Pte], page: &[u32], traffic: &[Traffic], seen: &mut Seen) -> usize {
        for (idx, (page, traffic)) in page.iter().zip(traffic).enumerate() {
            let pte = &mut ptes[*page as usize];
            if !pte.has(Pte::OPEN) {
                return idx;
            }
            *pte = pte.with(Pte::YOUNG);
            if traffic.is_write() {
                *pte = pte.with(Pte::DIRTY);
            }
            let mut counts = [Count::default(); 2];
            counts[usize::from(traffic.is_write())] = Count::new(1, traffic.lines().into());
            seen.add(pte.node(), counts);
        }
        page.len()
    }

    fn counts(seen: &Seen) -> Vec<(NodeId, [Count; 2])> {
        seen.clone().drain().collect()
    }

    /// Pages on `nodes` by turns.
    fn table(nodes: &[u8], closed: &[u32]) -> Vec<Pte> {
        let on = |page: u32| NodeId(nodes[page as usize % nodes.len()]);
        let mut ptes: Vec<Pte> =
            (0..64).map(|page| Pte::mapped(FolioId(page), on(page), false)).collect();
        closed.iter().for_each(|page| ptes[*page as usize] = Pte::ABSENT);
        ptes
    }

    proptest! {
        #[test]
        fn a_block_equals_one_by_one(
            accesses in prop::collection::vec((0u32..64, 0u16..128, any::<bool>()), 0..=2 * BLOCK),
            closed in prop::collection::vec(0u32..64, 0..20),
            nodes in prop::collection::vec(0u8..64, 1..10),
            steps in prop::collection::vec(1usize..100, 0..3),
            at_once: bool,
            mut block in 1..=BLOCK,
        ) {
            let points = Points {
                page: accesses.iter().map(|(page, _, _)| *page).collect(),
                traffic: accesses.iter().map(|(_, lines, write)| Traffic::new(*lines, 127, *write)).collect(),
                ..Points::default()
            };
            let (page, traffic) = (&points.page, &points.traffic);
            let (mut fast, mut slow) = (table(&nodes, &closed), table(&nodes, &closed));
            let (mut seen_fast, mut seen_slow) = (Seen::default(), Seen::default());
            let mut gathered = Gathered::default();
            let (mut done, mut turns) = (0, steps.iter().cycle());
            while done < page.len() {
                let most = turns.next().copied().unwrap_or(page.len()).min(page.len() - done);
                let mut rows = done..done + most;
                let mut found = gathered.run((&mut fast, &[]), &points, &mut rows, &mut block, &mut seen_fast);
                while let Some(left) = found.filter(|_| at_once) {
                    // A fault maps the page, on any node, before the rows up to it are counted.
                    let mapped = Pte::mapped(FolioId(0), NodeId(nodes[left % nodes.len()]), false);
                    for ptes in [&mut fast, &mut slow] {
                        ptes[page[rows.start + left] as usize] = mapped;
                    }
                    found = gathered.run((&mut fast, &[]), &points, &mut rows, &mut block, &mut seen_fast);
                }
                if let Some(left) = found {
                    gathered.stop(&mut fast, &points, &mut rows, left, &mut seen_fast);
                }
                let went = rows.start - done;
                prop_assert!(found.is_some() || rows.is_empty());
                let rows = done..done + most;
                prop_assert_eq!(went, one_by_one(&mut slow, &page[rows.clone()], &traffic[rows], &mut seen_slow));
                prop_assert_eq!(counts(&seen_fast), counts(&seen_slow));
                prop_assert_eq!(&fast, &slow);
                done += went;
                if found.is_some() {
                    // It maps the page afterwards.
                    let mapped = Pte::mapped(FolioId(0), NodeId(nodes[done % nodes.len()]), false);
                    for ptes in [&mut fast, &mut slow] {
                        ptes[page[done] as usize] = mapped;
                    }
                }
            }
        }

        /// Four huge pages, of which some are closed, and base pages behind them.
        #[test]
        fn words_of_huge_pages_tell_what_their_entries_do(
            accesses in prop::collection::vec((0u32..6 * 512, 1u16..128, any::<bool>()), 1..=BLOCK),
            places in prop::array::uniform6((0u8..64, any::<bool>(), any::<bool>())),
            known in 0usize..=4,
        ) {
            let points = Points {
                page: accesses.iter().map(|(page, _, _)| *page).collect(),
                traffic: accesses.iter().map(|(_, lines, write)| Traffic::new(*lines, 127, *write)).collect(),
                ..Points::default()
            };
            let entry = |at: usize| {
                let (node, open, young) = places[at];
                let pte = Pte::mapped(FolioId(at as u32), NodeId(node), at < 4);
                let pte = if open { pte } else { pte.without(Pte::OPEN).with(Pte::PROTNONE) };
                if young { pte.with(Pte::YOUNG) } else { pte }
            };
            let mut ptes: Vec<Pte> = (0..6 * 512).map(|page| entry(page / 512)).collect();
            let word = |at| (entry(at).0 | Pte::YOUNG | Pte::DIRTY) as u16;
            let words: Vec<u16> = (0..6).map(|at| if at < known { word(at) } else { 0 }).collect();
            let mut by_entries = ptes.clone();
            let mut went = [(&mut ptes, &words[..]), (&mut by_entries, &[][..])].map(|(ptes, huge)| {
                let (mut seen, mut gathered) = (Seen::default(), Gathered::default());
                let (mut rows, mut block) = (0..points.page.len(), BLOCK);
                let closed = gathered.run((ptes, huge), &points, &mut rows, &mut block, &mut seen);
                gathered.stop(ptes, &points, &mut rows, closed.unwrap_or(0), &mut seen);
                (closed, rows, counts(&seen))
            });
            let [by_words, by_entries_only] = &mut went;
            prop_assert_eq!(by_words, by_entries_only);
            prop_assert_eq!(&ptes[known * 512..], &by_entries[known * 512..], "marks of others");
        }

        #[test]
        fn closed_entries_are_found(lows in prop::collection::vec(any::<u16>(), BLOCK)) {
            let words = closed_of(lows.as_array().expect("a block of them"));
            for (row, low) in lows.iter().enumerate() {
                prop_assert_eq!(words[row / 64] >> (row % 64) & 1, u64::from(low & OPEN == 0), "row {}", row);
            }
        }

        #[test]
        fn a_sweep_equals_one_by_one(start in 0u32..64, nr in 0u32..64, lines in 0u16..65, write: bool, closed in prop::collection::vec(0u32..64, 0..3)) {
            let nr = nr.min(64 - start);
            let page: Vec<u32> = (start..start + nr).collect();
            let traffic = vec![Traffic::new(lines, 0, write); nr as usize];
            let (mut fast, mut slow) = (table(&[0, 1, 2, 3, 4], &closed), table(&[0, 1, 2, 3, 4], &closed));
            let (mut seen_fast, mut seen_slow) = (Seen::default(), Seen::default());
            let done = run_sweep((&mut fast, &[]), start, nr, Traffic::new(lines, 0, write), &mut seen_fast);
            prop_assert_eq!(done as usize, one_by_one(&mut slow, &page, &traffic, &mut seen_slow));
            prop_assert_eq!(counts(&seen_fast), counts(&seen_slow));
            prop_assert_eq!(fast, slow);
        }
    }

    #[test]
    fn a_sweep_takes_a_huge_page_at_a_glance() {
        let mut ptes = vec![Pte::mapped(FolioId(0), NodeId(1), true); 512];
        let mut seen = Seen::default();
        assert_eq!(
            run_sweep((&mut ptes, &[]), 100, 412, Traffic::new(64, 0, true), &mut seen),
            412
        );
        let counts = [Count::default(), Count::new(412, 412 * 64)];
        assert_eq!(seen.drain().collect::<Vec<_>>(), [(NodeId(1), counts)]);
    }
}
