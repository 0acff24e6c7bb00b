//! Compressed swap, removed groups, and what processes leave behind.

use super::*;

#[test]
fn a_full_compressed_store_refuses_until_the_threshold_and_writes_its_oldest() {
    let knobs = Knobs { swappiness: 60, ..Knobs::default() };
    let device = SwapDevice { pages: 20_000, zswap: true, latency_ns: Some(1000), page_cluster: 0 };
    let mut guest = Guest::new(config(&[1], &[(0, 1, 60_000)]), knobs, device);
    guest.set_zswap_knobs(ZswapKnobs { max_pool_percent: 1, ..ZswapKnobs::default() });
    let a = guest.add_group(&group("a", 1000));
    let process = guest.add_process(a);
    let region = guest.add_region(process, &Backing::Anon, 6000, Policy::Default, 0, false);
    guest.set_content(region, Content::Bytes(2048));
    (0..6000).for_each(|page| guest.touch(0, region, page, true));
    check(&mut guest);
    let stats = guest.zswap_stats();
    assert!(stats.pool_limit_hit > 0 && stats.written_back_pages > 0, "{stats:?}");
    assert!((540..=600).contains(&stats.pool_pages), "90 to 100 % of 600: {}", stats.pool_pages);
    assert_eq!(stats.stored_pages.div_ceil(2), stats.pool_pages);
    let vm = guest.vmstat();
    assert!(vm[Stat::pswpout] >= stats.written_back_pages);
    // All come back, from the store or from the disk.
    (0..6000).for_each(|page| guest.touch(0, region, page, false));
    check(&mut guest);
}

#[test]
fn pages_that_do_not_get_smaller_and_groups_at_their_limit_go_to_the_device() {
    let knobs = Knobs { swappiness: 60, ..Knobs::default() };
    let device = SwapDevice { pages: 20_000, zswap: true, latency_ns: None, page_cluster: 0 };
    let mut guest = Guest::new(config(&[1], &[(0, 1, 60_000)]), knobs, device);
    let groups = ["a", "b", "c"].map(|name| guest.add_group(&group(name, 1000)));
    guest.set_group_zswap(groups[1], 0, true);
    guest.set_group_zswap(groups[2], 0, false);
    let contents = [Content::Incompressible, Content::Heap, Content::Heap];
    let processes = groups.map(|group| guest.add_process(group));
    for (process, content) in processes.into_iter().zip(contents) {
        let region = guest.add_region(process, &Backing::Anon, 1500, Policy::Default, 0, false);
        guest.set_content(region, content);
        (0..1500).for_each(|page| guest.touch(0, region, page, true));
    }
    check(&mut guest);
    let (stats, vm) = (guest.zswap_stats(), guest.vmstat());
    assert_eq!((stats.stored_pages, vm[Stat::zswpout]), (0, 0));
    assert!(stats.reject_compress_poor >= 500 && stats.reject_memcg >= 500, "{stats:?}");
    assert!(vm[Stat::pswpout] >= 1000);
    assert!(guest.is_dead(processes[2]), "without the device nothing of it can be freed");
    assert!(!guest.is_dead(processes[1]));
}

#[test]
fn a_removed_groups_pages_go_up_or_stay_until_they_are_reclaimed() {
    for how in [Removal::Reparent, Removal::Dying] {
        let knobs = Knobs { swappiness: 60, ..Knobs::default() };
        let mut guest = Guest::new(config(&[1], &[(0, 1, 60_000)]), knobs, SwapDevice::default());
        let parent = guest.add_group(&group("p", 1000));
        let child = guest.add_group(&Group { min: 900, ..group("p/c", u64::MAX) });
        let process = guest.add_process(child);
        let file = Backing::File("f".into());
        let region = guest.add_region(process, &file, 900, Policy::Default, 0, false);
        (0..900).for_each(|page| guest.touch(0, region, page, false));
        assert!(!guest.remove_group(child, how), "a process is in it");
        assert!(!guest.remove_group(parent, how), "a group is below it");
        guest.join(process, parent);
        assert!(guest.remove_group(child, how));
        check(&mut guest);
        let stays = u64::from(how == Removal::Dying) * 900;
        assert_eq!(guest.gauge(child, Gauge::File), stays);
        assert_eq!(guest.gauge(parent, Gauge::File), 900);
        let other = Backing::File("g".into());
        let stream = guest.add_region(process, &other, 3000, Policy::Default, 0, false);
        (0..3000).for_each(|page| guest.touch(0, stream, page, false));
        check(&mut guest);
        assert_eq!(guest.gauge(child, Gauge::File), 0, "{how:?}: its protection is gone too");
    }
}

