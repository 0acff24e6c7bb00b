//! Drawing a machine as a graph: nodes as boxes on an ellipse, links as lines.
//!
//! The picture stands alone: no scripts, fonts or files from elsewhere. Lines and text take the
//! colour of the text around it; what is behind them is the CSS variable `--machine-background` or
//! else the system's `Canvas`, so a dark page declares the variable or `color-scheme: dark`.

use std::fmt::Write as _;

use base::{NodeId, Pages};
use config::CpuList;

use crate::machine::{Machine, Pattern, ResourceKind};
use crate::summary::{BandwidthLine, bandwidth_lines, decimals, gb};

const BOX_WIDTH: f64 = 156.0;
const BOX_HEIGHT: f64 = 72.0;
const LINE_HEIGHT: f64 = 17.0;
const MARGIN: f64 = 16.0;
/// With more links than this their peaks stand in the legend only.
const LABELLED_LINKS_MAX: usize = 6;
/// Characters of a legend's line; longer ones are broken.
const LEGEND_CHARS: usize = 84;

/// The machine as an SVG document.
pub fn svg(machine: &Machine) -> String {
    let (radius_x, radius_y) = radii(machine.nodes.len());
    let flat = machine.nodes.len() <= 2;
    let center_y = MARGIN + BOX_HEIGHT / 2.0 + if flat { 0.0 } else { radius_y };
    let center_x = MARGIN + BOX_WIDTH / 2.0 + radius_x;
    let positions: Vec<(f64, f64)> = (0..machine.nodes.len())
        .map(|node| {
            let (x, y) = on_circle(node, machine.nodes.len());
            (center_x + radius_x * x, center_y + if flat { 0.0 } else { radius_y * y })
        })
        .collect();
    let legend = legend(&bandwidth_lines(machine));
    let width = 2.0 * center_x;
    let graph_height = 2.0 * center_y;
    let height = graph_height + LINE_HEIGHT * legend.len() as f64 + MARGIN;
    let mut out = String::new();
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="{label}" font-family="system-ui, sans-serif" font-size="13" fill="currentColor" style="max-width: 100%; height: auto">"#,
        label = escaped(&format!("{}: nodes and links", machine.name)),
    );
    let _ = write!(
        out,
        "<style>.numa-box{{fill:var(--machine-background,Canvas);stroke:currentColor;stroke-width:1.5}}\
         .numa-link{{stroke:currentColor;stroke-opacity:.45;stroke-width:1.5}}\
         .numa-label{{stroke:var(--machine-background,Canvas);stroke-width:8;stroke-linejoin:round;paint-order:stroke;text-anchor:middle}}</style>"
    );
    links(&mut out, machine, &positions);
    for node in machine.nodes.ids() {
        node_box(&mut out, machine, node, positions[node.idx()]);
    }
    for (idx, line) in legend.iter().enumerate() {
        let y = graph_height + LINE_HEIGHT * (idx as f64 + 0.7);
        let _ = write!(out, r#"<text x="{MARGIN}" y="{y:.1}">{}</text>"#, escaped(line));
    }
    out.push_str("</svg>");
    out
}

/// Half the ellipse's width and height for a number of nodes, so that their boxes have room.
fn radii(nr: usize) -> (f64, f64) {
    ((38.0 * nr as f64).max(250.0), (30.0 * nr as f64).max(150.0))
}

/// Points around a circle, the first at the upper left, without trigonometry, so that they are
/// the same on every machine: each eighth of the circle by its rational parametrisation.
fn on_circle(idx: usize, nr: usize) -> (f64, f64) {
    if nr == 1 {
        return (0.0, 0.0);
    }
    if nr == 2 {
        return (if idx == 0 { -1.0 } else { 1.0 }, 0.0);
    }
    let quarters = 4.0 * (idx as f64 + 0.5) / nr as f64;
    let part = quarters - quarters.floor();
    let mirrored = part > 0.5;
    let eighth = 2.0 * if mirrored { 1.0 - part } else { part };
    // t = tan(angle / 2), and tan(45 degrees / 2) = sqrt(2) - 1.
    let t = eighth * (std::f64::consts::SQRT_2 - 1.0);
    let (long, short) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
    let (cos, sin) = if mirrored { (short, long) } else { (long, short) };
    match quarters.floor() as u32 {
        0 => (-cos, -sin),
        1 => (sin, -cos),
        2 => (cos, sin),
        _ => (-sin, cos),
    }
}

