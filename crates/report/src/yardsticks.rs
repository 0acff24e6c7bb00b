//! How far from the best runs under memory pressure were: their misses beside those of textbook
//! policies on the same stream of accesses.

use results::{Case, Comparison, Estimate, Run, YardstickUse};
use serde_json::{Value, json};

use crate::charts::{Figure, spec};
use crate::figures::{compact, plain};
use crate::table::{Frame, align, grouped, ruled};

/// What the run itself is called among the policies.
const RUN: &str = "run";

/// A group that ran short, under a design, over its seeds.
pub(crate) struct Row {
    /// `memory cgroup /PATH`, or the machine.
    name: String,
    design: String,
    /// Pages held.
    held: Estimate,
    misses: Estimate,
    best: Estimate,
    /// Misses as a multiple of the best, of the run and of each policy.
    ratios: Vec<(String, Estimate)>,
    /// Share of the accesses that was recorded.
    recorded: f64,
}

/// A row for each group and design of a case; empty where nothing was asked for.
pub(crate) fn rows(comparison: &Comparison, case: &Case, designs: &[String]) -> Vec<Row> {
    fn used(run: &Run) -> &[YardstickUse] {
        run.reclaim.as_ref().map_or(&[], |reclaim| &reclaim.yardsticks)
    }
    let runs = designs.iter().flat_map(|design| comparison.finished(case, design));
    let mut paths: Vec<&str> = Vec::new();
    for used in runs.flat_map(used) {
        if !paths.contains(&used.path.as_str()) {
            paths.push(&used.path);
        }
    }
    let mut rows = Vec::new();
    for path in paths {
        for design in designs {
            let of_path = |run| used(run).iter().find(|used| used.path == path);
            let used: Vec<_> = comparison.finished(case, design).filter_map(of_path).collect();
            if !used.is_empty() {
                rows.push(row(path, design, &used));
            }
        }
    }
    rows
}

fn row(path: &str, design: &str, used: &[&YardstickUse]) -> Row {
    let over = |value: &dyn Fn(&YardstickUse) -> f64| {
        Estimate::of(&used.iter().map(|used| value(used)).collect::<Vec<_>>())
    };
    let misses_of = |used: &YardstickUse, policy: &str| {
        let found = used.policies.iter().find(|it| it.policy == policy);
        found.map_or(used.misses, |found| found.misses)
    };
    let ratio = |policy: &str| {
        over(&|used| match (misses_of(used, policy), used.best) {
            (0, 0) => 1.0,
            (misses, best) => misses as f64 / best as f64,
        })
    };
    let policies = used.first().map_or(&[][..], |used| &used.policies);
    let names = std::iter::once(RUN).chain(policies.iter().map(|it| it.policy.as_str()));
    let recorded = over(&|used| {
        let accesses = used.accesses as f64;
        if used.left_out == 0 { 1.0 } else { accesses / (accesses + used.left_out as f64) }
    });
    Row {
        name: match path {
            "/" => "the machine".to_owned(),
            _ => format!("memory cgroup {path}"),
        },
        design: design.to_owned(),
        held: over(&|used| used.capacity_pages as f64),
        misses: over(&|used| used.misses as f64),
        best: over(&|used| used.best as f64),
        ratios: names.map(|name| (name.to_owned(), ratio(name))).collect(),
        recorded: recorded.mean,
    }
}

/// Rows of each group, in order, with the group's title.
fn by_group(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    grouped(rows, |row| row.name.as_str()).into_iter().map(titled).collect()
}

/// A group's rows below its title, which says how much of the runs was recorded.
fn titled<'a>((name, rows): (&str, Vec<&'a Row>)) -> (String, Vec<&'a Row>) {
    let least = rows.iter().map(|row| row.recorded).fold(1.0, f64::min);
    let part = match least < 1.0 {
        true => format!(" (the first {} % of the accesses)", plain(least * 100.0, 0)),
        false => String::new(),
    };
    (format!("{name}{part}"), rows)
}

/// A column: its head in two lines, whether it may be left out, its cells.
type Column = ([String; 2], bool, Vec<String>);

fn columns(rows: &[&Row]) -> Vec<Column> {
    let column = |head: [&str; 2], dispensable, cell: &dyn Fn(&Row) -> String| {
        (head.map(str::to_owned), dispensable, rows.iter().map(|row| cell(row)).collect())
    };
    let mut columns = vec![
        column(["", "design"], false, &|row| row.design.clone()),
        column(["held", "pages"], true, &|row| compact(row.held.mean)),
        column(["", "misses"], false, &|row| compact(row.misses.mean)),
        column(["best", "misses"], false, &|row| compact(row.best.mean)),
    ];
    let policies = rows.first().map_or(&[][..], |row| &row.ratios);
    for (place, (policy, _)) in policies.iter().enumerate() {
        let head = [if place == 0 { "x best" } else { "" }, policy];
        columns.push(column(head, false, &|row| plain(row.ratios[place].1.mean, 2)));
    }
    columns
}

fn lines(columns: &[Column]) -> Vec<String> {
    let nr_rows = columns.first().map_or(0, |(_, _, cells)| cells.len());
    let heads = [0, 1].map(|at| columns.iter().map(|(head, ..)| head[at].clone()).collect());
    let cells =
        (0..nr_rows).map(|at| columns.iter().map(|(_, _, cells)| cells[at].clone()).collect());
    align(&heads.into_iter().chain(cells).collect::<Vec<_>>())
}

