//! Piecewise linear functions through measured points, and capacities that depend on how many
//! streams share them.

use thiserror::Error;

/// Why a list of points is not a function.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum PiecewiseError {
    /// There is no point at all.
    #[error("a curve needs at least one point")]
    Empty,
    /// A coordinate is negative, infinite or not a number.
    #[error("point {index} ({x}, {y}) must have finite coordinates that are not negative")]
    NotFinite {
        /// Position in the list, from 0.
        index: usize,
        /// First coordinate.
        x: f64,
        /// Second coordinate.
        y: f64,
    },
    /// The first coordinates do not increase.
    #[error("point {index} at {x} must lie to the right of the point before it")]
    NotIncreasing {
        /// Position of the later point in the list, from 0.
        index: usize,
        /// Its first coordinate.
        x: f64,
    },
}

/// A function through points, straight between them and flat outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Piecewise(Vec<(f64, f64)>);

impl Piecewise {
    /// The function through `points`, whose first coordinates must increase strictly.
    pub fn new(points: Vec<(f64, f64)>) -> Result<Self, PiecewiseError> {
        if points.is_empty() {
            return Err(PiecewiseError::Empty);
        }
        for (index, &(x, y)) in points.iter().enumerate() {
            if !(x.is_finite() && y.is_finite() && x >= 0.0 && y >= 0.0) {
                return Err(PiecewiseError::NotFinite { index, x, y });
            }
            if index > 0 && x <= points[index - 1].0 {
                return Err(PiecewiseError::NotIncreasing { index, x });
            }
        }
        Ok(Self(points))
    }

    /// The value at `x`.
    pub fn at(&self, x: f64) -> f64 {
        let right = self.0.partition_point(|point| point.0 <= x);
        if right == 0 {
            return self.0[0].1;
        }
        let (x0, y0) = self.0[right - 1];
        match self.0.get(right) {
            Some(&(x1, y1)) => y0 + (y1 - y0) * ((x - x0) / (x1 - x0)),
            None => y0,
        }
    }

    /// The points it was made of.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.0
    }
}

/// What a resource can carry, in bytes per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// The same whoever uses it.
    Fixed(f64),
    /// A function of the expected number of streams (the sum of what each stream's mix sends
    /// there), never of their rates, so that solving needs one pass.
    ByStreams(Piecewise),
}

impl Capacity {
    /// The capacity when `nr_streams` streams are expected.
    pub fn at(&self, nr_streams: f64) -> f64 {
        match self {
            Self::Fixed(bytes_per_s) => *bytes_per_s,
            Self::ByStreams(points) => points.at(nr_streams),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_port_between_and_outside_its_points() {
        // 6 streams reach 11.42, 12 reach 10.9; 9 lie half-way.
        let port = Capacity::ByStreams(Piecewise::new(vec![(6.0, 11.42), (12.0, 10.9)]).unwrap());
        let close = |nr_streams, expected: f64| (port.at(nr_streams) - expected).abs() < 1e-12;
        assert!(close(1.0, 11.42) && close(6.0, 11.42) && close(9.0, 11.16));
        assert!(close(12.0, 10.9) && close(100.0, 10.9));
        assert_eq!(Capacity::Fixed(4.7).at(48.0), 4.7);
    }

    #[test]
    fn points_that_are_no_function_are_refused() {
        assert_eq!(Piecewise::new(vec![]), Err(PiecewiseError::Empty));
        assert_eq!(
            Piecewise::new(vec![(1.0, 2.0), (1.0, 3.0)]),
            Err(PiecewiseError::NotIncreasing { index: 1, x: 1.0 })
        );
        let bad = Piecewise::new(vec![(0.0, 1.0), (f64::NAN, 3.0)]);
        assert!(matches!(bad, Err(PiecewiseError::NotFinite { index: 1, .. })), "{bad:?}");
        assert!(Piecewise::new(vec![(0.0, -1.0)]).is_err());
    }
}
