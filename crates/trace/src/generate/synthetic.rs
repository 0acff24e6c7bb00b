//! The plain workloads: one pattern each, with threads, processes, sizes and think time.

use std::ops::Range;

use base::{Bytes, MmId, Nanos, PAGE_LINES, Rng, stream};
use config::{config, config_enum, in_range, positive};
use topology::Machine;

use crate::generate::build::{Builder, NewProcess, OpenError, Worker, part};
use crate::generate::draw::{Draw, Manner, Pick, Target};
use crate::generate::permutation::Permutation;
use crate::generate::script::{Op, sweep_of};
use crate::generate::zipf::FastZipf;
use crate::{Event, Sweep, Traffic, Workload};

config_enum! {
    /// Who touches memory first.
    pub enum Init {
        /// The process's main thread writes all of it before it starts the others.
        MainThread = "main-thread",
        /// Each thread writes its own part (of shared memory a slice), then all wait for each
        /// other.
        EachOwn = "each-own",
        /// Nobody; the first access does.
        None = "none",
    }
}

/// What all plain workloads are made of.
struct Common {
    processes: u32,
    threads: u32,
    footprint: Bytes,
    accesses: u64,
    lines: u16,
    write_share: f64,
    think: Nanos,
    init: Init,
}

/// Declares a plain workload: its own keys and those that all have, with the default of `lines`.
macro_rules! synthetic {
    (
        $(#[doc = $doc:expr])*
        $name:ident, lines = $lines:literal, { $($own:tt)* }
    ) => {
        config! {
            $(#[doc = $doc])*
            pub struct $name {
                $($own)*
                /// Processes; each has its own address space.
                #[check(in_range(1..=4096))]
                pub processes: u32 = 1,
                /// Threads of each process; 0 shares out the machine's CPUs.
                #[check(in_range(0..=4096))]
                pub threads: u32 = 0,
                /// Memory of each process.
                #[check(positive)]
                pub footprint: Bytes,
                /// Page accesses of each thread.
                pub accesses: u64 = 1_000_000,
                /// Cache lines an access fills.
                #[check(in_range(1..=64))]
                pub lines: u16 = $lines,
                /// Share of accesses that write. What random accesses wrote returns to memory and
                /// counts twice; a sweep counts once, as the bandwidth benchmarks do.
                #[check(in_range(0.0..=1.0))]
                pub write_share: f64 = 0.0,
                /// Time without memory traffic before each access.
                #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
                pub think: Nanos = Nanos::ZERO,
                /// Who touches memory first.
                pub init: Init = Init::MainThread,
            }
        }

        impl $name {
            fn common(&self) -> Common {
                Common {
                    processes: self.processes,
                    threads: self.threads,
                    footprint: self.footprint,
                    accesses: self.accesses,
                    lines: self.lines,
                    write_share: self.write_share,
                    think: self.think,
                    init: self.init,
                }
            }
        }
    };
}

synthetic! {
    /// Every page alike.
    Uniform, lines = 1, {}
}

synthetic! {
    /// Few hot pages, many cold ones: the page of rank k with probability proportional to
    /// k^-exponent.
    ZipfPages, lines = 1, {
        /// The exponent; 0.99 is YCSB's.
        #[check(in_range(0.01..=10.0))]
        pub exponent: f64 = 0.99,
        /// Whether ranks are scattered over the pages; else the hottest come first.
        pub scramble: bool = true,
    }
}

synthetic! {
    /// Each thread sweeps its slice of the memory from its start to its end and again.
    Sequential, lines = 64, {
        /// Whether every thread sweeps all of the process's memory instead.
        pub shared: bool = false,
    }
}

synthetic! {
    /// Each thread sweeps the first part of its slice again and again: a working set that fits
    /// somewhere, or just does not.
    Loop, lines = 64, {
        /// Size of the part, of each thread.
        #[check(positive)]
        pub working_set: Bytes,
        /// Whether all threads sweep the same part, at the start of the memory.
        pub shared: bool = false,
    }
}

synthetic! {
    /// Each thread follows pointers through the cache lines of its slice in one random cycle; one
    /// line at a time, so latency decides.
    Chase, lines = 1, {
        /// Whether every thread has a cycle through all of the process's memory instead.
        pub shared: bool = false,
    }
}

synthetic! {
    /// A working set with uniform accesses that jumps to the next place after a number of accesses.
    Phases, lines = 1, {
        /// Size of the working set, which the threads of a process share.
        #[check(positive)]
        pub working_set: Bytes,
        /// Accesses of each thread before it moves.
        #[check(positive)]
        pub every: u64 = 100_000,
        /// Whether the threads of a process wait for each other before each move.
        pub barrier: bool = true,
    }
}

synthetic! {
    /// Threads with memory of their own and a region that they share.
    Mix, lines = 1, {
        /// The shared region, at the start of the footprint; the rest is divided among the threads.
        pub shared: Bytes,
        /// Share of accesses that go to the shared region.
        #[check(in_range(0.0..=1.0))]
        pub shared_share: f64 = 0.5,
        /// Zipf exponent within each region; 0 for uniform.
        #[check(in_range(0.0..=10.0))]
        pub exponent: f64 = 0.0,
    }
}

/// A pattern with the memory and numbering of one thread filled in.
struct Place<'a> {
    common: &'a Common,
    mm: MmId,
    pages: Range<u32>,
    idx: usize,
    nr_threads: usize,
    /// Number of the process, for barriers.
    number: u32,
    /// Draws what a thread fixes before it starts: its permutation.
    rng: Rng,
}

impl Place<'_> {
    fn slice(&self, shared: bool) -> Range<u32> {
        if shared { self.pages.clone() } else { part(&self.pages, self.idx, self.nr_threads) }
    }

    fn manner(&self, dependent: bool) -> Manner {
        let Common { lines, write_share, think, .. } = *self.common;
        // The check on the key keeps it below 2^32.
        Manner { lines, write_share, think_ns: think.0 as u32, dependent }
    }

    fn draw(&self, count: u64, targets: Vec<Target>, dependent: bool) -> Op {
        Op::Draw(Box::new(Draw::new(self.mm, count, targets, self.manner(dependent))))
    }

    fn one(&self, pages: Range<u32>, pick: Pick, dependent: bool) -> Vec<Op> {
        let target = Target { share: 1.0, pages, pick };
        vec![self.draw(self.common.accesses, vec![target], dependent)]
    }

    /// Sweeps over `pages` until the accesses are used up. A sweep writes or reads as a whole;
    /// `write_share` decides which of the sweeps write, evenly spread.
    fn sweeps(&self, pages: Range<u32>) -> Vec<Op> {
        let Common { accesses, lines, write_share, think, .. } = *self.common;
        let nr_pages = u64::from(pages.end.saturating_sub(pages.start)).max(1);
        let sweep = |nr: u64, write: bool| {
            let part = pages.start..pages.start + nr as u32;
            let traffic = Traffic::new(lines, 0, write);
            let sweep = Sweep { think_ns: think.0 as u32, ..sweep_of(self.mm, part, traffic) };
            Op::sweep(sweep)
        };
        // In groups of a hundred sweeps the share is met to a hundredth.
        let writes = (write_share * 100.0).round() as u64;
        let is_write = |idx: u64| (idx + 1) * writes / 100 > idx * writes / 100;
        let (rounds, rest) = (accesses / nr_pages, accesses % nr_pages);
        let group = |nr: u64| (0..nr).map(|idx| sweep(nr_pages, is_write(idx))).collect();
        let mut ops = match writes {
            0 | 100 => vec![Op::repeat(rounds, vec![sweep(nr_pages, writes == 100)])],
            _ => vec![Op::repeat(rounds / 100, group(100)), Op::repeat(1, group(rounds % 100))],
        };
        ops.push(sweep(rest, is_write(rounds % 100)));
        ops
    }
}

