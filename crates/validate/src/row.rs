//! What a suite prints: one row for each thing that was checked.

use config::config_enum;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// Where a row's expectation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A formula.
    ClosedForm,
    /// A published value that a number of the machine's file was set from.
    Fitted,
    /// A published value that nothing was set from.
    Predicted,
    /// A published order of designs.
    Ordering,
    /// What another program or the real kernel counted for the same input.
    OtherProgram,
}

impl Kind {
    /// As written in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClosedForm => "closed-form",
            Self::Fitted => "fitted",
            Self::Predicted => "predicted",
            Self::Ordering => "ordering",
            Self::OtherProgram => "other-program",
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Inside its band.
    Passed,
    /// Outside its band.
    Missed,
    /// It could not be run; the note says why.
    Failed,
    /// The program lacks what the row needs; the note says what.
    NotExpressible,
    /// Listed and not judged; the note says why.
    Excluded,
}

impl Verdict {
    /// As tables show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Missed => "MISS",
            Self::Failed => "FAILED",
            Self::NotExpressible => "not expressible yet",
            Self::Excluded => "excluded",
        }
    }
}

config_enum! {
    /// Which value stands for several seeds.
    pub enum Centre {
        /// The middle one: a published value is one run, or nothing is said.
        Median = "median",
        /// Their mean: a published value is the average of some runs, which differ widely.
        Mean = "mean",
    }
}

/// The values of a row over its seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Got {
    /// What the row is judged by: their median, or their mean where the table says so.
    pub centre: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// How many seeds.
    pub nr_seeds: u32,
}

impl Got {
    /// A value that no seed changes.
    pub const fn exact(value: f64) -> Self {
        Self { centre: value, least: value, most: value, nr_seeds: 1 }
    }

    /// Centre and range of values, one for each seed; `None` without any.
    pub fn of(values: &[f64], centre: Centre) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let centre = match centre {
            Centre::Median => (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0,
            Centre::Mean => sorted.iter().sum::<f64>() / sorted.len() as f64,
        };
        let nr_seeds = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        Some(Self { centre, least, most, nr_seeds })
    }

    /// The values with something taken off.
    pub fn less(self, by: f64) -> Self {
        Self { centre: self.centre - by, least: self.least - by, most: self.most - by, ..self }
    }

    /// The values over a number, `by` its centre.
    pub fn over(self, by: f64) -> Self {
        Self { centre: self.centre / by, least: self.least / by, most: self.most / by, ..self }
    }
}

/// One checked thing.
///
/// Its JSON has at least `suite`, `id`, `source`, `expected`, `low`, `high`, `got` and `pass`;
/// numbers that there are not (no value was got; a band without an end) are `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The suite.
    pub suite: &'static str,
    /// Unique within the suite; groups are separated by slashes.
    pub id: String,
    /// Title of the table it belongs to.
    pub table: String,
    /// Where the expectation was published, or its formula.
    pub source: String,
    /// What kind of expectation.
    pub kind: Kind,
    /// What is measured, with its unit.
    pub quantity: String,
    /// The published or computed value.
    pub expected: f64,
    /// Least value that passes.
    pub low: f64,
    /// Largest value that passes.
    pub high: f64,
    /// What came out; `None` where nothing could be run.
    pub got: Option<Got>,
    /// What became of it.
    pub verdict: Verdict,
    /// Known cause of a miss, or why there is no value.
    pub note: String,
}

impl Row {
    /// Whether the value is in its band.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// Whether the row makes the command fail: a value outside its band, or a run that failed.
    pub fn is_failure(&self) -> bool {
        matches!(self.verdict, Verdict::Missed | Verdict::Failed)
    }

    /// Takes a value and judges it.
    pub fn judged(mut self, got: Got) -> Self {
        let inside = (self.low..=self.high).contains(&got.centre);
        self.verdict = if inside { Verdict::Passed } else { Verdict::Missed };
        self.got = Some(got);
        self
    }

    /// Has no value, for this reason.
    pub fn without_value(mut self, verdict: Verdict, why: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.note = why.into();
        self
    }

    /// Relative distance of the value from what was expected, in percent.
    pub fn off_pct(&self) -> Option<f64> {
        let got = self.got?;
        (self.expected != 0.0).then(|| (got.centre / self.expected - 1.0) * 100.0)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("suite", self.suite)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("table", &self.table)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("quantity", &self.quantity)?;
        map.serialize_entry("expected", &finite(self.expected))?;
        map.serialize_entry("low", &finite(self.low))?;
        map.serialize_entry("high", &finite(self.high))?;
        map.serialize_entry("got", &self.got.and_then(|got| finite(got.centre)))?;
        map.serialize_entry("got_least", &self.got.and_then(|got| finite(got.least)))?;
        map.serialize_entry("got_most", &self.got.and_then(|got| finite(got.most)))?;
        map.serialize_entry("seeds", &self.got.map_or(0, |got| got.nr_seeds))?;
        map.serialize_entry("pass", &self.passed())?;
        map.serialize_entry("verdict", &self.verdict)?;
        map.serialize_entry("note", &self.note)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stands_for_several_seeds() {
        let odd = Got::of(&[3.0, 1.0, 2.0], Centre::Median).unwrap();
        assert_eq!((odd.centre, odd.least, odd.most, odd.nr_seeds), (2.0, 1.0, 3.0, 3));
        assert_eq!(Got::of(&[4.0, 1.0], Centre::Median).unwrap().centre, 2.5);
        assert_eq!(Got::of(&[4.0, 1.0, 1.0], Centre::Mean).unwrap().centre, 2.0);
        assert_eq!(Got::of(&[], Centre::Mean), None);
    }
}
