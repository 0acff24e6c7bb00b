//! Processes that were killed because no memory could be freed, and runs that ended for that.

use results::{Case, Comparison, Outcome, Run};

/// What happened to one run: a line, and the kernel's report where a process was killed.
pub(crate) struct Told {
    pub(crate) line: String,
    pub(crate) report: String,
}

/// Everything of a case, in the order of the cells.
pub(crate) fn told(comparison: &Comparison, case: &Case) -> Vec<Told> {
    let runs = comparison.cells.iter().filter(|run| *case == Case::of(run));
    runs.flat_map(of_run).collect()
}

fn of_run(run: &Run) -> Vec<Told> {
    let who = format!("{}, seed {}", run.design, run.seed);
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
pub(crate) fn text(comparison: &Comparison, case: &Case) -> String {
    let lines: String =
        told(comparison, case).iter().map(|told| format!("{}\n", told.line)).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}
