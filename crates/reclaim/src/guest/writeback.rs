//! Dirty file pages, the flusher, disks of limited throughput, and writers that are held.
//!
//! A simple form of Linux's: the flusher writes while more than the background limit is dirty, when
//! pages are old, or when reclaim met nothing but dirty pages; a writer waits at the hard limits of
//! the machine, and at its group's by statistics that may be two seconds old. Where a file begins as
//! a hole, ext4 gives pages their blocks when it writes them, one extent at a time, and the pages of
//! an extent end their write together, when its blocks are marked as written; later writes of these
//! pages end one by one. Left out: rate estimates and positional feedback of `balance_dirty_pages`,
//! the CPU time of the flusher, and which group's flusher has the file.

use std::collections::{BTreeSet, VecDeque};

use super::beside::TICK_NS as JIFFY_NS;
use super::stat::Stat;
use super::state::{Folio, Guest, NONE, flag, pte};

/// A throttled disk's tick, ns.
const TICK_NS: u64 = 20_000_000;
/// Pages of a request.
const REQUEST_PAGES: u64 = 32;
/// How long a held writer sleeps before it looks again, ns.
const PAUSE_NS: u64 = 10_000_000;
/// Pages of an extent at most: what ext4 maps at once.
const EXTENT_PAGES: usize = 2048;
/// Longest pause, jiffies (200 ms).
const MAX_PAUSE: u64 = 50;
/// What the kernel takes a disk for before it has measured it, pages a second (100 MB/s).
const INITIAL_BANDWIDTH: u64 = 25_600;
/// Parts of a second that pauses are counted in: 250 ticks / 8, up to a power of two.
const PAUSE_SHARE: u64 = 32;
/// Dirty pages of a group that its writer need not wait for: what counters per CPU may be off by.
const STAT_ERROR: u64 = 8;
/// Longest that a writer is held at once, ns.
const MAX_HELD_NS: u64 = 60_000_000_000;

/// Limits of dirty pages and the disk that file pages go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirtyKnobs {
    /// vm.dirty_background_bytes, in pages; 0 to use the ratio.
    pub background_pages: u64,
    /// vm.dirty_bytes, in pages; 0 to use the ratio.
    pub limit_pages: u64,
    /// vm.dirty_background_ratio.
    pub background_ratio: u64,
    /// vm.dirty_ratio.
    pub ratio: u64,
    /// vm.dirty_expire_centisecs, in ns.
    pub expire_ns: u64,
    /// vm.dirty_writeback_centisecs, in ns.
    pub interval_ns: u64,
    /// Bytes a second that the disk takes; 0 for no limit.
    pub disk_mbps: u64,
    /// Requests that the disk takes at once.
    pub disk_depth: u64,
    /// Files begin as holes, whose pages get blocks when they are written.
    pub delayed_allocation: bool,
}

/// Dirty file pages in order of their dirtying, and what the disk has.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) knobs: DirtyKnobs,
    queue: VecDeque<(u32, u64)>,
    in_flight: VecDeque<Write>,
    /// Written pages of an extent that is not written yet.
    ended: Vec<u32>,
    /// Pages that have blocks, by object and index.
    allocated: BTreeSet<(u32, u32)>,
    next_tick: u64,
    next_wake: u64,
    /// Writes everything dirtied up to then.
    flush_until: u64,
    over_background: bool,
    pub(super) nr_dirty: i64,
    pub(super) nr_writeback: i64,
}

/// A page that the disk has.
#[derive(Clone, Copy, Debug)]
struct Write {
    folio: u32,
    /// Its write ends with the one behind it.
    is_inner: bool,
}

impl Guest {
    /// Sets limits and the disk.
    pub fn set_dirty_knobs(&mut self, knobs: DirtyKnobs) {
        self.dirty.knobs = knobs;
        self.dirty.next_wake = self.now + knobs.interval_ns;
    }