fn order(pages: &Range<u32>, units: u64, rng: &mut Rng) -> Permutation {
    Permutation::new(u64::from(pages.end.saturating_sub(pages.start)) * units, rng)
}

/// What a plain workload's thread does after set-up.
trait Pattern {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op>;

    /// What thread `idx` touches first under `each-own`.
    fn own(&self, pages: &Range<u32>, idx: usize, nr_threads: usize) -> Vec<Range<u32>> {
        vec![part(pages, idx, nr_threads)]
    }
}

impl Pattern for Uniform {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        place.one(place.pages.clone(), Pick::Uniform, false)
    }
}

impl Pattern for ZipfPages {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        let pages = place.pages.clone();
        let zipf = FastZipf::new(pages.len().max(1) as u64, self.exponent);
        // One order for all threads of the process: its hot pages are hot for everyone.
        let scramble = self.scramble.then(|| order(&pages, 1, &mut place.rng));
        place.one(pages, Pick::Zipf(zipf, scramble), false)
    }
}

impl Pattern for Sequential {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        place.sweeps(place.slice(self.shared))
    }
}

impl Pattern for Loop {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        let slice = place.slice(self.shared);
        let length = self.working_set.pages_ceil().0.min(slice.len() as u64) as u32;
        place.sweeps(slice.start..slice.start + length)
    }
}

impl Pattern for Chase {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        let slice = place.slice(self.shared);
        let mut rng = place.rng.clone();
        // Threads that share memory still have a cycle each.
        let skipped = if self.shared { place.idx } else { 0 };
        (0..skipped).for_each(|_| _ = order(&slice, PAGE_LINES, &mut rng));
        let cycle = order(&slice, PAGE_LINES, &mut rng);
        place.one(slice, Pick::Chase(0, cycle), true)
    }
}

