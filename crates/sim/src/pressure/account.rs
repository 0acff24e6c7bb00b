//! What a run under pressure leaves behind: counters, `memory.stat` of each group, latencies.

use std::collections::BTreeMap;
use std::fmt::Write;

use base::{CACHE_LINE_BYTES, CpuId, Nanos, PAGE_BYTES, TaskId, Vm, Vmstat};
use hdrhistogram::Histogram;
use mm::{Memory, Pte};
use reclaim::guest::{Gauge, Stat, Work};
use results::{MemcgUse, Percentiles, ProcessUse, ReclaimUse, TaskUse};

use super::Pressure;
use crate::record::{Latent, histogram};
use crate::world::World;

/// A memory cgroup.
pub(super) struct Group {
    /// Path, beginning with a slash.
    pub(super) path: String,
    /// It is gone.
    pub(super) removed: bool,
}

impl Group {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), removed: false }
    }
}

/// What is recorded of the tasks of a process while it is in a memory cgroup.
pub(super) struct Recorded {
    /// The process, by the guest's number.
    process: u16,
    group: u16,
    /// Accesses: lines, and faults and reads from their beginning to their end.
    access: Histogram<u64>,
    /// Time that faults spent in direct reclaim.
    stalls: Histogram<u64>,
    /// That time, all together.
    stalled: Nanos,
    /// Time that faults waited for devices, for memory.high, for writes to end.
    waited: Nanos,
    major_faults: u64,
    /// Bytes moved between memory and caches, or read of files.
    pub(super) bytes: u64,
}

impl Recorded {
    pub(super) fn new(process: u16, group: u16) -> Self {
        let (stalled, waited) = (Nanos::ZERO, Nanos::ZERO);
        let (access, stalls) = (histogram(), histogram());
        Self { process, group, access, stalls, stalled, waited, major_faults: 0, bytes: 0 }
    }

    /// All records of a process or of a group in one.
    fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        all.fold(Self::new(0, 0), |mut sum, other| {
            // All histograms have the same bounds, so adding cannot fail.
            let _ = sum.access.add(&other.access);
            let _ = sum.stalls.add(&other.stalls);
            sum.stalled += other.stalled;
            sum.waited += other.waited;
            sum.major_faults += other.major_faults;
            sum.bytes += other.bytes;
            sum
        })
    }

    fn note_lines(&mut self, ns: f64, count: u64) {
        self.access.saturating_record_n((ns as u64).max(1), count);
        self.bytes += count * CACHE_LINE_BYTES;
    }

    fn note_fault(&mut self, took: Nanos, class: Latent, work: &Work) {
        self.access.saturating_record(took.0.max(1));
        self.waited += Nanos(work.waited_ns);
        self.major_faults += u64::from(class == Latent::MajorFault);
        if work.stalled_ns > 0 {
            self.stalls.saturating_record(work.stalled_ns);
            self.stalled += Nanos(work.stalled_ns);
        }
    }

    fn finish(self) -> TaskUse {
        let latency = [("access", self.access), ("direct reclaim", self.stalls)];
        let latency = latency.into_iter().filter(|(_, histogram)| !histogram.is_empty());
        let latency =
            latency.map(|(class, histogram)| (class.to_owned(), Percentiles::of(&histogram)));
        TaskUse {
            latency: latency.collect(),
            major_faults: self.major_faults,
            bytes: self.bytes,
            stalled: self.stalled,
            waited: self.waited,
        }
    }
}

/// Sizes in `memory.stat`, bytes.
const SIZES: [(&str, Gauge); 12] = [
    ("anon", Gauge::Anon),
    ("file", Gauge::File),
    ("shmem", Gauge::Shmem),
    ("anon_thp", Gauge::AnonThp),
    ("inactive_anon", Gauge::InactiveAnon),
    ("active_anon", Gauge::ActiveAnon),
    ("inactive_file", Gauge::InactiveFile),
    ("active_file", Gauge::ActiveFile),
    ("unevictable", Gauge::Unevictable),
    ("file_dirty", Gauge::FileDirty),
    ("file_writeback", Gauge::FileWriteback),
    ("slab_reclaimable", Gauge::SlabReclaimable),
];

