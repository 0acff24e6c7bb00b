//! The exact page sequences of the cases' touch steps.

use super::case::{Pattern, Touch};

/// xoshiro256** seeded by four rounds of splitmix64, as the recorded program has it.
struct Rng([u64; 4]);

impl Rng {
    fn new(seed: u64) -> Self {
        let mut x = seed;
        let mut word = || {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self([word(), word(), word(), word()])
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let value = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        value
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// The endless sequence of pages of a touch step.
pub(super) struct Pages {
    first: u64,
    span: u64,
    hot: u64,
    pattern: Pattern,
    rng: Rng,
    count: u64,
    cdf: Vec<f64>,
    mul: u64,
}

impl Pages {
    /// The sequence of a step in a region of so many pages.
    pub(super) fn new(touch: &Touch, region_pages: u64) -> Self {
        let left = region_pages.saturating_sub(touch.first);
        let span = if touch.span == 0 { left } else { touch.span }.max(1);
        let mut cdf = Vec::new();
        let mut mul = 1;
        if let Pattern::Zipf(theta) = touch.pattern {
            let mut sum = 0.0;
            for rank in 1..=span {
                sum += weight(theta, rank as f64);
                cdf.push(sum);
            }
            mul = 2_654_435_761 % span;
            if mul < 2 {
                mul = 1;
            }
            while gcd(mul, span) != 1 {
                mul += 1;
            }
        }
        let rng = Rng::new(touch.seed);
        Self {
            first: touch.first,
            span,
            hot: touch.hot,
            pattern: touch.pattern,
            rng,
            count: 0,
            cdf,
            mul,
        }
    }

    /// Bytes of the table that a Zipf step keeps on the program's heap.
    pub(super) fn heap_bytes(&self) -> u64 {
        self.cdf.len() as u64 * 8
    }

    /// The next page.
    pub(super) fn next_page(&mut self) -> u64 {
        let index = self.count;
        self.count += 1;
        let offset = match self.pattern {
            Pattern::Seq => index % self.span,
            Pattern::Uniform => self.rng.below(self.span),
            Pattern::ScanMix if index.is_multiple_of(2) => self.rng.below(self.hot),
            Pattern::ScanMix => self.hot + (index >> 1) % (self.span - self.hot),
            Pattern::Zipf(_) => {
                let total = self.cdf.last().copied().unwrap_or(0.0);
                let u = (self.rng.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64) * total;
                let rank = self.cdf.partition_point(|sum| *sum <= u).min(self.cdf.len() - 1) as u64;
                rank * self.mul % self.span
            }
        };
        self.first + offset
    }
}

fn weight(theta: u8, rank: f64) -> f64 {
    match theta {
        4 => 1.0 / rank,
        2 => 1.0 / rank.sqrt(),
        _ => 1.0 / (rank.sqrt() * rank.sqrt().sqrt()),
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
