//! Numbers as people read them.

/// Decimals that give `value` about `digits` significant digits.
pub(crate) fn decimals(value: f64, digits: usize) -> usize {
    let mut whole = 0;
    let mut rest = value.abs();
    while rest >= 1.0 && whole < digits {
        rest /= 10.0;
        whole += 1;
    }
    digits - whole.max(1).min(digits)
}

/// With `digits` decimals; `-` where there is no value.
pub(crate) fn plain(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "-".to_owned() }
}

/// At most five letters: `950`, `9500`, `95.0k`, `1.83M`; `-` where there is no value.
pub(crate) fn compact(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.abs() < 9_999.5 {
        return format!("{value:.0}");
    }
    let (mut scaled, mut unit) = (value, "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        // Rounded to three digits it would read `1000`.
        if scaled.abs() < 999.5 {
            break;
        }
        (scaled, unit) = (scaled / 1000.0, next);
    }
    let digits = decimals(scaled, 3);
    format!("{scaled:.digits$}{unit}")
}

/// Digits in groups of three, for tables with room: `1 834 201`.
pub(crate) fn grouped(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = if value <= -0.5 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_numbers_keep_three_digits_and_five_letters() {
        for (value, want) in [
            (0.0, "0"),
            (950.4, "950"),
            (9_999.0, "9999"),
            (10_000.0, "10.0k"),
            (95_040.0, "95.0k"),
            (999_400.0, "999k"),
            (999_600.0, "1.00M"),
            (1_834_201.0, "1.83M"),
            (4.1e9, "4.10G"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(compact(value), want);
            assert!(want.len() <= 5);
        }
    }

    #[test]
    fn decimals_follow_the_size() {
        assert_eq!(
            [0.123, 1.23, 21.6, 216.0, 2160.0, 21600.0].map(|value| decimals(value, 4)),
            [3, 3, 2, 1, 0, 0]
        );
    }

    #[test]
    fn groups_of_three() {
        assert_eq!(grouped(1_834_201.0), "1\u{202f}834\u{202f}201");
        assert_eq!(grouped(12.0), "12");
    }
}
