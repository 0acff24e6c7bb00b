//! The files of the published suite: `configs/validate/*.toml`, a table of a mail or paper each.

use config::{Cx, Named, Spanned, Value, config, config_enum, each, in_range, positive};
use trace::generate::WorkloadSpec;

use crate::row::Centre;

config_enum! {
    /// What is measured of a run.
    pub enum Metric {
        /// Seconds to the end of the last thread.
        Elapsed = "elapsed_s",
        /// Time all CPUs ran, over elapsed time, in percent of one CPU (`time`'s CPU%).
        CpuPct = "cpu_pct",
        /// Seconds that all CPUs ran in programs.
        User = "user_s",
        /// Seconds that all CPUs ran in the kernel.
        System = "system_s",
        /// Bytes zeroed per second of the measured part, in 1e9 bytes per second
        /// (`perf bench numa mem`).
        Bandwidth = "bandwidth_gb_s",
        /// Units of work per second of the measured part.
        Throughput = "throughput",
        /// Seconds until all threads of each process ran on one node, the zeroing of memory before
        /// included; the length of the run where that never happened.
        Convergence = "convergence_s",
        /// Share of memory traffic that stayed on its node, in percent.
        Local = "local_pct",
        /// Share of hint faults whose page was on the faulting CPU's node, in percent.
        HintLocal = "hint_local_pct",
        /// Base pages moved between nodes because of hint faults.
        PagesMigrated = "pages_migrated",
        /// Faults on entries that a scanner protected.
        HintFaults = "hint_faults",
        /// Those whose page was on the faulting CPU's node.
        HintFaultsLocal = "hint_faults_local",
        /// Entries protected by a scanner; a huge one counts 512, as before 3.13.
        PteUpdates = "pte_updates",
        /// mmtests' weighted sum of the three: 7 a protected entry, 5000 a fault, 19 a page moved,
        /// in millions ("AutoNUMA cost").
        AutonumaCost = "autonuma_cost",
    }
}

impl Metric {
    /// Whether values of several cells have a total.
    pub const fn has_total(self) -> bool {
        !matches!(self, Self::CpuPct | Self::Local)
    }
}

config_enum! {
    /// Whether a published value helped to set the machine's numbers.
    pub enum Basis {
        /// A number of the machine file was set from it.
        Fitted = "fitted",
        /// Nothing was set from it.
        Predicted = "predicted",
    }
}

config! {
    /// A value that was published, and how near a run must come.
    pub struct RowFile {
        /// What is measured.
        pub metric: Metric,
        /// The published value; with `over`, of the ratio.
        pub published: f64,
        /// Only the work of this process (`throughput`), the first being 0; none for all.
        pub process: Option<u32> = None,
        /// Whether the value, or the total, is divided by the seconds that the runs took.
        pub per_second: bool = false,
        /// Cells whose values are added to this one's (a total over several programs).
        pub plus: Vec<Spanned<String>> = Vec::new(),
        /// Cells whose values are taken off the total (what the plain kernel needs as well).
        pub minus: Vec<Spanned<String>> = Vec::new(),
        /// Cells whose values, added up, divide this one's; none for a plain value.
        pub over: Vec<Spanned<String>> = Vec::new(),
        /// Least of the runs that `published` is the average of; of a ratio, the least over the base's most.
        pub published_least: Option<f64>,
        /// Most of those runs; of a ratio, the most over the base's least.
        pub published_most: Option<f64>,
        /// Half-width of the band, in percent of the published value. With `published_least` and
        /// `published_most`, the band goes so far beyond them, in percent of each.
        #[check(config::if_some(positive))]
        pub within_pct: Option<f64>,
        /// Least value that passes.
        pub low: Option<f64>,
        /// Largest value that passes.
        pub high: Option<f64>,
        /// Whether it helped to set the machine's numbers.
        pub basis: Basis = Basis::Predicted,
        /// Where it was published, if not where the file says.
        pub source: Option<String>,
        /// Tells apart rows of a cell that measure the same.
        pub label: String = String::new(),
        /// Known cause, should it miss.
        pub note: String = String::new(),
    }
    check |row, span, cx| {
        let by_ends = row.low.is_some() || row.high.is_some();
        if row.within_pct.is_some() == by_ends {
            let message = "a band is either `within_pct` or `low` and `high` (or one of them)";
            cx.error(span, message, "in this row");
        }
        match (row.published_least, row.published_most) {
            (None, None) => {}
            (Some(least), Some(most)) if row.within_pct.is_some() => {
                if !(least <= row.published && row.published <= most) {
                    let message = "`published` is not between `published_least` and `published_most`";
                    cx.error(span, message, "in this row");
                }
            }
            _ => {
                let message = "`published_least` and `published_most` come together, with `within_pct`";
                cx.error(span, message, "in this row");
            }
        }
        let adds_up = row.metric.has_total() && row.metric != Metric::HintLocal;
        if (!row.plus.is_empty() && !row.metric.has_total()) || (!row.minus.is_empty() && !adds_up)
        {
            cx.error(span, format!("values of {} do not add up", row.metric), "in this row");
        }
        if row.process.is_some() && row.metric != Metric::Throughput {
            cx.error(span, "only `throughput` is known of a process", "in this row");
        }
        if row.per_second && row.metric == Metric::HintLocal {
            cx.error(span, "a share has no rate", "in this row");
        }
    }
}

