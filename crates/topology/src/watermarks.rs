//! Zone watermarks and lowmem reserves, as Linux 6.12 derives them from the memory's size.
//!
//! Source: the behaviour of `mm/page_alloc.c` (`calculate_min_free_kbytes`,
//! `__setup_per_zone_wmarks`, `setup_per_zone_lowmem_reserve`) and `mm/khugepaged.c`
//! (`set_recommended_min_free_kbytes`), stated here in formulas:
//!
//! ```text
//! min_free_kbytes = clamp(isqrt(16 x lowmem in KiB), 128, 262144)
//!                   and with huge pages enabled at least 11 pageblocks a zone, at most lowmem / 20
//! share           = min_free_pages x managed / lowmem managed
//! min             = share;  Movable: clamp(managed / 1024, 32, 128)
//! gap             = max(share / 4, managed x watermark_scale_factor / 10000)
//! low, high, promo = min + gap, min + 2 gap, min + 3 gap
//! ```
//!
//! Left out: what depends on the moment of booting. The kernel derives the marks from what is
//! managed before it frees its own initial memory, so a small guest's minimum is up to a few per
//! cent off; boosts are temporary and belong to reclaim.

use base::{HUGE_PAGE_PAGES, NodeVec, PAGE_BYTES, Pages};

use crate::machine::{Machine, ThpMode, Zone, ZoneKind};

/// Bounds of the kernel's own choice of `min_free_kbytes`.
const MIN_FREE_KBYTES_RANGE: (u64, u64) = (128, 262_144);
/// Pageblocks a zone that huge pages want free: 2, and one for each pair of the three migrate
/// types that have per-CPU lists.
const RECOMMENDED_PAGEBLOCKS: u64 = 2 + 3 * 3;
/// Machines with less memory start with huge pages off.
const THP_MIN_MEMORY_PAGES: u64 = (512 << 20) / PAGE_BYTES;
/// Bounds of the minimum of a Movable zone (`SWAP_CLUSTER_MAX` and 128 pages).
const MOVABLE_MIN_RANGE: (u64, u64) = (32, 128);
/// Denominator of `vm.watermark_scale_factor`.
const SCALE_DENOMINATOR: u64 = 10_000;
const PAGE_KBYTES: u64 = PAGE_BYTES / 1024;

/// A zone's marks in pages, and what it keeps back from allocations that could go higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Only urgent allocations go below.
    pub min: Pages,
    /// Below it the fast path passes on, and kswapd is woken.
    pub low: Pages,
    /// kswapd stops when free pages reach it.
    pub high: Pages,
    /// Promotion into a tier wakes kswapd until this much is free.
    pub promo: Pages,
    /// `lowmem_reserve` by [`ZoneKind`] of the highest zone the allocation may use: an allocation
    /// needs more than a mark plus this many free pages.
    pub reserve: [Pages; ZoneKind::COUNT],
}

impl Watermarks {
    /// The marks over a given minimum. `share` is the zone's part of `min_free_kbytes` in pages,
    /// which is `min` itself but in a Movable zone.
    pub fn above(min: Pages, share: Pages, managed: Pages, watermark_scale_factor: u32) -> Self {
        let gap = (share.0 / 4).max(mul_div(
            managed.0,
            u64::from(watermark_scale_factor),
            SCALE_DENOMINATOR,
        ));
        let mark = |nr_gaps: u64| min.saturating_add(Pages(gap.saturating_mul(nr_gaps)));
        Self { min, low: mark(1), high: mark(2), promo: mark(3), reserve: Default::default() }
    }
}

/// `vm.min_free_kbytes` of the machine: as set, or the kernel's own choice at boot.
pub fn min_free_kbytes(machine: &Machine) -> u64 {
    machine.kernel.min_free_kbytes.unwrap_or_else(|| default_min_free_kbytes(machine))
}

/// The marks of every zone, in the order of [`crate::Node::zones`].
pub fn watermarks(machine: &Machine) -> NodeVec<Vec<Watermarks>> {
    let min_free = min_free_kbytes(machine);
    let marks = marks_for(machine, min_free);
    let with_reserve = |(zones, marks): (&Vec<Zone>, Vec<Watermarks>)| {
        let each = marks.into_iter().enumerate().map(|(idx, marks)| Watermarks {
            reserve: reserve(zones, idx, &machine.kernel.lowmem_reserve_ratio),
            ..marks
        });
        each.collect()
    };
    machine.nodes.iter().map(|node| &node.zones).zip(marks).map(with_reserve).collect()
}