    /// Counts a folio that went under writeback or came out of it.
    pub(super) fn note_writeback(&mut self, folio: u32, sign: i64) {
        let nr = sign * i64::from(self.folios[folio].nr);
        if self.folios.kind(folio) == 1 {
            let memcg = self.folios[folio].memcg as usize;
            self.memcgs[memcg].writeback += nr;
            self.dirty.nr_writeback += nr;
        }
    }

    /// Whether any write is in flight or about to be.
    pub(super) fn has_writes(&self) -> bool {
        !self.writes.is_empty()
            || !self.plug.is_empty()
            || !self.dirty.in_flight.is_empty()
            || self.dirty.nr_dirty > 0
    }

    /// Ends the writes that are due, and lets the flusher go on.
    #[inline]
    pub(super) fn finish_writes(&mut self) {
        self.end_due_writes();
        if self.dirty.nr_dirty > 0 || !self.dirty.in_flight.is_empty() {
            self.flush_dirty();
        }
    }

    /// Ends the swap writes that are due.
    #[inline]
    pub(super) fn end_due_writes(&mut self) {
        if !self.writes.is_empty() {
            self.end_first_writes();
        }
    }

    fn end_first_writes(&mut self) {
        while let Some((key, folio)) =
            self.writes.first_key_value().map(|(key, folio)| (*key, *folio))
        {
            if key.0 > self.now {
                break;
            }
            self.writes.remove(&key);
            self.end_write(folio);
        }
    }

    fn end_write(&mut self, folio: u32) {
        self.folios.clear(folio, flag::WRITEBACK);
        self.note_writeback(folio, -1);
        if self.folios.kind(folio) == 1 {
            self.vm[Stat::nr_written] += 1;
        }
        if self.folios.take(folio, flag::RECLAIM) {
            self.queue_rotation(folio);
        }
    }

    /// Notes that a file's page differs from the disk's.
    pub(super) fn dirty_file_page(&mut self, folio: u32) {
        if self.folios.kind(folio) == 0 || self.folios.has(folio, flag::DIRTY) {
            return;
        }
        self.folios.set(folio, flag::DIRTY);
        let memcg = self.folios[folio].memcg as usize;
        self.memcgs[memcg].dirty += 1;
        self.dirty.nr_dirty += 1;
        self.vm[Stat::nr_dirtied] += 1;
        self.dirty.queue.push_back((folio, self.now));
    }

    fn limits(&self) -> (u64, u64) {
        let knobs = &self.dirty.knobs;
        let free: u64 = self.zones.iter().map(|zone| zone.free).sum();
        let file =
            (0..self.nr_nodes()).map(|node| self.node_list(node, 2) + self.node_list(node, 3));
        let usable = free + file.sum::<u64>();
        let pick = |pages: u64, ratio: u64| if pages > 0 { pages } else { usable * ratio / 100 };
        (pick(knobs.background_pages, knobs.background_ratio), pick(knobs.limit_pages, knobs.ratio))
    }

    /// A group's dirty pages and hard limit, by statistics that may be old.
    fn group_over(&self, memcg: u16, ratio: u64) -> bool {
        let group = &self.memcgs[memcg as usize];
        if memcg == 0 || group.max == u64::MAX {
            return false;
        }
        let usable = group.stale_file.max(0) as u64 + group.max.saturating_sub(group.usage);
        group.stale_dirty.max(0) as u64 > usable * ratio / 100
    }

