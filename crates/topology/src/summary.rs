//! What both drawings of a machine say in words.

use base::NodeMask;
use config::NodeList;

use crate::machine::{BandwidthResource, Machine, Pattern, Peak, ResourceKind};

/// Bandwidths that are alike, told together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BandwidthLine {
    /// `controllers 0-3`.
    pub(crate) label: String,
    /// `72 GB/s`.
    pub(crate) peak: String,
}

/// A class of resources: its name, and whether a kind is of it.
type Class = (&'static str, fn(&ResourceKind) -> bool);

/// The classes in the order shown.
const CLASSES: [Class; 7] = [
    ("local port", |kind| matches!(kind, ResourceKind::LocalPort(_))),
    ("controller", |kind| matches!(kind, ResourceKind::Controller(_))),
    ("link, one way,", |kind| matches!(kind, ResourceKind::LinkOneWay(..))),
    ("link, both ways,", |kind| matches!(kind, ResourceKind::LinkBothWays(..))),
    ("fabric", |kind| matches!(kind, ResourceKind::Fabric(_))),
    ("groups, one way,", |kind| matches!(kind, ResourceKind::GroupOneWay(..))),
    ("groups, both ways,", |kind| matches!(kind, ResourceKind::GroupBothWays(..))),
];

/// All shared bandwidths, like ones of a kind in one line.
pub(crate) fn bandwidth_lines(machine: &Machine) -> Vec<BandwidthLine> {
    let mut lines = Vec::new();
    for (class, is_class) in CLASSES {
        let of_class: Vec<&BandwidthResource> =
            machine.resources.iter().filter(|resource| is_class(&resource.kind)).collect();
        let mut peaks: Vec<&Peak> = Vec::new();
        for resource in &of_class {
            if !peaks.contains(&&resource.peak) {
                peaks.push(&resource.peak);
            }
        }
        for peak in &peaks {
            let alike: Vec<&BandwidthResource> =
                of_class.iter().copied().filter(|resource| resource.peak == **peak).collect();
            let members = if peaks.len() == 1 && alike.len() > 4 && class.contains(',') {
                format!("each of {}", alike.len())
            } else {
                members(&alike)
            };
            let label = format!("{class} {members}");
            lines.push(BandwidthLine { label, peak: peak_text(peak) });
        }
    }
    lines
}

/// `0-3`, or `0>1 1>0`.
fn members(resources: &[&BandwidthResource]) -> String {
    let nodes = resources.iter().filter_map(|resource| match resource.kind {
        ResourceKind::LocalPort(node) | ResourceKind::Controller(node) => Some(node),
        _ => None,
    });
    let nodes: NodeMask = nodes.collect();
    if !nodes.is_empty() {
        return node_ranges(nodes);
    }
    let names = resources.iter().map(|resource| match resource.name.split_once(' ') {
        Some((_, pair)) => pair,
        None => resource.name.as_str(),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// A set of nodes as the kernel writes it: `0-3,6`.
pub(crate) fn node_ranges(nodes: NodeMask) -> String {
    nodes.iter().collect::<NodeList>().text()
}

/// A capacity: `72 GB/s`, by streams `12.26 GB/s at 6, 11.7 at 12`, by pattern.
pub(crate) fn peak_text(peak: &Peak) -> String {
    let [sequential, random] = &peak.points;
    if sequential == random {
        return points_text(sequential);
    }
    let [first, second] = Pattern::ALL.map(Pattern::name);
    format!("{first} {}; {second} {}", points_text(sequential), points_text(random))
}

fn points_text(points: &[(f64, f64)]) -> String {
    match points {
        [] => "none".to_owned(),
        [(_, peak)] => format!("{} GB/s", gb(*peak)),
        _ => {
            let text: Vec<String> =
                points.iter().map(|(nr, peak)| format!("{} at {nr}", gb(*peak))).collect();
            format!("{} GB/s by streams", text.join(", "))
        }
    }
}

/// Bytes per second in GB/s, with two decimals where they matter.
pub(crate) fn gb(bytes_per_s: f64) -> String {
    decimals(bytes_per_s / 1e9)
}

/// At most two decimals.
pub(crate) fn decimals(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
