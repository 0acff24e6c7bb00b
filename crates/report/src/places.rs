//! Heat maps of two runs side by side: threads and memory by node over time, decisions by kind.

use results::Run;
use serde_json::{Value, json};

use crate::charts::{Figure, spec};
use crate::past::{Pair, node_at, shares_at};

/// Most columns of time: narrower ones cannot be told apart.
const COLUMNS: usize = 120;
/// Most columns of the decisions, whose counts need to add up to something.
const DECISION_COLUMNS: usize = 60;
/// Most threads drawn.
pub(crate) const THREADS: usize = 96;
/// Most address spaces drawn.
pub(crate) const SPACES: usize = 8;
/// Nodes that the page's own colours tell apart.
const NODE_COLOURS: usize = 8;

/// The same chart of both runs.
pub(crate) struct Twins {
    /// Heading.
    pub(crate) title: &'static str,
    /// How to read them.
    pub(crate) caption: String,
    pub(crate) figures: Vec<Figure>,
}

/// A rectangle of a heat map: a row, from a column to before another, and its value.
struct Block<T> {
    row: usize,
    from: usize,
    to: usize,
    value: T,
}

/// Columns of equal value joined; those without a value left out.
fn blocks<T: PartialEq + Copy>(row: usize, values: &[Option<T>]) -> Vec<Block<T>> {
    let mut blocks: Vec<Block<T>> = Vec::new();
    for (column, value) in values.iter().enumerate() {
        let Some(value) = *value else { continue };
        match blocks.last_mut() {
            Some(last) if last.to == column && last.value == value => last.to += 1,
            _ => blocks.push(Block { row, from: column, to: column + 1, value }),
        }
    }
    blocks
}

/// Three digits after the point are finer than a pixel.
fn rounded(value: f64, end_s: f64) -> f64 {
    let step = end_s / 1e4;
    if step > 0.0 { (value / step).round() * step } else { value }
}

/// The chart: rows in order, an axis of time that both runs share.
fn heat_map(
    pair: &Pair<'_>,
    what: (&str, &Run),
    rows: &[String],
    data: Vec<Value>,
    color: Value,
) -> Figure {
    let (id, run) = what;
    let (end_s, design) = (pair.end.as_secs_f64(), &run.design);
    let row_px = match rows.len() {
        0..=12 => 20,
        13..=24 => 14,
        _ => 9,
    };
    let inner = if row_px < 14 { 0.05 } else { 0.12 };
    let rest = json!({
        "mark": {"type": "rect"},
        "encoding": {
            "x": {"field": "from_s", "type": "quantitative", "title": "time, s", "axis": {"grid": false},
                "scale": {"domain": [0.0, end_s], "nice": false}},
            "x2": {"field": "to_s"},
            "y": {"field": "row", "type": "nominal", "sort": rows, "title": null, "scale": {"domain": rows, "paddingInner": inner},
                "axis": {"labelOverlap": true, "labelLimit": 130, "domain": false, "ticks": false}},
            "color": color,
        },
    });
    let description = format!("{id} over time under {design}");
    Figure {
        id: id.to_owned(),
        title: design.clone(),
        caption: String::new(),
        spec: spec(&description, row_px * rows.len().max(1) as u32, data, rest),
    }
}

/// Data of blocks; `key` names the value.
fn data_of<T: Copy>(
    pair: &Pair<'_>,
    rows: &[String],
    nr: usize,
    blocks: Vec<Block<T>>,
    key: &str,
    value: impl Fn(T) -> Value,
) -> Vec<Value> {
    let end_s = pair.end.as_secs_f64();
    let at = |column| rounded(pair.column_s(column, nr), end_s);
    let point = |block: Block<T>| json!({"row": rows[block.row], "from_s": at(block.from), "to_s": at(block.to), key: value(block.value)});
    blocks.into_iter().map(point).collect()
}

/// Names made different from each other: a heat map has one row a name.
fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let copies = (2..).map(|copy| format!("{name} ({copy})"));
        let free = std::iter::once(name.clone()).chain(copies).find(|name| !seen.contains(name));
        seen.extend(free);
    }
    seen
}

