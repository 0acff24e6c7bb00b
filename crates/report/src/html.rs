//! The report: one self-contained page that opens offline and asks the network for nothing.

use std::collections::BTreeSet;

use askama::Template;
use base::Vm;
use base64::Engine as _;
use results::{
    Case, Comparison, Estimate, Percentiles, Run, SummaryRow, Verdict, merged, summary,
    time_split_s, to_json, verdicts,
};
use serde_json::{Value, json};

use crate::charts::{self, Figure};
use crate::explain::saturation_pct;
use crate::figures::{compact, decimals, grouped, plain};
use crate::killed;
use crate::memcg_charts;
use crate::memcgs::{self, GroupRow};
use crate::past::default_pair;
use crate::table::{csv, group};
use crate::timeline::{Timeline, timelines};
use crate::why::{Why, why};
use crate::yardsticks;

/// A report that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The template and its data do not agree.
    #[error("cannot render the report: {0}")]
    Render(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    comparison: &'a Comparison,
    digest: String,
    seeds: String,
    started: String,
    answers: Vec<Verdict>,
    sweep: Option<Figure>,
    sections: Vec<Section>,
    failed: Table,
    machines: Vec<Machine>,
    inputs: Table,
    style: &'static str,
    libraries: [String; 3],
    script: &'static str,
    data: String,
}

/// All that is shown of one case.
struct Section {
    index: usize,
    title: String,
    summary: Table,
    contests: Table,
    elapsed: Figure,
    latency: [Figure; 2],
    percentiles: Table,
    split: Figure,
    split_table: Table,
    saturation: Table,
    tasks: Option<Figure>,
    timelines: Vec<Timeline>,
    why: Option<Why>,
    memcgs: Vec<(String, Table)>,
    memcg_figures: Vec<Figure>,
    killed: Vec<killed::Told>,
    yardsticks: Vec<(String, Table)>,
    yardstick_figures: Vec<Figure>,
    counters: Table,
}

/// A table of the page; the first cell of a row is its head.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) heads: Vec<String>,
    pub(crate) rows: Vec<Line>,
}

#[derive(Default)]
pub(crate) struct Line {
    /// Explanation of the row, shown on demand.
    hint: String,
    cells: Vec<String>,
}

/// A machine's drawing as an image that can neither run scripts nor load anything.
struct Machine {
    name: String,
    source: String,
}

/// Renders the report of a comparison. `pair` are the two designs whose difference it explains,
/// else [`default_pair`].
pub fn report(comparison: &Comparison, pair: Option<[&str; 2]>) -> Result<String, Error> {
    let rows = summary(comparison);
    let cases = group(&rows);
    let answers = verdicts(comparison);
    let designs = comparison.designs();
    let sections: Vec<Section> = cases
        .iter()
        .zip(&answers)
        .enumerate()
        .map(|(index, ((case, rows), verdict))| {
            let mut section = section(index, comparison, case, rows, verdict, &designs);
            section.why = explained(index, comparison, case, pair);
            section
        })
        .collect();
    let sweep = (cases.len() > 1).then(|| charts::sweep(&designs, &cases));
    let data = page_data(&rows, sweep.iter().chain(sections.iter().flat_map(Section::figures)));
    let page = Page {
        digest: to_json(comparison).digest,
        seeds: comparison.seeds().iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        started: utc(comparison.wall.started_unix_s),
        answers,
        sweep,
        sections,
        failed: failed(comparison),
        machines: comparison
            .drawings
            .iter()
            .map(|drawing| machine(&drawing.machine, &drawing.svg))
            .collect(),
        inputs: Table {
            heads: ["file", "SHA-256"].map(str::to_owned).to_vec(),
            rows: comparison
                .inputs
                .iter()
                .map(|input| Line::of([&*input.path, &input.sha256]))
                .collect(),
        },
        style: include_str!("../templates/report.css"),
        libraries: [
            include_str!("../vendor/vega.min.js"),
            include_str!("../vendor/vega-lite.min.js"),
            include_str!("../vendor/vega-embed.min.js"),
        ]
        .map(without_source_map),
        script: include_str!("../templates/report.js"),
        data,
        comparison,
    };
    Ok(page.render()?)
}

impl Section {
    fn figures(&self) -> impl Iterator<Item = &Figure> {
        [&self.elapsed, &self.split]
            .into_iter()
            .chain(&self.latency)
            .chain(&self.memcg_figures)
            .chain(&self.yardstick_figures)
            .chain(&self.tasks)
            .chain(self.timelines.iter().flat_map(|timeline| &timeline.figures))
            .chain(self.why.iter().flat_map(|why| &why.twins).flat_map(|twins| &twins.figures))
    }
}

