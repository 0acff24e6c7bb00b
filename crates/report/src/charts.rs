//! Vega-Lite specifications. Each carries its own data, so that a figure can be redrawn, restyled
//! or checked from its specification alone. Colours and fonts come from the page's theme.

use base::math;
use results::{Case, Comparison, SummaryRow, density, merged, percentile_points, time_split_s};
use serde_json::{Value, json};

use crate::explain::task_means;
use crate::figures::{compact, decimals};

/// A chart of the page.
pub(crate) struct Figure {
    /// Element of the page that it is drawn in.
    pub(crate) id: String,
    /// Heading.
    pub(crate) title: String,
    /// What is seen and how to read it.
    pub(crate) caption: String,
    /// Vega-Lite specification.
    pub(crate) spec: Value,
}

/// Dashes by design, so that lines can be told apart without colours.
const DASHES: [&[u32]; 8] =
    [&[1, 0], &[8, 3], &[2, 2], &[10, 3, 2, 3], &[5, 5], &[12, 4, 4, 4], &[3, 1], &[14, 6]];

/// Bars of a density to a factor of ten.
const BARS_PER_DECADE: u32 = 20;
/// Smallest share of accesses drawn in a density, %.
const LEAST_SHARE_PCT: f64 = 1e-4;
/// Points of a percentile plot each time the distance to 100 % halves.
const POINTS_PER_HALVING: u32 = 5;

/// Colours of the parts of a task's time: light enough for dark figures on them, and told apart
/// by colour-blind readers (the "light" scheme of Paul Tol with three neutral tones added).
const PART_COLOURS: [&str; results::TimeSplit::NR_PARTS] = [
    "#dddddd", "#77aadd", "#ee8866", "#ffaabb", "#eedd88", "#bbcc33", "#44bb99", "#99ddff",
    "#aaaa00", "#cbb7dd", "#c4ab8e", "#f3f3f3",
];

/// Writes latencies on an axis with their unit.
const LATENCY_LABEL: &str = "datum.value >= 1e9 ? datum.value / 1e9 + ' s' : datum.value >= 1e6 ? datum.value / 1e6 + ' ms' : \
     datum.value >= 1e3 ? datum.value / 1e3 + ' µs' : datum.value + ' ns'";

pub(crate) fn spec(description: &str, height: u32, data: Vec<Value>, rest: Value) -> Value {
    let mut spec = json!({
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": data},
    });
    if let (Value::Object(spec), Value::Object(rest)) = (&mut spec, rest) {
        spec.extend(rest);
    }
    spec
}

/// Colour and dash of the designs, with one legend for both.
pub(crate) fn by_design(designs: &[String]) -> Value {
    by_name("design", designs)
}

pub(crate) fn by_name(field: &str, names: &[String]) -> Value {
    // After eight names the colours begin again; shifted, the dashes still differ.
    let dash = |place: usize| DASHES[(place + place / DASHES.len()) % DASHES.len()];
    let dashes: Vec<&[u32]> = (0..names.len()).map(dash).collect();
    json!({
        "color": {"field": field, "type": "nominal", "title": null, "legend": {"symbolType": "stroke"}, "scale": {"domain": names}},
        "strokeDash": {"field": field, "type": "nominal", "title": null, "legend": {"symbolType": "stroke"}, "scale": {"domain": names, "range": dashes}},
    })
}

fn with_channels(mut encoding: Value, channels: Value) -> Value {
    if let (Value::Object(encoding), Value::Object(channels)) = (&mut encoding, channels) {
        encoding.extend(channels);
    }
    encoding
}