/// Threads by time, coloured by node.
pub(crate) fn threads(index: usize, pair: &Pair<'_>) -> Option<Twins> {
    let nr_nodes = pair.runs.iter().flat_map(|run| &run.history.memory).map(|one| one.pages.len());
    let highest = pair.runs.iter().flat_map(|run| &run.history.threads);
    let highest = highest.flat_map(|thread| &thread.nodes).map(|node| *node + 1).max()?;
    let nr_nodes = nr_nodes.max().unwrap_or(0).max(highest.max(0) as usize);
    let nodes: Vec<String> = (0..nr_nodes).map(|node| node.to_string()).collect();
    let mut scale = json!({"domain": nodes});
    if nr_nodes > NODE_COLOURS {
        scale["scheme"] = json!("turbo");
    }
    let legend =
        json!({"symbolType": "square", "symbolSize": 160, "title": "node", "titleOrient": "left"});
    let color = json!({"field": "node", "type": "nominal", "scale": scale, "sort": nodes, "legend": legend});
    let figure = |(side, run): (usize, &&Run)| {
        let threads = || run.history.threads.iter().take(THREADS);
        let rows = unique(threads().map(|thread| thread.name.clone()));
        let columns = pair.columns(run, COLUMNS);
        let row = |(row, thread)| {
            let nodes = columns.iter().map(|sample| node_at(thread, *sample));
            blocks(row, &nodes.collect::<Vec<_>>())
        };
        let blocks = threads().enumerate().flat_map(row).collect();
        let data = data_of(pair, &rows, COLUMNS, blocks, "node", |node| json!(node.to_string()));
        heat_map(pair, (&format!("threads-{index}-{side}"), run), &rows, data, color.clone())
    };
    let nr = pair.runs.iter().map(|run| run.history.threads.len()).max().unwrap_or(0);
    let more =
        if nr > THREADS { format!(" The first {THREADS} of {nr} threads.") } else { String::new() };
    Some(Twins {
        title: "Where threads were",
        caption: format!(
            "A line per thread, coloured by the node it was on; nothing before its start and after its end.{more}"
        ),
        figures: pair.runs.iter().enumerate().map(figure).collect(),
    })
}

/// Memory by node and time, shaded by the node's share of the resident pages.
pub(crate) fn memory(index: usize, pair: &Pair<'_>) -> Option<Twins> {
    let spaces = pair.spaces(SPACES);
    let nr_nodes =
        pair.runs.iter().flat_map(|run| &run.history.memory).map(|one| one.pages.len()).max()?;
    let places: Vec<(&str, usize)> =
        spaces.iter().flat_map(|space| (0..nr_nodes).map(move |node| (*space, node))).collect();
    let name = |(space, node): &(&str, usize)| match spaces.len() {
        1 => format!("node {node}"),
        _ => format!("{space}, node {node}"),
    };
    let rows = unique(places.iter().map(name));
    let color = json!({"field": "share_pct", "type": "quantitative", "scale": {"domain": [0, 100], "scheme": "viridis"},
        "legend": {"type": "gradient", "title": "share of resident pages, %"}});
    let figure = |(side, run): (usize, &&Run)| {
        let columns = pair.columns(run, COLUMNS);
        let row = |(row, (space, node)): (usize, &(&str, usize))| {
            let share = |sample: &Option<usize>| {
                let share = shares_at(&run.history, space, *sample)?.get(*node).copied()?;
                Some((100.0 * share).round() as u8)
            };
            blocks(row, &columns.iter().map(share).collect::<Vec<_>>())
        };
        let blocks = places.iter().enumerate().flat_map(row).collect();
        let data = data_of(pair, &rows, COLUMNS, blocks, "share_pct", |share: u8| json!(share));
        heat_map(pair, (&format!("memory-{index}-{side}"), run), &rows, data, color.clone())
    };
    Some(Twins {
        title: "Where memory was",
        caption: "A line per node (and address space): the node's share of the pages that were resident then.".to_owned(),
        figures: pair.runs.iter().enumerate().map(figure).collect(),
    })
}

