//! Memory policies: what node an allocation wants and which it may take.
//!
//! Rules as in the kernel's `mempolicy.c`: a mapping's policy goes before the task's, which goes
//! before the system's default (local). Interleave counts by the offset in the mapping for a
//! mapping's policy and by a cursor for a task's.

use base::{NodeId, NodeMask};

/// A memory policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mempolicy {
    /// The node of the allocating CPU, then its fallback list.
    Local,
    /// This node first, then its fallback list.
    Preferred(NodeId),
    /// Any of these nodes by distance, then anywhere.
    PreferredMany(NodeMask),
    /// Only these nodes, the nearest first.
    Bind(NodeMask),
    /// These nodes in turn.
    Interleave(NodeMask),
    /// These nodes in turn, each for as many pages as its weight (1..=255).
    WeightedInterleave(Vec<(NodeId, u8)>),
}

/// Where a task's interleaving stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    last: Option<NodeId>,
    left: u8,
}

/// What an allocation wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The node whose fallback list is walked.
    pub node: NodeId,
    /// Tried before all others, by distance; empty for no such restriction.
    pub first: NodeMask,
    /// Nodes it may take at all.
    pub allowed: NodeMask,
    /// Whether it was a node's turn (counted as `numa_interleave`).
    pub interleaved: bool,
}

impl Mempolicy {
    /// What a page at `offset` of its mapping wants. `cursor` is the task's own for a task's
    /// policy; `None` goes by the offset, as a mapping's policy does.
    #[inline(always)]
    pub fn wanted(
        &self,
        local: NodeId,
        all: NodeMask,
        offset: u64,
        cursor: Option<&mut Cursor>,
    ) -> Wanted {
        let plain =
            Wanted { node: local, first: NodeMask::EMPTY, allowed: all, interleaved: false };
        match self {
            Self::Local => plain,
            Self::Preferred(node) => Wanted { node: *node, ..plain },
            Self::PreferredMany(nodes) => Wanted { first: *nodes, ..plain },
            Self::Bind(nodes) => Wanted { allowed: *nodes, ..plain },
            Self::Interleave(nodes) => {
                let turn = match cursor {
                    Some(cursor) => cursor.next_of(*nodes),
                    None => nodes.turn(offset),
                };
                Wanted { node: turn.unwrap_or(local), interleaved: turn.is_some(), ..plain }
            }
            Self::WeightedInterleave(weights) => {
                let turn = match cursor {
                    Some(cursor) => cursor.next_weighted(weights),
                    None => weighted_at(weights, offset),
                };
                Wanted { node: turn.unwrap_or(local), interleaved: turn.is_some(), ..plain }
            }
        }
    }

    /// Nodes a page may stay on under the policy; `None` where any will do.
    pub fn static_nodes(&self) -> Option<NodeMask> {
        match self {
            Self::Local | Self::Preferred(_) | Self::PreferredMany(_) => None,
            Self::Bind(nodes) | Self::Interleave(nodes) => Some(*nodes),
            Self::WeightedInterleave(weights) => {
                Some(weights.iter().map(|(node, _)| *node).collect())
            }
        }
    }
}

impl Cursor {
    fn next_of(&mut self, nodes: NodeMask) -> Option<NodeId> {
        let after = self.last.and_then(|last| nodes.iter().find(|node| *node > last));
        self.last = after.or_else(|| nodes.nth(0));
        self.last
    }

    fn next_weighted(&mut self, weights: &[(NodeId, u8)]) -> Option<NodeId> {
        if self.left == 0 {
            let here = weights.iter().position(|(node, _)| Some(*node) == self.last);
            let next = here.map_or(0, |idx| (idx + 1) % weights.len());
            let (node, weight) = weights.get(next)?;
            self.last = Some(*node);
            self.left = *weight;
        }
        self.left -= 1;
        self.last
    }
}

fn weighted_at(weights: &[(NodeId, u8)], offset: u64) -> Option<NodeId> {
    let total: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut rest = offset.checked_rem(total)?;
    for (node, weight) in weights {
        match rest.checked_sub(u64::from(*weight)) {
            Some(less) => rest = less,
            None => return Some(*node),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(nodes: &[u8]) -> NodeMask {
        nodes.iter().map(|node| NodeId(*node)).collect()
    }

    fn turns(policy: &Mempolicy, nr: usize) -> Vec<u8> {
        let mut cursor = Cursor::default();
        (0..nr)
            .map(|_| policy.wanted(NodeId(0), NodeMask::first(8), 0, Some(&mut cursor)).node.0)
            .collect()
    }

    #[test]
    fn interleave_goes_round() {
        assert_eq!(turns(&Mempolicy::Interleave(mask(&[1, 3, 6])), 5), [1, 3, 6, 1, 3]);
    }

    #[test]
    fn weighted_interleave_stays_for_the_weight() {
        let policy = Mempolicy::WeightedInterleave(vec![(NodeId(0), 3), (NodeId(2), 1)]);
        assert_eq!(turns(&policy, 9), [0, 0, 0, 2, 0, 0, 0, 2, 0]);
        let by_offset: Vec<u8> =
            (0..6).map(|k| policy.wanted(NodeId(1), NodeMask::first(4), k, None).node.0).collect();
        assert_eq!(by_offset, [0, 0, 0, 2, 0, 0]);
    }

    #[test]
    fn mapping_interleave_goes_by_offset() {
        let policy = Mempolicy::Interleave(mask(&[0, 2]));
        let nodes: Vec<u8> = [0, 1, 2, 7]
            .map(|k| policy.wanted(NodeId(1), NodeMask::first(4), k, None).node.0)
            .into();
        assert_eq!(nodes, [0, 2, 0, 2]);
    }

    #[test]
    fn bind_never_leaves_its_nodes() {
        let wanted = Mempolicy::Bind(mask(&[2, 3])).wanted(NodeId(0), NodeMask::first(4), 9, None);
        assert_eq!((wanted.node, wanted.allowed), (NodeId(0), mask(&[2, 3])));
    }
}
