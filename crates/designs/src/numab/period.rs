//! The scan period: its bounds by the size of the process, and its adaptation after each pass.
//!
//! `task_scan_min`, `task_scan_start`, `task_scan_max` and `update_task_scan_period` of
//! `kernel/sched/fair.c`. The kernel counts the period in milliseconds; so do the slots here.

use base::{Bytes, Nanos, Pages};

/// Tenths into which ratios are cut (`NUMA_PERIOD_SLOTS`).
const SLOTS: u64 = 10;

/// Ratio from which placement counts as good (`NUMA_PERIOD_THRESHOLD`).
const THRESHOLD: u64 = 7;

/// The same until 3.16: a task with three local faults in ten scans more slowly. 3.17 changed it
/// ("sched/numa: Change scan period code to match intent", van Riel, June 2014: the cut-off was at
/// 30 % of local accesses, well before a task has converged).
const THRESHOLD_3_13: u64 = 3;

/// Sysctls of the period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeriodKnobs {
    pub(crate) min: Nanos,
    pub(crate) max: Nanos,
    pub(crate) scan_size: Bytes,
    /// Memory scanned per second of CPU time at most (`MAX_SCAN_WINDOW`).
    pub(crate) max_scan_window: Bytes,
}

/// A group's size and how its faults divide; they stretch the period of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupShare {
    pub(crate) nr_tasks: u64,
    pub(crate) shared: u64,
    pub(crate) private: u64,
}

/// What a task's faults of the last pass were, in base pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PassFaults {
    pub(crate) local: u64,
    pub(crate) remote: u64,
    pub(crate) private: u64,
    pub(crate) shared: u64,
    /// Pages whose migration failed.
    pub(crate) failed: u64,
}

/// How a pass changes the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapted {
    /// Nothing was learnt, or memory could not move: the period doubles, and the whole process
    /// waits as long.
    BackOff(Nanos),
    /// The new period.
    To(Nanos),
}

impl PeriodKnobs {
    /// Scans that a sweep over the resident memory takes.
    fn windows(&self, rss: Pages) -> u64 {
        let size = self.scan_size.pages_ceil().0.max(1);
        rss.0.div_ceil(size).max(1)
    }

    /// Shortest period of a process of that size.
    pub(crate) fn scan_min(&self, rss: Pages) -> Nanos {
        let windows_per_s = (self.max_scan_window.0 / self.scan_size.0.max(1)).max(1);
        let floor = Nanos::from_ms(1000 / windows_per_s);
        floor.max(Nanos::from_ms(self.min.as_ms() / self.windows(rss)))
    }

    /// Period to start from.
    pub(crate) fn scan_start(&self, rss: Pages, group: Option<GroupShare>) -> Nanos {
        let min = self.scan_min(rss);
        group.map_or(min, |group| min.max(group.stretch(min)))
    }

    /// Longest period.
    pub(crate) fn scan_max(&self, rss: Pages, group: Option<GroupShare>) -> Nanos {
        let max = Nanos::from_ms(self.max.as_ms() / self.windows(rss));
        let stretched = group.map_or(max, |group| max.max(group.stretch(max)));
        stretched.max(self.scan_min(rss))
    }
}

impl GroupShare {
    fn stretch(&self, period: Nanos) -> Nanos {
        let ms = period.as_ms() * self.nr_tasks * (self.shared + 1);
        Nanos::from_ms(ms / (self.private + self.shared + 1))
    }
}

/// Adaptation of 6.x: mostly private *or* mostly local faults slow scanning down.
pub(crate) fn adapt(period: Nanos, pass: &PassFaults, min: Nanos, max: Nanos) -> Adapted {
    if pass.local + pass.shared == 0 || pass.failed > 0 {
        return Adapted::BackOff((period * 2).min(max));
    }
    let slot = Nanos::from_ms(period.as_ms().div_ceil(SLOTS));
    let lr = tenths(pass.local, pass.remote);
    let ps = tenths(pass.private, pass.shared);
    let new = if ps >= THRESHOLD {
        period + slot * (ps - THRESHOLD).max(1)
    } else if lr >= THRESHOLD {
        period + slot * (lr - THRESHOLD).max(1)
    } else {
        period.saturating_sub(slot * (THRESHOLD - lr.max(ps)))
    };
    Adapted::To(new.clamp(min, max.max(min)))
}

