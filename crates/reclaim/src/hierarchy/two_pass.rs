//! Two passes: first groups over their soft limits, then, if that looked at nothing, all.
//!
//! M. Hocko, "Soft limit rework", RFC v2 April 2013, v5 June 2013, merged for 3.12 (3b38722e,
//! e975de99), reverted before its release. In each round the first pass takes from groups that are
//! over their soft limit or below one that is, up to and with the reclaimed one; when it looked at
//! nothing, a second pass at the same priority takes from everybody. Limits of groups do the same.
//!
//! Left out: the count of descendants in excess that prunes the walk, which saves time and decides
//! nothing.

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit, Walked, is_over_or_below};

config::config! {
    /// Constants of the two passes.
    pub struct Knobs {
        /// No second pass if the shared iterator merely missed the groups in excess (e975de99).
        pub retry_missed: bool = true,
        /// Soft limit of a group that has none, pages; endless if it is not set.
        pub default_soft_limit: Option<u64> = None,
        /// A group without a soft limit is taken from in the first pass, as in the RFC; those below it
        /// are not for its sake.
        pub unlimited_does_not_care: bool = false,
    }
}

/// Two passes.
#[derive(Clone, Debug, Default)]
pub struct TwoPass {
    knobs: Knobs,
}

impl TwoPass {
    fn is_eligible(&self, groups: &dyn Groups, call: &Call, group: u16) -> bool {
        let indifferent = self.knobs.unlimited_does_not_care && groups.soft_limit(group).is_none();
        let default = self.knobs.default_soft_limit.unwrap_or(u64::MAX);
        indifferent || is_over_or_below(groups, group, call.root, true, default)
    }
}

impl Hierarchy for TwoPass {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        if call.pass == 0 && !self.is_eligible(groups, call, group) {
            return Visit::Skip;
        }
        Visit::Shrink(Pressure::default())
    }

    fn again(&self, groups: &dyn Groups, call: &Call, walked: &Walked) -> bool {
        if call.pass > 0 || walked.scanned > 0 {
            return false;
        }
        let missed = walked.shrunk == 0
            && groups.subtree(call.root).iter().any(|group| self.is_eligible(groups, call, *group));
        !(missed && self.knobs.retry_missed)
    }
}

impl Described for TwoPass {
    const NAME: &'static str = "soft-limit-two-pass";
    const LINEAGE: &'static str =
        "M. Hocko, 2013: first groups over their soft limits, then all at the same priority";
    const SOURCE: &'static str =
        "linux-mm, 1371557387-22434-1-git-send-email-mhocko@suse.cz (v5); 3b38722e, e975de99";
    const LEFT_OUT: &'static str = "pruning of the walk, which decides nothing";
    type Knobs = Knobs;
}

impl Design for TwoPass {
    fn new(knobs: Knobs) -> Self {
        Self { knobs }
    }
}
