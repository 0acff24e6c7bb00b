//! The fast path: blocks of accesses to present, open pages.
//!
//! *First gather, then decide.* The first pass copies the low bits of the block's PTEs into a local
//! array, so that all cache misses overlap; all later passes run over that array and are written so
//! that the compiler turns them into vector instructions. They tell whether every page is open,
//! count by class, and find out whether young or dirty must be set anywhere. Free functions over
//! primitive slices: no trait object, no allocation, no random number, no log line in here.
//!
//! Within a block young and dirty only ever go up, and node and protection cannot change (only the
//! slow path and events change them), so deciding on copies is exact.

use base::{MAX_NODES, NodeId, NodeMask};
use mm::Pte;
use trace::Traffic;

/// Most accesses of a block.
pub const BLOCK: usize = 256;

/// What a block saw, by class of access (node, read or write): accesses in the upper half of each
/// word, lines in the lower.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Reads and writes of each node.
    table: [[u64; 2]; MAX_NODES],
    /// Nodes that have counts.
    nodes: NodeMask,
}

impl Default for Seen {
    fn default() -> Self {
        Self { table: [[0; 2]; MAX_NODES], nodes: NodeMask::EMPTY }
    }
}

impl Seen {
    /// Accesses and lines of a node's reads (`write` false) or writes.
    pub fn of(&self, node: usize, write: bool) -> (u64, u64) {
        let word = self.table[node][usize::from(write)];
        (word >> 32, word & 0xffff_ffff)
    }

    /// Nodes that have counts.
    pub fn nodes(&self) -> NodeMask {
        self.nodes
    }

    /// Forgets all counts.
    pub fn clear(&mut self) {
        for node in self.nodes.iter() {
            self.table[node.idx()] = [0; 2];
        }
        self.nodes = NodeMask::EMPTY;
    }

    fn add(&mut self, node: NodeId, write: bool, accesses: u64, lines: u64) {
        self.nodes.insert(node);
        self.table[node.idx()][usize::from(write)] += accesses << 32 | lines;
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

/// A block as the passes read it, padded to whole vectors, so that no pass ends with a loop over
/// single elements; kept, so that it need not be cleared each time.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// Low bits of the entries, then of the first one again.
    low: [u16; BLOCK],
    /// Traffic, then none.
    traffic: [Traffic; BLOCK],
}

/// Elements that passes take at a time.
const LANES: usize = 16;

const NO_TRAFFIC: Traffic = Traffic::new(0, 0, false);

impl Default for Gathered {
    fn default() -> Self {
        Self { low: [0; BLOCK], traffic: [NO_TRAFFIC; BLOCK] }
    }
}

impl Gathered {
    /// Copies a block. All cache misses of its entries happen here.
    fn gather(&mut self, ptes: &[Pte], page: &[u32], traffic: &[Traffic]) {
        self.traffic[..traffic.len()].copy_from_slice(traffic);
        let (pages, last_pages) = page.as_chunks::<8>();
        let (lows, last_lows) = self.low[..page.len()].as_chunks_mut::<8>();
        for (low, page) in lows.iter_mut().zip(pages) {
            for at in 0..8 {
                low[at] = ptes[page[at] as usize].0 as u16;
            }
        }
        for (low, page) in last_lows.iter_mut().zip(last_pages) {
            *low = ptes[*page as usize].0 as u16;
        }
    }

    /// The first `nr` accesses (not none), padded.
    fn first(&mut self, nr: usize) -> Block<'_> {
        let padded = nr.next_multiple_of(LANES);
        let first = self.low[0];
        self.low[nr..padded].fill(first);
        self.traffic[nr..padded].fill(NO_TRAFFIC);
        let low = self.low[..padded].as_chunks::<LANES>().0.as_flattened();
        let traffic = self.traffic[..padded].as_chunks::<LANES>().0.as_flattened();
        let (all, any) = low.iter().fold((u16::MAX, 0), |(all, any), low| (all & low, any | low));
        Block { low, traffic, nr, all, any }
    }
}

/// Accesses of a block with their padding.
#[derive(Clone, Copy)]
struct Block<'a> {
    low: &'a [u16],
    traffic: &'a [Traffic],
    /// Accesses without the padding.
    nr: usize,
    /// The AND and the OR of all entries.
    all: u16,
    any: u16,
}

/// Replays a block of at most [`BLOCK`] accesses until one needs the slow path. Returns how many
/// went through; `page` and `traffic` have equal lengths.
pub fn run_block(
    ptes: &mut [Pte],
    page: &[u32],
    traffic: &[Traffic],
    gathered: &mut Gathered,
    seen: &mut Seen,
) -> usize {
    if page.is_empty() {
        return 0;
    }
    gathered.gather(ptes, page, traffic);
    let mut block = gathered.first(page.len());
    if block.all & OPEN == 0 {
        let open = block.first_closed().unwrap_or(page.len());
        if open == 0 {
            return 0;
        }
        block = gathered.first(open);
    }
    block.count(seen);
    if block.all & (YOUNG | DIRTY) != YOUNG | DIRTY {
        block.mark(ptes, page);
    }
    block.nr
}

/// Nodes that are told apart by passes over the block, one for two of them; above that a pass costs
/// more than a table.
const MOST_PASSES: u32 = 4;

