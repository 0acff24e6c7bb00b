//! Charts over time: one line per design for what the whole machine has one of, and a small chart
//! per design for what every node (or link, or thread) has.

use std::collections::BTreeMap;

use results::{Case, Comparison, Series};
use serde_json::{Value, json};

use crate::charts::{Figure, by_design, by_name, spec};

/// Most points of a line: more cannot be seen.
const POINTS: usize = 160;
/// Most lines of a chart; more scopes are drawn as a heat map.
const LINES: usize = 8;

/// The charts of one quantity.
pub(crate) struct Timeline {
    /// Heading.
    pub(crate) title: String,
    /// How to read it.
    pub(crate) caption: String,
    /// One chart, or one per design.
    pub(crate) figures: Vec<Figure>,
    /// Whether they stand side by side.
    pub(crate) small: bool,
}

/// Mean over the seeds of one design, by scope.
struct Lines {
    design: String,
    scopes: Vec<(String, Vec<(f64, f64)>)>,
}

/// One timeline per quantity that was sampled, in the order of the first run.
pub(crate) fn timelines(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: &[String],
) -> Vec<Timeline> {
    let mut quantities: Vec<(&str, &str)> = Vec::new();
    for design in designs {
        for series in comparison.finished(case, design).flat_map(|run| &run.series) {
            if !quantities.iter().any(|(name, _)| *name == series.name) {
                quantities.push((&series.name, &series.unit));
            }
        }
    }
    let mut timelines = Vec::new();
    for (place, (name, unit)) in quantities.into_iter().enumerate() {
        let mut lines: Vec<Lines> =
            designs.iter().map(|design| lines_of(comparison, case, design, name)).collect();
        timelines.push(timeline(
            &format!("series-{index}-{place}"),
            name,
            unit,
            designs,
            &mut lines,
        ));
    }
    timelines
}

fn lines_of(comparison: &Comparison, case: &Case, design: &str, name: &str) -> Lines {
    let runs = || {
        comparison
            .finished(case, design)
            .flat_map(|run| &run.series)
            .filter(|series| series.name == name)
    };
    let mut scopes: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for series in runs() {
        if !scopes.iter().any(|(scope, _)| *scope == series.scope) {
            let of_scope: Vec<&Series> =
                runs().filter(|other| other.scope == series.scope).collect();
            scopes.push((series.scope.clone(), mean_line(&of_scope)));
        }
    }
    Lines { design: design.to_owned(), scopes }
}

