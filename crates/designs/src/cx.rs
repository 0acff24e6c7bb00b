//! What a design may look at when it decides.

use base::{CpuId, CpuMask, MmId, MmVec, Nanos, NodeId, Pages, Rng, TaskId, TaskVec};
use mm::{Memory, Watermark};
use sched::Sched;
use topology::Machine;

use crate::Move;

/// The readable parts of the world at the moment of a question.
pub struct Cx<'a> {
    /// Machine time: the asking CPU's own clock.
    pub now: Nanos,
    /// The machine.
    pub machine: &'a Machine,
    /// CPUs and run queues.
    pub sched: &'a Sched,
    /// Page tables, folios and zones.
    pub memory: &'a Memory,
    /// What is known of each task.
    pub tasks: &'a TaskVec<TaskInfo>,
    /// What is known of each address space.
    pub spaces: &'a MmVec<SpaceInfo>,
    /// The design's own random stream.
    pub rng: &'a mut Rng,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Its address space; `None` for a kernel thread.
    pub mm: Option<MmId>,
    /// Process number.
    pub process: u32,
    /// CPU time it has used.
    pub cpu_time: Nanos,
    /// When it was started.
    pub started: Nanos,
    /// CPUs it may use.
    pub allowed: CpuMask,
    /// Whether it has not ended.
    pub alive: bool,
    /// Index of the group that the workload declares it a member of.
    pub group: Option<u16>,
    /// Whether the task has a memory policy of its own.
    pub has_policy: bool,
}

/// What is known of an address space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceInfo {
    /// Living tasks that use it.
    pub nr_tasks: u32,
    /// Tasks that ever used it, in the order of their start.
    pub tasks: Vec<TaskId>,
}

impl Cx<'_> {
    /// The node a task runs on, or last ran on.
    pub fn node_of_task(&self, task: TaskId) -> NodeId {
        self.machine.node_of(self.sched.cpu_of(task))
    }

    /// The node of a CPU.
    pub fn node_of(&self, cpu: CpuId) -> NodeId {
        self.machine.node_of(cpu)
    }

    /// Resident base pages of a space.
    pub fn rss(&self, mm: MmId) -> Pages {
        self.memory.spaces[mm].resident
    }

    /// The move that takes `task` to `cpu` by force. Where another task runs, that one is displaced,
    /// and the CPU that `task` leaves goes idle and pulls it: the net effect is an exchange. The
    /// balancer alone would as often pull the newcomer back, which waits while the other one runs.
    pub fn displace(&self, task: TaskId, cpu: CpuId) -> Move {
        let from = self.sched.cpu_of(task);
        let fits = |other: &TaskId| {
            *other != task && self.tasks[*other].mm.is_some() && self.sched.allowed(*other, from)
        };
        self.sched.current(cpu).filter(fits).map_or(Move::To(cpu), Move::Swap)
    }

    /// Whether `node` would stay above its high watermark after taking `pages`, as migration asks.
    pub fn can_take(&self, node: NodeId, pages: Pages) -> bool {
        self.memory.zones.would_stay_above(node, pages, Watermark::High)
    }
}
