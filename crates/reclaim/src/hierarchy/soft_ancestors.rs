//! Soft limits of a group and of those above it: whoever is within all of them is skipped at first.
//!
//! Ying Han, "memcg softlimit reclaim rework", V5 to V8, linux-mm, 2012-06-18 to 08-02, after
//! discussion with J. Weiner and M. Hocko: a child answers for its parents. When the machine runs
//! short, a group is reclaimed if it, or any group above it below the root, is over its soft limit;
//! the root always is. The others are skipped while the priority is high. Without a soft limit a
//! group has one of 0. Limits of groups do not look at soft limits.
//!
//! Left out: nothing.

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, ROOT, Visit, Walked, is_over_or_below};

config::config! {
    /// Constants of skipping by the soft limits of a group and of those above it.
    pub struct Knobs {
        /// Groups are skipped while the priority is at least this: 10 in V5, 12 in V8.
        #[check(config::in_range(0u32..=12))]
        pub skip_from_priority: u32 = 12,
        /// Soft limit of a group that has none, pages.
        pub default_soft_limit: u64 = 0,
    }
}

/// Skipping by the soft limits of a group and of those above it.
#[derive(Clone, Debug, Default)]
pub struct SoftAncestors {
    knobs: Knobs,
}

impl Hierarchy for SoftAncestors {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        let looks = call.is_global() && call.pass == 0;
        let skips = looks && call.priority >= self.knobs.skip_from_priority;
        let default = self.knobs.default_soft_limit;
        if skips && group != ROOT && !is_over_or_below(groups, group, ROOT, false, default) {
            return Visit::Skip;
        }
        Visit::Shrink(Pressure::default())
    }

    fn again(&self, _groups: &dyn Groups, call: &Call, walked: &Walked) -> bool {
        call.is_global() && call.pass == 0 && walked.shrunk == 0
    }
}

impl Described for SoftAncestors {
    const NAME: &'static str = "soft-limit-ancestors";
    const LINEAGE: &'static str =
        "Y. Han, June to August 2012: skip groups within their own and all ancestors' soft limits";
    const SOURCE: &'static str =
        "linux-mm, CALWz4iw2NqQw3FgjM9k6nbMb7k8Gy2khdyL_9NpGM6T7Ma5t3g@mail.gmail.com (V8)";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = Knobs;
}

impl Design for SoftAncestors {
    fn new(knobs: Knobs) -> Self {
        Self { knobs }
    }
}
