//! The state of a guest: folios, lruvecs, memory cgroups, objects, mappings, CPUs.

use std::collections::{BTreeMap, VecDeque};

use super::engine::Engine;
pub(super) use super::folio::{Folio, Folios, flag};
use super::page::Page;
use super::ring::Rings;
use super::stat::{NumaStats, Stat, Stats};
use super::swap::Swap;
use super::writeback::Dirty;
use super::zone::Zone;
use super::{Config, Knobs};
use crate::hierarchy::{Hierarchy, Recent};
use crate::list::List;
use crate::mapped::Answers;

/// "No such thing" in vectors of ids.
pub(super) const NONE: u32 = u32::MAX;
/// Not on a list.
pub(super) const OFF: u8 = u8::MAX;
/// Lists of a lruvec: five of the classic engine, four generations by type and zone.
pub(super) const NR_LISTS: usize = 5 + 4 * 2 * 3;
/// The list of pages that cannot be evicted.
pub(super) const UNEVICTABLE_LIST: usize = 4;
/// Pages in a huge page.
pub(super) const HUGE: usize = 512;

/// Bits of a page table entry.
pub(super) mod pte {
    pub(crate) const PRESENT: u8 = 1;
    pub(crate) const YOUNG: u8 = 2;
    /// Stores fault.
    pub(crate) const PROTECTED: u8 = 4;
    /// Part of a huge mapping.
    pub(crate) const HUGE: u8 = 8;
    /// The shared page of zeros.
    pub(crate) const ZERO: u8 = 16;
    /// Made inaccessible by a NUMA scanner.
    pub(crate) const NUMA: u8 = 32;

    /// Which of up to 64 entries are present and young, as bits, the first one's lowest.
    #[inline]
    pub(crate) fn young(entries: &[u8]) -> u64 {
        debug_assert!(entries.len() <= 64, "a bit for each entry");
        let (words, rest) = entries.as_chunks::<8>();
        let mut young = 0;
        for (place, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let bits = word & word >> 1 & (u64::MAX / 255);
            // The product has bit 0 of each of the eight bytes side by side in its top byte.
            young |= (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (place * 8);
        }
        for (place, entry) in rest.iter().enumerate() {
            young |= u64::from(entry & entry >> 1 & 1) << (words.len() * 8 + place);
        }
        young
    }

    /// The first entry that is present and young, looked for by eight at a time.
    #[inline]
    pub(crate) fn first_young(entries: &[u8]) -> Option<usize> {
        const { assert!(PRESENT == 1 && YOUNG == 2, "young lies above present") };
        let (words, rest) = entries.as_chunks::<8>();
        for (place, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let young = word & word >> 1 & (u64::MAX / 255);
            if young != 0 {
                return Some(place * 8 + young.trailing_zeros() as usize / 8);
            }
        }
        let place = rest.iter().position(|entry| entry & entry >> 1 & 1 != 0)?;
        Some(words.len() * 8 + place)
    }
}

/// The multi-generation state of a lruvec.
#[derive(Clone, Debug)]
pub(super) struct Generations {
    pub(super) max_seq: u64,
    pub(super) min_seq: [u64; 2],
    /// By generation, type, zone.
    pub(super) nr: [[[i64; 3]; 2]; 4],
    pub(super) refaulted: [[u64; 4]; 2],
    pub(super) evicted: [[u64; 4]; 2],
    pub(super) protected: [[u64; 4]; 2],
    pub(super) avg_refaulted: [[u64; 4]; 2],
    pub(super) avg_total: [[u64; 4]; 2],
    /// Seq of the last finished walk.
    pub(super) walked_seq: u64,
    /// Regions of page tables worth a walk, by parity of seq; absent until first cleared.
    pub(super) filters: [Option<Vec<u64>>; 2],
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            max_seq: 3,
            min_seq: [0; 2],
            nr: [[[0; 3]; 2]; 4],
            refaulted: [[0; 4]; 2],
            evicted: [[0; 4]; 2],
            protected: [[0; 4]; 2],
            avg_refaulted: [[0; 4]; 2],
            avg_total: [[0; 4]; 2],
            walked_seq: 2,
            filters: [None, None],
        }
    }
}

