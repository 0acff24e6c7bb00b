//! Rows for terminals and scripts.

use crate::row::{Row, Verdict};

/// The rows as JSON text: a list of objects.
pub fn to_json(rows: &[Row]) -> String {
    // Rows consist of strings and finite numbers, which always have a JSON form.
    serde_json::to_string_pretty(rows).unwrap_or_default()
}

/// The rows as a table for terminals, and a line with their numbers.
pub fn text(rows: &[Row]) -> String {
    let header =
        ["row", "quantity", "expected", "band", "got", "seeds", "verdict"].map(str::to_owned);
    let mut cells = vec![header];
    cells.extend(rows.iter().map(line));
    let widths: Vec<usize> = (0..cells[0].len())
        .map(|column| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for line in &cells {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    }
    for row in rows.iter().filter(|row| !row.passed() && !row.note.is_empty()) {
        out.push_str(&format!("{}: {}\n", row.id, row.note));
    }
    out.push_str(&summary(rows));
    out.push('\n');
    out
}

fn line(row: &Row) -> [String; 7] {
    let got = row.got.map_or("-".to_owned(), |got| {
        let value = number(got.centre);
        if got.nr_seeds > 1 {
            format!("{value} ({} to {})", number(got.least), number(got.most))
        } else {
            value
        }
    });
    let seeds = row.got.map_or("-".to_owned(), |got| got.nr_seeds.to_string());
    let verdict = row.verdict.name().to_owned();
    let band = band(row);
    [row.id.clone(), row.quantity.clone(), number(row.expected), band, got, seeds, verdict]
}

/// The band as shown to users.
pub(crate) fn band(row: &Row) -> String {
    match (row.low.is_finite(), row.high.is_finite()) {
        (true, true) => format!("{} to {}", number(row.low), number(row.high)),
        (true, false) => format!("from {}", number(row.low)),
        (false, true) => format!("up to {}", number(row.high)),
        (false, false) => "any".to_owned(),
    }
}

/// A number with about four digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        format!("{value:.3e}")
    } else if size >= 1000.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 100.0 {
        format!("{value:.1}")
    } else if size >= 10.0 {
        format!("{value:.2}")
    } else if size >= 0.01 {
        format!("{value:.3}")
    } else {
        format!("{value:.2e}")
    }
}

/// How many rows passed, in one line.
pub fn summary(rows: &[Row]) -> String {
    let count = |verdict: Verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    let passed = count(Verdict::Passed);
    let judged = passed + count(Verdict::Missed) + count(Verdict::Failed);
    let share = if judged > 0 { passed as f64 / judged as f64 * 100.0 } else { 0.0 };
    format!(
        "{passed} of {judged} rows passed ({share:.1} %), {} missed, {} failed; {} not expressible yet, {} excluded",
        count(Verdict::Missed),
        count(Verdict::Failed),
        count(Verdict::NotExpressible),
        count(Verdict::Excluded),
    )
}
