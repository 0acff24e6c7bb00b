//! Shapes of machines, and how faults near a node count for it.
//!
//! `sched_init_numa`'s topology types, `score_nearby_nodes` and `preferred_group_nid`.

use base::{NodeId, NodeMask};
use topology::{Machine, Matrix};

/// How nodes are connected (`sched_numa_topology_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All nodes are equally far: only the node itself counts.
    Direct,
    /// Some node lies between the farthest two.
    GluelessMesh,
    /// Groups of nodes behind controllers that hold no memory.
    Backplane,
}

/// Distances with the shape that follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Distances {
    pub(crate) shape: Shape,
    pub(crate) matrix: Matrix<u8>,
    pub(crate) max: u8,
    pub(crate) cpu_nodes: NodeMask,
}

const LOCAL: u8 = 10;

impl Distances {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self::of(machine.distances.clone(), machine.cpu_nodes())
    }

    fn of(matrix: Matrix<u8>, cpu_nodes: NodeMask) -> Self {
        let mut levels: Vec<u8> = matrix.0.iter().flat_map(|row| row.iter().copied()).collect();
        levels.sort_unstable();
        levels.dedup();
        let max = levels.last().copied().unwrap_or(LOCAL);
        let shape = shape_of(&matrix, levels.len(), max);
        Self { shape, matrix, max, cpu_nodes }
    }

    /// What the other nodes' faults add to the score of `node`; `dist` is the distance between the
    /// two nodes that are compared.
    pub(crate) fn score_nearby(
        &self,
        node: NodeId,
        dist: u8,
        faults: impl Fn(NodeId) -> u64,
    ) -> u64 {
        if self.shape == Shape::Direct {
            return 0;
        }
        let others = self.matrix.0.ids().filter(|other| *other != node);
        others
            .map(|other| {
                let away = self.matrix[(node, other)];
                match self.shape {
                    _ if away >= self.max => 0,
                    Shape::Backplane if away >= dist => 0,
                    Shape::GluelessMesh => {
                        faults(other) * u64::from(self.max - away)
                            / u64::from(self.max - LOCAL).max(1)
                    }
                    Shape::Backplane | Shape::Direct => faults(other),
                }
            })
            .sum()
    }

    /// The node a group should settle on, when `best` has most of its faults.
    pub(crate) fn preferred_group_node(
        &self,
        best: NodeId,
        faults: impl Fn(NodeId) -> u64,
    ) -> NodeId {
        match self.shape {
            Shape::Direct => best,
            Shape::GluelessMesh => {
                // The group's weight in 1/1000: nodes that differ by less count as equal.
                let total = self.matrix.0.ids().map(&faults).sum::<u64>().max(1);
                let weight = |node: NodeId| {
                    1000 * (faults(node) + self.score_nearby(node, self.max, &faults)) / total
                };
                first_max(self.cpu_nodes.iter(), weight).unwrap_or(best)
            }
            Shape::Backplane => self.best_cluster(best, &faults),
        }
    }

    /// Cuts the machine into ever closer groups of nodes and goes into the one with most faults.
    fn best_cluster(&self, best: NodeId, faults: &impl Fn(NodeId) -> u64) -> NodeId {
        let mut nodes: NodeMask = self.cpu_nodes;
        for dist in (LOCAL + 1..=self.max).rev() {
            let cluster_of = |node: NodeId| -> NodeMask {
                nodes.iter().filter(|other| self.matrix[(node, *other)] < dist).collect()
            };
            if nodes.iter().all(|node| cluster_of(node) == nodes) {
                continue;
            }
            let sum = |node: NodeId| cluster_of(node).iter().map(faults).sum::<u64>();
            match first_max(nodes.iter(), sum) {
                Some(node) if sum(node) > 0 => nodes = cluster_of(node),
                _ => return best,
            }
        }
        first_max(nodes.iter(), faults).unwrap_or(best)
    }
}

/// The first item with the largest key.
pub(crate) fn first_max<T: Copy>(
    items: impl Iterator<Item = T>,
    key: impl Fn(T) -> u64,
) -> Option<T> {
    let larger = |best: Option<(u64, T)>, item: T| match best {
        Some((most, _)) if key(item) <= most => best,
        _ => Some((key(item), item)),
    };
    items.fold(None, larger).map(|(_, item)| item)
}

fn shape_of(matrix: &Matrix<u8>, nr_levels: usize, max: u8) -> Shape {
    if nr_levels <= 2 {
        return Shape::Direct;
    }
    let nodes = || matrix.0.ids();
    let pair = nodes().flat_map(|a| nodes().map(move |b| (a, b))).find(|pair| matrix[*pair] == max);
    let Some((a, b)) = pair else { return Shape::Direct };
    let between = |node| matrix[(a, node)] < max && matrix[(b, node)] < max;
    if nodes().any(between) { Shape::GluelessMesh } else { Shape::Backplane }
}

#[cfg(test)]
mod tests {
    use base::NodeVec;

    use super::*;

    fn distances(rows: &[&[u8]]) -> Distances {
        let matrix = Matrix(NodeVec(rows.iter().map(|row| NodeVec(row.to_vec())).collect()));
        Distances::of(matrix, NodeMask::first(rows.len()))
    }

    fn mesh() -> Distances {
        distances(&[&[10, 20, 30], &[20, 10, 20], &[30, 20, 10]])
    }

    fn backplane() -> Distances {
        distances(&[&[10, 15, 30, 30], &[15, 10, 30, 30], &[30, 30, 10, 15], &[30, 30, 15, 10]])
    }

    #[test]
    fn shapes_follow_from_distances() {
        assert_eq!(distances(&[&[10, 20], &[20, 10]]).shape, Shape::Direct);
        assert_eq!(mesh().shape, Shape::GluelessMesh);
        assert_eq!(backplane().shape, Shape::Backplane);
    }

    #[test]
    fn in_a_mesh_the_middle_gains_from_both_ends() {
        let faults = |node: NodeId| [100, 90, 100][node.idx()];
        // Node 1 is at 20 from both others, half of the way from 10 to 30.
        assert_eq!(mesh().score_nearby(NodeId(1), 30, faults), 50 + 50);
        assert_eq!(mesh().score_nearby(NodeId(0), 30, faults), 45);
        assert_eq!(mesh().preferred_group_node(NodeId(0), faults), NodeId(1));
    }

    #[test]
    fn behind_backplanes_the_heavier_cluster_wins() {
        let faults = |node: NodeId| [100, 0, 60, 70][node.idx()];
        assert_eq!(backplane().preferred_group_node(NodeId(0), faults), NodeId(3));
        assert_eq!(backplane().score_nearby(NodeId(2), 30, faults), 70);
        assert_eq!(backplane().score_nearby(NodeId(2), 15, faults), 0);
    }
}

#[cfg(test)]
mod twin;
