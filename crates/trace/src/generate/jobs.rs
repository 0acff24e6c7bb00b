//! Processes that do different things beside each other: a working set, a stream, a hog.

use std::ops::Range;

use base::{Bytes, CpuMask, MmId, Nanos, stream};
use config::{Cx, Named, Span, Spanned, config, config_enum, in_range, positive};
use topology::Machine;

use crate::generate::build::{Builder, NewThread, OpenError, part};
use crate::generate::draw::{Draw, Manner, Pick, Target};
use crate::generate::permutation::Permutation;
use crate::generate::script::{Op, sweep_of};
use crate::generate::zipf::FastZipf;
use crate::{Event, Sweep, Traffic, Workload};

/// Pages of a read(): 128 KiB, as cp(1) and cat(1) ask for.
const READ_PAGES: u32 = 32;

config! {
    /// Processes that do different things beside each other, by name. Their numbers, which memory
    /// cgroups name, follow the order of the file.
    pub struct Jobs {
        /// As tables show the workload.
        pub name: String = "jobs".to_owned(),
        /// The processes: tables `[jobs.NAME]`.
        pub jobs: Spanned<Named<Job>>,
    }
    check end
}

config! {
    /// A process.
    pub struct Job {
        /// What its threads do with its memory.
        pub does: Does,
        /// Its memory, or the size of its file.
        #[check(positive)]
        pub footprint: Bytes,
        /// Whether its memory is a mapped file; else it is anonymous. What is read always is a file.
        pub file: bool = false,
        /// Whether the file is mapped executable.
        pub executable: bool = false,
        /// Threads. For sweeps and reads they share out the memory, else all use all of it.
        #[check(in_range(1..=4096))]
        pub threads: u32 = 1,
        /// Accesses of each thread, in pages; left out, it goes on until the run ends.
        pub accesses: Option<u64> = None,
        /// Zipf exponent of a working set; 0 for uniform.
        #[check(in_range(0.0..=10.0))]
        pub exponent: f64 = 0.0,
        /// Cache lines that an access moves: 1 for a working set if left out, 64 for a sweep.
        #[check(config::if_some(in_range(1..=64)))]
        pub lines: Option<u16> = None,
        /// Share of a working set's accesses that write; a sweep writes all or nothing.
        #[check(in_range(0.0..=1.0))]
        pub write_share: f64 = 0.0,
        /// Time without memory traffic before each access, or each page read.
        #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
        pub think: Nanos = Nanos::ZERO,
        /// Whether it touches all of its memory once, in order, before it begins.
        pub populate: bool = false,
        /// When it begins, after the start of the run (what it populates, it populates before).
        pub start: Nanos = Nanos::ZERO,
        /// Whether the run is over when this job is done, whatever others still do.
        pub ends_run: bool = false,
    }
}

config_enum! {
    /// What a process does with its memory.
    pub enum Does {
        /// Single pages at random, by rank if there is an exponent.
        WorkingSet = "working-set",
        /// From the first page to the last, again and again.
        Sweep = "sweep",
        /// The same by read(), 128 KiB at a time.
        Read = "read",
    }
}

/// A run must end, so some job must have an end, or end it.
fn end(jobs: &Jobs, _table: Span, cx: &mut Cx) {
    let list = &jobs.jobs.value.0;
    let endless = |job: &Job| job.accesses.is_none();
    if let Some((name, _)) = list.iter().find(|(_, job)| job.ends_run && endless(job)) {
        cx.error(name.span, "a job that ends the run needs `accesses`", "goes on for ever");
    } else if list.is_empty() {
        cx.error(jobs.jobs.span, "at least one job is needed", "none");
    } else if list.iter().any(|(_, job)| endless(job)) && !list.iter().any(|(_, job)| job.ends_run)
    {
        let message = "the run would never end: some jobs have no `accesses`";
        cx.error(jobs.jobs.span, message, "set `ends_run` in one that has");
    }
    for (name, job) in list {
        if job.executable && !job.file {
            cx.error(name.span, "only a file can be executable", "set `file = true`");
        }
    }
}