/// Events in `memory.stat`.
const EVENTS: [Stat; 25] = [
    Stat::pgfault,
    Stat::pgmajfault,
    Stat::pgscan_kswapd,
    Stat::pgscan_direct,
    Stat::pgsteal_kswapd,
    Stat::pgsteal_direct,
    Stat::pgrefill,
    Stat::pgactivate,
    Stat::pgdeactivate,
    Stat::workingset_refault_anon,
    Stat::workingset_refault_file,
    Stat::workingset_activate_anon,
    Stat::workingset_activate_file,
    Stat::workingset_restore_anon,
    Stat::workingset_restore_file,
    Stat::workingset_nodereclaim,
    Stat::pswpin,
    Stat::pswpout,
    Stat::zswpin,
    Stat::zswpout,
    Stat::events_low,
    Stat::events_high,
    Stat::events_max,
    Stat::events_oom,
    Stat::events_oom_kill,
];

impl Pressure {
    /// memory.current, memory.swap.current and memory.stat of a group, by name.
    fn stat_of(&self, group: u16) -> BTreeMap<String, u64> {
        let bytes = |gauge| self.guest.gauge(group, gauge) * PAGE_BYTES;
        let mut stat = BTreeMap::from([
            ("memory.current".to_owned(), bytes(Gauge::Current)),
            ("memory.swap.current".to_owned(), bytes(Gauge::SwapCurrent)),
        ]);
        stat.extend(SIZES.map(|(name, gauge)| (name.to_owned(), bytes(gauge))));
        let events = self.guest.group_stats(group);
        stat.extend(EVENTS.map(|event| {
            let name = event.name().replace("events_", "memory.events.");
            (name, events[event])
        }));
        stat
    }

    /// Why nothing could be freed.
    pub(super) fn full_report(&self, group: u16) -> String {
        let mut text = match group {
            0 => "the machine is full and nothing can be freed; free pages by zone:".to_owned(),
            _ => {
                let path = &self.groups[usize::from(group)].path;
                format!("memory.max of {path} is reached and nothing can be freed; memory.stat:")
            }
        };
        text += &self.state_of(group);
        text
    }

    /// Free pages by zone, or a group's memory.stat, each with a space before it.
    pub(super) fn state_of(&self, group: u16) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if group == 0 {
            for (idx, (node, zone)) in self.zones.iter().enumerate() {
                let free = self.guest.free_pages(idx);
                let _ = write!(text, " node {node} zone {zone} {free}");
            }
        } else {
            for (name, value) in self.stat_of(group).into_iter().filter(|(_, value)| *value > 0) {
                let _ = write!(text, " {name} {value}");
            }
        }
        text
    }

    /// Adds the guest's counters to those that the engine keeps itself; gives the others.
    fn add_counters(&self, vmstat: &mut Vmstat) -> BTreeMap<String, u64> {
        let mut others = BTreeMap::new();
        for (stat, value) in self.guest.vmstat().iter() {
            match Vm::from_name(stat.name()) {
                Some(counter) if vmstat[counter] == 0 => vmstat[counter] = value,
                Some(_) => {}
                None if !stat.name().starts_with("events_") => {
                    others.insert(stat.name().to_owned(), value);
                }
                None => {}
            }
        }
        others
    }

    /// What is recorded of a process in the group that it is in.
    pub(super) fn recorded_of(&mut self, process: u32) -> &mut Recorded {
        let place = self.place_of(process);
        &mut self.recorded[place]
    }

    /// The group that a process is in.
    pub(super) fn group_of(&self, process: u32) -> u16 {
        self.recorded[self.place_of(process)].group
    }

    #[inline]
    fn place_of(&self, process: u32) -> usize {
        self.guest_number(process).map_or(0, |own| self.record_of[usize::from(own)])
    }

    /// From now on a process is in a group.
    pub(super) fn record_in(&mut self, process: u16, group: u16) {
        let is_own = |it: &Recorded| (it.process, it.group) == (process, group);
        let place = self.recorded.iter().position(is_own).unwrap_or_else(|| {
            self.recorded.push(Recorded::new(process, group));
            self.recorded.len() - 1
        });
        self.record_of[usize::from(process)] = place;
    }

    /// Records lines of a task that took so long each.
    pub(crate) fn note_lines(&mut self, process: u32, ns: f64, count: u64) {
        self.recorded_of(process).note_lines(ns, count);
    }

    /// Recounts who is mapped where; panics where the guest and the page tables disagree. Slow: debug
    /// builds only.
    pub(crate) fn check(&self, memory: &Memory, settled: bool) {
        memory.validate_entries();
        // Pages on the move are off their lists.
        if settled {
            self.guest.validate();
        }
        for (mm, space) in memory.spaces.enumerate() {
            for (page, pte) in space.ptes.iter().enumerate() {
                let zone = self.guest.zone_of_mapped(u32::from(mm.0), page as u32);
                let node = zone.map(|zone| self.zones[zone].0);
                let own = pte.has(Pte::PRESENT).then(|| pte.node());
                assert_eq!(node, own, "page {page} of space {mm}");
            }
        }
    }
}

