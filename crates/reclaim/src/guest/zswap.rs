//! The compressed store in front of swap: content classes, the pool and its limit, writeback.
//!
//! After Linux 6.12: a page of one value is stored as a length of zero, others compressed; what does
//! not get smaller goes to the device. The pool is zsmalloc's: classes of 16 bytes, each in runs of
//! the number of pages that wastes least. At the limit stores are refused until the pool is below
//! the accept threshold, and the oldest entries are written to the device until it is; an entry that
//! was not met before gets a second chance. Bytes are charged to the page's group, which may pass its
//! limit by that, as the kernel's do.
//!
//! Left out: the shrinker under memory pressure (off by default), compaction of the pool, the page
//! that carries an entry's data to the device, LRU lists by node.

use super::stat::Stat;
use super::state::Guest;
use super::swap::Device;
use crate::list::{List, Lists};

/// Bytes of a class of sizes.
const CLASS_BYTES: u64 = 16;
/// Pages of a run at most.
const CHAIN: u64 = 8;
/// Writebacks in a row that may fail before the worker gives up.
const MAX_FAILURES: u32 = 16;

/// What pages hold, as far as compressing them goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// One value and zeros: 40 bytes under lzo.
    #[default]
    Pattern,
    /// A heap of a scripting language under lz4; 4.5 % of the pages are of one value.
    Heap,
    /// A large binary under lz4; 0.1 % of the pages are of one value.
    Binary,
    /// Nothing gets smaller.
    Incompressible,
    /// That many bytes each; 0 for pages of one value.
    Bytes(u16),
}

/// Sizes of Python's heap under lz4, measured: share of pages up to a size, in thousandths.
const HEAP: [(u64, u64); 6] =
    [(45, 0), (50, 300), (500, 977), (720, 1365), (960, 2048), (1000, 3200)];
/// The same of a compiler's binary.
const BINARY: [(u64, u64); 7] =
    [(1, 0), (140, 1365), (310, 2048), (500, 2665), (984, 4095), (985, 4096), (1000, 4096)];

impl Content {
    /// Compressed size of a page of an object; 4096 or more if it does not get smaller.
    pub(super) fn bytes(self, object: u32, index: u32) -> u64 {
        match self {
            Self::Pattern => 40,
            Self::Heap => quantile(&HEAP, object, index),
            Self::Binary => quantile(&BINARY, object, index),
            Self::Incompressible => 4096,
            Self::Bytes(bytes) => u64::from(bytes),
        }
    }
}

/// The size at a page's own place in a distribution, which is the same whenever it is asked for.
fn quantile(sizes: &[(u64, u64)], object: u32, index: u32) -> u64 {
    let mut mixed = u64::from(object) << 32 | u64::from(index);
    mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb);
    let place = (mixed ^ mixed >> 31) % 1000;
    let mut below = (0, 0);
    for (share, bytes) in sizes.iter().copied() {
        if place < share {
            if below.1 == 0 {
                return bytes;
            }
            return below.1 + (bytes - below.1) * (place - below.0) / (share - below.0);
        }
        below = (share, bytes);
    }
    below.1
}

/// Knobs of zswap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZswapKnobs {
    /// `max_pool_percent` of the machine's memory.
    pub max_pool_percent: u64,
    /// `accept_threshold_percent` of the limit.
    pub accept_threshold_percent: u64,
    /// Compressing a page, ns, on top of what swapping costs.
    pub store_ns: u64,
    /// Decompressing one.
    pub load_ns: u64,
}

impl Default for ZswapKnobs {
    fn default() -> Self {
        Self { max_pool_percent: 20, accept_threshold_percent: 90, store_ns: 0, load_ns: 0 }
    }
}

/// What zswap did, as its files in debugfs tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZswapStats {
    /// Compressed pages that are stored.
    pub stored_pages: u64,
    /// Bytes that they take, without waste.
    pub stored_bytes: u64,
    /// Pages of the pool.
    pub pool_pages: u64,
    /// Stores refused because of the pool's limit, or of the threshold after it.
    pub pool_limit_hit: u64,
    /// Stores refused because the page did not get smaller.
    pub reject_compress_poor: u64,
    /// Stores refused by `memory.zswap.max`.
    pub reject_memcg: u64,
    /// Entries written to the device.
    pub written_back_pages: u64,
}

