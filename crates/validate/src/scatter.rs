//! Published against simulated values, as a picture.

use crate::row::{Row, Verdict};
use base::math;

/// Width and height of the drawing area.
const SIZE: f64 = 280.0;
/// Room for the axes.
const MARGIN: f64 = 48.0;

/// An SVG with both axes logarithmic: a dot for each row with a value, the line where both are
/// equal. Empty when no row has one.
pub(crate) fn svg(rows: &[&Row]) -> String {
    let points: Vec<(f64, f64, bool)> = rows.iter().filter_map(|row| point(row)).collect();
    let values = points.iter().flat_map(|(x, y, _)| [*x, *y]);
    let (least, most) = values
        .fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    if points.is_empty() {
        return String::new();
    }
    let (low, high) = (math::log10(least).floor(), math::log10(most * 1.0001).ceil());
    let scale = |value: f64| (math::log10(value) - low) / (high - low).max(1.0) * SIZE;
    let total = SIZE + 2.0 * MARGIN;
    let bottom = MARGIN + SIZE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"{total}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect x=\"{MARGIN}\" y=\"{MARGIN}\" width=\"{SIZE}\" height=\"{SIZE}\" fill=\"none\" stroke=\"#888\"/>\n\
         <line x1=\"{MARGIN}\" y1=\"{bottom}\" x2=\"{bottom}\" y2=\"{MARGIN}\" stroke=\"#bbb\"/>\n"
    );
    let mut decade = low;
    while decade <= high {
        let at = (decade - low) / (high - low).max(1.0) * SIZE;
        let label = math::pow(10.0, decade);
        out.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
            MARGIN + at,
            bottom + 14.0,
            MARGIN - 5.0,
            bottom - at + 4.0,
        ));
        decade += 1.0;
    }
    for (x, y, passed) in &points {
        let color = if *passed { "#2b6cb0" } else { "#c53030" };
        out.push_str(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\" fill-opacity=\"0.7\"/>\n",
            MARGIN + scale(*x),
            bottom - scale(*y),
        ));
    }
    out.push_str(&format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">published</text>\n\
         <text x=\"{MARGIN}\" y=\"{:.1}\">simulated (red: outside its band)</text>\n</svg>\n",
        MARGIN + SIZE / 2.0,
        bottom + 32.0,
        MARGIN - 12.0,
    ));
    out
}

fn point(row: &Row) -> Option<(f64, f64, bool)> {
    let got = row.got?.centre;
    let both_positive = row.expected > 0.0 && got > 0.0;
    let judged = matches!(row.verdict, Verdict::Passed | Verdict::Missed);
    (both_positive && judged).then_some((row.expected, got, row.passed()))
}
