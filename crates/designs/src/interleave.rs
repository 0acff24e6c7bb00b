//! Interleave: pages go round all memory nodes, whoever touches them.
//!
//! As `numactl --interleave=all`. The offset in the address space picks the node, so the result
//! does not depend on which thread faults first.

use base::NodeMask;

use crate::{AllocRequest, Cx, Design, Mempolicy, Placement};

config::config! {
    /// Interleave has no constants.
    pub struct Knobs {}
}

/// All memory nodes in turn.
#[derive(Debug)]
pub struct Interleave {
    nodes: NodeMask,
}

impl Placement for Interleave {
    fn alloc_policy(&mut self, _cx: &mut Cx<'_>, request: &AllocRequest) -> Option<Mempolicy> {
        // In thirty-two bits, where a division is faster.
        let turn = request.page / request.pages.0 as u32;
        self.nodes.turn(turn.into()).map(|node| Mempolicy::Interleave(NodeMask::only(node)))
    }
}

impl Design for Interleave {
    const NAME: &'static str = "interleave";
    const LINEAGE: &'static str =
        "numactl --interleave=all: pages round-robin over all memory nodes (Andi Kleen, 2004)";
    const SOURCE: &'static str = "Linux, mm/mempolicy.c, MPOL_INTERLEAVE";
    const LEFT_OUT: &'static str = "a task's own cursor: the page's offset picks the node";
    type Knobs = Knobs;

    fn new(_knobs: Knobs, machine: &topology::Machine) -> Self {
        Self { nodes: machine.memory_nodes() }
    }
}
