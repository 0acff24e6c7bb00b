//! A case's machine, knobs and swap as the guest takes them.

use reclaim::guest::{Config, Costs, DirtyKnobs, Knobs, SwapDevice, ZoneConfig};

use super::case::Case;
use super::tables::{MachineRow, ZoneRow};

/// The machine that a case ran on: by its name, else by shape, else built from its guest line.
pub(super) fn machine_of(case: &Case, machines: &[MachineRow]) -> MachineRow {
    if let Some(found) = machines.iter().find(|machine| machine.cases.contains(&case.name)) {
        return found.clone();
    }
    let guest = &case.guest;
    let same = |machine: &&MachineRow| {
        let spread = |text: &str| -> Vec<u64> {
            let values: Vec<u64> = text.split(',').filter_map(|part| part.parse().ok()).collect();
            let last = values.last().copied().unwrap_or(0);
            (0..guest.nodes).map(|node| values.get(node).copied().unwrap_or(last)).collect()
        };
        let cpus: Vec<u64> = guest.cpus.iter().map(|cpus| *cpus as u64).collect();
        machine.shape.0 == guest.nodes
            && spread(&machine.shape.1) == guest.mib
            && spread(&machine.shape.2) == cpus
    };
    let mut machine = machines.iter().find(same).cloned().unwrap_or_else(|| built(case));
    set_marks(case, &mut machine);
    machine
}

/// Watermarks anew, if the case sets what they follow from.
fn set_marks(case: &Case, machine: &mut MachineRow) {
    let own = |ending: &str| value_of(case, &[], ending).and_then(|text| text.trim().parse().ok());
    let (mut min_kib, scale): (Option<u64>, Option<u64>) =
        (own("vm/min_free_kbytes"), own("vm/watermark_scale_factor"));
    let managed: u64 = machine.zones.iter().map(|zone| zone.managed).sum();
    let huge = value_of(case, &[], "transparent_hugepage/enabled");
    if huge.is_some_and(|value| value.trim() != "never") {
        // khugepaged raises min_free_kbytes when it starts, if it is less than this.
        let sum = |mark: usize| machine.zones.iter().map(|zone| zone.marks[mark]).sum::<u64>();
        let usable = managed.saturating_sub(sum(2));
        let wanted = (11 * 512 * machine.zones.len() as u64).min(usable / 20);
        if sum(0) < wanted * 9 / 10 {
            min_kib = min_kib.or(Some(wanted * 4));
        }
    }
    if min_kib.is_none() && scale.is_none() {
        return;
    }
    for zone in &mut machine.zones {
        // More than a zone has means as much as all of it, and no sum runs over.
        let share = |kib: u64| (kib / 4).min(managed) * zone.managed / managed.max(1);
        let min = min_kib.map_or(zone.marks[0], share);
        let gap = (min / 4).max(zone.managed * scale.unwrap_or(10).min(10_000) / 10_000);
        zone.marks = [min, min + gap, min + 2 * gap, min + 3 * gap];
    }
}

/// Zones from the sizes alone, with the kernel's watermark formula.
fn built(case: &Case) -> MachineRow {
    let mut machine = MachineRow { name: String::from("built"), ..MachineRow::default() };
    let total: u64 = case.guest.mib.iter().map(|mib| mib * 256).sum();
    let kernel = 12_000;
    for (node, mib) in case.guest.mib.iter().enumerate() {
        let mut pages = mib * 256;
        if node == 0 {
            machine.zones.push(ZoneRow {
                managed: 3840,
                free_at_start: 3808,
                batch: 1,
                ..zone(node, "DMA")
            });
            pages = pages.saturating_sub(4096 + kernel);
        }
        let batch = ((pages / 1024).min(256) / 4).max(1);
        let batch = (batch + batch / 2 + 1).next_power_of_two() / 2;
        let free = if node == 0 { pages.saturating_sub(7800) } else { pages.saturating_sub(3000) };
        machine.zones.push(ZoneRow {
            managed: pages,
            free_at_start: free,
            batch: batch * 2 - 1,
            ..zone(node, "DMA32")
        });
    }
    let managed: u64 = machine.zones.iter().map(|zone| zone.managed).sum();
    let mut min_free_pages = (16 * managed * 4).isqrt().clamp(128, 262_144) / 4;
    if total > 512 * 256 {
        let zones = machine.zones.len() as u64;
        min_free_pages = min_free_pages.max((11 * 512 * zones).min(managed / 20));
    }
    for zone in &mut machine.zones {
        let min = min_free_pages * zone.managed / managed.max(1);
        let gap = (min / 4).max(zone.managed / 1000);
        zone.marks = [min, min + gap, min + 2 * gap, min + 3 * gap];
        if zone.zone == "DMA" {
            zone.protection = vec![0, (managed - zone.managed) / 256];
        }
    }
    machine
}