fn links(out: &mut String, machine: &Machine, positions: &[(f64, f64)]) {
    let pairs = pairs(machine);
    let labelled = pairs.len() <= LABELLED_LINKS_MAX;
    let mut labels = String::new();
    for (a, b) in pairs {
        let ((x1, y1), (x2, y2)) = (positions[a.idx()], positions[b.idx()]);
        let _ = write!(
            out,
            r#"<line class="numa-link" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
        if labelled {
            // Off the middle, where diagonals cross.
            let at = if positions.len() > 2 { 0.36 } else { 0.5 };
            let (x, y) = (x1 + (x2 - x1) * at, y1 + (y2 - y1) * at + 4.0);
            let text = escaped(&link_text(machine, a, b));
            let _ =
                write!(labels, r#"<text class="numa-label" x="{x:.1}" y="{y:.1}">{text}</text>"#);
        }
    }
    out.push_str(&labels);
}

/// Linked nodes, each pair once.
fn pairs(machine: &Machine) -> Vec<(NodeId, NodeId)> {
    let mut pairs: Vec<(NodeId, NodeId)> = machine
        .resources
        .iter()
        .filter_map(|resource| match resource.kind {
            ResourceKind::LinkOneWay(a, b) | ResourceKind::LinkBothWays(a, b) => {
                Some((a.min(b), a.max(b)))
            }
            _ => None,
        })
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The capacity of one direction, or of both together where only that is known.
fn link_text(machine: &Machine, a: NodeId, b: NodeId) -> String {
    let peak_of = |kind| machine.resources.iter().find(|resource| resource.kind == kind);
    let one_way =
        peak_of(ResourceKind::LinkOneWay(a, b)).or_else(|| peak_of(ResourceKind::LinkOneWay(b, a)));
    let both = peak_of(ResourceKind::LinkBothWays(a, b));
    match (one_way, both) {
        (Some(one_way), _) => format!("{} GB/s", gb(one_way.peak.at(1.0, Pattern::Sequential))),
        (None, Some(both)) => {
            format!("{} GB/s both ways", gb(both.peak.at(1.0, Pattern::Sequential)))
        }
        (None, None) => String::new(),
    }
}

fn node_box(out: &mut String, machine: &Machine, id: NodeId, (x, y): (f64, f64)) {
    let node = &machine.nodes[id];
    let memory: Pages = node.zones.iter().map(|zone| zone.managed).sum();
    let gib = decimals(memory.bytes().0 as f64 / f64::from(1 << 30));
    let cpus = node.cpus.iter().collect::<CpuList>().text();
    let (cpus, dash) = if cpus.is_empty() {
        ("no CPUs".to_owned(), r#" stroke-dasharray="5 4""#)
    } else {
        (format!("CPUs {cpus}"), "")
    };
    let (left, top) = (x - BOX_WIDTH / 2.0, y - BOX_HEIGHT / 2.0);
    let _ = write!(
        out,
        r#"<rect class="numa-box" x="{left:.1}" y="{top:.1}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"{dash}/>"#
    );
    let latency = decimals(machine.idle_latency_ns[(id, id)]);
    let lines = match node.cpus.is_empty() {
        true => [format!("node {id}"), cpus, format!("{gib} GiB, tier {}", node.tier)],
        false => [format!("node {id}"), cpus, format!("{gib} GiB, {latency} ns")],
    };
    for (idx, line) in lines.iter().enumerate() {
        let y = top + 21.0 + LINE_HEIGHT * 1.1 * idx as f64;
        let weight = if idx == 0 { r#" font-weight="600""# } else { "" };
        let text = escaped(line);
        let _ = write!(
            out,
            r#"<text text-anchor="middle" x="{x:.1}" y="{y:.1}"{weight}>{text}</text>"#
        );
    }
}

/// The bandwidths, a line or more each.
fn legend(lines: &[BandwidthLine]) -> Vec<String> {
    let mut legend = Vec::new();
    for line in lines {
        let mut current = String::new();
        for word in format!("{}: {}", line.label, line.peak).split(' ') {
            if !current.is_empty() && current.chars().count() + word.chars().count() > LEGEND_CHARS
            {
                legend.push(std::mem::take(&mut current));
                current.push('\u{2003}');
            }
            if !current.is_empty() && current != "\u{2003}" {
                current.push(' ');
            }
            current.push_str(word);
        }
        legend.push(current);
    }
    legend
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{shipped, shipped_names};

    #[test]
    fn every_shipped_machine_is_drawn_alone_and_whole() {
        for name in shipped_names() {
            let mut machine = shipped(&name);
            machine.name = "<&\"".to_owned();
            let svg = svg(&machine);
            assert_eq!(svg.matches("<rect").count(), machine.nodes.len(), "{name}");
            assert_eq!(svg.matches("<line").count(), pairs(&machine).len(), "{name}");
            assert!(svg.contains("aria-label=\"&lt;&amp;&quot;: nodes"), "{name}");
            assert!(!svg.contains("href") && !svg.contains("url("), "{name}");
            assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        }
    }

    #[test]
    fn boxes_do_not_overlap() {
        for nr in 1..=64usize {
            let (radius_x, radius_y) = radii(nr);
            let at = |idx| {
                let (x, y) = on_circle(idx, nr);
                assert!((x * x + y * y - 1.0).abs() < 1e-12 || nr == 1);
                (radius_x * x, radius_y * y)
            };
            for a in 0..nr {
                for b in a + 1..nr {
                    let ((ax, ay), (bx, by)) = (at(a), at(b));
                    let apart = (ax - bx).abs() > BOX_WIDTH || (ay - by).abs() > BOX_HEIGHT;
                    assert!(apart, "{a} and {b} of {nr}");
                }
            }
        }
    }
}