impl World {
    /// Records how long a fault or a read took, and how long of it its task reclaimed.
    pub(super) fn note_fault(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        started: Nanos,
        class: Latent,
        work: &Work,
    ) {
        let took = self.cpus[cpu].clock.since(started) + Nanos(work.waited_ns);
        let stalled = Nanos(work.stalled_ns);
        self.recorder.wait(class, took.saturating_sub(stalled));
        if stalled > Nanos::ZERO {
            self.recorder.wait(Latent::DirectReclaim, stalled);
        }
        let process = self.threads[task].process;
        let is_measured = self.is_measured(started);
        if let Some(pressure) = self.pressure.as_mut().filter(|_| is_measured) {
            pressure.recorded_of(process).note_fault(took, class, work);
        }
    }

    /// The measured part begins: what groups recorded so far, and lines that are not recorded yet, were
    /// set-up.
    pub(crate) fn restart_groups(&mut self) {
        if self.pressure.is_none() {
            return;
        }
        for idx in 0..self.threads.len() {
            let task = TaskId::from_idx(idx);
            if self.threads[task].is_user() && self.tasks[task].alive {
                self.record_lines(task, self.sched.cpu_of(task));
            }
        }
        if let Some(pressure) = &mut self.pressure {
            let recorded = &mut pressure.recorded;
            recorded.iter_mut().for_each(|it| *it = Recorded::new(it.process, it.group));
        }
    }

    /// Adds the guest's counters to the run's, and gives what those do not have.
    pub(crate) fn finish_pressure(&mut self) -> Option<ReclaimUse> {
        let pressure = self.pressure.take()?;
        let counters = pressure.add_counters(&mut self.vmstat);
        let yardsticks = self.yardsticks.take().map(|it| it.finish(&pressure)).unwrap_or_default();
        let stats: Vec<_> =
            (0..pressure.groups.len() as u16).map(|id| pressure.stat_of(id)).collect();
        let recorded = &pressure.recorded;
        let used = pressure.groups.into_iter().zip(stats).zip(0..);
        let used = used.map(|((group, stat), number)| {
            let own = recorded.iter().filter(|it| it.group == number);
            MemcgUse { path: group.path, stat, tasks: Recorded::sum(own).finish() }
        });
        let mut memcgs: Vec<_> = used.collect();
        if memcgs.len() == 1 {
            memcgs.clear();
        }
        let processes = pressure.processes.iter().map(|(number, guest)| {
            let own = recorded.iter().filter(|it| it.process == *guest);
            let tasks = Recorded::sum(own).finish();
            ProcessUse { process: *number, name: self.process_name(*number), tasks }
        });
        let processes = processes.collect();
        let end = self.ended.unwrap_or_default();
        let measured = end.saturating_sub(self.measured_from.unwrap_or_default());
        let oom_kills = pressure.kills;
        Some(ReclaimUse { counters, memcgs, processes, measured, yardsticks, oom_kills })
    }
}
