//! `numalab compare`.

use std::sync::Arc;

use lab::{Directory, Finished, Live, Options, Overrides, Plan};
use report::table::{self, Frame};
use results::{Comparison, Outcome, Run, summary, to_json};

use crate::cli::{Compare, Format};
use crate::error::{self, Error};
use crate::progress::Ticker;
use crate::ui::{Ui, is_terminal, note, out, width};

pub(super) fn compare(args: &Compare, ui: &Ui) -> Result<(), Error> {
    let overrides = Overrides {
        nr_seeds: args.seeds,
        designs: args.filter_design.clone(),
        yardsticks: args.yardsticks.clone(),
    };
    let plan = Plan::load(&args.file, &overrides)?;
    ui.tell(&plan.warnings);
    let directory = args.out.as_deref().map(Directory::prepare).transpose()?;
    let finished = execute(&plan, args.jobs, ui)?;
    let format = if args.json { Format::Json } else { args.format };
    if finished.comparison.cells.is_empty() {
        if let Some(directory) = directory {
            directory.forget();
        }
    } else {
        // The table comes first: it is there even if the disk is full.
        out(&render(&finished.comparison, format))?;
        if let Some(directory) = directory {
            let report = directory.save(&finished.comparison)?;
            let line = format!("report: {}\n", report.display());
            if format == Format::Table { out(&line)? } else { note(&line) }
        }
    }
    outcome(finished, plan.cells.len())
}

/// Runs a plan with progress; the first Ctrl-C stops it, a second one ends the program.
pub(super) fn execute(plan: &Plan, jobs: usize, ui: &Ui) -> Result<Finished, Error> {
    let live = Arc::new(Live::of(plan));
    let handle = Arc::clone(&live);
    let handler = ctrlc::set_handler(move || {
        if handle.is_cancelled() {
            std::process::exit(error::INTERRUPTED.code.into());
        }
        handle.cancel();
    });
    if let Err(error) = handler {
        note(&format!("note: Ctrl-C will end this at once: {error}\n"));
    }
    let _ticker = Ticker::start(ui, plan, &live);
    let command = std::env::args().map(|word| quoted(&word)).collect::<Vec<_>>().join(" ");
    Ok(lab::compare(plan, &Options { jobs, command }, &live)?)
}

/// What is left to tell when the result is out.
pub(super) fn outcome(finished: Finished, total: usize) -> Result<(), Error> {
    let Comparison { failed, cells, .. } = finished.comparison;
    let ran_out = |run: &&Run| run.outcome != Outcome::Finished || !run.oom_kills().is_empty();
    match cells.iter().filter(ran_out).count() {
        _ if finished.interrupted => Err(Error::Interrupted { done: cells.len(), total }),
        _ if !failed.is_empty() => Err(Error::Cells { failed, total }),
        0 => Ok(()),
        nr => Err(Error::OutOfMemory { nr, total }),
    }
}

fn render(comparison: &Comparison, format: Format) -> String {
    match format {
        Format::Json => to_json(comparison).text + "\n",
        Format::Csv => table::csv(&summary(comparison)),
        Format::Md => table::markdown(&summary(comparison)),
        Format::Table => {
            let frame = if is_terminal() { Frame::Ruled } else { Frame::Plain };
            report::terminal(comparison, width(), frame)
        }
    }
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_back() {
        assert_eq!(quoted("--out=results/a"), "--out=results/a");
        assert_eq!(quoted("it's me"), r"'it'\''s me'");
        assert_eq!(quoted(""), "''");
    }
}