#[test]
fn page_tables_are_paid_by_the_group_that_made_them() {
    let mut guest =
        Guest::new(config(&[1], &[(0, 1, 9000)]), Knobs::default(), SwapDevice::default());
    let (a, b) = (guest.add_group(&group("a", 2000)), guest.add_group(&group("b", 2000)));
    let process = guest.add_process(a);
    let region = guest.add_region(process, &Backing::Anon, 600, Policy::Default, 0, false);
    (0..600).for_each(|page| guest.touch(0, region, page, true));
    guest.join(process, b);
    guest.exit(0, process);
    check(&mut guest);
    assert!(guest.gauge(a, Gauge::Current) <= 64, "only a CPU's stock may be left");
}

#[test]
fn dropped_mappings_of_a_file_are_forgotten_and_dropped_memory_leaves_its_swap() {
    let knobs = Knobs { swappiness: 60, ..Knobs::default() };
    let device = SwapDevice { pages: 1000, ..SwapDevice::default() };
    let mut guest = Guest::new(config(&[1], &[(0, 1, 9000)]), knobs, device);
    let a = guest.add_group(&group("a", 300));
    let process = guest.add_process(a);
    let file = Backing::File("f".into());
    let regions = [file, Backing::Anon]
        .map(|backing| guest.add_region(process, &backing, 400, Policy::Default, 0, false));
    for region in regions {
        (0..400).for_each(|page| guest.touch(0, region, page, true));
    }
    for region in regions {
        guest.advise(0, region, Advice::DontNeed);
    }
    check(&mut guest);
    assert_eq!((guest.gauge(a, Gauge::SwapCurrent), guest.gauge(a, Gauge::Anon)), (0, 0));
}

#[test]
fn walks_leave_the_accessed_bits_of_locked_mappings() {
    let knobs = Knobs { lru_gen: 7, swappiness: 60, ..Knobs::default() };
    let swap = SwapDevice { pages: 5000, latency_ns: Some(1000), ..SwapDevice::default() };
    let mut guest = Guest::new(config(&[1], &[(0, 1, 9000)]), knobs, swap);
    let a = guest.add_group(&group("a", 900));
    let process = guest.add_process(a);
    let locked = guest.add_region(process, &Backing::Anon, 200, Policy::Default, 0, false);
    let other = guest.add_region(process, &Backing::Anon, 2000, Policy::Default, 0, false);
    (0..200).for_each(|page| guest.touch(0, locked, page, true));
    guest.lock(0, locked);
    (0..2000).for_each(|page| guest.touch(0, other, page, true));
    assert!(guest.lruvecs[a as usize].generations.max_seq > 3, "it aged");
    let entries = &guest.vmas[locked as usize].ptes;
    assert!(entries.iter().all(|entry| entry & super::state::pte::YOUNG != 0));
}

#[test]
fn a_huge_page_that_is_wanted_while_it_is_written_comes_back_by_its_pages() {
    for lru_gen in [0, 7] {
        let knobs = Knobs { swappiness: 60, lru_gen, ..Knobs::default() };
        let device =
            SwapDevice { pages: 20_000, latency_ns: Some(50_000_000), ..SwapDevice::default() };
        let mut guest = Guest::new(config(&[1], &[(0, 1, 60_000)]), knobs, device);
        let a = guest.add_group(&group("a", 2000));
        let process = guest.add_process(a);
        let region = guest.add_region(process, &Backing::Anon, 512, Policy::Default, 0, true);
        guest.touch(0, region, 0, true);
        assert_eq!(guest.gauge(a, Gauge::AnonThp), 512, "engine {lru_gen}");
        guest.advise(0, region, Advice::PageOut);
        let vm = guest.vmstat();
        assert_eq!((vm[Stat::thp_swpout], vm[Stat::thp_split_pmd]), (1, 1));
        assert_eq!(guest.gauge(a, Gauge::AnonThp), 0);
        let faults = vm[Stat::pgfault];
        (0..512).for_each(|page| guest.touch(0, region, page, true));
        assert_eq!(guest.vmstat()[Stat::pgfault], faults + 1, "one fault maps all of it");
        assert_eq!(guest.gauge(a, Gauge::AnonThp), 0, "by 512 entries");
        assert_eq!(guest.gauge(a, Gauge::SwapCurrent), 512, "slots that are being written stay");
        check(&mut guest);
        let activated = guest.vmstat()[Stat::pgactivate];
        guest.advance(guest.now() + 100_000_000);
        // A limit below what there is makes reclaim look at it: it is young in more than one entry.
        let other = guest.add_region(process, &Backing::Anon, 1600, Policy::Default, 0, false);
        (0..1600).for_each(|page| guest.touch(0, other, page, true));
        assert!(guest.vmstat()[Stat::pgactivate] - activated >= 512, "engine {lru_gen}");
        check(&mut guest);
    }
}
