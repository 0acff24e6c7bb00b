//! Thread programmes: a small tree of operations, walked lazily.
//!
//! Every generator describes what a thread does as a list of [`Op`]s; [`Script`] is the stream that
//! walks it. A tree of a few hundred operations stands for any number of accesses, so nothing is
//! ever materialised whole. State that must outlive a round (where a cycle stands, the shift
//! register's content) is kept inside the operation.

use std::ops::Range;
use std::sync::Arc;

use base::{MmId, Nanos, Rng};

use crate::generate::blocks::Blocks;
use crate::generate::draw::Draw;
use crate::{Advice, Event, Points, Step, Sweep, ThreadStream, TraceError, Traffic};

/// Rows of a batch of points: the engine's block size.
pub(super) const BATCH_ROWS: usize = 512;

/// What writing a whole page moves: 64 lines, counted once as the bandwidth benchmarks do.
pub(super) const PAGE_WRITE: Traffic = Traffic::new(64, 0, true);
/// What reading a whole page moves.
pub(super) const PAGE_READ: Traffic = Traffic::new(64, 0, false);

/// One operation of a thread's programme. After its last step it starts anew when it is met again.
pub(super) enum Op {
    /// A fixed step.
    Once(Once),
    /// Several sweeps of equal length side by side, a block of each in turn.
    Lockstep(Lockstep),
    /// Random or cyclic accesses.
    Draw(Box<Draw>),
    /// Blocks in the order of a shift register.
    Blocks(Box<Blocks>),
    /// Frees a random chunk and touches it anew.
    Recycle(Recycle),
    /// Reads a file in pieces.
    Reads(Reads),
    /// A list of operations, several times.
    Repeat(Repeat),
}

/// A step that is given once each time round; a sweep over nothing never is.
pub(super) struct Once {
    step: Step,
    given: bool,
}

/// See [`Op::Lockstep`].
pub(super) struct Lockstep {
    sweeps: Vec<Sweep>,
    block: u32,
    offset: u32,
    idx: usize,
}

/// See [`Op::Recycle`].
pub(super) struct Recycle {
    mm: MmId,
    pages: Range<u32>,
    chunk: u32,
    pending: Option<Sweep>,
    done: bool,
}

/// See [`Op::Reads`].
pub(super) struct Reads {
    mm: MmId,
    pages: Range<u32>,
    chunk: u32,
    /// Computation after each page.
    think: Nanos,
    at: u32,
    thinks: bool,
}

/// See [`Op::Repeat`].
pub(super) struct Repeat {
    times: u64,
    body: Vec<Op>,
    round: u64,
    at: usize,
    gave: bool,
}

impl Op {
    pub(super) fn event(event: Event) -> Self {
        Self::Once(Once { step: Step::Event(event), given: false })
    }

    /// Writes each page of a range in full, followed by the prefetchers.
    pub(super) fn write(mm: MmId, pages: Range<u32>) -> Self {
        Self::sweep(sweep_of(mm, pages, PAGE_WRITE))
    }

    pub(super) fn sweep(sweep: Sweep) -> Self {
        Self::Once(Once { step: Step::Sweep(sweep), given: false })
    }

    pub(super) fn repeat(times: u64, body: Vec<Op>) -> Self {
        Self::Repeat(Repeat { times, body, round: 0, at: 0, gave: false })
    }

    pub(super) fn lockstep(sweeps: Vec<Sweep>, block: u32) -> Self {
        Self::Lockstep(Lockstep { sweeps, block: block.max(1), offset: 0, idx: 0 })
    }

    /// `pages` is cut into chunks of `chunk` pages from its start; a rest at the end is left alone.
    pub(super) fn recycle(mm: MmId, pages: Range<u32>, chunk: u32) -> Self {
        Self::Recycle(Recycle { mm, pages, chunk, pending: None, done: false })
    }

    /// Reads `pages` in order, `chunk` of them at a time.
    pub(super) fn reads(mm: MmId, pages: Range<u32>, chunk: u32, think: Nanos) -> Self {
        let at = pages.start;
        Self::Reads(Reads { mm, pages, chunk: chunk.max(1), think, at, thinks: false })
    }

    /// The next step, or `None` at the end of this round.
    fn next(&mut self, rng: &mut Rng) -> Option<Step> {
        match self {
            Self::Once(once) => once.next(),
            Self::Lockstep(lockstep) => lockstep.next().map(Step::Sweep),
            Self::Draw(draw) => draw.next(rng),
            Self::Blocks(blocks) => blocks.next(rng),
            Self::Recycle(recycle) => recycle.next(rng),
            Self::Reads(reads) => reads.next(),
            Self::Repeat(repeat) => repeat.next(rng),
        }
    }
}