    /// The flusher's and the disk's work up to now.
    fn flush_dirty(&mut self) {
        let (background, _) = self.limits();
        let knobs = self.dirty.knobs;
        if self.now >= self.dirty.next_wake {
            self.dirty.next_wake = self.now + knobs.interval_ns.max(1);
            self.dirty.flush_until =
                self.dirty.flush_until.max(self.now.saturating_sub(knobs.expire_ns));
        }
        let group_dirty = (1..self.memcgs.len() as u16)
            .any(|memcg| self.group_over(memcg, knobs.background_ratio));
        self.dirty.over_background = self.dirty.nr_dirty.max(0) as u64 > background || group_dirty;
        self.dispatch();
        if knobs.disk_mbps == 0 {
            while self.end_disk_write() {}
            return;
        }
        if self.dirty.next_tick + 50 * TICK_NS < self.now && self.dirty.in_flight.is_empty() {
            self.dirty.next_tick = self.now;
        }
        // A request that does not fit into what is left of a tick waits for the next one.
        let bytes = knobs.disk_mbps * ((1 << 20) / 50);
        let pages = (bytes / (REQUEST_PAGES * 4096)).max(1) * REQUEST_PAGES;
        while self.dirty.next_tick <= self.now {
            self.dirty.next_tick += TICK_NS;
            for _ in 0..pages {
                if !self.end_disk_write() {
                    break;
                }
            }
            self.dispatch();
        }
    }

    /// The disk is done with a page; false if it has none.
    fn end_disk_write(&mut self) -> bool {
        let Some(write) = self.dirty.in_flight.pop_front() else { return false };
        self.dirty.ended.push(write.folio);
        if !write.is_inner {
            let ended = std::mem::take(&mut self.dirty.ended);
            ended.iter().for_each(|folio| self.end_write(*folio));
        }
        true
    }

    /// Hands dirty pages to the disk while the flusher has reason to and the disk has room.
    fn dispatch(&mut self) {
        let room = self.dirty.knobs.disk_depth.max(1) * REQUEST_PAGES;
        while (self.dirty.in_flight.len() as u64) < room {
            let Some((folio, dirtied)) = self.dirty.queue.front().copied() else { break };
            let stale = self.folios[folio].object == NONE || !self.folios.has(folio, flag::DIRTY);
            if stale {
                self.dirty.queue.pop_front();
                continue;
            }
            if !self.dirty.over_background && dirtied > self.dirty.flush_until {
                break;
            }
            self.dirty.queue.pop_front();
            if self.folios.has(folio, flag::WRITEBACK) {
                self.dirty.queue.push_back((folio, dirtied));
                break;
            }
            if !self.start_extent(folio) {
                self.start_write(folio, false);
            }
        }
    }

    /// Writes a page without blocks, and the dirty ones behind it that have none either.
    fn start_extent(&mut self, first: u32) -> bool {
        let (object, from) = (self.folios[first].object, self.folios[first].index);
        if !self.dirty.knobs.delayed_allocation || self.dirty.allocated.contains(&(object, from)) {
            return false;
        }
        let pages = &self.objects[object as usize].pages[from as usize..];
        let extent: Vec<u32> = pages
            .iter()
            .zip(from..)
            .take(EXTENT_PAGES)
            .map(|(page, index)| (page.folio(), index))
            .take_while(|(folio, index)| {
                *folio != NONE
                    && self.folios.has(*folio, flag::DIRTY)
                    && !self.folios.has(*folio, flag::WRITEBACK)
                    && !self.dirty.allocated.contains(&(object, *index))
            })
            .map(|(folio, _)| folio)
            .collect();
        let last = extent.len().saturating_sub(1);
        for (place, folio) in extent.into_iter().enumerate() {
            self.dirty.allocated.insert((object, from + place as u32));
            self.start_write(folio, place < last);
        }
        true
    }

    fn start_write(&mut self, folio: u32, is_inner: bool) {
        self.clean_page(folio);
        self.folios.set(folio, flag::WRITEBACK);
        self.note_writeback(folio, 1);
        self.protect_all(folio);
        self.dirty.in_flight.push_back(Write { folio, is_inner });
    }

