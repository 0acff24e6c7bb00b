//! One row per design and case: the figures of the comparison table.

use base::{Nanos, Vm};
use serde::Serialize;

use crate::latency::{Percentiles, merged};
use crate::{Case, Comparison, Estimate, Run, TimeSplit};

/// A design in a case, over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRow {
    /// Name of the design.
    pub design: String,
    /// Machine's name.
    pub machine: String,
    /// Workload's name.
    pub workload: String,
    /// Values of the experiment's axes.
    pub axes: std::collections::BTreeMap<String, String>,
    /// Seeds that finished: what the estimates are over.
    pub nr_seeds: usize,
    /// Seeds whose run ended for want of memory.
    pub nr_out_of_memory: usize,
    /// Of the seeds that finished, those in which a process was killed for want of memory: they did
    /// less than was asked for.
    #[serde(skip_serializing_if = "is_none")]
    pub nr_killed: usize,
    /// Machine time to the end of the last thread, s.
    pub elapsed_s: Estimate,
    /// Baseline's elapsed time divided by this one's, paired by seed; above 1 is faster.
    pub speedup: Estimate,
    /// Share of the cache lines moved that came from or went to the accessing CPU's own node, %;
    /// 100 where none moved.
    pub local_access_pct: Estimate,
    /// Base pages moved between nodes, for any reason.
    pub pages_migrated: Estimate,
    /// NUMA hint faults.
    pub hint_faults: Estimate,
    /// Kernel's share of the CPU time used, %.
    pub system_pct: Estimate,
    /// Access latency over all classes and seeds.
    pub latency: Percentiles,
}

impl SummaryRow {
    /// The case it belongs to.
    pub fn case(&self) -> Case {
        Case {
            machine: self.machine.clone(),
            workload: self.workload.clone(),
            axes: self.axes.clone(),
        }
    }

