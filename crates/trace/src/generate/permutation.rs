//! Random permutations of any length without a table.

use base::Rng;

/// A keyed permutation of `0..n`.
///
/// A balanced Feistel network of four rounds over the smallest even number of bits that holds `n`,
/// walked along its cycle until the value falls below `n` (J. Black and P. Rogaway, "Ciphers with
/// arbitrary finite domains", CT-RSA 2002). Four times as many values as needed are possible, so
/// fewer than four steps are taken on average. Not meant for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Permutation {
    /// A permutation of `0..n` with keys drawn from `rng`; `n` is taken as 1 when it is 0.
    pub(super) fn new(n: u64, rng: &mut Rng) -> Self {
        let n = n.max(1);
        let bits = u64::BITS - (n - 1).leading_zeros();
        let half_bits = bits.div_ceil(2).max(1);
        Self { n, half_bits, keys: std::array::from_fn(|_| rng.next_u64()) }
    }

    /// Where `i` (below `n`) goes.
    pub(super) fn at(&self, i: u64) -> u64 {
        let mut x = i;
        loop {
            x = self.once(x);
            if x < self.n {
                return x;
            }
        }
    }

    fn once(&self, x: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for key in self.keys {
            (left, right) = (right, left ^ mix(right ^ key) & mask);
        }
        left << self.half_bits | right
    }
}

/// Every bit of the result depends on every bit of `x` (two multiplications, SplitMix64's).
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_hit_once() {
        for n in [1, 2, 3, 5, 64, 1000, 4097] {
            let order = Permutation::new(n, &mut base::stream(9, "test.permutation", n));
            let mut hit: Vec<u64> = (0..n).map(|i| order.at(i)).collect();
            hit.sort_unstable();
            assert_eq!(hit, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn neighbours_are_scattered() {
        let n = 1 << 20;
        let order = Permutation::new(n, &mut base::stream(9, "test.permutation", 0));
        let close = (0..10_000).filter(|i| order.at(*i).abs_diff(order.at(i + 1)) < n / 100);
        // The chance of a distance below n/100 is about 2 %.
        assert!((100..300).contains(&close.count()));
    }
}
