//! NUMA balancing of Linux 3.13.
//!
//! Peter Zijlstra, Mel Gorman, Rik van Riel, July-October 2013, merged in 3.13 ("Basic scheduler
//! support for automatic NUMA balancing"). Described in those postings and in
//! `kernel/sched/fair.c` and `mm/mempolicy.c` of 3.13. The first version in which tasks move to
//! their memory, alone or in groups that share it.
//!
//! Modelled: scan period by size and success; two-stage filter with deferral of shared pages;
//! fault statistics, groups, preferred nodes by task and group; search for a CPU or a swap partner
//! whenever the sum of gains is positive; limit on the rate of migration. What later versions do
//! differently, and 3.13 does not: a period lengthens from 30 % of local faults on; a page is signed
//! at local faults too; threads inherit the preferred node; the load balancer is not kept from
//! taking a task off its node, but then the task's memory waits for the next placement.
//!
//! Left out: groups across processes (a simulated page has one space); read-only mappings; scores
//! of nearby nodes came later and are off on machines with one distance.

use base::{Bytes, Nanos, NodeMask};
use config::Described;
use topology::Machine;

use crate::Design;
use crate::numab::{
    Adaptation, Core, Misplacing, PeriodKnobs, Rules, Search, SearchKnobs, VmaFilter, WalkKnobs,
};
use crate::ratelimit::{Cap, RateLimit};

config::config! {
    /// Constants of NUMA balancing in 3.13, by their sysctl names where they had one.
    pub struct Knobs {
        /// Delay of the first scan of a process.
        pub numa_balancing_scan_delay: Nanos = Nanos::from_ms(1000),
        /// Shortest period of a process that one scan covers, in a task's CPU time.
        pub numa_balancing_scan_period_min: Nanos = Nanos::from_ms(1000),
        /// Longest period of such a process.
        pub numa_balancing_scan_period_max: Nanos = Nanos::from_ms(60_000),
        /// Range made inaccessible by one scan.
        #[check(config::positive)]
        pub numa_balancing_scan_size: Bytes = Bytes::from_mib(256),
        /// Shared faults that are not to migrate after a shared page was refused.
        pub numa_balancing_migrate_deferred: u32 = 16,
        /// Range scanned per second at most.
        #[check(config::positive)]
        pub max_scan_window: Bytes = Bytes::from_mib(2560),
        /// Window of the rate limit.
        pub migrate_interval: Nanos = Nanos::from_ms(100),
        /// Memory moved to one node per window at most.
        pub ratelimit: Bytes = Bytes::from_mib(128),
        /// `imbalance_pct` of domains between nodes.
        pub imbalance_pct: u32 = 125,
        /// Time between two tries to reach the preferred node.
        pub migrate_retry: Nanos = Nanos::from_secs(1),
    }
}

/// NUMA balancing by these rules; its state is what its versions share.
#[derive(Debug)]
pub struct NumaBalancing313;

impl Described for NumaBalancing313 {
    const NAME: &'static str = "numa-balancing-3.13";
    const LINEAGE: &'static str =
        "Zijlstra, Gorman, van Riel, 2013, Linux 3.13: preferred nodes, groups, task swaps";
    const SOURCE: &'static str = "\"Basic scheduler support for automatic NUMA balancing\" v9, linux-mm 2013-10-07; Linux 3.13, kernel/sched/fair.c";
    const LEFT_OUT: &'static str = "groups across processes; read-only mappings";
    type Knobs = Knobs;
}

impl Design for NumaBalancing313 {
    type State = Core;

    fn new(knobs: Knobs, machine: &Machine) -> Core {
        Core::new(rules(&knobs, machine), machine)
    }
}

/// The rules of 3.13 with these constants.
pub(crate) fn rules(knobs: &Knobs, machine: &Machine) -> Rules {
    let scan_size = knobs.numa_balancing_scan_size;
    Rules {
        scan_delay: knobs.numa_balancing_scan_delay,
        period: PeriodKnobs {
            min: knobs.numa_balancing_scan_period_min,
            max: knobs.numa_balancing_scan_period_max,
            scan_size,
            max_scan_window: knobs.max_scan_window,
        },
        walk: WalkKnobs {
            filter: VmaFilter::Off,
            scan_delay: knobs.numa_balancing_scan_delay,
            scan_size: scan_size.pages_ceil(),
            virt_size: base::Pages::MAX,
            skip_local_if_single: false,
            skip_nodes: NodeMask::EMPTY,
            regions: mm::Regions::Never,
            stamp_nodes: NodeMask::EMPTY,
        },
        search: SearchKnobs {
            search: Search::V3_13,
            imbalance_pct: 100 + u64::from(knobs.imbalance_pct.saturating_sub(100)) / 2,
            small_imp: 0,
        },
        misplacing: Misplacing::Deferred(knobs.numa_balancing_migrate_deferred),
        adaptation: Adaptation::ByLocality,
        groups: true,
        early_passes: 0,
        active_node_fraction: 3,
        scan_cost_factor: 0,
        migrate_retry: knobs.migrate_retry,
        slow_nodes: NodeMask::EMPTY,
        promotion: None,
        rate_limit: Some(RateLimit::new(
            knobs.migrate_interval,
            knobs.ratelimit,
            Cap::Exceeded,
            machine.nodes.len(),
        )),
        tick: Nanos(1_000_000_000 / u64::from(machine.kernel.hz.max(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numab::Search;
    use crate::testing::World;

    /// `imbalance_pct` of 125 halved above 100, no least gain, 16 shared faults deferred
    /// (`sysctl_numa_balancing_migrate_deferred`), groups, periods by locality.
    #[test]
    fn its_rules_are_those_that_were_merged() {
        let rules = rules(&Knobs::default(), &World::new(2, 2).machine);
        assert_eq!((rules.search.search, rules.search.imbalance_pct), (Search::V3_13, 112));
        assert_eq!((rules.search.small_imp, rules.groups), (0, true));
        assert_eq!(rules.misplacing, Misplacing::Deferred(16));
        assert_eq!(rules.adaptation, Adaptation::ByLocality);
    }
}