fn zone(node: usize, name: &str) -> ZoneRow {
    ZoneRow { node, zone: name.to_owned(), ..ZoneRow::default() }
}

/// The guest's configuration.
pub(super) fn config_of(case: &Case, machine: &MachineRow) -> Config {
    let zones = machine.zones.iter().map(|zone| ZoneConfig {
        node: zone.node,
        class: match zone.zone.as_str() {
            "DMA" => 0,
            "DMA32" => 1,
            _ => 2,
        },
        managed: zone.managed,
        free: zone.free_at_start,
        marks: zone.marks,
        reserve: zone.protection.last().copied().unwrap_or(0),
        batch: zone.batch,
    });
    let tiers = (0..case.guest.nodes).map(|node| u32::from(case.guest.hmat && node > 0)).collect();
    Config {
        zones: zones.collect(),
        cpus: case.guest.cpus.clone(),
        distances: case.guest.distances(),
        tiers,
        costs: costs(case.guest.shift),
        start_ns: 12_000_000_000,
    }
}

/// Work of the system after boot, ns at shift 2, by the first touches of the f cases.
const BOOT_NS: u64 = 1_500_000_000;

/// What the emulator takes for NUMA balancing, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NumaCosts {
    /// Beginning a scan.
    pub scan_ns: u64,
    /// An entry walked over whose page is looked at.
    pub scan_entry_ns: u64,
    /// An entry walked over that is inaccessible already.
    pub scan_marked_ns: u64,
    /// Making an entry inaccessible, beyond that.
    pub scan_update_ns: u64,
    /// A hint fault.
    pub fault_ns: u64,
    /// Moving a page, beyond the fault.
    pub move_ns: u64,
    /// Copying each further page of a huge one: what clearing takes, by rates.csv.
    pub copy_ns: u64,
    /// A draw of a Zipf step beyond a uniform one, by rates.csv.
    pub zipf_ns: u64,
}

/// Prices of faults and moves are read off the series of the c cases; those of a walk are by probes of
/// `change_prot_numa` on a kernel at shift 3: 8.6 ms for 8192 entries of which none was marked, 20 ms
/// where all were, 63 to 121 ms for 41 to 61 thousand with 12 to 33 thousand marked. That of an entry
/// marked before is estimated.
pub(super) fn numa_costs(shift: u32) -> NumaCosts {
    let scale = |ns: u64| (ns << shift) >> 2;
    NumaCosts {
        scan_ns: scale(200_000),
        scan_entry_ns: scale(500),
        scan_marked_ns: scale(75),
        scan_update_ns: scale(900),
        fault_ns: scale(6_250),
        move_ns: scale(45_000),
        copy_ns: scale(37_500),
        zipf_ns: scale(780),
    }
}

/// What printing all counters takes, ns at shift 2, unless the recorder says how long it took.
const SNAPSHOT_NS: u64 = 50_000_000;

/// What the system still had to do for itself when a case began, ns. First touches took 60 us at
/// shift 3 once that was done and twice as long before; making a file system takes longer than it, and
/// a recorder may have rested before it began.
pub(super) fn boot_ns(case: &Case, knobs: &[(String, String)]) -> u64 {
    let makes_fs = case.fs_ra_kib.is_some() || case.disks.iter().any(|disk| disk.fs);
    let rest_ns = number_of(case, knobs, "recorder/rest_ms", 0) * 1_000_000;
    if makes_fs { 0 } else { ((BOOT_NS << case.guest.shift) >> 2).saturating_sub(rest_ns) }
}

/// What the recorder's snapshots took, ns.
pub(super) fn snapshot_ns(case: &Case, knobs: &[(String, String)]) -> u64 {
    let us = number_of(case, knobs, "recorder/snapshot_us", SNAPSHOT_NS / 1000);
    (us * 1000) << case.guest.shift >> 2
}

