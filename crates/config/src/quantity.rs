//! Quantities written with their unit: sizes, durations, pages, bandwidths.

use base::{Bytes, Nanos, PAGE_BYTES, Pages};
use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::FromToml;
use crate::problem::Problem;
use crate::schema::Schemas;
use crate::value::{Kind, Value};

/// A bandwidth in bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct BytesPerSec(pub f64);

impl BytesPerSec {
    /// Whole gigabytes (10^9 bytes) per second.
    pub const fn from_gb(gb: f64) -> Self {
        Self(gb * 1e9)
    }

    /// As bytes per nanosecond, which is gigabytes per second.
    pub const fn bytes_per_ns(self) -> f64 {
        self.0 / 1e9
    }
}

/// A unit: its names (the first is printed) and how many of the base unit it is.
type Unit = (&'static [&'static str], u64);

/// Largest first.
const SIZES: &[Unit] = &[
    (&["TiB"], 1 << 40),
    (&["TB"], 1_000_000_000_000),
    (&["GiB"], 1 << 30),
    (&["GB"], 1_000_000_000),
    (&["MiB"], 1 << 20),
    (&["MB"], 1_000_000),
    (&["KiB"], 1 << 10),
    (&["KB", "kB"], 1_000),
    (&["B"], 1),
];
const DURATIONS: &[Unit] =
    &[(&["s"], 1_000_000_000), (&["ms"], 1_000_000), (&["us", "µs"], 1_000), (&["ns"], 1)];
const PAGES: &[Unit] = &[(&["pages", "page"], 1)];

/// What a quantity type tells about itself.
struct Words {
    /// `size`.
    type_name: &'static str,
    /// `a size such as "8GiB"`.
    expected: &'static str,
    /// The accepted units.
    units: &'static str,
    /// Regular expression for the schema.
    pattern: &'static str,
}

const SIZE: Words = Words {
    type_name: "size",
    expected: "a size such as \"8GiB\"",
    units: "B, KB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024)",
    pattern: r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGT]i?B|kB|B)\s*$",
};
const DURATION: Words = Words {
    type_name: "duration",
    expected: "a duration such as \"250us\"",
    units: "ns, us, ms, s",
    pattern: r"^\s*[0-9]+(\.[0-9]+)?\s*(ns|us|µs|ms|s)\s*$",
};
const PAGE_COUNT: Words = Words {
    type_name: "page count",
    expected: "a number of pages such as \"256pages\", or a size such as \"1MiB\"",
    units: "pages (of 4KiB), or B, KB, MB, GB, TB, KiB, MiB, GiB, TiB",
    pattern: r"^\s*[0-9]+(\.[0-9]+)?\s*(pages?|[KMGT]i?B|kB|B)\s*$",
};
const BANDWIDTH: Words = Words {
    type_name: "bandwidth",
    expected: "a bandwidth such as \"12.8GB/s\"",
    units: "B/s, KB/s, MB/s, GB/s, TB/s (powers of 1000) and KiB/s, MiB/s, GiB/s, TiB/s (powers of 1024)",
    pattern: r"^\s*[0-9]+(\.[0-9]+)?\s*([KMGT]i?B|kB|B)/s\s*$",
};

/// The number's text and the unit's, without spaces around; `None` unless the number is
/// decimal digits with at most one point between them.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(fraction)).then_some((number, unit.trim_start()))
}

fn scale(unit: &str, units: &[Unit]) -> Option<u64> {
    units.iter().find(|(names, _)| names.contains(&unit)).map(|(_, scale)| *scale)
}

/// `number` times `scale`, exactly; the error says why there is no such whole number.
fn times(number: &str, scale: u64) -> Result<u64, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let too_large = || "too large".to_owned();
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| too_large())?;
    let divisor = 10u128.checked_pow(fraction.len() as u32).ok_or_else(too_large)?;
    let product = digits.checked_mul(u128::from(scale)).ok_or_else(too_large)?;
    if product % divisor != 0 {
        return Err("not a whole number of the smallest unit".to_owned());
    }
    u64::try_from(product / divisor).map_err(|_| too_large())
}

