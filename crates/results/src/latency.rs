//! What histograms are read for: percentiles, the line of a percentile plot, a density.

use base::math;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Latency, Run};

/// Digits kept by the histograms of a run.
const DIGITS: u8 = 3;

/// Percentiles of access latency, in ns. All zero where nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Accesses recorded.
    pub count: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Half of the accesses took at most this.
    pub p50_ns: u64,
    /// 90 %.
    pub p90_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p99_9_ns: u64,
    /// 99.99 %.
    pub p99_99_ns: u64,
    /// The slowest.
    pub max_ns: u64,
}

impl Percentiles {
    /// Reads them off a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            count: histogram.len(),
            mean_ns: histogram.mean(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p99_9_ns: histogram.value_at_quantile(0.999),
            p99_99_ns: histogram.value_at_quantile(0.9999),
            max_ns: histogram.max(),
        }
    }
}

/// An empty histogram of the kind that runs are recorded with.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("the digits are within 0..=5")
}

/// All classes of all `runs` in one histogram, ns. Every access is in exactly one class, so this
/// is the distribution of access latency.
pub fn merged<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Histogram<u64> {
    let mut sum = empty_histogram();
    for Latency { histogram, .. } in runs.into_iter().flat_map(|run| &run.latency) {
        // The sum grows as needed, so that only a count beyond u64 could fail, which saturates.
        sum.add(histogram).expect("a resizing histogram takes every value");
    }
    sum
}

/// A point of a percentile plot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PercentilePoint {
    /// Share of accesses that took at most `ns`, 0 to 1.
    pub quantile: f64,
    /// Latency.
    pub ns: u64,
    /// Accesses up to here.
    pub count: u64,
}

/// The line of a percentile plot: `per_halving` points each time the distance to 100 % halves
/// (the steps of HdrHistogram's own percentile files). It ends with the slowest access, at
/// quantile 1 - 1/n: beyond that nothing was measured.
pub fn percentile_points(histogram: &Histogram<u64>, per_halving: u32) -> Vec<PercentilePoint> {
    let end = 1.0 - 1.0 / histogram.len().max(1) as f64;
    let mut points = Vec::new();
    for step in histogram.iter_quantiles(per_halving.max(1)) {
        points.push(PercentilePoint {
            quantile: step.quantile_iterated_to().min(end),
            ns: step.value_iterated_to(),
            count: points.last().map_or(0, |point: &PercentilePoint| point.count)
                + step.count_since_last_iteration(),
        });
    }
    points
}

/// A bar of a density over the logarithm of latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DensityBar {
    /// Geometric middle of the bar.
    pub ns: f64,
    /// Share of all accesses in it, 0 to 1.
    pub share: f64,
}

/// Shares of the accesses in bars of equal width on a logarithmic axis, `per_decade` to a factor
/// of ten, from the first bar with accesses to the last; empty ones between are kept. The
/// histogram's own buckets are narrower than 0.2 %, so each falls into the bar of its middle.
pub fn density(histogram: &Histogram<u64>, per_decade: u32) -> Vec<DensityBar> {
    let per_decade = f64::from(per_decade.max(1));
    let mut bars: Vec<DensityBar> = Vec::new();
    let mut first = 0.0;
    for step in histogram.iter_recorded() {
        let middle = histogram.median_equivalent(step.value_iterated_to()).max(1);
        let bar = (math::log10(middle as f64) * per_decade).floor();
        if bars.is_empty() {
            first = bar;
        }
        while first + bars.len() as f64 <= bar {
            let ns = math::pow(10.0, (first + bars.len() as f64 + 0.5) / per_decade);
            bars.push(DensityBar { ns, share: 0.0 });
        }
        if let Some(last) = bars.last_mut() {
            last.share += step.count_since_last_iteration() as f64 / histogram.len() as f64;
        }
    }
    bars
}

/// SHA-256 in hex over the recorded (value, count) pairs, each as two little-endian u64: the same
/// for equal contents however they are stored.
pub fn histogram_digest(histogram: &Histogram<u64>) -> String {
    let mut hasher = Sha256::new();
    for step in histogram.iter_recorded() {
        hasher.update(step.value_iterated_to().to_le_bytes());
        hasher.update(step.count_at_value().to_le_bytes());
    }
    hex(&hasher.finalize())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand() -> Histogram<u64> {
        let mut histogram = empty_histogram();
        histogram.record_n(100, 900).unwrap();
        histogram.record_n(1000, 99).unwrap();
        histogram.record_n(100_000, 1).unwrap();
        histogram
    }

    #[test]
    fn percentiles_are_those_of_the_records() {
        let got = Percentiles::of(&thousand());
        assert_eq!((got.count, got.p50_ns, got.p90_ns, got.p99_ns), (1000, 100, 100, 1000));
        assert_eq!((got.p99_9_ns, got.max_ns), (1000, 100_031));
        assert_eq!(Percentiles::of(&empty_histogram()), Percentiles::default());
    }

    #[test]
    fn percentile_line_climbs_and_stops_at_the_last_measured_access() {
        let points = percentile_points(&thousand(), 5);
        assert!(
            points
                .windows(2)
                .all(|pair| pair[0].quantile <= pair[1].quantile && pair[0].ns <= pair[1].ns)
        );
        let last = points.last().unwrap();
        assert_eq!((last.count, last.ns), (1000, 100_031));
        assert!((last.quantile - 0.999).abs() < 1e-12);
        assert!(percentile_points(&empty_histogram(), 5).is_empty());
    }

    #[test]
    fn density_holds_every_access_once_and_its_gaps() {
        let bars = density(&thousand(), 10);
        assert!((bars.iter().map(|bar| bar.share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(bars.len(), 31, "from 10^2.0 to 10^5.0 in tenths");
        assert_eq!(bars.iter().filter(|bar| bar.share > 0.0).count(), 3);
    }

    #[test]
    fn digest_sees_every_count() {
        let mut other = thousand();
        assert_eq!(histogram_digest(&other), histogram_digest(&thousand()));
        other.record(100).unwrap();
        assert_ne!(histogram_digest(&other), histogram_digest(&thousand()));
    }
}
