//! Where threads and memory were, as strips of text: a line per thread, or per address space and
//! node, a letter per column of time.

use results::Run;

use crate::past::{
    Pair, move_rows, node_at, page_rows, queueing_sentence, scan_sentence, seconds, shares_at,
    thread_sentence,
};
use crate::table::align;

/// How strips are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Strips {
    /// Letters in a line at most.
    pub width: usize,
    /// Whether nodes and shares have colours.
    pub color: bool,
}

/// Most lines of threads for each design.
const THREADS: usize = 64;
/// Most address spaces.
const SPACES: usize = 8;
/// Most ways of pages from node to node.
const FLOWS: usize = 12;
/// Most columns of a strip.
const COLUMNS: usize = 120;
/// Longest name that is not cut.
const NAME: usize = 24;

/// Letters of nodes.
const NODES: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#@";
/// Letters of shares, from none to all.
const SHADES: &[u8; 10] = b" .:-=+*%#@";
/// Backgrounds of nodes, of the 256 colours of terminals; told apart by colour-blind readers.
const NODE_COLOURS: [u8; 8] = [25, 166, 29, 133, 136, 240, 74, 88];
/// Backgrounds of shares: from black to yellow over purple and orange.
const SHADE_COLOURS: [u8; 10] = [233, 234, 53, 54, 90, 126, 161, 202, 208, 226];

/// A letter and its background.
type Cell = Option<(u8, u8)>;

/// All that the history of two runs says.
pub(crate) fn strips(pair: &Pair<'_>, how: Strips) -> String {
    let mut text = String::new();
    let threads = pair.runs.map(|run| thread_lines(pair, run, how));
    let memory = pair.runs.map(|run| memory_lines(pair, run, how));
    let seed = pair.runs[0].seed;
    let end = seconds(pair.end.as_secs_f64());
    if threads.iter().any(|lines| !lines.is_empty()) {
        text += &format!("\nwhere threads were: node by time, seed {seed}, 0 to {end}\n");
        text += &both(pair, threads);
    }
    if memory.iter().any(|lines| !lines.is_empty()) {
        let shades = "share of resident pages from . (little) to @ (all)";
        text += &format!("\nwhere memory was: {shades}, seed {seed}, 0 to {end}\n");
        text += &both(pair, memory);
    }
    text += &sampling(pair);
    text += &decisions(pair);
    text
}

/// The lines of both runs below their designs.
fn both(pair: &Pair<'_>, lines: [Vec<String>; 2]) -> String {
    let of = |(run, lines): (&&Run, Vec<String>)| {
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        format!("{}\n{lines}", run.design)
    };
    pair.runs.iter().zip(lines).map(of).collect()
}

/// How fine the strips can be at most.
fn sampling(pair: &Pair<'_>) -> String {
    let step = |run: &&Run| {
        let history = &run.history;
        let every = run.elapsed.as_secs_f64() / history.at.len() as f64;
        let kept = match history.kept_one_in {
            0 | 1 => String::new(),
            nr => format!(", one of {nr} samples kept"),
        };
        format!("{}: sampled every {}{kept}", run.design, seconds(every))
    };
    format!("\n{}\n", pair.runs.iter().map(step).collect::<Vec<_>>().join("; "))
}

fn thread_lines(pair: &Pair<'_>, run: &Run, how: Strips) -> Vec<String> {
    let threads = &run.history.threads;
    let names: Vec<String> = threads.iter().take(THREADS).map(|one| cut(&one.name)).collect();
    let nr = nr_columns(&names, how);
    let columns = pair.columns(run, nr);
    let cell = |node: u8| (NODES[usize::from(node) % NODES.len()], node_colour(node));
    let line = |(name, thread): (&String, &results::ThreadHistory)| {
        let cells = columns.iter().map(|sample| node_at(thread, *sample).map(cell));
        strip(name, widest(&names), &cells.collect::<Vec<_>>(), how)
    };
    let mut lines: Vec<String> = names.iter().zip(threads).map(line).collect();
    if threads.len() > THREADS {
        lines.push(format!("and {} more threads", threads.len() - THREADS));
    }
    lines
}

fn memory_lines(pair: &Pair<'_>, run: &Run, how: Strips) -> Vec<String> {
    let history = &run.history;
    let nr_nodes = history.memory.first().map_or(0, |space| space.pages.len());
    let rows = pair.spaces(SPACES).into_iter();
    let rows = rows.flat_map(|space| (0..nr_nodes).map(move |node| (space, node)));
    // The same rows for both runs, so that they can be compared line by line.
    let ever = |(space, node): &(&str, usize)| {
        let all = pair.runs.iter().flat_map(|run| &run.history.memory);
        let mut same = all.filter(|one| one.name == *space);
        same.any(|one| one.pages.get(*node).is_some_and(|pages| pages.iter().any(|nr| *nr > 0)))
    };
    let rows: Vec<(&str, usize)> = rows.filter(ever).collect();
    let names: Vec<String> =
        rows.iter().map(|(space, node)| format!("{} {node}", cut(space))).collect();
    let columns = pair.columns(run, nr_columns(&names, how));
    let line = |(name, (space, node)): (&String, &(&str, usize))| {
        let cell = |sample: &Option<usize>| {
            let share = shares_at(history, space, *sample)?[*node];
            let shade = if share <= 0.0 { 0 } else { 1 + (share * 8.5) as usize };
            Some((SHADES[shade.min(9)], SHADE_COLOURS[shade.min(9)]))
        };
        strip(name, widest(&names), &columns.iter().map(cell).collect::<Vec<_>>(), how)
    };
    names.iter().zip(&rows).map(line).collect()
}

