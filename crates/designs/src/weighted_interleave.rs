//! Weighted interleave: pages go round all memory nodes in proportion to weights, by default to
//! each node's bandwidth.
//!
//! MPOL_WEIGHTED_INTERLEAVE, Linux 6.9 (Gregory Price, Rakie Kim, 2024); weights derived from
//! bandwidth as the later automatic mode does, reduced to small integers.

use base::NodeId;
use config::Described;
use topology::{Machine, Pattern, ResourceKind};

use crate::{AllocRequest, Cx, Design, Mempolicy, Placement};

config::config! {
    /// Constants of weighted interleave.
    pub struct Knobs {
        /// Weight of each memory node in the order of their numbers, 1 to 255; empty derives them
        /// from the bandwidth of each node's controller.
        pub weights: Vec<u8> = Vec::new(),
        /// Largest weight that is derived.
        pub weight_max: u8 = 32,
    }
}

/// All memory nodes in turn, each for as many pages as its weight.
#[derive(Debug)]
pub struct WeightedInterleave {
    weights: Vec<(NodeId, u8)>,
    total: u64,
}

impl WeightedInterleave {
    fn node_at(&self, turn: u64) -> Option<NodeId> {
        let mut rest = turn.checked_rem(self.total)?;
        self.weights.iter().find_map(|(node, weight)| match rest.checked_sub(u64::from(*weight)) {
            Some(less) => {
                rest = less;
                None
            }
            None => Some(*node),
        })
    }
}

impl Placement for WeightedInterleave {
    fn alloc_policy(&mut self, _cx: &mut Cx<'_>, request: &AllocRequest) -> Option<Mempolicy> {
        let node = self.node_at(u64::from(request.page) / request.pages.0)?;
        Some(Mempolicy::Interleave(base::NodeMask::only(node)))
    }
}

impl Described for WeightedInterleave {
    const NAME: &'static str = "weighted-interleave";
    const LINEAGE: &'static str =
        "MPOL_WEIGHTED_INTERLEAVE, Linux 6.9 (Price, Kim, 2024): interleave by bandwidth";
    const SOURCE: &'static str = "Linux, mm/mempolicy.c; Documentation/ABI/testing/sysfs-kernel-mm-mempolicy-weighted-interleave";
    const LEFT_OUT: &'static str = "a task's own cursor: the page's offset picks the node";
    type Knobs = Knobs;
}

impl Design for WeightedInterleave {
    type State = Self;

    fn new(knobs: Knobs, machine: &Machine) -> Self {
        let nodes: Vec<NodeId> = machine.memory_nodes().iter().collect();
        let peaks: Vec<f64> = nodes.iter().map(|node| controller_peak(machine, *node)).collect();
        let largest = peaks.iter().copied().fold(0.0, f64::max);
        let derived = |peak: f64| {
            (peak / largest * f64::from(knobs.weight_max)).round().clamp(1.0, 255.0) as u8
        };
        let weight = |idx: usize| match knobs.weights.get(idx) {
            Some(weight) => (*weight).max(1),
            None if largest > 0.0 => derived(peaks[idx]),
            None => 1,
        };
        let weights: Vec<u8> = (0..nodes.len()).map(weight).collect();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let weights: Vec<(NodeId, u8)> =
            nodes.iter().zip(weights).map(|(node, w)| (*node, w / divisor)).collect();
        let total = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        Self { weights, total }
    }
}

fn gcd(a: u8, b: u8) -> u8 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Bandwidth of a node's memory: its controller, else its local port.
fn controller_peak(machine: &Machine, node: NodeId) -> f64 {
    let peak_of = |kind: ResourceKind| {
        machine
            .resources
            .iter()
            .find(|r| r.kind == kind)
            .map(|r| r.peak.at(1.0, Pattern::Sequential))
    };
    peak_of(ResourceKind::Controller(node))
        .or_else(|| peak_of(ResourceKind::LocalPort(node)))
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use base::{CpuId, NodeMask, Pages};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::World;

    proptest! {
        /// A cursor that stays on a node for as many pages as its weight. Weights are taken in their
        /// lowest terms; missing ones come from bandwidth, which is alike on these nodes.
        #[test]
        fn pages_go_round_as_described(
            weights in prop::collection::vec(0u8..7, 0..5), nr_nodes in 1usize..5, huge: bool,
        ) {
            let mut world = World::new(nr_nodes, 1);
            let mm = world.add_space();
            let task = world.add_task(mm, 0);
            let knobs = Knobs { weights: weights.clone(), weight_max: 6 };
            let mut design = WeightedInterleave::new(knobs, &world.machine);
            let mut full: Vec<u8> =
                (0..nr_nodes).map(|node| weights.get(node).map_or(6, |w| (*w).max(1))).collect();
            while let Some(by) = (2..=6).find(|by| full.iter().all(|weight| weight % by == 0)) {
                full.iter_mut().for_each(|weight| *weight /= by);
            }
            let pages = if huge { 512 } else { 1 };
            let (mut node, mut left) = (0, full[0]);
            for turn in 0..60u32 {
                if left == 0 {
                    node = (node + 1) % nr_nodes;
                    left = full[node];
                }
                left -= 1;
                let request = AllocRequest {
                    task, cpu: CpuId(0), node: NodeId(0), mm, page: turn * pages,
                    pages: Pages(u64::from(pages)),
                };
                let wanted = Mempolicy::Interleave(NodeMask::only(NodeId::from_idx(node)));
                prop_assert_eq!(design.alloc_policy(&mut world.cx(), &request), Some(wanted));
            }
        }
    }
}