impl Pattern for Phases {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        let all = place.pages.clone();
        let length = self.working_set.pages_ceil().0.min(all.len() as u64) as u32;
        let nr_places = (all.len() as u32).checked_div(length).unwrap_or(1).max(1);
        let mut ops = Vec::new();
        let accesses = place.common.accesses;
        let phase = |start: u32| Target {
            share: 1.0,
            pages: all.start + start * length..all.start + (start + 1) * length,
            pick: Pick::Uniform,
        };
        let meet = Event::Barrier { id: place.number + 1, parties: place.nr_threads as u32 };
        for idx in 0..nr_places {
            ops.push(place.draw(self.every, vec![phase(idx)], false));
            if self.barrier {
                ops.push(Op::event(meet.clone()));
            }
        }
        let per_round = self.every.saturating_mul(u64::from(nr_places));
        let (rounds, mut left) = (accesses / per_round, accesses % per_round);
        let mut programme = vec![Op::repeat(rounds, ops)];
        for idx in 0..nr_places {
            programme.push(place.draw(left.min(self.every), vec![phase(idx)], false));
            left = left.saturating_sub(self.every);
        }
        programme
    }
}

impl Mix {
    fn regions(&self, pages: &Range<u32>) -> (Range<u32>, Range<u32>) {
        let length = self.shared.pages_ceil().0.min(pages.len() as u64) as u32;
        let middle = pages.start + length;
        (pages.start..middle, middle..pages.end)
    }
}

impl Pattern for Mix {
    fn programme(&self, place: &mut Place<'_>) -> Vec<Op> {
        let (shared, private) = self.regions(&place.pages);
        let private = part(&private, place.idx, place.nr_threads);
        let mut target = |share, pages: Range<u32>| {
            let pick = if self.exponent > 0.0 {
                let zipf = FastZipf::new(pages.len().max(1) as u64, self.exponent);
                Pick::Zipf(zipf, Some(order(&pages, 1, &mut place.rng)))
            } else {
                Pick::Uniform
            };
            Target { share, pages, pick }
        };
        let targets =
            vec![target(self.shared_share, shared), target(1.0 - self.shared_share, private)];
        vec![place.draw(place.common.accesses, targets, false)]
    }

    fn own(&self, pages: &Range<u32>, idx: usize, nr_threads: usize) -> Vec<Range<u32>> {
        let (shared, private) = self.regions(pages);
        vec![part(&shared, idx, nr_threads), part(&private, idx, nr_threads)]
    }
}

fn open(
    kind: &str,
    common: &Common,
    pattern: &dyn Pattern,
    (machine, seed, digest): (&Machine, u64, &str),
) -> Result<Workload, OpenError> {
    let mut builder = Builder::new(kind, machine, seed);
    let nr_threads = match common.threads {
        0 => (builder.nr_cpus() / common.processes as usize).max(1),
        threads => threads as usize,
    };
    builder.admit(u64::from(common.processes) * (1 + nr_threads as u64))?;
    let everyone = common.processes * nr_threads as u32;
    for number in 0..common.processes {
        let mm = builder.space(format!("{kind} {number}"), common.footprint, None)?;
        let pages = builder.pages_of(mm);
        let worker = |idx| {
            let rng = stream(seed, &format!("workload.{kind}.order"), u64::from(number));
            let mut place =
                Place { common, mm, pages: pages.clone(), idx, nr_threads, number, rng };
            let mut programme = Vec::new();
            if common.init == Init::EachOwn {
                let own = pattern.own(&pages, idx, nr_threads);
                programme.extend(own.into_iter().map(|pages| Op::write(mm, pages)));
                programme.push(Op::event(Event::Barrier { id: 0, parties: everyone }));
                programme.push(Op::event(Event::MeasureFrom));
            }
            programme.extend(pattern.programme(&mut place));
            Worker::free(programme)
        };
        let workers = (0..nr_threads).map(worker).collect();
        let mut main = Vec::new();
        if common.init == Init::MainThread {
            main.push(Op::write(mm, pages.clone()));
        }
        if common.init != Init::EachOwn {
            main.push(Op::event(Event::MeasureFrom));
        }
        let threads = builder.process(NewProcess::free(number, mm), main, workers);
        builder.group(format!("process {number}"), threads, mm, pages);
    }
    Ok(builder.finish(digest))
}

macro_rules! open_each {
    ($($name:ident = $kind:literal),+ $(,)?) => {$(
        impl $name {
            pub(super) fn name(&self) -> String {
                $kind.to_owned()
            }

            pub(super) fn open(
                &self,
                machine: &Machine,
                seed: u64,
                digest: &str,
            ) -> Result<Workload, OpenError> {
                open($kind, &self.common(), self, (machine, seed, digest))
            }
        }
    )+};
}

open_each!(
    Uniform = "uniform",
    ZipfPages = "zipf",
    Sequential = "sequential",
    Loop = "loop",
    Chase = "chase",
    Phases = "phases",
    Mix = "mix",
);
