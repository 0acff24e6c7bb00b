//! Latency histograms, and the result at the end.

use std::collections::BTreeMap;

use base::math::round_to_u64;
use base::{CpuId, Nanos, NodeId, TaskId};
use des::WaitingShape;
use hdrhistogram::Histogram;
use mm::Order;
use results::{Latency, Run, Task};

use crate::thread::Activity;
use crate::world::World;

/// Longest latency that is told apart: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits of recorded latencies.
const DIGITS: u8 = 3;
/// Points the waiting time of one class and epoch is spread over.
const WAIT_POINTS: usize = 6;

/// Classes of lines: local and remote, read and written.
const LINE_CLASSES: [[&str; 2]; 2] =
    [["local read", "local write"], ["remote read", "remote write"]];

/// A class of latencies that are not those of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latent {
    PageFault,
    MajorFault,
    FileRead,
    DirectReclaim,
    HintFault,
    MigrationWait,
    RunqueueWait,
}

impl Latent {
    const fn name(self) -> &'static str {
        match self {
            Self::PageFault => "page fault",
            Self::MajorFault => "major fault",
            Self::FileRead => "file read",
            Self::DirectReclaim => "direct reclaim",
            Self::HintFault => "hint fault",
            Self::MigrationWait => "migration wait",
            Self::RunqueueWait => "runqueue wait",
        }
    }
}

/// Latencies of one class.
struct Waits {
    class: Latent,
    histogram: Histogram<u64>,
    /// Values that are not in the histogram yet, with their numbers: most faults of an epoch cost
    /// the same, or one of two prices in turn.
    repeated: [(u64, u64); 2],
}

impl Waits {
    fn record(&mut self, value: u64, nr: u64) {
        if let Some((_, count)) = self.repeated.iter_mut().find(|(known, _)| *known == value) {
            *count += nr;
            return;
        }
        let [older, newer] = self.repeated;
        store(&mut self.histogram, older);
        self.repeated = [newer, (value, nr)];
    }

    fn finish(mut self) -> Histogram<u64> {
        self.repeated.into_iter().for_each(|repeated| store(&mut self.histogram, repeated));
        self.histogram
    }
}

fn store(histogram: &mut Histogram<u64>, (value, count): (u64, u64)) {
    if count > 0 {
        histogram.saturating_record_n(value.clamp(1, LONGEST_NS), count);
    }
}

/// Collects latencies.
pub(crate) struct Recorder {
    lines: [[Histogram<u64>; 2]; 2],
    /// Everything that is not a line, by class, in the order of their first.
    waits: Vec<Waits>,
    shape: WaitingShape,
}

/// A histogram for latencies, ns.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("constant bounds are valid")
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let pair = || std::array::from_fn(|_| histogram());
        Self { lines: [pair(), pair()], waits: Vec::new(), shape: WaitingShape::new(WAIT_POINTS) }
    }

    /// Records one latency of a class that is not a line.
    pub(crate) fn wait(&mut self, class: Latent, took: Nanos) {
        self.waits(class, took, 1);
    }

    /// Records the same latency `nr` times.
    pub(crate) fn waits(&mut self, class: Latent, took: Nanos, nr: u64) {
        match self.waits.iter_mut().find(|waits| waits.class == class) {
            Some(waits) => waits.record(took.0, nr),
            None => {
                let mut fresh = Waits { class, histogram: histogram(), repeated: [(0, 0); 2] };
                fresh.record(took.0, nr);
                self.waits.push(fresh);
            }
        }
    }

    /// Records `count` lines of a class: the idle latency plus a waiting time spread over its
    /// distribution, so that the mean is the charged one and a percentile means something.
    fn lines(
        &mut self,
        remote: bool,
        write: bool,
        idle_ns: f64,
        wait_ns: f64,
        utilisation: f64,
        count: u64,
    ) {
        let histogram = &mut self.lines[usize::from(remote)][usize::from(write)];
        let mut left = count;
        let mut owed = 0.0;
        for (mass, wait) in self.shape.points(wait_ns, utilisation) {
            let exact = mass * count as f64 + owed;
            let nr = round_to_u64(exact).min(left);
            owed = exact - nr as f64;
            left -= nr;
            let value = round_to_u64(idle_ns + wait).clamp(1, LONGEST_NS);
            histogram.saturating_record_n(value, nr);
        }
        if left > 0 {
            let value = round_to_u64(idle_ns + wait_ns).clamp(1, LONGEST_NS);
            histogram.saturating_record_n(value, left);
        }
    }

    fn into_latency(self) -> Vec<Latency> {
        let lines = self
            .lines
            .into_iter()
            .zip(LINE_CLASSES)
            .flat_map(|(pair, names)| pair.into_iter().zip(names));
        let lines = lines.map(|(histogram, class)| Latency { class: class.to_owned(), histogram });
        let waits = self.waits.into_iter().map(|waits| Latency {
            class: waits.class.name().to_owned(),
            histogram: waits.finish(),
        });
        lines.chain(waits).filter(|latency| !latency.histogram.is_empty()).collect()
    }
}

