//! Means, intervals and tests over seeds.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Level of all intervals and tests.
pub const CONFIDENCE: f64 = 0.95;

/// A quantity over the seeds of one design.
///
/// `low` and `high` bound the mean by Student's t interval at 95 %; with one seed both equal the
/// mean, and with none all fields are NaN (`null` in JSON).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Arithmetic mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Median.
    pub median: f64,
    /// First quartile.
    pub q1: f64,
    /// Third quartile.
    pub q3: f64,
}

impl Estimate {
    /// Estimates from one value per seed.
    pub fn of(values: &[f64]) -> Self {
        let (mean, half) = mean_and_half_width(values);
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            mean,
            low: mean - half,
            high: mean + half,
            median: quantile(&sorted, 0.5),
            q1: quantile(&sorted, 0.25),
            q3: quantile(&sorted, 0.75),
        }
    }

    /// Half the width of the interval.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// Mean and half the width of its t interval.
fn mean_and_half_width(values: &[f64]) -> (f64, f64) {
    let mean = mean(values);
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let error = standard_error(values, mean);
    // Equal values give no width, whatever the rounding of their mean.
    (mean, if error == 0.0 { 0.0 } else { t_quantile(values.len() - 1) * error })
}

fn mean(values: &[f64]) -> f64 {
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => *first,
        _ => values.iter().sum::<f64>() / values.len() as f64,
    }
}

/// Standard error of the mean.
fn standard_error(values: &[f64], mean: f64) -> f64 {
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

/// Linear interpolation between order statistics (type 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = q * last as f64;
    let below = place.floor();
    let (low, high) = (sorted[below as usize], sorted[(below as usize + 1).min(last)]);
    low + (place - below) * (high - low)
}

/// Two-sided 95 % quantile of Student's t.
///
/// Rounded to 9 digits: statrs computes with the standard library's logarithm, whose last bits
/// differ between platforms, and results must not.
fn t_quantile(degrees: usize) -> f64 {
    let t = StudentsT::new(0.0, 1.0, degrees as f64)
        .map_or(f64::NAN, |t| t.inverse_cdf(0.5 + CONFIDENCE / 2.0));
    round(t, 1e9)
}

/// Two-sided p-value of a paired t test: the chance of differences as far from zero as these
/// where there is no difference. NaN for fewer than two pairs. Rounded to 6 digits, as
/// the t quantiles are.
pub fn paired_p_value(differences: &[f64]) -> f64 {
    if differences.len() < 2 {
        return f64::NAN;
    }
    let mean = mean(differences);
    let error = standard_error(differences, mean);
    if error == 0.0 {
        return if mean == 0.0 { 1.0 } else { 0.0 };
    }
    let tail = StudentsT::new(0.0, 1.0, (differences.len() - 1) as f64)
        .map_or(f64::NAN, |t| t.cdf(-(mean / error).abs()));
    round(2.0 * tail, 1e6)
}

fn round(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
    }

    #[test]
    fn interval_is_the_textbook_one() {
        // Mean 3, s = sqrt(2.5), t(4, 97.5 %) = 2.776445 from printed tables.
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        close(estimate.mean, 3.0, 1e-12);
        close(estimate.half_width(), 2.776445 * (2.5f64 / 5.0).sqrt(), 1e-5);
        assert_eq!((estimate.median, estimate.q1, estimate.q3), (3.0, 2.0, 4.0));
    }

    #[test]
    fn t_quantiles_are_those_of_printed_tables() {
        for (degrees, want) in [(1, 12.7062), (2, 4.3027), (9, 2.2622), (29, 2.0452)] {
            close(t_quantile(degrees), want, 1e-4);
        }
    }

    #[test]
    fn one_seed_has_no_width_and_none_no_value() {
        let one = Estimate::of(&[0.1]);
        assert_eq!((one.low, one.high), (0.1, 0.1));
        assert!(Estimate::of(&[]).mean.is_nan());
    }

    #[test]
    fn equal_seeds_have_no_width() {
        let same = Estimate::of(&[0.1; 7]);
        assert_eq!((same.mean, same.low, same.high), (0.1, 0.1, 0.1));
    }

    #[test]
    fn paired_test_knows_a_difference_from_none() {
        assert_eq!(paired_p_value(&[0.0; 4]), 1.0);
        assert_eq!(paired_p_value(&[0.5; 4]), 0.0);
        assert!(paired_p_value(&[1.0]).is_nan());
        // t = 3 / sqrt(2.5 / 5) = 4.2426 with 4 degrees: p = 0.01324 from printed tables.
        close(paired_p_value(&[1.0, 2.0, 3.0, 4.0, 5.0]), 0.013236, 2e-5);
        assert!(paired_p_value(&[-1.0, 1.0, -2.0, 2.1]) > 0.9);
    }

    proptest::proptest! {
        #[test]
        fn quartiles_lie_in_order_within_the_values(values in proptest::collection::vec(-1e6f64..1e6, 1..40)) {
            let estimate = Estimate::of(&values);
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(low <= estimate.q1 && estimate.q1 <= estimate.median);
            assert!(estimate.median <= estimate.q3 && estimate.q3 <= high);
            assert!(estimate.low <= estimate.mean && estimate.mean <= estimate.high);
        }
    }
}
