//! A row group, checked and regrouped by thread.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use base::MmId;

use super::group::{Batch, Run};
use super::read::TraceFile;
use super::row::{numbered_event, op};
use crate::{Event, Points, TraceError, Traffic};

/// A row group in which each thread has its own pieces, in program order.
#[derive(Debug)]
pub(super) struct Chunk {
    threads: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Points(Arc<Points>),
    Event(Event),
}

/// Arrays of chunks that nobody uses any more, for those to come: new memory is cleared by the kernel,
/// page by page, which costs as much as decoding.
#[derive(Debug, Default)]
pub(super) struct Spare {
    numbers: Vec<Vec<u32>>,
    traffic: Vec<Vec<Traffic>>,
    /// That a row group was read into.
    file: Vec<u8>,
}

/// Elements of the least array that is kept, and what its room is a multiple of.
const SPARE_STEP: usize = 1 << 14;

impl Spare {
    /// Keeps a chunk's long arrays in place of those of another. That is as much as one chunk has.
    pub(super) fn keep(&mut self, chunk: Chunk) {
        *self = Self { file: std::mem::take(&mut self.file), ..Self::default() };
        for piece in chunk.threads.into_iter().flatten() {
            if let Piece::Points(points) = piece
                && points.page.len() >= SPARE_STEP
                && let Ok(points) = Arc::try_unwrap(points)
            {
                self.numbers.extend([points.page, points.think_ns]);
                self.traffic.push(points.traffic);
            }
        }
    }

    /// Keeps what decoding a row group has left over, but for arrays of rows.
    pub(super) fn keep_file(&mut self, other: Self) {
        self.file = other.file;
    }

    /// Empty arrays with room for so many accesses; of kept ones those that are at most twice as long.
    fn points(&mut self, rows: usize) -> Points {
        Points {
            page: with_room(&mut self.numbers, rows),
            traffic: with_room(&mut self.traffic, rows),
            think_ns: with_room(&mut self.numbers, rows),
            ..Points::default()
        }
    }
}

fn with_room<T>(spare: &mut Vec<Vec<T>>, rows: usize) -> Vec<T> {
    if rows < SPARE_STEP {
        return Vec::with_capacity(rows);
    }
    let fits = |array: &Vec<T>| (rows..=2 * rows).contains(&array.capacity());
    match spare.iter().position(fits) {
        Some(at) => {
            let mut array = spare.swap_remove(at);
            array.clear();
            array
        }
        None => Vec::with_capacity(rows.next_multiple_of(SPARE_STEP)),
    }
}

impl Chunk {
    /// Decodes a row group, checks every value and regroups the rows by thread; `look` sees all
    /// rows on the way.
    pub(super) fn new(
        file: &TraceFile,
        group: usize,
        spare: &mut Spare,
        mut look: impl FnMut(&Batch, &Run, Range<usize>),
    ) -> Result<Self, TraceError> {
        let (mut reader, runs) = file.open_group(group, std::mem::take(&mut spare.file))?;
        let bad = |(row, what)| file.damaged(group, &format!("row {row}: {what}"));
        let mut builders = builders(file, &runs).map_err(bad)?;
        let mut runs = runs.into_iter();
        let mut run = Run::default();
        let mut first = 0;
        while let Some(batch) = reader.next()? {
            let rows = batch.op.len();
            let mut row = 0;
            while row < rows {
                if run.rows == 0 {
                    let Some(next) = runs.next() else { break };
                    run = next;
                }
                let end = rows.min(row + run.rows as usize);
                let builder = &mut builders[usize::from(run.thread)];
                builder
                    .take(file, spare, &batch, &run, row..end)
                    .map_err(|e| bad((first + row, e)))?;
                look(&batch, &run, row..end);
                run.rows -= (end - row) as u32;
                row = end;
            }
            first += rows;
        }
        spare.file = reader.into_array().unwrap_or_default();
        Ok(Self { threads: builders.into_iter().map(Builder::finish).collect() })
    }

    /// A thread's piece, while there are any.
    pub(super) fn piece(&self, thread: usize, idx: usize) -> Option<&Piece> {
        self.threads[thread].get(idx)
    }
}