impl Line {
    pub(crate) fn of<T: Into<String>>(cells: impl IntoIterator<Item = T>) -> Self {
        Self { hint: String::new(), cells: cells.into_iter().map(Into::into).collect() }
    }
}

fn section(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    rows: &[&SummaryRow],
    verdict: &Verdict,
    designs: &[String],
) -> Section {
    let present: Vec<String> = rows.iter().map(|row| row.design.clone()).collect();
    let groups = memcgs::rows(comparison, case, &present);
    let (yardstick_figures, yardsticks) = yardsticks::section(index, comparison, case, &present);
    Section {
        index,
        title: case.title(),
        summary: summary_table(rows, &comparison.baseline),
        contests: contests(verdict),
        elapsed: charts::elapsed(index, designs, rows),
        latency: [
            charts::percentiles(index, comparison, case, designs),
            charts::densities(index, comparison, case, designs),
        ],
        percentiles: percentile_table(comparison, case, &present),
        split: charts::time_split(index, comparison, case, &present),
        split_table: split_table(comparison, case, &present),
        saturation: saturation_table(comparison, case, &present),
        tasks: charts::tasks(index, comparison, case, &present),
        timelines: timelines(index, comparison, case, designs),
        why: None,
        memcgs: memcg_tables(&groups),
        memcg_figures: memcg_charts::figures(index, &groups, &present),
        killed: killed::told(comparison, case),
        yardsticks: yardsticks.into_iter().map(titled).collect(),
        yardstick_figures,
        counters: counter_table(comparison, case, &present),
    }
}

fn explained(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    pair: Option<[&str; 2]>,
) -> Option<Why> {
    match pair {
        Some(pair) => why(index, comparison, case, pair),
        None => {
            let [first, second] = default_pair(comparison, case)?;
            why(index, comparison, case, [&first, &second])
        }
    }
}

fn summary_table(rows: &[&SummaryRow], baseline: &str) -> Table {
    let heads = [
        "design",
        "elapsed, s",
        "speed, × baseline",
        "local, %",
        "pages migrated",
        "hint faults",
        "system time, %",
        "seeds",
    ];
    let line = |row: &&SummaryRow| {
        let name = if row.design == baseline {
            format!("{} (baseline)", row.design)
        } else {
            row.design.clone()
        };
        let seeds = match row.nr_out_of_memory {
            0 => row.nr_seeds.to_string(),
            nr => format!("{} + {nr} out of memory", row.nr_seeds),
        };
        Line::of([
            name,
            interval(row, row.elapsed_s, decimals(row.elapsed_s.mean, 4)),
            interval(row, row.speedup, 3),
            interval(row, row.local_access_pct, 1),
            compact_interval(row.pages_migrated),
            compact_interval(row.hint_faults),
            interval(row, row.system_pct, 2),
            seeds,
        ])
    };
    Table { heads: heads.map(str::to_owned).to_vec(), rows: rows.iter().map(line).collect() }
}

/// `21.64 ± 0.12`; one seed has no interval, which is not an interval of 0.
fn interval(row: &SummaryRow, estimate: Estimate, digits: usize) -> String {
    match estimate.mean.is_finite() {
        true if row.nr_seeds > 1 => {
            format!("{:.digits$} ± {:.digits$}", estimate.mean, estimate.half_width())
        }
        _ => plain(estimate.mean, digits),
    }
}

fn compact_interval(estimate: Estimate) -> String {
    match estimate.half_width() > 0.0 {
        true => format!("{} ± {}", compact(estimate.mean), compact(estimate.half_width())),
        false => compact(estimate.mean),
    }
}

fn contests(verdict: &Verdict) -> Table {
    let line = |contest: &results::Contest| {
        let Estimate { mean, low, high, .. } = contest.times_as_fast;
        let p = match contest.p_value {
            p if p.is_nan() => "one seed".to_owned(),
            p if p < 1e-4 => "< 0.0001".to_owned(),
            p => plain(p, 4),
        };
        let sure = if contest.sure { "yes" } else { "no" };
        Line::of([
            contest.against.clone(),
            format!("{mean:.3}"),
            format!("{low:.3} to {high:.3}"),
            p,
            sure.to_owned(),
        ])
    };
    let heads = [
        &format!("{} against", verdict.winner),
        "times as fast",
        "95 % interval",
        "p",
        "told apart",
    ];
    Table {
        heads: heads.map(|head| head.to_string()).to_vec(),
        rows: verdict.contests.iter().map(line).collect(),
    }
}

