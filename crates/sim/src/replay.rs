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
//! comes.

use std::ops::Range;

use base::{MAX_NODES, NodeId, NodeMask};
use mm::Pte;
use trace::Traffic;

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

/// Rows that passes take at a time.
const LANES: usize = 8;

/// The bit of a packed access that writes.
const WRITES: u16 = 1 << 15;

/// The class of an access as a small number: node and whether it writes.
#[inline]
fn class_of(low: u16, write: bool) -> u16 {
    (low & NODE_BITS) >> (Pte::NODE_SHIFT - 1) | u16::from(write)
}

/// Four entries' low bits as one number: a processor looks at them at once.
#[inline]
fn in_one(quad: [u16; 4]) -> u64 {
    quad.iter().rev().fold(0, |all, low| all << 16 | u64::from(*low))
}

/// The closed ones of sixteen entries, as a bit each, without a branch.
#[inline]
fn closed_of(quads: &[[u16; 4]; 4]) -> u64 {
    /// The bit of open entries in each of [`in_one`].
    const OPEN_IN_EACH: u64 = 0x0001_0001_0001_0001 * Pte::OPEN;
    let bits = |quad: usize| (in_one(quads[quad]) & OPEN_IN_EACH) << (4 * quad);
    // The bit of entry `e` of quad `q` is 16 e + 4 q now; the product has it at 48 + e + 4 q, and
    // nothing else there.
    let open = bits(0) | bits(1) | bits(2) | bits(3);
    !(open.wrapping_mul(1 << 48 | 1 << 33 | 1 << 18 | 1 << 3) >> 48) & 0xffff
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

/// A block of accesses as the passes read it; kept, so that it need not be cleared each time.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// Low bits of the entries.
    low: [u16; BLOCK],
    /// Where rows were closed: the lines of each access, with [`WRITES`].
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
    closed: [u64; 4],
    has_closed: bool,
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
            closed: [0; 4],
            has_closed: false,
            is_weighed: false,
        }
    }
}

impl Gathered {
    /// Copies the entries of at most [`BLOCK`] accesses. All cache misses happen here.
    pub fn gather(&mut self, ptes: &[Pte], page: &[u32], traffic: &[Traffic]) {
        let nr = page.len();
        let (pages, last_pages) = page.as_chunks::<LANES>();
        let (lows, last_lows) = self.low[..nr].as_chunks_mut::<LANES>();
        for (low, page) in lows.iter_mut().zip(pages) {
            for at in 0..LANES {
                low[at] = ptes[page[at] as usize].0 as u16;
            }
        }
        for (low, page) in last_lows.iter_mut().zip(last_pages) {
            *low = ptes[*page as usize].0 as u16;
        }
        let lows = &self.low[..nr];
        let (all, any) = lows.iter().fold((u16::MAX, 0), |(all, any), low| (all & low, any | low));
        self.has_closed = all & OPEN == 0;
        self.all = all;
        if self.has_closed {
            // All ones in place of closed entries.
            let open = |low: &u16| low | (low & OPEN).wrapping_sub(OPEN);
            self.all = lows.iter().fold(u16::MAX, |all, low| all & open(low));
            let (quads, _) = self.low.as_chunks::<4>();
            let (chunks, _) = quads.as_chunks::<4>();
            for (packed, traffic) in self.traffic.iter_mut().zip(traffic) {
                *packed = traffic.lines() | WRITES & mask(traffic.is_write());
            }
            for (closed, chunks) in self.closed.iter_mut().zip(chunks.chunks(4)) {
                *closed = chunks.iter().rev().fold(0, |all, chunk| all << 16 | closed_of(chunk));
            }
        }
        (self.nr, self.at, self.any, self.is_weighed) = (nr, 0, any, false);
    }

    /// Forgets what is gathered: entries may have changed.
    pub fn forget(&mut self) {
        (self.nr, self.at) = (0, 0);
    }

    /// Rows gathered that have not gone through yet.
    pub fn left(&self) -> usize {
        self.nr - self.at
    }

    /// Replays at most `most` of the rows left, until one needs the slow path. Returns how many went
    /// through. `page` and `traffic` are those of the rows left. Of the entries gathered, only
    /// closed ones may have changed since.
    pub fn run(
        &mut self,
        ptes: &mut [Pte],
        page: &[u32],
        traffic: &[Traffic],
        most: usize,
        seen: &mut Seen,
    ) -> usize {
        let first = self.at;
        let mut end = (first + most).min(self.nr);
        if self.has_closed {
            end = self.open_until(ptes, page, traffic, end);
        }
        let went = end - first;
        if went == 0 {
            return 0;
        }
        let (page, now) = (&page[..went], &traffic[..went]);
        if (self.all ^ self.any) & NODE_BITS == 0 {
            let mut sums = Sums::default();
            if self.has_closed {
                in_vectors(&mut self.traffic, first..end, |vectors| {
                    let packed = vectors.as_flattened().iter();
                    packed.for_each(|packed| sums.add(packed & 255, mask(packed & WRITES != 0)));
                });
            } else {
                let now = now.iter();
                now.for_each(|now| sums.add(now.lines(), mask(now.is_write())));
            }
            sums.store(node_of(self.any), went, seen);
        } else {
            if !self.is_weighed {
                self.weigh(traffic);
            }
            self.count(first..end, seen);
        }
        if self.all & (YOUNG | DIRTY) != YOUNG | DIRTY {
            mark(&self.low[first..end], now, ptes, page);
        }
        self.at = end;
        went
    }

