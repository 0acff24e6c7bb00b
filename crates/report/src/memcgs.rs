//! What each memory cgroup had and suffered, by design.

use results::{Case, Comparison, Estimate, MemcgUse, Run};

use crate::figures::{compact, plain};
use crate::table::{Frame, align};

/// Heads of the columns, in two lines.
pub(crate) const HEADS: [[&str; 2]; 9] = [
    ["memory cgroup", ""],
    ["", "design"],
    ["current", "MiB"],
    ["swapped", "MiB"],
    ["refaults", ""],
    ["major", "faults"],
    ["p99", "ns"],
    ["p99.9", "ns"],
    ["reclaim", "p99 ns"],
];

/// Each group of a case under each design, means over seeds; empty where there are no groups.
pub(crate) fn rows(comparison: &Comparison, case: &Case, designs: &[String]) -> Vec<Vec<String>> {
    let groups = |run: &Run| -> Vec<MemcgUse> {
        run.reclaim.as_ref().map_or(Vec::new(), |reclaim| reclaim.memcgs.clone())
    };
    let mut paths: Vec<String> = Vec::new();
    let all = designs.iter().flat_map(|design| comparison.finished(case, design));
    for group in all.flat_map(groups) {
        if !paths.contains(&group.path) {
            paths.push(group.path);
        }
    }
    let mut rows = Vec::new();
    for path in &paths {
        for design in designs {
            let uses: Vec<MemcgUse> = comparison
                .finished(case, design)
                .flat_map(groups)
                .filter(|group| group.path == *path)
                .collect();
            if !uses.is_empty() {
                rows.push(row(path, design, &uses));
            }
        }
    }
    rows
}

fn row(path: &str, design: &str, uses: &[MemcgUse]) -> Vec<String> {
    let mean = |value: &dyn Fn(&MemcgUse) -> f64| {
        Estimate::of(&uses.iter().map(value).collect::<Vec<_>>()).mean
    };
    let stat =
        |name: &str| mean(&|group: &MemcgUse| group.stat.get(name).copied().unwrap_or(0) as f64);
    let latency = |class: &str, pick: fn(&results::Percentiles) -> u64| {
        mean(&|group: &MemcgUse| {
            group.latency.get(class).map_or(0.0, |latency| pick(latency) as f64)
        })
    };
    let mib = |bytes: f64| plain(bytes / f64::from(1 << 20), 0);
    vec![
        path.to_owned(),
        design.to_owned(),
        mib(stat("memory.current")),
        mib(stat("memory.swap.current")),
        compact(stat("workingset_refault_anon") + stat("workingset_refault_file")),
        compact(stat("pgmajfault")),
        compact(latency("access", |latency| latency.p99_ns)),
        compact(latency("access", |latency| latency.p99_9_ns)),
        compact(latency("direct reclaim", |latency| latency.p99_ns)),
    ]
}

/// The groups of all cases as text, each case below its title; empty where there are none.
pub fn terminal(comparison: &Comparison, frame: Frame) -> String {
    let (cases, designs) = (comparison.cases(), comparison.designs());
    let mut text = String::new();
    for case in &cases {
        let rows = rows(comparison, case, &designs);
        if rows.is_empty() {
            continue;
        }
        text += "\n";
        if cases.len() > 1 {
            text += &format!("{}\n", case.title());
        }
        let heads = [0, 1].map(|line| HEADS.iter().map(|head| head[line].to_owned()).collect());
        let mut lines = align(&heads.into_iter().chain(rows).collect::<Vec<_>>());
        if frame == Frame::Ruled {
            let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
            lines.insert(2, "─".repeat(longest));
        }
        lines.iter().for_each(|line| text += &format!("{line}\n"));
    }
    text
}
