//! The suite `closed-form`: what a formula or a count by hand says, against what the code does.
//!
//! Each check is a function that gives one or more values with their bands. Bands of random checks
//! are four standard errors wide; those of counts are exact.

mod bandwidth;
mod engine;
mod memory;
mod queues;
mod zipf;

use crate::jobs::{self, Observer};
use crate::row::{Got, Kind, Row, Verdict};
use crate::{Error, Options};

/// Name of the suite.
pub(crate) const NAME: &str = "closed-form";

/// A value against its formula.
struct Value {
    /// What is measured, unique within the check.
    name: String,
    /// By the formula.
    expected: f64,
    /// How far it may be off, in the unit of the value.
    tolerance: f64,
    /// What came out.
    got: f64,
}

impl Value {
    fn new(name: impl Into<String>, expected: f64, tolerance: f64, got: f64) -> Self {
        Self { name: name.into(), expected, tolerance, got }
    }

    /// Within a share of what is expected.
    fn within(name: impl Into<String>, expected: f64, share: f64, got: f64) -> Self {
        Self::new(name, expected, expected.abs() * share, got)
    }

    /// A count that must be met exactly.
    fn exact(name: impl Into<String>, expected: u64, got: u64) -> Self {
        Self::new(name, expected as f64, 0.0, got as f64)
    }
}

/// Values, or why there are none.
type Values = Result<Vec<Value>, String>;

/// A check: its id, its formula, and what does it.
struct Check {
    id: &'static str,
    formula: &'static str,
    run: fn() -> Values,
}

/// All checks in the order in which they are shown.
const CHECKS: &[Check] = &[
    Check {
        id: "queue/mm1-wait",
        formula: "M/M/1: mean wait = rho / (1 - rho) x service",
        run: queues::mm1_wait,
    },
    Check {
        id: "queue/md1-wait",
        formula: "M/D/1: mean wait = rho / (2 (1 - rho)) x service",
        run: queues::md1_wait,
    },
    Check {
        id: "queue/mm2-wait",
        formula: "M/M/2: mean wait = rho^2 / (1 - rho^2) x service",
        run: queues::mm2_wait,
    },
    Check {
        id: "queue/busy",
        formula: "share of time busy = arrival rate x service",
        run: queues::busy,
    },
    Check {
        id: "latency/mix-mean",
        formula: "mean latency = sum over nodes of share x latency",
        run: engine::mix_mean,
    },
    Check {
        id: "latency/chase-time",
        formula: "dependent accesses take the sum of their latencies",
        run: engine::chase_time,
    },
    Check {
        id: "latency/little",
        formula: "Little: rate x mean recorded latency = lines in flight",
        run: engine::little,
    },
    Check {
        id: "time/conservation",
        formula: "the parts of a task's time add up to its lifetime",
        run: engine::conservation,
    },
    Check {
        id: "bandwidth/own-maximum",
        formula: "rate = 1 / (share local / core local + share remote / core remote)",
        run: bandwidth::own_maximum,
    },
    Check {
        id: "bandwidth/local-port",
        formula: "n streams share a peak: peak / n each",
        run: bandwidth::local_port,
    },
    Check {
        id: "bandwidth/weights",
        formula: "a saturated peak is shared by weight: w / (w + 1), 1 / (w + 1)",
        run: bandwidth::weights,
    },
    Check {
        id: "bandwidth/max-min",
        formula: "who is limited elsewhere leaves its share to the others",
        run: bandwidth::max_min,
    },
    Check {
        id: "bandwidth/links",
        formula: "each direction has its peak, both together theirs",
        run: bandwidth::links,
    },
    Check {
        id: "bandwidth/remote-cost",
        formula: "remote bytes take `remote_cost` of a controller: peak / cost",
        run: bandwidth::remote_cost,
    },
    Check {
        id: "bandwidth/never-above-a-peak",
        formula: "load of each resource <= its peak, and one of each stream's is full",
        run: bandwidth::never_above_a_peak,
    },
    Check { id: "zipf/head", formula: "P(rank k) = k^-s / sum over i of i^-s", run: zipf::head },
    Check {
        id: "memory/uniform-coverage",
        formula: "pages touched by m uniform accesses to n = n (1 - (1 - 1/n)^m)",
        run: memory::uniform_coverage,
    },
    Check {
        id: "memory/interleave",
        formula: "n pages over k nodes: n / k each, the rest one more",
        run: memory::interleave,
    },
    Check {
        id: "memory/weighted-interleave",
        formula: "pages of a node = pages x weight / sum of weights, within one round",
        run: memory::weighted_interleave,
    },
    Check {
        id: "memory/interleave-traffic",
        formula: "uniform traffic over k interleaved nodes is 1/k local",
        run: memory::interleave_traffic,
    },
    Check {
        id: "memory/huge-pages",
        formula: "faults = size / 2 MiB with huge pages, size / 4 KiB without",
        run: memory::huge_pages,
    },
    Check {
        id: "watermarks/min-free-kbytes",
        formula: "clamp(isqrt(16 x KiB), 128, 262144)",
        run: memory::min_free_kbytes,
    },
    Check {
        id: "watermarks/printed",
        formula: "min, low, high, promo as /proc/zoneinfo of Linux 6.12 guests printed them",
        run: memory::printed_watermarks,
    },
    Check {
        id: "watermarks/reserve",
        formula: "managed pages of the zones above / lowmem_reserve_ratio",
        run: memory::reserves,
    },
];