/// An entry's state; a slot without an entry has none of its bits.
mod entry {
    pub(super) const STORED: u8 = 1;
    pub(super) const REFERENCED: u8 = 2;
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct Zswap {
    pub(super) enabled: bool,
    pub(super) knobs: ZswapKnobs,
    pub(super) stats: ZswapStats,
    /// By slot.
    state: Vec<u8>,
    bytes: Vec<u16>,
    owner: Vec<u16>,
    /// Entries by group, newest at the front; made at the first store.
    lists: Option<Lists>,
    /// Objects by class.
    classes: Vec<u64>,
    /// Zones of the pool's pages.
    zones: Vec<usize>,
    is_full: bool,
    pub(super) needs_shrinking: bool,
    /// The group whose entry was written last.
    last_shrunk: u16,
}

/// Objects that fit a run of a class, and its pages: the run that wastes least.
fn run_of(class: u64) -> (u64, u64) {
    let size = class * CLASS_BYTES;
    let used = |pages: u64| pages * 4096 / size * size * 1000 / (pages * 4096);
    let best = (1..=CHAIN).max_by_key(|pages| (used(*pages), CHAIN - pages)).unwrap_or(1);
    (best * 4096 / size, best)
}

fn class_pages(class: usize, objects: u64) -> u64 {
    let (fit, pages) = run_of(class as u64);
    objects.div_ceil(fit) * pages
}

impl Zswap {
    pub(super) fn new(enabled: bool, nr_slots: usize) -> Self {
        let nr = if enabled { nr_slots } else { 0 };
        Self {
            enabled,
            knobs: ZswapKnobs::default(),
            stats: ZswapStats::default(),
            state: vec![0; nr],
            bytes: vec![0; nr],
            owner: vec![0; nr],
            lists: None,
            classes: vec![0; (4096 / CLASS_BYTES) as usize + 1],
            zones: Vec::new(),
            is_full: false,
            needs_shrinking: false,
            last_shrunk: 0,
        }
    }

    /// Whether a slot's page is in the store.
    #[inline]
    pub(super) fn holds(&self, slot: u32) -> bool {
        self.state.get(slot as usize).is_some_and(|state| state & entry::STORED != 0)
    }

    /// The slots of a group, for recounts.
    pub(super) fn entries_of(&self, group: u16) -> u64 {
        let held = |slot: &usize| self.state[*slot] & entry::STORED != 0;
        let slots = (0..self.state.len()).filter(held);
        slots.filter(|slot| self.owner[*slot] == group).count() as u64
    }

    /// Bytes of all entries.
    pub(super) fn counted_bytes(&self) -> u64 {
        let slots = 0..self.state.len() as u32;
        slots
            .filter(|slot| self.holds(*slot))
            .map(|slot| u64::from(self.bytes[slot as usize]))
            .sum()
    }

    /// Zones of the pool's pages.
    pub(super) fn zones(&self) -> &[usize] {
        &self.zones
    }

    /// Pages that the objects of all classes take.
    pub(super) fn counted_pages(&self) -> u64 {
        let classes = self.classes.iter().enumerate().skip(1);
        classes.map(|(class, objects)| class_pages(class, *objects)).sum()
    }

    fn class(bytes: u64) -> usize {
        bytes.div_ceil(CLASS_BYTES) as usize
    }
}

impl Guest {
    /// Sets limits and costs of zswap.
    pub fn set_zswap_knobs(&mut self, knobs: ZswapKnobs) {
        self.swap.zswap.knobs = knobs;
    }

    /// Sets `memory.zswap.max`, pages, and `memory.zswap.writeback` of a group.
    pub fn set_group_zswap(&mut self, group: u16, max: u64, writeback: bool) {
        let group = &mut self.memcgs[group as usize];
        (group.zswap_max, group.no_zswap_writeback) = (max, !writeback);
    }

    /// Says what the pages of a region hold.
    pub fn set_content(&mut self, region: u32, content: Content) {
        let object = self.vmas[region as usize].object;
        self.objects[object as usize].content = content;
    }

    /// What zswap did and holds.
    pub fn zswap_stats(&self) -> ZswapStats {
        self.swap.zswap.stats
    }

    fn pool_limit(&self) -> u64 {
        let managed: u64 = self.zones.iter().map(|zone| zone.managed).sum();
        managed * self.swap.zswap.knobs.max_pool_percent / 100
    }

