//! Everything that can go wrong, as text or JSON with an exit code.

use std::io;
use std::path::Path;

use config::{Problem, Problems};
use results::FailedCell;
use thiserror::Error;
use trace::TraceError;

use crate::cli::MessageFormat;
use crate::ui::{Ui, note};

/// An exit code with its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitCode {
    pub(crate) code: u8,
    pub(crate) meaning: &'static str,
}

/// Declares the exit codes and their list.
macro_rules! exit_codes {
    ($($name:ident = $code:literal: $meaning:literal,)+) => {
        $(pub(crate) const $name: ExitCode = ExitCode { code: $code, meaning: $meaning };)+
        /// All exit codes in order.
        pub(crate) const EXIT_CODES: &[ExitCode] = &[$($name),+];
    };
}

exit_codes! {
    OK = 0: "done; also when the reader of the output went away",
    BUG = 1: "a bug in numalab",
    USAGE = 2: "bad usage or bad input: nothing was run and nothing was written",
    CHECK = 3: "a check failed",
    CELLS = 4: "some runs gave no result; the others did",
    OUTPUT = 5: "output could not be written; what was there before is still valid",
    OOM = 6: "memory ran out in some runs: a process was killed, or the run ended; the results are there",
    INTERRUPTED = 130: "interrupted; runs that had finished are in the result",
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code)
    }
}

/// What ends a command early, or makes it end with another code than 0.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// Files with mistakes in them.
    #[error("{0}")]
    Problems(Problems),
    /// Arguments that make no sense together, or name what does not exist.
    #[error("{message}")]
    Usage { message: String, help: Option<String> },
    /// A file that is damaged, or not what it should be.
    #[error("{0}")]
    Input(String),
    /// Output could not be written.
    #[error("{0}")]
    Output(String),
    /// Whoever read the output has gone.
    #[error("the output's reader has gone")]
    BrokenPipe,
    /// Some cells gave no result.
    #[error("{} of {total} runs gave no result", failed.len())]
    Cells { failed: Vec<FailedCell>, total: usize },
    /// Memory ran out in some runs.
    #[error("memory ran out in {nr} of {total} runs: a process was killed, or the run ended")]
    OutOfMemory { nr: usize, total: usize },
    /// Rows of a validation are outside their bands.
    #[error("{missed} of {total} rows are outside their bands")]
    Check { missed: usize, total: usize },
    /// The user stopped it.
    #[error("interrupted: {done} of {total} runs had finished")]
    Interrupted { done: usize, total: usize },
    /// The operating system refused what a run needs.
    #[error(transparent)]
    Lab(#[from] lab::LabError),
    /// Own data that could not be rendered.
    #[error("{0}")]
    Bug(String),
}

impl Error {
    /// Writing to `path` failed.
    pub(crate) fn write(path: &Path, error: io::Error) -> Self {
        results::Error::write(path, error).into()
    }

    /// A trace that was being written to `path`: what the file system refuses there is a matter
    /// of output, everything else of input.
    pub(crate) fn writing_trace(path: &Path, error: TraceError) -> Self {
        match error {
            TraceError::Io(error) => Self::write(path, error),
            error => Self::Input(error.to_string()),
        }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Problems(_) | Self::Usage { .. } | Self::Input(_) => USAGE,
            Self::Output(_) => OUTPUT,
            Self::BrokenPipe => OK,
            Self::Cells { .. } => CELLS,
            Self::Check { .. } => CHECK,
            Self::OutOfMemory { .. } => OOM,
            Self::Interrupted { .. } => INTERRUPTED,
            Self::Lab(_) | Self::Bug(_) => BUG,
        }
    }

    /// Tells the user, and gives the exit code.
    pub(crate) fn report(&self, ui: &Ui) -> std::process::ExitCode {
        let problems = self.problems();
        ui.tell(&problems);
        self.exit_code().into()
    }

    /// The error as problems, so that all look alike.
    fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        match self {
            Self::Problems(problems) => return problems.clone(),
            Self::BrokenPipe => {}
            Self::Usage { message, help } => {
                let problem = Problem::error(message.clone());
                problems.push(match help {
                    Some(help) => problem.help(help.clone()),
                    None => problem,
                });
            }
            Self::Cells { failed, .. } => {
                failed.iter().for_each(|cell| problems.push(Problem::error(cell_text(cell))));
                problems.push(Problem::error(self.to_string()));
            }
            Self::OutOfMemory { .. } => problems.push(Problem::warning(self.to_string())),
            Self::Bug(_) => problems.push(
                Problem::error(self.to_string()).help("this is a bug in numalab, please report it"),
            ),
            _ => problems.push(Problem::error(self.to_string())),
        }
        problems
    }
}

/// `balancenuma, seed 3, numa02 on M-mel: why`
fn cell_text(cell: &FailedCell) -> String {
    let FailedCell { design, seed, workload, machine, message, .. } = cell;
    let axes: String =
        cell.axes.iter().map(|(axis, value)| format!(", {axis} = {value}")).collect();
    format!("{design}, seed {seed}, {workload} on {machine}{axes}: {message}")
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<TraceError> for Error {
    fn from(error: TraceError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<results::Error> for Error {
    fn from(error: results::Error) -> Self {
        match error {
            results::Error::Write { .. } => Self::Output(error.to_string()),
            results::Error::Read { .. } | results::Error::Format { .. } => {
                Self::Input(error.to_string())
            }
        }
    }
}

/// Tells what is wrong with the arguments, and gives the exit code. They could not be read, so
/// whether JSON is wanted is seen from the words themselves.
pub(crate) fn report_usage(error: &clap::Error) -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if wants_json(&words) {
        let mut problems = Problems::default();
        problems.push(usage_problem(error));
        note(&render(&problems, MessageFormat::Json, false));
    } else {
        // Nobody is left to tell if that fails.
        let _ = error.print();
    }
    USAGE.into()
}

fn wants_json(words: &[String]) -> bool {
    let joined = |word: &String| word == "--message-format=json";
    let apart = |pair: &[String]| pair[0] == "--message-format" && pair[1] == "json";
    words.iter().any(joined) || words.windows(2).any(apart)
}

/// The first paragraph of what clap says is the message, the rest the help.
fn usage_problem(error: &clap::Error) -> Problem {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Problem::error("a command is missing").help("numalab --help lists them");
    }
    let text = error.render().to_string();
    let (message, help) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let problem = Problem::error(one_line(message));
    if help.is_empty() { problem } else { problem.help(one_line(help)) }
}

/// Problems for people or, one JSON object a line, for editors.
pub(crate) fn render(problems: &Problems, format: MessageFormat, color: bool) -> String {
    match format {
        MessageFormat::Text => problems.render(color),
        MessageFormat::Json => {
            let list = problems.to_json();
            let lines = list.as_array().into_iter().flatten();
            lines.map(|problem| format!("{problem}\n")).collect()
        }
    }
}