/// Runs the checks that the filter asks for.
pub(crate) fn run(options: &Options, observer: &dyn Observer) -> Result<Vec<Row>, Error> {
    let wanted: Vec<&Check> =
        CHECKS.iter().filter(|check| may_match(check.id, &options.filter)).collect();
    let results =
        jobs::map(options.jobs, &wanted, observer, |check| (check.run)(), |check| check.id.into());
    let mut rows = Vec::new();
    for (check, result) in wanted.iter().zip(results) {
        match result.unwrap_or_else(|| Err("cancelled".to_owned())) {
            Ok(values) => rows.extend(values.into_iter().map(|value| judged(check, value))),
            Err(why) => rows.push(empty_row(check).without_value(Verdict::Failed, why)),
        }
    }
    rows.retain(|row| row.id.contains(&options.filter));
    Ok(rows)
}

/// Whether a row of the check may contain the filter: the filter is part of its id, or goes on
/// behind it.
fn may_match(id: &str, filter: &str) -> bool {
    id.contains(filter) || filter.contains(id) || !filter.contains('/')
}

fn judged(check: &Check, value: Value) -> Row {
    let row = Row {
        id: format!("{}/{}", check.id, value.name),
        expected: value.expected,
        low: value.expected - value.tolerance,
        high: value.expected + value.tolerance,
        ..empty_row(check)
    };
    row.judged(Got::exact(value.got))
}

fn empty_row(check: &Check) -> Row {
    let group = check.id.split('/').next().unwrap_or_default();
    Row {
        suite: NAME,
        id: check.id.to_owned(),
        table: format!("Closed forms: {group}"),
        source: check.formula.to_owned(),
        kind: Kind::ClosedForm,
        quantity: group.to_owned(),
        expected: f64::NAN,
        low: f64::NAN,
        high: f64::NAN,
        got: None,
        verdict: Verdict::Failed,
        note: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_closed_form_holds() {
        let rows = run(&Options::default(), &()).unwrap();
        assert!(rows.len() >= CHECKS.len());
        let missed: Vec<&Row> = rows.iter().filter(|row| !row.passed()).collect();
        let shown = crate::text(&missed.into_iter().cloned().collect::<Vec<_>>());
        assert!(rows.iter().all(Row::passed), "{shown}");
    }

    #[test]
    fn a_filter_selects_by_any_part_of_an_id() {
        let options = |filter: &str| Options { filter: filter.to_owned(), ..Options::default() };
        let rows = run(&options("watermarks/reserve"), &()).unwrap();
        assert!(
            !rows.is_empty() && rows.iter().all(|row| row.id.starts_with("watermarks/reserve/"))
        );
        let one = run(&options(&rows[0].id), &()).unwrap();
        assert!(!one.is_empty());
    }
}