/// Decisions by kind and time, shaded by how many there were.
pub(crate) fn decisions(index: usize, pair: &Pair<'_>) -> Option<Twins> {
    let mut rows: Vec<String> = Vec::new();
    for kind in pair.runs.iter().flat_map(|run| &run.history.decisions) {
        if !rows.contains(&kind.kind) {
            rows.push(kind.kind.clone());
        }
    }
    if rows.is_empty() {
        return None;
    }
    let counts =
        pair.runs.map(|run| rows.iter().map(|kind| binned(pair, run, kind)).collect::<Vec<_>>());
    let most = counts.iter().flatten().flatten().max().copied().unwrap_or(0).max(2);
    let color = json!({"field": "count", "type": "quantitative", "scale": {"type": "log", "domain": [1, most], "scheme": "viridis"},
        "legend": {"type": "gradient", "title": "decisions", "tickCount": 3, "format": "~s"}});
    let figure = |((side, run), counts): ((usize, &&Run), &Vec<Vec<u64>>)| {
        let row = |(row, counts): (usize, &Vec<u64>)| {
            blocks(row, &counts.iter().map(|nr| (*nr > 0).then_some(*nr)).collect::<Vec<_>>())
        };
        let blocks = counts.iter().enumerate().flat_map(row).collect();
        let data = data_of(pair, &rows, DECISION_COLUMNS, blocks, "count", |nr: u64| json!(nr));
        heat_map(pair, (&format!("decisions-{index}-{side}"), run), &rows, data, color.clone())
    };
    Some(Twins {
        title: "Decisions over time",
        caption: format!(
            "How often within a {DECISION_COLUMNS}th of the time: moves of threads between nodes by reason, scans, folios that moved."
        ),
        figures: pair.runs.iter().enumerate().zip(&counts).map(figure).collect(),
    })
}

/// A kind's counts by column.
fn binned(pair: &Pair<'_>, run: &Run, kind: &str) -> Vec<u64> {
    let mut bins = vec![0; DECISION_COLUMNS];
    let of_kind = run.history.decisions.iter().filter(|one| one.kind == kind);
    for (at, count) in of_kind.flat_map(|one| run.history.at.iter().zip(&one.counts)) {
        let place = u128::from(at.0.saturating_sub(1)) * DECISION_COLUMNS as u128;
        bins[(place / u128::from(pair.end.0.max(1))) as usize % DECISION_COLUMNS] += count;
    }
    bins
}

#[cfg(test)]
mod tests {
    use results::sample;

    use super::*;

    #[test]
    fn equal_columns_are_joined_and_gaps_stay() {
        let blocks = blocks(3, &[Some(1), Some(1), None, Some(1), Some(2)]);
        let got: Vec<_> = blocks.iter().map(|one| (one.row, one.from, one.to, one.value)).collect();
        assert_eq!(got, [(3, 0, 2, 1), (3, 3, 4, 1), (3, 4, 5, 2)]);
    }

    #[test]
    fn both_runs_have_the_same_rows_and_the_same_time() {
        let comparison = sample::comparison();
        let case = comparison.cases().remove(0);
        let pair = Pair::of(&comparison, &case, ["first-touch", "autonuma"]).unwrap();
        for twins in
            [threads(0, &pair), memory(0, &pair), decisions(0, &pair)].into_iter().flatten()
        {
            let [one, two] = &twins.figures[..] else { panic!("two figures") };
            for channel in ["x", "y", "color"] {
                let scale = |figure: &Figure| figure.spec["encoding"][channel]["scale"].clone();
                assert_eq!(scale(one), scale(two), "{} {channel}", twins.title);
            }
        }
        let counts: u64 = binned(&pair, pair.runs[1], "numa_misplaced").iter().sum();
        assert_eq!(counts, pair.runs[1].history.decisions[0].counts.iter().sum::<u64>());
    }
}