/// Checks runs and says to each thread's builder what will come. An error comes with its row.
fn builders(file: &TraceFile, runs: &[Run]) -> Result<Vec<Builder>, (usize, String)> {
    let meta = file.meta();
    let mut builders: Vec<Builder> = meta.threads.iter().map(|_| Builder::default()).collect();
    let mut row = 0;
    for run in runs {
        let (thread, space, kind) = (run.thread, run.space, run.kind);
        let bad = |what: String| (row, what);
        let nr_threads = meta.threads.len();
        let builder = builders
            .get_mut(usize::from(thread))
            .ok_or_else(|| bad(format!("thread {thread}, expected one of {nr_threads}")))?;
        if kind >= op::EVENT {
            builder.planned = None;
        } else if meta.spaces.get(MmId(space)).is_none() {
            return Err(bad(format!("space {space}, expected one of {}", meta.spaces.len())));
        } else if kind >= 8 {
            return Err(bad(format!("op {kind} is unknown")));
        } else {
            builder.plan((MmId(space), kind), run.rows as usize);
        }
        row += run.rows as usize;
    }
    Ok(builders)
}

/// Checks the pages of a run as a whole; the first row that is wrong need not be named exactly. That
/// lines are few enough is seen to when they are decoded.
fn check_pages(page: &[u32], nr_pages: u64) -> Result<(), String> {
    // Quicker than the largest: some sign bit is set when a page is beyond the last, or 2^31.
    let last = i32::try_from(nr_pages.saturating_sub(1)).unwrap_or(i32::MAX);
    let signs = page.iter().map(|page| *page as i32);
    let signs = signs.fold(0, |any, page| any | page | last.wrapping_sub(page));
    let largest = || page.iter().fold(0, |most, page| most.max(*page));
    if (signs < 0 || nr_pages == 0) && u64::from(largest()) >= nr_pages {
        let page = largest();
        return Err(format!("page {page} at or after it, expected less than {nr_pages}"));
    }
    Ok(())
}

fn event(file: &TraceFile, batch: &Batch, row: usize) -> Result<Event, String> {
    let (kind, page, think) = (batch.op[row], batch.page[row], batch.think[row]);
    if kind == op::EVENT {
        let found = file.events().get(page as usize).cloned();
        return found
            .ok_or_else(|| format!("event {page}, expected one of {}", file.events().len()));
    }
    numbered_event(kind, page, think).ok_or_else(|| format!("op {kind} is unknown"))
}

/// What accesses of one piece have in common: space and flags.
type Key = (MmId, u8);

/// Collects one thread's pieces of a chunk.
#[derive(Default)]
struct Builder {
    pieces: Vec<Piece>,
    open: Points,
    /// Of the open piece.
    key: Key,
    /// Accesses of the pieces to come, so that none is moved while it grows.
    lengths: VecDeque<usize>,
    /// Key of the last of those, unless an event follows it.
    planned: Option<Key>,
}

impl Builder {
    /// Accesses will come.
    fn plan(&mut self, key: Key, rows: usize) {
        match self.lengths.back_mut() {
            Some(last) if self.planned == Some(key) => *last += rows,
            _ => self.lengths.push_back(rows),
        }
        self.planned = Some(key);
    }

    /// Takes rows of a run, which [`builders`] has checked.
    fn take(
        &mut self,
        file: &TraceFile,
        spare: &mut Spare,
        batch: &Batch,
        run: &Run,
        rows: Range<usize>,
    ) -> Result<(), String> {
        if run.kind >= op::EVENT {
            self.close();
            self.pieces.push(Piece::Event(event(file, batch, rows.start)?));
            return Ok(());
        }
        let mm = MmId(run.space);
        let page = &batch.page[rows.clone()];
        check_pages(page, file.meta().spaces[mm].nr_pages.0)?;
        if self.key != (mm, run.kind) {
            self.close();
            self.key = (mm, run.kind);
        }
        if self.open.page.is_empty() {
            self.open = spare.points(self.lengths.pop_front().unwrap_or_default());
        }
        let open = &mut self.open;
        open.page.extend_from_slice(page);
        open.think_ns.extend_from_slice(&batch.think[rows.clone()]);
        let lines = batch.fills[rows.clone()].iter().zip(&batch.evictions[rows.clone()]);
        open.traffic.extend(lines.zip(&batch.op[rows]).map(|((fills, evictions), kind)| {
            Traffic::new(u16::from(*fills), u16::from(*evictions), kind & op::WRITE != 0)
        }));
        Ok(())
    }

    fn close(&mut self) {
        if self.open.page.is_empty() {
            return;
        }
        let mut points = std::mem::take(&mut self.open);
        points.mm = self.key.0;
        points.sequential = self.key.1 & op::SEQUENTIAL != 0;
        points.dependent = self.key.1 & op::DEPENDENT != 0;
        self.pieces.push(Piece::Points(Arc::new(points)));
    }

    fn finish(mut self) -> Vec<Piece> {
        self.close();
        self.pieces
    }
}
