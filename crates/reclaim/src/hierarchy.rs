//! Which memory cgroups of a hierarchy are reclaimed, in which order and how hard.
//!
//! The designs that competed in 2011-2014, some of them at the memcg/mm minisummit of 2012, and what
//! became of them. A design sees the groups read-only and answers with small values; the guest's
//! vmscan walks, scans and counts. Each file begins with who proposed it, when, where it is described
//! and what is left out; [`registry`] lists all.

mod low_limit;
mod memory_low_v1;
mod protection;
pub mod registry;
mod score;
mod soft_ancestors;
mod soft_naturalised;
mod soft_own;
mod soft_tree;
#[cfg(test)]
mod tests;
mod two_pass;

pub use low_limit::LowLimit;
pub use memory_low_v1::MemoryLowV1;
pub use protection::Protection;
pub use registry::{Design, HIERARCHIES, Registered, find};
pub use score::Score;
pub use soft_ancestors::SoftAncestors;
pub use soft_naturalised::SoftNaturalised;
pub use soft_own::SoftOwn;
pub use soft_tree::SoftTree;
pub use two_pass::TwoPass;

/// Knobs of the designs that have some.
pub mod knobs {
    pub use super::protection::Knobs as Protection;
    pub use super::score::Knobs as Score;
    pub use super::soft_ancestors::Knobs as SoftAncestors;
    pub use super::soft_naturalised::Knobs as SoftNaturalised;
    pub use super::soft_own::Knobs as SoftOwn;
    pub use super::soft_tree::Knobs as SoftTree;
    pub use super::two_pass::Knobs as TwoPass;
}

/// Priority with which reclaim begins: a 4096th of each list.
pub const DEF_PRIORITY: u32 = 12;
/// The number of the group at the root of the hierarchy.
pub const ROOT: u16 = 0;

/// What a design may read of the groups. Pages everywhere.
pub trait Groups {
    /// The group above; `None` for the root.
    fn parent(&self, group: u16) -> Option<u16>;
    /// The groups directly below.
    fn children(&self, group: u16) -> &[u16];
    /// The group and all below it, in pre-order.
    fn subtree(&self, group: u16) -> &[u16];
    /// Pages charged to the group and those below it.
    fn usage(&self, group: u16) -> u64;
    /// The soft limit, if one was set.
    fn soft_limit(&self, group: u16) -> Option<u64>;
    /// memory.min.
    fn min(&self, group: u16) -> u64;
    /// memory.low.
    fn low(&self, group: u16) -> u64;
    /// The group's own lists on a node.
    fn lists(&self, group: u16, node: usize) -> ListState;
}

/// Lists of a group on a node, by type: anonymous, file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListState {
    /// Pages on the lists.
    pub size: [u64; 2],
    /// What reclaim saw there lately.
    pub recent: Recent,
}

/// What reclaim saw lately of the lists of a group on a node, by type. Halved whenever the pages
/// scanned pass a quarter of the lists, as the counters of 2.6.28 to 5.7 were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Pages looked at, on inactive and active lists.
    pub scanned: [u64; 2],
    /// Pages that were found in use.
    pub rotated: [u64; 2],
    /// Pages looked at to be evicted.
    pub pressure: [u64; 2],
}

/// One round of reclaim of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The group that is reclaimed with all below it; [`ROOT`] when the machine runs short.
    pub root: u16,
    /// The node.
    pub node: usize,
    /// 12 at first, then down to 0; a round looks at 2^-priority of each list.
    pub priority: u32,
    /// How often the design asked for another pass in this round.
    pub pass: u32,
    /// Whether a whole run down to priority 0 freed nothing before.
    pub is_rerun: bool,
}

impl Call {
    /// Whether the machine runs short, not a group's limit.
    pub fn is_global(&self) -> bool {
        self.root == ROOT
    }
}

/// What to do with a group that the walk meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Leave it alone.
    Skip,
    /// Leave it alone, but start again if nothing can be freed elsewhere.
    SkipForNow,
    /// Take from it.
    Shrink(Pressure),
}

/// How hard a group is reclaimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Steps of priority on top of the round's.
    pub harder: u32,
    /// Pages, of those charged, that lists are scanned less for: never, and while others can give.
    pub min: u64,
    /// The same while others can give.
    pub low: u64,
    /// Whether this breaks the group's memory.low (counted in memory.events).
    pub breaks_low: bool,
}

/// What a pass over the groups came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Groups that were taken from.
    pub shrunk: u32,
    /// Pages looked at.
    pub scanned: u64,
}

/// A group to be reclaimed before the walk, alone with those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The group.
    pub group: u16,
    /// Priority for each lruvec.
    pub priority: u32,
    /// Pages wanted of each.
    pub want: u64,
    /// Usage at which to stop.
    pub down_to: u64,
    /// Pages that are enough after the second pass over the group.
    pub enough: u64,
    /// Passes over the group at most.
    pub passes: u32,
}

/// A group to reclaim next, until its score has fallen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// The group.
    pub group: u16,
    /// Its score.
    pub score: f64,
}

/// A design for reclaim of a hierarchy.
pub trait Hierarchy: std::fmt::Debug + Send + Sync {
    /// Whether to take from a group that the walk meets, and how hard.
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit;

    /// Whether to walk once more at the same priority.
    fn again(&self, _groups: &dyn Groups, _call: &Call, _walked: &Walked) -> bool {
        false
    }

    /// Whether groups are picked by [`score`](Self::score) instead of walked in order.
    fn is_scored(&self) -> bool {
        false
    }

    /// The score of a group's lists on the node; the highest is reclaimed first.
    fn score(&self, _groups: &dyn Groups, _call: &Call, _group: u16) -> f64 {
        0.0
    }

    /// Whether it wants to be told of charges.
    fn counts_charges(&self) -> bool {
        false
    }

    /// Pages were charged to a group or given back, on a node.
    fn charged(&mut self, _groups: &dyn Groups, _group: u16, _node: usize, _pages: u64) {}

    /// The next group to reclaim before the walk, when the machine runs short.
    fn strike(&mut self, _groups: &dyn Groups, _node: usize) -> Option<Strike> {
        None
    }

    /// A strike is over.
    fn struck(&mut self, _groups: &dyn Groups, _node: usize, _group: u16) {}

    /// A group is gone.
    fn removed(&mut self, _group: u16) {}
}

/// How far a group is over its soft limit.
fn excess(groups: &dyn Groups, group: u16, default: u64) -> u64 {
    groups.usage(group).saturating_sub(groups.soft_limit(group).unwrap_or(default))
}

/// Whether a group or one above it is over its soft limit; `root` is looked at if `inclusive`.
fn is_over_or_below(
    groups: &dyn Groups,
    group: u16,
    root: u16,
    inclusive: bool,
    default: u64,
) -> bool {
    let mut at = group;
    loop {
        if (at != root || inclusive) && excess(groups, at, default) > 0 {
            return true;
        }
        match groups.parent(at) {
            Some(parent) if at != root => at = parent,
            _ => return false,
        }
    }
}
