//! The two streams: results to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use config::Problems;

use crate::cli::{ColorChoice, Global, MessageFormat, ProgressChoice};
use crate::error::{self, Error};

/// How to speak to the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    /// Whether problems may have colours.
    pub(crate) color: bool,
    /// Whether results on stdout may have colours.
    pub(crate) output_color: bool,
    pub(crate) message_format: MessageFormat,
    pub(crate) progress: ProgressChoice,
}

impl Ui {
    /// As the global options say.
    pub(crate) fn of(global: &Global) -> Self {
        crate::log::start(global.log.as_ref());
        let never = anstream::ColorChoice::Never;
        let (color, output_color) = match global.color {
            ColorChoice::Always => (true, true),
            ColorChoice::Never => (false, false),
            ColorChoice::Auto => (
                anstream::AutoStream::choice(&io::stderr()) != never,
                anstream::AutoStream::choice(&io::stdout()) != never,
            ),
        };
        Self {
            color,
            output_color,
            message_format: global.message_format,
            progress: global.progress,
        }
    }

    /// Tells problems on stderr.
    pub(crate) fn tell(&self, problems: &Problems) {
        if !problems.is_empty() {
            note(&error::render(problems, self.message_format, self.color));
        }
    }
}

/// Writes to stderr. If nobody listens there, there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a result to stdout.
pub(crate) fn out(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Error::BrokenPipe,
            _ => Error::Output(format!("cannot write to standard output: {error}")),
        }
    })
}

/// Columns of the terminal that stdout is; 100 where it is none.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(100, |(width, _)| usize::from(width.0))
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
