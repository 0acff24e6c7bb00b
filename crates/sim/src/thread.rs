//! What the engine keeps of each task.

use std::ops::Range;

use base::{FolioId, MmId, Nanos, NodeId};
use mm::{Allocated, Cursor, Mempolicy, Order};
use results::TimeSplit;
use trace::{Step, ThreadStream};

use crate::bandwidth::Rates;
use crate::replay::Seen;

/// A task as the engine runs it.
pub(crate) struct Thread {
    pub(crate) name: String,
    pub(crate) process: u32,
    pub(crate) role: Role,
    pub(crate) activity: Activity,
    pub(crate) wait: Option<Wait>,
    /// Generation of the pending wake-up; an event with another one is stale.
    pub(crate) wake_gen: u32,
    pub(crate) rates: Rates,
    /// Nanoseconds an access took in the last block; sizes the next one.
    pub(crate) access_ns: f64,
    /// Lines since the rates were found, by class; recorded when they change.
    pub(crate) epoch_seen: Vec<[u64; 2]>,
    /// Machine time up to which the task has run; another CPU must not run it earlier.
    pub(crate) clock: Nanos,
    /// Its process was killed: it ends when it next runs its program.
    pub(crate) is_killed: bool,
    /// When it was started; [`Nanos::MAX`] before.
    pub(crate) start: Nanos,
    pub(crate) end: Option<Nanos>,
    pub(crate) time: TimeSplit,
    pub(crate) lines_local: u64,
    pub(crate) lines_remote: u64,
    /// Time spent queueing for each shared bandwidth.
    pub(crate) queued_ns: Vec<f64>,
    pub(crate) work_done: u64,
    /// What was below a nanosecond when time was last rounded.
    pub(crate) rounding_ns: f64,
}

/// What kind of task it is.
pub(crate) enum Role {
    /// A thread of the workload.
    User(Box<User>),
    /// Number of a design's kernel thread.
    Kthread(usize),
    /// kswapd of a node.
    Kswapd(NodeId),
    /// A background daemon.
    Daemon,
}

/// What only threads of the workload have.
pub(crate) struct User {
    pub(crate) mm: MmId,
    /// Started by another thread.
    pub(crate) has_parent: bool,
    pub(crate) stream: Box<dyn ThreadStream>,
    pub(crate) step: Step,
    /// Accesses or pages of `step` that are done.
    pub(crate) done: usize,
    pub(crate) thought: Thought,
    pub(crate) policy: Option<Mempolicy>,
    pub(crate) cursor: Cursor,
    pub(crate) seen: Seen,
    /// Length of the next block of accesses to single pages.
    pub(crate) block: usize,
}

/// What is known of the think times of a step's rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thought {
    /// The row up to which it is known.
    pub(crate) until: usize,
    /// Whether they can be added up in thirty-two bits.
    pub(crate) are_small: bool,
}

/// What a task does when it runs.
#[derive(Clone, Debug)]
pub(crate) enum Activity {
    /// Goes on with its steps.
    Replay,
    /// Computes.
    Compute(Nanos),
    /// Copies a huge page to another node.
    Copy(Copy),
    /// Serves the base pages of a region that were marked at once.
    Batch(Batch),
    /// Clears a huge page.
    Clear(Clear),
    /// Kernel thread or daemon: has work for this long.
    Busy(Nanos),
}

/// A copy under way.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) folio: FolioId,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) zone: u8,
    pub(crate) bytes_left: f64,
}

/// A fault on base pages that were marked at once, being served page by page.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) mm: MmId,
    /// Those that are left to look at.
    pub(crate) pages: Range<u32>,
    pub(crate) write: bool,
    pub(crate) started: Nanos,
}

/// A clearing under way; the page is mapped when it is done, unless somebody was faster.
#[derive(Clone, Debug)]
pub(crate) struct Clear {
    pub(crate) mm: MmId,
    pub(crate) page: u32,
    pub(crate) at: Allocated,
    pub(crate) bytes_left: f64,
}

/// Why a task is blocked, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) since: Nanos,
    pub(crate) why: WaitFor,
}

/// What a blocked task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// The end of a migration.
    Migration,
    /// Others at a barrier.
    Barrier(u32),
    /// A swap or storage device, or memory.high.
    Device,
    /// A timer.
    Timer,
}

impl Thread {
    /// A task that has not started.
    pub(crate) fn new(name: String, process: u32, role: Role, nr_nodes: usize) -> Self {
        Self {
            name,
            process,
            role,
            activity: Activity::Replay,
            wait: None,
            wake_gen: 0,
            rates: Rates::new(nr_nodes),
            access_ns: 100.0,
            epoch_seen: vec![[0; 2]; nr_nodes],
            clock: Nanos::ZERO,
            is_killed: false,
            start: Nanos::MAX,
            end: None,
            time: TimeSplit::default(),
            lines_local: 0,
            lines_remote: 0,
            queued_ns: Vec::new(),
            work_done: 0,
            rounding_ns: 0.0,
        }
    }

    /// The part of a thread of the workload; kernel threads have none.
    pub(crate) fn user(&mut self) -> &mut User {
        match &mut self.role {
            Role::User(user) => user,
            Role::Kthread(_) | Role::Kswapd(_) | Role::Daemon => {
                unreachable!("only threads of the workload replay")
            }
        }
    }

    /// Whether it is a thread of the workload.
    pub(crate) fn is_user(&self) -> bool {
        matches!(self.role, Role::User(_))
    }
}

/// Bytes of a huge page, as a stream's length.
pub(crate) fn huge_bytes() -> f64 {
    Order::Huge.pages().bytes().0 as f64
}