/// Statistics as of the last flush.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stale {
    /// Of the subtree, by list.
    pub(super) size: [u64; 5],
    /// Of the group alone, all lists and slab.
    pub(super) own_pages: u64,
    pub(super) activated: [u64; 2],
}

/// Lists of a memory cgroup on a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Lruvec {
    /// By list and zone, exact.
    pub(super) size: [[i64; 3]; 5],
    /// Whose it is.
    pub(super) memcg: u16,
    pub(super) node: u16,
    /// The lruvec of the group above, or [`NONE`].
    pub(super) above: u32,
    /// workingset_activate of the subtree.
    pub(super) activated: [u64; 2],
    pub(super) stale: Stale,
    pub(super) cost: [u64; 2],
    /// Snapshot of activations at the last reclaim.
    pub(super) refaults: [u64; 2],
    /// Evictions and activations, a clock for refault distances.
    pub(super) age: u64,
    pub(super) recent: Recent,
    pub(super) generations: Generations,
    /// Leaves that hold only shadows, oldest first: object, leaf, stamp.
    pub(super) shadow_leaves: VecDeque<(u32, u32, u32)>,
    pub(super) nr_shadow_leaves: u64,
    /// Deferred work of the shrinkers: shadow leaves, dentries.
    pub(super) deferred: [u64; 2],
}

impl Lruvec {
    pub(super) fn len(&self, list: usize, class: usize) -> u64 {
        self.size[list][..=class].iter().sum::<i64>().max(0) as u64
    }
}

/// What was reclaimed of a group itself because it, or one above it, was over its soft limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftStats {
    /// Pages looked at (`soft_scan` of 0ae5e89c).
    pub scanned: u64,
    /// Pages reclaimed (`soft_steal`).
    pub stolen: u64,
}

/// A memory cgroup; 0 is the root.
#[derive(Clone, Debug, Default)]
pub(super) struct Memcg {
    pub(super) name: String,
    pub(super) parent: Option<u16>,
    pub(super) usage: u64,
    pub(super) max: u64,
    pub(super) high: u64,
    pub(super) low: u64,
    pub(super) min: u64,
    /// Soft limit, if one was set.
    pub(super) soft_limit: Option<u64>,
    /// Reclaimed because of one.
    pub(super) soft: SoftStats,
    /// Groups directly below.
    pub(super) children: Vec<u16>,
    pub(super) swap: u64,
    pub(super) swap_max: u64,
    /// Events of its own, without those below it.
    pub(super) stats: Stats,
    /// Own resident pages: anonymous, file, shmem.
    pub(super) anon: i64,
    pub(super) file: i64,
    pub(super) shmem: i64,
    pub(super) anon_huge: i64,
    pub(super) dirty: i64,
    pub(super) writeback: i64,
    pub(super) zswapped: i64,
    /// Of it and those below it.
    pub(super) zswap_bytes: u64,
    pub(super) zswap_max: u64,
    pub(super) no_zswap_writeback: bool,
    /// Removed.
    pub(super) is_offline: bool,
    pub(super) stale_dirty: i64,
    pub(super) stale_file: i64,
    pub(super) slab_bytes: u64,
    pub(super) slab_pages: u64,
    pub(super) reclaimable_slab_bytes: u64,
    /// Position and round of the shared walk over the subtree, by node.
    pub(super) walk: Vec<(Option<u16>, u64)>,
    pub(super) dentries: super::slab::Dentries,
}

/// Something with pages: an anonymous region, a tmpfs file, a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    /// Where each page is.
    pub(super) pages: Vec<Page>,
    /// Whether pages go to swap: anonymous and shmem.
    pub(super) swapbacked: bool,
    /// Mappings of it.
    pub(super) vmas: Vec<u32>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) shmem: bool,
    /// Some mapping of it is executable.
    pub(super) executable: bool,
    pub(super) content: super::Content,
    /// Page where the last read() ended.
    pub(super) last_read: u32,
}

/// A leaf of 64 slots of a file's tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leaf {
    pub(super) pages: u8,
    pub(super) shadows: u8,
    pub(super) memcg: u16,
    pub(super) stamp: u32,
    /// Whose list of leaves it is on while it holds only shadows.
    pub(super) node: u8,
    pub(super) listed: bool,
    pub(super) charged: bool,
}

