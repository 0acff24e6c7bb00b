//! Checks of the rules for mapped pages.

use base::stream;
use reclaim::guest::{Guest, Stat};
use reclaim::mapped;

use super::Value;
use super::rig::{count, group, machine, region};
use crate::row::Kind;

/// Pages that the group may hold, hot pages, pages of the stream.
const LIMIT: u64 = 8192;
const HOT: u32 = 2048;
const STREAM: u32 = 16_384;

/// A guest under a rule, with a group of `LIMIT` pages.
fn guest_under(rule: &str) -> (Guest, u16) {
    let mut guest = machine(1 << 17, 1, "memory-protection", 0);
    if let Some(rule) = mapped::find(rule) {
        guest.set_mapped_pages((rule.build)());
    }
    let id = group(&mut guest, "a", LIMIT, 0);
    (guest, id)
}

/// Scanned, stolen and deactivated pages in cyclic mapped reading of one and a half times the limit.
fn cycle(rule: &str) -> [f64; 3] {
    let (mut guest, id) = guest_under(rule);
    let file = region(&mut guest, id, Some("file"), 12_288);
    let read = |guest: &mut Guest| {
        for _ in 0..6 {
            (0..12_288).for_each(|page| guest.touch(0, file, page, false));
        }
        [Stat::pgscan_direct, Stat::pgsteal_direct, Stat::pgdeactivate]
            .map(|stat| count(guest, id, &[stat]))
    };
    let before = read(&mut guest);
    let after = read(&mut guest);
    [0, 1, 2].map(|stat| after[stat] - before[stat])
}

/// Misses of hot pages, misses of all, scans for each page freed, when hot pages and a stream take
/// turns.
fn mix(rule: &str, mapped: bool) -> [f64; 3] {
    let (mut guest, id) = guest_under(rule);
    let (hot, other) =
        (region(&mut guest, id, Some("hot"), HOT), region(&mut guest, id, Some("stream"), STREAM));
    let misses = |guest: &Guest| count(guest, id, &[Stat::pgmajfault, Stat::pgsteal_direct]);
    let access = |guest: &mut Guest, region: u32, page: u32| {
        if mapped {
            guest.touch(0, region, page, false);
        } else {
            guest.file_io(0, region, page, false);
        }
    };
    let mut rng = stream(1, "reclaim-2012.mapped", 0);
    (0..STREAM).for_each(|page| access(&mut guest, other, page));
    guest.advance(guest.now() + 4_100_000_000);
    let before = misses(&guest);
    let mut of_hot = 0.0;
    for turn in 0..30_000 {
        let from = misses(&guest);
        access(&mut guest, hot, rng.below(u64::from(HOT)) as u32);
        of_hot += f64::from(u8::from(misses(&guest) > from));
        access(&mut guest, other, turn % STREAM);
    }
    let stolen = count(&guest, id, &[Stat::pgsteal_direct]);
    let scanned = count(&guest, id, &[Stat::pgscan_direct]);
    [of_hot, misses(&guest) - before, scanned / stolen]
}

/// Rows for all rules.
pub(super) fn rules() -> Vec<Value> {
    let row = |name: &str, kind, quantity, expected, band, got| Value {
        name: name.to_owned(),
        kind,
        quantity,
        expected,
        band,
        got,
    };
    let mut rows = Vec::new();
    for rule in ["second-look", "shared-or-text", "refault-distance"] {
        let [scanned, stolen, _] = cycle(rule);
        let (expected, kind) = (146_811.0 / 73_730.0, Kind::OtherProgram);
        let name = format!("cycle/{rule}");
        rows.push(row(
            &name,
            kind,
            "pages scanned, a page freed",
            expected,
            (1.95, 2.05),
            scanned / stolen,
        ));
    }
    let [_, stolen, deactivated] = cycle("any-reference");
    let quantity = "pages deactivated, a page freed";
    let band = (0.95, 1.05);
    rows.push(row(
        "cycle/any-reference",
        Kind::Ordering,
        quantity,
        1.0,
        band,
        deactivated / stolen,
    ));
    let read = mix("refault-distance", false);
    let (expected, quantity) = (30_925.0 / 30_923.0, "pages scanned, a page freed, by read()");
    rows.push(row("read", Kind::OtherProgram, quantity, expected, (0.99, 1.05), read[2]));
    let [any, second, shared] =
        ["any-reference", "second-look", "shared-or-text"].map(|rule| mix(rule, true)[0]);
    let quantity = "misses of hot pages, of those under second-look";
    rows.push(row(
        "hot/shared-or-text",
        Kind::Ordering,
        quantity,
        1.0,
        (0.0, 1.0),
        shared / second,
    ));
    rows.push(row(
        "hot/any-reference",
        Kind::Ordering,
        quantity,
        1.0,
        (1.0, f64::INFINITY),
        any / second,
    ));
    rows
}
