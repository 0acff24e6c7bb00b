//! One row, and how the columns hold accesses and events.

use base::{MmId, Nanos};

use crate::{Event, Traffic};

/// One access of a recorded or generated trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Index of the thread.
    pub thread: u16,
    /// Space of the page.
    pub mm: MmId,
    /// Page in the space.
    pub page: u32,
    /// Lines moved and whether the page is written.
    pub traffic: Traffic,
    /// Time without memory traffic before it, in ns.
    pub think_ns: u32,
    /// Part of a run that prefetchers follow.
    pub sequential: bool,
    /// Its address came from the access before.
    pub dependent: bool,
}

/// Values of the column `op`: flags for accesses below [`op::EVENT`], kinds of events from there.
pub(super) mod op {
    /// The page is written.
    pub(in crate::container) const WRITE: u8 = 1;
    /// Prefetchers follow.
    pub(in crate::container) const SEQUENTIAL: u8 = 2;
    /// The address came from the access before.
    pub(in crate::container) const DEPENDENT: u8 = 4;
    /// An event of the side table; `page` is its index there.
    pub(in crate::container) const EVENT: u8 = 16;
    /// [`crate::Event::Sleep`], its value in `page` (high half) and `think` (low half).
    pub(in crate::container) const SLEEP: u8 = 17;
    /// [`crate::Event::Compute`], likewise.
    pub(in crate::container) const COMPUTE: u8 = 18;
    /// [`crate::Event::WorkDone`], likewise.
    pub(in crate::container) const WORK: u8 = 19;
}

/// The columns of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) thread: u16,
    pub(super) space: u16,
    pub(super) op: u8,
    pub(super) page: u32,
    pub(super) fills: u8,
    pub(super) evictions: u8,
    pub(super) think: u32,
}

impl Cells {
    pub(super) fn access(row: &Row) -> Self {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        Self {
            thread: row.thread,
            space: row.mm.0,
            op: flag(row.traffic.is_write(), op::WRITE)
                | flag(row.sequential, op::SEQUENTIAL)
                | flag(row.dependent, op::DEPENDENT),
            page: row.page,
            fills: row.traffic.fills() as u8,
            evictions: row.traffic.evictions() as u8,
            think: row.think_ns,
        }
    }

    pub(super) fn number(thread: u16, op: u8, value: u64) -> Self {
        Self { thread, op, page: (value >> 32) as u32, think: value as u32, ..Self::default() }
    }

    /// As hashed into the trace's digest.
    pub(super) fn bytes(&self) -> [u8; 15] {
        let mut bytes = [0; 15];
        bytes[0..2].copy_from_slice(&self.thread.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.space.to_le_bytes());
        bytes[4] = self.op;
        bytes[5..9].copy_from_slice(&self.page.to_le_bytes());
        bytes[9] = self.fills;
        bytes[10] = self.evictions;
        bytes[11..15].copy_from_slice(&self.think.to_le_bytes());
        bytes
    }
}

/// The event of a numbered kind; `None` for other kinds.
pub(super) fn numbered_event(op: u8, page: u32, think: u32) -> Option<Event> {
    let value = u64::from(page) << 32 | u64::from(think);
    match op {
        op::SLEEP => Some(Event::Sleep(Nanos(value))),
        op::COMPUTE => Some(Event::Compute(Nanos(value))),
        op::WORK => Some(Event::WorkDone(value)),
        _ => None,
    }
}
