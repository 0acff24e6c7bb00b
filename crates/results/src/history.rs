//! Where threads and memory were over one run, which decisions moved them, and where threads
//! queued: what "why?" is answered from.
//!
//! It is large, so it has a file of its own beside `run.json` (`history/*.json`), which names its
//! digest. Its size is bounded: whoever fills it thins the samples out.

use base::Nanos;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::latency::hex;

/// Names the form of the document; another number means another meaning of a key.
const FORMAT: &str = "numalab-history-1";

/// The history of one run. Empty where nothing was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When the samples were taken, ascending; the last one at the end of the run.
    #[serde(rename = "at_ns")]
    pub at: Vec<Nanos>,
    /// One of so many samples was kept, so that the size stays bounded; 1 when all were.
    pub kept_one_in: u64,
    /// Threads in the order of the workload.
    pub threads: Vec<ThreadHistory>,
    /// Address spaces that ever had a page, in the order of the workload.
    pub memory: Vec<MemoryHistory>,
    /// How often each kind of decision was taken between two samples.
    pub decisions: Vec<DecisionCounts>,
    /// Pages moved between nodes, by rule, from node and to node.
    pub migrations: Vec<PageFlow>,
    /// What became of hint faults.
    pub hint_faults: HintFaults,
    /// Walks of the scanner, by address space.
    pub scans: Vec<Scans>,
}

/// A thread over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadHistory {
    /// Name.
    pub name: String,
    /// Node of its CPU at each sample; -1 before its start and after its end.
    pub nodes: Vec<i8>,
    /// Moves to another CPU, by reason; reasons that did not occur are left out.
    pub moves: Vec<MoveCount>,
    /// The first moves between nodes; at most a few dozen.
    pub first_moves: Vec<NodeMove>,
    /// Its time spent queueing, by shared bandwidth; those where it did not are left out.
    pub queueing: Vec<Queueing>,
}

/// Why a thread moved to another CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveReason {
    /// It was woken up there.
    WakeUp,
    /// A CPU that went idle pulled it.
    NewidleBalance,
    /// A periodic pass of the load balancer pulled it while it waited.
    LoadBalance,
    /// A periodic pass of the load balancer pulled it while it ran.
    ActiveBalance,
    /// The design sent it to a CPU.
    SchedMoveNuma,
    /// The design exchanged it with another thread.
    SchedSwapNuma,
    /// Its affinity no longer allowed its CPU.
    SetAffinity,
    /// A background daemon displaced it, or it came where such a thread had been.
    Daemon,
}

impl MoveReason {
    /// All reasons, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::WakeUp,
        Self::NewidleBalance,
        Self::LoadBalance,
        Self::ActiveBalance,
        Self::SchedMoveNuma,
        Self::SchedSwapNuma,
        Self::SetAffinity,
        Self::Daemon,
    ];

    /// As shown to users; what the kernel has a trace event for goes by its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WakeUp => "wake-up",
            Self::NewidleBalance => "newidle balance",
            Self::LoadBalance => "load balance",
            Self::ActiveBalance => "active balance",
            Self::SchedMoveNuma => "sched_move_numa",
            Self::SchedSwapNuma => "sched_swap_numa",
            Self::SetAffinity => "set affinity",
            Self::Daemon => "daemon",
        }
    }
}

/// How often a thread moved for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveCount {
    /// Why.
    pub reason: MoveReason,
    /// Moves to another CPU.
    pub cpu: u64,
    /// Those of them to another node.
    pub node: u64,
}

/// A move of a thread to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMove {
    /// When.
    #[serde(rename = "at_ns")]
    pub at: Nanos,
    /// Node it left.
    pub from: u8,
    /// Node it came to.
    pub to: u8,
    /// Why.
    pub reason: MoveReason,
    /// In the words of who decided, such as `preferred node`; empty when the reason says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Time spent queueing for one shared bandwidth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queueing {
    /// Name of the resource.
    pub resource: String,
    /// What sharing it added to the time of the thread's lines.
    #[serde(rename = "time_ns")]
    pub time: Nanos,
}

/// The memory of an address space over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryHistory {
    /// Name of the address space.
    pub name: String,
    /// Resident base pages: for each node, at each sample.
    pub pages: Vec<Vec<u64>>,
}

/// One kind of decision over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionCounts {
    /// Kind: the name of a [`MoveReason`] (moves between nodes only), `sched_stick_numa`, `scan`, or
    /// a rule by which pages move.
    pub kind: String,
    /// How often since the sample before.
    pub counts: Vec<u64>,
}

/// Pages moved from one node to another by one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageFlow {
    /// The kernel's `migrate_reason`, and who moved them where it is not whoever faulted.
    pub rule: String,
    /// Node they left.
    pub from: u8,
    /// Node they came to.
    pub to: u8,
    /// Folios that moved.
    pub folios: u64,
    /// Base pages that moved.
    pub pages: u64,
    /// Folios that could not: no room on the target, or somebody held a reference.
    pub failed: u64,
}

/// What became of hint faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintFaults {
    /// The page was where its user is, and stayed.
    pub local: u64,
    /// The page was elsewhere, and the design left it there.
    pub left: u64,
    /// The design sent the page to another node.
    pub sent: u64,
    /// The page was on its way already, and the thread waited.
    pub waited: u64,
}

/// Walks of the scanner over one address space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scans {
    /// Name of the address space.
    pub space: String,
    /// Walks begun.
    pub count: u64,
    /// When the first one began.
    #[serde(rename = "first_ns")]
    pub first: Nanos,
    /// When the last one began.
    #[serde(rename = "last_ns")]
    pub last: Nanos,
    /// Shortest time from one to the next; zero with a single one.
    #[serde(rename = "shortest_ns")]
    pub shortest: Nanos,
    /// Longest.
    #[serde(rename = "longest_ns")]
    pub longest: Nanos,
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    history: &'a History,
}

#[derive(Deserialize)]
struct Stored {
    format: String,
    history: History,
}

impl History {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The document of its file, one line without a newline at its end.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&Document { format: FORMAT, history: self })
            .expect("plain data with string keys always has a JSON form")
    }

    /// Reads a document back; the text says what is wrong with it.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if stored.format != FORMAT {
            return Err(format!(
                "its format is `{}`, this version reads `{FORMAT}`",
                stored.format
            ));
        }
        stored.history.check()?;
        Ok(stored.history)
    }

    /// Readers index samples without asking.
    fn check(&self) -> Result<(), String> {
        let nr = self.at.len();
        let threads = self.threads.iter().all(|thread| thread.nodes.len() == nr);
        let memory = self.memory.iter().flat_map(|space| &space.pages).all(|one| one.len() == nr);
        let decisions = self.decisions.iter().all(|kind| kind.counts.len() == nr);
        if threads && memory && decisions {
            Ok(())
        } else {
            Err(format!("not everything in it has {nr} samples"))
        }
    }

    /// SHA-256 of the document, hexadecimal; empty for an empty history, which has no file.
    pub(crate) fn digest(&self) -> String {
        if self.is_empty() { String::new() } else { hex(&Sha256::digest(self.to_json())) }
    }
}

impl ThreadHistory {
    /// Moves to another CPU and, of those, to another node.
    pub fn nr_moves(&self) -> (u64, u64) {
        self.moves.iter().fold((0, 0), |sum, one| (sum.0 + one.cpu, sum.1 + one.node))
    }
}
