//! Settings of the scheduler, named after the kernel's where it has them.

use base::{Nanos, math};

/// Weight of a task of nice 0; vruntime advances at wall speed for it.
pub const NICE_0_WEIGHT: u32 = 1024;

/// Weight of a nice level: a step is a factor of 1.25. Nice is clamped to -20..=19. The kernel's
/// table is this formula within its rounding.
pub fn weight_of_nice(nice: i8) -> u32 {
    let nice = f64::from(nice.clamp(-20, 19));
    (f64::from(NICE_0_WEIGHT) * math::pow(1.25, -nice)).round() as u32
}

/// Which of the kernel's fair classes orders a run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FairPolicy {
    /// Up to 6.5: least vruntime first, slices as shares of a scheduling latency.
    Cfs,
    /// From 6.6: earliest virtual deadline among the eligible, fixed slices.
    Eevdf,
}

/// How many tasks a node may run before NUMA levels even out small differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImbNumaNr {
    /// The same number at every NUMA level; 0 evens out always, as kernels before 5.18 do.
    Fixed(u32),
    /// As kernels from 5.18 derive it: an eighth of a node's CPUs, or its number of last-level
    /// caches where it has several, at least 1; at higher levels times the growth of the span.
    Derived,
}

/// Settings of the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedKnobs {
    /// Order within a run queue.
    pub policy: FairPolicy,
    /// `sched_latency_ns` before scaling by [`SchedKnobs::cpu_factor`] (CFS).
    pub latency: Nanos,
    /// `sched_min_granularity_ns` before scaling (CFS); `base_slice_ns` before scaling (EEVDF).
    /// At least 1 us is used, so that every pick makes progress.
    pub min_granularity: Nanos,
    /// `sched_wakeup_granularity_ns` before scaling (CFS).
    pub wakeup_granularity: Nanos,
    /// `sched_migration_cost_ns`: a task that ran within this time is cache hot, and a CPU that
    /// is usually idle for less does not balance when it goes idle.
    pub migration_cost: Nanos,
    /// `sched_nr_migrate`: tasks examined in one balancing round.
    pub nr_migrate: u32,
    /// Periodic balancing of a busy CPU is rarer by this factor.
    pub busy_factor: u32,
    /// `imbalance_pct` of the SMT level.
    pub imbalance_pct_smt: u32,
    /// `imbalance_pct` of the other levels.
    pub imbalance_pct: u32,
    /// Length of a jiffy: the shortest balancing interval.
    pub tick: Nanos,
    /// Longest balancing interval of an idle CPU. The kernel has none, but kicks an idle CPU
    /// from the ticks of a busy one; here this bounds the time that two tasks share a CPU while
    /// another idles.
    pub idle_interval_max: Nanos,
    /// Shortest time between two pulls of a running task within a NUMA domain. Fitted by the
    /// published rows of 2012: about 50 ms.
    pub numa_pull_interval: Nanos,
    /// `node_reclaim_distance`: fork and wake-up placement do not cross a larger distance.
    pub reclaim_distance: u8,
    /// Allowed NUMA imbalance.
    pub imb_numa_nr: ImbNumaNr,
}

impl Default for SchedKnobs {
    /// CFS with the defaults of 3.8 to 6.5, evening out nodes always.
    fn default() -> Self {
        Self {
            policy: FairPolicy::Cfs,
            latency: Nanos::from_ms(6),
            min_granularity: Nanos::from_us(750),
            wakeup_granularity: Nanos::from_ms(1),
            migration_cost: Nanos::from_us(500),
            nr_migrate: 32,
            busy_factor: 16,
            imbalance_pct_smt: 110,
            imbalance_pct: 117,
            tick: Nanos::from_ms(4),
            idle_interval_max: Nanos::from_ms(20),
            numa_pull_interval: Nanos::from_ms(50),
            reclaim_distance: 30,
            imb_numa_nr: ImbNumaNr::Fixed(0),
        }
    }
}

impl SchedKnobs {
    /// The defaults for a kernel with `hz` timer ticks per second (at least 1 is assumed).
    pub fn with_hz(hz: u32) -> Self {
        Self { tick: Nanos(1_000_000_000 / u64::from(hz.max(1))), ..Self::default() }
    }

    /// The kernel's logarithmic scaling of slices: `1 + log2(min(cpus, 8))`.
    pub fn cpu_factor(nr_cpus: usize) -> u64 {
        1 + u64::from(nr_cpus.clamp(1, 8).ilog2())
    }
}

/// The knobs that fair scheduling uses, scaled by the number of CPUs; nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slices {
    pub(crate) policy: FairPolicy,
    pub(crate) latency_ns: u64,
    pub(crate) min_granularity_ns: u64,
    pub(crate) wakeup_granularity_ns: u64,
}

impl Slices {
    pub(crate) fn new(knobs: &SchedKnobs, nr_cpus: usize) -> Self {
        let factor = SchedKnobs::cpu_factor(nr_cpus);
        Self {
            policy: knobs.policy,
            latency_ns: knobs.latency.0 * factor,
            min_granularity_ns: knobs.min_granularity.max(Nanos::from_us(1)).0 * factor,
            wakeup_granularity_ns: knobs.wakeup_granularity.0 * factor,
        }
    }

    /// Time a task of `weight` may run before it must let others, with `nr` tasks of
    /// `total_weight` on its CPU.
    pub(crate) fn slice_ns(&self, weight: u32, nr: u32, total_weight: u64) -> u64 {
        match self.policy {
            FairPolicy::Eevdf => self.min_granularity_ns,
            FairPolicy::Cfs => {
                let period = self.latency_ns.max(u64::from(nr) * self.min_granularity_ns);
                let share = u128::from(period) * u128::from(weight);
                let slice = share / u128::from(total_weight.max(1));
                (slice as u64).max(self.min_granularity_ns)
            }
        }
    }
}

/// Wall time as virtual time of a task of `weight`.
#[inline]
pub(crate) fn to_virtual(ns: u64, weight: u32) -> i64 {
    if weight == NICE_0_WEIGHT {
        return ns as i64;
    }
    (u128::from(ns) * u128::from(NICE_0_WEIGHT) / u128::from(weight)) as i64
}

/// Virtual time of a task of `weight` as wall time; 0 for a negative one.
pub(crate) fn to_wall(virtual_ns: i64, weight: u32) -> u64 {
    let virtual_ns = virtual_ns.max(0) as u128;
    (virtual_ns * u128::from(weight)).div_ceil(u128::from(NICE_0_WEIGHT)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nice_levels_meet_the_kernels_anchors() {
        assert_eq!(weight_of_nice(0), 1024);
        assert_eq!(weight_of_nice(1), 819);
        assert_eq!(weight_of_nice(19), 15);
        assert_eq!(weight_of_nice(100), 15);
    }

    #[test]
    fn eight_cpus_have_the_well_known_slices() {
        let slices = Slices::new(&SchedKnobs::default(), 64);
        assert_eq!((slices.latency_ns, slices.min_granularity_ns), (24_000_000, 3_000_000));
        assert_eq!(slices.slice_ns(1024, 2, 2048), 12_000_000);
        // More than eight tasks stretch the period so that none gets less than the granularity.
        assert_eq!(slices.slice_ns(1024, 16, 16 * 1024), 3_000_000);
    }

    #[test]
    fn virtual_time_runs_slower_for_the_heavy() {
        assert_eq!(to_virtual(1000, 2048), 500);
        assert_eq!(to_wall(500, 2048), 1000);
        assert_eq!(to_wall(-3, 1024), 0);
    }
}
