//! Lists by score: the group whose lists promise most is reclaimed first.
//!
//! R. van Riel, RFC, linux-mm, 2012-08-08 and 08-16 ("untested, as inspiration"). The lruvec with the
//! highest score is reclaimed until enough is freed or its score has halved, then the highest is
//! looked for again, until a round has looked at 2^-priority of all. The score is the larger one of
//! both types of size * scanned / (rotated + 1) / (pressure + 1), all recent, and ten thousand times
//! that if the group is over its soft limit. Limits of groups do the same.
//!
//! Left out: how the recent pressure decays, which the mails do not fix: it is halved with the other
//! recent counts. Lists that were never scanned count as scanned once, so that they can be picked.

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit, excess};

config::config! {
    /// Constants of lists by score.
    pub struct Knobs {
        /// Weight of a group over its soft limit.
        #[check(config::in_range(1.0..=1e12))]
        pub over_weight: f64 = 10_000.0,
        /// Soft limit of a group that has none, pages; endless if it is not set.
        pub default_soft_limit: Option<u64> = None,
    }
}

/// Lists by score.
#[derive(Clone, Debug, Default)]
pub struct Score {
    knobs: Knobs,
}

impl Hierarchy for Score {
    fn visit(&mut self, _groups: &dyn Groups, _call: &Call, _group: u16) -> Visit {
        Visit::Shrink(Pressure::default())
    }

    fn is_scored(&self) -> bool {
        true
    }

    fn score(&self, groups: &dyn Groups, call: &Call, group: u16) -> f64 {
        let lists = groups.lists(group, call.node);
        let of_type = |kind: usize| {
            let recent = &lists.recent;
            let scanned = recent.scanned[kind].max(1) as f64;
            let (rotated, pressure) = (recent.rotated[kind], recent.pressure[kind]);
            lists.size[kind] as f64 * scanned / (rotated + 1) as f64 / (pressure + 1) as f64
        };
        let is_over = excess(groups, group, self.knobs.default_soft_limit.unwrap_or(u64::MAX)) > 0;
        of_type(0).max(of_type(1)) * if is_over { self.knobs.over_weight } else { 1.0 }
    }
}

impl Described for Score {
    const NAME: &'static str = "lruvec-score";
    const LINEAGE: &'static str =
        "R. van Riel, August 2012: reclaim the lists with the highest score until it has halved";
    const SOURCE: &'static str = "linux-mm, 20120808174828.56ffa9e7@cuia.bos.redhat.com";
    const LEFT_OUT: &'static str = "the decay of the recent pressure is ours";
    type Knobs = Knobs;
}

impl Design for Score {
    fn new(knobs: Knobs) -> Self {
        Self { knobs }
    }
}
