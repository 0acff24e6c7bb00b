//! Latency of a memory that is loaded but not saturated, and how its waiting part is distributed.
//!
//! Above saturation there is no curve: with a fixed number of lines in flight the rate decides,
//! see [`closed_loop_ns`].

use base::{CACHE_LINE_BYTES, math};

use crate::capacity::Piecewise;

/// Latency of one access against the load, in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub enum LatencyCurve {
    /// Measured points (load, ns); the load is in the unit that [`LatencyCurve::at`] is asked in,
    /// a utilisation or bytes per second. Straight between them, flat outside.
    Points(Piecewise),
    /// `idle + linear u + queueing u / (1 - u)`, at most [`LatencyCurve::CLIP`] times `idle`, with
    /// `u` the utilisation.
    Formula {
        /// Latency without load, in ns.
        idle_ns: f64,
        /// Growth with the utilisation, in ns; a quarter to a third of `idle_ns` on measured
        /// machines.
        linear_ns: f64,
        /// Growth with the M/M/1 queue, in ns; a twentieth to a tenth of `idle_ns`.
        queueing_ns: f64,
    },
}

impl LatencyCurve {
    /// Measured two-socket machines saturate at about this multiple of their idle latency.
    pub const CLIP: f64 = 3.4;

    /// The latency in ns at the given load.
    pub fn at(&self, load: f64) -> f64 {
        match *self {
            Self::Points(ref points) => points.at(load),
            Self::Formula { idle_ns, linear_ns, queueing_ns } => {
                let clip = Self::CLIP * idle_ns;
                let load = load.max(0.0);
                if load >= 1.0 {
                    return clip;
                }
                (idle_ns + linear_ns * load + queueing_ns * load / (1.0 - load)).min(clip)
            }
        }
    }

    /// The latency in ns without load.
    pub fn idle_ns(&self) -> f64 {
        self.at(0.0)
    }
}

/// Latency in ns of a stream that keeps `lines_in_flight` cache lines outstanding and gets
/// `bytes_per_s` (Little's law); infinite when it gets nothing.
pub fn closed_loop_ns(lines_in_flight: f64, bytes_per_s: f64) -> f64 {
    lines_in_flight * CACHE_LINE_BYTES as f64 / bytes_per_s * 1e9
}

/// Probability beyond which the tail of a waiting time is one point.
const TAIL: f64 = 1.0 / 1024.0;

/// Waiting times are not spread wider than those of a server this much utilised.
const MIN_UTILISATION: f64 = 0.01;

/// The shape of the waiting time of an M/M/1 queue, cut into points.
///
/// A request waits with probability `u`, the utilisation, and then exponentially long
/// (L. Kleinrock, "Queueing Systems", vol. 1, 1975, section 5.9). The exponential part is cut at
/// survival probabilities that fall geometrically to 1/1024, so that points are evenly spaced in
/// time and a 99.9th percentile means something; each piece is put at its own mean, so the mean
/// of the whole is exact.
#[derive(Clone, Debug)]
pub struct WaitingShape {
    /// (probability, mean) of each piece of the exponential distribution of mean 1.
    pieces: Vec<(f64, f64)>,
}

impl WaitingShape {
    /// A shape of `nr_points` points at most: not waiting, and `nr_points - 1` pieces of waiting.
    /// Panics below 2.
    pub fn new(nr_points: usize) -> Self {
        assert!(nr_points >= 2, "a waiting time needs a point for none and one for some");
        let nr_cuts = nr_points - 2;
        let survival = |cut: usize| match cut {
            0 => 1.0,
            _ if cut > nr_cuts => 0.0,
            _ => math::pow(TAIL, cut as f64 / nr_cuts as f64),
        };
        // Integral of the quantile function -ln s from 0 to s.
        let mean_below = |s: f64| if s > 0.0 { s - s * math::ln(s) } else { 0.0 };
        let piece = |cut: usize| {
            let (from, to) = (survival(cut), survival(cut + 1));
            (from - to, (mean_below(from) - mean_below(to)) / (from - to))
        };
        Self { pieces: (0..=nr_cuts).map(piece).collect() }
    }

    /// Points (probability, ns) of the waiting time whose mean is `mean_wait_ns` on a server of
    /// the given utilisation, shortest first. The probabilities sum to 1 and the products to the
    /// mean, but for rounding. Utilisations are taken between 0.01 and 1; without waiting there is
    /// one point.
    pub fn points(
        &self,
        mean_wait_ns: f64,
        utilisation: f64,
    ) -> impl Iterator<Item = (f64, f64)> + '_ {
        let waits = mean_wait_ns > 0.0;
        let waiting = if waits { utilisation.clamp(MIN_UTILISATION, 1.0) } else { 0.0 };
        let none = (waiting < 1.0).then_some((1.0 - waiting, 0.0));
        let pieces = if waits { self.pieces.as_slice() } else { &[] };
        let some =
            pieces.iter().map(move |&(mass, mean)| (mass * waiting, mean * mean_wait_ns / waiting));
        none.into_iter().chain(some)
    }
}

/// [`WaitingShape::points`] for once; keep a shape where it is asked often.
pub fn waiting_points(mean_wait_ns: f64, utilisation: f64, nr_points: usize) -> Vec<(f64, f64)> {
    WaitingShape::new(nr_points).points(mean_wait_ns, utilisation).collect()
}
