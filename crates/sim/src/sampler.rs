//! Time series and the use of shared bandwidths.
//!
//! Totals are kept as they stand at each sample and turned into rates at the end. When there are too
//! many samples every other one is dropped and the interval doubles, so a run of any length ends
//! with a few hundred points.

use base::{Nanos, Vm, Vmstat};
use results::{ResourceUse, Series};
use topology::{Machine, ResourceKind};

use crate::bandwidth::Bandwidth;
use crate::history::Whereabouts;
use crate::world::World;

/// Most samples kept.
const MOST: usize = 512;

/// Samples totals over time.
pub(crate) struct Sampler {
    interval: Nanos,
    next: Nanos,
    at: Vec<Nanos>,
    stats: Vec<Vmstat>,
    /// Bytes through each resource so far, at each sample.
    bytes: Vec<Vec<f64>>,
    resources: Vec<Used>,
    /// What the history is made from.
    pub(crate) seen: Whereabouts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    bytes: f64,
    saturated_ns: u64,
    peak: f64,
}

impl Sampler {
    pub(crate) fn new(machine: &Machine, interval: Nanos) -> Self {
        Self {
            interval: interval.max(Nanos(1)),
            next: Nanos::ZERO,
            at: Vec::new(),
            stats: Vec::new(),
            bytes: Vec::new(),
            resources: vec![Used::default(); machine.resources.len()],
            seen: Whereabouts { kept_one_in: 1, ..Whereabouts::default() },
        }
    }

    /// Adds an epoch's traffic as it was solved for.
    pub(crate) fn account_resources(
        &mut self,
        machine: &Machine,
        bandwidth: &Bandwidth,
        epoch: Nanos,
    ) {
        for idx in 0..machine.resources.len() {
            let (load, capacity) = bandwidth.load(idx);
            let used = &mut self.resources[idx];
            used.bytes += load * epoch.as_secs_f64();
            used.saturated_ns += if bandwidth.is_saturated(idx) { epoch.0 } else { 0 };
            used.peak = used.peak.max(load / capacity);
        }
    }

    fn thin_out(&mut self) {
        fn every_other<T>(items: &mut Vec<T>) {
            let mut idx = 0;
            items.retain(|_| {
                idx += 1;
                idx % 2 == 0
            });
        }
        every_other(&mut self.at);
        every_other(&mut self.stats);
        every_other(&mut self.bytes);
        every_other(&mut self.seen.at);
        every_other(&mut self.seen.threads);
        every_other(&mut self.seen.memory);
        every_other(&mut self.seen.totals);
        self.seen.kept_one_in *= 2;
        self.interval = self.interval * 2;
    }

    /// Rates between samples, and the totals of resources.
    pub(crate) fn finish(
        self,
        machine: &Machine,
        elapsed: Nanos,
    ) -> (Vec<Series>, Vec<ResourceUse>) {
        let mut series = vec![self.local_pct()];
        let per_s = [
            (Vm::numa_pages_migrated, "migrations", "pages/s", 1.0),
            (Vm::numa_hint_faults, "hint faults", "1/s", 1.0),
            (Vm::sim_system_ns, "system time", "CPUs", 1e-9),
            (Vm::sim_user_ns, "user time", "CPUs", 1e-9),
        ];
        series.extend(
            per_s.map(|(counter, name, unit, scale)| self.counter_rate(counter, name, unit, scale)),
        );
        for (idx, resource) in machine.resources.iter().enumerate() {
            if let ResourceKind::Controller(node) = resource.kind {
                series.push(self.bandwidth_of(idx, &format!("node {node}")));
            }
        }
        let total = elapsed.as_secs_f64().max(1e-9);
        let uses =
            machine.resources.iter().zip(&self.resources).map(|(resource, used)| ResourceUse {
                name: resource.name.clone(),
                bytes: used.bytes,
                saturated: (used.saturated_ns as f64 / 1e9 / total).min(1.0),
                peak_utilisation: used.peak,
                queueing: Nanos::ZERO,
            });
        (series, uses.collect())
    }

    fn series(&self, name: &str, unit: &str, scope: &str, value: impl Fn(usize) -> f64) -> Series {
        Series {
            name: name.to_owned(),
            unit: unit.to_owned(),
            scope: scope.to_owned(),
            at: self.at.iter().skip(1).copied().collect(),
            values: (1..self.at.len()).map(value).collect(),
        }
    }

    fn span_s(&self, idx: usize) -> f64 {
        (self.at[idx] - self.at[idx - 1]).as_secs_f64()
    }

    fn local_pct(&self) -> Series {
        self.series("local accesses", "%", "", |idx| {
            let diff = self.stats[idx].since(&self.stats[idx - 1]);
            let (local, remote) =
                (diff[Vm::sim_lines_local] as f64, diff[Vm::sim_lines_remote] as f64);
            if local + remote > 0.0 { 100.0 * local / (local + remote) } else { 100.0 }
        })
    }

    fn counter_rate(&self, counter: Vm, name: &str, unit: &str, scale: f64) -> Series {
        self.series(name, unit, "", |idx| {
            let diff = self.stats[idx].since(&self.stats[idx - 1]);
            diff[counter] as f64 * scale / self.span_s(idx)
        })
    }

    fn bandwidth_of(&self, resource: usize, scope: &str) -> Series {
        self.series("bandwidth", "GB/s", scope, |idx| {
            (self.bytes[idx][resource] - self.bytes[idx - 1][resource]) / self.span_s(idx) / 1e9
        })
    }
}

impl World {
    /// Takes a sample when one is due.
    pub(crate) fn sample(&mut self, now: Nanos) {
        if now < self.sampler.next {
            return;
        }
        let sampler = &mut self.sampler;
        sampler.at.push(now);
        sampler.stats.push(self.vmstat.clone());
        sampler.bytes.push(sampler.resources.iter().map(|used| used.bytes).collect());
        let node_of = |(task, thread): (base::TaskId, &crate::thread::Thread)| {
            if thread.end.is_none() && thread.start != Nanos::MAX {
                self.sched.node_of(task).0
            } else {
                u8::MAX
            }
        };
        let threads = self.threads.enumerate().filter(|(_, thread)| thread.is_user());
        sampler.seen.at.push(now);
        sampler.seen.totals.push(*self.decisions.totals());
        sampler.seen.threads.push(threads.map(node_of).collect());
        let nodes = self.machine.nodes.len();
        let resident =
            self.spaces.ids().flat_map(|mm| self.memory.resident_by_node(mm).iter().take(nodes));
        sampler.seen.memory.push(resident.copied().collect());
        if sampler.at.len() > MOST {
            sampler.thin_out();
        }
        sampler.next = now + sampler.interval;
    }
}