/// Adaptation of 3.13: locality decides; the less private the faults, the smaller the speed-up.
pub(crate) fn adapt_3_13(period: Nanos, pass: &PassFaults, min: Nanos, max: Nanos) -> Adapted {
    if pass.local + pass.shared == 0 {
        return Adapted::BackOff((period * 2).min(max));
    }
    let slot = Nanos::from_ms(period.as_ms().div_ceil(SLOTS));
    let lr = tenths(pass.local, pass.remote);
    let new = if lr >= THRESHOLD_3_13 {
        period + slot * (lr - THRESHOLD_3_13).max(1)
    } else {
        let private = (pass.private * SLOTS).div_ceil((pass.private + pass.shared).max(1));
        let less = (slot * (THRESHOLD_3_13 - lr)).as_ms() * private / SLOTS;
        period.saturating_sub(Nanos::from_ms(less))
    };
    Adapted::To(new.clamp(min, max.max(min)))
}

/// `part` of `part + rest`, in tenths rounded down.
fn tenths(part: u64, rest: u64) -> u64 {
    part * SLOTS / (part + rest).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOBS: PeriodKnobs = PeriodKnobs {
        min: Nanos::from_ms(1000),
        max: Nanos::from_ms(60_000),
        scan_size: Bytes::from_mib(256),
        max_scan_window: Bytes::from_mib(2560),
    };

    fn gib(gib: u64) -> Pages {
        Pages(gib << 18)
    }

    #[test]
    fn large_processes_are_scanned_more_often_down_to_a_floor() {
        assert_eq!(KNOBS.scan_min(Pages(1)), Nanos::from_ms(1000));
        assert_eq!(KNOBS.scan_min(gib(1)), Nanos::from_ms(250));
        assert_eq!(KNOBS.scan_min(gib(64)), Nanos::from_ms(100));
        assert_eq!(KNOBS.scan_max(gib(1), None), Nanos::from_ms(15_000));
        assert_eq!(KNOBS.scan_max(gib(500), None), Nanos::from_ms(100));
    }

    #[test]
    fn a_group_that_shares_everything_scans_as_one_task() {
        let all = GroupShare { nr_tasks: 8, shared: 1000, private: 0 };
        assert_eq!(KNOBS.scan_start(Pages(1), Some(all)), Nanos::from_ms(8000));
        let none = GroupShare { nr_tasks: 8, shared: 0, private: 100_000 };
        assert_eq!(KNOBS.scan_start(Pages(1), Some(none)), Nanos::from_ms(1000));
    }

    /// The example of one thread with private faults only: 1000, 1300, 1690, 2197, 2857 ms.
    #[test]
    fn private_faults_slow_scanning_by_thirty_percent_a_pass() {
        let pass = PassFaults { local: 10, private: 10, ..PassFaults::default() };
        let mut period = Nanos::from_ms(1000);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let Adapted::To(next) =
                adapt(period, &pass, Nanos::from_ms(1000), Nanos::from_ms(60_000))
            else {
                panic!("there were faults");
            };
            period = next;
            seen.push(period.as_ms());
        }
        assert_eq!(seen, [1300, 1690, 2197, 2857]);
    }

    #[test]
    fn no_faults_and_failures_double_the_period() {
        let (min, max) = (Nanos::from_ms(1000), Nanos::from_ms(60_000));
        let none = PassFaults::default();
        assert_eq!(adapt(min, &none, min, max), Adapted::BackOff(Nanos::from_ms(2000)));
        let failed = PassFaults { local: 9, private: 9, failed: 1, ..none };
        assert_eq!(
            adapt(Nanos::from_ms(40_000), &failed, min, max),
            Adapted::BackOff(Nanos::from_ms(60_000))
        );
    }

    /// The rule as its description writes it, in milliseconds and signed numbers.
    fn transcription(period: i64, pass: &PassFaults, min: i64, max: i64) -> (bool, i64) {
        let [local, remote, private, shared] =
            [pass.local, pass.remote, pass.private, pass.shared].map(|n| n as i64);
        if local + shared == 0 || pass.failed > 0 {
            return (true, (2 * period).min(max));
        }
        let slot = (period + 9) / 10;
        let lr = if local + remote == 0 { 0 } else { 10 * local / (local + remote) };
        let ps = if private + shared == 0 { 0 } else { 10 * private / (private + shared) };
        let mut new = period;
        if ps >= 7 {
            new += 1.max(ps - 7) * slot;
        } else if lr >= 7 {
            new += 1.max(lr - 7) * slot;
        } else {
            new -= (7 - lr.max(ps)) * slot;
        }
        (
            false,
            if new < min {
                min
            } else if new > max {
                max
            } else {
                new
            },
        )
    }

    /// The rule of 3.13 in the same way; `failed` plays no part.
    fn transcription_3_13(period: i64, pass: &PassFaults, min: i64, max: i64) -> (bool, i64) {
        let [local, remote, private, shared] =
            [pass.local, pass.remote, pass.private, pass.shared].map(|n| n as i64);
        if local + shared == 0 {
            return (true, (2 * period).min(max));
        }
        let slot = (period + 9) / 10;
        let ratio = if local + remote == 0 { 0 } else { 10 * local / (local + remote) };
        let change = if ratio >= 3 {
            slot * if ratio == 3 { 1 } else { ratio - 3 }
        } else {
            // Tenths of private faults, rounded up, of what would else be taken off.
            let all = private + shared;
            let tenths = if all == 0 { 0 } else { (10 * private + all - 1) / all };
            -(slot * (3 - ratio) * tenths / 10)
        };
        (false, (period + change).min(max).max(min))
    }

    proptest! {
        #[test]
        fn adaptation_of_3_13_is_as_described(
            period in 1000i64..70_000, max in 1000i64..60_000,
            local in 0u64..40, remote in 0u64..80, private in 0u64..40, shared in 0u64..40,
            failed in 0u64..2,
        ) {
            let pass = PassFaults { local, remote, private, shared, failed };
            let ms = |ms: i64| Nanos::from_ms(ms as u64);
            let (back_off, new) = transcription_3_13(period, &pass, 1000, max);
            let expected =
                if back_off { Adapted::BackOff(ms(new)) } else { Adapted::To(ms(new)) };
            prop_assert_eq!(adapt_3_13(ms(period), &pass, ms(1000), ms(max)), expected);
        }

        /// Bounds as described, in whole milliseconds; a group stretches the start and the longest.
        #[test]
        fn bounds_are_as_described(
            rss in 0u64..1 << 24, scan_mib in 1u64..5000, min in 1u64..3000, max in 1u64..100_000,
            group in prop::option::of((1u64..64, 0u64..5000, 0u64..5000)),
        ) {
            let knobs = PeriodKnobs {
                min: Nanos::from_ms(min),
                max: Nanos::from_ms(max),
                scan_size: Bytes::from_mib(scan_mib),
                max_scan_window: Bytes::from_mib(2560),
            };
            let mut windows = 1;
            while windows * scan_mib * 256 < rss {
                windows += 1;
            }
            let floor = if scan_mib < 2560 { 1000 / (2560 / scan_mib) } else { 1000 };
            let shortest = if min / windows < floor { floor } else { min / windows };
            let stretched = |x: u64| match group {
                Some((tasks, shared, private)) => {
                    x.max(x * tasks * (shared + 1) / (private + shared + 1))
                }
                None => x,
            };
            let share = group.map(|(nr_tasks, shared, private)| GroupShare {
                nr_tasks, shared, private,
            });
            let rss = Pages(rss);
            prop_assert_eq!(knobs.scan_min(rss).as_ms(), shortest);
            prop_assert_eq!(knobs.scan_start(rss, share).as_ms(), stretched(shortest));
            let longest = stretched(max / windows).max(shortest);
            prop_assert_eq!(knobs.scan_max(rss, share).as_ms(), longest);
        }

        #[test]
        fn adaptation_is_as_described(
            period in 1i64..70_000, max in 1000i64..60_000,
            local in 0u64..40, remote in 0u64..40, private in 0u64..40, shared in 0u64..40,
            failed in prop::sample::select(vec![0u64, 0, 0, 1]),
        ) {
            let pass = PassFaults { local, remote, private, shared, failed };
            let ms = |ms: i64| Nanos::from_ms(ms as u64);
            let (back_off, new) = transcription(period, &pass, 1000, max);
            let expected =
                if back_off { Adapted::BackOff(ms(new)) } else { Adapted::To(ms(new)) };
            prop_assert_eq!(adapt(ms(period), &pass, ms(1000), ms(max)), expected);
        }

        /// More local faults never make a 3.13 task scan more often.
        #[test]
        fn locality_slows_3_13_down(
            period in 1000u64..60_000, local in 1u64..50, remote in 0u64..50, private in 0u64..50,
            shared in 1u64..50,
        ) {
            let (min, max) = (Nanos::from_ms(1000), Nanos::from_ms(60_000));
            let pass = PassFaults { local, remote, private, shared, failed: 0 };
            let better = PassFaults { local: local + 10, ..pass };
            let of = |pass: &PassFaults| match adapt_3_13(Nanos::from_ms(period), pass, min, max) {
                Adapted::To(period) | Adapted::BackOff(period) => period,
            };
            prop_assert!(of(&better) >= of(&pass));
        }
    }
}