/// Mean of several seeds' samples in intervals of equal length, at the middle of each, in s. No
/// finer than the coarsest seed was sampled, so that every interval has its share of samples.
fn mean_line(seeds: &[&Series]) -> Vec<(f64, f64)> {
    let end = seeds.iter().filter_map(|series| series.at.last()).max().map_or(0, |at| at.0).max(1);
    let samples = seeds.iter().map(|series| series.at.len()).min().unwrap_or(0);
    let nr = samples.clamp(1, POINTS);
    let mut sums: BTreeMap<usize, (f64, u32)> = BTreeMap::new();
    for (at, value) in seeds.iter().flat_map(|series| series.at.iter().zip(&series.values)) {
        let place = (u128::from(at.0.saturating_sub(1)) * nr as u128 / u128::from(end)) as usize;
        if value.is_finite() {
            let sum = sums.entry(place).or_default();
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    let seconds = |place: usize| (place as f64 + 0.5) / nr as f64 * end as f64 / 1e9;
    sums.into_iter().map(|(place, (sum, count))| (seconds(place), sum / f64::from(count))).collect()
}

/// What the charts of a quantity have in common.
struct Quantity {
    title: String,
    /// Title of the value axis.
    axis: String,
    unit: String,
    /// Longest time and greatest value, for equal scales.
    end_s: f64,
    most: f64,
}

fn timeline(id: &str, name: &str, unit: &str, designs: &[String], lines: &mut [Lines]) -> Timeline {
    let (title, axis) = wording(name, unit);
    let (factor, unit) = if unit == "bytes/s" { (1e-9, "GB/s") } else { (1.0, unit) };
    let axis = if unit.is_empty() { axis } else { format!("{axis}, {unit}") };
    let mut quantity = Quantity { title, axis, unit: unit.to_owned(), end_s: 0.0, most: 0.0 };
    for (at, value) in
        lines.iter_mut().flat_map(|line| &mut line.scopes).flat_map(|(_, points)| points)
    {
        *value *= factor;
        quantity.end_s = quantity.end_s.max(*at);
        quantity.most = quantity.most.max(*value);
    }
    let whole_machine =
        lines.iter().flat_map(|line| &line.scopes).all(|(scope, _)| scope.is_empty());
    let (caption, figures) = if whole_machine {
        ("Mean over seeds.", vec![by_line_of_design(id, &quantity, designs, lines)])
    } else {
        let present = lines.iter().enumerate().filter(|(_, line)| !line.scopes.is_empty());
        let figures = present
            .map(|(place, line)| by_scope(&format!("{id}-{place}"), &quantity, line))
            .collect();
        ("Mean over seeds. One chart per design, all with the same scales.", figures)
    };
    Timeline { title: quantity.title, caption: caption.to_owned(), figures, small: !whole_machine }
}

/// One chart with a line per design.
fn by_line_of_design(id: &str, quantity: &Quantity, designs: &[String], lines: &[Lines]) -> Figure {
    let mut data = Vec::new();
    for line in lines {
        for (at, value) in line.scopes.iter().flat_map(|(_, points)| points) {
            data.push(json!({"design": line.design, "time_s": at, "value": value}));
        }
    }
    let mut rest = over_time(quantity, by_design(designs));
    if quantity.unit == "%" {
        rest["encoding"]["y"]["scale"] = json!({"domain": [0.0, 100.0]});
    }
    let description = format!("{} over time by design", quantity.title);
    Figure {
        id: id.to_owned(),
        title: quantity.title.clone(),
        caption: String::new(),
        spec: spec(&description, 240, data, rest),
    }
}

/// A small chart of one design: a line per scope, or a heat map where they are many.
fn by_scope(id: &str, quantity: &Quantity, line: &Lines) -> Figure {
    let mut data = Vec::new();
    for (scope, points) in &line.scopes {
        for (at, value) in points {
            data.push(json!({"scope": scope, "time_s": at, "value": value}));
        }
    }
    let scopes: Vec<String> = line.scopes.iter().map(|(scope, _)| scope.clone()).collect();
    let scale = json!({"domain": [0.0, quantity.most.max(f64::MIN_POSITIVE)]});
    let rest = if scopes.len() <= LINES {
        let mut rest = over_time(quantity, by_name("scope", &scopes));
        rest["encoding"]["y"]["scale"] = scale;
        rest
    } else {
        let mut scale = scale;
        scale["scheme"] = json!("viridis");
        json!({"mark": "rect", "encoding": {
            "x": {"field": "time_s", "type": "quantitative", "bin": {"maxbins": 60}, "title": "time, s", "axis": {"format": "~g"}},
            "y": {"field": "scope", "type": "nominal", "sort": scopes, "title": null, "axis": {"labelOverlap": true}},
            "color": {"field": "value", "aggregate": "mean", "type": "quantitative", "title": quantity.axis, "scale": scale,
                "legend": {"type": "gradient", "title": quantity.axis}},
        }})
    };
    let description = format!("{} over time under {}", quantity.title, line.design);
    Figure {
        id: id.to_owned(),
        title: line.design.clone(),
        caption: String::new(),
        spec: spec(&description, 150, data, rest),
    }
}

fn over_time(quantity: &Quantity, channels: Value) -> Value {
    // Below 1 the SI prefixes would read `200m`.
    let format = if quantity.most >= 1000.0 { "~s" } else { "~g" };
    let mut rest = json!({
        "mark": {"type": "line", "strokeWidth": 2, "clip": true},
        "encoding": {
            "x": {"field": "time_s", "type": "quantitative", "title": "time, s", "scale": {"domain": [0.0, quantity.end_s], "nice": false}},
            "y": {"field": "value", "type": "quantitative", "title": quantity.axis, "axis": {"format": format}},
        },
    });
    if let (Some(encoding), Value::Object(channels)) = (rest["encoding"].as_object_mut(), channels)
    {
        encoding.extend(channels);
    }
    rest
}

/// Heading and axis of a quantity; one that is not known here goes by its name.
fn wording(name: &str, unit: &str) -> (String, String) {
    let (title, axis) = match name {
        "local" if unit == "%" => ("Local share of memory traffic", "local"),
        "migrations" => ("Pages migrated", "migrations"),
        "bandwidth" => ("Memory bandwidth", "bandwidth"),
        other => (other, other),
    };
    (title.to_owned(), axis.to_owned())
}

#[cfg(test)]
mod tests {
    use base::Nanos;

    use super::*;

    fn series(step: u64, values: &[f64]) -> Series {
        let at = (1..=values.len() as u64).map(|i| Nanos::from_secs(i * step)).collect();
        Series {
            name: "x".to_owned(),
            unit: String::new(),
            scope: String::new(),
            at,
            values: values.to_vec(),
        }
    }

    #[test]
    fn seeds_are_averaged_in_the_coarser_one_s_intervals() {
        let (fine, coarse) = (series(1, &[1.0, 3.0, 5.0, 7.0]), series(2, &[4.0, 8.0]));
        assert_eq!(mean_line(&[&coarse, &fine]), [(1.0, 8.0 / 3.0), (3.0, 20.0 / 3.0)]);
    }

    #[test]
    fn missing_values_leave_a_gap_not_a_zero() {
        assert_eq!(mean_line(&[&series(1, &[1.0, f64::NAN, 3.0])]), [(0.5, 1.0), (2.5, 3.0)]);
        assert!(mean_line(&[]).is_empty());
    }
}