/// Elapsed time of each design with its interval, the fastest on top.
pub(crate) fn elapsed(index: usize, designs: &[String], rows: &[&SummaryRow]) -> Figure {
    let mut ranked: Vec<&&SummaryRow> = rows.iter().filter(|row| row.nr_seeds > 0).collect();
    ranked.sort_by(|a, b| a.elapsed_s.mean.total_cmp(&b.elapsed_s.mean));
    let order: Vec<&str> = ranked.iter().map(|row| row.design.as_str()).collect();
    let longest =
        ranked.iter().map(|row| row.elapsed_s.mean.max(row.elapsed_s.high)).fold(0.0, f64::max);
    let data = ranked.iter().map(|row| {
        let digits = decimals(row.elapsed_s.mean, 4);
        json!({
            "design": row.design, "elapsed_s": row.elapsed_s.mean, "low": row.elapsed_s.low, "high": row.elapsed_s.high,
            "label": format!("{:.digits$} s, {:.2}×", row.elapsed_s.mean, row.speedup.mean), "speedup": row.speedup.mean,
        })
    });
    let y = json!({"field": "design", "type": "nominal", "sort": order, "title": null});
    let x = json!({"field": "elapsed_s", "type": "quantitative", "title": "elapsed machine time, s",
        "scale": {"domainMin": 0.0, "nice": false,
            // Room for the label behind the longest bar, whatever the width.
            "domainMax": {"expr": format!("{longest} / max(0.3, 1 - 110 / width)")}}});
    let rest = json!({"layer": [
        {"mark": {"type": "bar", "cornerRadiusEnd": 2}, "encoding": {"y": y, "x": x, "color": {
            "field": "design", "type": "nominal", "legend": null, "scale": {"domain": designs}}}},
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"y": y,
            "x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}},
        {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"y": y,
            "x": {"field": "high", "type": "quantitative"}, "text": {"field": "label"}}},
    ]});
    let height = 34 * order.len().max(1) as u32 + 10;
    let data: Vec<Value> = data.collect();
    let labels = ranked.iter().zip(&data).map(|(row, point)| {
        format!("{} {}", row.design, point["label"].as_str().unwrap_or_default())
    });
    let description = format!(
        "Elapsed time and speed of each design, fastest first: {}",
        labels.collect::<Vec<_>>().join("; ")
    );
    Figure {
        id: format!("elapsed-{index}"),
        title: "Elapsed time".to_owned(),
        caption: "Mean over seeds; the line across the end of a bar is its 95 % interval. Speed is relative to the baseline.".to_owned(),
        spec: spec(&description, height, data, rest),
    }
}

/// Latency over percentiles on an axis of nines.
pub(crate) fn percentiles(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: &[String],
) -> Figure {
    let mut data = Vec::new();
    let (mut furthest, mut least, mut most) = (1.0f64, f64::INFINITY, 1.0f64);
    for design in designs {
        for point in
            percentile_points(&merged(comparison.finished(case, design)), POINTS_PER_HALVING)
        {
            let nines = -math::log10(1.0 - point.quantile);
            let ns = point.ns.max(1) as f64;
            (furthest, least, most) = (furthest.max(nines), least.min(ns), most.max(ns));
            data.push(json!({"design": design, "percentile": 100.0 * point.quantile, "nines": nines, "latency_ns": ns}));
        }
    }
    let rest = json!({
        "mark": {"type": "line", "strokeWidth": 2, "clip": true},
        "encoding": with_channels(json!({
            "x": {"field": "nines", "type": "quantitative", "title": "percentile of accesses",
                "scale": {"domain": [0.0, furthest], "nice": false},
                "axis": {"values": (0..=furthest as u32).collect::<Vec<_>>(), "labelOverlap": true, "labelFlush": 40, "labelExpr":
                    "datum.value == 0 ? '0 %' : datum.value == 1 ? '90 %' : datum.value == 2 ? '99 %' : \
                     '99.' + slice('9999999999999999', 0, datum.value - 2) + ' %'"}},
            "y": latency_axis("latency_ns", "access latency", least, most),
        }), by_design(designs)),
    });
    Figure {
        id: format!("percentiles-{index}"),
        title: "Latency by percentile".to_owned(),
        caption: "Each step to the right leaves out nine tenths of the remaining accesses; both axes are logarithmic. \
                  All seeds together; a line ends with the slowest access measured."
            .to_owned(),
        spec: spec("Access latency over percentiles by design, logarithmic axes", 300, data, rest),
    }
}