/// A sweep without think time that the prefetchers follow.
pub(super) fn sweep_of(mm: MmId, pages: Range<u32>, traffic: Traffic) -> Sweep {
    let nr_pages = pages.end.saturating_sub(pages.start);
    Sweep { mm, page: pages.start, nr_pages, traffic, think_ns: 0, sequential: true }
}

impl Once {
    fn next(&mut self) -> Option<Step> {
        let empty = matches!(self.step, Step::Sweep(Sweep { nr_pages: 0, .. }));
        self.given = !self.given && !empty;
        self.given.then(|| self.step.clone())
    }
}

impl Lockstep {
    fn next(&mut self) -> Option<Sweep> {
        let whole = self.sweeps.get(self.idx)?;
        let left = whole.nr_pages.saturating_sub(self.offset);
        if left == 0 {
            (self.offset, self.idx) = (0, 0);
            return None;
        }
        let part =
            Sweep { page: whole.page + self.offset, nr_pages: left.min(self.block), ..*whole };
        self.idx += 1;
        if self.idx == self.sweeps.len() {
            self.idx = 0;
            self.offset += part.nr_pages;
        }
        Some(part)
    }
}

impl Recycle {
    fn next(&mut self, rng: &mut Rng) -> Option<Step> {
        if let Some(sweep) = self.pending.take() {
            self.done = true;
            return Some(Step::Sweep(sweep));
        }
        let nr_chunks = (self.pages.end - self.pages.start).checked_div(self.chunk).unwrap_or(0);
        if std::mem::take(&mut self.done) || nr_chunks == 0 {
            return None;
        }
        let start = self.pages.start + rng.below(u64::from(nr_chunks)) as u32 * self.chunk;
        let pages = start..start + self.chunk;
        self.pending = Some(sweep_of(self.mm, pages.clone(), PAGE_WRITE));
        Some(Step::Event(Event::Madvise(self.mm, pages, Advice::DontNeed)))
    }
}

impl Reads {
    fn next(&mut self) -> Option<Step> {
        if std::mem::take(&mut self.thinks) {
            let nr = u64::from((self.at - self.pages.start - 1) % self.chunk + 1);
            return Some(Step::Event(Event::Compute(self.think * nr)));
        }
        if self.at >= self.pages.end {
            self.at = self.pages.start;
            return None;
        }
        let pages = self.at..self.pages.end.min(self.at + self.chunk);
        self.at = pages.end;
        self.thinks = self.think > Nanos::ZERO;
        Some(Step::Event(Event::Read(self.mm, pages)))
    }
}

impl Repeat {
    fn next(&mut self, rng: &mut Rng) -> Option<Step> {
        while self.round < self.times {
            match self.body.get_mut(self.at) {
                Some(op) => match op.next(rng) {
                    Some(step) => {
                        self.gave = true;
                        return Some(step);
                    }
                    None => self.at += 1,
                },
                // A round that gave nothing would be followed by others like it.
                None if !self.gave => break,
                None => (self.at, self.gave, self.round) = (0, false, self.round + 1),
            }
        }
        (self.at, self.gave, self.round) = (0, false, 0);
        None
    }
}

/// The stream that walks a programme.
pub(super) struct Script {
    programme: Repeat,
    rng: Rng,
    ended: bool,
}

impl Script {
    pub(super) fn new(programme: Vec<Op>, rng: Rng) -> Self {
        let programme = Repeat { times: 1, body: programme, round: 0, at: 0, gave: false };
        Self { programme, rng, ended: false }
    }
}

impl ThreadStream for Script {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        if self.ended {
            return Ok(Step::End);
        }
        let step = self.programme.next(&mut self.rng);
        self.ended = step.is_none();
        Ok(step.unwrap_or(Step::End))
    }
}

/// Buffers for batches of points, used in turn: while the engine reads one the other is filled, and
/// after that it is free again, so steady replay allocates nothing.
#[derive(Default)]
pub(super) struct Batches {
    buffers: [Arc<Points>; 2],
    turn: usize,
}

