//! `perf bench numa mem` (Ingo Molnar, 2012): processes of threads that zero memory and know how
//! fast.
//!
//! Left out: reading instead of zeroing, walking backwards, `-x` (threads that perturb others),
//! replicated memory, and the progress output. The result is bytes zeroed by time, counted by
//! [`Event::WorkDone`] in bytes after every 16 MiB.

use std::ops::Range;

use base::{Bytes, CpuId, CpuMask, MmId, Nanos};
use config::{CpuList, NodeList, config, config_enum, if_some, in_range};
use topology::Machine;

use crate::generate::blocks::{BLOCK_PAGES, Blocks};
use crate::generate::build::{
    Builder, NewProcess, OpenError, Worker, limit, must_end, page_bytes, part,
};
use crate::generate::presets::Preset;
use crate::generate::script::Op;
use crate::{Convergence, Event, Mempolicy, Workload};

config_enum! {
    /// What `perf bench numa mem` does about convergence.
    pub enum ConvergenceMode {
        /// Nothing.
        Ignored = "ignored",
        /// Records when it is reached (`-c`).
        Recorded = "recorded",
        /// The run ends there (`-m`).
        EndsRun = "ends-run",
    }
}

config_enum! {
    /// The program's own advice about huge pages.
    pub enum ThpAdvice {
        /// None: `--thp 0`.
        None = "none",
        /// `MADV_HUGEPAGE`: `--thp 1`.
        Huge = "huge",
        /// `MADV_NOHUGEPAGE`: `--thp -1`.
        NoHuge = "no-huge",
    }
}

impl ThpAdvice {
    /// Whether huge pages are asked for, or asked not to be.
    pub(super) fn wants(self) -> Option<bool> {
        match self {
            Self::None => None,
            Self::Huge => Some(true),
            Self::NoHuge => Some(false),
        }
    }
}

config! {
    /// `perf bench numa mem`. A preset gives all settings; a key beside it overrides its own.
    /// Without a preset: one process, one thread, no memory, init from CPU 0, random walk, no
    /// limit.
    pub struct PerfBenchNuma {
        /// A named row.
        pub preset: Option<Preset> = None,
        /// Processes (`-p`).
        #[check(if_some(in_range(1..=4096)))]
        pub processes: Option<u32> = None,
        /// Threads of each process (`-t`).
        #[check(if_some(in_range(1..=4096)))]
        pub threads: Option<u32> = None,
        /// Memory that all processes share (`-G`).
        pub global: Option<Bytes> = None,
        /// Memory of each process that its threads share (`-P`).
        pub process: Option<Bytes> = None,
        /// Memory of each thread (`-T`).
        pub thread: Option<Bytes> = None,
        /// How long the measured part runs (`-s`); zero for no limit.
        pub run_time: Option<Nanos> = None,
        /// How often each thread works through its memory (`-l`); 0 until the time is over.
        pub loops: u64 = 0,
        /// Whether all memory is zeroed before the start (`-z`); else its first user touches it.
        pub zero_init: bool = true,
        /// Whether that happens on CPU 0 (`-0`), so that all memory starts on its node.
        pub init_cpu0: Option<bool> = None,
        /// Blocks of 8 KiB in random order, or one sweep in a loop.
        pub random_walk: Option<bool> = None,
        /// Advice about huge pages (`--thp`).
        pub thp: Option<ThpAdvice> = None,
        /// CPUs the tasks are bound to in turn (`-C`); none for free tasks.
        pub cpus: Option<CpuList> = None,
        /// Nodes the tasks' memory is bound to in turn (`-M`); none for free memory.
        pub nodes: Option<NodeList> = None,
        /// What is done about convergence (`-c`, `-m`).
        pub convergence: Option<ConvergenceMode> = None,
        /// Factor on memory and run time together. Scanners then pass over the memory as often as
        /// in the full run; what takes a fixed time (scan delays, balancing intervals) weighs more.
        #[check(in_range(1e-3..=1.0))]
        pub scale: f64 = 1.0,
    }
    check |bench, span, cx| {
        must_end(bench.loops, "loops", bench.settings().run_time, span, cx);
    }
}

