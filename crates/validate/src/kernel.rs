//! The real kernel's counters: recorded cases replayed on a guest of ours, counter by counter.
//!
//! A folder laid out like `configs/validate/kernel` has the cases, the machines they ran on, the
//! knobs, the pace of touches and, where known, the kernel's own counters with the band in which a
//! prediction passes. [`run`] replays, writes predictions and judges.

mod balancing;
mod case;
mod generate;
mod lives;
mod on_cpus;
mod parse;
mod predict;
mod recording;
mod replay;
mod setup;
mod tables;
#[cfg(test)]
mod tests;
mod view;

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::row::{Got, Kind, Row, Verdict};
pub use case::{Case, CaseError};
pub use parse::parse;
pub use predict::Prediction;
use tables::{CauseRow, ExpectedRow, MachineRow};

/// The suite's name.
pub const NAME: &str = "kernel";

/// The suite of cases that this project recorded itself.
pub const OWN_NAME: &str = "kernel-own";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The suite whose rows these are.
    pub suite: &'static str,
    /// Which kernel counted, and where.
    pub source: String,
    /// The folder with `cases/`, `machines.csv` and the other tables.
    pub folder: PathBuf,
    /// Only cases whose name contains this; empty for all.
    pub filter: String,
}

/// Why nothing could be judged.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] CaseError),
}

/// The tables of a folder.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    machines: Vec<MachineRow>,
    knobs: Vec<(String, String)>,
    expected: Vec<ExpectedRow>,
    causes: Vec<CauseRow>,
}

/// What a run of the suite gives.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One for each counter that is compared.
    pub rows: Vec<Row>,
    /// All predictions, also of cases without expectations.
    pub predictions: Vec<Prediction>,
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Reads a table that may be absent.
fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

/// Reads a folder's tables.
///
/// # Errors
/// A file that cannot be read or is wrong.
pub fn load_tables(folder: &Path) -> Result<Tables, Error> {
    let start = read_if_there(&folder.join("start.csv"))?.unwrap_or_default();
    let knobs = read_if_there(&folder.join("knobs.csv"))?.unwrap_or_default();
    let expected = read_if_there(&folder.join("expected.csv"))?;
    let causes = read_if_there(&folder.join("causes.csv"))?;
    Ok(Tables {
        machines: tables::machines(&read(&folder.join("machines.csv"))?, &start)?,
        knobs: if knobs.is_empty() { Vec::new() } else { tables::knobs(&knobs)? },
        expected: expected.map_or(Ok(Vec::new()), |text| tables::expected(&text))?,
        causes: causes.map_or(Ok(Vec::new()), |text| tables::causes(&text))?,
    })
}

/// Reads the cases of a folder in order of their names.
///
/// # Errors
/// A case that cannot be read or is wrong.
pub fn load_cases(folder: &Path, filter: &str) -> Result<Vec<Case>, Error> {
    let cases = folder.join("cases");
    let list =
        std::fs::read_dir(&cases).map_err(|source| Error::Read { path: cases.clone(), source })?;
    let mut paths: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".case"))
        else {
            continue;
        };
        if name.contains(filter) {
            found.push(parse(name, &read(&path)?)?);
        }
    }
    Ok(found)
}

/// Replays a case and gives all its counters.
pub fn predict(case: &Case, tables: &Tables) -> Vec<Prediction> {
    let machine = setup::machine_of(case, &tables.machines);
    let replay = replay::Replay::new(case, &machine, &tables.knobs);
    predict::predictions(&case.name, replay.run())
}

/// Replays the cases and judges what came out.
///
/// # Errors
/// Files that cannot be read or are wrong.
pub fn run(options: &Options) -> Result<Outcome, Error> {
    let tables = load_tables(&options.folder)?;
    let mut outcome = Outcome::default();
    for case in load_cases(&options.folder, &options.filter)? {
        let predictions = predict(&case, &tables);
        for expected in tables.expected.iter().filter(|row| row.case == case.name) {
            outcome.rows.push(judge(options, expected, &predictions, &tables.causes));
        }
        outcome.predictions.extend(predictions);
    }
    Ok(outcome)
}

/// The predictions as a table that the recorded suite's scorer reads.
pub fn predictions_csv(predictions: &[Prediction]) -> String {
    let mut text = String::from("case,phase,counter,value\n");
    for row in predictions {
        text.push_str(&format!("{},{},{},{}\n", row.case, row.phase, row.counter, row.value));
    }
    text
}

fn judge(
    options: &Options,
    expected: &ExpectedRow,
    predictions: &[Prediction],
    causes: &[CauseRow],
) -> Row {
    let found = predictions
        .iter()
        .find(|row| row.phase == expected.phase && row.counter == expected.counter);
    let low = expected.bands.iter().map(|band| band.0).fold(f64::INFINITY, f64::min);
    let high = expected.bands.iter().map(|band| band.1).fold(f64::NEG_INFINITY, f64::max);
    let family = expected.case.split('-').next().unwrap_or_default();
    let table = match options.suite {
        NAME => format!("family {family}"),
        suite => format!("{suite} family {family}"),
    };
    let row = Row {
        suite: options.suite,
        id: format!("{}/{}/{}", expected.case, expected.phase, expected.counter),
        table,
        source: options.source.clone(),
        kind: Kind::Predicted,
        quantity: expected.counter.clone(),
        expected: expected.median,
        low,
        high,
        got: None,
        verdict: Verdict::Failed,
        note: String::new(),
    };
    let Some(found) = found else {
        return row.without_value(Verdict::NotExpressible, "no prediction");
    };
    let passes = expected.passes(found.value);
    let mut row = row.judged(Got::exact(found.value));
    row.verdict = if passes { Verdict::Passed } else { Verdict::Missed };
    if !passes && let Some(cause) = causes.iter().find(|cause| cause.tells_of(expected)) {
        row.note.clone_from(&cause.cause);
    }
    row
}
