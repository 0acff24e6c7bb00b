//! Why one design is faster than another: where the time of two designs went.

use std::collections::BTreeMap;

use results::{Case, Comparison, time_split_s};

use crate::figures::{decimals, plain};
use crate::past::{Pair, queueing_s};
use crate::strips::{Strips, strips};
use crate::table::align;

/// Most tasks that are listed one by one.
const TASKS: usize = 64;

/// Most shared bandwidths that are listed.
const RESOURCES: usize = 8;

/// Where the time of two designs went in `case`, in task seconds summed over the tasks, and what
/// the second spends more or less; which shared bandwidths were saturated and queued for; each
/// task; then, of one seed, where threads and memory were and what moved them. `None` where one of
/// the designs has no finished run.
pub fn explain(
    comparison: &Comparison,
    case: &Case,
    [first, second]: [&str; 2],
    how: Strips,
) -> Option<String> {
    let (one, two) =
        (time_split_s(comparison, case, first)?, time_split_s(comparison, case, second)?);
    let head = |unit: &str| {
        vec![unit.to_owned(), first.to_owned(), second.to_owned(), "difference".to_owned()]
    };
    let line = |name: &str, one: f64, two: f64, digits: usize| {
        vec![
            name.to_owned(),
            format!("{one:.digits$}"),
            format!("{two:.digits$}"),
            format!("{:+.digits$}", two - one),
        ]
    };
    let total = |parts: &[(&str, f64)]| parts.iter().map(|(_, time)| time).sum::<f64>();
    let digits = decimals(total(&one).max(total(&two)), 4);
    let mut lines = vec![head("task time, s")];
    for ((part, one), (_, two)) in one.iter().zip(&two) {
        if *one > 0.0 || *two > 0.0 {
            lines.push(line(part, *one, *two, digits));
        }
    }
    lines.push(line("all", total(&one), total(&two), digits));
    let mut text = align(&lines).join("\n") + "\n";
    let (one, two) =
        (saturation_pct(comparison, case, first), saturation_pct(comparison, case, second));
    let mut lines = vec![head("saturated, % of the time")];
    for (name, one) in &one {
        let two = two.iter().find(|(other, _)| other == name).map_or(0.0, |(_, two)| *two);
        if *one > 0.0 || two > 0.0 {
            lines.push(line(name, *one, two, 1));
        }
    }
    if lines.len() > 1 {
        text += &format!("\n{}\n", align(&lines).join("\n"));
    }
    let queueing = queueing_s(comparison, case, &[first, second], RESOURCES);
    if !queueing.is_empty() {
        let mut lines = vec![head("queueing for, task s")];
        lines.extend(queueing.iter().map(|(name, times)| line(name, times[0], times[1], digits)));
        text += &format!("\n{}\n", align(&lines).join("\n"));
    }
    text += &tasks(comparison, case, first, second);
    if let Some(pair) = Pair::of(comparison, case, [first, second]) {
        text += &strips(&pair, how);
    }
    Some(text)
}

/// Share of the time that each shared bandwidth was saturated, %, mean over seeds.
pub(crate) fn saturation_pct(
    comparison: &Comparison,
    case: &Case,
    design: &str,
) -> Vec<(String, f64)> {
    let mut shares: Vec<(String, f64)> = Vec::new();
    let nr_runs = comparison.finished(case, design).count() as f64;
    for resource in comparison.finished(case, design).flat_map(|run| &run.resources) {
        let share = 100.0 * resource.saturated / nr_runs;
        match shares.iter_mut().find(|(name, _)| *name == resource.name) {
            Some((_, sum)) => *sum += share,
            None => shares.push((resource.name.clone(), share)),
        }
    }
    shares
}

/// A task over the seeds of one design: the mean of each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TaskMean {
    /// From its start to its end, s.
    pub(crate) lifetime_s: f64,
    /// Share of the lines it moved on its own node, %; NaN where it moved none.
    pub(crate) local_pct: f64,
    /// Times it moved to another node.
    pub(crate) node_migrations: f64,
}

