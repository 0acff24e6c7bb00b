//! memory.low as it began: all or nothing, while anything else can be freed.
//!
//! J. Weiner, Linux 4.0. A group is skipped if it, and every group between it and the reclaimed one,
//! is within memory.low; when a whole run down to priority 0 frees nothing, a second one takes from
//! all. A group one page above its memory.low is reclaimed in full. Written from memory of that
//! version.
//!
//! Left out: nothing known.

use config::{Described, NoKnobs};

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit};

/// memory.low of 4.0.
#[derive(Clone, Debug, Default)]
pub struct MemoryLowV1;

impl Hierarchy for MemoryLowV1 {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        let is_low = is_low(groups, call.root, group);
        if is_low && !call.is_rerun {
            return Visit::SkipForNow;
        }
        Visit::Shrink(Pressure { breaks_low: is_low, ..Pressure::default() })
    }
}

/// Whether a group and all above it, below the root of reclaim, are within memory.low.
fn is_low(groups: &dyn Groups, root: u16, group: u16) -> bool {
    let mut at = group;
    while at != root {
        if groups.usage(at) > groups.low(at) || groups.low(at) == 0 {
            return false;
        }
        let Some(parent) = groups.parent(at) else { break };
        at = parent;
    }
    group != root
}

impl Described for MemoryLowV1 {
    const NAME: &'static str = "memory-low-4.0";
    const LINEAGE: &'static str =
        "J. Weiner, 4.0 (2015): skip groups within memory.low while anything else can be freed";
    const SOURCE: &'static str = "Linux 4.0, mm/memcontrol.c (from memory)";
    const LEFT_OUT: &'static str = "nothing known";
    type Knobs = NoKnobs;
}

impl Design for MemoryLowV1 {
    fn new(_knobs: NoKnobs) -> Self {
        Self
    }
}
