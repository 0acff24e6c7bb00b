//! The `numalab` command: arguments, progress, exit codes.
//!
//! stdout carries the result only; progress, log and problems go to stderr. Everything that goes
//! wrong becomes an [`Error`](error::Error), and one function turns it into text and exit code.

mod cli;
mod cmd;
mod docs;
mod error;
mod log;
mod progress;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return error::report_usage(&error),
        Err(help) => {
            // Nobody is left to tell if that fails.
            let _ = help.print();
            return error::OK.into();
        }
    };
    let ui = Ui::of(&cli.global);
    match cmd::run(cli, &ui) {
        Ok(()) => error::OK.into(),
        Err(error) => error.report(&ui),
    }
}
