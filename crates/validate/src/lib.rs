//! The validation suites: closed forms, other programs' counts, published tables, the real kernel's
//! counters.
//!
//! A suite gives [`Row`]s: what was expected, from where, in which band, and what came out. No
//! constant is tuned for a row: a machine has one file, a design its published defaults.
//! [`run`] does the work, [`to_json`], [`text`] and [`markdown`] show it.

mod closed_form;
mod jobs;
pub mod kernel;
mod libcachesim;
mod markdown;
pub mod published;
mod reclaim_2012;
mod row;
mod scatter;
mod text;

use std::path::PathBuf;

pub use jobs::Observer;
pub use markdown::markdown;
pub use row::{Got, Kind, Row, Verdict};
pub use text::{summary, text, to_json};

use thiserror::Error;

/// A suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// As `--suite` takes it.
    pub name: &'static str,
    /// What it holds the program against.
    pub doc: &'static str,
}

/// All suites in the order in which they run.
pub const fn suites() -> &'static [Suite] {
    &[
        Suite {
            name: closed_form::NAME,
            doc: "formulas: queues, bandwidth shares, latency means, placement, watermarks",
        },
        Suite {
            name: libcachesim::NAME,
            doc: "miss counts of textbook replacement policies, equal to libCacheSim's to the request",
        },
        Suite {
            name: reclaim_2012::NAME,
            doc: "what was published of designs for reclaim of memory cgroups and mapped pages",
        },
        Suite {
            name: published::NAME,
            doc: "tables that authors of NUMA designs posted, on their machines",
        },
        Suite {
            name: kernel::NAME,
            doc: "counters that Linux 6.12 printed for recorded sequences of accesses",
        },
        Suite {
            name: kernel::OWN_NAME,
            doc: "the same of cases that this project recorded after the engines were written",
        },
    ]
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of suites; empty for all.
    pub suites: Vec<String>,
    /// Only rows whose id contains this; empty for all.
    pub filter: String,
    /// The published size with all seeds, instead of what ends within minutes.
    pub full: bool,
    /// Threads; 0 for all processors.
    pub jobs: usize,
    /// The folder of shipped files, with `validate/` in it.
    pub configs: PathBuf,
    /// The folder of the kernel suite's cases; `None` for the shipped one.
    pub cases: Option<PathBuf>,
}

/// What the suites gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One for each thing that was checked.
    pub rows: Vec<Row>,
    /// All counters of the kernel suite's cases, also those without an expectation.
    pub predictions: Vec<kernel::Prediction>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            suites: Vec::new(),
            filter: String::new(),
            full: false,
            jobs: 0,
            configs: PathBuf::from("configs"),
            cases: None,
        }
    }
}

/// Why nothing could be validated.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no such suite.
    #[error("unknown suite `{name}`; there are {known}", known = known_suites())]
    UnknownSuite {
        /// As asked for.
        name: String,
    },
    /// A data file is wrong.
    #[error("{}", .0.render(false))]
    Data(config::Problems),
    /// The kernel suite's files.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
}

fn known_suites() -> String {
    let names: Vec<String> = suites().iter().map(|suite| format!("`{}`", suite.name)).collect();
    names.join(", ")
}

/// Runs the suites and judges what came out, in the order of suites and their rows.
///
/// # Errors
/// A suite that does not exist, or data files that are wrong. A run that fails is a row.
pub fn run(options: &Options, observer: &dyn Observer) -> Result<Outcome, Error> {
    let known = |name: &String| suites().iter().any(|suite| suite.name == name);
    if let Some(name) = options.suites.iter().find(|name| !known(name)) {
        return Err(Error::UnknownSuite { name: name.clone() });
    }
    let wanted = |name: &str| {
        options.suites.is_empty() || options.suites.iter().any(|wanted| wanted == name)
    };
    let mut outcome = Outcome::default();
    if wanted(closed_form::NAME) {
        outcome.rows.extend(closed_form::run(options, observer)?);
    }
    if wanted(libcachesim::NAME) {
        outcome.rows.extend(libcachesim::run(options));
    }
    if wanted(reclaim_2012::NAME) {
        outcome.rows.extend(reclaim_2012::run(options, observer));
    }
    if wanted(published::NAME) {
        let folder = options.configs.join("validate");
        let tables = published::load_tables(&folder).map_err(Error::Data)?;
        outcome.rows.extend(published::run(&tables, options, observer));
    }
    for kernel in kernel_options(options) {
        if wanted(kernel.suite) {
            let found = kernel::run(&kernel)?;
            outcome.rows.extend(found.rows);
            outcome.predictions.extend(found.predictions);
        }
    }
    Ok(outcome)
}

/// The folders of recorded counters: the shipped ones, or the one that is asked for.
fn kernel_options(options: &Options) -> Vec<kernel::Options> {
    let filter = || options.filter.clone();
    if let Some(folder) = options.cases.clone() {
        let source = format!("counters in {}", folder.display());
        return vec![kernel::Options { suite: kernel::NAME, source, folder, filter: filter() }];
    }
    let shipped = |suite: &'static str, source: &str| kernel::Options {
        suite,
        source: source.to_owned(),
        folder: options.configs.join("validate").join(suite),
        filter: filter(),
    };
    vec![
        shipped(kernel::NAME, "Linux 6.12.117 in an emulator"),
        shipped(
            kernel::OWN_NAME,
            "Linux 6.12.95 in an emulator, recorded by traces/capture/kernel",
        ),
    ]
}
