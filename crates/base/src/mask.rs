//! Sets of nodes and of CPUs as bit masks.

use serde::{Deserialize, Serialize};

use crate::{CpuId, NodeId};

/// Most nodes a machine may have; the width of [`NodeMask`].
pub const MAX_NODES: usize = 64;
/// Most CPUs a machine may have; the width of [`CpuMask`].
pub const MAX_CPUS: usize = 1024;

/// A set of nodes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "Vec<NodeId>", try_from = "Vec<NodeId>")]
pub struct NodeMask(pub u64);

impl NodeMask {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Nodes `0..nr`.
    pub fn first(nr: usize) -> Self {
        assert!(nr <= MAX_NODES, "at most {MAX_NODES} nodes");
        if nr == MAX_NODES { Self(u64::MAX) } else { Self((1 << nr) - 1) }
    }

    /// The set of one node.
    pub fn only(node: NodeId) -> Self {
        Self(1 << node.0)
    }

    /// Whether `node` is in the set.
    pub fn contains(self, node: NodeId) -> bool {
        self.0 >> node.0 & 1 == 1
    }

    /// Adds `node`.
    pub fn insert(&mut self, node: NodeId) {
        self.0 |= 1 << node.0;
    }

    /// Number of nodes in the set.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The nodes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            (rest != 0).then(|| {
                let node = NodeId(rest.trailing_zeros() as u8);
                rest &= rest - 1;
                node
            })
        })
    }

    /// The `k`-th node in ascending order (0 is the first), `None` past the end.
    pub fn nth(self, k: usize) -> Option<NodeId> {
        // Most sets are all nodes from the first one on: there the k-th is node k.
        if self.0 & self.0.wrapping_add(1) == 0 {
            return (k < 64 && self.0 >> k & 1 == 1).then_some(NodeId(k as u8));
        }
        self.iter().nth(k)
    }

    /// The node whose turn it is at `offset` when all take turns, `None` of an empty set.
    pub fn turn(self, offset: u64) -> Option<NodeId> {
        // A set of one node needs no division.
        if self.0 & self.0.wrapping_sub(1) == 0 {
            return (self.0 != 0).then_some(NodeId(self.0.trailing_zeros() as u8));
        }
        self.nth((offset % self.len() as u64) as usize)
    }
}

impl FromIterator<NodeId> for NodeMask {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut mask = Self::EMPTY;
        nodes.into_iter().for_each(|node| mask.insert(node));
        mask
    }
}

impl From<NodeMask> for Vec<NodeId> {
    fn from(mask: NodeMask) -> Self {
        mask.iter().collect()
    }
}

impl TryFrom<Vec<NodeId>> for NodeMask {
    type Error = String;

    fn try_from(nodes: Vec<NodeId>) -> Result<Self, String> {
        match nodes.iter().find(|node| node.idx() >= MAX_NODES) {
            Some(node) => Err(format!("node {node}, expected one below {MAX_NODES}")),
            None => Ok(nodes.into_iter().collect()),
        }
    }
}

impl From<CpuMask> for Vec<CpuId> {
    fn from(mask: CpuMask) -> Self {
        mask.iter().collect()
    }
}

impl TryFrom<Vec<CpuId>> for CpuMask {
    type Error = String;

    fn try_from(cpus: Vec<CpuId>) -> Result<Self, String> {
        match cpus.iter().find(|cpu| cpu.idx() >= MAX_CPUS) {
            Some(cpu) => Err(format!("CPU {cpu}, expected one below {MAX_CPUS}")),
            None => Ok(cpus.into_iter().collect()),
        }
    }
}

/// A set of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Vec<CpuId>", try_from = "Vec<CpuId>")]
pub struct CpuMask([u64; MAX_CPUS / 64]);

impl Default for CpuMask {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl CpuMask {
    /// The empty set.
    pub const EMPTY: Self = Self([0; MAX_CPUS / 64]);

    /// CPUs `0..nr`.
    pub fn first(nr: usize) -> Self {
        (0..nr).map(CpuId::from_idx).collect()
    }

    /// Whether `cpu` is in the set.
    pub fn contains(&self, cpu: CpuId) -> bool {
        self.0[cpu.idx() / 64] >> (cpu.idx() % 64) & 1 == 1
    }

    /// Adds `cpu`.
    pub fn insert(&mut self, cpu: CpuId) {
        self.0[cpu.idx() / 64] |= 1 << (cpu.idx() % 64);
    }

    /// Removes `cpu`.
    pub fn remove(&mut self, cpu: CpuId) {
        self.0[cpu.idx() / 64] &= !(1 << (cpu.idx() % 64));
    }

    /// Number of CPUs in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// CPUs in both sets.
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|idx| self.0[idx] & other.0[idx]))
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.0.iter().enumerate().flat_map(|(word_idx, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let cpu = CpuId::from_idx(word_idx * 64 + rest.trailing_zeros() as usize);
                    rest &= rest - 1;
                    cpu
                })
            })
        })
    }
}

impl FromIterator<CpuId> for CpuMask {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut mask = Self::EMPTY;
        cpus.into_iter().for_each(|cpu| mask.insert(cpu));
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_mask_lists_its_nodes_in_order() {
        let mask: NodeMask = [5, 0, 63].map(NodeId).into_iter().collect();
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 5, 63].map(NodeId));
        assert_eq!(mask.nth(1), Some(NodeId(5)));
        assert_eq!(mask.nth(3), None);
        assert_eq!(NodeMask::first(64).len(), 64);
        let whole = NodeMask::first(3);
        assert_eq!(
            [0, 2, 3, 64].map(|k| whole.nth(k)),
            [Some(NodeId(0)), Some(NodeId(2)), None, None]
        );
        assert_eq!(NodeMask::first(64).nth(63), Some(NodeId(63)));
    }

    #[test]
    fn nodes_take_turns() {
        let turns = |mask: NodeMask| [0, 1, 5].map(|offset| mask.turn(offset).map(|node| node.0));
        assert_eq!(
            turns([5, 0, 63].map(NodeId).into_iter().collect()),
            [Some(0), Some(5), Some(63)]
        );
        assert_eq!(turns(NodeMask::first(4)), [Some(0), Some(1), Some(1)]);
        assert_eq!(turns(NodeMask::only(NodeId(7))), [Some(7); 3]);
        assert_eq!(turns(NodeMask::EMPTY), [None; 3]);
    }

    #[test]
    fn cpu_mask_crosses_words() {
        let mask: CpuMask = [700, 3, 64].map(CpuId).into_iter().collect();
        assert_eq!(mask.iter().collect::<Vec<_>>(), [3, 64, 700].map(CpuId));
        assert!(mask.contains(CpuId(64)) && !mask.contains(CpuId(65)));
    }
}