/// A mapping of an object into a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Vma {
    pub(super) object: u32,
    pub(super) proc: u16,
    /// Group of the process.
    pub(super) memcg: u16,
    pub(super) ptes: Vec<u8>,
    /// Accessed bit of each 2 MiB region.
    pub(super) region_young: Vec<bool>,
    pub(super) has_table: Vec<bool>,
    /// First of its regions' numbers in filters.
    pub(super) first_region: u32,
    pub(super) policy: super::Policy,
    /// Page of the mapping that index 0 has, for interleaving.
    pub(super) offset: u64,
    pub(super) huge: bool,
    pub(super) locked: bool,
    /// MADV_RANDOM: accessed bits do not count, nothing is read ahead.
    pub(super) random: bool,
    /// Swap readahead: page of the last fault, window, hits.
    pub(super) readahead: Option<(u32, u32, u32)>,
    pub(super) file_readahead: super::readahead::FileReadahead,
}

/// A process.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) memcg: u16,
    pub(super) vmas: Vec<u32>,
    /// Whether the next walk takes all of it.
    pub(super) fresh: bool,
    /// Whether it ran since the last walk of its page tables.
    pub(super) used: bool,
    pub(super) dead: bool,
    pub(super) has_upper_table: bool,
    /// Page tables and other kernel memory: who pays, and pages.
    pub(super) kernel_memory: Vec<(u16, u64)>,
    /// Zones of its page tables.
    pub(super) table_zones: Vec<u8>,
    pub(super) exited: bool,
}

/// A CPU: batches, charge stock, page lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Cpu {
    pub(super) node: u8,
    pub(super) add: Vec<u32>,
    pub(super) rotate: Vec<u32>,
    pub(super) activate: Vec<u32>,
    pub(super) stock: (u16, u64),
    /// Tasks that share it.
    pub(super) tasks: u64,
    /// When the running task was picked last.
    pub(super) picked: u64,
    /// CPU time of kswapds.
    pub(super) kswapd_ns: u64,
}

/// The machine with all that runs out of memory on it.
#[derive(Debug)]
pub struct Guest {
    pub(super) config: Config,
    pub(super) knobs: Knobs,
    pub(super) engine: &'static dyn Engine,
    /// Whether that keeps generations.
    pub(super) is_mglru: bool,
    /// Which groups are reclaimed.
    pub(super) hierarchy: Box<dyn Hierarchy>,
    /// Whether the design for that counts charges.
    pub(super) counts_charges: bool,
    /// Leaves that the slabs of them have room for.
    pub(super) leaf_room: u64,
    /// What becomes of pages whose accessed bits are set.
    pub(super) mapped_pages: Answers,
    pub(super) now: u64,
    pub(super) folios: Folios,
    /// Room for a batch of reclaim, kept between batches.
    pub(super) batch: Vec<u32>,
    pub(super) lists: Rings,
    pub(super) lruvecs: Vec<Lruvec>,
    /// By node and list.
    pub(super) node_size: Vec<[i64; 5]>,
    pub(super) memcgs: Vec<Memcg>,
    /// Pre-order of each group's subtree.
    pub(super) subtrees: Vec<Vec<u16>>,
    pub(super) zones: Vec<Zone>,
    /// By node: zones to try, near first.
    pub(super) fallback: Vec<Vec<usize>>,
    pub(super) nodes: Vec<super::kswapd::Kswapd>,
    /// Some kswapd has the CPU, not a task.
    pub(super) kswapd_runs: bool,
    pub(super) numa: Vec<NumaStats>,
    pub(super) cpus: Vec<Cpu>,
    pub(super) objects: Vec<Object>,
    pub(super) vmas: Vec<Vma>,
    pub(super) procs: Vec<Process>,
    pub(super) swap: Swap,
    pub(super) dirty: Dirty,
    pub(super) vm: Stats,
    pub(super) next_flush: u64,
    pub(super) last_flush: u64,
    pub(super) in_fault: bool,
    pub(super) walk_exists: bool,
    pub(super) nr_regions: u32,
    /// Pages that ended a write, due at.
    pub(super) writes: BTreeMap<(u64, u64), u32>,
    pub(super) write_seq: u64,
    pub(super) plug: super::plug::Plug,
    pub(super) paths: BTreeMap<String, u32>,
    pub(super) cpu: usize,
    pub(super) task: u16,
    /// The process that runs.
    pub(super) current_proc: usize,
    /// The last fault or read() brought a page of a file in.
    pub(super) reads_cache: bool,
    pub(super) over_high: u64,
    /// Nothing could be freed for the running task, which is killed at the end of its fault.
    pub(super) oom: bool,
    /// What a simulator lends, where one drives the guest.
    pub(super) outside: super::outside::Outside,
}