    /// The first row before `end` that is closed still. Rows opened since they were gathered are
    /// gathered again, and marked at once: they go through.
    fn open_until(
        &mut self,
        ptes: &mut [Pte],
        page: &[u32],
        traffic: &[Traffic],
        end: usize,
    ) -> usize {
        loop {
            // The first word that has a bit, or the last one, without a branch.
            let [first, second, third, _] = self.closed.map(|closed| usize::from(closed == 0));
            let word = first + (first & second) + (first & second & third);
            let row = word * 64 + self.closed[word].trailing_zeros() as usize;
            if row >= end {
                return end;
            }
            let left = row - self.at;
            let pte = &mut ptes[page[left] as usize];
            if !pte.has(Pte::OPEN) {
                return row;
            }
            let write = traffic[left].is_write();
            pte.0 |= u64::from(wanted(write));
            let low = pte.0 as u16 | YOUNG | DIRTY;
            self.low[row] = low;
            self.class[row] = class_of(low, write);
            self.all &= low;
            self.any |= low;
            self.closed[word] &= self.closed[word] - 1;
        }
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
/// many went through. A huge page is looked at once.
pub fn run_sweep(ptes: &mut [Pte], page: u32, nr: u32, traffic: Traffic, seen: &mut Seen) -> u32 {
    let write = traffic.is_write();
    let lines = u64::from(traffic.lines());
    let wanted = u64::from(wanted(write));
    let end = page + nr;
    let mut at = page;
    while at < end {
        let pte = &mut ptes[at as usize];
        if !pte.has(Pte::OPEN) {
            break;
        }
        if pte.0 & wanted != wanted {
            pte.0 |= wanted;
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
            accesses in prop::collection::vec((0u32..64, 0u16..128, any::<bool>()), 0..=BLOCK),
            closed in prop::collection::vec(0u32..64, 0..20),
            nodes in prop::collection::vec(0u8..64, 1..10),
            steps in prop::collection::vec(1usize..100, 0..3),
        ) {
            let page: Vec<u32> = accesses.iter().map(|(page, _, _)| *page).collect();
            let traffic: Vec<Traffic> = accesses.iter().map(|(_, lines, write)| Traffic::new(*lines, 127, *write)).collect();
            let (mut fast, mut slow) = (table(&nodes, &closed), table(&nodes, &closed));
            let (mut seen_fast, mut seen_slow) = (Seen::default(), Seen::default());
            let mut gathered = Gathered::default();
            gathered.gather(&fast, &page, &traffic);
            let (mut done, mut turns) = (0, steps.iter().cycle());
            while done < page.len() {
                let most = turns.next().copied().unwrap_or(BLOCK).min(page.len() - done);
                let rows = done..done + most;
                let went = gathered.run(&mut fast, &page[done..], &traffic[done..], most, &mut seen_fast);
                prop_assert_eq!(went, one_by_one(&mut slow, &page[rows.clone()], &traffic[rows], &mut seen_slow));
                prop_assert_eq!(counts(&seen_fast), counts(&seen_slow));
                prop_assert_eq!(&fast, &slow);
                done += went;
                prop_assert_eq!(gathered.left(), page.len() - done);
                if went < most {
                    // A fault maps the page, on any node.
                    let mapped = Pte::mapped(FolioId(0), NodeId(nodes[done % nodes.len()]), false);
                    for ptes in [&mut fast, &mut slow] {
                        ptes[page[done] as usize] = mapped;
                    }
                }
            }
        }

        #[test]
        fn a_sweep_equals_one_by_one(start in 0u32..64, nr in 0u32..64, lines in 0u16..65, write: bool, closed in prop::collection::vec(0u32..64, 0..3)) {
            let nr = nr.min(64 - start);
            let page: Vec<u32> = (start..start + nr).collect();
            let traffic = vec![Traffic::new(lines, 0, write); nr as usize];
            let (mut fast, mut slow) = (table(&[0, 1, 2, 3, 4], &closed), table(&[0, 1, 2, 3, 4], &closed));
            let (mut seen_fast, mut seen_slow) = (Seen::default(), Seen::default());
            let done = run_sweep(&mut fast, start, nr, Traffic::new(lines, 0, write), &mut seen_fast);
            prop_assert_eq!(done as usize, one_by_one(&mut slow, &page, &traffic, &mut seen_slow));
            prop_assert_eq!(counts(&seen_fast), counts(&seen_slow));
            prop_assert_eq!(fast, slow);
        }
    }

    #[test]
    fn a_sweep_takes_a_huge_page_at_a_glance() {
        let mut ptes = vec![Pte::mapped(FolioId(0), NodeId(1), true); 512];
        let mut seen = Seen::default();
        assert_eq!(run_sweep(&mut ptes, 100, 412, Traffic::new(64, 0, true), &mut seen), 412);
        let counts = [Count::default(), Count::new(412, 412 * 64)];
        assert_eq!(seen.drain().collect::<Vec<_>>(), [(NodeId(1), counts)]);
    }
}
