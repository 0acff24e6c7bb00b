//! numa/core on the common base, third version.
//!
//! Ingo Molnar with Peter Zijlstra, "unified NUMA balancing" v3, December 2012; not merged. Described in
//! "NUMA performance comparison between three NUMA kernels and mainline", linux-mm 2012-12-07.
//!
//! Modelled: scans by the running task; private and shared faults told apart by the CPU and task of
//! the last one, averaged over scans ("numa, mm, sched: Implement last-CPU+PID hash tracking" and "numa,
//! sched: Improve staggered convergence", 2012-12-07, which also set the settle count, 2 until then,
//! to 0); two-stage filter for pages of private tasks, pages of shared ones dealt out to the nodes
//! of their process ("sched, numa, mm: Interleave shared tasks", 2012-11-22); private tasks spread over
//! idle CPUs, groups of shared ones spread and compressed ("sched: Introduce directed NUMA
//! convergence", 2012-12-02); the same choice twice before a move; the back-off of the scan period,
//! and the scan size by the share of the faults on one node ("sched: Add convergence strength based
//! adaptive NUMA page fault rate", 2012-11-30); the balancer's ladder.
//!
//! Left out: 4 KiB faults handled 2 MiB at a time; the random lateral force of a balanced machine;
//! groups that reach beyond one process; relief of overloaded nodes.

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
        /// Least memory made inaccessible by one scan.
        #[check(config::positive)]
        pub sched_numa_scan_size_min: Bytes = Bytes::from_mib(32),
        /// Most memory made inaccessible by one scan.
        #[check(config::positive)]
        pub sched_numa_scan_size_max: Bytes = Bytes::from_mib(512),
        /// Processes with less resident memory are left alone.
        pub sched_numa_rss_threshold: Bytes = Bytes::from_mib(128),
        /// Complete scans up to the one that may place a new or changed task.
        pub sched_numa_settle_count: u32 = 0,
        /// A complete scan's faults replace one part of so many of the average.
        #[check(config::in_range(2..=1000))]
        pub sched_numa_fault_weight: u32 = 3,
        /// Whether an unchanged placement doubles the period.
        pub back_off: bool = true,
    }
}

/// numa/core by these rules; its state is what its versions share.
#[derive(Debug)]
pub struct NumacoreUnified3;

impl Described for NumacoreUnified3 {
    const NAME: &'static str = "numacore-unified-3";
    const LINEAGE: &'static str = "Ingo Molnar, Peter Zijlstra, Dec 2012, not merged: spread private tasks, gather shared ones";
    const SOURCE: &'static str = "\"unified NUMA balancing\" v3, linux-mm 2012-12-07";
    const LEFT_OUT: &'static str =
        "batches of base pages; lateral force; groups beyond one process";
    type Knobs = Knobs;
}

impl Design for NumacoreUnified3 {
    type State = Core;

    fn new(knobs: Knobs, machine: &Machine) -> Core {
        let rules = Rules {
            scan_delay: knobs.sched_numa_scan_delay,
            period_min: knobs.sched_numa_scan_period_min,
            period_max: knobs.sched_numa_scan_period_max,
            size_min: knobs.sched_numa_scan_size_min.pages_ceil(),
            size_max: knobs.sched_numa_scan_size_max.pages_ceil(),
            rss_threshold: knobs.sched_numa_rss_threshold.pages_ceil(),
            settle_count: knobs.sched_numa_settle_count,
            back_off: knobs.back_off,
            statistics: Statistics::ByCpuPid {
                fault_weight: u64::from(knobs.sched_numa_fault_weight),
            },
        };
        Core::new(rules, machine)
    }
}