impl World {
    /// Records the lines that a task moved at its present rates; due before those change and before
    /// it leaves its CPU.
    pub(crate) fn record_lines(&mut self, task: TaskId, cpu: CpuId) {
        let thread = &mut self.threads[task];
        let local = self.machine.node_of(thread.rates.place(cpu));
        let in_flight = thread.rates.lines_in_flight;
        let process = thread.process;
        let is_measured = self.measured_from.is_none_or(|from| self.cpus[cpu].clock >= from);
        let mut pressure = self.pressure.as_mut().filter(|_| is_measured);
        for (node, by_kind) in thread.epoch_seen.iter_mut().enumerate() {
            for (write, count) in by_kind.iter_mut().enumerate() {
                let count = std::mem::take(count);
                if count > 0 {
                    let remote = NodeId::from_idx(node) != local;
                    let queue_ns = thread.rates.queue_ns[node];
                    if let Some(resource) = thread.rates.waits_for[node].filter(|_| queue_ns > 0.0)
                    {
                        thread.queued_ns.resize(self.machine.resources.len(), 0.0);
                        thread.queued_ns[usize::from(resource)] += count as f64 * queue_ns;
                    }
                    let idle_ns = thread.rates.latency_ns[node];
                    let held_back = thread.rates.utilisation > 0.0;
                    let wait_ns = if held_back { queue_ns * in_flight } else { 0.0 };
                    if let Some(pressure) = &mut pressure {
                        pressure.note_lines(process, idle_ns + wait_ns, count);
                    }
                    self.recorder.lines(
                        remote,
                        write == 1,
                        idle_ns,
                        wait_ns,
                        thread.rates.utilisation,
                        count,
                    );
                }
            }
        }
    }

    /// Recounts memory and time; panics on a contradiction. Slow: debug builds only.
    fn check(&self) {
        let held = self.threads.iter().filter_map(|thread| match &thread.activity {
            Activity::Copy(copy) => Some((copy.to, Order::Huge.pages())),
            Activity::Clear(clear) => Some((clear.at.node, Order::Huge.pages())),
            Activity::Replay | Activity::Compute(_) | Activity::Busy(_) | Activity::Batch(_) => {
                None
            }
        });
        match &self.pressure {
            Some(pressure) => pressure.check(&self.memory, self.in_flight.is_empty()),
            None => self.memory.validate(&held.collect::<Vec<_>>()),
        }
        for thread in self.threads.iter().filter(|thread| thread.is_user()) {
            if let Some(end) = thread.end {
                let parts = thread.time.total();
                let life = end.since(thread.start);
                assert!(
                    parts <= life,
                    "{}: parts of its time {parts} exceed its life {life}",
                    thread.name
                );
            }
        }
    }

    /// The result of the run.
    pub(crate) fn into_run(
        mut self,
        design: String,
        workload: String,
        axes: BTreeMap<String, String>,
        seed: u64,
    ) -> Run {
        let elapsed = self.ended.unwrap_or(self.queue.now());
        if cfg!(debug_assertions) {
            self.check();
        }
        for idx in 0..self.threads.len() {
            let task = TaskId::from_idx(idx);
            self.record_lines(task, self.sched.cpu_of(task));
        }
        let tasks = self
            .threads
            .enumerate()
            .filter(|(_, thread)| thread.is_user() && thread.start != Nanos::MAX);
        let tasks = tasks.map(|(id, thread)| Task {
            name: thread.name.clone(),
            process: thread.process,
            start: thread.start,
            end: thread.end.unwrap_or(elapsed),
            time: thread.time,
            lines_local: thread.lines_local,
            lines_remote: thread.lines_remote,
            cpu_migrations: self.sched.nr_migrations(id),
            node_migrations: self.decisions.node_moves(id),
            work_done: thread.work_done,
        });
        let tasks = tasks.collect();
        let history = self.take_history(elapsed);
        let reclaim = self.finish_pressure();
        let (series, mut resources) = self.sampler.finish(&self.machine, elapsed);
        for (idx, resource) in resources.iter_mut().enumerate() {
            let queued = self.threads.iter().filter_map(|thread| thread.queued_ns.get(idx));
            resource.queueing = Nanos::from_f64(queued.sum());
        }
        Run {
            design,
            machine: self.machine.name.clone(),
            workload,
            axes,
            seed,
            elapsed,
            vmstat: self.vmstat,
            tasks,
            latency: self.recorder.into_latency(),
            series,
            resources,
            reclaim,
            work_done: self.work_done,
            outcome: self.outcome,
            history,
        }
    }
}