/// Density of latency.
pub(crate) fn densities(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: &[String],
) -> Figure {
    let mut data = Vec::new();
    let (mut least, mut most) = (f64::INFINITY, 1.0f64);
    for design in designs {
        for bar in density(&merged(comparison.finished(case, design)), BARS_PER_DECADE) {
            (least, most) = (least.min(bar.ns), most.max(bar.ns));
            let share = (100.0 * bar.share).max(LEAST_SHARE_PCT);
            data.push(json!({"design": design, "latency_ns": bar.ns, "share_pct": share}));
        }
    }
    let rest = json!({
        "mark": {"type": "line", "strokeWidth": 1.8, "interpolate": "step", "clip": true},
        "encoding": with_channels(json!({
            "x": latency_axis("latency_ns", "access latency", least, most),
            "y": {"field": "share_pct", "type": "quantitative", "title": format!("accesses per 1/{BARS_PER_DECADE} decade, %"),
                "scale": {"type": "log", "domain": [LEAST_SHARE_PCT, 100.0]},
                "axis": {"values": [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0], "format": "~g"}},
        }), by_design(designs)),
    });
    Figure {
        id: format!("density-{index}"),
        title: "Latency density".to_owned(),
        caption: "Share of accesses in bars of equal width on a logarithmic axis: local and remote memory, faults and \
                  migrations stand as hills of their own."
            .to_owned(),
        spec: spec("Density of access latency by design, logarithmic axes", 300, data, rest),
    }
}

/// A logarithmic axis from `least` to `most` ns with ticks at 1, 2, 5 or only at powers of ten.
pub(crate) fn latency_axis(field: &str, title: &str, least: f64, most: f64) -> Value {
    let (low, high) = (math::log10(least.clamp(1.0, most)).floor(), math::log10(most).ceil());
    let steps: &[f64] = if high - low <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let decades = (0..=(high - low) as u32).map(|decade| math::pow(10.0, low + f64::from(decade)));
    let ticks: Vec<f64> =
        decades.flat_map(|decade| steps.iter().map(move |step| (decade * step).round())).collect();
    let below = ticks.iter().copied().filter(|tick| *tick <= least).fold(ticks[0], f64::max);
    let above = ticks.iter().copied().filter(|tick| *tick >= most).fold(f64::INFINITY, f64::min);
    let above = if above.is_finite() { above } else { most };
    json!({"field": field, "type": "quantitative", "title": title,
        "scale": {"type": "log", "domain": [below, above.max(below * 2.0)], "nice": false},
        "axis": {"values": ticks, "labelExpr": LATENCY_LABEL, "labelOverlap": true}})
}