/// All settings decided.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) processes: u32,
    pub(super) threads: u32,
    pub(super) global: Bytes,
    pub(super) process: Bytes,
    pub(super) thread: Bytes,
    pub(super) run_time: Nanos,
    pub(super) init_cpu0: bool,
    pub(super) random_walk: bool,
    pub(super) thp: Option<bool>,
    pub(super) cpus: CpuList,
    pub(super) nodes: NodeList,
    pub(super) convergence: Convergence,
}

impl Settings {
    fn without_preset() -> Self {
        Self {
            processes: 1,
            threads: 1,
            global: Bytes::ZERO,
            process: Bytes::ZERO,
            thread: Bytes::ZERO,
            run_time: Nanos::ZERO,
            init_cpu0: true,
            random_walk: true,
            thp: None,
            cpus: [].into_iter().collect(),
            nodes: [].into_iter().collect(),
            convergence: Convergence::Ignored,
        }
    }
}

/// Bytes of work between two reports of it.
const REPORT: Bytes = Bytes::from_mib(16);

impl PerfBenchNuma {
    pub(super) fn name(&self) -> String {
        self.preset.map_or("perf-bench-numa", Preset::name).to_owned()
    }

    pub(super) fn settings(&self) -> Settings {
        let base = self.preset.map_or_else(Settings::without_preset, Preset::settings);
        let convergence = self.convergence.map(|mode| match mode {
            ConvergenceMode::Ignored => Convergence::Ignored,
            ConvergenceMode::Recorded => Convergence::Recorded,
            ConvergenceMode::EndsRun => Convergence::EndsRun,
        });
        let thp = self.thp.map(ThpAdvice::wants);
        let scaled = |value: u64| (value as f64 * self.scale).round() as u64;
        let size = |own: Option<Bytes>, base: Bytes| Bytes(scaled(own.unwrap_or(base).0));
        Settings {
            processes: self.processes.unwrap_or(base.processes),
            threads: self.threads.unwrap_or(base.threads),
            global: size(self.global, base.global),
            process: size(self.process, base.process),
            thread: size(self.thread, base.thread),
            run_time: Nanos(scaled(self.run_time.unwrap_or(base.run_time).0)),
            init_cpu0: self.init_cpu0.unwrap_or(base.init_cpu0),
            random_walk: self.random_walk.unwrap_or(base.random_walk),
            thp: thp.unwrap_or(base.thp),
            cpus: self.cpus.clone().unwrap_or(base.cpus),
            nodes: self.nodes.clone().unwrap_or(base.nodes),
            convergence: convergence.unwrap_or(base.convergence),
        }
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        let settings = self.settings();
        builder.admit(u64::from(settings.processes) * (1 + u64::from(settings.threads)))?;
        // Shared between processes; modelled as a space of its own that belongs to none of them.
        let mut global = None;
        if settings.global > Bytes::ZERO {
            let mm = builder.space("global", settings.global, settings.thp)?;
            global = Some((mm, builder.pages_of(mm)));
        }
        for number in 0..settings.processes {
            self.add_process(&mut builder, &settings, number, global.as_ref())?;
        }
        let mut workload = builder.finish(digest);
        workload.stop_after = limit(settings.run_time);
        workload.convergence = settings.convergence;
        Ok(workload)
    }

