//! Soft limits as marks of working sets: a group within its own is skipped at first.
//!
//! Ying Han, "memcg softlimit reclaim rework", V2 and V3, linux-mm, 2012-04-11 and 04-17. The tree is
//! gone. When the machine runs short, a group at or below its own soft limit is skipped while the
//! priority is high, whatever the groups above it do; a pass that meets nobody above starts again
//! without soft limits. Without a soft limit a group has one of 0, so it is always above. Limits of
//! groups do not look at soft limits.
//!
//! Left out: V2's change of how much kswapd wants of each group.

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit, Walked, excess};

config::config! {
    /// Constants of skipping by a group's own soft limit.
    pub struct Knobs {
        /// Groups are skipped while the priority is at least this. The mails say "high priority"; the
        /// value is that of the same author's V5.
        #[check(config::in_range(0u32..=12))]
        pub skip_from_priority: u32 = 10,
        /// Soft limit of a group that has none, pages.
        pub default_soft_limit: u64 = 0,
    }
}

/// Skipping by a group's own soft limit.
#[derive(Clone, Debug, Default)]
pub struct SoftOwn {
    knobs: Knobs,
}

impl Hierarchy for SoftOwn {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        let looks = call.is_global() && call.pass == 0;
        let skips = looks && call.priority >= self.knobs.skip_from_priority;
        if skips && excess(groups, group, self.knobs.default_soft_limit) == 0 {
            return Visit::Skip;
        }
        Visit::Shrink(Pressure::default())
    }

    fn again(&self, _groups: &dyn Groups, call: &Call, walked: &Walked) -> bool {
        call.is_global() && call.pass == 0 && walked.shrunk == 0
    }
}

impl Described for SoftOwn {
    const NAME: &'static str = "soft-limit-own";
    const LINEAGE: &'static str =
        "Y. Han, April 2012: skip groups within their own soft limit while priority is high";
    const SOURCE: &'static str =
        "linux-mm, 1334181407-26064-1-git-send-email-yinghan@google.com (V2), V3";
    const LEFT_OUT: &'static str = "V2's change of kswapd's target by group";
    type Knobs = Knobs;
}

impl Design for SoftOwn {
    fn new(knobs: Knobs) -> Self {
        Self { knobs }
    }
}
