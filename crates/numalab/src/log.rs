//! The log: off unless asked for, to stderr, filtered by target.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Starts the log with a filter such as `sim=debug`; without one there is none.
pub(crate) fn start(filter: Option<&Targets>) {
    let Some(filter) = filter else { return };
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time();
    // It fails only where a log runs already, which then serves.
    let _ = tracing_subscriber::registry().with(format.with_filter(filter.clone())).try_init();
}
