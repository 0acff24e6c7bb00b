//! Draws by rank.

use base::{Zipf, math, stream};

use super::{Value, Values};

/// Ranks.
const NR_RANKS: u64 = 10_000;
/// Draws.
const NR_DRAWS: u64 = 1_000_000;

/// Share of draws that fall on the first rank, on the first 10, 100 and 1000, and on the second
/// half; for exponents below, at and above 1.
pub(super) fn head() -> Values {
    let mut values = Vec::new();
    for exponent in [0.7, 0.99, 1.0, 1.3] {
        let mut rng = stream(1, "validate.zipf", 0);
        let zipf = Zipf::new(NR_RANKS, exponent);
        let mut counts = vec![0_u64; NR_RANKS as usize];
        (0..NR_DRAWS).for_each(|_| counts[zipf.sample(&mut rng) as usize] += 1);
        let mass = |from: u64, to: u64| -> f64 {
            (from..to).map(|rank| math::pow((rank + 1) as f64, -exponent)).sum()
        };
        let all = mass(0, NR_RANKS);
        for (from, to) in [(0, 1), (0, 10), (0, 100), (0, 1000), (NR_RANKS / 2, NR_RANKS)] {
            let p = mass(from, to) / all;
            // Four standard deviations of a binomial share.
            let tolerance = 4.0 * (p * (1.0 - p) / NR_DRAWS as f64).sqrt();
            let hits: u64 = counts[from as usize..to as usize].iter().sum();
            let name = format!("exponent-{exponent}/ranks-{from}-to-{to}");
            values.push(Value::new(name, p, tolerance, hits as f64 / NR_DRAWS as f64));
        }
    }
    Ok(values)
}
