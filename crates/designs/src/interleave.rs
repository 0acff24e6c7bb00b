//! Interleave: pages go round all memory nodes, whoever touches them.
//!
//! As `numactl --interleave=all`. The offset in the address space picks the node, so the result
//! does not depend on which thread faults first.

use base::NodeMask;
use config::{Described, NoKnobs};

use crate::{AllocRequest, Cx, Design, Mempolicy, Placement};

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

impl Described for Interleave {
    const NAME: &'static str = "interleave";
    const LINEAGE: &'static str =
        "numactl --interleave=all: pages round-robin over all memory nodes (Andi Kleen, 2004)";
    const SOURCE: &'static str = "Linux, mm/mempolicy.c, MPOL_INTERLEAVE";
    const LEFT_OUT: &'static str = "a task's own cursor: the page's offset picks the node";
    type Knobs = NoKnobs;
}

impl Design for Interleave {
    type State = Self;

    fn new(_knobs: NoKnobs, machine: &topology::Machine) -> Self {
        Self { nodes: machine.memory_nodes() }
    }
}

#[cfg(test)]
mod tests {
    use base::{CpuId, NodeId, Pages};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::World;

    proptest! {
        /// Counting pages (or huge pages) of the space one by one, node after node.
        #[test]
        fn pages_go_round_as_described(nr_nodes in 1usize..5, nr in 1u32..40, huge: bool) {
            let mut world = World::new(nr_nodes, 1);
            let mm = world.add_space();
            let task = world.add_task(mm, 0);
            let mut design = Interleave::new(NoKnobs {}, &world.machine);
            let pages = if huge { 512 } else { 1 };
            let mut next = 0;
            for turn in 0..nr {
                // Any page inside a huge one asks for the same node.
                for page in [turn * pages, turn * pages + pages - 1] {
                    let request = AllocRequest {
                        task, cpu: CpuId(0), node: NodeId(0), mm, page,
                        pages: Pages(u64::from(pages)),
                    };
                    let wanted = Mempolicy::Interleave(NodeMask::only(NodeId::from_idx(next)));
                    prop_assert_eq!(design.alloc_policy(&mut world.cx(), &request), Some(wanted));
                }
                next = if next + 1 == nr_nodes { 0 } else { next + 1 };
            }
        }
    }
}