impl Guest {
    #[inline]
    pub(super) fn nr_nodes(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(super) fn node_of(&self, folio: u32) -> usize {
        self.zones[self.folios[folio].zone as usize].node
    }

    #[inline]
    pub(super) fn class_of(&self, folio: u32) -> usize {
        self.zones[self.folios[folio].zone as usize].class
    }

    #[inline]
    pub(super) fn lruvec_of(&self, folio: u32) -> usize {
        self.folios[folio].memcg as usize * self.nr_nodes() + self.node_of(folio)
    }

    #[inline]
    pub(super) fn lruvec(&self, memcg: u16, node: usize) -> usize {
        memcg as usize * self.nr_nodes() + node
    }

    #[inline]
    pub(super) fn memcg_of_lruvec(&self, lruvec: usize) -> u16 {
        self.lruvecs[lruvec].memcg
    }

    #[inline]
    pub(super) fn list(lruvec: usize, list: usize) -> List {
        List((lruvec * NR_LISTS + list) as u32)
    }

    /// Calls for a group and all above it.
    #[inline]
    pub(super) fn upward(&mut self, memcg: u16, mut each: impl FnMut(&mut Self, u16)) {
        let mut at = Some(memcg);
        while let Some(memcg) = at {
            each(self, memcg);
            at = self.memcgs[memcg as usize].parent;
        }
    }

    /// Counts an event of a group and of the machine.
    #[inline]
    pub(super) fn count(&mut self, memcg: u16, stat: Stat, nr: u64) {
        self.vm[stat] += nr;
        self.count_memcg(memcg, stat, nr);
    }

    /// Counts an event of a group only. Those above it sum up when somebody asks.
    #[inline]
    pub(super) fn count_memcg(&mut self, memcg: u16, stat: Stat, nr: u64) {
        self.memcgs[memcg as usize].stats[stat] += nr;
    }

    /// Changes the size of a list. What a subtree holds is summed up when somebody asks.
    #[inline]
    pub(super) fn resize(&mut self, lruvec: usize, list: usize, class: usize, by: i64) {
        let lruvec = &mut self.lruvecs[lruvec];
        lruvec.size[list][class] += by;
        self.node_size[lruvec.node as usize][list] += by;
    }

    /// Pages of a group and those below it on a node, by list.
    pub(super) fn tree_size(&self, memcg: u16, node: usize) -> [i64; 5] {
        if memcg == 0 {
            return self.node_size[node];
        }
        let mut sizes = [0; 5];
        for below in &self.subtrees[memcg as usize] {
            let lruvec = &self.lruvecs[self.lruvec(*below, node)];
            for (sum, own) in sizes.iter_mut().zip(&lruvec.size) {
                *sum += own.iter().sum::<i64>();
            }
        }
        sizes
    }

    /// Advances the clock for refault distances of a lruvec and those above it.
    #[inline]
    pub(super) fn age(&mut self, lruvec: usize, by: u64) {
        self.upward_lruvecs(lruvec, |lruvec| lruvec.age += by);
    }

    /// Calls for a lruvec and all above it.
    #[inline]
    pub(super) fn upward_lruvecs(&mut self, lruvec: usize, mut each: impl FnMut(&mut Lruvec)) {
        let mut at = lruvec as u32;
        while at != NONE {
            let lruvec = &mut self.lruvecs[at as usize];
            each(lruvec);
            at = lruvec.above;
        }
    }

    /// Notes which lruvecs are above which, when groups changed.
    pub(super) fn link_lruvecs(&mut self) {
        for lruvec in 0..self.lruvecs.len() {
            let Lruvec { memcg, node, .. } = self.lruvecs[lruvec];
            let above =
                self.memcgs[memcg as usize].parent.map(|above| self.lruvec(above, node as usize));
            self.lruvecs[lruvec].above = above.map_or(NONE, |above| above as u32);
        }
    }

    /// Notes cost of a type, and lets old cost decay.
    pub(super) fn note_cost(&mut self, lruvec: usize, kind: usize, by: u64) {
        if by == 0 {
            return;
        }
        self.upward_lruvecs(lruvec, |lruvec| {
            lruvec.cost[kind] += by;
            let pages: u64 = lruvec.stale.size[..4].iter().sum();
            if lruvec.cost[0] + lruvec.cost[1] > pages / 4 {
                lruvec.cost[0] /= 2;
                lruvec.cost[1] /= 2;
            }
        });
    }

    /// Notes what reclaim saw of a lruvec's lists of a type, and halves what it saw before.
    pub(super) fn note_recent(
        &mut self,
        lruvec: usize,
        kind: usize,
        scanned: u64,
        rotated: u64,
        is_pressure: bool,
    ) {
        let lruvec = &mut self.lruvecs[lruvec];
        let pages: i64 = lruvec.size[kind * 2..kind * 2 + 2].iter().flatten().sum();
        let recent = &mut lruvec.recent;
        recent.scanned[kind] += scanned;
        recent.rotated[kind] += rotated;
        recent.pressure[kind] += if is_pressure { scanned } else { 0 };
        if recent.scanned[kind] > pages.max(0) as u64 / 4 {
            recent.scanned[kind] /= 2;
            recent.rotated[kind] /= 2;
            recent.pressure[kind] /= 2;
        }
    }

    /// Brings the statistics that reclaim decides by up to date.
    pub(super) fn flush_stats(&mut self) {
        self.last_flush = self.now;
        for memcg in &mut self.memcgs {
            memcg.stale_dirty = memcg.dirty + memcg.writeback;
            memcg.stale_file = memcg.file;
        }
        for lruvec in &mut self.lruvecs {
            let memcg = &self.memcgs[lruvec.memcg as usize];
            let slab = if lruvec.node == 0 { memcg.slab_pages } else { 0 };
            let own: i64 = lruvec.size.iter().flatten().sum();
            lruvec.stale = Stale {
                size: lruvec.size.map(|list| list.iter().sum::<i64>().max(0) as u64),
                own_pages: own.max(0) as u64 + slab,
                activated: lruvec.activated,
            };
        }
        // A group has a larger number than those above it, so sums go up from the back.
        for lruvec in (self.nr_nodes()..self.lruvecs.len()).rev() {
            let Lruvec { memcg, node, .. } = self.lruvecs[lruvec];
            let size = self.lruvecs[lruvec].stale.size;
            if let Some(parent) = self.memcgs[memcg as usize].parent {
                let above = self.lruvec(parent, node as usize);
                for (sum, own) in self.lruvecs[above].stale.size.iter_mut().zip(size) {
                    *sum += own;
                }
            }
        }
    }

    /// Flushes when two seconds have passed since the last time.
    pub(super) fn flush_if_due(&mut self) {
        if self.now >= self.next_flush {
            self.flush_stats();
            self.next_flush = self.now + 2_000_000_000;
        }
    }

    /// Forces a flush when the last one is over 4 s old.
    pub(super) fn flush_if_old(&mut self) {
        if self.is_flush_old(self.now) {
            self.flush_stats();
        }
    }

    /// Whether the last flush is over 4 s old at a time.
    #[inline]
    pub(super) fn is_flush_old(&self, at: u64) -> bool {
        at > self.last_flush + 4_000_000_000
    }

    /// Whether a list of inactive pages is low, by statistics that may be old.
    pub(super) fn inactive_is_low(&self, lruvec: usize, kind: usize) -> bool {
        let stale = &self.lruvecs[lruvec].stale;
        let (inactive, active) = (stale.size[kind * 2], stale.size[kind * 2 + 1]);
        let gb = (inactive + active) >> 18;
        let ratio = if gb == 0 { 1 } else { (10 * gb).isqrt() };
        inactive * ratio < active
    }
}
