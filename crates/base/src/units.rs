//! Quantities whose unit is part of the type.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// Bytes of a base page, 4 KiB.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a cache line; what crosses a memory channel at a time.
pub const CACHE_LINE_BYTES: u64 = 64;
/// Cache lines of a base page.
pub const PAGE_LINES: u64 = PAGE_BYTES / CACHE_LINE_BYTES;
/// Base pages of a huge page (order 9, 2 MiB).
pub const HUGE_PAGE_PAGES: u64 = 512;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest value; used for "never" and "no limit".
            pub const MAX: Self = Self(u64::MAX);

            /// The difference, or zero where it would be negative.
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// The sum, or [`Self::MAX`] where it would overflow.
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                debug_assert!(self.0 >= other.0, "negative quantity");
                Self(self.0 - other.0)
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl Mul<u64> for $name {
            type Output = Self;
            fn mul(self, factor: u64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
    };
}

quantity! {
    /// A point in simulated time, or a span of it, in nanoseconds.
    Nanos
}
quantity! {
    /// An amount of memory or traffic in bytes.
    Bytes
}
quantity! {
    /// A number of base (4 KiB) pages.
    Pages
}

impl Nanos {
    /// Whole microseconds.
    pub const fn from_us(us: u64) -> Self {
        Self(us * 1_000)
    }

    /// Whole milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Rounds a latency model's result once, ties to even. Negative or non-finite input is a bug
    /// of the model.
    pub fn from_f64(ns: f64) -> Self {
        debug_assert!(ns >= 0.0 && ns.is_finite(), "latency model gave {ns} ns");
        Self(crate::math::round_to_u64(ns))
    }

    /// Rounds seconds to nanoseconds.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self::from_f64(secs * 1e9)
    }

    /// As seconds, for reports.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// As milliseconds, rounded down (kernel timers count those).
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The span from `earlier` to `self`. Panics when the order is the other way round: time
    /// never goes back.
    pub fn since(self, earlier: Self) -> Self {
        assert!(self >= earlier, "time went back from {earlier} to {self}");
        Self(self.0 - earlier.0)
    }
}

impl fmt::Display for Nanos {
    /// Picks the unit: `812ns`, `1.5us`, `20ms`, `3.25s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (divisor, unit) = match self.0 {
            0..1_000 => return write!(f, "{}ns", self.0),
            1_000..1_000_000 => (1e3, "us"),
            1_000_000..1_000_000_000 => (1e6, "ms"),
            _ => (1e9, "s"),
        };
        let digits = format!("{:.3}", self.0 as f64 / divisor);
        write!(f, "{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Bytes {
    /// Whole mebibytes.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// Whole gibibytes.
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// Base pages that hold this many bytes, rounded up.
    pub const fn pages_ceil(self) -> Pages {
        Pages(self.0.div_ceil(PAGE_BYTES))
    }

    /// Cache lines that hold this many bytes, rounded up.
    pub const fn lines_ceil(self) -> u64 {
        self.0.div_ceil(CACHE_LINE_BYTES)
    }
}

impl fmt::Display for Bytes {
    /// Picks the binary unit: `512B`, `4KiB`, `1.5GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0 {
            0..1_024 => return write!(f, "{}B", self.0),
            1_024..1_048_576 => (10, "KiB"),
            1_048_576..1_073_741_824 => (20, "MiB"),
            1_073_741_824..1_099_511_627_776 => (30, "GiB"),
            _ => (40, "TiB"),
        };
        let digits = format!("{:.3}", self.0 as f64 / (1u64 << shift) as f64);
        write!(f, "{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Pages {
    /// The memory these pages take.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0 * PAGE_BYTES)
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pages", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanos_pick_their_unit() {
        let shown: Vec<String> =
            [812, 1_500, 20_000_000, 3_250_000_000].map(|ns| Nanos(ns).to_string()).into();
        assert_eq!(shown, ["812ns", "1.5us", "20ms", "3.25s"]);
    }

    #[test]
    fn bytes_pick_their_unit() {
        let shown: Vec<String> = [512, 4096, 3 << 29, 5 << 40].map(|b| Bytes(b).to_string()).into();
        assert_eq!(shown, ["512B", "4KiB", "1.5GiB", "5TiB"]);
    }

    #[test]
    #[should_panic(expected = "time went back")]
    fn since_refuses_a_later_start() {
        let _ = Nanos(1).since(Nanos(2));
    }

    #[test]
    fn sizes_round_up_to_pages() {
        assert_eq!(Bytes(4097).pages_ceil(), Pages(2));
        assert_eq!(Bytes(0).pages_ceil(), Pages(0));
    }
}