impl Jobs {
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name.clone(), machine, seed);
        let list = &self.jobs.value.0;
        builder.admit(list.iter().map(|(_, job)| u64::from(job.threads)).sum())?;
        for (number, (name, job)) in list.iter().enumerate() {
            let number = number as u32;
            let mm = match job.is_file() {
                true => builder.file(&name.value, job.footprint, job.executable)?,
                false => builder.space(&name.value, job.footprint, None)?,
            };
            let pages = builder.pages_of(mm);
            for idx in 0..job.threads {
                let rng = stream(seed, "workload.jobs.order", u64::from(number));
                let place = Place { mm, pages: &pages, idx, number, rng };
                let thread = NewThread {
                    name: format!("{name}.t{idx}"),
                    process: number,
                    mm,
                    parent: None,
                    allowed: CpuMask::EMPTY,
                };
                builder.thread(thread, job.programme(place));
            }
        }
        Ok(builder.finish(digest))
    }
}

/// Where a thread works.
struct Place<'a> {
    mm: MmId,
    pages: &'a Range<u32>,
    idx: u32,
    /// Number of the process.
    number: u32,
    /// The same for all threads of the process: what is hot is hot for everyone.
    rng: base::Rng,
}

impl Job {
    fn is_file(&self) -> bool {
        self.file || self.does == Does::Read
    }

    fn programme(&self, mut place: Place<'_>) -> Vec<Op> {
        let own = part(place.pages, place.idx as usize, self.threads as usize);
        let meet = Event::Barrier { id: place.number, parties: self.threads };
        let mut ops = Vec::new();
        if self.populate {
            // A file's pages are read, not written: they would have to be written back.
            let traffic = Traffic::new(64, 0, !self.is_file());
            ops.push(Op::sweep(sweep_of(place.mm, own.clone(), traffic)));
        }
        if self.start > Nanos::ZERO {
            ops.push(Op::event(Event::Sleep(self.start)));
        }
        ops.push(Op::event(meet.clone()));
        if self.ends_run {
            ops.push(Op::event(Event::MeasureFrom));
        }
        ops.push(match self.does {
            Does::WorkingSet => self.working_set(&mut place),
            Does::Sweep => self.rounds(&own, |pages| vec![Op::sweep(self.sweep(place.mm, pages))]),
            Does::Read => self.rounds(&own, |pages| self.reads(place.mm, pages)),
        });
        if self.ends_run {
            ops.push(Op::event(meet));
            ops.push(Op::event(Event::EndRun));
        }
        ops
    }

    fn working_set(&self, place: &mut Place<'_>) -> Op {
        let pages = place.pages.clone();
        let nr_pages = pages.len() as u64;
        let pick = match self.exponent > 0.0 {
            true => {
                let order = Permutation::new(nr_pages, &mut place.rng);
                Pick::Zipf(FastZipf::new(nr_pages, self.exponent), Some(order))
            }
            false => Pick::Uniform,
        };
        let manner = Manner {
            lines: self.lines.unwrap_or(1),
            write_share: self.write_share,
            think_ns: self.think.0 as u32,
            dependent: false,
        };
        let targets = vec![Target { share: 1.0, pages, pick }];
        let count = self.accesses.unwrap_or(u64::MAX);
        Op::Draw(Box::new(Draw::new(place.mm, count, targets, manner)))
    }

    /// Goes round `pages` until the accesses are used up.
    fn rounds(&self, pages: &Range<u32>, round: impl Fn(Range<u32>) -> Vec<Op>) -> Op {
        let nr_pages = (pages.len() as u64).max(1);
        let accesses = self.accesses.unwrap_or(u64::MAX);
        let rest = pages.start..pages.start + (accesses % nr_pages) as u32;
        let whole = Op::repeat(accesses / nr_pages, round(pages.clone()));
        Op::repeat(1, std::iter::once(whole).chain(round(rest)).collect())
    }

    fn sweep(&self, mm: MmId, pages: Range<u32>) -> Sweep {
        let traffic = Traffic::new(self.lines.unwrap_or(64), 0, self.write_share >= 0.5);
        Sweep { think_ns: self.think.0 as u32, ..sweep_of(mm, pages, traffic) }
    }

    fn reads(&self, mm: MmId, pages: Range<u32>) -> Vec<Op> {
        vec![Op::reads(mm, pages, READ_PAGES, self.think)]
    }
}