/// The groups as text, each below its title; empty where nothing was asked for.
pub(crate) fn text(rows: &[Row], width: usize, frame: Frame) -> String {
    let mut text = String::new();
    for (title, rows) in by_group(rows) {
        let mut columns = columns(&rows);
        if lines(&columns).iter().any(|line| line.chars().count() > width) {
            columns.retain(|(_, dispensable, _)| !dispensable);
        }
        text += &format!("\nhow far from the best: {title}\n{}", ruled(lines(&columns), frame));
    }
    text
}

/// Title, heads and lines of a table of the report.
pub(crate) type Told = (String, Vec<String>, Vec<Vec<String>>);

/// What the report shows of a case: a chart and a table a group. Empty where nothing was asked for.
pub(crate) fn section(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: &[String],
) -> (Vec<Figure>, Vec<Told>) {
    let rows = rows(comparison, case, designs);
    let groups = by_group(&rows);
    let figures = groups.iter().enumerate();
    let figures = figures.map(|(place, (title, rows))| figure((index, place), title, rows));
    let told = |(title, rows): &(String, Vec<&Row>)| {
        let columns = columns(rows);
        let heads = columns.iter().enumerate().map(|(place, ([above, below], ..))| {
            // Behind these columns are the multiples.
            if place >= 4 { format!("{below} ×") } else { format!("{above} {below}") }
        });
        let heads = heads.map(|head| head.trim().to_owned()).collect();
        let lines = (0..rows.len())
            .map(|at| columns.iter().map(|(_, _, cells)| cells[at].clone()).collect());
        (title.clone(), heads, lines.collect())
    };
    (figures.collect(), groups.iter().map(told).collect())
}

/// Bars a design: the run and each policy as multiples of the best.
fn figure((index, place): (usize, usize), title: &str, rows: &[&Row]) -> Figure {
    let mut data: Vec<Value> = Vec::new();
    let mut most = 1.0f64;
    for row in rows {
        for (policy, ratio) in row.ratios.iter().filter(|(_, ratio)| ratio.mean.is_finite()) {
            most = most.max(ratio.mean);
            data.push(json!({"design": row.design, "policy": policy, "ratio": ratio.mean,
                "label": format!("{policy} {}", plain(ratio.mean, 2))}));
        }
    }
    let policies: Vec<&str> =
        rows.first().map_or(&[][..], |row| &row.ratios).iter().map(|(name, _)| &**name).collect();
    let designs: Vec<&str> = rows.iter().map(|row| row.design.as_str()).collect();
    // Room for the label behind the longest bar, whatever the width.
    let scale = json!({"domainMin": 0.0, "nice": false,
        "domainMax": {"expr": format!("{most} / max(0.3, 1 - 90 / width)")}});
    let encoding = json!({
        "y": {"field": "design", "type": "nominal", "sort": designs, "title": null, "axis": {"labelLimit": 150}},
        "yOffset": {"field": "policy", "sort": policies},
        "x": {"field": "ratio", "type": "quantitative", "title": "misses, multiples of Belady's optimum", "scale": scale},
    });
    let is_run = json!({"test": format!("datum.policy === '{RUN}'"), "value": 1.0});
    let layers = json!([
        {"mark": {"type": "bar", "cornerRadiusEnd": 2},
         "encoding": {"opacity": {"condition": is_run, "value": 0.45}}},
        {"mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 10},
         "encoding": {"text": {"field": "label"}}},
        {"mark": {"type": "rule", "strokeDash": [4, 3]},
         "encoding": {"x": {"datum": 1}, "y": null, "yOffset": null}},
    ]);
    let height = designs.len() * (8 + 15 * policies.len()) + 10;
    Figure {
        id: format!("yardsticks-{index}-{place}"),
        title: format!("Misses of {title}"),
        caption: "Full bars: what the design's run missed. Pale ones: what a policy of the literature would have \
                  missed on the same accesses with as many pages. Dashed: the least that is possible without \
                  reading ahead."
            .to_owned(),
        spec: spec(
            &format!("Misses of {title} as multiples of Belady's optimum"),
            height as u32,
            data,
            json!({"encoding": encoding, "layer": layers}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use results::{PolicyMisses, ReclaimUse, sample};

    use super::*;

    fn comparison(left_out: u64) -> Comparison {
        let mut comparison = sample::elapsed(&[("a", &[1, 1]), ("b", &[1])]);
        for (run, misses) in comparison.cells.iter_mut().zip([300, 500, 100]) {
            let policies = vec![PolicyMisses { policy: "lru".to_owned(), misses: 250 }];
            let used = YardstickUse {
                path: "/box".to_owned(),
                capacity_pages: 64,
                accesses: 1000,
                pages: 128,
                left_out,
                misses,
                best: 100,
                policies,
            };
            run.reclaim = Some(ReclaimUse { yardsticks: vec![used], ..ReclaimUse::default() });
        }
        comparison
    }

    fn told(comparison: &Comparison, width: usize) -> String {
        let (cases, designs) = (comparison.cases(), comparison.designs());
        text(&rows(comparison, &cases[0], &designs), width, Frame::Plain)
    }

    #[test]
    fn misses_are_told_as_multiples_of_the_best() {
        let text = told(&comparison(0), 80);
        let expected = "
how far from the best: memory cgroup /box
        held          best x best
design pages misses misses    run  lru
a         64    400    100   4.00 2.50
b         64    100    100   1.00 2.50
";
        assert_eq!(text, expected);
        let narrow = told(&comparison(0), 32);
        assert!(!narrow.contains("held") && narrow.contains("lru"), "{narrow}");
    }

    #[test]
    fn a_part_of_the_run_is_told_as_such() {
        let text = told(&comparison(3000), 80);
        assert!(text.contains("/box (the first 25 % of the accesses)\n"), "{text}");
        assert_eq!(told(&sample::comparison(), 80), "");
    }
}
