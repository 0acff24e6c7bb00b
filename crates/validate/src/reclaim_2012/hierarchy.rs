//! Checks of the designs for reclaim of a hierarchy.

use base::{Zipf, stream as random_stream};
use reclaim::guest::{Gauge, Guest, Stat};

use super::Value;
use super::rig::{count, group, machine, region};
use crate::row::Kind;

/// Pages of Han's machine, an eighth of 32 GB.
const HAN_PAGES: u64 = 1 << 20;
/// Groups there.
const HAN_GROUPS: usize = 20;

/// Pages that global reclaim took of each group, of which the first `protected` have their hard limit
/// as soft limit and the others 0.
fn han_steals(design: &str, protected: usize) -> Vec<f64> {
    let mut guest = machine(HAN_PAGES, 8, design, 0);
    let limit = HAN_PAGES / 64;
    let mut files = Vec::new();
    for number in 0..HAN_GROUPS {
        let id = group(&mut guest, &format!("g{number}"), limit, 0);
        guest.set_soft_limit(id, if number < protected { limit } else { 0 });
        let pages = 2 * limit as u32;
        files.push((id, region(&mut guest, id, Some(&format!("f{number}")), pages)));
    }
    let hog = group(&mut guest, "hog", u64::MAX, 0);
    // The mail does not say how much the hog takes; it leaves the groups one of their limits short.
    let taken = (HAN_PAGES - 19 * limit) as u32;
    let hogged = region(&mut guest, hog, None, taken);
    (0..taken).for_each(|page| guest.touch(0, hogged, page, true));
    // Each group reads its file twice, in turns of 256 pages.
    for turn in 0..2 * 2 * limit as u32 / 256 {
        for (_, file) in &files {
            for page in turn * 256..(turn + 1) * 256 {
                guest.file_io(0, *file, page % (2 * limit as u32), false);
            }
        }
    }
    files.iter().map(|(id, _)| count(&guest, *id, &[Stat::pgsteal_kswapd])).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Han's machine under her design of April 2012.
pub(super) fn han() -> Vec<Value> {
    let design = "soft-limit-own";
    let [equal, five, ten] = [0, 5, 10].map(|protected| han_steals(design, protected));
    let least = equal.iter().copied().fold(f64::MAX, f64::min);
    let predicted = |name: &str, quantity, expected, band, got| Value {
        name: name.to_owned(),
        kind: Kind::Predicted,
        quantity,
        expected,
        band,
        got,
    };
    let spread = (most(&equal) - least) / mean(&equal);
    let quantity = "pages stolen of a protected group, of those of another";
    vec![
        predicted("equal-spread", "range of pages stolen, of the mean", 0.135, (0.0, 0.15), spread),
        predicted("5-protected", quantity, 0.0, (0.0, 0.0), most(&five[..5]) / mean(&five[5..])),
        predicted(
            "10-protected",
            quantity,
            0.0005,
            (0.0, 0.002),
            most(&ten[..10]) / mean(&ten[10..]),
        ),
    ]
}

/// Seconds and major faults of two groups that build, each 70 % reused mapped pages and 30 % pages
/// used once.
fn build(design: &str, soft_limit: Option<u64>) -> (f64, f64) {
    let mut guest = machine(8192, 32, design, 0);
    let zipf = Zipf::new(3000, 0.75);
    let mut rng = random_stream(1, "reclaim-2012.kbuild", 0);
    let groups = [0, 1].map(|number| {
        let id = group(&mut guest, &format!("make{number}"), u64::MAX, 0);
        if let Some(limit) = soft_limit {
            guest.set_soft_limit(id, limit);
        }
        let sources = region(&mut guest, id, Some(&format!("sources{number}")), 3000);
        let objects = region(&mut guest, id, Some(&format!("objects{number}")), 100_000);
        (id, sources, objects)
    });
    let mut once = [0; 2];
    for _ in 0..200_000 {
        for (place, (_, sources, objects)) in groups.iter().enumerate() {
            if rng.chance(0.3) {
                guest.file_io(0, *objects, once[place], false);
                once[place] = (once[place] + 1) % 100_000;
            } else {
                guest.touch(0, *sources, zipf.sample(&mut rng) as u32, false);
            }
        }
    }
    let faults = groups.iter().map(|(id, ..)| count(&guest, *id, &[Stat::pgmajfault])).sum();
    (guest.now() as f64 / 1e9, faults)
}

/// Hocko's two builds.
pub(super) fn kbuild() -> Vec<Value> {
    let (none, _) = build("soft-limit-tree", None);
    let (tree, tree_faults) = build("soft-limit-tree", Some(0));
    let (rework, rework_faults) = build("soft-limit-two-pass", Some(0));
    let (unused, _) = build("soft-limit-two-pass", None);
    let value = |name: &str, kind, quantity, expected, band, got| Value {
        name: name.to_owned(),
        kind,
        quantity,
        expected,
        band,
        got,
    };
    let time = "elapsed time, of that without soft limits";
    vec![
        value("tree", Kind::Ordering, time, 911.7 / 690.6, (1.0, f64::INFINITY), tree / none),
        value("two-pass", Kind::Predicted, time, 695.6 / 689.3, (0.97, 1.03), rework / unused),
        value("two-pass/unused", Kind::Predicted, time, 689.3 / 690.6, (0.97, 1.03), unused / none),
        value(
            "faults",
            Kind::Ordering,
            "major faults under two passes, of those under the tree",
            385.0 / 41557.0,
            (0.0, 1.0),
            rework_faults / tree_faults,
        ),
    ]
}

/// Seconds of a stream with a soft limit of 0 beside a working set of 7/8 of memory.
fn stream_beside(design: &str) -> f64 {
    let ram = 32_768;
    let mut guest = machine(ram, 64, design, 4 * ram);
    let a = group(&mut guest, "stream", u64::MAX, 0);
    guest.set_soft_limit(a, 0);
    let b = group(&mut guest, "set", u64::MAX, 0);
    let file = region(&mut guest, a, Some("file"), 4 * ram as u32);
    let pages = (ram * 7 / 8) as u32;
    let set = region(&mut guest, b, None, pages);
    (0..pages).for_each(|page| guest.touch(0, set, page, true));
    let mut rng = random_stream(1, "reclaim-2012.stream", 0);
    let from = guest.now();
    for page in 0..4 * ram as u32 {
        guest.file_io(0, file, page, false);
        for _ in 0..4 {
            guest.touch(0, set, rng.below(u64::from(pages)) as u32, true);
        }
    }
    (guest.now() - from) as f64 / 1e9
}

/// Hocko's stream.
pub(super) fn stream() -> Vec<Value> {
    let [tree, rework] = ["soft-limit-tree", "soft-limit-two-pass"].map(stream_beside);
    vec![Value {
        name: "two-pass".to_owned(),
        kind: Kind::Ordering,
        quantity: "elapsed time under two passes, of that under the tree",
        expected: 436.1 / 491.5,
        band: (0.0, 1.0),
        got: rework / tree,
    }]
}

/// Share of A1's pages that it loses, of the share that A2 loses, in A(15, 16) > {A1(5, 4),
/// A2(10, 12)}, B(10, 16).
fn nested_loss(design: &str) -> f64 {
    let unit = 8192;
    let mut guest: Guest = machine(32 * unit, 32, design, 0);
    let of = |guest: &mut Guest, name: &str, limit: u64| {
        let id = group(guest, name, u64::MAX, limit * unit);
        guest.set_soft_limit(id, limit * unit);
        id
    };
    of(&mut guest, "a", 15);
    let groups = [("a/1", 5, 4), ("a/2", 10, 12), ("b", 10, 15)].map(|(name, limit, pages)| {
        let id = of(&mut guest, name, limit);
        let pages = pages * unit as u32;
        (id, region(&mut guest, id, Some(name), pages), pages)
    });
    for (_, file, pages) in groups {
        (0..pages).for_each(|page| guest.file_io(0, file, page, false));
    }
    // The machine runs short because of somebody else.
    let extra = region(&mut guest, 0, Some("extra"), 4 * unit as u32);
    (0..4 * unit as u32).for_each(|page| guest.file_io(0, extra, page, false));
    let lost = |place: usize| {
        let (id, _, pages) = groups[place];
        1.0 - guest.gauge(id, Gauge::File) as f64 / f64::from(pages)
    };
    lost(0) / lost(1)
}

/// Who takes from a child within its limit.
pub(super) fn nested() -> Vec<Value> {
    let row = |design: &str, expected, band| Value {
        name: design.to_owned(),
        kind: Kind::Ordering,
        quantity: "share of its pages that A1 loses, of A2's",
        expected,
        band,
        got: nested_loss(design),
    };
    vec![
        row("soft-limit-own", 0.0, (0.0, 0.5)),
        row("low-limit", 0.0, (0.0, 0.0)),
        row("soft-limit-naturalised", 1.0, (0.5, f64::INFINITY)),
        row("soft-limit-ancestors", 1.0, (0.5, f64::INFINITY)),
        row("soft-limit-two-pass", 1.0, (0.5, f64::INFINITY)),
    ]
}