/// The marks, without reserves, that a value of `min_free_kbytes` gives.
fn marks_for(machine: &Machine, min_free_kbytes: u64) -> Vec<Vec<Watermarks>> {
    let lowmem: u64 = lowmem_zones(machine).map(|zone| zone.managed.0).sum();
    let min_free_pages = min_free_kbytes / PAGE_KBYTES;
    let marks = |zone: &Zone| {
        let share = Pages(mul_div(min_free_pages, zone.managed.0, lowmem));
        let min = match zone.kind {
            ZoneKind::Movable => {
                Pages((zone.managed.0 / 1024).clamp(MOVABLE_MIN_RANGE.0, MOVABLE_MIN_RANGE.1))
            }
            _ => share,
        };
        Watermarks::above(min, share, zone.managed, machine.kernel.watermark_scale_factor)
    };
    machine.nodes.iter().map(|node| node.zones.iter().map(marks).collect()).collect()
}

fn default_min_free_kbytes(machine: &Machine) -> u64 {
    let lowmem: u64 = lowmem_zones(machine).map(|zone| zone.managed.0).sum();
    let lowmem_kbytes = lowmem.saturating_mul(PAGE_KBYTES);
    let (least, most) = MIN_FREE_KBYTES_RANGE;
    let min_free = lowmem_kbytes.saturating_mul(16).isqrt().clamp(least, most);
    let total: u64 =
        machine.nodes.iter().flat_map(|node| &node.zones).map(|zone| zone.managed.0).sum();
    if machine.kernel.thp == ThpMode::Never || total < THP_MIN_MEMORY_PAGES {
        return min_free;
    }
    // khugepaged looks at what is above the high marks that the plain value has given.
    let high = marks_for(machine, min_free).into_iter().flatten().map(|marks| marks.high.0);
    let zones = machine.nodes.iter().flat_map(|node| &node.zones).zip(high);
    let buffer_pages: u64 = zones
        .filter(|(zone, _)| is_lowmem(zone))
        .map(|(zone, high)| zone.managed.0.saturating_sub(high))
        .sum();
    let nr_zones = lowmem_zones(machine).filter(|zone| zone.managed > Pages::ZERO).count() as u64;
    let recommended = RECOMMENDED_PAGEBLOCKS * HUGE_PAGE_PAGES * nr_zones;
    min_free.max(recommended.min(buffer_pages / 20) * PAGE_KBYTES)
}

/// What the zone at `idx` keeps back, by the allocation's highest zone: the memory of its node
/// above it, up to that zone, over its ratio.
fn reserve(
    zones: &[Zone],
    idx: usize,
    ratios: &[u32; ZoneKind::COUNT],
) -> [Pages; ZoneKind::COUNT] {
    let zone = zones[idx];
    let ratio = u64::from(ratios[zone.kind as usize]);
    ZoneKind::ALL.map(|class| {
        if class <= zone.kind || ratio == 0 || zone.managed == Pages::ZERO {
            return Pages::ZERO;
        }
        let above = zones.iter().filter(|other| zone.kind < other.kind && other.kind <= class);
        Pages(above.map(|other| other.managed.0).sum::<u64>() / ratio)
    })
}

fn is_lowmem(zone: &Zone) -> bool {
    zone.kind != ZoneKind::Movable
}

fn lowmem_zones(machine: &Machine) -> impl Iterator<Item = &Zone> {
    machine.nodes.iter().flat_map(|node| &node.zones).filter(|zone| is_lowmem(zone))
}

