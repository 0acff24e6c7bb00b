//! Miss counts of the textbook policies, held against libCacheSim's.

use reclaim::libcachesim::{Check, Extent, libcachesim_suite};

use crate::row::{Got, Kind, Row, Verdict};

/// The suite's name.
pub(crate) const NAME: &str = "libcachesim";

/// Replays the streams whose id contains the filter and compares to the request.
pub(crate) fn run(options: &crate::Options) -> Vec<Row> {
    let extent = if options.full { Extent::Full } else { Extent::Short };
    let checks = libcachesim_suite(extent).into_iter();
    checks.filter(|check| check.id.contains(&options.filter)).map(|check| row(&check)).collect()
}

fn row(check: &Check) -> Row {
    let expected = check.expected as f64;
    let row = Row {
        suite: NAME,
        id: check.id.clone(),
        table: format!("libCacheSim, {}", check.stream),
        source: "libCacheSim 0.3.5 on the same stream".to_owned(),
        kind: Kind::OtherProgram,
        quantity: "misses".to_owned(),
        expected,
        low: expected,
        high: expected,
        got: None,
        verdict: Verdict::Failed,
        note: String::new(),
    };
    row.judged(Got::exact(check.got as f64))
}
