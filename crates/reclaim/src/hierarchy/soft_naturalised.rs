//! Soft limits as part of the ordinary walk: more pressure on groups over them.
//!
//! J. Weiner, "memcg-aware global reclaim", linux-mm, May 2011. All groups are reclaimed; one over
//! its soft limit, or below one that is, is reclaimed at the next lower priority. Limits of groups do
//! the same.
//!
//! Left out: the rest of the series (no global list, a smaller page_cgroup), which the guest has.

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit, is_over_or_below};

config::config! {
    /// Constants of soft limits in the ordinary walk.
    pub struct Knobs {
        /// Steps of priority more for groups over their soft limit.
        #[check(config::in_range(0u32..=12))]
        pub harder: u32 = 1,
    }
}

/// Soft limits in the ordinary walk.
#[derive(Clone, Debug, Default)]
pub struct SoftNaturalised {
    knobs: Knobs,
}

impl Hierarchy for SoftNaturalised {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        let is_over = is_over_or_below(groups, group, call.root, false, u64::MAX);
        let harder = if is_over { self.knobs.harder } else { 0 };
        Visit::Shrink(Pressure { harder, ..Pressure::default() })
    }
}

impl Described for SoftNaturalised {
    const NAME: &'static str = "soft-limit-naturalised";
    const LINEAGE: &'static str =
        "J. Weiner, 2011: one walk, a lower priority for groups over their soft limit";
    const SOURCE: &'static str = "linux-mm, 2011-05-12, memcg naturalization";
    const LEFT_OUT: &'static str = "nothing of the soft limit's part";
    type Knobs = Knobs;
}

impl Design for SoftNaturalised {
    fn new(knobs: Knobs) -> Self {
        Self { knobs }
    }
}
