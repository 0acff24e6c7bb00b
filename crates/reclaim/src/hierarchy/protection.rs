//! memory.min and memory.low as they are now.
//!
//! memory.low: J. Weiner, Linux 4.0; effective values by R. Gushchin, 4.18; scan scaling by C. Down,
//! 5.4. memory.min: R. Gushchin, 4.18 (bf8d5d52). A group's effective protection is its own, at most
//! its usage, shared out below a parent whose children use more protection than the parent has. A
//! group within it is skipped; lists of one above it are scanned less, by the share of the usage that
//! is protected. When a whole run frees nothing, low no longer counts and min still does. Limits are
//! treated as the machine: the group whose limit it is has no protection, those below it have.
//!
//! Left out: nothing but counting races.

use config::Described;

use super::{Call, Design, Groups, Hierarchy, Pressure, Visit};

config::config! {
    /// Knobs of today's protection.
    pub struct Knobs {
        /// Lists of groups above their protection are scanned less (since 5.4), not in full.
        pub scan_scaling: bool = true,
        /// Mount option `memory_recursiveprot`: what a parent has to spare goes to its children.
        pub memory_recursiveprot: bool = false,
    }
}

/// Today's protection.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    knobs: Knobs,
    /// Effective min and low by group, as of the last walk that met it.
    effective: Vec<[u64; 2]>,
}

impl Hierarchy for Protection {
    fn visit(&mut self, groups: &dyn Groups, call: &Call, group: u16) -> Visit {
        self.calculate(groups, call.root, group);
        if group == call.root {
            return Visit::Shrink(Pressure::default());
        }
        let [min, low] = self.effective(group);
        let usage = groups.usage(group);
        if min >= usage && min > 0 {
            return Visit::Skip;
        }
        let within_low = low >= usage && low > 0;
        if within_low && !call.is_rerun {
            return Visit::SkipForNow;
        }
        let scaled = if self.knobs.scan_scaling { [min, low] } else { [0; 2] };
        Visit::Shrink(Pressure {
            min: scaled[0],
            low: scaled[1],
            breaks_low: within_low,
            ..Pressure::default()
        })
    }
}

impl Protection {
    fn effective(&self, group: u16) -> [u64; 2] {
        self.effective.get(usize::from(group)).copied().unwrap_or_default()
    }

    /// Effective protection of a group below the reclaimed one, top-down.
    fn calculate(&mut self, groups: &dyn Groups, root: u16, group: u16) {
        let usage = groups.usage(group);
        let Some(parent) = groups.parent(group) else { return };
        if group == root || usage == 0 {
            return;
        }
        if self.effective.len() <= usize::from(group) {
            self.effective.resize(usize::from(group) + 1, [0; 2]);
        }
        let own = [groups.min(group), groups.low(group)];
        if parent == root {
            self.effective[usize::from(group)] = own;
            return;
        }
        let mut used = [0; 2];
        for child in groups.children(parent).iter().copied() {
            let most = groups.usage(child);
            used[0] += groups.min(child).min(most);
            used[1] += groups.low(child).min(most);
        }
        let above = self.effective(parent);
        let spare = self.knobs.memory_recursiveprot.then(|| groups.usage(parent));
        self.effective[usize::from(group)] =
            [0, 1].map(|kind| share(usage, own[kind], above[kind], used[kind], spare));
    }
}

/// A child's share of its parent's protection; `parent_usage` if what is spare goes to the children.
fn share(
    usage: u64,
    setting: u64,
    parent: u64,
    siblings_used: u64,
    parent_usage: Option<u64>,
) -> u64 {
    let protected = usage.min(setting);
    let part =
        |of: u64, by: u64, over: u64| (u128::from(of) * u128::from(by) / u128::from(over)) as u64;
    if siblings_used > parent {
        return part(protected, parent, siblings_used);
    }
    match parent_usage {
        Some(above) if parent > siblings_used && above > siblings_used && usage > protected => {
            protected + part(parent - siblings_used, usage - protected, above - siblings_used)
        }
        _ => protected,
    }
}

impl Described for Protection {
    const NAME: &'static str = "memory-protection";
    const LINEAGE: &'static str =
        "Linux 4.18-6.12: memory.min and memory.low, effective values, scan scaling";
    const SOURCE: &'static str = "Linux 6.12, mm/vmscan.c and mm/page_counter.c; bf8d5d52";
    const LEFT_OUT: &'static str = "nothing but races between counters";
    type Knobs = Knobs;
}

impl Design for Protection {
    fn new(knobs: Knobs) -> Self {
        Self { knobs, effective: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn an_overcommitted_parents_protection_is_shared_by_use() {
        assert_eq!(share(75, 75, 100, 150, None), 50);
    }

    #[test]
    fn what_a_parent_has_to_spare_is_shared_by_unprotected_use() {
        assert_eq!(share(80, 20, 100, 40, Some(200)), 42);
        assert_eq!(share(80, 20, 100, 40, None), 20);
    }
}
