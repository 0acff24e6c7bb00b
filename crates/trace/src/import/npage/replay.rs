//! The second pass: windows of all threads in order of their clocks, through the caches.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Range;

use super::super::filter::Filter;
use super::super::stage::{RawEvent, Stage};
use super::super::{Options, Report};
use super::meta::Recording;
use super::records::{BLOCKED, BOTH, CLOCK, Call, Calls, IFETCH, LOAD, Record, Records, STORE};
use super::scan::{Scan, pages};
use crate::{Advice, TraceError};

/// Most records handled at a time; the recorder writes a clock at least this often.
const MOST_RECORDS: usize = 1 << 18;

/// Runs everything; returns each started thread's parent.
pub(super) fn run(
    recording: &Recording,
    scan: &Scan,
    options: &Options,
    stage: &mut Stage,
    report: &mut Report,
) -> Result<BTreeMap<usize, usize>, TraceError> {
    let mut replay = Replay::new(recording, scan, options, stage, report)?;
    let mut turns: BinaryHeap<Reverse<(u64, usize)>> =
        scan.threads.iter().enumerate().map(|(idx, span)| Reverse((span.first_ns, idx))).collect();
    while let Some(Reverse((now, idx))) = turns.pop() {
        match replay.window(idx)? {
            Some(clock) => turns.push(Reverse((clock.max(now), idx))),
            None => replay.end(idx)?,
        }
    }
    Ok(replay.parents)
}

struct Replay<'a> {
    scan: &'a Scan,
    options: &'a Options,
    stage: &'a mut Stage,
    report: &'a mut Report,
    threads: Vec<Running>,
    exact: bool,
    by_lines: bool,
    /// Threads of an id that no parent has started yet, the first to run in front.
    unborn: BTreeMap<u32, VecDeque<usize>>,
    parents: BTreeMap<usize, usize>,
    /// End of each process's heap.
    heap_ends: Vec<Option<u64>>,
    /// Modelled time over recorded time, for waits.
    speed: f64,
}

struct Running {
    records: Records,
    calls: Calls,
    filter: Filter,
}

impl<'a> Replay<'a> {
    fn new(
        recording: &'a Recording,
        scan: &'a Scan,
        options: &'a Options,
        stage: &'a mut Stage,
        report: &'a mut Report,
    ) -> Result<Self, TraceError> {
        let ps = options.ps_per_instruction()?;
        let mut threads = Vec::new();
        let mut unborn: BTreeMap<u32, VecDeque<usize>> = BTreeMap::new();
        for (idx, span) in scan.threads.iter().enumerate() {
            let path = &recording.files[&(span.pid, span.tid)];
            threads.push(Running {
                records: Records::open(path, span.bytes.start, Some(span.bytes.end))?,
                calls: Calls::default(),
                filter: Filter::new(idx as u16, span.process, &options.caches, ps)?,
            });
            unborn.entry(span.tid).or_default().push_back(idx);
        }
        report.instructions = scan.instructions;
        let modelled = scan.instructions as f64 * options.ns_per_instruction;
        let speed = (modelled / (scan.running_ns.max(1) as f64)).min(1.0);
        let heap_ends = vec![None; scan.processes.len()];
        let (exact, by_lines) = (recording.window == 0, recording.unit_shift == 6);
        let parents = BTreeMap::new();
        Ok(Self {
            scan,
            options,
            stage,
            report,
            threads,
            exact,
            by_lines,
            unborn,
            parents,
            heap_ends,
            speed,
        })
    }

    /// One window of a thread; returns the clock that ends it, `None` after the last.
    fn window(&mut self, idx: usize) -> Result<Option<u64>, TraceError> {
        let mut window = Vec::new();
        let mut clock = None;
        while window.len() < MOST_RECORDS {
            let Some(record) = self.threads[idx].records.next()? else { break };
            window.push(record);
            if record.kind == CLOCK {
                clock = Some(record.value);
                break;
            }
        }
        if window.is_empty() {
            return Ok(None);
        }
        self.report.read += window.len() as u64;
        let spread = if self.exact { None } else { Some(Spread::of(&window)) };
        let mut spread = spread.filter(|spread| spread.touches > 0);
        for record in &window {
            let instructions = match &mut spread {
                Some(spread) => spread.share(record),
                None => u64::from(record.think),
            };
            self.threads[idx].filter.instructions(instructions);
            self.record(idx, record)?;
        }
        // Without a clock the thread goes on at once: the caller keeps its time.
        Ok(Some(clock.unwrap_or_default()))
    }

    fn record(&mut self, idx: usize, record: &Record) -> Result<(), TraceError> {
        match record.kind {
            LOAD | STORE | BOTH => self.access(idx, record),
            IFETCH if self.options.ifetch => self.access(idx, record),
            IFETCH => {
                self.report.dropped += 1;
                Ok(())
            }
            BLOCKED if self.options.waits => {
                self.threads[idx].filter.settle(self.stage)?;
                let ns = (record.value as f64 * self.speed) as u64;
                self.stage.sleep(idx as u16, ns)
            }
            _ => match self.threads[idx].calls.take(record) {
                Ok(Some((call, result))) => self.call(idx, &call, result),
                Ok(None) => Ok(()),
                Err(what) => Err(self.threads[idx].records.damaged(what)),
            },
        }
    }

