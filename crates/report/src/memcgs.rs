//! What each memory cgroup, or each process, had and suffered, by design.

use std::collections::BTreeMap;

use results::{Case, Comparison, Estimate, MemcgUse, ProcessUse, Run, TaskUse};

use crate::figures::{compact, decimals, plain};
use crate::table::{Column, Frame, fitted, grouped};

/// A group or process under a design, over its seeds.
pub(crate) struct GroupRow {
    /// `memory cgroup /PATH` or `process NAME`.
    pub(crate) name: String,
    pub(crate) design: String,
    /// `memory.current` at the end, bytes.
    current: Estimate,
    /// `memory.swap.current` at the end, bytes.
    swapped: Estimate,
    /// `workingset_refault_anon` and `workingset_refault_file`.
    pub(crate) refaults: Estimate,
    pub(crate) major_faults: Estimate,
    /// Percentiles of an access, ns: 50, 99, 99.9, 100.
    pub(crate) latency_ns: [Estimate; 4],
    /// Time in reclaim, s, all tasks together.
    pub(crate) stalled_s: Estimate,
    /// Time waiting for devices, s.
    waited_s: Estimate,
    /// Bytes moved or read, a second.
    pub(crate) rate: Estimate,
}

const COLUMNS: [Column<GroupRow>; 11] = [
    Column { head: ["", "design"], cell: |row| row.design.clone(), dispensable: 0 },
    Column { head: ["memory", "MiB"], cell: |row| mib(row.current), dispensable: 4 },
    Column { head: ["swap", "MiB"], cell: |row| mib(row.swapped), dispensable: 6 },
    Column { head: ["refaults", ""], cell: |row| compact(row.refaults.mean), dispensable: 0 },
    Column {
        head: ["major", "faults"],
        cell: |row| compact(row.major_faults.mean),
        dispensable: 5,
    },
    Column { head: ["p50", "ns"], cell: |row| compact(row.latency_ns[0].mean), dispensable: 3 },
    Column { head: ["p99", "ns"], cell: |row| compact(row.latency_ns[1].mean), dispensable: 0 },
    Column { head: ["p99.9", "ns"], cell: |row| compact(row.latency_ns[2].mean), dispensable: 1 },
    Column { head: ["max", "ns"], cell: |row| compact(row.latency_ns[3].mean), dispensable: 2 },
    Column { head: ["stall", "ms"], cell: |row| ms(row.stalled_s), dispensable: 1 },
    Column { head: ["moved", "MB/s"], cell: |row| digits(row.rate.mean / 1e6), dispensable: 1 },
];

fn mib(bytes: Estimate) -> String {
    plain(bytes.mean / f64::from(1 << 20), 0)
}

/// Three significant digits, whatever the size.
pub(crate) fn digits(value: f64) -> String {
    if value >= 999.5 || value == 0.0 { compact(value) } else { plain(value, decimals(value, 3)) }
}

fn ms(seconds: Estimate) -> String {
    compact(seconds.mean * 1e3)
}

/// Most processes that are shown one by one.
const PROCESSES: usize = 8;

/// Whoever a case has to be told apart, under each design: groups with tasks of their own; where there is
/// at most one, the processes, if those are not too many. Empty where nothing reclaims.
pub(crate) fn rows(comparison: &Comparison, case: &Case, designs: &[String]) -> Vec<GroupRow> {
    let runs: Vec<&Run> =
        designs.iter().flat_map(|design| comparison.finished(case, design)).collect();
    let groups = names(&runs, groups);
    let processes = names(&runs, processes);
    let by_process = groups.len() < 2 && (2..=PROCESSES).contains(&processes.len());
    let told = if by_process { self::processes } else { self::groups };
    let names = if by_process { processes } else { groups };
    let mut rows = Vec::new();
    for name in names {
        for design in designs {
            let runs = comparison.finished(case, design);
            let of_run = |run: &Run| {
                let told = told(run).into_iter().find(|told| told.name == name)?;
                Some(Figures::of(&told, run))
            };
            let figures: Vec<Figures> = runs.filter_map(of_run).collect();
            if !figures.is_empty() {
                rows.push(row(&name, design, &figures));
            }
        }
    }
    rows
}

/// A group or a process of a run.
struct Told<'a> {
    name: String,
    stat: Option<&'a BTreeMap<String, u64>>,
    tasks: &'a TaskUse,
}

