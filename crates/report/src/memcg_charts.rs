//! What decides between designs of reclaim, a chart a quantity: latency, refaults, throughput, stalls of each
//! memory cgroup or process.

use results::Estimate;
use serde_json::{Value, json};

use crate::charts::{Figure, latency_axis, spec};
use crate::figures::compact;
use crate::memcgs::{GroupRow, by_group, digits};

/// The charts of a case; empty where nothing reclaims.
pub(crate) fn figures(index: usize, rows: &[GroupRow], designs: &[String]) -> Vec<Figure> {
    if rows.is_empty() {
        return Vec::new();
    }
    let chart = Chart { index, rows, designs };
    let has_refaults = rows.iter().any(|row| row.refaults.mean.is_finite());
    let faults = if has_refaults { &REFAULTS } else { &MAJOR_FAULTS };
    vec![chart.latency(), chart.bars(faults), chart.bars(&RATE), chart.bars(&STALLS)]
}

/// A quantity that bars show.
struct Quantity {
    title: &'static str,
    unit: &'static str,
    caption: &'static str,
    /// The estimate, and what it is multiplied by for the unit.
    value: fn(&GroupRow) -> (Estimate, f64),
}

const REFAULTS: Quantity = Quantity {
    title: "Refaults",
    unit: "refaults",
    caption: "Pages that were taken and came back: what was not protected of a working set. Mean over seeds \
              with the 95 % interval.",
    value: |row| (row.refaults, 1.0),
};

const MAJOR_FAULTS: Quantity = Quantity {
    title: "Major faults",
    unit: "major faults",
    caption: "Faults that had to read a device, in the measured part. Mean over seeds with the 95 % interval.",
    value: |row| (row.major_faults, 1.0),
};

const RATE: Quantity = Quantity {
    title: "Throughput",
    unit: "MB/s",
    caption: "What tasks moved between memory and caches, or read of files.",
    value: |row| (row.rate, 1e-6),
};

const STALLS: Quantity = Quantity {
    title: "Stalls",
    unit: "task time in reclaim, ms",
    caption: "Time that tasks spent reclaiming memory, for the machine or for a limit.",
    value: |row| (row.stalled_s, 1e3),
};

struct Chart<'a> {
    index: usize,
    rows: &'a [GroupRow],
    designs: &'a [String],
}

impl Chart<'_> {
    fn names(&self) -> Vec<&str> {
        by_group(self.rows).iter().map(|(name, _)| *name).collect()
    }

    /// A row a design, in it a line a group or process.
    fn channels(&self) -> [(&'static str, Value); 3] {
        let names = self.names();
        [
            (
                "y",
                json!({"field": "design", "type": "nominal", "sort": self.designs, "title": null, "axis": {"labelLimit": 150}}),
            ),
            ("yOffset", json!({"field": "of", "sort": names})),
            (
                "color",
                json!({"field": "of", "type": "nominal", "title": null, "scale": {"domain": names}}),
            ),
        ]
    }

    /// A layer with the channels that all have.
    fn layer(&self, mark: Value, own: &[(&str, Value)]) -> Value {
        let mut encoding = json!({});
        for (channel, value) in
            self.channels().iter().map(|(c, v)| (*c, v)).chain(own.iter().map(|(c, v)| (*c, v)))
        {
            encoding[channel] = value.clone();
        }
        json!({"mark": mark, "encoding": encoding})
    }

    fn figure(
        &self,
        id: &str,
        title: &str,
        caption: &str,
        data: Vec<Value>,
        layers: Vec<Value>,
    ) -> Figure {
        let height = self.designs.len() * (8 + 16 * self.names().len()) + 10;
        let description = format!("{title} of each memory cgroup or process under each design");
        Figure {
            id: format!("memcg-{id}-{}", self.index),
            title: title.to_owned(),
            caption: caption.to_owned(),
            spec: spec(&description, height as u32, data, json!({ "layer": layers })),
        }
    }

    fn bars(&self, quantity: &Quantity) -> Figure {
        let mut most = f64::MIN_POSITIVE;
        let mut data = Vec::new();
        for row in self.rows {
            let (estimate, scale) = (quantity.value)(row);
            let [mean, low, high] =
                [estimate.mean, estimate.low, estimate.high].map(|value| value * scale);
            most = most.max(high.max(mean));
            data.push(json!({"of": row.name, "design": row.design, "value": mean, "low": low, "high": high,
                "label": digits(mean)}));
        }
        // Room for the label behind the longest bar, whatever the width.
        let scale = json!({"domainMin": 0.0, "nice": false,
            "domainMax": {"expr": format!("{most} / max(0.3, 1 - 60 / width)")}});
        let x = json!({"field": "value", "type": "quantitative", "title": quantity.unit, "scale": scale});
        let high = || ("x", json!({"field": "high", "type": "quantitative"}));
        let layers = vec![
            self.layer(json!({"type": "bar", "cornerRadiusEnd": 2}), &[("x", x)]),
            self.layer(
                json!({"type": "rule", "strokeWidth": 1.5}),
                &[
                    ("x", json!({"field": "low", "type": "quantitative"})),
                    ("x2", json!({"field": "high"})),
                    ("color", json!({})),
                ],
            ),
            self.layer(
                json!({"type": "text", "align": "left", "dx": 4, "fontSize": 10}),
                &[high(), ("text", json!({"field": "label"})), ("color", json!({}))],
            ),
        ];
        let id = quantity.title.to_lowercase().replace(' ', "-");
        self.figure(&id, quantity.title, quantity.caption, data, layers)
    }

    /// Median, 99 and 99.9 % and the slowest access.
    fn latency(&self) -> Figure {
        let (mut least, mut most) = (f64::INFINITY, 1.0f64);
        let mut data = Vec::new();
        for row in self.rows {
            let [p50, p99, p99_9, max] = row.latency_ns.map(|estimate| estimate.mean.max(1.0));
            (least, most) = (least.min(p50), most.max(max));
            data.push(json!({"of": row.name, "design": row.design, "p50": p50, "p99": p99, "p999": p99_9, "max": max,
                "label": compact(p99)}));
        }
        let x = |field: &str| latency_axis(field, "access latency", least, most);
        let tick = |size: u32| json!({"type": "tick", "thickness": 2, "size": size});
        let tooltip: Vec<Value> = [
            ("design", "design"),
            ("of", "of"),
            ("p50", "p50, ns"),
            ("p99", "p99, ns"),
            ("p999", "p99.9, ns"),
            ("max", "slowest, ns"),
        ]
        .iter()
        .map(|(field, title)| json!({"field": field, "title": title}))
        .collect();
        let dot = json!({"type": "point", "filled": true, "size": 80, "opacity": 1});
        let layers = vec![
            self.layer(
                json!({"type": "rule", "strokeWidth": 2, "opacity": 0.6}),
                &[("x", x("p50")), ("x2", json!({"field": "max"}))],
            ),
            self.layer(tick(9), &[("x", x("p50"))]),
            self.layer(tick(9), &[("x", x("p999"))]),
            self.layer(tick(5), &[("x", x("max"))]),
            self.layer(dot, &[("x", x("p99")), ("tooltip", json!(tooltip))]),
        ];
        let caption = "Dot: 99 % of the accesses took at most this long. Strokes: median, 99.9 %, the slowest. A fault or a \
                       read counts from its beginning to its end.";
        self.figure("latency", "Access latency", caption, data, layers)
    }
}
