//! The language of the recorded cases: machines, cgroups, processes and what their threads do.

use reclaim::guest::Policy;
use thiserror::Error;

/// What is wrong with a file of the suite, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct CaseError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column of the word, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// A case: machine, knobs, devices, cgroups, processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Name of the file without its ending.
    pub name: String,
    /// The guest machine.
    pub guest: GuestLine,
    /// Knobs written before anything else, in order: path and value.
    pub sys: Vec<(String, String)>,
    /// Whether /data exists on a RAM disk, and its readahead in KiB.
    pub fs_ra_kib: Option<u64>,
    /// Synchronous swap of this many MiB.
    pub swap_mib: Option<u64>,
    /// Whether the synchronous swap compresses.
    pub zram: bool,
    /// Emulated disks.
    pub disks: Vec<Disk>,
    /// Distance of samples in ms, if any are taken.
    pub sample_ms: Option<u64>,
    /// Cgroups, parents before children.
    pub cgroups: Vec<Cgroup>,
    /// Processes in their order.
    pub procs: Vec<Proc>,
}

impl Case {
    /// Labels of all snapshots that its processes print.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let threads = self.procs.iter().flat_map(|proc| &proc.threads);
        threads.flat_map(|thread| &thread.steps).filter_map(|step| match step {
            Step::Snap(label) | Step::Fork { label, .. } => Some(label.as_str()),
            _ => None,
        })
    }
}

/// The `# guest:` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestLine {
    /// Nodes.
    pub nodes: usize,
    /// Memory by node in MiB.
    pub mib: Vec<u64>,
    /// CPUs by node.
    pub cpus: Vec<usize>,
    /// As written; empty for the default of 20.
    pub dist: String,
    /// A guest instruction takes 2^shift ns.
    pub shift: u32,
    /// Whether nodes above 0 are described as slower.
    pub hmat: bool,
}

impl GuestLine {
    /// Distances between the nodes, row by row.
    pub fn distances(&self) -> Vec<Vec<u32>> {
        let plain = self.dist.parse().unwrap_or(20);
        let rows: Vec<Vec<u32>> = self
            .dist
            .split('/')
            .map(|row| row.split(',').filter_map(|d| d.parse().ok()).collect())
            .collect();
        let is_matrix = rows.len() == self.nodes && rows.iter().all(|row| row.len() == self.nodes);
        if is_matrix && self.nodes > 1 {
            return rows;
        }
        let row = |a: usize| (0..self.nodes).map(|b| if a == b { 10 } else { plain }).collect();
        (0..self.nodes).map(row).collect()
    }
}

/// A `nulldisk`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// /dev/NAME.
    pub name: String,
    /// Latency of a request in ns.
    pub latency_ns: u64,
    /// Throughput in MB/s, 0 for no limit.
    pub mbps: u64,
    /// Requests in flight.
    pub depth: u64,
    /// Whether it is swap.
    pub swap: bool,
    /// Whether /data is on it.
    pub fs: bool,
    /// Readahead in KiB.
    pub ra_kib: u64,
    /// Size in MiB.
    pub mib: u64,
}

/// A cgroup and its limits in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Path, `a/b` for a child.
    pub name: String,
    /// memory.max.
    pub max: Option<u64>,
    /// memory.high.
    pub high: Option<u64>,
    /// memory.low.
    pub low: u64,
    /// memory.min.
    pub min: u64,
    /// memory.swap.max.
    pub swap_max: Option<u64>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proc {
    /// Its name.
    pub name: String,
    /// Its cgroup, empty for the root.
    pub cgroup: String,
    /// Whether anonymous regions may have huge pages.
    pub thp: bool,
    /// Starts when that process has ended.
    pub after: Option<String>,
    /// Regions.
    pub regions: Vec<Region>,
    /// Threads.
    pub threads: Vec<Thread>,
}

/// What a region holds and how it is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Private anonymous memory.
    #[default]
    Anon,
    /// Mapped tmpfs.
    Shmem,
    /// A mapped file.
    File,
    /// A file by pread and pwrite.
    Io,
}

/// A region of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Pages.
    pub pages: u64,
    /// Of a file; empty for one of its own.
    pub path: String,
    /// Memory policy.
    pub policy: Policy,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// CPUs it may use; empty for all.
    pub cpus: Vec<usize>,
    /// What it does.
    pub steps: Vec<Step>,
}

/// A step of a thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Loads, stores or file I/O.
    Touch(Touch),
    /// Changes affinity.
    Cpu(Vec<usize>),
    /// Sleeps.
    Sleep { ms: u64 },
    /// Waits for so many threads.
    Barrier { id: u64, nr: u64 },
    /// Prints all counters.
    Snap(String),
    /// Prints where pages are.
    Where(String),
    /// madvise().
    Advise { region: String, advice: String },
    /// mbind().
    Policy { region: String, policy: Policy },
    /// Goes to another cgroup.
    Join(String),
    /// mlock().
    Lock(String),
    /// munlock().
    Unlock(String),
    /// A child touches, prints, exits.
    Fork { label: String, touch: Touch },
    /// Names of a directory are looked up or made.
    Names { verb: NameVerb, dir: String, count: u64, first: u64 },
}

/// What is done with names of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameVerb {
    /// Look up names that do not exist.
    Negative,
    /// Create empty files.
    Create,
    /// stat() files.
    Stat,
}

/// A pattern of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// In order, around and around.
    #[default]
    Seq,
    /// Uniformly random.
    Uniform,
    /// Zipf with the exponent in quarters.
    Zipf(u8),
    /// Alternately hot at random and a cyclic scan.
    ScanMix,
}

/// A touch step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// The region.
    pub region: String,
    /// Which pages.
    pub pattern: Pattern,
    /// Store or load.
    pub write: bool,
    /// Touches; `None` if a time is given.
    pub count: Option<u64>,
    /// Guest ms to go on for.
    pub ms: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// First page.
    pub first: u64,
    /// Pages, 0 for all from `first`.
    pub span: u64,
    /// Pages of the hot part of `scanmix`.
    pub hot: u64,
    /// Distance of samples, 0 for none.
    pub watch: u64,
    /// Pause after that many touches, in µs.
    pub pace: Option<(u64, u64)>,
}
