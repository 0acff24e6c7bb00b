//! The soft limit as it was: a tree of groups by their excess.
//!
//! B. Singh, 2.6.31 (2009; 4e416953), in cgroup v1 until 6.12. Each node has a tree of the groups
//! over their soft limits, by the excess at the time of insertion; a group and those above it are put
//! in anew at every 1024th charge. When the machine runs short, the group with the largest excess is
//! reclaimed first, at priority 0, until it gave a quarter of the excess; the ordinary walk over all
//! groups, whatever their limits, follows. Limits of groups do not look at soft limits.
//!
//! Left out: counting of charges by CPU (here by group); trees by zone (before 4.8). Which active
//! pages go follows the guest's classic engine; under MGLRU the tree is not used, as in 6.12, nor is a
//! group over its limit put first.

use std::collections::BTreeSet;

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, Strike, Visit, excess};

config::config! {
    /// Constants of the soft limit tree.
    pub struct Knobs {
        /// Charged pages after which a group is put in anew.
        #[check(config::in_range(1u64..=1_000_000_000))]
        pub update_events: u64 = 1024,
        /// Priority of the reclaim of the group with the largest excess.
        #[check(config::in_range(0u32..=12))]
        pub priority: u32 = 0,
        /// Pages wanted of each group met.
        #[check(config::in_range(1u64..=1_000_000))]
        pub cluster: u64 = 32,
        /// The part of the excess that is enough: one in so many.
        #[check(config::in_range(1u64..=1_000_000))]
        pub enough: u64 = 4,
        /// Passes over the group and those below it at most.
        #[check(config::in_range(1u32..=1_000_000))]
        pub passes: u32 = 100,
    }
}

/// The tree.
#[derive(Clone, Debug, Default)]
pub struct SoftTree {
    knobs: Knobs,
    /// By node: excess and group.
    trees: Vec<BTreeSet<(u64, u16)>>,
    /// By node and group: the excess under which it is in the tree.
    keys: Vec<Vec<Option<u64>>>,
    /// By group: charges since it was last put in.
    events: Vec<u64>,
}

impl SoftTree {
    fn make_room(&mut self, group: u16, node: usize) {
        if self.trees.len() <= node {
            self.trees.resize(node + 1, BTreeSet::new());
            self.keys.resize(node + 1, Vec::new());
        }
        let nr = usize::from(group) + 1;
        if self.keys[node].len() < nr {
            self.keys[node].resize(nr, None);
        }
        if self.events.len() < nr {
            self.events.resize(nr, 0);
        }
    }

    fn take_out(&mut self, node: usize, group: u16) {
        if let Some(key) = self.keys[node][usize::from(group)].take() {
            self.trees[node].remove(&(key, group));
        }
    }

    fn put_in(&mut self, groups: &dyn Groups, node: usize, group: u16) {
        self.make_room(group, node);
        self.take_out(node, group);
        let excess = excess(groups, group, u64::MAX);
        if excess > 0 {
            self.trees[node].insert((excess, group));
            self.keys[node][usize::from(group)] = Some(excess);
        }
    }
}

impl Hierarchy for SoftTree {
    fn visit(&mut self, _groups: &dyn Groups, _call: &Call, _group: u16) -> Visit {
        Visit::Shrink(Pressure::default())
    }

    fn counts_charges(&self) -> bool {
        true
    }

    fn charged(&mut self, groups: &dyn Groups, group: u16, node: usize, pages: u64) {
        self.make_room(group, node);
        let events = &mut self.events[usize::from(group)];
        *events += pages;
        if *events < self.knobs.update_events {
            return;
        }
        *events = 0;
        let mut at = Some(group);
        while let Some(group) = at {
            self.put_in(groups, node, group);
            at = groups.parent(group);
        }
    }

    fn strike(&mut self, groups: &dyn Groups, node: usize) -> Option<Strike> {
        while let Some((_, group)) = self.trees.get(node)?.last().copied() {
            self.take_out(node, group);
            let excess = excess(groups, group, u64::MAX);
            if excess > 0 {
                return Some(Strike {
                    group,
                    priority: self.knobs.priority,
                    want: self.knobs.cluster,
                    down_to: groups.usage(group) - excess,
                    enough: excess / self.knobs.enough,
                    passes: self.knobs.passes,
                });
            }
        }
        None
    }

    fn struck(&mut self, groups: &dyn Groups, node: usize, group: u16) {
        self.put_in(groups, node, group);
    }

    fn removed(&mut self, group: u16) {
        for node in 0..self.trees.len() {
            if self.keys[node].len() > usize::from(group) {
                self.take_out(node, group);
            }
        }
    }
}

impl Described for SoftTree {
    const NAME: &'static str = "soft-limit-tree";
    const LINEAGE: &'static str =
        "B. Singh, 2009: hit the group with the largest excess over its soft limit at priority 0";
    const SOURCE: &'static str = "Linux 2.6.31, 4e416953; cgroup v1 of 6.12";
    const LEFT_OUT: &'static str = "counting by CPU, trees by zone; not under MGLRU";
    type Knobs = Knobs;
}

impl Design for SoftTree {
    fn new(knobs: Knobs) -> Self {
        Self { knobs, ..Self::default() }
    }
}
