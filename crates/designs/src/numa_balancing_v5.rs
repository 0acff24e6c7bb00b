//! The fifth posting of what became the NUMA balancing of Linux 3.13.
//!
//! Mel Gorman, "Basic scheduler support for automatic NUMA balancing" V5, 15 July 2013, on 3.9. Tasks
//! move to their memory as in 3.13, and marks and statistics are of the same kind; the scan period
//! is still that of balancenuma, and shared pages are handled as it handles them. The published
//! counters of its stages point to these rules; they are those of its patches:
//!
//! - the period's bounds follow the size of the process, the longest is ten times that of 3.13;
//! - each fault that moves nothing lengthens the task's period, every 60 s the task of a process
//!   that notices goes back to its shortest; finding a better place changes nothing about it;
//! - private faults alone choose the preferred node ("splitprivate");
//! - two-stage filter without deferral, in which unset counts as different (processes of one thread
//!   and much memory gained nothing over 3.9 on M-sri4, as they do where the first fault moves no
//!   page); no groups of tasks;
//! - base pages of 2 MiB that are on one node share one fault, as in balancenuma, and those that do
//!   not move are not accounted (the next postings changed both);
//! - a task that found no place tries again every 5 s ("retrymigrate").
//!
//! The search for a CPU or a partner ("swaptasks") is that of 3.13 without groups.

use base::{Bytes, Nanos};
use config::Described;
use topology::Machine;

use crate::Design;
use crate::numa_balancing_3_13;
use crate::numab::{Adaptation, Core, Misplacing, Rules, WalkKnobs};

config::config! {
    /// Constants of the posting, by their sysctl names where they had one.
    pub struct Knobs {
        /// Delay of the first scan of a process.
        pub numa_balancing_scan_delay: Nanos = Nanos::from_ms(1000),
        /// Shortest period of a process that one scan covers, in a task's CPU time.
        pub numa_balancing_scan_period_min: Nanos = Nanos::from_ms(1000),
        /// Longest period of such a process.
        pub numa_balancing_scan_period_max: Nanos = Nanos::from_ms(600_000),
        /// Every so often the period of the task that notices goes back to the shortest.
        pub numa_balancing_scan_period_reset: Nanos = Nanos::from_secs(60),
        /// What a fault that moved nothing adds to the period.
        pub fault_backoff: Nanos = Nanos::from_ms(10),
        /// Range made inaccessible by one scan.
        #[check(config::positive)]
        pub numa_balancing_scan_size: Bytes = Bytes::from_mib(256),
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
        pub migrate_retry: Nanos = Nanos::from_secs(5),
    }
}

/// NUMA balancing by these rules; its state is what its versions share.
#[derive(Debug)]
pub struct NumaBalancingV5;

impl Described for NumaBalancingV5 {
    const NAME: &'static str = "numa-balancing-v5";
    const LINEAGE: &'static str =
        "Gorman, July 2013, v5 of what became 3.13: preferred nodes and swaps, balancenuma's scan";
    const SOURCE: &'static str = "\"Basic scheduler support for automatic NUMA balancing\" V5, linux-mm 2013-07-15 (1373901620-2021-1-git-send-email-mgorman@suse.de)";
    const LEFT_OUT: &'static str =
        "how the posting chose among the CPUs of a node; read-only mappings";
    type Knobs = Knobs;
}

impl Design for NumaBalancingV5 {
    type State = Core;

    fn new(knobs: Knobs, machine: &Machine) -> Core {
        let common = numa_balancing_3_13::Knobs {
            numa_balancing_scan_delay: knobs.numa_balancing_scan_delay,
            numa_balancing_scan_period_min: knobs.numa_balancing_scan_period_min,
            numa_balancing_scan_period_max: knobs.numa_balancing_scan_period_max,
            numa_balancing_scan_size: knobs.numa_balancing_scan_size,
            max_scan_window: knobs.max_scan_window,
            migrate_interval: knobs.migrate_interval,
            ratelimit: knobs.ratelimit,
            imbalance_pct: knobs.imbalance_pct,
            migrate_retry: knobs.migrate_retry,
            ..numa_balancing_3_13::Knobs::default()
        };
        let rules = numa_balancing_3_13::rules(&common, machine);
        let rules = Rules {
            misplacing: Misplacing::TwoStage,
            adaptation: Adaptation::PerFault {
                backoff: knobs.fault_backoff,
                reset: knobs.numa_balancing_scan_period_reset,
            },
            groups: false,
            walk: WalkKnobs { regions: mm::Regions::OneNode, ..rules.walk },
            ..rules
        };
        Core::new(rules, machine)
    }
}
