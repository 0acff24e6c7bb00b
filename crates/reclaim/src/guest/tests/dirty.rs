//! The flusher, the disk's order of ending writes, and writers that are held.

use super::*;

/// One group of `max` pages that stores to a file on a disk of 25 MiB/s, which takes three requests of
/// 32 pages in each tick of 20 ms: 4800 pages a second.
fn writing(max: u64, delayed_allocation: bool) -> (Guest, u16, u32) {
    let knobs = Knobs { swappiness: 60, ..Knobs::default() };
    let mut config = config(&[1], &[(0, 1, 60_000)]);
    config.costs.read_ns = 10_000;
    let mut guest = Guest::new(config, knobs, SwapDevice::default());
    guest.set_dirty_knobs(DirtyKnobs {
        background_ratio: 10,
        ratio: 20,
        expire_ns: 1_000_000_000,
        interval_ns: 100_000_000,
        disk_mbps: 25,
        disk_depth: 128,
        delayed_allocation,
        ..DirtyKnobs::default()
    });
    let a = guest.add_group(&group("a", max));
    let process = guest.add_process(a);
    let file = Backing::File("f".into());
    let region = guest.add_region(process, &file, 4000, Policy::Default, 0, false);
    (guest, a, region)
}

/// Pages written, of 1000 that were stored to, 150 ms after the flusher began with them.
fn written_meanwhile(guest: &mut Guest, region: u32) -> u64 {
    let before = guest.vmstat()[Stat::nr_written];
    (0..1000).for_each(|page| guest.file_io(0, region, page, true));
    let mut at = guest.now();
    while guest.dirty_pages().1 == 0 {
        at += 10_000_000;
        guest.advance(at);
    }
    guest.advance(at + 150_000_000);
    let written = guest.vmstat()[Stat::nr_written] - before;
    guest.advance(at + 500_000_000);
    assert_eq!(guest.vmstat()[Stat::nr_written] - before, 1000);
    written
}

#[test]
fn the_first_write_of_an_extent_ends_as_a_whole_and_later_ones_page_by_page() {
    let (mut guest, _, region) = writing(u64::MAX, true);
    assert_eq!(written_meanwhile(&mut guest, region), 0, "its blocks are marked at the end");
    let again = written_meanwhile(&mut guest, region);
    assert!((600..=800).contains(&again), "7 or 8 ticks of 96 pages: {again}");
    let (mut guest, _, region) = writing(u64::MAX, false);
    let plain = written_meanwhile(&mut guest, region);
    assert_eq!(plain, again, "without holes a first write is like another one");
    check(&mut guest);
}

#[test]
fn a_writer_over_its_groups_limit_by_old_statistics_alone_stores_a_page_each_two_ticks() {
    let (mut guest, a, region) = writing(2000, false);
    // 100 ms of stores; then the statistics say 1000 dirty pages, for two seconds.
    (0..1000).for_each(|page| guest.file_io(0, region, page, true));
    guest.read_stats();
    guest.file_io(0, region, 1000, true);
    assert!(guest.gauge(a, Gauge::FileDirty) + guest.gauge(a, Gauge::FileWriteback) <= 8);
    let began = guest.now();
    (1001..1051).for_each(|page| guest.file_io(0, region, page, true));
    let each = (guest.now() - began) / 50;
    assert!((7_900_000..=8_100_000).contains(&each), "{each} ns");
    check(&mut guest);
}

#[test]
fn a_pause_is_an_eighth_of_the_time_the_disk_takes_for_the_groups_pages() {
    let (guest, ..) = writing(2000, false);
    // 25 MiB/s are 6400 pages a second: 201 pages are 8 ticks' worth over 8, and one tick more; the
    // clock stands at a tick, so the timer fires a tick later still.
    let jiffy = 4_000_000;
    assert_eq!(guest.group_pause(0), 2 * jiffy);
    assert_eq!(guest.group_pause(200), 2 * jiffy);
    assert_eq!(guest.group_pause(201), 3 * jiffy);
    assert_eq!(guest.group_pause(100_000), 51 * jiffy, "never longer than 200 ms and a tick");
}
