//! The past of two runs side by side, on one axis of time: what strips, heat maps and tables of
//! "why" are made from.

use base::Nanos;
use results::{
    Case, Comparison, History, MoveReason, Outcome, PageFlow, Run, Scans, ThreadHistory, verdicts,
};

use crate::figures::{compact, decimals};

/// The two designs that are explained by default: the baseline and the winner, or the winner and
/// the next best where the baseline wins; `None` where fewer than two finished.
pub fn default_pair(comparison: &Comparison, case: &Case) -> Option<[String; 2]> {
    let verdict = verdicts(comparison).into_iter().find(|verdict| verdict.case == *case)?;
    let baseline = &comparison.baseline;
    if verdict.winner != *baseline && comparison.finished(case, baseline).next().is_some() {
        return Some([baseline.clone(), verdict.winner]);
    }
    let near = |contest: &&results::Contest| contest.times_as_fast.mean;
    let next = verdict.contests.iter().min_by(|a, b| near(a).total_cmp(&near(b)))?;
    Some([verdict.winner.clone(), next.against.clone()])
}

/// Two runs of one seed.
pub(crate) struct Pair<'a> {
    pub(crate) runs: [&'a Run; 2],
    /// End of the longer one: both are drawn up to it.
    pub(crate) end: Nanos,
}

impl<'a> Pair<'a> {
    /// The first seed that finished under both designs and left its history.
    pub(crate) fn of(comparison: &'a Comparison, case: &Case, designs: [&str; 2]) -> Option<Self> {
        let [one, two] = designs.map(|design| told(comparison, case, design));
        let both = |one: &&'a Run| Some([*one, two.iter().find(|two| two.seed == one.seed)?]);
        let runs = one.iter().find_map(both)?;
        Some(Self { runs, end: runs[0].elapsed.max(runs[1].elapsed) })
    }

    /// The sample that tells of each of `nr` columns of equal length; `None` after the run's end.
    pub(crate) fn columns(&self, run: &Run, nr: usize) -> Vec<Option<usize>> {
        let at = &run.history.at;
        let middle = |column: usize| (2 * column as u64 + 1) * (self.end.0 / 2 / nr as u64).max(1);
        (0..nr)
            .map(|column| {
                let sample = at.partition_point(|at| at.0 < middle(column));
                (sample < at.len()).then_some(sample)
            })
            .collect()
    }

    /// Seconds at the start of a column.
    pub(crate) fn column_s(&self, column: usize, nr: usize) -> f64 {
        self.end.as_secs_f64() * column as f64 / nr as f64
    }

    /// Address spaces of both runs, the largest first, `most` of them: those that matter.
    pub(crate) fn spaces(&self, most: usize) -> Vec<&'a str> {
        let mut spaces: Vec<(&'a str, u64)> = Vec::new();
        for space in self.runs.iter().flat_map(|run| &run.history.memory) {
            let peak = (0..space.pages.first().map_or(0, Vec::len))
                .map(|sample| space.pages.iter().map(|node| node[sample]).sum())
                .max()
                .unwrap_or(0);
            match spaces.iter_mut().find(|(name, _)| *name == space.name) {
                Some((_, known)) => *known = peak.max(*known),
                None => spaces.push((&space.name, peak)),
            }
        }
        spaces.sort_by_key(|(_, peak)| std::cmp::Reverse(*peak));
        spaces.into_iter().take(most).map(|(name, _)| name).collect()
    }
}

/// Runs of a design that finished and left a history.
fn told<'a>(comparison: &'a Comparison, case: &Case, design: &str) -> Vec<&'a Run> {
    let cells = comparison.cells.iter().filter(|run| run.design == design);
    let finished = cells.filter(|run| run.outcome == Outcome::Finished && Case::of(run) == *case);
    finished.filter(|run| !run.history.is_empty()).collect()
}

/// Node of a thread at a sample.
pub(crate) fn node_at(thread: &ThreadHistory, sample: Option<usize>) -> Option<u8> {
    u8::try_from(thread.nodes[sample?]).ok()
}

/// Share of a space's resident pages on each node at a sample, 0 to 1; `None` without any. Spaces
/// of one name count as one.
pub(crate) fn shares_at(history: &History, space: &str, sample: Option<usize>) -> Option<Vec<f64>> {
    let sample = sample?;
    let same = || history.memory.iter().filter(|one| one.name == space);
    let nr_nodes = same().map(|one| one.pages.len()).max()?;
    let on = |node: usize| same().map(|one| one.pages[node][sample]).sum::<u64>() as f64;
    let pages: Vec<f64> = (0..nr_nodes).map(on).collect();
    let all: f64 = pages.iter().sum();
    (all > 0.0).then(|| pages.iter().map(|pages| pages / all).collect())
}

/// Rows of a table for two runs: the head of the row, then a cell or more for each run.
pub(crate) type Rows = Vec<Vec<String>>;

