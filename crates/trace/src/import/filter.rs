//! From a thread's accesses to its rows.
//!
//! Lines that reach memory are gathered by page: a row stays open while its page is one of the last
//! [`OPEN_PAGES`] that had traffic, so a copy from one page to another makes two rows and not 128.
//! Order within these pages is lost; think time is charged to the row during whose opening it had
//! accrued, and its sum is exact.
//!
//! A written-back line counts for the row whose access pushed it out, not for the page it belongs
//! to: that page is not accessed at that time, and a row of its own would set its accessed bit or
//! fault it in again after it was freed. Traffic in total is exact, but a written-back line crosses
//! to the node of the page that pushed it out. A store that makes a clean line dirty marks its
//! page's row as a write and opens one without lines if none is open, so that a page first read and
//! later written in the caches is not taken for read-only.

use std::collections::VecDeque;

use topology::Caches;

use super::stage::Stage;
use crate::TraceError;
use crate::cache::Hierarchy;

/// Rows that are open at a time.
const OPEN_PAGES: usize = 8;
/// Rows that are judged together as to whether prefetchers follow.
const BLOCK_ROWS: usize = 256;
/// Filled lines that a next one may follow.
const RECENT_LINES: usize = 16;
/// Most lines of a row in either direction.
const MOST_LINES: u8 = 127;

/// A row before its page is renumbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RawRow {
    pub(super) page: u64,
    pub(super) think_ns: u32,
    pub(super) fills: u8,
    pub(super) evictions: u8,
    pub(super) write: bool,
    pub(super) sequential: bool,
}

/// What passed through a filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) fills: u64,
    pub(super) evictions: u64,
}

/// One thread's caches and open rows.
pub(super) struct Filter {
    thread: u16,
    space: u16,
    caches: Hierarchy,
    open: VecDeque<RawRow>,
    block: Vec<RawRow>,
    recent: VecDeque<u64>,
    /// Filled lines of the block, and those that followed a recent one.
    block_fills: u64,
    followed: u64,
    sequential: bool,
    ps_per_instruction: u64,
    /// Time not yet charged to a row, in ps.
    pending_ps: u64,
    pub(super) counts: Counts,
}

impl Filter {
    pub(super) fn new(
        thread: u16,
        space: u16,
        caches: &Caches,
        ps_per_instruction: u64,
    ) -> Result<Self, TraceError> {
        Ok(Self {
            thread,
            space,
            caches: Hierarchy::new(caches).map_err(TraceError::Invalid)?,
            open: VecDeque::new(),
            block: Vec::new(),
            recent: VecDeque::new(),
            block_fills: 0,
            followed: 0,
            sequential: false,
            ps_per_instruction,
            pending_ps: 0,
            counts: Counts::default(),
        })
    }

    /// Instructions ran.
    pub(super) fn instructions(&mut self, nr: u64) {
        let ps = nr.saturating_mul(self.ps_per_instruction);
        self.pending_ps = self.pending_ps.saturating_add(ps);
    }

    /// Touches a line (address / 64).
    pub(super) fn access(
        &mut self,
        line: u64,
        write: bool,
        out: &mut Stage,
    ) -> Result<(), TraceError> {
        let outcome = self.caches.access(line, write);
        if !outcome.filled && outcome.evictions == 0 && !outcome.dirtied {
            return Ok(());
        }
        if outcome.filled {
            self.follow(line);
        }
        let (fills, evictions) = (u32::from(outcome.filled), outcome.evictions);
        self.traffic(line >> 6, fills, evictions, outcome.dirtied, out)
    }

    /// Lines move for a page without a look at the caches.
    pub(super) fn traffic(
        &mut self,
        page: u64,
        fills: u32,
        evictions: u32,
        write: bool,
        out: &mut Stage,
    ) -> Result<(), TraceError> {
        self.counts.fills += u64::from(fills);
        self.counts.evictions += u64::from(evictions);
        let (fills, evictions) = (fills.min(127) as u8, evictions.min(127) as u8);
        let room = |row: &RawRow| {
            row.page == page
                && row.fills <= MOST_LINES - fills
                && row.evictions <= MOST_LINES - evictions
        };
        if let Some(row) = self.open.iter_mut().rev().find(|row| room(row)) {
            row.fills += fills;
            row.evictions += evictions;
            row.write |= write;
            return Ok(());
        }
        if self.open.len() == OPEN_PAGES {
            self.close_oldest(out)?;
        }
        let think_ns = self.take_think(out)?;
        self.open.push_back(RawRow { page, think_ns, fills, evictions, write, sequential: false });
        Ok(())
    }

    /// Whole nanoseconds not yet charged; more than a row holds becomes an event of its own.
    fn take_think(&mut self, out: &mut Stage) -> Result<u32, TraceError> {
        let ns = self.pending_ps / 1000;
        self.pending_ps %= 1000;
        match u32::try_from(ns) {
            Ok(ns) => Ok(ns),
            Err(_) => {
                self.flush(out)?;
                out.compute(self.thread, ns)?;
                Ok(0)
            }
        }
    }

    fn follow(&mut self, line: u64) {
        self.block_fills += 1;
        let follows = |recent: &u64| line.abs_diff(*recent) <= 2;
        if self.recent.iter().any(follows) {
            self.followed += 1;
        }
        if self.recent.len() == RECENT_LINES {
            self.recent.pop_front();
        }
        self.recent.push_back(line);
    }

    fn close_oldest(&mut self, out: &mut Stage) -> Result<(), TraceError> {
        if let Some(row) = self.open.pop_front() {
            self.block.push(row);
        }
        if self.block.len() >= BLOCK_ROWS { self.end_block(out) } else { Ok(()) }
    }

    fn end_block(&mut self, out: &mut Stage) -> Result<(), TraceError> {
        // A few rows say little: they keep what was found before.
        if self.block.len() >= BLOCK_ROWS / 4 {
            self.sequential = self.followed * 2 > self.block_fills;
        }
        (self.block_fills, self.followed) = (0, 0);
        for mut row in self.block.drain(..) {
            row.sequential = self.sequential;
            out.row(self.thread, self.space, &row)?;
        }
        Ok(())
    }

    /// Writes all rows, so that an event may follow.
    pub(super) fn flush(&mut self, out: &mut Stage) -> Result<(), TraceError> {
        while !self.open.is_empty() {
            self.close_oldest(out)?;
        }
        self.end_block(out)
    }

    /// Writes all rows and the time after them.
    pub(super) fn settle(&mut self, out: &mut Stage) -> Result<(), TraceError> {
        self.flush(out)?;
        let ns = self.pending_ps / 1000;
        self.pending_ps %= 1000;
        if ns > 0 { out.compute(self.thread, ns) } else { Ok(()) }
    }

    /// Pages were freed: their lines are gone.
    pub(super) fn forget(&mut self, pages: &std::ops::Range<u64>) {
        self.caches.forget(pages.start << 6..pages.end << 6);
    }
}
