//! Transcendental functions with the same bits on every platform.
//!
//! `+ - * / sqrt` are exact everywhere; the standard library's `exp`, `ln`, `powf` are documented
//! to vary by platform and version, so these come from the pure-Rust `libm`.

/// The nearest integer, ties to even; 0 for negative numbers, [`u64::MAX`] for those beyond it.
///
/// The same as `f64::round_ties_even`, which is a call where the target has no instruction for it.
#[inline]
pub fn round_to_u64(x: f64) -> u64 {
    /// From here to twice it numbers are one apart, so that adding it rounds.
    const ONES: f64 = (1_u64 << 52) as f64;
    if (0.0..ONES).contains(&x) {
        (x + ONES).to_bits() - ONES.to_bits()
    } else {
        x.round_ties_even() as u64
    }
}

/// e^x.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Base-10 logarithm.
pub fn log10(x: f64) -> f64 {
    libm::log10(x)
}

/// ln(1 + x), exact for small x.
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}

/// e^x - 1, exact for small x.
pub fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}

/// x^y.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::round_to_u64;

    #[test]
    fn rounding_holds_at_the_borders() {
        let two_52 = (1_u64 << 52) as f64;
        for x in
            [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -3.0, two_52 - 0.5, two_52 - 1.0, two_52, two_52 + 1.0]
        {
            assert_eq!(round_to_u64(x), x.round_ties_even() as u64, "{x}");
        }
        assert_eq!((round_to_u64(f64::INFINITY), round_to_u64(f64::NAN)), (u64::MAX, 0));
    }

    proptest! {
        #[test]
        fn rounding_is_that_of_the_standard_library(x: f64, halves in 0_u64..1 << 54) {
            prop_assert_eq!(round_to_u64(x), x.round_ties_even() as u64);
            let half = halves as f64 / 2.0;
            prop_assert_eq!(round_to_u64(half), half.round_ties_even() as u64);
        }
    }
}
