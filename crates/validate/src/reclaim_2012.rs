//! The suite `reclaim-2012`: what was published of the designs that met at the memcg/mm minisummit,
//! against the guest under each of them.
//!
//! The machines of the mails are made smaller, all sizes by the same factor; what is compared are
//! ratios and orders. A row's band is that of the mails' own runs where they show one.

mod hierarchy;
mod mapped;
mod rig;

use crate::Options;
use crate::jobs::{self, Observer};
use crate::row::{Got, Kind, Row, Verdict};

/// Name of the suite.
pub(crate) const NAME: &str = "reclaim-2012";

/// What is compared, unique within its check.
struct Value {
    name: String,
    kind: Kind,
    quantity: &'static str,
    expected: f64,
    band: (f64, f64),
    got: f64,
}

/// A check: its id, its source, what does it.
struct Check {
    id: &'static str,
    table: &'static str,
    source: &'static str,
    run: fn() -> Vec<Value>,
}

const CHECKS: &[Check] = &[
    Check {
        id: "han",
        table: "Soft limits as working sets",
        source: "Y. Han, V2, 2012-04-11: 32 GB, 20 groups of 512 MB read 1 GB each, and a hog",
        run: hierarchy::han,
    },
    Check {
        id: "kbuild",
        table: "Two builds, both over their soft limits",
        source: "M. Hocko, v5, 2013-06-18: 1 GB, two groups, make -j4 each",
        run: hierarchy::kbuild,
    },
    Check {
        id: "stream",
        table: "A stream beside a working set",
        source: "M. Hocko, v5, 2013-06-18: 8 GB, A streams 4 x RAM, B uses all but 1 GB",
        run: hierarchy::stream,
    },
    Check {
        id: "nested",
        table: "A child within its limit below a parent over its own",
        source: "Y. Han's example on linux-mm, April 2012, and what each design answers to it",
        run: hierarchy::nested,
    },
    Check {
        id: "mapped",
        table: "Mapped pages",
        source: "Linux 6.12's counters for the same accesses (configs/validate/kernel); 64574746",
        run: mapped::rules,
    },
];

/// Causes of misses that are understood.
const KNOWN: &[(&str, &str)] = &[(
    "stream/two-pass",
    "both designs leave the working set alone here, and the stream waits for its disk alike",
)];

/// Runs the checks whose rows may contain the filter.
pub(crate) fn run(options: &Options, observer: &dyn Observer) -> Vec<Row> {
    let may_match = |check: &&Check| {
        let (id, filter) = (check.id, &options.filter);
        id.contains(filter.as_str()) || filter.starts_with(id) || !filter.contains('/')
    };
    let wanted: Vec<&Check> = CHECKS.iter().filter(may_match).collect();
    let found =
        jobs::map(options.jobs, &wanted, observer, |check| (check.run)(), |check| check.id.into());
    let mut rows = Vec::new();
    for (check, values) in wanted.iter().zip(found) {
        rows.extend(values.into_iter().flatten().map(|value| row(check, value)));
    }
    rows.retain(|row| row.id.contains(&options.filter));
    rows
}

fn row(check: &Check, value: Value) -> Row {
    let row = Row {
        suite: NAME,
        id: format!("{}/{}", check.id, value.name),
        table: check.table.to_owned(),
        source: check.source.to_owned(),
        kind: value.kind,
        quantity: value.quantity.to_owned(),
        expected: value.expected,
        low: value.band.0,
        high: value.band.1,
        got: None,
        verdict: Verdict::Failed,
        note: String::new(),
    };
    let mut row = row.judged(Got::exact(value.got));
    if !row.passed() {
        let known = KNOWN.iter().find(|(id, _)| *id == row.id);
        row.note = known.map(|(_, cause)| (*cause).to_owned()).unwrap_or_default();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_apart_and_have_a_value_each() {
        let rows = run(&Options::default(), &());
        let names: std::collections::BTreeSet<&str> =
            rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        for row in &rows {
            assert!(row.got.is_some_and(|got| got.centre.is_finite()), "{row:?}");
        }
    }
}
