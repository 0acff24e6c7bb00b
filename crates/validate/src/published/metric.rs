//! What is read off a run.

use std::collections::BTreeMap;

use base::{Nanos, Vm};
use results::Run;

use super::file::Metric;

/// The value of a metric; `None` where the run has nothing of that kind (a share of no faults).
/// `measured` is the length of the measured part, where the workload sets one.
pub fn value(metric: Metric, run: &Run, measured: Option<Nanos>) -> Option<f64> {
    let count = |counter: Vm| run.vmstat[counter] as f64;
    let seconds = run.elapsed.as_secs_f64();
    let measured = measured.map_or(seconds, |span| span.as_secs_f64());
    let value = match metric {
        Metric::Elapsed | Metric::Convergence => seconds,
        Metric::CpuPct => {
            let ran_ns = count(Vm::sim_user_ns) + count(Vm::sim_system_ns);
            ran_ns / run.elapsed.0 as f64 * 100.0
        }
        Metric::User => count(Vm::sim_user_ns) / 1e9,
        Metric::System => count(Vm::sim_system_ns) / 1e9,
        Metric::Bandwidth => run.work_done as f64 / measured / 1e9,
        Metric::Throughput => run.work_done as f64 / measured,
        Metric::Local => {
            let local = count(Vm::sim_lines_local);
            share_pct(local, local + count(Vm::sim_lines_remote))
        }
        Metric::HintLocal => {
            share_pct(count(Vm::numa_hint_faults_local), count(Vm::numa_hint_faults))
        }
        Metric::PagesMigrated => count(Vm::numa_pages_migrated),
        Metric::HintFaults => count(Vm::numa_hint_faults),
        Metric::HintFaultsLocal => count(Vm::numa_hint_faults_local),
        Metric::PteUpdates => count(Vm::numa_pte_updates),
        Metric::AutonumaCost => {
            let faults = 5000.0 * count(Vm::numa_hint_faults);
            (7.0 * count(Vm::numa_pte_updates) + faults + 19.0 * count(Vm::numa_pages_migrated))
                / 1e6
        }
    };
    value.is_finite().then_some(value)
}

/// Units of work per second of the measured part, for each process that has threads.
pub(super) fn throughputs(run: &Run, measured: Option<Nanos>) -> BTreeMap<u32, f64> {
    let seconds = measured.unwrap_or(run.elapsed).as_secs_f64();
    let mut rates = BTreeMap::new();
    for task in &run.tasks {
        *rates.entry(task.process).or_insert(0.0) += task.work_done as f64 / seconds;
    }
    rates
}

fn share_pct(part: f64, whole: f64) -> f64 {
    part / whole * 100.0
}

#[cfg(test)]
mod tests {
    use base::Vmstat;
    use results::{Outcome, Task};

    use super::*;

    fn run() -> Run {
        let mut vmstat = Vmstat::default();
        vmstat[Vm::sim_user_ns] = 30_000_000_000;
        vmstat[Vm::sim_system_ns] = 10_000_000_000;
        vmstat[Vm::numa_pte_updates] = 3 + 2 * 512;
        vmstat[Vm::numa_huge_pte_updates] = 2;
        vmstat[Vm::sim_lines_local] = 3;
        vmstat[Vm::sim_lines_remote] = 1;
        Run {
            design: String::new(),
            machine: String::new(),
            workload: String::new(),
            axes: BTreeMap::new(),
            seed: 1,
            elapsed: Nanos::from_secs(10),
            vmstat,
            tasks: Vec::new(),
            latency: Vec::new(),
            series: Vec::new(),
            resources: Vec::new(),
            work_done: 8_000_000_000,
            outcome: Outcome::Finished,
            history: results::History::default(),
            reclaim: None,
        }
    }

    #[test]
    fn metrics_are_worked_by_hand() {
        let run = run();
        let of = |metric| value(metric, &run, Some(Nanos::from_secs(4)));
        assert_eq!(of(Metric::Elapsed), Some(10.0));
        assert_eq!(of(Metric::CpuPct), Some(400.0), "four CPUs all the time");
        assert_eq!((of(Metric::User), of(Metric::System)), (Some(30.0), Some(10.0)));
        assert_eq!(of(Metric::Bandwidth), Some(2.0), "8 GB in the measured 4 s");
        assert_eq!(of(Metric::Local), Some(75.0));
        let updates = of(Metric::PteUpdates);
        assert_eq!(updates, Some(1027.0), "the counter has huge ones as 512 already");
        assert_eq!(of(Metric::HintLocal), None, "there were no hint faults");
        assert_eq!(of(Metric::AutonumaCost), Some(7.0 * 1027.0 / 1e6));
    }

    #[test]
    fn work_is_known_of_each_process() {
        let task = |process, work_done| Task { process, work_done, ..Task::default() };
        let run = Run { tasks: vec![task(0, 8), task(1, 20), task(0, 4)], ..run() };
        let rates = throughputs(&run, Some(Nanos::from_secs(4)));
        assert_eq!(rates, BTreeMap::from([(0, 3.0), (1, 5.0)]));
    }

    #[test]
    fn the_cost_is_the_published_one_for_published_counters() {
        let mut run = run();
        run.vmstat = Vmstat::default();
        run.vmstat[Vm::numa_pte_updates] = 147_254_249;
        run.vmstat[Vm::numa_hint_faults] = 688_568;
        run.vmstat[Vm::numa_pages_migrated] = 10_303_098;
        assert_eq!(value(Metric::AutonumaCost, &run, None).map(f64::floor), Some(4669.0));
    }
}