    fn access(&mut self, idx: usize, record: &Record) -> Result<(), TraceError> {
        self.report.kept += 1;
        self.report.accesses += u64::from(record.count);
        let write = record.kind == STORE || record.kind == BOTH;
        let filter = &mut self.threads[idx].filter;
        if self.by_lines {
            // The other touches of the record find the line in the first level.
            return filter.access(record.value, write, self.stage);
        }
        filter.traffic(record.value, record.count.min(64), 0, write, self.stage)
    }

    fn call(&mut self, idx: usize, call: &Call, result: i64) -> Result<(), TraceError> {
        if (-4095..0).contains(&result) {
            return Ok(());
        }
        let argument = |at: usize| call.arguments[at];
        let result = result as u64;
        match call.number {
            56 | 57 | 58 | 435 => self.spawn(idx, result),
            // A mapping over another one replaces it.
            9 => self.free(idx, pages(result, argument(1))),
            11 => self.free(idx, pages(argument(0), argument(1))),
            25 if result != argument(0) => self.free(idx, pages(argument(0), argument(1))),
            12 => {
                let process = usize::from(self.scan.threads[idx].process);
                match self.heap_ends[process].replace(result) {
                    Some(end) if result < end => {
                        self.free(idx, pages((result + 4095) & !4095, end - result))
                    }
                    _ => Ok(()),
                }
            }
            28 => self.advice(idx, pages(argument(0), argument(1)), argument(2)),
            0 | 17 | 19 | 45 | 47 => self.copy(idx, argument(1), result, true),
            1 | 18 | 20 | 44 | 46 => self.copy(idx, argument(1), result, false),
            _ => Ok(()),
        }
    }

    fn spawn(&mut self, idx: usize, id: u64) -> Result<(), TraceError> {
        let Some(queue) = u32::try_from(id).ok().and_then(|tid| self.unborn.get_mut(&tid)) else {
            return Ok(());
        };
        // A thread cannot start itself or one that began before it.
        let Some(child) = queue.front().copied().filter(|child| *child > idx) else {
            return Ok(());
        };
        queue.pop_front();
        self.parents.insert(child, idx);
        self.event(idx, RawEvent::Spawn(child))
    }

    fn event(&mut self, idx: usize, event: RawEvent) -> Result<(), TraceError> {
        self.threads[idx].filter.settle(self.stage)?;
        self.stage.event(idx as u16, event)
    }

    /// Frees pages, if any of them was ever used.
    fn free(&mut self, idx: usize, range: Range<u64>) -> Result<(), TraceError> {
        let space = self.scan.threads[idx].process;
        for (span, thread) in self.scan.threads.iter().zip(&mut self.threads) {
            if span.process == space {
                thread.filter.forget(&range);
            }
        }
        self.threads[idx].filter.flush(self.stage)?;
        if !self.stage.any_touched(space, &range) {
            return Ok(());
        }
        self.event(idx, RawEvent::Madvise(space, range, Advice::DontNeed))
    }

    fn advice(&mut self, idx: usize, range: Range<u64>, advice: u64) -> Result<(), TraceError> {
        let advice = match advice {
            3 => Advice::WillNeed,
            4 => return self.free(idx, range),
            8 => Advice::Free,
            14 => Advice::HugePage,
            15 => Advice::NoHugePage,
            _ => return Ok(()),
        };
        let space = self.scan.threads[idx].process;
        self.event(idx, RawEvent::Madvise(space, range, advice))
    }

    /// The kernel copied into or out of a buffer.
    fn copy(&mut self, idx: usize, buffer: u64, bytes: u64, write: bool) -> Result<(), TraceError> {
        if bytes == 0 || buffer >> 47 != 0 || bytes >> 32 != 0 {
            return Ok(());
        }
        let filter = &mut self.threads[idx].filter;
        for line in buffer >> 6..=(buffer + bytes - 1) >> 6 {
            if self.by_lines {
                filter.access(line, write, self.stage)?;
            } else {
                filter.traffic(line >> 6, 1, 0, write, self.stage)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, idx: usize) -> Result<(), TraceError> {
        let filter = &mut self.threads[idx].filter;
        filter.settle(self.stage)?;
        self.report.fills += filter.counts.fills;
        self.report.evictions += filter.counts.evictions;
        Ok(())
    }
}

/// Spreads a window's instructions over its records by their touches: the recorder gives them all
/// to the window's first record.
struct Spread {
    instructions: u64,
    touches: u64,
    seen: u64,
    given: u64,
}

impl Spread {
    fn of(window: &[Record]) -> Self {
        let instructions = window.iter().map(|record| u64::from(record.think)).sum();
        let counts = window.iter().filter(|record| record.is_access());
        let touches = counts.map(|record| u64::from(record.count)).sum();
        Self { instructions, touches, seen: 0, given: 0 }
    }

    fn share(&mut self, record: &Record) -> u64 {
        if !record.is_access() {
            return 0;
        }
        self.seen += u64::from(record.count);
        let due = u128::from(self.instructions) * u128::from(self.seen) / u128::from(self.touches);
        let share = due as u64 - self.given;
        self.given += share;
        share
    }
}
