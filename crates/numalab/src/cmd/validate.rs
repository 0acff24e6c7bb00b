//! `numalab validate`.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use results::MadeDirs;
use validate::{Observer, Options, Row};

use crate::cli::{ProgressChoice, Validate};
use crate::error::Error;
use crate::ui::{Ui, note, out};

/// Runs the suites, prints the rows, and fails when one is outside its band.
pub(crate) fn validate(args: &Validate, ui: &Ui) -> Result<(), Error> {
    let options = Options {
        suites: args.suite.clone(),
        filter: args.filter.clone(),
        full: args.full,
        jobs: args.jobs,
        configs: args.configs.clone(),
        cases: args.cases.clone(),
    };
    // Nobody should wait for a result that then has no place.
    let files = args.predictions.iter().chain(&args.markdown);
    let made: Vec<MadeDirs> =
        files.map(|path| MadeDirs::for_file(path)).collect::<Result<_, _>>()?;
    let bar = Bar::new(ui);
    let outcome = validate::run(&options, &bar).map_err(refused)?;
    bar.bar.finish_and_clear();
    let rows = &outcome.rows;
    if rows.is_empty() && outcome.predictions.is_empty() {
        return Err(nothing_matches(args));
    }
    // The rows are told even if the disk is full.
    out(&if args.json { validate::to_json(rows) } else { validate::text(rows) })?;
    if let Some(path) = &args.predictions {
        write(path, &validate::kernel::predictions_csv(&outcome.predictions))?;
    }
    if let Some(path) = &args.markdown {
        write(path, &validate::markdown(rows))?;
    }
    made.into_iter().for_each(MadeDirs::keep);
    match rows.iter().filter(|row| Row::is_failure(row)).count() {
        0 => Ok(()),
        missed => Err(Error::Check { missed, total: rows.len() }),
    }
}

/// A filter that fits nothing would pass every time.
fn nothing_matches(args: &Validate) -> Error {
    let suites = if args.suite.is_empty() { "all suites" } else { "these suites" };
    let message = if args.filter.is_empty() {
        format!("{suites} have no row")
    } else {
        format!("no row of {suites} matches `{}`", args.filter)
    };
    Error::Usage {
        message,
        help: Some("ids are the first column of what `numalab validate` prints".to_owned()),
    }
}

fn refused(error: validate::Error) -> Error {
    match error {
        validate::Error::Data(problems) => Error::Problems(problems),
        error => Error::Usage { message: error.to_string(), help: None },
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    Ok(results::write_file(path, text.as_bytes())?)
}

/// Runs done of those planned, on stderr: a bar on a terminal, elsewhere a line a run.
struct Bar {
    bar: ProgressBar,
    lines: bool,
}

impl Bar {
    fn new(ui: &Ui) -> Self {
        let target = match ui.progress {
            ProgressChoice::Never => ProgressDrawTarget::hidden(),
            ProgressChoice::Auto | ProgressChoice::Always => ProgressDrawTarget::stderr(),
        };
        let style = ProgressStyle::with_template("{pos}/{len} runs  {eta} left  {wide_msg}");
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let bar = match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let lines =
            matches!(ui.progress, ProgressChoice::Always) && !std::io::stderr().is_terminal();
        Self { bar, lines }
    }
}

impl Observer for Bar {
    fn planned(&self, nr_runs: usize) {
        self.bar.inc_length(nr_runs as u64);
    }

    fn finished(&self, what: &str, took: Duration) {
        self.bar.set_message(what.to_owned());
        self.bar.inc(1);
        if self.lines {
            let (done, planned) = (self.bar.position(), self.bar.length().unwrap_or(0));
            note(&format!("{done}/{planned} runs  {:.1} s  {what}\n", took.as_secs_f64()));
        }
    }
}
