//! What a thread does, as the engine consumes it: steps of accesses and events.
//!
//! A [`Workload`] says which address spaces and threads there are; each thread owns a
//! [`ThreadStream`] that yields [`Step`]s until [`Step::End`]. Recorded traces yield
//! [`Step::Points`] that borrow decoded chunks (decoded once, shared by every run); generators
//! yield [`Step::Sweep`]s and small batches of points and are never materialised whole.

use std::ops::Range;
use std::sync::Arc;

use base::{Bytes, CpuMask, MmId, MmVec, Nanos, NodeMask, Pages};
use serde::{Deserialize, Serialize};

use crate::TraceError;

/// Address spaces, threads and the rules of a run; opened once per run.
pub struct Workload {
    /// As shown to users.
    pub name: String,
    /// SHA-256 of everything that decides the streams (file content or generator settings).
    pub digest: String,
    /// Address spaces and files, densely renumbered.
    pub spaces: MmVec<Space>,
    /// The threads. Those without a parent start at time zero.
    pub threads: Vec<Thread>,
    /// Run for this long instead of to the end of the streams (throughput is then the result),
    /// counted from the first [`Event::MeasureFrom`] where there is one.
    pub stop_after: Option<Nanos>,
    /// Whether the run watches for convergence, and what follows from it.
    pub convergence: Convergence,
    /// What the workload declares about itself for designs that ask (virtual NUMA groups).
    pub groups: Vec<Group>,
    /// Memory cgroups that its file declares.
    pub memcgs: Vec<Memcg>,
}

/// A memory cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memcg {
    /// Path below the root, such as `/shop/cache`.
    pub path: String,
    /// Its limits and members.
    pub settings: MemcgSettings,
}

config::config! {
    /// A memory cgroup. Groups above it that are not declared have no limits.
    #[derive(Eq)]
    pub struct MemcgSettings {
        /// `memory.max`: usage never goes above; where too little can be freed, a process of the group
        /// is killed. Left out, no limit.
        pub max: Option<Bytes> = None,
        /// `memory.high`: above it tasks reclaim and are slowed down. Left out, no limit.
        pub high: Option<Bytes> = None,
        /// `memory.low`: below it the group is spared while others have pages to give.
        pub low: Bytes = Bytes::ZERO,
        /// `memory.min`: below it the group is spared always.
        pub min: Bytes = Bytes::ZERO,
        /// `memory.soft_limit_in_bytes` of cgroup v1, which designs of 2009 to 2013 look at. Left out,
        /// what the design takes for that: mostly no limit.
        pub soft_limit: Option<Bytes> = None,
        /// `memory.swap.max`. Left out, no limit.
        pub swap_max: Option<Bytes> = None,
        /// `/proc/PID/oom_score_adj` of its processes, from -1000 (never killed) to 1000: what the OOM
        /// killer adds to their memory, in thousandths of all there is.
        #[check(config::in_range(-1000..=1000))]
        pub oom_score_adj: i32 = 0,
        /// Numbers of the processes in it, as results show them. Processes that no group names are
        /// in the root.
        pub processes: Vec<u32> = Vec::new(),
        /// Whether it has every process that no group names.
        pub others: bool = false,
    }
}

/// What a run does about convergence as `perf bench numa mem` defines it: the threads of every
/// process run on one node, so that the sum over nodes of the distinct processes seen there equals
/// the number of processes. Only where threads run counts, not where memory is; kernel threads and
/// threads that have ended do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Convergence {
    /// Nobody looks.
    #[default]
    Ignored,
    /// The first time after [`Event::MeasureFrom`] that it holds is recorded (`-c`).
    Recorded,
    /// The same, and the run ends there (`-m`); [`Workload::stop_after`] limits the wait.
    EndsRun,
}

/// An address space or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Process name or path.
    pub name: String,
    /// Pages it may touch, `0..nr_pages`.
    pub nr_pages: Pages,
    /// Whether it is a file's page cache instead of anonymous memory.
    pub file: bool,
    /// Whether the file is mapped executable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// Mappings at the start, ascending and apart; recorded traces without `mmap` events have one
    /// that covers everything.
    pub mappings: Vec<Mapping>,
}

/// A mapped range of an address space (the kernel's VMA).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Pages covered.
    pub pages: Range<u32>,
    /// Whether the program asked for huge pages (`MADV_HUGEPAGE`) or against them; `None` leaves it
    /// to the kernel's setting.
    pub thp: Option<bool>,
    /// Policy of the mapping, where it has one.
    pub policy: Option<Mempolicy>,
}

/// One thread.
pub struct Thread {
    /// As shown to users.
    pub name: String,
    /// Process it belongs to: threads of one process share this number.
    pub process: u32,
    /// Its address space.
    pub mm: MmId,
    /// Index of the thread whose [`Event::Spawn`] starts it; `None`: it starts at time zero.
    pub parent: Option<usize>,
    /// CPUs it may use at the start; empty for all.
    pub allowed: CpuMask,
    /// What it does.
    pub stream: Box<dyn ThreadStream>,
}

/// Threads that belong together by declaration, with the memory they share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As shown to users.
    pub name: String,
    /// Indices of threads.
    pub threads: Vec<usize>,
    /// The address space and pages they share.
    pub memory: (MmId, Range<u32>),
}

/// Yields the steps of one thread in order.
pub trait ThreadStream: Send {
    /// The next step. After [`Step::End`] it keeps returning that.
    ///
    /// # Errors
    /// A damaged trace, with the position; the run cannot go on.
    fn next_step(&mut self) -> Result<Step, TraceError>;
}

