//! The questions the engine asks a design, and the answers.

use base::{CpuId, MmId, Nanos, NodeId, Pages, TaskId};
use mm::{Mempolicy, ScanOutcome, ScanPlan};
use sched::Permit;

use crate::Cx;

/// A NUMA-placement design. Every hook defaults to plain Linux without the feature.
pub trait Placement: Send {
    /// The policy of an allocation to which neither mapping nor task gives one. `None`: local. `cx.now`
    /// is when the block of accesses began that the fault is in.
    fn alloc_policy(&mut self, _cx: &mut Cx<'_>, _request: &AllocRequest) -> Option<Mempolicy> {
        None
    }

    /// A task starts; `parent` is `None` for the first of a process.
    fn task_start(&mut self, _cx: &mut Cx<'_>, _task: TaskId, _parent: Option<TaskId>) {}

    /// A task has ended.
    fn task_exit(&mut self, _cx: &mut Cx<'_>, _task: TaskId) {}

    /// A timer tick hit the running task: which PTEs to make inaccessible now, in the task's own
    /// context and at its cost.
    fn scan(&mut self, _cx: &mut Cx<'_>, _task: TaskId) -> Option<ScanPlan> {
        None
    }

    /// A walk is done (asked for by [`Placement::scan`], a kernel thread, or this hook before).
    /// `took` is the time it cost. A plan in the answer is walked at once, in the same go: so a
    /// design can decide mapping by mapping.
    fn scan_done(
        &mut self,
        _cx: &mut Cx<'_>,
        _task: TaskId,
        _outcome: &ScanOutcome,
        _took: Nanos,
    ) -> Option<ScanPlan> {
        None
    }

    /// A hint fault: what was learnt; stay or migrate, and where to.
    fn hint_fault(&mut self, _cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        Verdict::new(fault.word, None)
    }

    /// A migration asked for by [`Placement::hint_fault`] has ended.
    fn migration_done(&mut self, _cx: &mut Cx<'_>, _migration: &Migration) {}

    /// Where a task should run: asked after hint faults, scans, and at ticks.
    fn place_task(&mut self, _cx: &mut Cx<'_>, _task: TaskId, _why: Placing) -> Option<Move> {
        None
    }

    /// In a word or two, what `to` is to a task that [`Placement::place_task`] has just sent there:
    /// for whoever asks why it moved.
    fn place_reason(&self, _task: TaskId, _to: NodeId) -> &'static str {
        ""
    }

    /// The node a new or woken task should be put on.
    fn preferred_node(&mut self, _cx: &mut Cx<'_>, _task: TaskId) -> Option<NodeId> {
        None
    }

    /// Whether the load balancer may move a task to another CPU.
    fn can_migrate_task(&mut self, _cx: &mut Cx<'_>, _task: TaskId, _to: CpuId) -> Permit {
        Permit::Default
    }

    /// Kernel threads the design runs; they are tasks like others and take CPU time.
    fn kthreads(&self) -> Vec<Kthread> {
        Vec::new()
    }

    /// What kernel thread number `idx` (in the order of [`Placement::kthreads`]) does next.
    fn kthread(&mut self, _cx: &mut Cx<'_>, _idx: usize) -> KthreadWork {
        KthreadWork::Sleep(Nanos::from_secs(3600))
    }
}

/// An allocation by a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocRequest {
    /// Faulting task.
    pub task: TaskId,
    /// Its CPU.
    pub cpu: CpuId,
    /// That CPU's node.
    pub node: NodeId,
    /// Space and page.
    pub mm: MmId,
    /// Page in the space.
    pub page: u32,
    /// Base pages wanted.
    pub pages: Pages,
}

/// A fault on an entry that a scanner had made inaccessible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintFault {
    /// Faulting task.
    pub task: TaskId,
    /// Its CPU.
    pub cpu: CpuId,
    /// That CPU's node.
    pub node: NodeId,
    /// Space.
    pub mm: MmId,
    /// Page in the space.
    pub page: u32,
    /// Node the page is on.
    pub page_node: NodeId,
    /// Base pages the entry maps: 1 or 512.
    pub pages: Pages,
    /// The word the design stored with the folio; 0 when it has not stored any.
    pub word: u32,
    /// Whether the access writes.
    pub write: bool,
    /// Whether the page was under migration and the task had to wait for it.
    pub waited: bool,
    /// Whether one fault is for all marked base pages of 2 MiB, this being one of them.
    pub batch: bool,
}

/// Answer to a hint fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The word to store with the folio.
    pub word: u32,
    /// Where to move the page; `None`: it stays.
    pub migrate_to: Option<NodeId>,
    /// Whether the page was found worth a place in a faster tier, room or not.
    pub candidate: bool,
}

impl Verdict {
    /// Keeps a word with the page, and moves it or not.
    pub const fn new(word: u32, migrate_to: Option<NodeId>) -> Self {
        Self { word, migrate_to, candidate: false }
    }
}

/// A migration that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Task whose fault asked for it.
    pub task: TaskId,
    /// Where the page was.
    pub from: NodeId,
    /// Where it was to go.
    pub to: NodeId,
    /// Base pages.
    pub pages: Pages,
    /// Whether it moved; it fails when the target is full or somebody else holds the page.
    pub moved: bool,
}

/// Why a task's place is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// It took a hint fault.
    HintFault,
    /// It finished a scan.
    ScanDone,
    /// A tick.
    Tick,
}

/// Where to put a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Onto this CPU; whoever runs there shares it until the balancer acts.
    To(CpuId),
    /// Exchange CPUs with this task.
    Swap(TaskId),
}

/// A kernel thread of a design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kthread {
    /// Name, as `ps` would show it.
    pub name: String,
    /// Node it is tied to; `None` for any CPU.
    pub node: Option<NodeId>,
}

/// What a kernel thread does next.
#[derive(Clone, Debug, PartialEq)]
pub enum KthreadWork {
    /// Walks page tables.
    Scan(ScanPlan),
    /// Moves a page.
    Migrate(PageMove),
    /// Sleeps.
    Sleep(Nanos),
}

/// A page to be moved by a kernel thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageMove {
    /// Space.
    pub mm: MmId,
    /// Page in the space.
    pub page: u32,
    /// Where to.
    pub to: NodeId,
}