fn groups(run: &Run) -> Vec<Told<'_>> {
    fn told(group: &MemcgUse) -> Told<'_> {
        let name = format!("memory cgroup {}", group.path);
        Told { name, stat: Some(&group.stat), tasks: &group.tasks }
    }
    run.reclaim.iter().flat_map(|reclaim| &reclaim.memcgs).map(told).collect()
}

fn processes(run: &Run) -> Vec<Told<'_>> {
    fn told(process: &ProcessUse) -> Told<'_> {
        let name = format!("process {}", process.name);
        Told { name, stat: None, tasks: &process.tasks }
    }
    run.reclaim.iter().flat_map(|reclaim| &reclaim.processes).map(told).collect()
}

/// Those that did anything, in order.
fn names(runs: &[&Run], told: fn(&Run) -> Vec<Told<'_>>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for told in runs.iter().flat_map(|run| told(run)) {
        if !names.contains(&told.name) && told.tasks.latency.contains_key(ACCESS) {
            names.push(told.name);
        }
    }
    names
}

/// The class of latencies that is shown.
const ACCESS: &str = "access";

/// The figures of one run.
#[derive(Default)]
struct Figures {
    current: f64,
    swapped: f64,
    refaults: f64,
    major_faults: f64,
    latency_ns: [f64; 4],
    stalled_s: f64,
    waited_s: f64,
    rate: f64,
}

impl Figures {
    fn of(told: &Told<'_>, run: &Run) -> Self {
        let tasks = told.tasks;
        let stat = |name: &str| match told.stat {
            Some(stat) => stat.get(name).copied().unwrap_or(0) as f64,
            None => f64::NAN,
        };
        let latency = tasks.latency.get(ACCESS).copied().unwrap_or_default();
        let measured = run.reclaim.as_ref().map_or(0.0, |reclaim| reclaim.measured.as_secs_f64());
        Self {
            current: stat("memory.current"),
            swapped: stat("memory.swap.current"),
            refaults: stat("workingset_refault_anon") + stat("workingset_refault_file"),
            major_faults: tasks.major_faults as f64,
            latency_ns: [latency.p50_ns, latency.p99_ns, latency.p99_9_ns, latency.max_ns]
                .map(|ns| ns as f64),
            stalled_s: tasks.stalled.as_secs_f64(),
            waited_s: tasks.waited.as_secs_f64(),
            rate: tasks.bytes as f64 / measured,
        }
    }
}

fn row(name: &str, design: &str, figures: &[Figures]) -> GroupRow {
    let over = |value: &dyn Fn(&Figures) -> f64| {
        Estimate::of(&figures.iter().map(value).collect::<Vec<_>>())
    };
    GroupRow {
        name: name.to_owned(),
        design: design.to_owned(),
        current: over(&|it| it.current),
        swapped: over(&|it| it.swapped),
        refaults: over(&|it| it.refaults),
        major_faults: over(&|it| it.major_faults),
        latency_ns: [0, 1, 2, 3].map(|place| over(&|it| it.latency_ns[place])),
        stalled_s: over(&|it| it.stalled_s),
        waited_s: over(&|it| it.waited_s),
        rate: over(&|it| it.rate),
    }
}

/// Rows of each group, in order.
pub(crate) fn by_group(rows: &[GroupRow]) -> Vec<(&str, Vec<&GroupRow>)> {
    grouped(rows, |row| row.name.as_str())
}

/// The groups as text, each below its name; empty where there are none.
pub(crate) fn text(rows: &[GroupRow], width: usize, frame: Frame) -> String {
    let groups = by_group(rows).into_iter();
    groups
        .map(|(name, rows)| format!("\n{name}\n{}", fitted(columns(&rows), &rows, width, frame)))
        .collect()
}

/// The columns that have a value in some row: memory is of groups, not of processes.
fn columns(rows: &[&GroupRow]) -> Vec<&'static Column<GroupRow>> {
    let has_value = |column: &&Column<GroupRow>| rows.iter().any(|row| (column.cell)(row) != "-");
    COLUMNS.iter().filter(has_value).collect()
}

/// Heads and lines of the report's table of a group.
pub(crate) fn table(rows: &[&GroupRow]) -> (Vec<String>, Vec<Vec<String>>) {
    let columns = columns(rows);
    let heads = columns.iter().map(|column| column.head.join(" ").trim().to_owned());
    let heads = heads.chain(["wait for devices ms".to_owned()]).collect();
    let line = |row: &&GroupRow| {
        columns.iter().map(|column| (column.cell)(row)).chain([ms(row.waited_s)]).collect()
    };
    (heads, rows.iter().map(line).collect())
}
