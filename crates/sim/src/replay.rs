//! The fast path: blocks of accesses to present, open pages.
//!
//! *First gather, then decide.* Pass one copies the block's PTEs into a local array, so that all
//! cache misses overlap, and ANDs them: one test tells whether every page is open. Pass two counts
//! by class on the copies and writes young and dirty back only where they change. Free functions
//! over primitive slices: no trait object, no allocation, no random number, no log line in here.
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
///
/// Counted in several tables taken in turn: a run of accesses to one class would otherwise wait for
/// its own counter's last store each time.
#[derive(Clone, Debug)]
pub struct Seen {
    tables: Tables,
    /// Nodes that may have counts.
    nodes: u64,
    /// Where a block's entries are gathered; kept, so that it need not be cleared each time.
    copies: [u64; BLOCK],
}

/// Tables that are taken in turn.
const TABLES: usize = 4;

const ONE_ACCESS: u64 = 1 << 32;

impl Default for Seen {
    fn default() -> Self {
        Self { tables: [[0; MAX_NODES * 2]; TABLES], nodes: 0, copies: [0; BLOCK] }
    }
}

impl Seen {
    /// The bits of an entry that hold the node.
    const NODE_BITS: u64 = 63 << 8;

    /// Accesses and lines of a node's reads (`write` false) or writes.
    pub fn of(&self, node: usize, write: bool) -> (u64, u64) {
        let class = node << 1 | usize::from(write);
        let word: u64 = self.tables.iter().map(|table| table[class]).sum();
        (word >> 32, word & 0xffff_ffff)
    }

    /// Nodes below `nr_nodes` that may have counts.
    pub fn nodes(&self, nr_nodes: usize) -> NodeMask {
        NodeMask(self.nodes & NodeMask::first(nr_nodes).0)
    }

    /// Forgets the counts of nodes below `nr_nodes`.
    pub fn clear(&mut self, nr_nodes: usize) {
        for node in self.nodes(nr_nodes).iter().map(NodeId::idx) {
            self.tables.iter_mut().for_each(|table| table[node << 1..][..2].fill(0));
        }
        self.nodes = 0;
    }
}

type Tables = [[u64; MAX_NODES * 2]; TABLES];

#[inline]
fn add(tables: &mut Tables, turn: usize, pte: u64, accesses: u64, lines: u64, write: bool) {
    let class = (pte >> 7 & 0x7e) as usize | usize::from(write);
    tables[turn % TABLES][class] += accesses * ONE_ACCESS + lines;
}

/// Bits that accesses set.
const SET: u64 = Pte::YOUNG | Pte::DIRTY;

/// Bits that an access sets, without a branch.
#[inline]
fn wanted(write: bool) -> u64 {
    Pte::YOUNG | (u64::from(write) * Pte::DIRTY)
}

/// Replays a block of at most [`BLOCK`] accesses until one needs the slow path. Returns how many
/// went through; `page` and `traffic` have equal lengths.
pub fn run_block(ptes: &mut [Pte], page: &[u32], traffic: &[Traffic], seen: &mut Seen) -> usize {
    let Seen { tables, nodes, copies } = seen;
    let copies = &mut copies[..page.len()];
    let (mut all, mut any) = (!0, 0);
    for (copy, page) in copies.iter_mut().zip(page) {
        let pte = ptes[*page as usize].0;
        *copy = pte;
        all &= pte;
        any |= pte;
    }
    let open = if all & Pte::OPEN != 0 {
        page.len()
    } else {
        copies.iter().position(|pte| pte & Pte::OPEN == 0).unwrap_or(page.len())
    };
    let (copies, traffic) = (&copies[..open], &traffic[..open]);
    if (all ^ any) & Seen::NODE_BITS == 0 {
        *nodes |= 1 << Pte(any).node().0;
        count_one_node(any, traffic, tables);
    } else {
        *nodes = u64::MAX;
        for (idx, (pte, traffic)) in copies.iter().zip(traffic).enumerate() {
            add(tables, idx, *pte, 1, u64::from(traffic.lines()), traffic.is_write());
        }
    }
    if all & SET != SET {
        for ((pte, page), traffic) in copies.iter().zip(page).zip(traffic) {
            let wanted = wanted(traffic.is_write());
            if !pte & wanted != 0 {
                ptes[*page as usize].0 |= wanted;
            }
        }
    }
    open
}

/// Counts a block whose pages are all on one node: sums without a table.
fn count_one_node(pte: u64, traffic: &[Traffic], tables: &mut Tables) {
    let (mut lines, mut writes, mut written_lines) = (0u32, 0u32, 0u32);
    for traffic in traffic {
        let write = u32::from(traffic.is_write());
        lines += u32::from(traffic.lines());
        writes += write;
        written_lines += u32::from(traffic.lines()) * write;
    }
    let reads = traffic.len() as u32 - writes;
    add(tables, 0, pte, u64::from(reads), u64::from(lines - written_lines), false);
    add(tables, 1, pte, u64::from(writes), u64::from(written_lines), true);
}

/// Replays up to `nr` consecutive pages from `page` on until one needs the slow path. Returns how
/// many went through. A huge page is looked at once.
pub fn run_sweep(ptes: &mut [Pte], page: u32, nr: u32, traffic: Traffic, seen: &mut Seen) -> u32 {
    let write = traffic.is_write();
    let lines = u64::from(traffic.lines());
    let wanted = wanted(write);
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
        seen.nodes |= 1 << pte.node().0;
        add(&mut seen.tables, 0, pte.0, u64::from(step), u64::from(step) * lines, write);
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
            add(&mut seen.tables, idx, pte.0, 1, u64::from(traffic.lines()), traffic.is_write());
        }
        page.len()
    }

    fn counts(seen: &Seen) -> Vec<[(u64, u64); 2]> {
        (0..MAX_NODES).map(|node| [seen.of(node, false), seen.of(node, true)]).collect()
    }

    fn table(closed: &[u32]) -> Vec<Pte> {
        let mut ptes: Vec<Pte> =
            (0..64).map(|k| Pte::mapped(FolioId(k), NodeId((k % 5) as u8), false)).collect();
        closed.iter().for_each(|page| ptes[*page as usize] = Pte::ABSENT);
        ptes
    }

    proptest! {
        #[test]
        fn a_block_equals_one_by_one(
            accesses in prop::collection::vec((0u32..64, 0u16..65, any::<bool>()), 0..BLOCK),
            closed in prop::collection::vec(0u32..64, 0..3),
        ) {
            let page: Vec<u32> = accesses.iter().map(|(page, _, _)| *page).collect();
            let traffic: Vec<Traffic> = accesses.iter().map(|(_, lines, write)| Traffic::new(*lines, 0, *write)).collect();
            let (mut fast, mut slow) = (table(&closed), table(&closed));
            let (mut seen_fast, mut seen_slow) = (Seen::default(), Seen::default());
            let done = run_block(&mut fast, &page, &traffic, &mut seen_fast);
            prop_assert_eq!(done, one_by_one(&mut slow, &page, &traffic, &mut seen_slow));
            prop_assert_eq!(counts(&seen_fast), counts(&seen_slow));
            prop_assert_eq!(fast, slow);
        }

        #[test]
        fn a_sweep_equals_one_by_one(start in 0u32..64, nr in 0u32..64, lines in 0u16..65, write: bool, closed in prop::collection::vec(0u32..64, 0..3)) {
            let nr = nr.min(64 - start);
            let page: Vec<u32> = (start..start + nr).collect();
            let traffic = vec![Traffic::new(lines, 0, write); nr as usize];
            let (mut fast, mut slow) = (table(&closed), table(&closed));
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
