//! What one run leaves behind.

use std::collections::BTreeMap;

use base::{Nanos, Vmstat};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{History, OomKill, Percentiles};

/// The result of one run: one design on one machine and workload with one seed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Name of the design.
    pub design: String,
    /// Machine's name.
    pub machine: String,
    /// Workload's name.
    pub workload: String,
    /// Values of the experiment's axes.
    pub axes: BTreeMap<String, String>,
    /// Seed.
    pub seed: u64,
    /// Machine time from start to the end of the last thread.
    pub elapsed: Nanos,
    /// Global counters at the end.
    pub vmstat: Vmstat,
    /// Tasks in the order of the workload's threads.
    pub tasks: Vec<Task>,
    /// Access latency by class of access (`local read`, `remote write`, `hint fault`, ...), in ns.
    pub latency: Vec<Latency>,
    /// Sampled over time.
    pub series: Vec<Series>,
    /// Machine bytes moved through each shared bandwidth, and the share of time it was saturated.
    pub resources: Vec<ResourceUse>,
    /// What reclaim counted, on machines that reclaim.
    pub reclaim: Option<ReclaimUse>,
    /// Units of work the workload reported as done.
    pub work_done: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Where threads and memory were, and what moved them.
    pub history: History,
}

impl Run {
    /// Processes that were killed because nothing could be freed.
    pub fn oom_kills(&self) -> &[OomKill] {
        self.reclaim.as_ref().map_or(&[], |reclaim| &reclaim.oom_kills)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All threads reached their end, or the time was up where the workload sets one.
    Finished,
    /// No memory could be freed and no process killed for it, or those that are left wait for one that
    /// was; the text says what was asked for and what was left.
    OutOfMemory(String),
}

/// What one task did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Name.
    pub name: String,
    /// Process number.
    pub process: u32,
    /// When it started.
    #[serde(rename = "start_ns")]
    pub start: Nanos,
    /// When it ended.
    #[serde(rename = "end_ns")]
    pub end: Nanos,
    /// Where its time went.
    #[serde(rename = "time_ns")]
    pub time: TimeSplit,
    /// Lines it moved on its own node.
    pub lines_local: u64,
    /// Lines it moved on other nodes.
    pub lines_remote: u64,
    /// Times it moved to another CPU.
    pub cpu_migrations: u64,
    /// Times it moved to another node.
    pub node_migrations: u64,
    /// Units of work it reported as done. Kept in memory only: files have the run's total.
    #[serde(skip)]
    pub work_done: u64,
}

/// Where a task's time went; the parts add up to its lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSplit {
    /// Computing without memory traffic.
    pub compute: Nanos,
    /// Lines on its own node, at the idle machine's speed.
    pub local: Nanos,
    /// Lines on other nodes, at the idle machine's speed.
    pub remote: Nanos,
    /// What sharing bandwidth added.
    pub queueing: Nanos,
    /// Page faults other than hint faults, with their clearing.
    pub fault: Nanos,
    /// Hint faults.
    pub hint_fault: Nanos,
    /// Moving pages.
    pub migration: Nanos,
    /// Waiting for a page that somebody moves.
    pub migration_wait: Nanos,
    /// Scanning page tables.
    pub scan: Nanos,
    /// Other work of the kernel.
    pub system: Nanos,
    /// Runnable, waiting for a CPU.
    pub runqueue: Nanos,
    /// Asleep: barriers, sleeps, I/O.
    pub sleep: Nanos,
}

impl TimeSplit {
    /// Number of parts.
    pub const NR_PARTS: usize = 12;

