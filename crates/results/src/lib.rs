//! What a run leaves behind: counters, series, histograms, manifest. Plain data, stable JSON;
//! knows no engine.

mod run;

pub use run::{Latency, Outcome, ResourceUse, Run, Series, Task, TimeSplit};