fn node_colour(node: u8) -> u8 {
    NODE_COLOURS[usize::from(node) % NODE_COLOURS.len()]
}

fn cut(name: &str) -> String {
    name.chars().take(NAME).collect()
}

fn widest(names: &[String]) -> usize {
    names.iter().map(|name| name.chars().count()).max().unwrap_or(0)
}

/// Columns that fit beside the names and the indent.
fn nr_columns(names: &[String], how: Strips) -> usize {
    how.width.saturating_sub(widest(names) + 3).clamp(10, COLUMNS)
}

fn strip(name: &str, width: usize, cells: &[Cell], how: Strips) -> String {
    let mut line = format!("{name:<width$} ");
    let mut colour = None;
    for cell in cells {
        let (letter, background) = cell.map_or((b' ', None), |(letter, back)| (letter, Some(back)));
        if how.color && background != colour {
            line += &background.map_or("\x1b[0m".to_owned(), |back| {
                // Dark letters on the light colours.
                let ink = if matches!(back, 74 | 136 | 166 | 202 | 208 | 226) { 16 } else { 231 };
                format!("\x1b[48;5;{back};38;5;{ink}m")
            });
            colour = background;
        }
        line.push(char::from(letter));
    }
    if colour.is_some() {
        line += "\x1b[0m";
    }
    line.trim_end().to_owned()
}

/// What moved threads and pages.
fn decisions(pair: &Pair<'_>) -> String {
    let [one, two] = pair.runs.map(|run| run.design.as_str());
    let head = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let mut moves = vec![
        head(&["moves of threads", one, "", two, ""]),
        head(&["", "to a CPU", "to a node", "to a CPU", "to a node"]),
    ];
    moves.extend(move_rows(pair));
    let mut text = format!("\n{}\n", align(&moves).join("\n"));
    let rows = page_rows(pair, FLOWS);
    if !rows.is_empty() {
        let mut lines = vec![head(&["pages moved, and why", one, two])];
        lines.extend(rows);
        text += &format!("\n{}\n", align(&lines).join("\n"));
    }
    for run in pair.runs {
        let lines = sentences(run);
        if !lines.is_empty() {
            let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
            text += &format!("\n{}, seed {}\n{lines}", run.design, run.seed);
        }
    }
    text
}

/// One line for each thread that moved between nodes or queued, and for each space that was
/// scanned.
pub(crate) fn sentences(run: &Run) -> Vec<String> {
    let line = |thread: &results::ThreadHistory| {
        let queued = queueing_sentence(thread).map(|text| format!("queued {text}"));
        let parts: Vec<String> = thread_sentence(thread).into_iter().chain(queued).collect();
        (!parts.is_empty()).then(|| format!("{}: {}", thread.name, parts.join("; ")))
    };
    let told: Vec<String> = run.history.threads.iter().filter_map(line).collect();
    let more = told.len().saturating_sub(THREADS);
    let mut lines: Vec<String> = told.into_iter().take(THREADS).collect();
    if more > 0 {
        lines.push(format!("and {more} more threads"));
    }
    lines.extend(run.history.scans.iter().take(SPACES).map(scan_sentence));
    lines
}

#[cfg(test)]
mod tests {
    use results::sample;

    use super::*;

    fn sample_text(how: Strips) -> String {
        let comparison = sample::comparison();
        let case = comparison.cases().remove(0);
        strips(&Pair::of(&comparison, &case, ["first-touch", "autonuma"]).unwrap(), how)
    }

    #[test]
    fn strips_fit_their_width_and_are_plain_in_a_pipe() {
        for width in [60, 100] {
            let text = sample_text(Strips { width, color: false });
            assert!(text.is_ascii(), "{text}");
            let strips = text.lines().filter(|line| line.starts_with("  worker 3 "));
            let lens: Vec<usize> = strips.map(str::len).collect();
            assert!(lens.len() == 2 && lens.iter().all(|len| *len <= width), "{text}");
        }
        insta::assert_snapshot!(sample_text(Strips { width: 72, color: false }));
    }

    #[test]
    fn colours_change_nothing_but_the_ground() {
        let plain = sample_text(Strips { width: 80, color: false });
        let coloured = sample_text(Strips { width: 80, color: true });
        assert!(coloured.contains("\x1b[48;5;25;38;5;231m0"));
        let mut stripped = String::new();
        for (place, part) in coloured.split('\x1b').enumerate() {
            stripped += if place == 0 { part } else { part.split_once('m').unwrap().1 };
        }
        let lines =
            |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&stripped), lines(&plain));
    }
}
