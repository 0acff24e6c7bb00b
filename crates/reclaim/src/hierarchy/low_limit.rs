//! The low limit: a group is reclaimed only if it and all above it are over theirs.
//!
//! M. Hocko, "memcg low limit", linux-mm, December 2013 to April 2014. A group is left alone unless
//! its usage, and that of every group between it and the reclaimed one, is above its low limit
//! (memory.low here); if nobody is, everybody is taken from. Limits of groups do the same.
//!
//! Left out: nothing.

use config::{Described, NoKnobs};

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit, Walked};

/// The low limit.
#[derive(Clone, Debug, Default)]
pub struct LowLimit;

impl Hierarchy for LowLimit {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        if call.pass == 0 && !is_eligible(groups, call.root, group) {
            return Visit::Skip;
        }
        Visit::Shrink(Pressure { breaks_low: call.pass > 0, ..Pressure::default() })
    }

    fn again(&self, groups: &dyn Groups, call: &Call, walked: &Walked) -> bool {
        let subtree = groups.subtree(call.root);
        let nobody = || {
            let below = subtree.iter().filter(|group| **group != call.root || subtree.len() == 1);
            !below.copied().any(|group| is_eligible(groups, call.root, group))
        };
        call.pass == 0 && walked.scanned == 0 && nobody()
    }
}

/// Whether a group and all above it, below the root of reclaim, are over their low limits.
fn is_eligible(groups: &dyn Groups, root: u16, group: u16) -> bool {
    let mut at = group;
    while at != root {
        if groups.usage(at) <= groups.low(at) && groups.low(at) > 0 {
            return false;
        }
        let Some(parent) = groups.parent(at) else { break };
        at = parent;
    }
    true
}

impl Described for LowLimit {
    const NAME: &'static str = "low-limit";
    const LINEAGE: &'static str =
        "M. Hocko, 2013-2014: only groups over their low limit with all groups above them";
    const SOURCE: &'static str = "linux-mm, December 2013 to April 2014, memcg: low limit reclaim";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}

impl Design for LowLimit {
    fn new(_knobs: NoKnobs) -> Self {
        Self
    }
}
