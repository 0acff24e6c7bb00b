//! kswapd beside the tasks, and what wakes it.

use super::super::blocks::Blocks;
use super::super::vmscan::ScanControl;
use super::*;

const MS: u64 = 1_000_000;

/// A machine with file pages to stream: CPUs and managed pages by node.
fn streaming(nodes: &[(usize, u64)]) -> (Guest, u32) {
    let cpus: Vec<usize> = nodes.iter().map(|node| node.0).collect();
    let zones: Vec<(usize, usize, u64)> =
        nodes.iter().enumerate().map(|(node, (_, managed))| (node, 1, *managed)).collect();
    let knobs = Knobs { swappiness: 60, ..Knobs::default() };
    let mut config = config(&cpus, &zones);
    config.costs.read_ns = 5_000;
    config.costs.read_miss_ns = 30_000;
    let mut guest = Guest::new(config, knobs, SwapDevice::default());
    let process = guest.add_process(0);
    let file = Backing::File("f".into());
    let region = guest.add_region(process, &file, 200_000, Policy::Default, 0, false);
    (guest, region)
}

/// Reads pages from `first` on until kswapd of node 0 is awake; gives the next page.
fn read_until_kswapd_wakes(guest: &mut Guest, region: u32, first: u32) -> u32 {
    let mut page = first;
    while guest.vmstat()[Stat::pageoutrun] == 0 && !guest.kswapd_is_due(0) {
        guest.file_io(0, region, page, false);
        page += 1;
    }
    page
}

#[test]
fn a_task_that_has_had_its_slice_loses_the_cpu_to_the_kswapd_it_wakes() {
    let (mut guest, region) = streaming(&[(1, 40_000)]);
    read_until_kswapd_wakes(&mut guest, region, 0);
    assert_eq!(guest.vmstat()[Stat::pageoutrun], 1, "it ran before the read was over");
    let had = guest.kswapd_ns(0);
    assert!(had > 0 && had <= 8 * MS, "a turn ends at a tick, or before when all is done: {had}");
    check(&mut guest);
}

#[test]
fn a_task_that_was_just_picked_goes_on_to_the_tick() {
    let (mut guest, region) = streaming(&[(1, 40_000)]);
    let mut page = 0;
    // A pause before each read: the task is picked anew and reads for less than its slice.
    while !guest.kswapd_is_due(0) {
        assert_eq!(guest.vmstat()[Stat::pageoutrun], 0, "kswapd must wait for its turn");
        let now = guest.now();
        guest.advance(now + MS);
        guest.file_io(0, region, page, false);
        page += 1;
    }
    assert_eq!(guest.kswapd_ns(0), 0);
    let tick = guest.now().next_multiple_of(4 * MS);
    guest.work(0, tick + 1 - guest.now());
    assert!(guest.kswapd_ns(0) > 0, "from the tick on it has the CPU");
}

/// A walk of page tables takes in a process that a CPU has turned to since the last one, even if it
/// took no fault.
#[test]
fn a_process_whose_cpu_kswapd_had_counts_as_having_run() {
    let (mut guest, region) = streaming(&[(1, 40_000)]);
    read_until_kswapd_wakes(&mut guest, region, 0);
    guest.zones[0].marks[2] = 30_000;
    guest.wake_kswapd(0, 1);
    guest.procs.iter_mut().for_each(|process| process.used = false);
    let had = guest.kswapd_ns(0);
    guest.work(0, 20 * MS);
    assert!(guest.kswapd_ns(0) > had && guest.procs[0].used);
    check(&mut guest);
}

#[test]
fn kswapd_and_a_task_that_both_go_on_take_turns() {
    let (mut guest, region) = streaming(&[(1, 120_000)]);
    let mut page = read_until_kswapd_wakes(&mut guest, region, 0);
    // High marks that are never reached keep kswapd busy.
    guest.zones[0].marks[2] = 60_000;
    guest.wake_kswapd(0, 1);
    let (began, had) = (guest.now(), guest.kswapd_ns(0));
    while guest.now() < began + 400 * MS && page < 200_000 {
        guest.file_io(0, region, page, false);
        page += 1;
    }
    let share = (guest.kswapd_ns(0) - had) as f64 / (guest.now() - began) as f64;
    assert!((0.42..0.58).contains(&share), "kswapd had {share} of the time");
    guest.set_tasks(0, 2);
    let (began, had) = (guest.now(), guest.kswapd_ns(0));
    while guest.now() < began + 400 * MS && page < 200_000 {
        guest.file_io(0, region, page, false);
        page += 1;
    }
    let share = (guest.kswapd_ns(0) - had) as f64 / (guest.now() - began) as f64;
    assert!((0.26..0.42).contains(&share), "one of three, it had {share}");
    check(&mut guest);
}

