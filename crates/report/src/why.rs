//! The page's section on why one design is faster: two designs side by side.

use results::{Case, Comparison};

use crate::figures::plain;
use crate::html::{Line, Table};
use crate::past::{Pair, move_rows, page_rows, queueing_s};
use crate::places::{Twins, decisions, memory, threads};
use crate::strips::sentences;

/// Most shared bandwidths listed.
const RESOURCES: usize = 12;
/// Most ways of pages from node to node.
const FLOWS: usize = 16;

/// All that tells two designs apart in one case.
pub(crate) struct Why {
    pub(crate) title: String,
    /// What is shown, and how fine.
    pub(crate) note: String,
    pub(crate) twins: Vec<Twins>,
    pub(crate) queueing: Table,
    pub(crate) moves: Table,
    pub(crate) pages: Table,
    /// One list for each design that has one: its name and its lines.
    pub(crate) sentences: Vec<(String, Vec<String>)>,
}

/// `None` where no seed finished under both, or no history was kept.
pub(crate) fn why(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: [&str; 2],
) -> Option<Why> {
    let pair = Pair::of(comparison, case, designs)?;
    let [one, two] = designs;
    let kept = pair.runs.iter().map(|run| run.history.kept_one_in).max().unwrap_or(1);
    let thinned =
        if kept > 1 { format!(" Of the samples one of {kept} was kept.") } else { String::new() };
    let told = |run: &&results::Run| {
        let lines = sentences(run);
        (!lines.is_empty()).then(|| (run.design.clone(), lines))
    };
    Some(Why {
        title: format!("Why: {one} and {two} side by side"),
        note: format!(
            "Both with seed {}. Another pair: numalab report DIR --pair FIRST SECOND; the same as text: numalab explain.{thinned}",
            pair.runs[0].seed
        ),
        twins: [threads(index, &pair), memory(index, &pair), decisions(index, &pair)]
            .into_iter()
            .flatten()
            .collect(),
        queueing: queueing(comparison, case, designs),
        moves: Table {
            heads: [
                "moves of threads",
                &format!("{one}: to a CPU"),
                "to another node",
                &format!("{two}: to a CPU"),
                "to another node",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: move_rows(&pair).into_iter().map(Line::of).collect(),
        },
        pages: Table {
            heads: ["pages moved, and why", one, two].map(str::to_owned).to_vec(),
            rows: page_rows(&pair, FLOWS).into_iter().map(Line::of).collect(),
        },
        sentences: pair.runs.iter().filter_map(told).collect(),
    })
}

fn queueing(comparison: &Comparison, case: &Case, designs: [&str; 2]) -> Table {
    let line = |(name, times): (String, Vec<f64>)| {
        Line::of(std::iter::once(name).chain(times.iter().map(|time| plain(*time, 2))))
    };
    Table {
        heads: ["queueing for, task s", designs[0], designs[1]].map(str::to_owned).to_vec(),
        rows: queueing_s(comparison, case, &designs, RESOURCES).into_iter().map(line).collect(),
    }
}