/// What the emulator takes for things: one guest instruction is 2^shift ns. Guests at shift 3 have
/// several nodes, and touches took more than twice the time of shift 2 there (rates.csv).
pub(super) fn costs(shift: u32) -> Costs {
    let scale = |ns: u64| (ns << shift) >> 2;
    let large = shift > 2;
    Costs {
        hit_ns: scale(if large { 700 } else { 450 }),
        minor_ns: scale(8_000),
        // 32,628 first touches in 2.004 s of CPU time at shift 3.
        anon_ns: scale(if large { 30_700 } else { 30_000 }),
        huge_ns: scale(if large { 9_500_000 } else { 2_432_000 }),
        major_ns: scale(29_000),
        swap_in_ns: scale(30_000),
        read_ns: scale(4_000),
        read_miss_ns: scale(30_000),
        scan_ns: scale(9_000),
        // By kswapd's CPU time in a first pass over 30 thousand accessed pages: 13.6 us at shift 3.
        keep_ns: scale(6_800),
        // 15 us to send a page to swap, about half of it the disk's copy.
        swap_write_ns: scale(8_000),
        // By probes on the kernel: 0.24 us for an entry, 0.77 us for an accessed one.
        pte_ns: scale(240),
        walk_ns: scale(530),
        swap_copy_ns: scale(7_000),
        // By kswapd's CPU time: 93 us at shift 3, the look at the page included.
        demote_ns: scale(37_500),
    }
}

/// The knobs of the folder, with the case's own on top.
pub(super) fn value_of<'a>(
    case: &'a Case,
    knobs: &'a [(String, String)],
    ending: &str,
) -> Option<&'a str> {
    let of_case = case.sys.iter().rev().find(|(path, _)| path.ends_with(ending));
    of_case
        .or_else(|| knobs.iter().find(|(path, _)| path.ends_with(ending)))
        .map(|(_, value)| value.as_str())
}

/// A knob's number; hexadecimal as the kernel prints some.
pub(super) fn number_of(
    case: &Case,
    knobs: &[(String, String)],
    ending: &str,
    default: u64,
) -> u64 {
    let Some(text) = value_of(case, knobs, ending) else { return default };
    let text = text.trim();
    let parsed =
        text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    parsed.unwrap_or(match text {
        "Y" | "y" => 7,
        "N" | "n" => 0,
        _ => default,
    })
}

/// The guest's knobs.
pub(super) fn knobs_of(case: &Case, knobs: &[(String, String)]) -> Knobs {
    let number = |ending: &str, default| number_of(case, knobs, ending, default);
    let weight = |node: usize| number(&format!("weighted_interleave/node{node}"), 1);
    let disk = case.disks.iter().find(|disk| disk.fs);
    let ra_kib = disk.map_or(case.fs_ra_kib.unwrap_or(0), |disk| disk.ra_kib);
    Knobs {
        read_ahead_pages: (ra_kib / 4) as u32,
        lru_gen: number("lru_gen/enabled", 7),
        swappiness: number("vm/swappiness", 60),
        zone_reclaim_mode: number("vm/zone_reclaim_mode", 0),
        numa_balancing: number("kernel/numa_balancing", 0),
        demotion: number("numa/demotion_enabled", 0) != 0,
        weights: (0..case.guest.nodes).map(weight).collect(),
        watermark_boost_factor: Some(number("vm/watermark_boost_factor", 15_000)),
    }
}

/// The guest's swap.
pub(super) fn swap_of(case: &Case, knobs: &[(String, String)]) -> SwapDevice {
    let page_cluster = number_of(case, knobs, "vm/page-cluster", 3) as u32;
    let zswap = number_of(case, knobs, "zswap/parameters/enabled", 0) != 0;
    if let Some(disk) = case.disks.iter().find(|disk| disk.swap) {
        return SwapDevice {
            pages: disk.mib * 256,
            latency_ns: Some(disk.latency_ns),
            zswap,
            page_cluster,
        };
    }
    let pages = case.swap_mib.unwrap_or(0) * 256;
    SwapDevice { pages, latency_ns: None, zswap, page_cluster }
}

/// Limits of dirty pages, and the disk that files are on.
pub(super) fn dirty_of(case: &Case, knobs: &[(String, String)]) -> DirtyKnobs {
    let number = |ending: &str, default| number_of(case, knobs, ending, default);
    let disk = case.disks.iter().find(|disk| !disk.swap);
    DirtyKnobs {
        background_pages: number("vm/dirty_background_bytes", 0) / 4096,
        limit_pages: number("vm/dirty_bytes", 0) / 4096,
        background_ratio: number("vm/dirty_background_ratio", 10),
        ratio: number("vm/dirty_ratio", 20),
        expire_ns: number("vm/dirty_expire_centisecs", 3000) * 10_000_000,
        interval_ns: number("vm/dirty_writeback_centisecs", 500) * 10_000_000,
        disk_mbps: disk.map_or(0, |disk| disk.mbps),
        disk_depth: disk.map_or(128, |disk| disk.depth),
        delayed_allocation: disk.is_some_and(|disk| disk.fs),
    }
}