#[test]
fn kswapd_on_another_cpu_goes_on_at_the_pace_of_the_task() {
    let (mut guest, region) = streaming(&[(2, 120_000)]);
    let mut page = 0;
    while guest.kswapd_ns(1) == 0 {
        guest.file_io(0, region, page, false);
        page += 1;
    }
    guest.zones[0].marks[2] = 60_000;
    guest.wake_kswapd(0, 1);
    let (began, had) = (guest.now(), guest.kswapd_ns(1));
    while guest.now() < began + 200 * MS {
        guest.file_io(0, region, page, false);
        page += 1;
    }
    let share = (guest.kswapd_ns(1) - had) as f64 / (guest.now() - began) as f64;
    assert!((0.4..0.6).contains(&share), "kswapd had {share} of the instructions");
    assert_eq!(guest.kswapd_ns(0), 0);
}

#[test]
fn the_time_that_a_task_sleeps_is_kswapds() {
    let (mut guest, region) = streaming(&[(1, 40_000)]);
    let mut page = 0;
    while !guest.kswapd_is_due(0) {
        let now = guest.now();
        guest.advance(now + MS / 10);
        guest.file_io(0, region, page, false);
        page += 1;
    }
    let (now, high) = (guest.now(), guest.zones[0].marks[2]);
    assert!(guest.free_pages(0) < high);
    guest.advance(now + 50 * MS);
    assert_eq!(guest.now(), now + 50 * MS);
    assert!(guest.free_pages(0) > high, "{} free", guest.free_pages(0));
    assert!(!guest.kswapd_is_due(0), "it is through and naps");
}

/// Runs of kswapd, pages it freed, and pages that went to the other node, of a stream of 30,000 after
/// the first node is full.
fn stream_on_a_full_node(blocks: Blocks) -> [u64; 3] {
    let (mut guest, region) = streaming(&[(1, 40_000), (1, 40_000)]);
    guest.zones[0].blocks = blocks;
    (0..70_000).for_each(|page| guest.file_io(0, region, page, false));
    check(&mut guest);
    let stats = guest.vmstat();
    let away = guest.numastat(1)[NumaStat::numa_miss];
    [stats[Stat::pageoutrun], stats[Stat::pgsteal_kswapd], away]
}

#[test]
fn a_batch_from_blocks_of_another_kind_boosts_and_wakes_kswapd_of_the_node() {
    let [runs, freed, away] = stream_on_a_full_node(Blocks::default());
    assert!(runs == 0 && freed == 0 && away > 29_000, "nothing wakes it: {away} pages spill");
    // With more than the low mark of 500 in blocks that it cannot take over, a stream goes on on its node,
    // boost after boost of up to one and a half high marks, 999 pages.
    let blocks = Blocks::new(&[(250, true), (250, false), (250, false)]);
    let [runs, freed, away] = stream_on_a_full_node(blocks);
    assert!(runs > 20 && away < 8_000, "{runs} runs, {away} pages spill");
    assert!((500..1500).contains(&(freed / runs)), "{} pages a run", freed / runs);
}

#[test]
fn pages_that_direct_reclaim_freed_into_a_list_are_found() {
    let (mut guest, region) = streaming(&[(1, 8_000)]);
    // kswapd given up: all is left to direct reclaim.
    guest.nodes[0] = super::super::kswapd::Kswapd::hopeless();
    (0..30_000).for_each(|page| guest.file_io(0, region, page, false));
    let stalls = guest.vmstat()[Stat::allocstall];
    let freed = guest.vmstat()[Stat::pgsteal_direct];
    assert!(freed > 20_000 && stalls > 0 && freed / stalls >= 30, "{freed} in {stalls} stalls");
    assert_eq!(guest.vmstat()[Stat::pgsteal_kswapd], 0);
    check(&mut guest);
}

#[test]
fn mglrus_kswapd_stops_above_the_boosted_mark_and_what_is_held_back_from_its_class() {
    let (mut guest, _) = streaming(&[(1, 8_000)]);
    let mut stops = |class: usize, boost: u64, free: u64| {
        let zone = &mut guest.zones[0];
        (zone.class, zone.reserve, zone.boost) = (0, 200, boost);
        zone.free = zone.marks[2] + free;
        let control = ScanControl { kswapd: true, class, want: 1000, ..ScanControl::default() };
        guest.should_abort(&control, 0)
    };
    // A batch of 64 above the mark. Asked for the zone itself, as by a boost, nothing is held back.
    assert!(!stops(0, 0, 64) && stops(0, 0, 65));
    assert!(!stops(0, 512, 576) && stops(0, 512, 577));
    assert!(!stops(1, 512, 776) && stops(1, 512, 777));
}

#[test]
fn kswapd_runs_for_the_highest_class_that_was_asked_for_also_in_vain() {
    let (mut guest, _) = streaming(&[(1, 8_000)]);
    guest.wake_kswapd(0, 2);
    assert!(!guest.kswapd_is_due(0), "there is plenty");
    guest.zones[0].boost = 512;
    guest.wake_kswapd(0, 1);
    assert!(guest.kswapd_is_due(0));
    assert_eq!(guest.nodes[0].asked(), Some(2));
}