/// `a x b / divisor` without overflow in between; 0 when there is nothing to divide by.
fn mul_div(a: u64, b: u64, divisor: u64) -> u64 {
    if divisor == 0 {
        return 0;
    }
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(divisor)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use base::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{machine_of_zones, zone};

    /// One Normal zone of this size, huge pages off.
    fn plain(bytes: Bytes) -> Machine {
        let mut machine =
            machine_of_zones(vec![vec![zone(ZoneKind::Normal, bytes.pages_ceil().0)]]);
        machine.kernel.thp = ThpMode::Never;
        machine
    }

    #[test]
    fn min_free_kbytes_follows_the_square_root_within_its_bounds() {
        // The formula's values, computed by hand: isqrt(16 x KiB), e.g. 1 GiB: sqrt(2^24) = 4096.
        let cases = [
            (Bytes(256 << 10), 128),
            (Bytes::from_mib(512), 2896),
            (Bytes::from_gib(1), 4096),
            (Bytes::from_gib(4), 8192),
            (Bytes::from_gib(16), 16_384),
            (Bytes::from_gib(64), 32_768),
            (Bytes::from_gib(256), 65_536),
            (Bytes::from_gib(1024), 131_072),
            (Bytes::from_gib(4096), 262_144),
            (Bytes::from_gib(16_384), 262_144),
        ];
        for (size, expected) in cases {
            assert_eq!(min_free_kbytes(&plain(size)), expected, "{size}");
        }
    }

    #[test]
    fn huge_pages_raise_min_free_kbytes() {
        // A desktop of 16 GiB with DMA, DMA32 and Normal: 11 x 512 x 3 pages = 67584 KiB, the
        // value such machines show.
        let mut machine = machine_of_zones(vec![vec![
            zone(ZoneKind::Dma, 3840),
            zone(ZoneKind::Dma32, 700_000),
            zone(ZoneKind::Normal, 3_300_000),
        ]]);
        machine.kernel.thp = ThpMode::Madvise;
        assert_eq!(min_free_kbytes(&machine), 67_584);
        machine.kernel.min_free_kbytes = Some(1000);
        assert_eq!(min_free_kbytes(&machine), 1000);
        // 768 MiB in two zones would want 45056 KiB; a twentieth of 183184 pages without their
        // high marks (min_free 3424 KiB, 856 pages; high about 1.5 times that: 1281) is 9095 pages.
        let mut small =
            machine_of_zones(vec![vec![zone(ZoneKind::Dma, 3840), zone(ZoneKind::Dma32, 179_344)]]);
        small.kernel.thp = ThpMode::Always;
        assert_eq!(min_free_kbytes(&small), 9095 * 4);
        // Under 512 MiB huge pages start off.
        let mut tiny = plain(Bytes::from_mib(511));
        tiny.kernel.thp = ThpMode::Always;
        assert_eq!(min_free_kbytes(&tiny), 2893);
    }

    #[test]
    fn a_large_zone_has_gaps_of_a_thousandth() {
        // 64 GiB: 16777216 pages x 10 / 10000 = 16777, more than a quarter of min (8192 / 4).
        let marks = watermarks(&plain(Bytes::from_gib(64)))[base::NodeId(0)][0];
        assert_eq!(marks.min, Pages(8192));
        assert_eq!(marks.low, Pages(8192 + 16_777));
        assert_eq!(marks.high, Pages(8192 + 2 * 16_777));
        assert_eq!(marks.promo, Pages(8192 + 3 * 16_777));
    }

    /// (managed, watermark_scale_factor, min, low, high, promo) as printed in `/proc/zoneinfo` by
    /// Linux 6.12 on small guests.
    const PRINTED: [(u64, u32, [u64; 4]); 14] = [
        (3840, 10, [22, 27, 32, 37]),
        (115_024, 10, [660, 825, 990, 1155]),
        (3840, 10, [190, 237, 284, 331]),
        (179_344, 10, [8801, 11_001, 13_201, 15_401]),
        (50_683, 10, [286, 357, 428, 499]),
        (64_292, 10, [374, 467, 560, 653]),
        (50_683, 10, [2512, 3140, 3768, 4396]),
        (48_019, 10, [2384, 2980, 3576, 4172]),
        (96_680, 10, [4777, 5971, 7165, 8359]),
        (3840, 200, [22, 98, 174, 250]),
        (115_024, 200, [660, 2960, 5260, 7560]),
        (40_294, 10, [1982, 2477, 2972, 3467]),
        (179_344, 10, [8803, 11_003, 13_203, 15_403]),
        (243_856, 10, [11_087, 13_858, 16_629, 19_400]),
    ];

    #[test]
    fn marks_above_the_minimum_are_those_linux_printed() {
        for (managed, scale, [min, low, high, promo]) in PRINTED {
            let marks = Watermarks::above(Pages(min), Pages(min), Pages(managed), scale);
            let got = [marks.min, marks.low, marks.high, marks.promo].map(|pages| pages.0);
            assert_eq!(got, [min, low, high, promo], "{managed} pages, factor {scale}");
        }
    }

    #[test]
    fn minima_are_shared_as_linux_printed_them() {
        // Linux 6.12 guests: min_free_kbytes, zones of each node, printed minima. The kernel
        // computed them before it freed its initial memory, on node 0: hence up to 4 per cent.
        /// (managed, minimum) of the zones of each node.
        type Guest = Vec<Vec<(u64, u64)>>;
        let guests: [(u64, Guest); 4] = [
            (2734, vec![vec![(3840, 22), (115_024, 660)]]),
            (2733, vec![vec![(3840, 22), (50_683, 286)], vec![(64_292, 374)]]),
            (
                35_984,
                vec![
                    vec![(3840, 190), (34_365, 1621)],
                    vec![(48_531, 2409)],
                    vec![(48_019, 2384)],
                    vec![(48_486, 2390)],
                ],
            ),
            (45_056, vec![vec![(3840, 176), (243_856, 11_087)]]),
        ];
        for (min_free, nodes) in guests {
            let to_zone = |&(managed, _): &(u64, u64)| {
                zone(if managed == 3840 { ZoneKind::Dma } else { ZoneKind::Dma32 }, managed)
            };
            let zones = nodes.iter().map(|node| node.iter().map(to_zone).collect()).collect();
            let mut machine = machine_of_zones(zones);
            machine.kernel.min_free_kbytes = Some(min_free);
            let marks = watermarks(&machine);
            let got = marks.iter().flatten().map(|marks| marks.min.0);
            let printed = nodes.iter().flatten().map(|&(_, min)| min);
            for (got, printed) in got.zip(printed) {
                let off = got.abs_diff(printed);
                assert!(off <= 1 + printed / 24, "{got} pages, Linux printed {printed}");
            }
        }
    }

    #[test]
    fn reserves_are_those_linux_printed() {
        // `protection` of the DMA zone in /proc/zoneinfo of Linux 6.12 guests, by the managed
        // pages of DMA32 above it, as in (0, 449, 449, 449).
        let printed = [
            (115_024, 449),
            (50_683, 197),
            (34_365, 134),
            (26_173, 102),
            (179_344, 700),
            (243_856, 952),
        ];
        for (dma32, printed) in printed {
            let machine = machine_of_zones(vec![vec![
                zone(ZoneKind::Dma, 3840),
                zone(ZoneKind::Dma32, dma32),
            ]]);
            let marks = &watermarks(&machine)[base::NodeId(0)];
            assert_eq!(marks[0].reserve, [0, printed, printed, printed].map(Pages));
            assert_eq!(marks[1].reserve, [Pages::ZERO; 4]);
        }
    }

    #[test]
    fn reserves_add_up_the_zones_above() {
        let machine = machine_of_zones(vec![vec![
            zone(ZoneKind::Dma, 3840),
            zone(ZoneKind::Dma32, 25_600),
            zone(ZoneKind::Normal, 256_000),
            zone(ZoneKind::Movable, 64_000),
        ]]);
        let marks = &watermarks(&machine)[base::NodeId(0)];
        // Ratios 256, 256, 32, 0.
        assert_eq!(marks[0].reserve, [0, 100, 1100, 1350].map(Pages));
        assert_eq!(marks[1].reserve, [0, 0, 1000, 1250].map(Pages));
        assert_eq!(marks[2].reserve, [0, 0, 0, 2000].map(Pages));
        assert_eq!(marks[3].reserve, [Pages::ZERO; 4]);
        // Movable: clamp(64000 / 1024, 32, 128); its gap comes from its uncapped share.
        assert_eq!(marks[3].min, Pages(62));
    }

    proptest! {
        #[test]
        fn marks_are_ordered_and_the_minima_share_out_min_free(
            sizes in prop::collection::vec(1_u64..1 << 30, 1..8),
            scale in 1_u32..=1000,
            min_free in 128_u64..1 << 24,
        ) {
            let nodes = sizes.iter().map(|size| vec![zone(ZoneKind::Normal, *size)]).collect();
            let mut machine = machine_of_zones(nodes);
            machine.kernel.min_free_kbytes = Some(min_free);
            machine.kernel.watermark_scale_factor = scale;
            let marks = watermarks(&machine);
            for marks in marks.iter().flatten() {
                prop_assert!(marks.min <= marks.low && marks.low <= marks.high);
                prop_assert_eq!(marks.promo.0 - marks.high.0, marks.high.0 - marks.low.0);
            }
            // Rounding down loses less than a page a zone.
            let sum: u64 = marks.iter().flatten().map(|marks| marks.min.0).sum();
            prop_assert!(sum <= min_free / 4 && sum + sizes.len() as u64 > min_free / 4);
        }
    }
}
