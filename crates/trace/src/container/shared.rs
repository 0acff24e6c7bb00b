//! Decoding once for any number of runs.
//!
//! A row group becomes a chunk in which each thread has its own pieces, in program order: arrays
//! of accesses and events. Runs share chunks; a budget bounds what stays decoded. Threads of their
//! own may decode chunks ahead of the runs; what a run sees does not depend on it, and damage is
//! reported to whoever comes to it.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread;

use base::Bytes;

use super::chunk::{Chunk, Piece, Spare};
use super::read::TraceFile;
use crate::{Step, Thread, ThreadStream, TraceError, Workload};

/// Decoded bytes that stay in memory unless the caller says otherwise: 200 M rows.
pub const DEFAULT_BUDGET: Bytes = Bytes::from_gib(2);

/// Bytes of a decoded row: page, traffic, think time.
const ROW_BYTES: u64 = 10;

/// A trace whose decoded chunks are shared by all workloads made from it.
#[derive(Clone)]
pub struct SharedTrace {
    inner: Arc<Inner>,
    /// How often started threads go through their rows.
    passes: u32,
}

struct Inner {
    file: TraceFile,
    budget: Bytes,
    slots: Vec<Slot>,
    /// Threads that decode ahead, at most and now.
    most_decoders: AtomicUsize,
    decoders: AtomicUsize,
    /// Decoded chunks, the oldest first.
    resident: Mutex<VecDeque<usize>>,
    /// Of the chunk that was dropped last.
    spare: Mutex<Spare>,
}

/// A chunk's place.
#[derive(Default)]
struct Slot {
    /// Locked while the chunk is decoded.
    chunk: Mutex<Option<Arc<Chunk>>>,
    /// Whether somebody has set out to decode it ahead.
    is_taken: AtomicBool,
}

impl SharedTrace {
    /// Opens a trace; chunks beyond `budget` decoded bytes are dropped, the oldest first, and
    /// decoded again when a run comes back to them.
    ///
    /// # Errors
    /// As [`TraceFile::open`].
    pub fn open(path: &Path, budget: Bytes) -> Result<Self, TraceError> {
        Ok(Self::new(TraceFile::open(path)?, budget))
    }

    /// Shares an opened trace.
    pub fn new(file: TraceFile, budget: Bytes) -> Self {
        let slots = (0..file.nr_groups()).map(|_| Slot::default()).collect();
        let resident = Mutex::new(VecDeque::new());
        let (most_decoders, decoders, spare) = Default::default();
        let inner = Inner { file, budget, slots, most_decoders, decoders, resident, spare };
        Self { inner: Arc::new(inner), passes: 1 }
    }