    fn accept_limit(&self) -> u64 {
        self.pool_limit() * self.swap.zswap.knobs.accept_threshold_percent / 100
    }

    /// Whether the pool may take more; remembers that it was full.
    fn pool_accepts(&mut self) -> bool {
        let pages = self.swap.zswap.stats.pool_pages;
        let (limit, accept) = (self.pool_limit(), self.accept_limit());
        let zswap = &mut self.swap.zswap;
        if pages >= limit {
            zswap.is_full = true;
        } else if zswap.is_full && pages < accept {
            zswap.is_full = false;
        }
        if zswap.is_full {
            zswap.stats.pool_limit_hit += 1;
            zswap.needs_shrinking = true;
        }
        !zswap.is_full
    }

    /// Whether a group and those above it may store more.
    fn group_accepts(&self, memcg: u16) -> bool {
        let mut at = Some(memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            if group.zswap_max != u64::MAX && group.zswap_bytes / 4096 >= group.zswap_max {
                return false;
            }
            at = group.parent;
        }
        true
    }

    /// Whether pages of a group may go from here to the device.
    pub(super) fn may_write_back(&self, memcg: u16) -> bool {
        let mut at = Some(memcg);
        while let Some(index) = at {
            if self.memcgs[index as usize].no_zswap_writeback {
                return false;
            }
            at = self.memcgs[index as usize].parent;
        }
        true
    }

    /// Stores a page's data; false if it has to go to the device.
    pub(super) fn zswap_store(&mut self, folio: u32) -> bool {
        let memcg = self.folios[folio].memcg;
        let (object, index) = (self.folios[folio].object, self.folios[folio].index);
        let slot = self.objects[object as usize].pages[index as usize].swap();
        self.zswap_drop(slot);
        if !self.group_accepts(memcg) {
            self.swap.zswap.stats.reject_memcg += 1;
            return false;
        }
        if !self.pool_accepts() {
            return false;
        }
        self.now += self.swap.zswap.knobs.store_ns;
        let bytes = self.objects[object as usize].content.bytes(object, index);
        if bytes >= 4096 {
            self.swap.zswap.stats.reject_compress_poor += 1;
            return false;
        }
        self.zswap_insert(slot, memcg, bytes);
        self.count(memcg, Stat::zswpout, 1);
        true
    }

    fn zswap_insert(&mut self, slot: u32, memcg: u16, bytes: u64) {
        let nr_lists = self.memcgs.len() as u32;
        let nr_slots = self.swap.zswap.state.len() as u32;
        let zswap = &mut self.swap.zswap;
        let lists = zswap.lists.get_or_insert_with(|| Lists::new(nr_lists, nr_slots));
        lists.push_front(List(u32::from(memcg)), slot);
        zswap.state[slot as usize] = entry::STORED | entry::REFERENCED;
        zswap.bytes[slot as usize] = bytes as u16;
        zswap.owner[slot as usize] = memcg;
        zswap.stats.stored_pages += 1;
        zswap.stats.stored_bytes += bytes;
        self.memcgs[memcg as usize].zswapped += 1;
        self.upward(memcg, |guest, index| guest.memcgs[index as usize].zswap_bytes += bytes);
        self.resize_class(Zswap::class(bytes), 1);
        self.overcharge_slab(memcg, bytes);
    }

    /// Forgets a slot's entry, if there is one.
    pub(super) fn zswap_drop(&mut self, slot: u32) {
        if !self.swap.zswap.holds(slot) {
            return;
        }
        let zswap = &mut self.swap.zswap;
        let memcg = zswap.owner[slot as usize];
        let bytes = u64::from(zswap.bytes[slot as usize]);
        zswap.state[slot as usize] = 0;
        if let Some(lists) = &mut zswap.lists {
            lists.del(List(u32::from(memcg)), slot);
        }
        zswap.stats.stored_pages -= 1;
        zswap.stats.stored_bytes -= bytes;
        self.memcgs[memcg as usize].zswapped -= 1;
        self.upward(memcg, |guest, index| guest.memcgs[index as usize].zswap_bytes -= bytes);
        self.resize_class(Zswap::class(bytes), -1);
        self.uncharge_slab(memcg, bytes, false);
    }

