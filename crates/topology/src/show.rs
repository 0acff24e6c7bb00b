//! Drawing a machine as text of at most 80 columns.

use std::fmt::Write as _;

use base::{Bytes, NodeId, Pages};
use config::{CpuList, FromToml, Value};

use crate::machine::{LoadedLatency, Machine, Matrix};
use crate::summary::{bandwidth_lines, decimals, gb};
use crate::watermarks::{min_free_kbytes, watermarks};

/// No line is longer, unless a word is.
const WIDTH: usize = 80;
/// Columns of a matrix beside each other.
const MATRIX_COLUMNS: usize = 12;

/// The machine for people: nodes, zones with their watermarks, matrices, bandwidths, caches, costs.
/// Ends with a newline.
pub fn show(machine: &Machine) -> String {
    let mut out = String::new();
    paragraph(&mut out, "", &format!("{}: {}", machine.name, machine.description));
    nodes(&mut out, machine);
    zones(&mut out, machine);
    matrix(&mut out, "distances (SLIT)", &machine.distances, u8::to_string);
    matrix(&mut out, "idle latency, ns", &machine.idle_latency_ns, |ns| decimals(*ns));
    loaded_latency(&mut out, &machine.loaded_latency);
    let [sequential, random] = &machine.core_max;
    if sequential == random {
        matrix(&mut out, "one core's maximum, GB/s", sequential, |rate| gb(*rate));
    } else {
        matrix(&mut out, "one core's maximum, sequential, GB/s", sequential, |rate| gb(*rate));
        matrix(&mut out, "one core's maximum, random, GB/s", random, |rate| gb(*rate));
    }
    bandwidths(&mut out, machine);
    settings(&mut out, machine);
    table(&mut out, "costs", &machine.costs);
    table(&mut out, "kernel", &machine.kernel);
    table(&mut out, "daemons", &machine.daemons);
    out
}

fn heading(out: &mut String, text: &str) {
    let _ = writeln!(out, "\n{text}");
}