    /// Shares an opened trace after comparing it with its digest, as [`TraceFile::verify`] does.
    /// Chunks decoded for that stay as far as the budget goes, so that the first pass finds them.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verified(file: TraceFile, budget: Bytes) -> Result<Self, TraceError> {
        let trace = Self::new(file, budget);
        let inner = &trace.inner;
        let mut bytes = 0;
        inner.file.verify_and(|group, chunk| {
            bytes += inner.bytes_of(group);
            if bytes <= budget.0 {
                *lock(&inner.slots[group].chunk) = Some(Arc::new(chunk));
                inner.make_room(group);
            }
        })?;
        Ok(trace)
    }

    /// Has up to `decoders` threads decode chunks ahead of the runs from now on, one each, as far as
    /// the budget goes; 0, as at the beginning, for none.
    pub fn decode_ahead(&self, decoders: usize) {
        self.inner.most_decoders.store(decoders, Ordering::Relaxed);
    }

    /// The same trace, decoded once with it, in which every thread that another one starts goes
    /// `passes` times through its rows (0 counts as 1). Starting a thread a second time does
    /// nothing.
    #[must_use]
    pub fn with_passes(&self, passes: u32) -> Self {
        Self { inner: Arc::clone(&self.inner), passes: passes.max(1) }
    }

    /// Rows that a run replays at most.
    pub fn nr_rows(&self) -> u64 {
        self.inner.file.nr_rows() * u64::from(self.passes)
    }

    /// The file behind it.
    pub fn file(&self) -> &TraceFile {
        &self.inner.file
    }

    /// A workload at its beginning. Any number of them may run side by side.
    ///
    /// # Errors
    /// A damaged first chunk; later damage is reported by the streams.
    pub fn workload(&self) -> Result<Workload, TraceError> {
        if !self.inner.slots.is_empty() {
            self.inner.chunk(0)?;
        }
        let meta = self.inner.file.meta();
        let thread = |(idx, thread): (usize, &super::ThreadMeta)| Thread {
            name: thread.name.clone(),
            process: thread.process,
            mm: thread.mm,
            parent: thread.parent,
            allowed: thread.allowed,
            stream: Box::new(Recorded {
                trace: Arc::clone(&self.inner),
                thread: idx,
                next_chunk: 0,
                chunk: None,
                next_piece: 0,
                passes_left: if thread.parent.is_some() { self.passes - 1 } else { 0 },
            }),
        };
        Ok(Workload {
            name: meta.name.clone(),
            digest: match self.passes {
                1 => self.inner.file.digest().to_owned(),
                passes => format!("{} x {passes}", self.inner.file.digest()),
            },
            spaces: meta.spaces.clone(),
            threads: meta.threads.iter().enumerate().map(thread).collect(),
            stop_after: meta.stop_after,
            convergence: meta.convergence,
            groups: meta.groups.clone(),
            memcgs: Vec::new(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What the mutexes guard is replaced whole, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// The chunk, decoded now if it is not resident.
    fn chunk(self: &Arc<Self>, group: usize) -> Result<Arc<Chunk>, TraceError> {
        let most = self.most_decoders.load(Ordering::Relaxed);
        if most > 0 {
            self.decode_behind(group, most);
        }
        self.decoded(group)
    }

    /// Starts threads that decode the chunks behind `group`. While that one is being decoded by
    /// another, the caller does not wait but decodes one as well.
    fn decode_behind(self: &Arc<Self>, group: usize, most: usize) {
        let mut wanted = self.ahead(group, most + 1);
        for next in wanted.clone() {
            if self.decoders.load(Ordering::Relaxed) >= most || !self.take(next) {
                continue;
            }
            self.decoders.fetch_add(1, Ordering::Relaxed);
            let inner = Arc::clone(self);
            let started = thread::Builder::new().spawn(move || {
                inner.decode_taken(next);
                inner.decoders.fetch_sub(1, Ordering::Relaxed);
            });
            if started.is_err() {
                self.slots[next].is_taken.store(false, Ordering::Relaxed);
                self.decoders.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
        let is_busy = matches!(self.slots[group].chunk.try_lock(), Err(TryLockError::WouldBlock));
        if is_busy && let Some(next) = wanted.find(|next| self.take(*next)) {
            self.decode_taken(next);
        }
    }

    /// The chunks behind `group` that are wanted: as many as there are, as have room beside it.
    fn ahead(&self, group: usize, most: usize) -> Range<usize> {
        let end = self.slots.len().min(group + 1 + most);
        let mut bytes = self.bytes_of(group);
        let fits = |next: &usize| {
            bytes += self.bytes_of(*next);
            bytes <= self.budget.0
        };
        let nr = (group + 1..end).take_while(fits).count();
        group + 1..group + 1 + nr
    }

    /// Sets out to decode a chunk; false when it is resident or somebody else does.
    fn take(&self, group: usize) -> bool {
        let slot = &self.slots[group];
        let is_missing = slot.chunk.try_lock().is_ok_and(|chunk| chunk.is_none());
        is_missing && !slot.is_taken.swap(true, Ordering::Relaxed)
    }

    /// Decodes a chunk ahead. Damage is left to whoever comes to it.
    fn decode_taken(&self, group: usize) {
        self.decoded(group).ok();
        self.slots[group].is_taken.store(false, Ordering::Relaxed);
    }

    /// The chunk, decoded now if it is not resident; others that want it wait meanwhile.
    fn decoded(&self, group: usize) -> Result<Arc<Chunk>, TraceError> {
        let mut slot = lock(&self.slots[group].chunk);
        if let Some(chunk) = &*slot {
            return Ok(Arc::clone(chunk));
        }
        // While it is taken, others that decode do without.
        let mut spare = std::mem::take(&mut *lock(&self.spare));
        let chunk = Arc::new(Chunk::new(&self.file, group, &mut spare, |_, _, _| ())?);
        *slot = Some(Arc::clone(&chunk));
        drop(slot);
        lock(&self.spare).keep_file(spare);
        self.make_room(group);
        Ok(chunk)
    }

    /// Bytes of a decoded chunk.
    fn bytes_of(&self, group: usize) -> u64 {
        self.file.group_rows(group) * ROW_BYTES
    }

    fn make_room(&self, newest: usize) {
        let mut resident = lock(&self.resident);
        resident.push_back(newest);
        let mut total: u64 = resident.iter().map(|group| self.bytes_of(*group)).sum();
        while total > self.budget.0 && resident.len() > 1 {
            let Some(oldest) = resident.pop_front() else { break };
            total -= self.bytes_of(oldest);
            let dropped = lock(&self.slots[oldest].chunk).take();
            if let Some(Ok(chunk)) = dropped.map(Arc::try_unwrap) {
                lock(&self.spare).keep(chunk);
            }
        }
    }
}

/// One thread's way through the chunks.
struct Recorded {
    trace: Arc<Inner>,
    thread: usize,
    next_chunk: usize,
    chunk: Option<Arc<Chunk>>,
    next_piece: usize,
    passes_left: u32,
}

impl ThreadStream for Recorded {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        loop {
            if let Some(chunk) = &self.chunk
                && let Some(piece) = chunk.piece(self.thread, self.next_piece)
            {
                self.next_piece += 1;
                return Ok(match piece {
                    Piece::Points(points) => Step::Points(Arc::clone(points), 0..points.page.len()),
                    Piece::Event(event) => Step::Event(event.clone()),
                });
            }
            self.chunk = None;
            if self.next_chunk == self.trace.slots.len() {
                if self.passes_left == 0 {
                    return Ok(Step::End);
                }
                self.passes_left -= 1;
                self.next_chunk = 0;
            }
            self.chunk = Some(self.trace.chunk(self.next_chunk)?);
            self.next_chunk += 1;
            self.next_piece = 0;
        }
    }
}
