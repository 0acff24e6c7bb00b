//! What a replay records: snapshots of all counters, samples, times of steps.

use reclaim::guest::{Gauge, NumaStats, Stats};

/// Counters at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// Its label.
    pub label: String,
    /// /proc/vmstat.
    pub vm: Stats,
    /// By group: events and gauges.
    pub groups: Vec<(String, Stats, Vec<u64>)>,
    /// By node.
    pub numa: Vec<NumaStats>,
    /// By node: pages on each list.
    pub lists: Vec<[u64; 5]>,
    /// Pages by node of each process's regions.
    pub maps: Vec<(String, Vec<u64>)>,
    /// Dentries.
    pub dentries: u64,
}

/// Samples of a watched step.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// Touches, kswapd's scans, dirty and writeback pages, free pages by zone.
    pub rows: Vec<(u64, u64, u64, Vec<u64>)>,
}

/// All that a replay gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    /// Snapshots in order, `start` first.
    pub snapshots: Vec<Snapshot>,
    /// Guest ms of each touch step in order of ends, with its region.
    pub steps: Vec<(String, f64)>,
    /// Watched steps in order of ends.
    pub watches: Vec<Watch>,
    /// Names of the zones, `0.DMA32`.
    pub zones: Vec<String>,
}

/// Gauges of a group that are recorded, with their names.
pub(super) const GAUGES: [(Gauge, &str); 15] = [
    (Gauge::Current, "current"),
    (Gauge::SwapCurrent, "swap.current"),
    (Gauge::Anon, "anon"),
    (Gauge::File, "file"),
    (Gauge::Shmem, "shmem"),
    (Gauge::AnonThp, "anon_thp"),
    (Gauge::InactiveAnon, "inactive_anon"),
    (Gauge::ActiveAnon, "active_anon"),
    (Gauge::InactiveFile, "inactive_file"),
    (Gauge::ActiveFile, "active_file"),
    (Gauge::Unevictable, "unevictable"),
    (Gauge::FileDirty, "file_dirty"),
    (Gauge::FileWriteback, "file_writeback"),
    (Gauge::SlabReclaimable, "slab_reclaimable"),
    (Gauge::Zswapped, "zswapped"),
];
