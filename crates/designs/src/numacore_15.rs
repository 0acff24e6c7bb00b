//! numa/core, the versions of November 2012.
//!
//! Ingo Molnar with Peter Zijlstra, versions 15 and 16, November 2012; not merged. Described in
//! "Latest numa/core release, v16", linux-mm 2012-11-19.
//!
//! Modelled: scans by the running task; private and shared faults told apart by the CPU of the
//! last one; two-stage filter for pages of private tasks, pages of shared ones dealt out to the nodes
//! of their process ("sched, numa, mm: Interleave shared tasks", 2012-11-22); private tasks spread over
//! idle CPUs, groups of shared ones spread and compressed ("sched: Introduce directed NUMA
//! convergence", 2012-12-02); the same choice twice before a move; the back-off of the scan period;
//! the balancer's ladder.
//!
//! Left out: how v15 and v16 chose a node is not described: tasks and pages are placed as in the
//! unified tree; 4 KiB faults handled 2 MiB at a time; the random lateral force of a balanced
//! machine; averages over a longer window.

use base::{Bytes, Nanos};
use config::Described;
use topology::Machine;

use crate::Design;
use crate::numacore::{Core, Rules, Statistics};

config::config! {
    /// Constants of numa/core, by their sysctl names.
    pub struct Knobs {
        /// Delay of a process's first scan.
        pub sched_numa_scan_delay: Nanos = Nanos::from_ms(1000),
        /// Shortest scan period, in a task's CPU time.
        pub sched_numa_scan_period_min: Nanos = Nanos::from_ms(100),
        /// Longest scan period.
        pub sched_numa_scan_period_max: Nanos = Nanos::from_ms(1600),
        /// Memory made inaccessible by one scan.
        #[check(config::positive)]
        pub sched_numa_scan_size: Bytes = Bytes::from_mib(256),
        /// Complete scans up to the one that may place a new or changed task.
        pub sched_numa_settle_count: u32 = 2,
        /// Whether an unchanged placement doubles the period.
        pub back_off: bool = true,
    }
}

/// numa/core by these rules; its state is what its versions share.
#[derive(Debug)]
pub struct Numacore15;

impl Described for Numacore15 {
    const NAME: &'static str = "numacore-15";
    const LINEAGE: &'static str = "Ingo Molnar, Peter Zijlstra, Nov 2012, not merged: private and shared tasks told apart by faults";
    const SOURCE: &'static str = "\"Latest numa/core release, v16\", linux-mm 2012-11-19";
    const LEFT_OUT: &'static str = "their own choice of node (that of unified v3 stands in); batches of base pages; lateral force";
    type Knobs = Knobs;
}

impl Design for Numacore15 {
    type State = Core;

    fn new(knobs: Knobs, machine: &Machine) -> Core {
        let rules = Rules {
            scan_delay: knobs.sched_numa_scan_delay,
            period_min: knobs.sched_numa_scan_period_min,
            period_max: knobs.sched_numa_scan_period_max,
            size_min: knobs.sched_numa_scan_size.pages_ceil(),
            size_max: knobs.sched_numa_scan_size.pages_ceil(),
            rss_threshold: base::Pages::ZERO,
            settle_count: knobs.sched_numa_settle_count,
            back_off: knobs.back_off,
            statistics: Statistics::ByCpu,
        };
        Core::new(rules, machine)
    }
}