/// Moves of threads by reason: to another CPU, to another node, for each run.
pub(crate) fn move_rows(pair: &Pair<'_>) -> Rows {
    let mut rows = Vec::new();
    let moves = |run: &Run, reason: Option<MoveReason>| {
        let all = run.history.threads.iter().flat_map(|thread| &thread.moves);
        let wanted = all.filter(|one| reason.is_none_or(|reason| reason == one.reason));
        wanted.fold((0, 0), |sum, one| (sum.0 + one.cpu, sum.1 + one.node))
    };
    for reason in MoveReason::ALL.into_iter().map(Some).chain([None]) {
        let counts = pair.runs.map(|run| moves(run, reason));
        if reason.is_none() || counts.iter().any(|(cpu, _)| *cpu > 0) {
            let name = reason.map_or("all", MoveReason::name).to_owned();
            let cells = counts.iter().flat_map(|(cpu, node)| [cpu.to_string(), node.to_string()]);
            rows.push(std::iter::once(name).chain(cells).collect());
        }
    }
    rows
}

/// Base pages that each rule moved from node to node, the `most` largest flows; then folios that
/// could not be moved, what became of hint faults, and walks of the scanner.
pub(crate) fn page_rows(pair: &Pair<'_>, most: usize) -> Rows {
    let mut names: Vec<(String, u64)> = Vec::new();
    let name = |flow: &PageFlow| format!("{}, node {} -> {}", flow.rule, flow.from, flow.to);
    for flow in pair.runs.iter().flat_map(|run| &run.history.migrations) {
        match names.iter_mut().find(|(known, _)| *known == name(flow)) {
            Some((_, pages)) => *pages += flow.pages,
            None => names.push((name(flow), flow.pages)),
        }
    }
    names.sort_by_key(|(_, pages)| std::cmp::Reverse(*pages));
    let nr_left_out = names.len().saturating_sub(most);
    names.truncate(most);
    let row = |name: &str, counts: [u64; 2]| {
        let cells = counts.iter().map(|count| compact(*count as f64));
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let sum = |wanted: &dyn Fn(&PageFlow) -> u64| {
        pair.runs.map(|run| run.history.migrations.iter().map(wanted).sum::<u64>())
    };
    let mut rows: Rows = Vec::new();
    for (wanted, _) in &names {
        let pages = |flow: &PageFlow| if name(flow) == *wanted { flow.pages } else { 0 };
        rows.push(row(wanted, sum(&pages)));
    }
    if nr_left_out > 0 {
        let known = |flow: &PageFlow| names.iter().any(|(other, _)| *other == name(flow));
        let others = sum(&|flow| if known(flow) { 0 } else { flow.pages });
        rows.push(row(&format!("{nr_left_out} other ways"), others));
    }
    let faults = pair.runs.map(|run| run.history.hint_faults);
    let scans = |run: &Run| run.history.scans.iter().map(|scans| scans.count).sum();
    for (name, counts) in [
        ("folios that could not move", sum(&|flow| flow.failed)),
        ("hint faults on a local page", faults.map(|faults| faults.local)),
        ("hint faults, page left where it was", faults.map(|faults| faults.left)),
        ("hint faults, page sent", faults.map(|faults| faults.sent)),
        ("hint faults, page on its way", faults.map(|faults| faults.waited)),
        ("scans", pair.runs.map(scans)),
    ] {
        if counts != [0, 0] {
            rows.push(row(name, counts));
        }
    }
    rows
}

/// Thread time spent queueing for each shared bandwidth under each of `designs`, s, mean over
/// seeds: the `most` largest.
pub(crate) fn queueing_s(
    comparison: &Comparison,
    case: &Case,
    designs: &[&str],
    most: usize,
) -> Vec<(String, Vec<f64>)> {
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    for (place, design) in designs.iter().enumerate() {
        let nr_runs = comparison.finished(case, design).count() as f64;
        for resource in comparison.finished(case, design).flat_map(|run| &run.resources) {
            let idx =
                rows.iter().position(|(name, _)| *name == resource.name).unwrap_or_else(|| {
                    rows.push((resource.name.clone(), vec![0.0; designs.len()]));
                    rows.len() - 1
                });
            rows[idx].1[place] += resource.queueing.as_secs_f64() / nr_runs;
        }
    }
    let most_of = |row: &(String, Vec<f64>)| row.1.iter().copied().fold(0.0, f64::max);
    rows.retain(|row| most_of(row) > 0.0);
    rows.sort_by(|a, b| most_of(b).total_cmp(&most_of(a)));
    rows.truncate(most);
    rows
}

/// What moved one thread: `12 moves (9 load balance, 3 sched_move_numa), 3 between nodes; first at
/// 0.4 s node 0 -> 2: sched_move_numa, preferred node`. `None` when it never left its node.
pub(crate) fn thread_sentence(thread: &ThreadHistory) -> Option<String> {
    let (cpu, node) = thread.nr_moves();
    let first = thread.first_moves.first()?;
    let by_reason: Vec<String> =
        thread.moves.iter().map(|one| format!("{} {}", one.cpu, one.reason.name())).collect();
    let why = if first.why.is_empty() { String::new() } else { format!(", {}", first.why) };
    let moves = if cpu == 1 { "move" } else { "moves" };
    Some(format!(
        "{cpu} {moves} ({}), {node} between nodes; first at {} node {} -> {}: {}{why}",
        by_reason.join(", "),
        seconds(first.at.as_secs_f64()),
        first.from,
        first.to,
        first.reason.name(),
    ))
}

/// Where one thread queued most: `1.2 s for link 0>1, 0.3 s for controller 0`; `None` where nowhere.
pub(crate) fn queueing_sentence(thread: &ThreadHistory) -> Option<String> {
    let mut most: Vec<_> = thread.queueing.iter().collect();
    most.sort_by_key(|one| std::cmp::Reverse(one.time));
    let words = most
        .iter()
        .take(2)
        .filter(|one| one.time >= Nanos::from_ms(1))
        .map(|one| format!("{} for {}", seconds(one.time.as_secs_f64()), one.resource));
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// How often one address space was scanned, and at which intervals.
pub(crate) fn scan_sentence(scans: &Scans) -> String {
    let Scans { space, count, first, last, shortest, longest } = scans;
    let [from, to, shortest, longest] =
        [first, last, shortest, longest].map(|time| seconds(time.as_secs_f64()));
    if *count < 2 {
        return format!("{space}: one scan, at {from}");
    }
    let mean = seconds(last.saturating_sub(*first).as_secs_f64() / (*count - 1) as f64);
    format!(
        "{space}: {count} scans from {from} to {to}, one every {mean} ({shortest} to {longest})"
    )
}

/// With three significant digits and its unit.
pub(crate) fn seconds(value: f64) -> String {
    if value > 0.0 && value < 0.1 {
        let ms = value * 1e3;
        return format!("{ms:.*} ms", decimals(ms, 3));
    }
    format!("{value:.*} s", decimals(value, 3))
}

#[cfg(test)]
mod tests {
    use results::{MoveCount, NodeMove, sample};

    use super::*;

    #[test]
    fn the_winner_is_held_against_the_baseline_or_the_next_best() {
        let pair = |times: &[(&str, &[u64])]| {
            let comparison = sample::elapsed(times);
            default_pair(&comparison, &comparison.cases()[0])
        };
        let [a, b, c]: [(&str, &[u64]); 3] = [("a", &[9]), ("b", &[5]), ("c", &[7])];
        assert_eq!(pair(&[a, b, c]).unwrap(), ["a", "b"]);
        assert_eq!(pair(&[b, a, c]).unwrap(), ["b", "c"]);
        assert_eq!(pair(&[a]), None);
    }

    #[test]
    fn columns_point_at_the_sample_that_covers_them() {
        let mut comparison = sample::elapsed(&[("a", &[4]), ("b", &[8])]);
        for run in &mut comparison.cells {
            run.history.at = vec![Nanos::from_secs(1), run.elapsed];
        }
        let pair = Pair::of(&comparison, &comparison.cases()[0], ["a", "b"]).unwrap();
        // Middles are at 1, 3, 5, 7 s.
        assert_eq!(pair.columns(pair.runs[0], 4), [Some(0), Some(1), None, None]);
        assert_eq!(pair.columns(pair.runs[1], 4), [Some(0), Some(1), Some(1), Some(1)]);
    }

    #[test]
    fn a_sentence_tells_what_moved_a_thread() {
        let count = |reason, cpu, node| MoveCount { reason, cpu, node };
        let mut thread = ThreadHistory {
            moves: vec![
                count(MoveReason::LoadBalance, 9, 0),
                count(MoveReason::SchedMoveNuma, 3, 3),
            ],
            ..ThreadHistory::default()
        };
        assert_eq!(thread_sentence(&thread), None);
        thread.first_moves.push(NodeMove {
            at: Nanos::from_ms(400),
            from: 0,
            to: 2,
            reason: MoveReason::SchedMoveNuma,
            why: "preferred node".to_owned(),
        });
        assert_eq!(
            thread_sentence(&thread).unwrap(),
            "12 moves (9 load balance, 3 sched_move_numa), 3 between nodes; first at 0.40 s node 0 -> 2: \
             sched_move_numa, preferred node"
        );
    }

    #[test]
    fn shares_add_up_over_spaces_of_one_name() {
        let space = |pages: [u64; 2]| results::MemoryHistory {
            name: "heap".to_owned(),
            pages: pages.iter().map(|nr| vec![*nr]).collect(),
        };
        let memory = vec![space([3, 0]), space([0, 1])];
        let history = History { memory, ..History::default() };
        assert_eq!(shares_at(&history, "heap", Some(0)).unwrap(), [0.75, 0.25]);
        assert_eq!(shares_at(&history, "stack", Some(0)), None);
        assert_eq!(shares_at(&history, "heap", None), None);
    }
}