/// Tasks by name in the order of the workload.
pub(crate) fn task_means(
    comparison: &Comparison,
    case: &Case,
    design: &str,
) -> Vec<(String, TaskMean)> {
    #[derive(Default)]
    struct Sum {
        order: usize,
        count: f64,
        lifetime_s: f64,
        local: f64,
        lines: f64,
        moves: f64,
    }
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for task in comparison.finished(case, design).flat_map(|run| &run.tasks) {
        let order = sums.len();
        let sum = sums.entry(&task.name).or_insert_with(|| Sum { order, ..Sum::default() });
        sum.count += 1.0;
        sum.lifetime_s += task.end.saturating_sub(task.start).as_secs_f64();
        sum.local += task.lines_local as f64;
        sum.lines += (task.lines_local + task.lines_remote) as f64;
        sum.moves += task.node_migrations as f64;
    }
    let mut sums: Vec<(&str, Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| sum.order);
    let mean = |sum: Sum| TaskMean {
        lifetime_s: sum.lifetime_s / sum.count,
        local_pct: 100.0 * sum.local / sum.lines,
        node_migrations: sum.moves / sum.count,
    };
    sums.into_iter().map(|(name, sum)| (name.to_owned(), mean(sum))).collect()
}

/// Lifetime, local share and moves between nodes of each task under two designs; empty where the
/// workload has no tasks.
fn tasks(comparison: &Comparison, case: &Case, first: &str, second: &str) -> String {
    let (one, two) = (task_means(comparison, case, first), task_means(comparison, case, second));
    let heads = [
        ["task", "lifetime, s", "", "local, %", "", "node moves", ""],
        ["", first, second, first, second, first, second],
    ];
    let mut lines: Vec<Vec<String>> = heads.map(|head| head.map(str::to_owned).to_vec()).to_vec();
    for (name, one) in one.iter().take(TASKS) {
        let two = two
            .iter()
            .find(|(other, _)| other == name)
            .map_or(TaskMean::default(), |(_, two)| *two);
        let digits = decimals(one.lifetime_s.max(two.lifetime_s), 4);
        let pair = |one: f64, two: f64, digits: usize| [plain(one, digits), plain(two, digits)];
        let cells = [
            pair(one.lifetime_s, two.lifetime_s, digits),
            pair(one.local_pct, two.local_pct, 1),
            pair(one.node_migrations, two.node_migrations, 1),
        ];
        lines.push(std::iter::once(name.clone()).chain(cells.into_iter().flatten()).collect());
    }
    match one.len() {
        0 => String::new(),
        nr if nr > TASKS => {
            format!("\n{}\nand {} more tasks\n", align(&lines).join("\n"), nr - TASKS)
        }
        _ => format!("\n{}\n", align(&lines).join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use results::sample;

    use super::*;

    const PLAIN: Strips = Strips { width: 80, color: false };

    #[test]
    fn explanation_adds_up() {
        let comparison = sample::comparison();
        let case = comparison.cases().remove(0);
        let text = explain(&comparison, &case, ["first-touch", "balancenuma"], PLAIN).unwrap();
        let figure = |line: &str, from_end: usize| -> f64 {
            text.lines()
                .find(|found| found.starts_with(line))
                .unwrap()
                .split_whitespace()
                .rev()
                .nth(from_end)
                .unwrap()
                .parse()
                .unwrap()
        };
        assert!(figure("remote memory", 0) < 0.0 && figure("hint faults", 0) > 0.0, "{text}");
        assert!((figure("all", 1) - figure("all", 2) - figure("all", 0)).abs() < 0.11, "{text}");
        assert!(text.contains("node 0 controller"), "{text}");
        assert!(explain(&comparison, &case, ["first-touch", "absent"], PLAIN).is_none());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn tasks_are_averaged_over_seeds_in_their_order() {
        let mut comparison = sample::elapsed(&[("base", &[10, 20])]);
        for (run, seconds) in comparison.cells.iter_mut().zip([10, 20]) {
            let end = base::Nanos::from_secs(seconds);
            let task = |name: &str, lines_local| results::Task {
                name: name.to_owned(),
                end,
                lines_local,
                lines_remote: 10,
                ..Default::default()
            };
            run.tasks = vec![task("zeta", 30), task("alpha", 10)];
        }
        let case = comparison.cases().remove(0);
        let means = task_means(&comparison, &case, "base");
        assert_eq!(means[0].0, "zeta");
        assert_eq!(
            (means[0].1.lifetime_s, means[0].1.local_pct, means[1].1.local_pct),
            (15.0, 75.0, 50.0)
        );
        comparison.cells.iter_mut().for_each(|run| run.tasks = vec![results::Task::default(); 1]);
        assert!(explain(&comparison, &case, ["base", "base"], PLAIN).unwrap().contains("lifetime"));
    }
}
