//! How busy a group of CPUs is, and how much one group should pull from another.

use base::{CpuId, CpuVec};

use crate::domain::Domain;

/// How busy a group is; later ones are busier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupState {
    /// Fewer runnable tasks than CPUs.
    HasSpare,
    /// As many.
    FullyBusy,
    /// More.
    Overloaded,
}

/// Sums over a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupStats {
    pub(crate) nr_cpus: u64,
    pub(crate) nr_running: u64,
    pub(crate) nr_idle: u64,
    pub(crate) load: u64,
}

impl GroupStats {
    pub(crate) fn of(group: &[CpuId], nr_running: &CpuVec<u32>, load: &CpuVec<u64>) -> Self {
        let mut stats = Self { nr_cpus: group.len() as u64, ..Self::default() };
        for cpu in group.iter().copied() {
            let nr = nr_running[cpu];
            stats.nr_running += u64::from(nr);
            stats.nr_idle += u64::from(nr == 0);
            stats.load += load[cpu];
        }
        stats
    }

    pub(crate) fn state(&self) -> GroupState {
        match self.nr_running.cmp(&self.nr_cpus) {
            std::cmp::Ordering::Less => GroupState::HasSpare,
            std::cmp::Ordering::Equal => GroupState::FullyBusy,
            std::cmp::Ordering::Greater => GroupState::Overloaded,
        }
    }

    /// Load per CPU, in 1/1024 of a weight.
    pub(crate) fn avg_load(&self) -> u64 {
        self.load * 1024 / self.nr_cpus.max(1)
    }

    /// Which group is the busiest: by state; among groups with spare CPUs by tasks per CPU (in
    /// 1/1024); else by load per CPU.
    pub(crate) fn busyness(&self) -> (GroupState, u64) {
        match self.state() {
            GroupState::HasSpare => {
                (GroupState::HasSpare, self.nr_running * 1024 / self.nr_cpus.max(1))
            }
            state => (state, self.avg_load()),
        }
    }
}

/// What kind of balancing pass it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Periodic, on a CPU that runs something.
    Busy,
    /// Periodic, on an idle CPU.
    Idle,
    /// On a CPU that has just gone idle.
    NewIdle,
}

/// How much to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Imbalance {
    /// That many tasks.
    Tasks(u64),
    /// Tasks of that weight together.
    Load(u64),
}

/// How much `local` should pull from `busiest`, `total` being the sums over the domain; `None`
/// when they are balanced.
pub(crate) fn imbalance(
    domain: &Domain,
    pass: Pass,
    local: &GroupStats,
    busiest: &GroupStats,
    total: &GroupStats,
) -> Option<Imbalance> {
    match (local.state(), busiest.state()) {
        (GroupState::HasSpare, GroupState::Overloaded) => {
            let excess = busiest.nr_running - busiest.nr_cpus;
            Some(Imbalance::Tasks(excess.min(local.nr_idle).max(1)))
        }
        (GroupState::HasSpare, _) => even_out(domain, pass, local, busiest),
        (_, GroupState::Overloaded) => even_load(domain, local, busiest, total),
        _ => None,
    }
}

/// Both groups may have idle CPUs: move what makes their tasks per CPU equal, rounded down. For
/// groups of the same size that is half the difference in tasks (the kernel halves the difference
/// in idle CPUs at NUMA levels, the same with a task a CPU; but absolute numbers make groups of
/// unlike size pull from each other for ever).
///
/// A busy CPU pulls here only where a lone task is better off.
fn even_out(
    domain: &Domain,
    pass: Pass,
    local: &GroupStats,
    busiest: &GroupStats,
) -> Option<Imbalance> {
    let diff = 2
        * (busiest.nr_running * local.nr_cpus).saturating_sub(local.nr_running * busiest.nr_cpus)
        / (local.nr_cpus + busiest.nr_cpus);
    let tolerated =
        domain.level.is_numa() && diff <= 2 && local.nr_running < u64::from(domain.imb_numa_nr);
    let wanted = diff > 1 && !tolerated && (domain.prefers_sibling() || pass != Pass::Busy);
    wanted.then_some(Imbalance::Tasks(diff / 2))
}

/// No idle CPU on either side: pull only a clear difference in load, towards the domain's mean.
fn even_load(
    domain: &Domain,
    local: &GroupStats,
    busiest: &GroupStats,
    total: &GroupStats,
) -> Option<Imbalance> {
    let (avg_local, avg_busiest, mean) = (local.avg_load(), busiest.avg_load(), total.avg_load());
    let around_mean = avg_local < mean && mean < avg_busiest;
    if !around_mean || 100 * avg_busiest <= domain.imbalance_pct * avg_local {
        return None;
    }
    let surplus = (avg_busiest - mean) * busiest.nr_cpus;
    let deficit = (mean - avg_local) * local.nr_cpus;
    Some(Imbalance::Load(surplus.min(deficit) / 1024))
}

