//! Rows and events on disk until all pages are known.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use base::{MmId, Nanos};

use super::filter::RawRow;
use super::renumber::{Layout, Touched};
use crate::container::{Meta, Row, Summary, TraceWriter};
use crate::{Advice, Event, TraceError, Traffic};

const RECORD_BYTES: usize = 20;
const WRITE: u8 = 1;
const SEQUENTIAL: u8 = 2;
const COMPUTE: u8 = 16;
const SLEEP: u8 = 17;
const EVENT: u8 = 18;

/// An event that names raw pages.
#[derive(Clone, Debug)]
pub(super) enum RawEvent {
    Spawn(usize),
    Madvise(u16, Range<u64>, Advice),
}

/// Collects what the filters yield.
pub(super) struct Stage {
    file: BufWriter<File>,
    events: Vec<RawEvent>,
    touched: Vec<Touched>,
}

impl Stage {
    /// Opens a nameless file in the directory of the trace to be.
    pub(super) fn beside(out: &Path) -> Result<Self, TraceError> {
        let directory = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::tempfile_in(directory)
            .map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", directory.display())))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, events: Vec::new(), touched: Vec::new() })
    }

    fn touched(&mut self, space: u16) -> &mut Touched {
        let idx = usize::from(space);
        if self.touched.len() <= idx {
            self.touched.resize_with(idx + 1, Touched::default);
        }
        &mut self.touched[idx]
    }

    /// Whether any page of the range had traffic yet.
    pub(super) fn any_touched(&mut self, space: u16, pages: &Range<u64>) -> bool {
        self.touched(space).any_in(pages)
    }

    fn record(
        &mut self,
        value: u64,
        think: u32,
        thread: u16,
        space: u16,
        rest: [u8; 3],
    ) -> Result<(), TraceError> {
        let mut bytes = [0; RECORD_BYTES];
        bytes[0..8].copy_from_slice(&value.to_le_bytes());
        bytes[8..12].copy_from_slice(&think.to_le_bytes());
        bytes[12..14].copy_from_slice(&thread.to_le_bytes());
        bytes[14..16].copy_from_slice(&space.to_le_bytes());
        bytes[16..19].copy_from_slice(&rest);
        Ok(self.file.write_all(&bytes)?)
    }

    pub(super) fn row(&mut self, thread: u16, space: u16, row: &RawRow) -> Result<(), TraceError> {
        self.touched(space).insert(row.page);
        let flags = if row.write { WRITE } else { 0 } | if row.sequential { SEQUENTIAL } else { 0 };
        self.record(row.page, row.think_ns, thread, space, [flags, row.fills, row.evictions])
    }

    pub(super) fn compute(&mut self, thread: u16, ns: u64) -> Result<(), TraceError> {
        self.record(ns, 0, thread, 0, [COMPUTE, 0, 0])
    }

    pub(super) fn sleep(&mut self, thread: u16, ns: u64) -> Result<(), TraceError> {
        self.record(ns, 0, thread, 0, [SLEEP, 0, 0])
    }

    pub(super) fn event(&mut self, thread: u16, event: RawEvent) -> Result<(), TraceError> {
        let idx = self.events.len() as u64;
        self.events.push(event);
        self.record(idx, 0, thread, 0, [EVENT, 0, 0])
    }

    /// The pages each space touched, for [`Layout`].
    pub(super) fn take_touched(&mut self) -> Vec<Touched> {
        std::mem::take(&mut self.touched)
    }

    /// Writes the trace with pages numbered by `layouts`, one per space.
    pub(super) fn write(
        self,
        out: &Path,
        meta: Meta,
        layouts: &[Layout],
    ) -> Result<Summary, TraceError> {
        let mut writer = TraceWriter::create(out, meta)?;
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        let end = file.stream_position()?;
        file.seek(SeekFrom::Start(0))?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        for _ in 0..end / RECORD_BYTES as u64 {
            let mut bytes = [0; RECORD_BYTES];
            file.read_exact(&mut bytes)?;
            let [
                v0,
                v1,
                v2,
                v3,
                v4,
                v5,
                v6,
                v7,
                t0,
                t1,
                t2,
                t3,
                h0,
                h1,
                s0,
                s1,
                flags,
                fills,
                evictions,
                _,
            ] = bytes;
            let value = u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]);
            let thread = u16::from_le_bytes([h0, h1]);
            let space = u16::from_le_bytes([s0, s1]);
            match flags {
                COMPUTE => writer.event(thread, Event::Compute(Nanos(value)))?,
                SLEEP => writer.event(thread, Event::Sleep(Nanos(value)))?,
                EVENT => {
                    if let Some(event) = final_event(&self.events[value as usize], layouts) {
                        writer.event(thread, event)?;
                    }
                }
                _ => writer.push(&Row {
                    thread,
                    mm: MmId(space),
                    page: layouts[usize::from(space)].page(value),
                    traffic: Traffic::new(fills.into(), evictions.into(), flags & WRITE != 0),
                    think_ns: u32::from_le_bytes([t0, t1, t2, t3]),
                    sequential: flags & SEQUENTIAL != 0,
                    dependent: false,
                })?,
            }
        }
        writer.finish()
    }
}

/// The event with pages renumbered; `None` if none of its pages exist.
fn final_event(event: &RawEvent, layouts: &[Layout]) -> Option<Event> {
    match event {
        RawEvent::Spawn(thread) => Some(Event::Spawn(*thread)),
        RawEvent::Madvise(space, pages, advice) => {
            let pages = layouts[usize::from(*space)].range(pages)?;
            Some(Event::Madvise(MmId(*space), pages, *advice))
        }
    }
}