    /// The estimates by their names in JSON and Parquet, in the order of the table.
    pub fn estimates(&self) -> [(&'static str, Estimate); 6] {
        [
            ("elapsed_s", self.elapsed_s),
            ("speedup", self.speedup),
            ("local_access_pct", self.local_access_pct),
            ("pages_migrated", self.pages_migrated),
            ("hint_faults", self.hint_faults),
            ("system_pct", self.system_pct),
        ]
    }
}

/// Nothing to tell.
fn is_none(nr: &usize) -> bool {
    *nr == 0
}

/// One row per case and design, in the order of the cells.
pub fn summary(comparison: &Comparison) -> Vec<SummaryRow> {
    let designs = comparison.designs();
    let mut rows = Vec::new();
    for case in comparison.cases() {
        for design in &designs {
            if comparison.runs(&case, design).next().is_some() {
                rows.push(row(comparison, &case, design));
            }
        }
    }
    rows
}

fn row(comparison: &Comparison, case: &Case, design: &str) -> SummaryRow {
    let runs: Vec<&Run> = comparison.finished(case, design).collect();
    let over = |quantity: &dyn Fn(&Run) -> f64| {
        Estimate::of(&runs.iter().map(|run| quantity(run)).collect::<Vec<_>>())
    };
    SummaryRow {
        design: design.to_owned(),
        machine: case.machine.clone(),
        workload: case.workload.clone(),
        axes: case.axes.clone(),
        nr_seeds: runs.len(),
        nr_out_of_memory: comparison.runs(case, design).count() - runs.len(),
        nr_killed: runs.iter().filter(|run| !run.oom_kills().is_empty()).count(),
        elapsed_s: over(&|run| run.elapsed.as_secs_f64()),
        speedup: Estimate::of(&paired_ratios(comparison, case, &comparison.baseline, design)),
        local_access_pct: over(&local_access_pct),
        pages_migrated: over(&|run| run.vmstat[Vm::pgmigrate_success] as f64),
        hint_faults: over(&|run| run.vmstat[Vm::numa_hint_faults] as f64),
        system_pct: over(&system_pct),
        latency: Percentiles::of(&merged(runs.iter().copied())),
    }
}

/// Elapsed time of `slow` divided by that of `fast`, for each seed that both completed.
pub(crate) fn paired_ratios(
    comparison: &Comparison,
    case: &Case,
    slow: &str,
    fast: &str,
) -> Vec<f64> {
    let mut ratios = Vec::new();
    for run in comparison.complete(case, fast) {
        let pair = comparison.complete(case, slow).find(|other| other.seed == run.seed);
        if let (Some(other), true) = (pair, run.elapsed > Nanos::ZERO) {
            ratios.push(other.elapsed.as_secs_f64() / run.elapsed.as_secs_f64());
        }
    }
    ratios
}

fn local_access_pct(run: &Run) -> f64 {
    let local = run.vmstat[Vm::sim_lines_local];
    percentage(local, local + run.vmstat[Vm::sim_lines_remote]).unwrap_or(100.0)
}

fn system_pct(run: &Run) -> f64 {
    let system = run.vmstat[Vm::sim_system_ns];
    percentage(system, system + run.vmstat[Vm::sim_user_ns]).unwrap_or(0.0)
}

/// `part` of `whole` in %; `None` where there is no whole.
fn percentage(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

/// Where the tasks' time went, each part in seconds summed over the tasks, mean over the seeds of
/// `design`; `None` where no run finished.
pub fn time_split_s(
    comparison: &Comparison,
    case: &Case,
    design: &str,
) -> Option<[(&'static str, f64); TimeSplit::NR_PARTS]> {
    let mut sum = TimeSplit::default().parts().map(|(part, _)| (part, 0.0));
    let mut nr_runs = 0;
    for run in comparison.finished(case, design) {
        nr_runs += 1;
        for task in &run.tasks {
            for (total, (_, time)) in sum.iter_mut().zip(task.time.parts()) {
                total.1 += time.as_secs_f64();
            }
        }
    }
    (nr_runs > 0).then(|| sum.map(|(part, time)| (part, time / f64::from(nr_runs))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn speedup_is_paired_by_seed() {
        let comparison = sample::elapsed(&[("base", &[10, 20, 40]), ("twice", &[5, 10, 20])]);
        let rows = summary(&comparison);
        // Unpaired, the spread of the seeds would hide that it is exactly two.
        assert_eq!(
            (rows[1].speedup.low, rows[1].speedup.mean, rows[1].speedup.high),
            (2.0, 2.0, 2.0)
        );
        assert_eq!(rows[0].speedup.mean, 1.0);
        assert!(rows[1].elapsed_s.half_width() > 1.0);
    }

    #[test]
    fn runs_out_of_memory_are_counted_and_left_out_of_the_means() {
        let mut comparison = sample::elapsed(&[("base", &[10, 20])]);
        comparison.cells[1].outcome = Outcome::OutOfMemory("wanted 1 page".to_owned());
        let rows = summary(&comparison);
        assert_eq!(
            (rows[0].nr_seeds, rows[0].nr_out_of_memory, rows[0].elapsed_s.mean),
            (1, 1, 10.0)
        );
    }

    #[test]
    fn shares_are_of_lines_and_of_cpu_time() {
        let mut comparison = sample::elapsed(&[("base", &[10])]);
        let stat = &mut comparison.cells[0].vmstat;
        (stat[Vm::sim_lines_local], stat[Vm::sim_lines_remote]) = (30, 10);
        (stat[Vm::sim_user_ns], stat[Vm::sim_system_ns]) = (90, 10);
        let rows = summary(&comparison);
        assert_eq!((rows[0].local_access_pct.mean, rows[0].system_pct.mean), (75.0, 10.0));
    }

    #[test]
    fn cases_have_baselines_of_their_own() {
        let mut comparison = sample::elapsed(&[("base", &[10]), ("fast", &[5])]);
        let mut other = sample::elapsed(&[("base", &[30]), ("fast", &[10])]);
        other
            .cells
            .iter_mut()
            .for_each(|run| drop(run.axes.insert("threads".to_owned(), "8".to_owned())));
        comparison.cells.append(&mut other.cells);
        let speedups: Vec<f64> = summary(&comparison).iter().map(|row| row.speedup.mean).collect();
        assert_eq!(speedups, [1.0, 2.0, 1.0, 3.0]);
    }

    use crate::Outcome;
}