/// Where the tasks' time went, stacked by design; the parts that occur.
pub(crate) fn time_split(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: &[String],
) -> Figure {
    let mut data = Vec::new();
    let mut occurs = [false; results::TimeSplit::NR_PARTS];
    let mut longest = f64::MIN_POSITIVE;
    for design in designs {
        let Some(parts) = time_split_s(comparison, case, design) else { continue };
        let total: f64 = parts.iter().map(|(_, time)| time).sum();
        longest = longest.max(total);
        for (place, (part, time)) in
            parts.into_iter().enumerate().filter(|(_, (_, time))| *time > 0.0)
        {
            occurs[place] = true;
            let pct = 100.0 * time / total;
            data.push(json!({"design": design, "part": part, "order": place, "time_s": time,
                "share_pct": pct, "label": format!("{pct:.0} %")}));
        }
    }
    let names = results::TimeSplit::default().parts().map(|(name, _)| name);
    let shown: Vec<usize> = (0..names.len()).filter(|place| occurs[*place]).collect();
    let domain: Vec<&str> = shown.iter().map(|place| names[*place]).collect();
    let range: Vec<&str> = shown.iter().map(|place| PART_COLOURS[*place]).collect();
    let y = json!({"field": "design", "type": "nominal", "sort": designs, "title": null});
    let x = json!({"field": "time_s", "type": "quantitative", "stack": "zero", "title": "task time, s"});
    let middle =
        json!({"field": "time_s", "type": "quantitative", "stack": "zero", "bandPosition": 0.5});
    let order = json!({"field": "order", "type": "quantitative"});
    let rest = json!({"layer": [
        {"mark": {"type": "bar", "stroke": "#555", "strokeWidth": 0.5}, "encoding": {"y": y, "x": x, "order": order,
            "color": {"field": "part", "type": "nominal", "title": null, "scale": {"domain": domain, "range": range}, "sort": domain,
                "legend": {"symbolType": "square", "symbolSize": 160, "symbolStrokeWidth": 0.5}},
            "tooltip": [{"field": "design"}, {"field": "part"}, {"field": "time_s", "format": ".4~g", "title": "s"},
                {"field": "share_pct", "format": ".3~g", "title": "%"}]}},
        {"mark": {"type": "text", "color": "#111", "fontSize": 11}, "encoding": {"y": y, "x": middle, "order": order,
            "detail": {"field": "part"},
            // Only where it fits into its part.
            "text": {"condition": {"test": format!("datum.time_s / {longest} * width > 36"), "field": "label"}, "value": ""}}},
    ]});
    let height = 34 * designs.len().max(1) as u32 + 10;
    Figure {
        id: format!("split-{index}"),
        title: "Where the time went".to_owned(),
        caption: "Every task's lifetime, divided; the sum over the tasks, the mean over the seeds. Local and \
                  remote memory are counted at the idle machine's speed; what sharing bandwidth added is queueing."
            .to_owned(),
        spec: spec("Task time of each design divided into its parts", height, data, rest),
    }
}

