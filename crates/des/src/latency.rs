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

#[cfg(test)]
mod tests {
    use base::{Nanos, stream};
    use proptest::prelude::*;

    use super::*;
    use crate::server::Server;

    /// Intel MLC 3.5, two-socket Skylake-class machine, all cores reading, as printed in an FD.io
    /// testbed document: (MB/s, ns) below saturation; the peak is 216.7 GB/s.
    const MEASURED_A: [(f64, f64); 13] = [
        (2546.0, 80.95),
        (4685.0, 81.40),
        (7787.0, 82.08),
        (10715.0, 89.03),
        (14668.0, 90.64),
        (21177.0, 89.61),
        (27395.0, 90.17),
        (35269.0, 90.90),
        (49745.0, 92.13),
        (68720.0, 93.99),
        (85020.0, 95.47),
        (111604.0, 101.34),
        (160264.0, 121.90),
    ];

    #[test]
    fn the_formula_follows_a_measured_machine() {
        let curve = LatencyCurve::Formula { idle_ns: 81.0, linear_ns: 21.5, queueing_ns: 8.7 };
        for (mb_per_s, ns) in MEASURED_A {
            let got = curve.at(mb_per_s / 216_700.0);
            assert!((got - ns).abs() < 8.0, "{mb_per_s} MB/s: {got} ns, measured {ns}");
        }
        assert_eq!(curve.idle_ns(), 81.0);
    }

    #[test]
    fn the_formula_is_clipped_where_machines_saturate() {
        let curve = LatencyCurve::Formula { idle_ns: 100.0, linear_ns: 30.0, queueing_ns: 5.0 };
        // By hand at one half: 100 + 15 + 5.
        assert!((curve.at(0.5) - 120.0).abs() < 1e-12);
        for load in [0.9999, 1.0, 7.0] {
            assert_eq!(curve.at(load), 340.0);
        }
    }

    #[test]
    fn points_are_met_and_joined() {
        let curve = LatencyCurve::Points(Piecewise::new(MEASURED_A.to_vec()).unwrap());
        assert_eq!(curve.at(68720.0), 93.99);
        assert!((curve.at((68720.0 + 85020.0) / 2.0) - 94.73).abs() < 1e-9);
        assert_eq!(curve.idle_ns(), 80.95);
    }

    #[test]
    fn lines_in_flight_over_rate() {
        // 950 lines of 64 B at 215.8 GB/s: 60800 B / 215.8 B/ns = 281.7 ns, as measured there.
        assert!((closed_loop_ns(950.0, 215.8e9) - 281.74).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn points_have_the_mean_and_all_the_probability(
            mean in 0.0f64..1e6, utilisation in 0.0f64..1.2, nr_points in 2usize..50,
        ) {
            let points = waiting_points(mean, utilisation, nr_points);
            prop_assert!(points.len() <= nr_points);
            let mass: f64 = points.iter().map(|point| point.0).sum();
            let product: f64 = points.iter().map(|point| point.0 * point.1).sum();
            prop_assert!((mass - 1.0).abs() < 1e-12 && (product - mean).abs() <= 1e-12 * mean);
            prop_assert!(points.is_sorted_by(|a, b| a.1 < b.1) && points.iter().all(|point| point.0 > 0.0));
        }
    }

    #[test]
    fn points_lie_on_the_quantiles_of_a_simulated_queue() {
        let (service_ns, utilisation) = (10_000.0, 0.6);
        let mut rng = stream(3, "test.queue", 0);
        let mut server = Server::new(1);
        let mut at = Nanos::ZERO;
        let mut waits: Vec<u64> = (0..1_000_000)
            .map(|_| {
                at += Nanos::from_f64(rng.exponential(service_ns / utilisation));
                server.serve(at, Nanos::from_f64(rng.exponential(service_ns))).wait.0
            })
            .collect();
        waits.sort_unstable();
        let mean = utilisation / (1.0 - utilisation) * service_ns;
        let mut below = 0.0;
        for (mass, ns) in waiting_points(mean, utilisation, 42) {
            let middle = below + mass / 2.0;
            below += mass;
            if middle < 0.999 {
                let simulated = waits[(middle * waits.len() as f64) as usize] as f64;
                let slack = 0.05 * ns + 0.01 * service_ns;
                assert!((simulated - ns).abs() < slack, "quantile {middle}: {ns}, {simulated}");
            }
        }
    }

    #[test]
    fn without_waiting_there_is_one_point() {
        assert_eq!(waiting_points(0.0, 0.5, 12), [(1.0, 0.0)]);
    }
}
