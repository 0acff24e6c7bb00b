//! Named random streams and the few samplers the simulator needs.
//!
//! A stream belongs to a (seed, name, index); no two share values and the order of creation does
//! not matter, so adding a design or a thread never shifts another one's numbers. The samplers are
//! our own, since other crates may change values between releases.

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use crate::math;

/// A stream of random numbers (xoshiro256++).
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

/// The stream of `name` and `index` under `seed`.
///
/// Its 256-bit state is SHA-256(seed as 8 bytes LE, index as 8 bytes LE, name as UTF-8), so it can
/// be reproduced outside with any hash library.
pub fn stream(seed: u64, name: &str, index: u64) -> Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(index.to_le_bytes());
    hash.update(name.as_bytes());
    Rng(Xoshiro256PlusPlus::from_seed(hash.finalize().into()))
}

impl Rng {
    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound` by multiply-shift (bias below 2^-64 x bound). `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "empty range");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Exponential with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * math::ln_1p(-self.unit())
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Zipf-distributed ranks `0..n`, rank k with probability proportional to (k+1)^-s.
///
/// Rejection-inversion after W. Hormann and G. Derflinger, "Rejection-inversion to generate
/// variates from monotone discrete distributions", ACM TOMACS 6(3), 1996. Constant time, no table.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: f64,
    exponent: f64,
    h_low: f64,
    h_high: f64,
    accept: f64,
}

impl Zipf {
    /// A sampler over `n` ranks with exponent `s`; `n` must not be 0, `s` must be positive.
    pub fn new(n: u64, exponent: f64) -> Self {
        assert!(n > 0 && exponent > 0.0, "Zipf needs ranks and a positive exponent");
        let n = n as f64;
        let zipf = Self { n, exponent, h_low: 0.0, h_high: 0.0, accept: 0.0 };
        let h_low = zipf.integral(1.5) - 1.0;
        let h_high = zipf.integral(n + 0.5);
        let accept = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        Self { h_low, h_high, accept, ..zipf }
    }

    /// The next rank.
    pub fn sample(&self, rng: &mut Rng) -> u64 {
        loop {
            let u = self.h_high + rng.unit() * (self.h_low - self.h_high);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.n);
            if k - x <= self.accept || u >= self.integral(k + 0.5) - self.density(k) {
                return k as u64 - 1;
            }
        }
    }

    fn density(&self, x: f64) -> f64 {
        math::exp(-self.exponent * math::ln(x))
    }

    /// Integral of the density from 1 to x, in a form that is exact near exponent 1.
    fn integral(&self, x: f64) -> f64 {
        let log = math::ln(x);
        expm1_over(log * (1.0 - self.exponent)) * log
    }

    fn inverse(&self, y: f64) -> f64 {
        let t = (y * (1.0 - self.exponent)).max(-1.0);
        math::exp(ln1p_over(t) * y)
    }
}

/// (e^x - 1) / x.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { math::exp_m1(x) / x } else { 1.0 + x / 2.0 * (1.0 + x / 3.0) }
}

/// ln(1 + x) / x.
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { math::ln_1p(x) / x } else { 1.0 - x * (0.5 - x * (1.0 / 3.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_by_seed_name_and_index() {
        let firsts: Vec<u64> = [(1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1)]
            .map(|(seed, name, index)| stream(seed, name, index).next_u64())
            .into();
        let mut unique = firsts.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), firsts.len());
        assert_eq!(stream(1, "a", 0).next_u64(), firsts[0]);
    }

    #[test]
    fn exponential_has_its_mean() {
        let mut rng = stream(7, "test.exponential", 0);
        let mean = (0..200_000).map(|_| rng.exponential(3.0)).sum::<f64>() / 200_000.0;
        assert!((mean - 3.0).abs() < 0.03, "mean {mean}");
    }

    #[test]
    fn zipf_follows_the_law() {
        let n = 1000;
        for exponent in [0.7, 0.99, 1.0, 1.3] {
            let zipf = Zipf::new(n, exponent);
            let mut rng = stream(7, "test.zipf", 0);
            let mut seen = vec![0u32; n as usize];
            let draws = 400_000;
            (0..draws).for_each(|_| seen[zipf.sample(&mut rng) as usize] += 1);
            let total: f64 = (1..=n).map(|k| math::pow(k as f64, -exponent)).sum();
            for rank in [1, 2, 10, 100] {
                let expected = draws as f64 * math::pow(f64::from(rank), -exponent) / total;
                let got = f64::from(seen[rank as usize - 1]);
                let slack = 5.0 * expected.sqrt() + 1.0;
                assert!(
                    (got - expected).abs() < slack,
                    "s {exponent} rank {rank}: {got} {expected}"
                );
            }
        }
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        stream(1, "test.shuffle", 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