    /// The parts with their names as shown to users, from useful work to waiting.
    pub fn parts(&self) -> [(&'static str, Nanos); Self::NR_PARTS] {
        let Self { compute, local, remote, queueing, fault, hint_fault, .. } = *self;
        let Self { migration, migration_wait, scan, system, runqueue, sleep, .. } = *self;
        [
            ("compute", compute),
            ("local memory", local),
            ("remote memory", remote),
            ("queueing for bandwidth", queueing),
            ("page faults", fault),
            ("hint faults", hint_fault),
            ("moving pages", migration),
            ("waiting for moved pages", migration_wait),
            ("scanning page tables", scan),
            ("other kernel work", system),
            ("waiting for a CPU", runqueue),
            ("asleep", sleep),
        ]
    }

    /// Sum of the parts.
    pub fn total(&self) -> Nanos {
        self.parts().into_iter().map(|(_, time)| time).sum()
    }
}

/// What reclaim counted, beyond the counters of every run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReclaimUse {
    /// More of `/proc/vmstat`.
    pub counters: BTreeMap<String, u64>,
    /// Each memory cgroup, the root first; empty where the workload declares none.
    pub memcgs: Vec<MemcgUse>,
    /// Each process, by number.
    #[serde(default)]
    pub processes: Vec<ProcessUse>,
    /// Length of the measured part: what is told of tasks is over.
    #[serde(rename = "measured_ns", default)]
    pub measured: Nanos,
    /// Groups that ran short of memory, held against textbook policies; empty where none is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub yardsticks: Vec<YardstickUse>,
    /// Processes that were killed because nothing could be freed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oom_kills: Vec<OomKill>,
}

/// Misses of one memory cgroup, or of the machine, beside those of textbook policies on the same
/// stream of accesses. First accesses to pages, which miss under all, do not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct YardstickUse {
    /// Path of the group; `/` stands for the machine.
    pub path: String,
    /// Most pages that it held: what policies may hold.
    pub capacity_pages: u64,
    /// Accesses recorded; those that follow each other to one page count once.
    pub accesses: u64,
    /// Different pages accessed.
    pub pages: u64,
    /// Accesses of the run after the recording had its full length.
    pub left_out: u64,
    /// Accesses recorded that found their page gone from memory.
    pub misses: u64,
    /// Misses of Belady's optimum, which knows the future.
    pub best: u64,
    /// Misses of the other policies.
    pub policies: Vec<PolicyMisses>,
}

/// Misses of a textbook policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyMisses {
    /// Its name.
    pub policy: String,
    /// How many.
    pub misses: u64,
}

/// What one memory cgroup used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemcgUse {
    /// Path, beginning with a slash.
    pub path: String,
    /// `memory.current`, `memory.swap.current`, `memory.stat` and `memory.events` at the end, with
    /// those of the groups below; sizes in bytes.
    pub stat: BTreeMap<String, u64>,
    /// What its own tasks did.
    #[serde(flatten)]
    pub tasks: TaskUse,
}

/// What one process did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// Its number.
    pub process: u32,
    /// Its threads' name.
    pub name: String,
    /// What its tasks did.
    #[serde(flatten)]
    pub tasks: TaskUse,
}

/// What the tasks of a process or of a memory cgroup did in the measured part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskUse {
    /// Latencies by class: `access` (lines, and faults and reads as a whole), `direct reclaim`.
    pub latency: BTreeMap<String, Percentiles>,
    /// Faults that read a device or the compressed store.
    #[serde(default)]
    pub major_faults: u64,
    /// Bytes moved between memory and caches, or read of files.
    #[serde(default)]
    pub bytes: u64,
    /// Time in direct reclaim and reclaim for a limit.
    #[serde(rename = "stalled_ns", default)]
    pub stalled: Nanos,
    /// Time that faults and reads waited for devices, the end of writes or memory.high.
    #[serde(rename = "waited_ns", default)]
    pub waited: Nanos,
}

/// Latencies of one class.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Class, as shown to users.
    pub class: String,
    /// In ns, 3 digits.
    pub histogram: Histogram<u64>,
}

/// A quantity over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Quantity (`local`, `migrations`, `bandwidth`).
    pub name: String,
    /// Unit of the values.
    pub unit: String,
    /// What it belongs to (`node 0`), empty for the whole machine.
    pub scope: String,
    /// Ends of the intervals.
    pub at: Vec<Nanos>,
    /// Values.
    pub values: Vec<f64>,
}

/// Use of one shared bandwidth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceUse {
    /// Name of the resource.
    pub name: String,
    /// Bytes moved, weighted by their cost.
    pub bytes: f64,
    /// Share of the elapsed time in which it was saturated.
    pub saturated: f64,
    /// Highest mean rate of an epoch as a share of its peak.
    pub peak_utilisation: f64,
    /// Threads' time spent queueing for it, all together.
    #[serde(rename = "queueing_ns", default)]
    pub queueing: Nanos,
}