#[cfg(test)]
mod tests {
    use base::Nanos;

    use super::*;
    use crate::domain::Level;

    fn domain(level: Level, imb_numa_nr: u32) -> Domain {
        Domain {
            level,
            span: Vec::new(),
            groups: Vec::new(),
            imbalance_pct: 117,
            min_interval: Nanos::from_ms(8),
            imb_numa_nr,
            last_active: None,
        }
    }

    fn stats(nr_cpus: u64, nr_running: u64) -> GroupStats {
        let nr_idle = nr_cpus.saturating_sub(nr_running);
        GroupStats { nr_cpus, nr_running, nr_idle, load: 1024 * nr_running }
    }

    fn between(domain: &Domain, pass: Pass, local: u64, busiest: u64) -> Option<Imbalance> {
        let (local, busiest) = (stats(8, local), stats(8, busiest));
        let total = stats(16, local.nr_running + busiest.nr_running);
        imbalance(domain, pass, &local, &busiest, &total)
    }

    const NUMA: Level = Level::Numa { distance: 20 };

    #[test]
    fn nodes_differ_by_at_most_one_when_balanced() {
        let numa = domain(NUMA, 0);
        assert_eq!(between(&numa, Pass::Idle, 5, 6), None);
        assert_eq!(between(&numa, Pass::Idle, 4, 6), Some(Imbalance::Tasks(1)));
        assert_eq!(between(&numa, Pass::Idle, 0, 8), Some(Imbalance::Tasks(4)));
        // A busy CPU leaves it to an idle one.
        assert_eq!(between(&numa, Pass::Busy, 4, 6), None);
    }

    #[test]
    fn groups_of_unlike_size_compare_their_shares() {
        let numa = domain(NUMA, 0);
        let between =
            |local, busiest| imbalance(&numa, Pass::Idle, &local, &busiest, &stats(40, 20));
        // 5/10 against 15/30 is balanced from either side, though idle CPUs differ by ten.
        assert_eq!(between(stats(30, 15), stats(10, 5)), None);
        assert_eq!(between(stats(10, 5), stats(30, 15)), None);
        // 0/10 against 20/30: five tasks make it 5/10 and 15/30.
        assert_eq!(between(stats(10, 0), stats(30, 20)), Some(Imbalance::Tasks(5)));
    }

    #[test]
    fn small_numa_imbalance_is_tolerated_while_the_node_runs_little() {
        let numa = domain(NUMA, 3);
        assert_eq!(between(&numa, Pass::Idle, 2, 4), None);
        assert_eq!(between(&numa, Pass::Idle, 3, 5), Some(Imbalance::Tasks(1)));
        assert_eq!(between(&numa, Pass::Idle, 2, 5), Some(Imbalance::Tasks(1)));
    }

    #[test]
    fn overload_fills_spare_cpus_and_is_evened_out_by_load() {
        let llc = domain(Level::Llc, 0);
        assert_eq!(between(&llc, Pass::NewIdle, 7, 10), Some(Imbalance::Tasks(1)));
        assert_eq!(between(&llc, Pass::Busy, 2, 11), Some(Imbalance::Tasks(3)));
        // 8 against 16 tasks on 8 CPUs each: the mean is 1.5 tasks, so 4 tasks' weight moves.
        assert_eq!(between(&llc, Pass::Busy, 8, 16), Some(Imbalance::Load(4 * 1024)));
        // 10 against 11 is within 117 %.
        assert_eq!(between(&llc, Pass::Busy, 10, 11), None);
        assert_eq!(between(&llc, Pass::Busy, 16, 8), None);
    }

    /// More tasks than CPUs is "overloaded" however light they are: such a group may be below the
    /// mean load, and nothing is pulled from it.
    #[test]
    fn an_overloaded_group_of_light_tasks_is_left_alone() {
        let llc = domain(Level::Llc, 0);
        let local = GroupStats { load: 8 * 500, ..stats(8, 8) };
        let light = GroupStats { load: 9 * 500, ..stats(8, 9) };
        let total = GroupStats { nr_cpus: 24, load: 8 * 500 + 9 * 500 + 8 * 4000, ..stats(24, 25) };
        assert_eq!(imbalance(&llc, Pass::Busy, &local, &light, &total), None);
    }
}