fn percentile_table(comparison: &Comparison, case: &Case, designs: &[String]) -> Table {
    let heads =
        ["design", "accesses", "mean, ns", "p50", "p90", "p99", "p99.9", "p99.99", "slowest"];
    let line = |design: &String| {
        let p = Percentiles::of(&merged(comparison.finished(case, design)));
        let ns = [p.p50_ns, p.p90_ns, p.p99_ns, p.p99_9_ns, p.p99_99_ns, p.max_ns]
            .map(|ns| grouped(ns as f64));
        Line::of(
            [design.clone(), grouped(p.count as f64), plain(p.mean_ns, 1)].into_iter().chain(ns),
        )
    };
    Table { heads: heads.map(str::to_owned).to_vec(), rows: designs.iter().map(line).collect() }
}

fn split_table(comparison: &Comparison, case: &Case, designs: &[String]) -> Table {
    let splits: Vec<_> =
        designs.iter().map(|design| time_split_s(comparison, case, design)).collect();
    let mut rows = Vec::new();
    for (place, (part, _)) in results::TimeSplit::default().parts().into_iter().enumerate() {
        let times: Vec<f64> =
            splits.iter().map(|split| split.map_or(f64::NAN, |parts| parts[place].1)).collect();
        if times.iter().any(|time| *time > 0.0) {
            rows.push(Line::of(
                std::iter::once(part.to_owned()).chain(times.iter().map(|time| plain(*time, 2))),
            ));
        }
    }
    Table { heads: by_design("task time, s", designs), rows }
}

fn saturation_table(comparison: &Comparison, case: &Case, designs: &[String]) -> Table {
    let shares: Vec<_> =
        designs.iter().map(|design| saturation_pct(comparison, case, design)).collect();
    let mut rows: Vec<Line> = Vec::new();
    for (name, _) in shares.iter().flatten() {
        if rows.iter().any(|row| row.cells[0] == *name) {
            continue;
        }
        let share = |shares: &Vec<(String, f64)>| {
            shares.iter().find(|(other, _)| other == name).map_or(f64::NAN, |(_, share)| *share)
        };
        let values: Vec<f64> = shares.iter().map(share).collect();
        if values.iter().any(|value| *value > 0.0) {
            rows.push(Line::of(
                std::iter::once(name.clone()).chain(values.iter().map(|value| plain(*value, 1))),
            ));
        }
    }
    Table { heads: by_design("saturated, % of the time", designs), rows }
}

/// Counters that are not zero everywhere, mean over seeds.
fn counter_table(comparison: &Comparison, case: &Case, designs: &[String]) -> Table {
    let mean = |design: &String, counter: Vm| {
        let values: Vec<f64> =
            comparison.finished(case, design).map(|run| run.vmstat[counter] as f64).collect();
        Estimate::of(&values).mean
    };
    let mut rows = Vec::new();
    for counter in Vm::ALL {
        let values: Vec<f64> = designs.iter().map(|design| mean(design, *counter)).collect();
        if values.iter().any(|value| *value > 0.0) {
            let cells = std::iter::once(counter.name().to_owned())
                .chain(values.iter().map(|value| grouped(*value)));
            rows.push(Line { hint: counter.doc(), cells: cells.collect() });
        }
    }
    let names = designs.iter().flat_map(|design| comparison.finished(case, design));
    let names: BTreeSet<&String> = names
        .filter_map(|run| run.reclaim.as_ref())
        .flat_map(|used| used.counters.keys())
        .collect();
    for name in names {
        let of = |run: &Run| {
            let counters = run.reclaim.as_ref().map(|used| &used.counters);
            counters.and_then(|counters| counters.get(name)).copied().unwrap_or(0) as f64
        };
        let mean = |design: &String| {
            let values: Vec<f64> = comparison.finished(case, design).map(of).collect();
            Estimate::of(&values).mean
        };
        let values: Vec<f64> = designs.iter().map(mean).collect();
        if values.iter().any(|value| *value > 0.0) {
            let cells = values.iter().map(|value| grouped(*value));
            rows.push(Line::of(std::iter::once(name.clone()).chain(cells)));
        }
    }
    Table { heads: by_design("counter", designs), rows }
}