/// What a thread does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Accesses to single pages; the range selects rows of the shared arrays.
    Points(Arc<Points>, Range<usize>),
    /// A run over consecutive pages.
    Sweep(Sweep),
    /// Something other than an access.
    Event(Event),
    /// The thread is done.
    End,
}

/// Accesses to single pages of one address space, as arrays of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Space all of these belong to.
    pub mm: MmId,
    /// Page number in the space.
    pub page: Vec<u32>,
    /// Packed traffic, see [`Traffic`].
    pub traffic: Vec<Traffic>,
    /// Time spent without memory traffic before the access, in ns.
    pub think_ns: Vec<u32>,
    /// Whether each row is part of a run the prefetchers follow (else it is a random access).
    pub sequential: bool,
    /// Whether each row's address comes from the row before (a pointer chase): one cache-line miss
    /// in flight instead of the core's usual number.
    pub dependent: bool,
}

/// What one access moves between memory and the caches: fills, dirty evictions, and whether it
/// writes the page.
///
/// Lines in both directions take the lowest bits, since that is what the replay loop reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic(u16);

impl Traffic {
    /// Most lines of one direction.
    pub const MAX_LINES: u16 = 127;

    /// Lines filled and dirty lines evicted, each at most [`Traffic::MAX_LINES`], and whether the
    /// access writes.
    pub const fn new(fills: u16, evictions: u16, write: bool) -> Self {
        debug_assert!(fills <= Self::MAX_LINES && evictions <= Self::MAX_LINES);
        Self((fills + evictions) | evictions << 8 | (write as u16) << 15)
    }

    /// Lines read from memory.
    pub const fn fills(self) -> u16 {
        self.lines() - self.evictions()
    }

    /// Dirty lines written to memory.
    pub const fn evictions(self) -> u16 {
        self.0 >> 8 & 127
    }

    /// Lines moved in either direction.
    #[inline]
    pub const fn lines(self) -> u16 {
        self.0 & 255
    }

    /// Whether the access writes the page.
    #[inline]
    pub const fn is_write(self) -> bool {
        self.0 >> 15 == 1
    }
}

/// A run over consecutive pages, each touched once in full or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Space.
    pub mm: MmId,
    /// First page.
    pub page: u32,
    /// Pages.
    pub nr_pages: u32,
    /// What each page moves. As the 2012 benchmarks count bytes written, a full sweep has
    /// 64 fills and no evictions: the machine's peaks are stated in the same measure.
    pub traffic: Traffic,
    /// Time without memory traffic per page, in ns.
    pub think_ns: u32,
    /// Whether the prefetchers follow it (a sweep in short random blocks is not followed).
    pub sequential: bool,
}

/// Something other than an access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Starts the thread of that index.
    Spawn(usize),
    /// Maps pages.
    Mmap(MmId, Mapping),
    /// Unmaps and frees pages.
    Munmap(MmId, Range<u32>),
    /// Advice on a range.
    Madvise(MmId, Range<u32>, Advice),
    /// Sets the thread's own memory policy.
    SetMempolicy(Mempolicy),
    /// Sets the policy of a range.
    Mbind(MmId, Range<u32>, Mempolicy),
    /// Restricts the thread to these CPUs; empty for all.
    SetAffinity(CpuMask),
    /// Restricts the thread to the CPUs of these nodes; empty for all.
    SetNodes(NodeMask),
    /// Moves the thread's process into a memory cgroup, by path.
    MoveCgroup(String),
    /// Removes a memory cgroup without processes, by path: its pages go to the group above.
    RemoveCgroup(String),
    /// read() of whole pages of a file, into a buffer of the thread's.
    Read(MmId, Range<u32>),
    /// Waits until `parties` threads have come to barrier `id`.
    Barrier {
        /// Number of the barrier.
        id: u32,
        /// Threads that must arrive.
        parties: u32,
    },
    /// Sleeps.
    Sleep(Nanos),
    /// Computes without memory traffic.
    Compute(Nanos),
    /// The measured part begins: what came before is set-up (its time stays in the elapsed time
    /// unless the experiment says otherwise).
    MeasureFrom,
    /// The same, after so much time at work: warming up is set-up as well.
    MeasureAfter(Nanos),
    /// One unit of the workload's own work is done (an operation, a loop).
    WorkDone(u64),
    /// The run is over, whatever other threads still do.
    EndRun,
}

/// `madvise` as far as it is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Advice {
    /// `MADV_HUGEPAGE`.
    HugePage,
    /// `MADV_NOHUGEPAGE`.
    NoHugePage,
    /// `MADV_DONTNEED`: the pages are freed at once.
    DontNeed,
    /// `MADV_FREE`: the pages may be freed.
    Free,
    /// `MADV_WILLNEED`: the pages are read ahead.
    WillNeed,
}

/// Memory policy of a thread or a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mempolicy {
    /// The node of the allocating CPU, then its fallback list.
    Local,
    /// This node, then its fallback list.
    Preferred(NodeMask),
    /// Any of these nodes by distance, then anywhere.
    PreferredMany(NodeMask),
    /// Only these nodes, the nearest first.
    Bind(NodeMask),
    /// These nodes in turn.
    Interleave(NodeMask),
    /// These nodes in turn, each for as many pages as its weight.
    WeightedInterleave(Vec<(base::NodeId, u8)>),
}

impl Workload {
    /// Pages of all spaces together.
    pub fn nr_pages(&self) -> Pages {
        self.spaces.iter().map(|space| space.nr_pages).sum()
    }

    /// Memory of all spaces together.
    pub fn footprint(&self) -> Bytes {
        self.nr_pages().bytes()
    }
}
