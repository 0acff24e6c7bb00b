//! What is read off a run.

use base::{HUGE_PAGE_PAGES, Nanos, Vm};
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
        Metric::PteUpdates => {
            let huge = count(Vm::numa_huge_pte_updates);
            count(Vm::numa_pte_updates) + huge * (HUGE_PAGE_PAGES as f64 - 1.0)
        }
    };
    value.is_finite().then_some(value)
}

fn share_pct(part: f64, whole: f64) -> f64 {
    part / whole * 100.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::Vmstat;
    use results::Outcome;

    use super::*;

    fn run() -> Run {
        let mut vmstat = Vmstat::default();
        vmstat[Vm::sim_user_ns] = 30_000_000_000;
        vmstat[Vm::sim_system_ns] = 10_000_000_000;
        vmstat[Vm::numa_pte_updates] = 5;
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
        }
    }

    #[test]
    fn metrics_are_worked_by_hand() {
        let run = run();
        let of = |metric| value(metric, &run, Some(Nanos::from_secs(4)));
        assert_eq!(of(Metric::Elapsed), Some(10.0));
        assert_eq!(of(Metric::CpuPct), Some(400.0), "four CPUs all the time");
        assert_eq!(of(Metric::System), Some(10.0));
        assert_eq!(of(Metric::Bandwidth), Some(2.0), "8 GB in the measured 4 s");
        assert_eq!(of(Metric::Local), Some(75.0));
        assert_eq!(of(Metric::PteUpdates), Some(3.0 + 2.0 * 512.0));
        assert_eq!(of(Metric::HintLocal), None, "there were no hint faults");
    }
}