fn memcg_tables(rows: &[GroupRow]) -> Vec<(String, Table)> {
    let table = |(group, rows): (&str, Vec<&GroupRow>)| {
        let (heads, lines) = memcgs::table(&rows);
        titled((group.to_owned(), heads, lines))
    };
    memcgs::by_group(rows).into_iter().map(table).collect()
}

/// A table below its title.
fn titled((title, heads, lines): yardsticks::Told) -> (String, Table) {
    (title, Table { heads, rows: lines.into_iter().map(Line::of).collect() })
}

fn by_design(first: &str, designs: &[String]) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(designs.iter().cloned()).collect()
}

fn failed(comparison: &Comparison) -> Table {
    let line = |cell: &results::FailedCell| {
        let axes = cell
            .axes
            .iter()
            .map(|(axis, value)| format!("{axis} = {value}"))
            .collect::<Vec<_>>()
            .join(", ");
        Line::of([
            cell.design.clone(),
            format!("{} on {} {axes}", cell.workload, cell.machine),
            cell.seed.to_string(),
            cell.message.clone(),
        ])
    };
    Table {
        heads: ["design", "case", "seed", "what went wrong"].map(str::to_owned).to_vec(),
        rows: comparison.failed.iter().map(line).collect(),
    }
}

fn machine(name: &str, svg: &str) -> Machine {
    let encoded = base64::engine::general_purpose::STANDARD.encode(svg);
    Machine { name: name.to_owned(), source: format!("data:image/svg+xml;base64,{encoded}") }
}

/// What the script draws, as JSON that no text in it can end: `<` never appears.
fn page_data<'a>(rows: &[SummaryRow], figures: impl Iterator<Item = &'a Figure>) -> String {
    let specs: Vec<Value> = figures
        .map(|figure| json!({"id": figure.id, "title": figure.title, "spec": figure.spec}))
        .collect();
    json!({"figures": specs, "summary_csv": csv(rows)}).to_string().replace('<', "\\u003c")
}

/// The libraries name files for debuggers that are not there.
fn without_source_map(library: &str) -> String {
    library
        .lines()
        .filter(|line| !line.starts_with("//# sourceMappingURL"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// `2026-11-24 09:00 UTC` (days to civil date after Howard Hinnant's algorithm); empty for zero.
fn utc(unix_s: u64) -> String {
    if unix_s == 0 {
        return String::new();
    }
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", unix_s / 3_600 % 24, unix_s / 60 % 60)
}

#[cfg(test)]
mod tests {
    use results::sample;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // From `date -u -d @N`.
        assert_eq!(utc(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59 UTC");
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let evil = "</script><script>alert(1)</script>";
        let mut comparison = sample::elapsed(&[("base", &[10, 11]), (evil, &[5, 6])]);
        comparison.experiment = evil.to_owned();
        comparison.drawings =
            vec![results::Drawing { machine: "m".to_owned(), svg: evil.to_owned() }];
        let page = report(&comparison, None).unwrap();
        assert!(!page.contains("alert(1)</script>"));
        let scripts = report(&sample::comparison(), None).unwrap().matches("</script>").count();
        assert_eq!(page.matches("</script>").count(), scripts);
    }

    #[test]
    fn one_seed_has_no_interval() {
        let comparison = |times: &[u64]| sample::elapsed(&[("base", times), ("fast", times)]);
        let page = |times: &[u64]| report(&comparison(times), None).unwrap();
        let table = |page: &str| {
            let from = page.find("<h3>Summary</h3>").unwrap();
            page[from..].split("</table>").next().unwrap().to_owned()
        };
        assert!(!table(&page(&[10])).contains('±'));
        assert!(table(&page(&[10, 12])).contains('±'));
    }

    #[test]
    fn nothing_finished_still_makes_a_page() {
        let mut comparison = sample::elapsed(&[("base", &[10])]);
        comparison.cells[0].outcome = results::Outcome::OutOfMemory("wanted 1 page".to_owned());
        assert!(report(&comparison, None).unwrap().contains("No design finished."));
        report(&Comparison::default(), None).unwrap();
    }

    #[test]
    fn tables_alone_tell_the_result() {
        let page = report(&sample::comparison(), None).unwrap();
        for text in [
            "bind wins",
            "first-touch (baseline)",
            "numa_hint_faults",
            "p99.99",
            "numalab compare configs/experiments/sample.toml",
        ] {
            assert!(page.contains(text), "{text}");
        }
    }
}
