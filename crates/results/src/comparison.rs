//! What a comparison leaves behind: its cells and what they were made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Outcome, Run};

/// All cells of one experiment.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Name of the experiment.
    pub experiment: String,
    /// What it asks, as its file says.
    pub description: String,
    /// Design that the others are held against.
    pub baseline: String,
    /// Drawings of the machines, for the report.
    pub drawings: Vec<Drawing>,
    /// Files that the result was made from.
    pub inputs: Vec<InputDigest>,
    /// Finished cells in the order of the experiment: case, then design, then seed.
    pub cells: Vec<Run>,
    /// Cells that gave no result.
    pub failed: Vec<FailedCell>,
    /// What belongs to the occasion, not to the result.
    pub wall: Wall,
}

/// A machine as a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// Machine's name.
    pub machine: String,
    /// An SVG document.
    pub svg: String,
}

/// A file that went into the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDigest {
    /// Path as the user gave it.
    pub path: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// A cell that gave no result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCell {
    /// Machine's name.
    pub machine: String,
    /// Workload's name.
    pub workload: String,
    /// Name of the design.
    pub design: String,
    /// Values of the experiment's axes.
    pub axes: BTreeMap<String, String>,
    /// Seed.
    pub seed: u64,
    /// What went wrong.
    pub message: String,
}

/// What differs between two repetitions of the same comparison. The only part of the JSON that
/// may: a repetition with the same inputs gives everything else byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wall {
    /// Version of numalab.
    pub version: String,
    /// The command as it was typed.
    pub command: String,
    /// Cells that ran side by side.
    pub jobs: u64,
    /// When it began, seconds since 1970 UTC.
    pub started_unix_s: u64,
    /// How long it took.
    pub elapsed_s: f64,
    /// Accesses replayed a second, all jobs together.
    pub accesses_per_s: f64,
}

/// What the designs were compared on: cells of one case differ by design and seed only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Case {
    /// Machine's name.
    pub machine: String,
    /// Workload's name.
    pub workload: String,
    /// Values of the experiment's axes.
    pub axes: BTreeMap<String, String>,
}

impl Case {
    /// The case of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            machine: run.machine.clone(),
            workload: run.workload.clone(),
            axes: run.axes.clone(),
        }
    }

    /// `workload on machine, axis = value, ...`
    pub fn title(&self) -> String {
        // A file that is named as what it holds need not be told twice.
        let told = |(axis, value): &(&String, &String)| match axis.as_str() {
            "workload" => **value != self.workload,
            "machine" => **value != self.machine,
            _ => true,
        };
        let axes = self.axes.iter().filter(told).map(|(axis, value)| format!(", {axis} = {value}"));
        format!("{} on {}{}", self.workload, self.machine, axes.collect::<String>())
    }
}

impl Comparison {
    /// Cases in the order of the cells.
    pub fn cases(&self) -> Vec<Case> {
        unique(self.cells.iter().map(Case::of))
    }

    /// Designs in the order of the cells.
    pub fn designs(&self) -> Vec<String> {
        unique(self.cells.iter().map(|run| run.design.clone()))
    }

    /// Seeds in the order of the cells.
    pub fn seeds(&self) -> Vec<u64> {
        unique(self.cells.iter().map(|run| run.seed))
    }

    /// Runs of `design` in `case`, in the order of the cells.
    pub fn runs<'a>(&'a self, case: &'a Case, design: &'a str) -> impl Iterator<Item = &'a Run> {
        self.cells.iter().filter(move |run| {
            run.design == design
                && run.machine == case.machine
                && run.workload == case.workload
                && run.axes == case.axes
        })
    }

    /// Those of [`Self::runs`] that finished.
    pub fn finished<'a>(
        &'a self,
        case: &'a Case,
        design: &'a str,
    ) -> impl Iterator<Item = &'a Run> {
        self.runs(case, design).filter(|run| run.outcome == Outcome::Finished)
    }

    /// Those of [`Self::finished`] in which nobody was killed: others did less than was asked for, so
    /// that their times say nothing about who is faster.
    pub fn complete<'a>(
        &'a self,
        case: &'a Case,
        design: &'a str,
    ) -> impl Iterator<Item = &'a Run> {
        self.finished(case, design).filter(|run| run.oom_kills().is_empty())
    }
}

/// The first of each equal item, in order.
fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}