impl Batches {
    /// Fills a buffer that nobody holds and gives it as a step. The buffer comes with its columns
    /// empty.
    pub(super) fn step(&mut self, fill: impl FnOnce(&mut Points)) -> Step {
        self.turn ^= 1;
        let buffer = &mut self.buffers[self.turn];
        if Arc::get_mut(buffer).is_none() {
            *buffer = Arc::default();
        }
        if let Some(points) = Arc::get_mut(buffer) {
            points.page.clear();
            points.traffic.clear();
            points.think_ns.clear();
            fill(points);
        }
        let nr_rows = buffer.page.len();
        Step::Points(Arc::clone(buffer), 0..nr_rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(programme: Vec<Op>) -> Vec<Step> {
        let mut script = Script::new(programme, base::stream(1, "test.script", 0));
        std::iter::from_fn(|| match script.next_step().unwrap() {
            Step::End => None,
            step => Some(step),
        })
        .collect()
    }

    fn sweeps(programme: Vec<Op>) -> Vec<(u32, u32)> {
        let part = |step| match step {
            Step::Sweep(sweep) => Some((sweep.page, sweep.nr_pages)),
            _ => None,
        };
        steps(programme).into_iter().filter_map(part).collect()
    }

    #[test]
    fn repeats_nest_and_start_anew() {
        let inner = Op::repeat(2, vec![Op::write(MmId(0), 0..1), Op::write(MmId(0), 1..3)]);
        let programme = vec![Op::repeat(2, vec![inner, Op::write(MmId(0), 7..8)])];
        let inner = [(0, 1), (1, 2), (0, 1), (1, 2)];
        let round: Vec<_> = inner.into_iter().chain([(7, 1)]).collect();
        assert_eq!(sweeps(programme), [round.clone(), round].concat());
    }

    #[test]
    fn endless_repetition_of_nothing_ends() {
        let nothing = || vec![Op::write(MmId(0), 5..5)];
        assert!(steps(vec![Op::repeat(u64::MAX, nothing())]).is_empty());
        assert!(steps(vec![Op::repeat(u64::MAX, vec![])]).is_empty());
    }

    #[test]
    fn lockstep_gives_blocks_in_turn_and_the_rest_too() {
        let sweeps_of =
            || vec![sweep_of(MmId(0), 0..5, PAGE_READ), sweep_of(MmId(0), 10..15, PAGE_WRITE)];
        let once = [(0, 2), (10, 2), (2, 2), (12, 2), (4, 1), (14, 1)];
        let programme = vec![Op::repeat(2, vec![Op::lockstep(sweeps_of(), 2)])];
        assert_eq!(sweeps(programme), [once, once].concat());
    }

    #[test]
    fn files_are_read_in_pieces_and_anew() {
        let read = |pages: Range<u32>| Step::Event(Event::Read(MmId(1), pages));
        let think = |ns| Step::Event(Event::Compute(Nanos(ns)));
        let once = [read(5..9), think(40), read(9..11), think(20)];
        let programme = vec![Op::repeat(2, vec![Op::reads(MmId(1), 5..11, 4, Nanos(10))])];
        let expected = [once.clone(), once].concat();
        assert_eq!(format!("{:?}", steps(programme)), format!("{expected:?}"));
    }

    #[test]
    fn recycling_frees_what_it_touches() {
        let programme = vec![Op::repeat(50, vec![Op::recycle(MmId(3), 100..149, 16)])];
        let steps = steps(programme);
        assert_eq!(steps.len(), 100);
        for pair in steps.chunks(2) {
            let [Step::Event(Event::Madvise(mm, pages, Advice::DontNeed)), Step::Sweep(sweep)] =
                pair
            else {
                panic!("{pair:?}")
            };
            assert_eq!((*mm, sweep.mm), (MmId(3), MmId(3)));
            assert_eq!(*pages, sweep.page..sweep.page + sweep.nr_pages);
            assert!(pages.len() == 16 && [100, 116, 132].contains(&pages.start));
        }
    }

    #[test]
    fn batches_reuse_a_buffer_that_is_free_and_spare_one_that_is_held() {
        let mut batches = Batches::default();
        let address = |step: &Step| match step {
            Step::Points(points, _) => Arc::as_ptr(points),
            _ => panic!("no points"),
        };
        let first = batches.step(|points| points.page.push(1));
        let second = batches.step(|points| points.page.push(2));
        let at = address(&first);
        drop(first);
        let third = batches.step(|points| points.page.push(3));
        assert_eq!(address(&third), at);
        let fourth = batches.step(|points| points.page.push(4));
        assert_ne!(address(&fourth), address(&second));
        let Step::Points(points, rows) = second else { panic!("no points") };
        assert_eq!((points.page.as_slice(), rows), ([2].as_slice(), 0..1));
    }
}