/// Local share of each task's memory traffic by design; `None` where no task moved a line.
pub(crate) fn tasks(
    index: usize,
    comparison: &Comparison,
    case: &Case,
    designs: &[String],
) -> Option<Figure> {
    let mut data = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for design in designs {
        for (name, mean) in task_means(comparison, case, design) {
            if mean.local_pct.is_finite() {
                data.push(json!({"task": name, "design": design, "local_pct": mean.local_pct, "lifetime_s": mean.lifetime_s,
                    "node_migrations": mean.node_migrations}));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if data.is_empty() {
        return None;
    }
    let row = if names.len() > 24 { 12 } else { 22 };
    // Slanted labels reach to the left of the plot, where a phone has little room.
    let slant = json!({"expr": "width < 420 ? -90 : -30"});
    let rest = json!({
        "mark": {"type": "rect", "stroke": "#8884", "strokeWidth": 0.5},
        "encoding": {
            "x": {"field": "design", "type": "nominal", "sort": designs, "title": null, "axis": {"labelAngle": slant, "labelOverlap": false}},
            "y": {"field": "task", "type": "nominal", "sort": names, "title": null, "axis": {"labelOverlap": true}},
            "color": {"field": "local_pct", "type": "quantitative", "title": "local, %", "scale": {"scheme": "viridis", "domain": [0.0, 100.0]},
                "legend": {"type": "gradient", "title": "local, %"}},
            "tooltip": [{"field": "task"}, {"field": "design"}, {"field": "local_pct", "format": ".1f", "title": "local, %"},
                {"field": "lifetime_s", "format": ".4~g", "title": "lifetime, s"},
                {"field": "node_migrations", "format": ".1f", "title": "moves between nodes"}],
        },
    });
    Some(Figure {
        id: format!("tasks-{index}"),
        title: "Local share by task".to_owned(),
        caption: "Share of each task's memory traffic that stayed on its node, mean over seeds."
            .to_owned(),
        spec: spec(
            "Local share of memory traffic of each task under each design",
            row * names.len() as u32,
            data,
            rest,
        ),
    })
}

/// Elapsed time over the cases of a sweep.
pub(crate) fn sweep(designs: &[String], cases: &[(Case, Vec<&SummaryRow>)]) -> Figure {
    let order: Vec<String> = cases.iter().map(|(case, _)| varying(case, cases)).collect();
    let mut data = Vec::new();
    for ((_, rows), name) in cases.iter().zip(&order) {
        for row in rows.iter().filter(|row| row.nr_seeds > 0) {
            let e = row.elapsed_s;
            data.push(json!({"case": name, "design": row.design, "elapsed_s": e.mean, "low": e.low, "high": e.high,
                "label": compact(e.mean)}));
        }
    }
    // Slanted labels reach to the left of the plot, where a phone has little room.
    let limit = json!({"expr": "width < 420 ? 100 : 240"});
    let x = json!({"field": "case", "type": "nominal", "sort": order, "title": null, "axis": {"labelAngle": -30, "labelLimit": limit}});
    let y = json!({"field": "elapsed_s", "type": "quantitative", "title": "elapsed machine time, s", "scale": {"domainMin": 0.0}});
    let low = json!({"field": "low", "type": "quantitative"});
    let color = json!({"field": "design", "type": "nominal", "scale": {"domain": designs}});
    let mut marks = json!({"mark": {"type": "line", "point": true, "strokeWidth": 2},
        "encoding": with_channels(json!({"x": x, "y": y}), by_design(designs))});
    let mut rules = json!({"mark": {"type": "rule", "strokeWidth": 1.5, "clip": true},
        "encoding": {"x": x, "y": low, "y2": {"field": "high"}, "color": color}});
    if !are_steps(cases) {
        // A line from one program to another would say nothing; the designs stand side by side.
        let symbol = json!({"field": "design", "type": "nominal", "title": null,
            "legend": {"symbolSize": 70}, "scale": {"domain": designs}});
        let offset = json!({"field": "design", "type": "nominal", "scale": {"domain": designs}});
        marks = json!({"mark": {"type": "point", "filled": true, "size": 55}, "encoding":
            {"x": x, "xOffset": offset, "y": y, "color": symbol, "shape": symbol}});
        rules["encoding"]["xOffset"] = offset;
    }
    let rest = json!({"layer": [marks, rules]});
    Figure {
        id: "sweep".to_owned(),
        title: "Elapsed time over all cases".to_owned(),
        caption: "Mean over seeds with 95 % intervals.".to_owned(),
        spec: spec("Elapsed time of each design in each case", 320, data, rest),
    }
}

/// Whether the cases are steps of one quantity, so that a line between them means something.
fn are_steps(cases: &[(Case, Vec<&SummaryRow>)]) -> bool {
    let Some((first, _)) = cases.first() else { return false };
    let varies = |axis: &&String| {
        cases.iter().any(|(case, _)| case.axes.get(*axis) != first.axes.get(*axis))
    };
    let mut varying = first.axes.keys().filter(varies);
    let (Some(axis), None) = (varying.next(), varying.next()) else { return false };
    let is_number = |value: &String| value.starts_with(|letter: char| letter.is_ascii_digit());
    !["machine", "workload"].contains(&axis.as_str())
        && cases.iter().all(|(case, _)| case.axes.get(axis).is_some_and(is_number))
}

/// What tells a case from the others.
fn varying(case: &Case, cases: &[(Case, Vec<&SummaryRow>)]) -> String {
    let mut words = Vec::new();
    if cases.iter().any(|(other, _)| other.workload != case.workload) {
        words.push(case.workload.clone());
    }
    if cases.iter().any(|(other, _)| other.machine != case.machine) {
        words.push(case.machine.clone());
    }
    for (axis, value) in &case.axes {
        let differs = |(other, _): &(Case, Vec<&SummaryRow>)| other.axes.get(axis) != Some(value);
        // A file is told by the name of what is in it, if no other file has the same.
        let told = words.contains(value)
            || match axis.as_str() {
                "workload" => {
                    cases.iter().filter(|it| differs(it)).all(|it| it.0.workload != case.workload)
                }
                "machine" => {
                    cases.iter().filter(|it| differs(it)).all(|it| it.0.machine != case.machine)
                }
                _ => false,
            };
        if !told && cases.iter().any(differs) {
            words.push(format!("{axis} {value}"));
        }
    }
    if words.is_empty() { "as given".to_owned() } else { words.join(", ") }
}