impl RowFile {
    /// Least and largest value that passes; infinite where the band has no such end.
    pub fn band(&self) -> (f64, f64) {
        match self.within_pct {
            Some(pct) => {
                let beyond = |end: f64| end.abs() * pct / 100.0;
                let least = self.published_least.unwrap_or(self.published);
                let most = self.published_most.unwrap_or(self.published);
                (least - beyond(least), most + beyond(most))
            }
            None => (self.low.unwrap_or(f64::NEG_INFINITY), self.high.unwrap_or(f64::INFINITY)),
        }
    }
}

config! {
    /// A workload under a design, run with some seeds.
    pub struct CellFile {
        /// Unique within the file.
        pub id: Spanned<String>,
        /// One of the file's workloads.
        pub workload: Spanned<String>,
        /// The design, by its registered name.
        pub design: Spanned<String>,
        /// Its constants, where they differ from the published defaults (a step of an ablation).
        pub knobs: Option<Value>,
        /// Seeds of a full run.
        #[check(in_range(1..=1000))]
        pub seeds: u32 = 5,
        /// Seeds of a quick run.
        #[check(in_range(1..=1000))]
        pub quick_seeds: u32 = 3,
        /// The workload of a quick run, where the published size takes too long.
        pub quick_workload: Option<Spanned<String>>,
        /// Why it is listed and not judged.
        pub excluded: Option<String>,
        /// What it needs that does not exist yet.
        pub needs: Option<String>,
        /// What was published of it; nothing where it only is what others are compared with.
        pub rows: Vec<RowFile> = Vec::new(),
    }
}

config! {
    /// Cells in the order of their values.
    pub struct OrderingFile {
        /// Unique within the file.
        pub id: Spanned<String>,
        /// What is compared.
        pub metric: Metric,
        /// Cells, the smallest value first.
        #[check(at_least_two)]
        pub ascending: Vec<Spanned<String>>,
        /// By how much a value may exceed the next one, in percent.
        pub slack_pct: f64 = 0.0,
        /// By how much a value must at least stay below the next one, in percent.
        #[check(in_range(0.0..=100.0))]
        pub gap_pct: f64 = 0.0,
        /// Where it was published, if not where the file says.
        pub source: Option<String>,
        /// Known cause, should it miss.
        pub note: String = String::new(),
    }
}

config! {
    /// A published table and the runs that stand against it.
    pub struct TableFile {
        /// As reports show it.
        pub title: String,
        /// Where it was published.
        pub source: String,
        /// Machine file, relative to this one.
        pub machine: Spanned<String>,
        /// What readers should know: which rows were left out, and why.
        pub note: String = String::new(),
        /// What stands for several seeds of a cell.
        pub centre: Centre = Centre::Median,
        /// Workloads by name.
        pub workloads: Named<WorkloadSpec>,
        /// What is run.
        #[check(each(has_id))]
        pub cells: Vec<CellFile>,
        /// In which order values come.
        pub orderings: Vec<OrderingFile> = Vec::new(),
    }
    check names_resolve
}

fn has_id(cell: &CellFile) -> Result<(), String> {
    if cell.id.value.is_empty() { Err("a cell needs a name".to_owned()) } else { Ok(()) }
}

#[expect(clippy::ptr_arg, reason = "a check takes the field's own type")]
fn at_least_two(cells: &Vec<Spanned<String>>) -> Result<(), String> {
    if cells.len() < 2 { Err("an order needs two cells".to_owned()) } else { Ok(()) }
}

/// Every workload and cell that is named exists, and cells have names of their own.
fn names_resolve(file: &TableFile, _span: config::Span, cx: &mut Cx) {
    let workloads: Vec<&str> =
        file.workloads.0.iter().map(|(name, _)| name.value.as_str()).collect();
    let cells: Vec<&str> = file.cells.iter().map(|cell| cell.id.value.as_str()).collect();
    let mut known = |name: &Spanned<String>, names: &[&str], key: &str| {
        if !names.contains(&name.value.as_str()) {
            cx.push(config::unknown_name(key, name, names));
        }
    };
    for cell in &file.cells {
        known(&cell.workload, &workloads, "workload");
        cell.quick_workload.iter().for_each(|name| known(name, &workloads, "quick_workload"));
        for row in &cell.rows {
            row.plus.iter().for_each(|name| known(name, &cells, "plus"));
            row.minus.iter().for_each(|name| known(name, &cells, "minus"));
            row.over.iter().for_each(|name| known(name, &cells, "over"));
        }
    }
    for ordering in &file.orderings {
        ordering.ascending.iter().for_each(|name| known(name, &cells, "ascending"));
    }
    for (idx, cell) in file.cells.iter().enumerate() {
        if cells[..idx].contains(&cell.id.value.as_str()) {
            cx.error(cell.id.span, "two cells have the same name", "second use");
        }
    }
}

/// JSON Schema of these files.
pub fn schema() -> config::Json {
    config::json_schema::<TableFile>()
}