    /// Forgets a write under way of a page that is freed.
    pub(super) fn forget_write(&mut self, folio: u32) {
        if self.folios.take(folio, flag::WRITEBACK) {
            self.note_writeback(folio, -1);
            let in_flight = &mut self.dirty.in_flight;
            if let Some(place) = in_flight.iter().position(|write| write.folio == folio) {
                let gone = in_flight.remove(place);
                let ends = gone.is_some_and(|write| !write.is_inner);
                if let Some(before) = place.checked_sub(1).and_then(|at| in_flight.get_mut(at)) {
                    before.is_inner &= !ends;
                }
            }
            self.dirty.ended.retain(|other| *other != folio);
        }
    }

    pub(super) fn clean_page(&mut self, folio: u32) {
        self.folios.clear(folio, flag::DIRTY);
        let memcg = self.folios[folio].memcg as usize;
        self.memcgs[memcg].dirty -= 1;
        self.dirty.nr_dirty -= 1;
    }

    /// Reclaim met only dirty pages that nobody writes: the flusher writes all there are.
    pub(super) fn wake_flusher(&mut self) {
        self.dirty.flush_until = self.now;
    }

    /// Holds a writer while too much is dirty.
    pub(super) fn balance_dirty(&mut self, memcg: u16) {
        let knobs = self.dirty.knobs;
        if self.dirty.nr_dirty + self.dirty.nr_writeback == 0 {
            return;
        }
        let mut held = 0;
        loop {
            let (_, limit) = self.limits();
            let all = (self.dirty.nr_dirty + self.dirty.nr_writeback).max(0) as u64;
            let over = self.group_over(memcg, knobs.ratio);
            if (all < limit && !over) || held >= MAX_HELD_NS {
                return;
            }
            let group = &self.memcgs[memcg as usize];
            let of_group = (group.dirty + group.writeback).max(0) as u64;
            let pause = if over { self.group_pause(of_group) } else { PAUSE_NS };
            held += pause;
            self.sleep(pause);
            self.flush_if_due();
            self.finish_writes();
            // Nothing is left to wait for: the group is over its limit by old statistics only.
            if over && all < limit && of_group <= STAT_ERROR {
                return;
            }
        }
    }

    /// How long a writer of a group over its limit sleeps, ns: an eighth of the time that the disk takes
    /// for the group's dirty pages, in jiffies; the timer fires with the tick after the last one.
    pub(super) fn group_pause(&self, of_group: u64) -> u64 {
        let disk = self.dirty.knobs.disk_mbps;
        let pages_per_s = if disk == 0 { INITIAL_BANDWIDTH } else { disk << 8 };
        let jiffies = of_group / (1 + pages_per_s / PAUSE_SHARE) + 1;
        let tick = (self.now / JIFFY_NS + 1) * JIFFY_NS;
        tick + jiffies.min(MAX_PAUSE) * JIFFY_NS - self.now
    }

    /// Waits for a page of a file to be read from the disk: behind the writes of the present tick, if
    /// there are any.
    pub(super) fn wait_for_read(&mut self, folio: u32) {
        let Folio { object, index, .. } = self.folios[folio];
        let is_busy = self.dirty.knobs.disk_mbps > 0 && !self.dirty.in_flight.is_empty();
        if is_busy && self.dirty.allocated.contains(&(object, index)) {
            self.folios.set(folio, flag::LOCKED);
            self.sleep(self.dirty.next_tick.saturating_sub(self.now));
            self.finish_writes();
            self.folios.clear(folio, flag::LOCKED);
        }
    }

    /// Write-protects a page in all mappings, so that the next store is noticed.
    fn protect_all(&mut self, folio: u32) {
        let object = self.folios[folio].object as usize;
        let index = self.folios[folio].index as usize;
        for place in 0..self.objects[object].vmas.len() {
            let vma = self.objects[object].vmas[place] as usize;
            if let Some(entry) = self.vmas[vma].ptes.get_mut(index)
                && *entry & pte::PRESENT != 0
            {
                *entry |= pte::PROTECTED;
                self.forget_dirty(vma, index);
            }
        }
    }
}
