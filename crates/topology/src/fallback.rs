//! The order in which allocations try nodes.

use base::{NodeId, NodeVec};

use crate::Machine;

impl Machine {
    /// The memory nodes in the order in which an allocation tries them, for each node it may start
    /// from: itself, then the others by SLIT distance. Among equally near ones nodes of higher
    /// numbers go first, nodes without CPUs before others, and then those that stand less often
    /// behind a change of distance in the lists before (`find_next_best_node` of the kernel).
    pub fn fallback_lists(&self) -> NodeVec<Vec<NodeId>> {
        let mut load = NodeVec::filled(0u64, self.nodes.len());
        self.nodes.ids().map(|node| self.fallback_list(node, &mut load)).collect()
    }

    fn fallback_list(&self, local: NodeId, load: &mut NodeVec<u64>) -> Vec<NodeId> {
        let distance = |node: NodeId| self.distances[(local, node)];
        let mut left = self.memory_nodes();
        let mut list = Vec::new();
        let mut last = distance(local);
        while !left.is_empty() {
            let cost = |node: NodeId| {
                let penalty =
                    u64::from(node < local) + u64::from(!self.nodes[node].cpus.is_empty());
                (node != local, (u64::from(distance(node)) + penalty) * 1024 + load[node], node)
            };
            let Some(best) = left.iter().min_by_key(|node| cost(*node)) else { break };
            load[best] += u64::from(distance(best) != last);
            last = distance(best);
            list.push(best);
            left = left.iter().filter(|node| *node != best).collect();
        }
        list
    }
}