/// Reads a quantity with `read(number, unit)`, which gives `None` for a unit it does not know.
fn quantity<T>(
    value: &Value,
    words: &Words,
    cx: &mut Cx,
    read: impl FnOnce(&str, &str) -> Option<Result<T, String>>,
) -> Option<T> {
    let key = cx.key();
    let problem = |message: String, label: String| {
        let help = format!("the units are {}", words.units);
        Problem::error(message).label(value.span, label).help(help)
    };
    let expected = || format!("expected {}", words.expected);
    let problem = match &value.kind {
        Kind::Integer(_) | Kind::Float(_) => {
            problem(format!("`{key}` needs a unit, found a bare number"), expected())
        }
        Kind::String(text) => match split(text) {
            None => problem(format!("invalid {} for `{key}`", words.type_name), expected()),
            Some((_, "")) => problem(format!("`{key}` needs a unit"), expected()),
            Some((number, unit)) => match read(number, unit) {
                Some(Ok(quantity)) => return Some(quantity),
                Some(Err(why)) => problem(format!("invalid {} for `{key}`", words.type_name), why),
                None => problem(format!("wrong unit `{unit}` for `{key}`"), expected()),
            },
        },
        _ => problem(
            format!("wrong type for `{key}`"),
            format!("{}, found {}", expected(), value.found()),
        ),
    };
    cx.push(problem);
    None
}

/// In the largest unit that gives a whole number.
fn exact_text(value: u64, units: &[Unit]) -> String {
    let whole = |(_, scale): &&Unit| value != 0 && value.is_multiple_of(*scale);
    let (names, scale) = units.iter().find(whole).or(units.last()).map_or((&["B"][..], 1), |u| *u);
    format!("{}{}", value / scale, names[0])
}

macro_rules! quantities {
    ($($ty:ident, $words:ident, |$number:ident, $unit:ident| $read:expr, |$this:ident| $print:expr;)*) => {$(
        impl FromToml for $ty {
            fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
                quantity(value, &$words, cx, |$number, $unit| $read)
            }

            fn to_toml(&self) -> Option<Value> {
                let $this = self.0;
                Some($print.into())
            }

            fn type_name() -> String {
                $words.type_name.to_owned()
            }

            fn schema(_: &mut Schemas) -> Json {
                json!({ "type": "string", "pattern": $words.pattern })
            }
        }
    )*};
}

quantities! {
    Bytes, SIZE,
        |number, unit| Some(times(number, scale(unit, SIZES)?).map(Bytes)),
        |bytes| size_text(bytes);
    Nanos, DURATION,
        |number, unit| Some(times(number, scale(unit, DURATIONS)?).map(Nanos)),
        |ns| exact_text(ns, DURATIONS);
    Pages, PAGE_COUNT,
        |number, unit| pages(number, unit),
        |pages| exact_text(pages, PAGES);
    BytesPerSec, BANDWIDTH,
        |number, unit| bandwidth(number, unit).map(|rate| rate.map(BytesPerSec)),
        |rate| bandwidth_text(rate);
}

fn pages(number: &str, unit: &str) -> Option<Result<Pages, String>> {
    if let Some(scale) = scale(unit, PAGES) {
        return Some(times(number, scale).map(Pages));
    }
    let bytes = times(number, scale(unit, SIZES)?);
    Some(bytes.and_then(|bytes| match bytes % PAGE_BYTES {
        0 => Ok(Pages(bytes / PAGE_BYTES)),
        _ => Err("not a whole number of pages of 4KiB".to_owned()),
    }))
}

/// Sizes are printed in powers of 1024 or, where those do not fit, 1000; whichever is shorter.
fn size_text(bytes: u64) -> String {
    let of_base = |binary: bool| -> String {
        let fits = |unit: &&Unit| unit.1.is_power_of_two() == binary || unit.1 == 1;
        let units: Vec<Unit> = SIZES.iter().filter(fits).copied().collect();
        exact_text(bytes, &units)
    };
    let (binary, decimal) = (of_base(true), of_base(false));
    if decimal.len() < binary.len() { decimal } else { binary }
}