    fn add_process(
        &self,
        builder: &mut Builder<'_>,
        settings: &Settings,
        number: u32,
        global: Option<&(MmId, Range<u32>)>,
    ) -> Result<(), OpenError> {
        let nr_threads = settings.threads as usize;
        let own = page_bytes(settings.thread, u64::from(settings.threads));
        let shared_size = settings.process.pages_ceil();
        let size = page_bytes(settings.process, 1).saturating_add(own);
        let mm = builder.space(format!("p{number}"), size, settings.thp)?;
        let all = builder.pages_of(mm);
        let shared = 0..shared_size.0 as u32;
        let first_task = number as usize * nr_threads;
        let (allowed, policy) = binding(builder, settings, first_task)?;
        let mut main: Vec<Op> = policy.into_iter().collect();
        let first = global.filter(|_| number == 0).cloned();
        let buffers: Vec<_> = first.into_iter().chain([(mm, shared.clone())]).collect();
        main.extend(self.init(settings, &buffers, allowed));
        let nr_tasks = settings.processes * settings.threads;
        let mut workers = Vec::new();
        for idx in 0..nr_threads {
            let (allowed, policy) = binding(builder, settings, first_task + idx)?;
            let private = part(&(shared.end..all.end), idx, nr_threads);
            let mut programme: Vec<Op> = policy.into_iter().collect();
            programme.extend(self.init(settings, &[(mm, private.clone())], allowed));
            programme.push(Op::event(Event::Barrier { id: 0, parties: nr_tasks }));
            programme.push(Op::event(Event::MeasureFrom));
            let own = [(mm, shared.clone()), (mm, private)];
            let buffers = global.cloned().into_iter().chain(own);
            let round = buffers.flat_map(|(mm, pages)| pass(settings, mm, &pages));
            let loops = if self.loops == 0 { u64::MAX } else { self.loops };
            programme.push(Op::repeat(loops, round.collect()));
            workers.push(Worker { allowed, programme });
        }
        let process = NewProcess { allowed, ..NewProcess::free(number, mm) };
        let threads = builder.process(process, main, workers);
        builder.group(format!("process {number}"), threads, mm, all);
        Ok(())
    }

    /// Zeroes buffers, on CPU 0 if so set; the thread is free (or bound as before) afterwards.
    fn init(
        &self,
        settings: &Settings,
        buffers: &[(MmId, Range<u32>)],
        allowed: CpuMask,
    ) -> Vec<Op> {
        let full = |(_, pages): &&(MmId, Range<u32>)| !pages.is_empty();
        let writes: Vec<Op> =
            buffers.iter().filter(full).map(|(mm, pages)| Op::write(*mm, pages.clone())).collect();
        if !self.zero_init || writes.is_empty() || !settings.init_cpu0 {
            return if self.zero_init { writes } else { Vec::new() };
        }
        let cpu0 = [CpuId(0)].into_iter().collect();
        let mut ops = vec![Op::event(Event::SetAffinity(cpu0))];
        ops.extend(writes);
        ops.push(Op::event(Event::SetAffinity(allowed)));
        ops
    }
}

/// CPUs and memory policy of a task, taken from the lists in turn.
fn binding(
    builder: &Builder<'_>,
    settings: &Settings,
    task: usize,
) -> Result<(CpuMask, Option<Op>), OpenError> {
    let allowed = builder.cpu_in_turn(&settings.cpus, task)?;
    let nr_nodes = settings.nodes.iter().len();
    let node = settings.nodes.iter().nth(task.checked_rem(nr_nodes).unwrap_or(0));
    let policy = match node {
        Some(node) => {
            let bind = Mempolicy::Bind(builder.memory_node(node)?);
            Some(Op::event(Event::SetMempolicy(bind)))
        }
        None => None,
    };
    Ok((allowed, policy))
}

/// One pass over a buffer in portions, each followed by a report of the bytes zeroed.
fn pass(settings: &Settings, mm: MmId, pages: &Range<u32>) -> Vec<Op> {
    let nr_pages = u64::from(pages.end.saturating_sub(pages.start));
    let report = |nr_pages: u64| Op::event(Event::WorkDone(base::Pages(nr_pages).bytes().0));
    if nr_pages == 0 {
        return Vec::new();
    }
    if settings.random_walk {
        let block = u64::from(BLOCK_PAGES.min(pages.end - pages.start));
        let visits = nr_pages / block;
        let portion = largest_divisor(visits, REPORT.pages_ceil().0 / block);
        let walk = Op::Blocks(Box::new(Blocks::new(mm, pages.clone(), portion)));
        return vec![Op::repeat(visits / portion, vec![walk, report(portion * block)])];
    }
    let nr_portions = nr_pages.div_ceil(REPORT.pages_ceil().0) as usize;
    let portion = |idx| {
        let portion = part(pages, idx, nr_portions);
        let nr = u64::from(portion.end - portion.start);
        [Op::write(mm, portion), report(nr)]
    };
    (0..nr_portions).flat_map(portion).collect()
}

/// The largest divisor of `n` (not 0) that is at most `cap`.
fn largest_divisor(n: u64, cap: u64) -> u64 {
    (1..=cap.min(n)).rev().find(|divisor| n.is_multiple_of(*divisor)).unwrap_or(1)
}
