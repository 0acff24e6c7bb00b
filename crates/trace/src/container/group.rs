//! The rows of one row group: first what they are, in runs, then the other columns batch by batch.

use std::sync::Arc;

use super::column::{Column, Place, Value, Window};
use super::read::TraceFile;
use super::row::{Cells, op};
use crate::TraceError;

/// Rows decoded at a time: their columns stay in a core's own cache.
const BATCH_ROWS: usize = 1 << 12;
/// Values of `thread` and `space` decoded at a time where they are not stored as runs.
const RUN_BATCH: usize = 64;

/// A row group whose checksum holds.
pub(super) struct GroupReader<'a> {
    file: &'a TraceFile,
    group: usize,
    window: Arc<Window>,
    rows: usize,
    /// Rows before the next batch.
    done: usize,
    op: Column<'a, u8>,
    page: Column<'a, u32>,
    fills: Column<'a, u8>,
    evictions: Column<'a, u8>,
    think: Column<'a, u32>,
}

/// Consecutive rows of one thread, space and kind, or one event.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    pub(super) rows: u32,
    pub(super) thread: u16,
    pub(super) space: u16,
    /// Of accesses without [`op::WRITE`].
    pub(super) kind: u8,
}

/// The other columns of some rows, of equal length.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) op: &'a [u8],
    pub(super) page: &'a [u32],
    pub(super) fills: &'a [u8],
    pub(super) evictions: &'a [u8],
    pub(super) think: &'a [u32],
}

impl<'a> GroupReader<'a> {
    pub(super) fn new(
        file: &'a TraceFile,
        group: usize,
        window: Window,
    ) -> Result<(Self, Vec<Run>), TraceError> {
        let window = Arc::new(window);
        let rows = file.group_rows(group) as usize;
        let place = |idx: usize| Place {
            window: Arc::clone(&window),
            chunk: file.parquet().row_group(group).column(idx),
            descriptor: file.parquet().file_metadata().schema_descr().column(idx),
            rows,
        };
        let mut reader = Self {
            file,
            group,
            window: Arc::clone(&window),
            rows,
            done: 0,
            op: column(file, group, 2, place, rows)?,
            page: column(file, group, 3, place, BATCH_ROWS)?,
            fills: column(file, group, 4, place, BATCH_ROWS)?,
            evictions: column(file, group, 5, place, BATCH_ROWS)?,
            think: column(file, group, 6, place, BATCH_ROWS)?,
        };
        let thread = column(file, group, 0, place, RUN_BATCH)?;
        let space = column(file, group, 1, place, RUN_BATCH)?;
        let runs = reader.runs(thread, space)?;
        Ok((reader, runs))
    }

    /// Goes through the columns that say what rows are.
    fn runs(
        &mut self,
        mut thread: Column<u16>,
        mut space: Column<u16>,
    ) -> Result<Vec<Run>, TraceError> {
        let (file, group) = (self.file, self.group);
        self.op.next(self.rows).map_err(|what| file.damaged_column(group, 2, &what))?;
        let mut ops = self.op.batch();
        let mut runs: Vec<Run> = Vec::new();
        let ((mut owner, mut owned), (mut mm, mut mapped)) = ((0, 0), (0, 0));
        while !ops.is_empty() {
            if owned == 0 {
                let run = thread.run(ops.len());
                (owner, owned) = run.map_err(|what| file.damaged_column(group, 0, &what))?;
            }
            if mapped == 0 {
                let run = space.run(ops.len());
                (mm, mapped) = run.map_err(|what| file.damaged_column(group, 1, &what))?;
            }
            let (kind, rows) = same_kind(&ops[..owned.min(mapped)]);
            match runs.last_mut() {
                Some(last)
                    if kind < op::EVENT
                        && (last.thread, last.space, last.kind) == (owner, mm, kind) =>
                {
                    last.rows += rows as u32;
                }
                _ => runs.push(Run { rows: rows as u32, thread: owner, space: mm, kind }),
            }
            (owned, mapped) = (owned - rows, mapped - rows);
            ops = &ops[rows..];
        }
        Ok(runs)
    }

    /// Ends reading; gives back the array that the row group was read into.
    pub(super) fn into_array(self) -> Option<Vec<u8>> {
        let window = Arc::clone(&self.window);
        drop(self);
        Arc::into_inner(window).and_then(Window::into_array)
    }

    /// Decodes the next rows; `None` when there are no more.
    pub(super) fn next(&mut self) -> Result<Option<Batch<'_>>, TraceError> {
        let rows = (self.rows - self.done).min(BATCH_ROWS);
        if rows == 0 {
            return Ok(None);
        }
        let op = &self.op.batch()[self.done..self.done + rows];
        self.done += rows;
        let decoded = [
            self.page.next(rows),
            self.fills.next(rows),
            self.evictions.next(rows),
            self.think.next(rows),
        ];
        for (idx, result) in (3..).zip(decoded) {
            result.map_err(|what| self.file.damaged_column(self.group, idx, &what))?;
        }
        Ok(Some(Batch {
            op,
            page: self.page.batch(),
            fills: self.fills.batch(),
            evictions: self.evictions.batch(),
            think: self.think.batch(),
        }))
    }
}

impl Batch<'_> {
    /// A row that belongs to a run.
    pub(super) fn cells(&self, run: &Run, row: usize) -> Cells {
        Cells {
            thread: run.thread,
            space: run.space,
            op: self.op[row],
            page: self.page[row],
            fills: self.fills[row],
            evictions: self.evictions[row],
            think: self.think[row],
        }
    }
}

fn column<'a, T: Value>(
    file: &TraceFile,
    group: usize,
    idx: usize,
    place: impl Fn(usize) -> Place<'a>,
    most: usize,
) -> Result<Column<'a, T>, TraceError> {
    Column::new(place(idx), most).map_err(|what| file.damaged_column(group, idx, &what))
}

/// The kind of the first row and how many rows from there have it. Each event is one of its own.
fn same_kind(ops: &[u8]) -> (u8, usize) {
    const LANES: usize = 16;
    let Some(first) = ops.first().copied() else { return (0, 0) };
    if first >= op::EVENT {
        return (first, 1);
    }
    let differs = |other: u8| (other ^ first) & !op::WRITE;
    // Many rows at once, as vectors, until some of them differ.
    let (chunks, _) = ops.as_chunks::<LANES>();
    let is_same = |chunk: &&[u8; LANES]| chunk.iter().fold(0, |any, op| any | differs(*op)) == 0;
    let start = chunks.iter().take_while(is_same).count() * LANES;
    let more = ops[start..].iter().take_while(|op| differs(**op) == 0).count();
    (first & !op::WRITE, start + more)
}