/// Text broken at spaces; lines after the first are indented by two more.
fn paragraph(out: &mut String, indent: &str, text: &str) {
    let mut line = indent.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            line = format!("{indent}  ");
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

fn nodes(out: &mut String, machine: &Machine) {
    heading(out, "nodes");
    let _ = writeln!(out, "  node  tier    memory  cpus");
    for (id, node) in machine.nodes.enumerate() {
        let memory: Pages = node.zones.iter().map(|zone| zone.managed).sum();
        let cpus = node.cpus.iter().collect::<CpuList>().text();
        let cpus = if cpus.is_empty() { "none" } else { &cpus };
        let _ = writeln!(out, "  {:>4}  {:>4}  {:>8}  {cpus}", id.idx(), node.tier, size(memory));
    }
    let cores =
        machine.cpus.iter().map(|cpu| cpu.core).max().map_or(0, |last| usize::from(last) + 1);
    let llcs = machine.cpus.iter().map(|cpu| cpu.llc).max().map_or(0, |last| usize::from(last) + 1);
    let packages =
        machine.cpus.iter().map(|cpu| cpu.package).max().map_or(0, |last| usize::from(last) + 1);
    let some = |nr: usize, what: &str| format!("{nr} {what}{}", if nr == 1 { "" } else { "s" });
    let parts = [
        some(machine.cpus.len(), "CPU"),
        some(cores, "core"),
        some(llcs, "last-level cache"),
        some(packages, "socket"),
    ];
    paragraph(out, "  ", &parts.join(", "));
}

fn zones(out: &mut String, machine: &Machine) {
    heading(out, &format!("zones, in pages (min_free_kbytes {})", min_free_kbytes(machine)));
    let _ = writeln!(out, "  node  zone        managed       min       low      high     promo");
    for ((id, node), marks) in machine.nodes.enumerate().zip(&watermarks(machine)) {
        for (zone, marks) in node.zones.iter().zip(marks) {
            let [min, low, high, promo] =
                [marks.min, marks.low, marks.high, marks.promo].map(|pages| pages.0);
            let _ = writeln!(
                out,
                "  {:>4}  {:<8} {:>10} {min:>9} {low:>9} {high:>9} {promo:>9}",
                id.idx(),
                zone.kind.name(),
                zone.managed.0
            );
        }
    }
}

fn size(pages: Pages) -> String {
    let Bytes(bytes) = pages.bytes();
    // Two decimals suffice for a memory's size.
    let (scale, unit) = if bytes >= 1 << 30 { (1u64 << 30, "GiB") } else { (1 << 20, "MiB") };
    format!("{}{unit}", decimals(bytes as f64 / scale as f64))
}

fn matrix<T>(out: &mut String, title: &str, matrix: &Matrix<T>, text: impl Fn(&T) -> String) {
    heading(out, title);
    let ids: Vec<NodeId> = matrix.0.ids().collect();
    for columns in ids.chunks(MATRIX_COLUMNS) {
        let header: String = columns.iter().map(|to| format!("{:>6}", to.idx())).collect();
        let _ = writeln!(out, "       {header}");
        for from in &ids {
            let row = columns.iter().map(|to| format!("{:>6}", text(&matrix[(*from, *to)])));
            let _ = writeln!(out, "  {:>4} {}", from.idx(), row.collect::<String>());
        }
    }
}

fn loaded_latency(out: &mut String, loaded: &LoadedLatency) {
    let text = match loaded {
        LoadedLatency::Flat => "no growth below saturation".to_owned(),
        LoadedLatency::Points(points) => {
            let points: Vec<String> = points
                .iter()
                .map(|(at, factor)| format!("{} at {}%", decimals(*factor), decimals(at * 100.0)))
                .collect();
            format!("times {}", points.join(", "))
        }
        LoadedLatency::Curve { c1, c2, clip } => {
            format!("times 1 + {c1} u + {c2} u / (1 - u), at most {clip}")
        }
    };
    paragraph(out, "  ", &format!("under load: {text}"));
}

fn bandwidths(out: &mut String, machine: &Machine) {
    heading(out, "shared bandwidths");
    for line in bandwidth_lines(machine) {
        paragraph(out, "  ", &format!("{}: {}", line.label, line.peak));
    }
    let weight = decimals(machine.local_weight);
    paragraph(out, "  ", &format!("weight of a local stream on a saturated one: {weight}"));
}

fn settings(out: &mut String, machine: &Machine) {
    heading(out, "cores");
    let text = format!(
        "{} lines in flight; {} ns an instruction; SMT siblings run at {} each",
        decimals(machine.lines_in_flight),
        machine.ns_per_instruction,
        machine.smt_share
    );
    paragraph(out, "  ", &text);
    let levels = machine.caches.levels.iter().enumerate();
    let levels: Vec<String> = levels
        .map(|(idx, cache)| format!("L{} {} {}-way", idx + 1, cache.size, cache.ways))
        .collect();
    let caches = if levels.is_empty() { "none".to_owned() } else { levels.join(", ") };
    paragraph(out, "  ", &format!("caches of one thread: {caches}"));
    if !machine.devices.is_empty() {
        heading(out, "devices");
    }
    for device in &machine.devices {
        let text = format!(
            "{}: {}, {}, depth {}, read {}, write {}, next page {}",
            device.name,
            device.kind,
            size(device.capacity),
            device.queue_depth,
            device.read,
            device.write,
            device.sequential_page
        );
        paragraph(out, "  ", &text);
    }
}

/// The keys and values of a table, two a line.
fn table<T: FromToml>(out: &mut String, title: &str, table: &T) {
    heading(out, title);
    let mut cells = Vec::new();
    if let Some(value) = table.to_toml() {
        keys("", &value, &mut cells);
    }
    let columns = if cells.iter().any(|cell| cell.chars().count() > 37) { 1 } else { 2 };
    for row in cells.chunks(columns) {
        let line: String = row.iter().map(|cell| format!("  {cell:<37}")).collect();
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// A line a key; those of tables within are told by their whole path.
fn keys(prefix: &str, value: &Value, cells: &mut Vec<String>) {
    for entry in value.as_table().iter().flat_map(|table| &table.entries) {
        let path = format!("{prefix}{}", entry.key);
        if entry.value.as_table().is_some() {
            keys(&format!("{path}."), &entry.value, cells);
        } else {
            let text = config::to_toml_text(&entry.value);
            cells.push(format!("{path} {}", text.replace('"', "")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{shipped, shipped_names};

    #[test]
    fn every_shipped_machine_fits_eighty_columns() {
        for name in shipped_names() {
            let text = show(&shipped(&name));
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{name}: {line}");
            }
        }
    }

    #[test]
    fn a_machine_is_shown_with_all_its_parts() {
        insta::assert_snapshot!(show(&shipped("quad.toml")));
    }
}
