//! Processes that were killed because no memory could be freed, and runs that ended for that.

use results::{Case, Comparison, Outcome, Run};

/// What happened to one run: a line, and the kernel's report where a process was killed.
pub(crate) struct Told {
    pub(crate) line: String,
    pub(crate) report: String,
}

/// Everything of a case, or of all, in the order of the cells.
pub(crate) fn told(comparison: &Comparison, wanted: Option<&Case>) -> Vec<Told> {
    let has_cases = wanted.is_none() && comparison.cases().len() > 1;
    let runs = comparison.cells.iter();
    let runs = runs.filter(|run| wanted.is_none_or(|case| *case == Case::of(run)));
    runs.flat_map(|run| of_run(run, has_cases)).collect()
}

fn of_run(run: &Run, has_cases: bool) -> Vec<Told> {
    let case = if has_cases { format!("{}, ", Case::of(run).title()) } else { String::new() };
    let who = format!("{case}{}, seed {}", run.design, run.seed);
    let killed = run.oom_kills().iter().map(|kill| Told {
        line: format!("killed, {who}: {}", kill.line()),
        report: kill.to_string(),
    });
    let ended = match &run.outcome {
        Outcome::OutOfMemory(text) => Some(Told {
            line: format!("ended for want of memory, {who}: {text}"),
            report: String::new(),
        }),
        Outcome::Finished => None,
    };
    killed.chain(ended).collect()
}

/// A line each as text; empty where nobody was killed.
pub fn terminal(comparison: &Comparison) -> String {
    let lines: String =
        told(comparison, None).iter().map(|told| format!("{}\n", told.line)).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}
