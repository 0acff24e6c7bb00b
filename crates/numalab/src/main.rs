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
    #[cfg(unix)]
    outlive_file_limits();
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

/// Lets writing a file beyond `ulimit -f` fail as it does on a full disk, instead of ending the
/// program with its temporary files left behind.
#[cfg(unix)]
fn outlive_file_limits() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    // Without the handler the program is as good as any other.
    let noted = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, noted);
}