fn bandwidth(number: &str, unit: &str) -> Option<Result<f64, String>> {
    let scale = scale(unit.strip_suffix("/s")?, SIZES)?;
    let rate = number.parse::<f64>().ok()? * scale as f64;
    Some(if rate.is_finite() { Ok(rate) } else { Err("too large".to_owned()) })
}

/// In the largest power of 1000 in which the text reads back as the same float.
fn bandwidth_text(rate: f64) -> String {
    let decimal = SIZES.iter().filter(|(_, scale)| !scale.is_power_of_two());
    let text = decimal
        .map(|(names, scale)| (rate / *scale as f64, format!("{}/s", names[0])))
        .filter(|(number, _)| *number >= 1.0)
        .map(|(number, unit)| (number.to_string(), unit))
        .find(|(number, unit)| bandwidth(number, unit) == Some(Ok(rate)));
    let (number, unit) = text.unwrap_or_else(|| (rate.to_string(), "B/s".to_owned()));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T: FromToml>(text: &str) -> Result<T, String> {
        let mut cx = Cx::without_files();
        let decoded = T::from_toml(&text.into(), &mut cx);
        decoded.ok_or_else(|| cx.problems.list[0].labels[0].1.clone())
    }

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        assert_eq!(read("8GiB"), Ok(Bytes(8 << 30)));
        assert_eq!(read(" 1.5 MB "), Ok(Bytes(1_500_000)));
        assert_eq!(read("4kB"), Ok(Bytes(4_000)));
        assert_eq!(read("0.5KiB"), Ok(Bytes(512)));
    }

    #[test]
    fn what_is_no_whole_number_of_the_smallest_unit_is_refused() {
        assert!(read::<Nanos>("0.5ns").is_err_and(|why| why.contains("whole number")));
        assert!(read::<Bytes>("0.3KiB").is_err_and(|why| why.contains("whole number")));
        assert!(read::<Pages>("5KiB").is_err_and(|why| why.contains("pages")));
        assert_eq!(read::<Nanos>("18446744073710s"), Err("too large".to_owned()));
    }

    #[test]
    fn durations_pages_and_bandwidths() {
        assert_eq!(read("1.5ms"), Ok(Nanos(1_500_000)));
        assert_eq!(read("80ns"), Ok(Nanos(80)));
        assert_eq!(read("256pages"), Ok(Pages(256)));
        assert_eq!(read("1MiB"), Ok(Pages(256)));
        assert_eq!(read("12.8GB/s"), Ok(BytesPerSec(12.8e9)));
        assert_eq!(read("1GiB/s"), Ok(BytesPerSec(1_073_741_824.0)));
        assert!(read::<BytesPerSec>("12.8GB").is_err());
    }

    #[test]
    fn numbers_are_plain_decimals() {
        for text in ["", "GiB", "-1GiB", "1e3GiB", ".5GiB", "5.GiB", "1.2.3GiB", "1_000B"] {
            assert!(read::<Bytes>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn printing_picks_the_short_unit() {
        let printed =
            |bytes: u64| Bytes(bytes).to_toml().and_then(|v| v.as_str().map(String::from));
        assert_eq!(printed(8 << 30).as_deref(), Some("8GiB"));
        assert_eq!(printed(3_000_000).as_deref(), Some("3MB"));
        assert_eq!(printed(0).as_deref(), Some("0B"));
        assert_eq!(BytesPerSec(12.8e9).to_toml(), Some("12.8GB/s".into()));
    }

    proptest! {
        #[test]
        fn printed_quantities_read_back(
            number in any::<u64>(),
            shift in 0..64u32,
            rate in 0.0..1e15f64,
        ) {
            let number = number >> shift;
            fn back<T: FromToml>(quantity: &T) -> Option<T> {
                T::from_toml(&quantity.to_toml()?, &mut Cx::without_files())
            }
            prop_assert_eq!(back(&Bytes(number)), Some(Bytes(number)));
            prop_assert_eq!(back(&Nanos(number)), Some(Nanos(number)));
            prop_assert_eq!(back(&Pages(number)), Some(Pages(number)));
            prop_assert_eq!(back(&BytesPerSec(rate)), Some(BytesPerSec(rate)));
        }
    }
}
