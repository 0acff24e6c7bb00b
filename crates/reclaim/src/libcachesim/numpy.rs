//! NumPy's default generator, as far as the streams need it, so that they can be made again here.
//!
//! PCG XSL RR 128/64: M. E. O'Neill, "PCG: a family of simple fast space-efficient statistically
//! good algorithms for random number generation", Harvey Mudd College HMC-CS-2014-0905, 2014. Seeded
//! as `numpy.random.SeedSequence` does, after the same author's `seed_seq_fe`.

/// `numpy.random.Generator(numpy.random.PCG64(seed))`.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u128,
    increment: u128,
    /// The upper half of a draw whose lower half was used.
    half: Option<u32>,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl Generator {
    /// Seeded with an integer below 2^32.
    pub fn new(seed: u32) -> Self {
        let words = seed_sequence(seed);
        let wide = |at: usize| u128::from(words[at]) << 64 | u128::from(words[at + 1]);
        let mut generator = Self { state: 0, increment: wide(2) << 1 | 1, half: None };
        generator.step();
        generator.state = generator.state.wrapping_add(wide(0));
        generator.step();
        generator
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.step();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// `Generator.random()`: uniform in `[0, 1)`.
    pub fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `Generator.permutation(len)`.
    pub fn permutation(&mut self, len: u32) -> Vec<u32> {
        let mut items: Vec<u32> = (0..len).collect();
        for last in (1..len).rev() {
            let other = self.at_most(last);
            items.swap(last as usize, other as usize);
        }
        items
    }

    fn step(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        let bits = self.next_u64();
        self.half = Some((bits >> 32) as u32);
        bits as u32
    }

    /// Uniform in `0..=most`: as many bits as it takes, drawn again when they say more.
    fn at_most(&mut self, most: u32) -> u32 {
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let bits = self.next_u32() & mask;
            if bits <= most {
                return bits;
            }
        }
    }
}

/// Four words of state from a seed of one word.
fn seed_sequence(seed: u32) -> [u64; 4] {
    let mut hash = Hash { constant: 0x43b0_d7e5, multiplier: 0x931e_8875 };
    let mut pool = [seed, 0, 0, 0].map(|word| hash.mix(word));
    for from in 0..pool.len() {
        for to in (0..pool.len()).filter(|to| *to != from) {
            let hashed = hash.mix(pool[from]);
            let word = 0xca01_f9ddu32.wrapping_mul(pool[to]);
            let word = word.wrapping_sub(0x4973_f715u32.wrapping_mul(hashed));
            pool[to] = word ^ word >> 16;
        }
    }
    let mut hash = Hash { constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded };
    let mut word = |at: usize| u64::from(hash.mix(pool[at % pool.len()]));
    [0, 2, 4, 6].map(|at| word(at) | word(at + 1) << 32)
}

struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn mix(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by NumPy 2.4.6.
    #[test]
    fn it_draws_as_numpy_does() {
        assert_eq!(
            seed_sequence(43),
            [
                0x79dd_5756_ee16_32d1,
                0xf087_32cb_3109_af6a,
                0x896d_bb06_33d6_1e51,
                0x66dd_a4e1_75fc_b01f
            ]
        );
        let mut generator = Generator::new(43);
        let draws = [(); 4].map(|()| generator.next_u64());
        assert_eq!(
            draws,
            [
                0xa6fd_15a0_815c_e843,
                0x0b34_dc0f_66bc_04b6,
                0x0520_a8b4_93c0_45ff,
                0xd6d6_a2c4_46cd_ab59
            ]
        );
        assert_eq!(Generator::new(43).permutation(10), [2, 8, 9, 5, 7, 1, 4, 6, 0, 3]);
    }
}
