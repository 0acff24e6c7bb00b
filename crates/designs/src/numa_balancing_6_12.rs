//! NUMA balancing of Linux 6.12.
//!
//! Peter Zijlstra, Mel Gorman, Rik van Riel, Ingo Molnar; since 3.13, here as of 6.12 (November
//! 2024) with the access filter of mappings by Raghavendra K T and Mel Gorman (6.4, 6.7). Described
//! in `kernel/sched/fair.c`, `mm/mempolicy.c`, `mm/memory.c` and `Documentation/admin-guide/sysctl/kernel.rst`.
//!
//! Modelled: scan period by size, group and success; the walk with its mapping filter; page
//! decision by last user, two-stage filter and group; fault statistics, groups, preferred nodes;
//! search for a CPU or a swap partner; the balancer's reluctance.
//!
//! Memory tiering (mode 2): promotion of pages touched soon after a scan. Demotion is reclaim's.
//!
//! Left out: pages that cannot move because they wait in another CPU's list of new pages; groups
//! across processes (a simulated page has one space); read-only mappings.

use base::{Bytes, Nanos, NodeMask};
use config::Described;
use topology::Machine;

use crate::Design;
use crate::numab::{
    Adaptation, Core, Misplacing, PeriodKnobs, PromoteKnobs, Promotion, Rules, Search, SearchKnobs,
    VmaFilter, WalkKnobs,
};

config::config! {
    /// Constants of NUMA balancing in 6.12, by their names in debugfs and in the source.
    pub struct Knobs {
        /// `kernel.numa_balancing`: 1 places memory near its users, 2 promotes hot pages of slow
        /// nodes, 3 does both.
        #[check(config::positive)]
        pub mode: u32 = 1,
        /// A page of a slow node is hot when it is touched within this time after a scan.
        pub hot_threshold: Nanos = Nanos::from_ms(1000),
        /// Memory that may be promoted to a node in a second.
        pub promote_rate_limit: Bytes = Bytes::from_mib(65_536),
        /// Delay of the first scan of a process, and of a new mapping.
        pub scan_delay: Nanos = Nanos::from_ms(1000),
        /// Shortest period of a process that one scan covers, in a task's CPU time.
        pub scan_period_min: Nanos = Nanos::from_ms(1000),
        /// Longest period of such a process.
        pub scan_period_max: Nanos = Nanos::from_ms(60_000),
        /// Range made inaccessible by one scan.
        #[check(config::positive)]
        pub scan_size: Bytes = Bytes::from_mib(256),
        /// Range scanned per second at most.
        #[check(config::positive)]
        pub max_scan_window: Bytes = Bytes::from_mib(2560),
        /// Range walked over in one scan, in scan sizes.
        pub virt_factor: u32 = 8,
        /// Which mappings a task leaves out.
        pub vma_filter: VmaFilter = VmaFilter::V6_12,
        /// A scan delays the task's next one by its own time, so many times.
        pub scan_cost_factor: u32 = 32,
        /// Passes of a task in which its private pages move at the first fault.
        pub early_passes: u32 = 4,
        /// A node is active when it causes more than this part of the busiest node's faults.
        pub active_node_fraction: u32 = 3,
        /// `imbalance_pct` of domains between nodes.
        pub imbalance_pct: u32 = 117,
        /// Least gain of a swap, in 1/1000 of the faults.
        pub small_imp: u32 = 30,
        /// Longest time between two tries to reach the preferred node.
        pub migrate_retry: Nanos = Nanos::from_secs(1),
    }
}

/// NUMA balancing by these rules; its state is what its versions share.
#[derive(Debug)]
pub struct NumaBalancing612;

impl Described for NumaBalancing612 {
    const NAME: &'static str = "numa-balancing-6.12";
    const LINEAGE: &'static str = "Zijlstra, Gorman, van Riel, since 3.13; as of Linux 6.12 (2024) with the filter of mappings";
    const SOURCE: &'static str = "Linux 6.12, kernel/sched/fair.c, mm/mempolicy.c, mm/memory.c";
    const LEFT_OUT: &'static str = "pages in per-CPU lists that cannot move; groups across processes; demotion, which is reclaim's";
    type Knobs = Knobs;
}

impl Design for NumaBalancing612 {
    type State = Core;

    fn new(knobs: Knobs, machine: &Machine) -> Core {
        let promotion = Promotion::new(
            PromoteKnobs {
                hot_threshold: knobs.hot_threshold,
                rate_limit: knobs.promote_rate_limit,
                adapt_every: knobs.scan_period_max,
            },
            machine,
        );
        let (tiering, normal) = (knobs.mode & 2 != 0, knobs.mode & 1 != 0);
        let only_if = |is: bool, nodes| if is { nodes } else { NodeMask::EMPTY };
        let rules = Rules {
            scan_delay: knobs.scan_delay,
            period: PeriodKnobs {
                min: knobs.scan_period_min,
                max: knobs.scan_period_max,
                scan_size: knobs.scan_size,
                max_scan_window: knobs.max_scan_window,
            },
            walk: WalkKnobs {
                filter: knobs.vma_filter,
                scan_delay: knobs.scan_delay,
                scan_size: knobs.scan_size.pages_ceil(),
                virt_size: knobs.scan_size.pages_ceil() * u64::from(knobs.virt_factor),
                skip_local_if_single: true,
                skip_nodes: only_if(tiering && !normal, promotion.top),
                regions: mm::Regions::Never,
                stamp_nodes: only_if(tiering, promotion.slow),
            },
            search: SearchKnobs {
                search: Search::V6,
                // Half of the domain's tolerance.
                imbalance_pct: 100 + u64::from(knobs.imbalance_pct.saturating_sub(100)) / 2,
                small_imp: i64::from(knobs.small_imp),
            },
            adaptation: Adaptation::ByLocalityAndSharing,
            misplacing: Misplacing::ByGroup,
            groups: true,
            early_passes: u64::from(knobs.early_passes),
            active_node_fraction: u64::from(knobs.active_node_fraction),
            scan_cost_factor: u64::from(knobs.scan_cost_factor),
            migrate_retry: knobs.migrate_retry,
            rate_limit: None,
            slow_nodes: promotion.slow,
            promotion: tiering.then_some(promotion),
            tick: Nanos(1_000_000_000 / u64::from(machine.kernel.hz.max(1))),
        };
        Core::new(rules, machine)
    }
}
