//! From a recording to the counters that are compared.

use reclaim::guest::{Stat, Stats};

use super::recording::{GAUGES, Recording, Snapshot, Watch};

/// One predicted counter.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Case.
    pub case: String,
    /// `a..b`, `@b`, `stepK`, `watchK`.
    pub phase: String,
    /// Counter.
    pub counter: String,
    /// Value.
    pub value: f64,
}

/// Names of the lists of a node.
const LISTS: [&str; 5] =
    ["inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"];

struct Out<'a> {
    case: &'a str,
    rows: Vec<Prediction>,
}

impl Out<'_> {
    fn push(&mut self, phase: &str, counter: String, value: f64) {
        self.rows.push(Prediction {
            case: self.case.to_owned(),
            phase: phase.to_owned(),
            counter,
            value,
        });
    }
}

/// All counters of all phases.
pub(super) fn predictions(case: &str, recording: Recording) -> Vec<Prediction> {
    let mut out = Out { case, rows: Vec::new() };
    let snapshots = &recording.snapshots;
    for (later, to) in snapshots.iter().enumerate().skip(1) {
        for from in &snapshots[..later] {
            changes(&mut out, from, to);
        }
        values(&mut out, &snapshots[0], to);
    }
    for (number, (region, ms)) in recording.steps.iter().enumerate() {
        out.push(&format!("step{}", number + 1), format!("step:{region}.ms"), *ms);
    }
    for (number, watch) in recording.watches.iter().enumerate() {
        watched(&mut out, &format!("watch{}", number + 1), watch, &recording.zones);
    }
    out.rows
}

fn since(to: &Stats, from: &Stats, stat: Stat) -> f64 {
    to[stat] as f64 - from[stat] as f64
}

fn changes(out: &mut Out<'_>, from: &Snapshot, to: &Snapshot) {
    let phase = format!("{}..{}", from.label, to.label);
    for stat in Stat::ALL {
        out.push(&phase, stat.name().to_owned(), since(&to.vm, &from.vm, *stat));
    }
    let kills = since(&to.vm, &from.vm, Stat::events_oom_kill);
    out.push(&phase, String::from("oom_kill"), kills);
    let both = |a, b| since(&to.vm, &from.vm, a) + since(&to.vm, &from.vm, b);
    out.push(&phase, String::from("pgscan"), both(Stat::pgscan_kswapd, Stat::pgscan_direct));
    out.push(&phase, String::from("pgsteal"), both(Stat::pgsteal_kswapd, Stat::pgsteal_direct));
    for (node, (to, from)) in to.numa.iter().zip(&from.numa).enumerate() {
        for (stat, value) in to.iter() {
            out.push(
                &phase,
                format!("node{node}.{}", stat.name()),
                value as f64 - from[stat] as f64,
            );
        }
    }
    for ((name, to, _), (_, from, _)) in to.groups.iter().zip(&from.groups) {
        for stat in Stat::ALL {
            let counter = match stat.name().strip_prefix("events_") {
                Some(event) => format!("cg:{name}.events.{event}"),
                None => format!("cg:{name}.{}", stat.name()),
            };
            out.push(&phase, counter, since(to, from, *stat));
        }
        let both = |a, b| since(to, from, a) + since(to, from, b);
        out.push(
            &phase,
            format!("cg:{name}.pgscan"),
            both(Stat::pgscan_kswapd, Stat::pgscan_direct),
        );
        out.push(
            &phase,
            format!("cg:{name}.pgsteal"),
            both(Stat::pgsteal_kswapd, Stat::pgsteal_direct),
        );
    }
}

fn values(out: &mut Out<'_>, start: &Snapshot, at: &Snapshot) {
    let phase = format!("@{}", at.label);
    for (name, _, gauges) in &at.groups {
        for ((_, gauge), value) in GAUGES.iter().zip(gauges) {
            out.push(&phase, format!("cg:{name}.{gauge}"), *value as f64);
        }
    }
    for (list, list_name) in LISTS.iter().enumerate() {
        let mut sum = 0.0;
        for node in 0..at.lists.len() {
            let value = at.lists[node][list] as f64 - start.lists[node][list] as f64;
            out.push(&phase, format!("node{node}.nr_{list_name}"), value);
            sum += value;
        }
        out.push(&phase, format!("nr_{list_name}"), sum);
    }
    for (name, pages) in &at.maps {
        for (node, pages) in pages.iter().enumerate() {
            out.push(&phase, format!("map:{name}.N{node}"), *pages as f64);
        }
    }
    out.push(&phase, String::from("slab.dentry.active"), at.dentries as f64);
}

fn watched(out: &mut Out<'_>, phase: &str, watch: &Watch, zones: &[String]) {
    let dirty: Vec<f64> = watch.rows.iter().map(|row| row.2 as f64).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    out.push(phase, String::from("watch:nr_dirty+nr_writeback.max"), most(&dirty));
    out.push(
        phase,
        String::from("watch:nr_dirty+nr_writeback.mean_2nd_half"),
        mean(&dirty[dirty.len() / 2..]),
    );
    let Some(first) = watch.rows.first() else { return };
    let Some(begin) = watch.rows.iter().position(|row| row.1 > first.1) else { return };
    out.push(phase, String::from("watch:touches_at_first_kswapd"), watch.rows[begin].0 as f64);
    for (zone, name) in zones.iter().enumerate() {
        let free: Vec<f64> = watch.rows[begin..].iter().map(|row| row.3[zone] as f64).collect();
        let least = free.iter().copied().fold(f64::INFINITY, f64::min);
        out.push(phase, format!("watch:free.{name}.min_since"), least);
        out.push(phase, format!("watch:free.{name}.mean_since"), mean(&free));
        out.push(phase, format!("watch:free.{name}.max_since"), most(&free));
    }
}