impl Block<'_> {
    /// The first access whose entry is not open.
    fn first_closed(&self) -> Option<usize> {
        let open = |low: &[u16; LANES]| low.iter().fold(u16::MAX, |all, low| all & low) & OPEN != 0;
        let (chunks, _) = self.low.as_chunks::<LANES>();
        let chunk = chunks.iter().position(|chunk| !open(chunk))?;
        let lane = chunks[chunk].iter().position(|low| low & OPEN == 0)?;
        Some(chunk * LANES + lane)
    }

    /// Sets young and dirty where they are not set yet, which is seldom anywhere.
    fn mark(&self, ptes: &mut [Pte], page: &[u32]) {
        let lacks = |low: u16, traffic: Traffic| !low & wanted(traffic.is_write());
        let (lows, _) = self.low.as_chunks::<LANES>();
        let (traffics, _) = self.traffic.as_chunks::<LANES>();
        let pages = page[..self.nr].chunks(LANES);
        for ((low, traffic), page) in lows.iter().zip(traffics).zip(pages) {
            let accesses = low.iter().zip(traffic);
            let any = accesses.clone().fold(0, |any, (low, traffic)| any | lacks(*low, *traffic));
            if any == 0 {
                continue;
            }
            for ((low, traffic), page) in accesses.zip(page) {
                let lacks = lacks(*low, *traffic);
                if lacks != 0 {
                    ptes[*page as usize].0 |= u64::from(lacks);
                }
            }
        }
    }

    /// Counts the accesses by class.
    fn count(&self, seen: &mut Seen) {
        let varying = (self.all ^ self.any) & NODE_BITS;
        if varying == 0 {
            self.count_one_node(seen);
        } else if 1 << (varying.count_ones() - 1) <= MOST_PASSES {
            // The nodes are those of the common bits with some of the varying ones; subtracting
            // steps through the subsets of a mask.
            let common = self.all & NODE_BITS;
            let mut subset = 0u16;
            for _ in 0..1 << (varying.count_ones() - 1) {
                let next = subset.wrapping_sub(varying) & varying;
                self.count_two_nodes([common | subset, common | next], seen);
                subset = next.wrapping_sub(varying) & varying;
            }
        } else {
            for (low, traffic) in self.low[..self.nr].iter().zip(self.traffic) {
                seen.add(node_of(*low), traffic.is_write(), 1, u64::from(traffic.lines()));
            }
        }
    }

    /// Counts when all pages are on one node.
    fn count_one_node(&self, seen: &mut Seen) {
        let mut sums = Sums::default();
        for traffic in self.traffic {
            sums.add(*traffic, u16::MAX);
        }
        self.store(self.any & NODE_BITS, sums, seen);
    }

    /// Counts the accesses to two nodes, given as an entry's node bits.
    fn count_two_nodes(&self, nodes: [u16; 2], seen: &mut Seen) {
        let (mut first, mut second) = (Sums::default(), Sums::default());
        for (low, traffic) in self.low.iter().zip(self.traffic) {
            let node = low & NODE_BITS;
            first.add(*traffic, mask(node == nodes[0]));
            second.add(*traffic, mask(node == nodes[1]));
        }
        self.store(nodes[0], first, seen);
        self.store(nodes[1], second, seen);
    }

    fn store(&self, node: u16, sums: Sums, seen: &mut Seen) {
        // The padding counts as accesses to the first page's node.
        let padding = (self.low.len() - self.nr) as u16 & mask(node == self.low[0] & NODE_BITS);
        let accesses = sums.accesses - padding;
        if accesses > 0 {
            let (reads, read_lines) = (accesses - sums.writes, sums.lines - sums.written_lines);
            seen.add(node_of(node), false, reads.into(), read_lines.into());
            seen.add(node_of(node), true, sums.writes.into(), sums.written_lines.into());
        }
    }
}

/// Counts of a block at one node. Sixteen bits hold them: [`BLOCK`] accesses of at most 255 lines.
#[derive(Clone, Copy, Default)]
struct Sums {
    accesses: u16,
    lines: u16,
    writes: u16,
    written_lines: u16,
}

const _: () = assert!(BLOCK.is_multiple_of(LANES) && BLOCK * 255 <= u16::MAX as usize);

impl Sums {
    /// Adds an access where `here` is all ones, nothing where it is 0.
    #[inline]
    fn add(&mut self, traffic: Traffic, here: u16) {
        let (lines, write) = (traffic.lines() & here, mask(traffic.is_write()));
        // Subtracting all ones adds one.
        self.accesses = self.accesses.wrapping_sub(here);
        self.lines = self.lines.wrapping_add(lines);
        self.writes = self.writes.wrapping_sub(here & write);
        self.written_lines = self.written_lines.wrapping_add(lines & write);
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
        seen.add(pte.node(), write, u64::from(step), u64::from(step) * lines);
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
            seen.add(pte.node(), traffic.is_write(), 1, u64::from(traffic.lines()));
        }
        page.len()
    }

    fn counts(seen: &Seen) -> Vec<[(u64, u64); 2]> {
        (0..MAX_NODES).map(|node| [seen.of(node, false), seen.of(node, true)]).collect()
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
            closed in prop::collection::vec(0u32..64, 0..3),
            nodes in prop::collection::vec(0u8..64, 1..10),
        ) {
            let page: Vec<u32> = accesses.iter().map(|(page, _, _)| *page).collect();
            let traffic: Vec<Traffic> = accesses.iter().map(|(_, lines, write)| Traffic::new(*lines, 127, *write)).collect();
            let (mut fast, mut slow) = (table(&nodes, &closed), table(&nodes, &closed));
            let (mut seen_fast, mut seen_slow) = (Seen::default(), Seen::default());
            let done = run_block(&mut fast, &page, &traffic, &mut Gathered::default(), &mut seen_fast);
            prop_assert_eq!(done, one_by_one(&mut slow, &page, &traffic, &mut seen_slow));
            prop_assert_eq!(counts(&seen_fast), counts(&seen_slow));
            prop_assert_eq!(fast, slow);
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
        assert_eq!(seen.of(1, true), (412, 412 * 64));
    }
}