    /// Adds an object to a class or takes one out, with the pages that this takes or gives back.
    fn resize_class(&mut self, class: usize, by: i64) {
        if class == 0 {
            return;
        }
        let objects = self.swap.zswap.classes[class];
        let now = objects.saturating_add_signed(by);
        self.swap.zswap.classes[class] = now;
        let (before, after) = (class_pages(class, objects), class_pages(class, now));
        for _ in before..after {
            let zone = self.take_pool_page();
            self.swap.zswap.zones.extend(zone);
            self.swap.zswap.stats.pool_pages += 1;
        }
        for _ in after..before {
            self.swap.zswap.stats.pool_pages -= 1;
            if let Some(zone) = self.swap.zswap.zones.pop() {
                self.free_to_zone(zone, 1);
            }
        }
    }

    /// Gives another group what an old one stored.
    pub(super) fn reparent_zswap(&mut self, from: u16, to: u16) {
        let zswap = &mut self.swap.zswap;
        let Some(lists) = &mut zswap.lists else { return };
        let (source, target) = (List(u32::from(from)), List(u32::from(to)));
        while let Some(slot) = lists.front(source) {
            lists.del(source, slot);
            lists.push_back(target, slot);
            zswap.owner[slot as usize] = to;
        }
        let moved = std::mem::take(&mut self.memcgs[from as usize].zswapped);
        self.memcgs[to as usize].zswapped += moved;
        self.memcgs[from as usize].zswap_bytes = 0;
    }

    /// The worker that was woken at the limit: writes entries to the device until the pool is at the
    /// threshold, a group after the other.
    pub(super) fn shrink_zswap(&mut self) {
        if !std::mem::take(&mut self.swap.zswap.needs_shrinking) {
            return;
        }
        let threshold = self.accept_limit();
        let mut failures = 0;
        while self.swap.zswap.stats.pool_pages > threshold && failures < MAX_FAILURES {
            let order = &self.subtrees[0];
            let last = order.iter().position(|memcg| *memcg == self.swap.zswap.last_shrunk);
            let next = order[(last.unwrap_or(0) + 1) % order.len()];
            self.swap.zswap.last_shrunk = next;
            if self.may_write_back(next) && self.write_back_oldest(next) {
                failures = 0;
            } else if next == 0 {
                failures += 1;
            }
        }
    }

    /// Writes a group's oldest entry that had its second chance; whether there was one.
    fn write_back_oldest(&mut self, memcg: u16) -> bool {
        let zswap = &mut self.swap.zswap;
        let Some(lists) = &mut zswap.lists else { return false };
        let list = List(u32::from(memcg));
        let nr = lists.len(list);
        for _ in 0..=nr {
            let Some(slot) = lists.back(list) else { return false };
            let state = &mut zswap.state[slot as usize];
            if *state & entry::REFERENCED != 0 {
                *state &= !entry::REFERENCED;
                lists.rotate(list, slot);
                continue;
            }
            self.zswap_drop(slot);
            self.swap.zswap.stats.written_back_pages += 1;
            self.count(memcg, Stat::pswpout, 1);
            if let Device::Disk { .. } = self.swap.device {
                self.now += self.config.costs.swap_write_ns;
            }
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_take_the_run_that_wastes_least() {
        // 2048 bytes: two in one page. 3264 and more: a page each but for runs that fit better.
        assert_eq!(run_of(2048 / 16), (2, 1));
        assert_eq!(run_of(4096 / 16), (1, 1));
        assert_eq!(class_pages(2048 / 16, 3), 2);
        let (fit, pages) = run_of(1360 / 16);
        assert!(fit * 1360 <= pages * 4096 && fit * 1360 * 100 >= pages * 4096 * 98);
    }

    #[test]
    fn sizes_follow_the_measured_distributions() {
        let share = |content: Content, most: u64| {
            let small = (0..100_000).filter(|page| content.bytes(1, *page) <= most).count();
            small as f64 / 1000.0
        };
        let near = |share: f64, percent: f64| (share - percent).abs() < 1.5;
        assert!(near(share(Content::Heap, 0), 4.5), "{}", share(Content::Heap, 0));
        assert!(near(share(Content::Heap, 1365), 72.0), "{}", share(Content::Heap, 1365));
        assert!(near(share(Content::Heap, 2048), 96.0));
        assert!(near(share(Content::Binary, 1365), 14.0));
        assert!(near(share(Content::Binary, 2048), 31.0));
        assert!(near(share(Content::Binary, 4095), 98.4));
    }
}
