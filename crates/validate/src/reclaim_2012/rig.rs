//! A guest of one node for the checks.

use reclaim::guest::{
    Backing, Config, Costs, Group, Guest, Knobs, Policy, Stat, SwapDevice, ZoneConfig,
};
use reclaim::hierarchy;

/// What things take, ns: a disk of 2012 that gives a page in 5 ms, DRAM of 100 ns.
fn costs() -> Costs {
    Costs {
        hit_ns: 100,
        minor_ns: 500,
        anon_ns: 1000,
        major_ns: 5_000_000,
        swap_in_ns: 3000,
        read_ns: 1000,
        read_miss_ns: 5_000_000,
        scan_ns: 100,
        keep_ns: 100,
        swap_write_ns: 10_000,
        ..Costs::default()
    }
}

/// A machine of so many pages, which stands for one `factor` times as large, under the classic engine
/// and a design for the hierarchy, with a disk for so many pages of swap. Watermarks are those of 2012
/// on the large machine, made smaller like everything: they grow with the square root of memory, and
/// designs that look at priorities would see another machine.
pub(super) fn machine(pages: u64, factor: u64, design: &str, swap_pages: u64) -> Guest {
    let min = (16 * pages * factor * 4).isqrt() / 4 / factor;
    let gap = min / 4;
    let zone = ZoneConfig {
        class: 2,
        managed: pages,
        free: pages,
        marks: [min, min + gap, min + 2 * gap, min + 3 * gap],
        // CPUs' lists of free pages did not grow then, and must not swallow the small watermarks.
        batch: 1,
        ..ZoneConfig::default()
    };
    let config = Config {
        zones: vec![zone],
        cpus: vec![1],
        distances: vec![vec![10]],
        tiers: vec![0],
        costs: costs(),
        start_ns: 0,
    };
    // Watermarks are boosted since 5.0.
    let knobs = Knobs { swappiness: 60, watermark_boost_factor: Some(0), ..Knobs::default() };
    let swap = SwapDevice {
        pages: swap_pages,
        latency_ns: Some(5_000_000),
        page_cluster: 3,
        ..SwapDevice::default()
    };
    let mut guest = Guest::new(config, knobs, swap);
    if let Some(design) = hierarchy::find(design) {
        guest.set_hierarchy((design.build_default)());
    }
    guest
}

/// A group with a hard limit and memory.low.
pub(super) fn group(guest: &mut Guest, name: &str, max: u64, low: u64) -> u16 {
    let group =
        Group { name: name.to_owned(), max, high: u64::MAX, low, min: 0, swap_max: u64::MAX };
    guest.add_group(&group)
}

/// A region of a new process in a group: a file of that name, or anonymous memory.
pub(super) fn region(guest: &mut Guest, group: u16, file: Option<&str>, pages: u32) -> u32 {
    let process = guest.add_process(group);
    let backing = file.map_or(Backing::Anon, |name| Backing::File(name.to_owned()));
    guest.add_region(process, &backing, pages, Policy::Default, 0, false)
}

/// Counters of a group, summed.
pub(super) fn count(guest: &Guest, group: u16, stats: &[Stat]) -> f64 {
    stats.iter().map(|stat| guest.group_stats(group)[*stat]).sum::<u64>() as f64
}
