//! What a run leaves behind: counters, series, histograms, manifest. Plain data, stable JSON;
//! knows no engine.
//!
//! The engine fills a [`Run`]; a [`Comparison`] holds all runs of an experiment. [`summary()`]
//! and [`verdicts`] say what came out, [`to_json`] is its one JSON form, [`Comparison::save`] and
//! [`Comparison::load`] its directory.

mod comparison;
mod error;
mod estimate;
mod history;
mod hlog;
mod json;
mod latency;
mod oom;
mod run;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
mod store;
mod summary;
mod tables;
mod verdict;

pub use comparison::{Case, Comparison, Drawing, FailedCell, InputDigest, Wall};
pub use error::Error;
pub use estimate::{CONFIDENCE, Estimate, paired_p_value};
pub use history::{
    DecisionCounts, HintFaults, History, MemoryHistory, MoveCount, MoveReason, NodeMove, PageFlow,
    Queueing, Scans, ThreadHistory,
};
pub use hlog::to_hlog;
pub use json::{Json, to_json};
pub use latency::{
    DensityBar, PercentilePoint, Percentiles, density, empty_histogram, histogram_digest, merged,
    percentile_points,
};
pub use oom::{OomKill, OomTask};
pub use run::{
    Latency, MemcgUse, Outcome, PolicyMisses, ProcessUse, ReclaimUse, ResourceUse, Run, Series,
    Task, TaskUse, TimeSplit, YardstickUse,
};
pub use store::{MANIFEST, MadeDirs, Staged, write_file};
pub use summary::{SummaryRow, summary, time_split_s};
pub use verdict::{Contest, Verdict, verdicts};
