//! Manual binding: the yardstick. Each process is tied to a node, or to as many nodes as its
//! threads need, with its memory; what an expert with `numactl` would do.
//!
//! Processes take nodes in turn in the order of their start: a process with more threads than a
//! node has CPUs gets several nodes. A process whose threads all fit on one node is put on one.

use base::{NodeId, NodeMask, TaskId};
use config::{Described, NoKnobs};

use crate::{AllocRequest, Cx, Design, Mempolicy, Placement};

/// Processes tied to nodes by hand.
#[derive(Debug)]
pub struct Bind {
    cpu_nodes: Vec<NodeId>,
    cpus_per_node: usize,
    /// Nodes of each process, in the order of process numbers seen.
    homes: Vec<(u32, NodeMask)>,
    next: usize,
}

impl Bind {
    fn home(&mut self, cx: &Cx<'_>, task: TaskId) -> NodeMask {
        let process = cx.tasks[task].process;
        if let Some((_, home)) = self.homes.iter().find(|(known, _)| *known == process) {
            return *home;
        }
        let threads =
            cx.tasks.iter().filter(|other| other.process == process && other.mm.is_some()).count();
        let nr_nodes = threads.div_ceil(self.cpus_per_node.max(1)).clamp(1, self.cpu_nodes.len());
        let home: NodeMask =
            (0..nr_nodes).map(|k| self.cpu_nodes[(self.next + k) % self.cpu_nodes.len()]).collect();
        self.next += nr_nodes;
        self.homes.push((process, home));
        home
    }
}

impl Placement for Bind {
    fn alloc_policy(&mut self, cx: &mut Cx<'_>, request: &AllocRequest) -> Option<Mempolicy> {
        let home = self.home(cx, request.task);
        let turn = u64::from(request.page) / request.pages.0 % home.len() as u64;
        Some(Mempolicy::Preferred(home.nth(turn as usize)?))
    }

    fn preferred_node(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<NodeId> {
        let home = self.home(cx, task);
        home.iter().min_by_key(|node| (cx.sched.node_nr_running(*node), *node))
    }

    fn can_migrate_task(
        &mut self,
        cx: &mut Cx<'_>,
        task: TaskId,
        to: base::CpuId,
    ) -> sched::Permit {
        if cx.tasks[task].mm.is_none() || self.home(cx, task).contains(cx.node_of(to)) {
            sched::Permit::Default
        } else {
            sched::Permit::Refuse
        }
    }
}

impl Described for Bind {
    const NAME: &'static str = "bind";
    const LINEAGE: &'static str =
        "manual binding (numactl --cpunodebind --membind by an expert): the yardstick";
    const SOURCE: &'static str = "practice; the HARD_BIND variants of autonuma-benchmark";
    const LEFT_OUT: &'static str =
        "knowledge of which thread uses which page inside a process of several nodes";
    type Knobs = NoKnobs;
}

impl Design for Bind {
    type State = Self;

    fn new(_knobs: NoKnobs, machine: &topology::Machine) -> Self {
        let cpu_nodes: Vec<NodeId> = machine.cpu_nodes().iter().collect();
        let cpus_per_node =
            cpu_nodes.iter().map(|node| machine.nodes[*node].cpus.len()).min().unwrap_or(1);
        Self { cpu_nodes, cpus_per_node, homes: Vec::new(), next: 0 }
    }
}
