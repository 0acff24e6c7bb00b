//! Rules that no other test would miss, each on its own: what mutations of them showed.

use super::*;

const MINE: NodeId = NodeId(0);
const OTHER: NodeId = NodeId(1);

/// Another task's mark on a page, from a CPU of this node.
fn used_by_another(node: u8) -> u32 {
    CpuPid::new(CpuId(2 * u16::from(node)), TaskId::from_idx(99)).word()
}

/// Faults of former passes on each node's memory, `[shared, private]`.
fn set_faults(core: &mut Core, task: TaskId, mem: [[u64; 2]; 2]) {
    let sums = &mut core.tasks[task].faults.sums;
    for (node, pair) in mem.into_iter().enumerate() {
        sums.mem[NodeId::from_idx(node)] = pair;
    }
    sums.total = mem.iter().flatten().sum();
}

/// A group of one with these faults, which `task` is in.
fn set_group(core: &mut Core, task: TaskId, faults: Faults) -> usize {
    core.groups.push(Group::of_one(faults));
    core.tasks[task].group = Some(core.groups.len() - 1);
    core.groups.len() - 1
}

/// The task's process has finished a pass, and the task takes note of it.
fn place(world: &mut World, core: &mut Core, task: TaskId) {
    let mm = world.tasks[task].mm.expect("a user task");
    core.spaces[mm].progress.scan_seq += 1;
    core.place(&world.cx(), task);
}

fn july_2013() -> (World, Core, TaskId, MmId) {
    let (world, mut core, task, mm) = one_task_of_3_13();
    let (backoff, reset) = (Nanos::from_ms(10), Nanos::from_secs(60));
    core.rules.adaptation = Adaptation::PerFault { backoff, reset };
    core.rules.misplacing = Misplacing::TwoStage;
    (world, core, task, mm)
}

#[test]
fn a_scan_and_a_reset_are_due_at_their_very_time() {
    let (mut world, mut core, task, mm) = july_2013();
    core.spaces[mm].next_scan = Nanos::from_ms(2000);
    core.spaces[mm].next_reset = Nanos::from_ms(2000);
    core.tasks[task].node_stamp = Nanos::from_ms(1);
    core.tasks[task].period = Nanos::from_ms(1500);
    assert!(scan_at(&mut world, &mut core, task, 2000).is_some());
    let shortest = core.rules.period.scan_min(world.cx().rss(mm));
    assert_eq!(core.tasks[task].period, shortest);
    assert!(shortest < Nanos::from_ms(1500));
}

#[test]
fn private_pages_ignore_the_filter_through_the_last_early_pass() {
    let (mut world, mut core, task, _) = one_task();
    core.tasks[task].preferred = Some(MINE);
    let from_there = CpuPid::new(CpuId(2), task).word();
    let mut asked = |seq| {
        core.tasks[task].scan_seq = seq;
        let fault = world.fault(task, 1, from_there);
        core.should_migrate(&world.cx(), &fault, CpuPid::of(from_there))
    };
    assert_eq!([4, 5].map(&mut asked), [true, false]);
}

#[test]
fn in_3_13_only_a_task_that_is_off_its_node_leaves_its_memory() {
    let (mut world, mut core, task, mm) = one_task_of_3_13();
    // Without statistics no move displaces it.
    core.tasks[task].preferred = Some(MINE);
    world.go(task, 2);
    core.notice_node(&world.cx(), task, mm);
    assert!(!core.tasks[task].displaced, "no statistics yet");
    world.go(task, 0);
    core.notice_node(&world.cx(), task, mm);
    core.tasks[task].has_faults = true;
    world.go(task, 2);
    core.notice_node(&world.cx(), task, mm);
    assert!(core.tasks[task].displaced);
    // It is back before a tick has seen it.
    world.go(task, 0);
    let fault = world.fault(task, 1, 0);
    assert!(core.should_migrate(&world.cx(), &fault, None));
    core.notice_node(&world.cx(), task, mm);
    assert!(!core.tasks[task].displaced, "it came to the node it prefers");
}

#[test]
fn placement_waits_for_the_next_try_but_not_in_2013() {
    let placed = |world: &mut World, core: &mut Core, task: TaskId, mm: MmId| {
        core.spaces[mm].progress.scan_seq += 1;
        core.tasks[task].migrate_retry = world.now;
        let fault = world.fault(task, 0, 0);
        core.account(&world.cx(), &fault, None, MINE);
        core.tasks[task].scan_seq == core.spaces[mm].progress.scan_seq
    };
    let (mut world, mut core, task, mm) = one_task();
    world.now = Nanos::from_secs(5);
    assert!(!placed(&mut world, &mut core, task, mm), "one moment too early");
    let (mut world, mut core, task, mm) = one_task_of_3_13();
    world.now = Nanos::from_secs(5);
    assert!(placed(&mut world, &mut core, task, mm));
}

#[test]
fn in_2013_a_task_tries_at_once_when_its_node_changes_and_only_then() {
    let (mut world, mut core, task, _) = one_task_of_3_13();
    world.now = Nanos::from_secs(9);
    for (known, tries) in [(Some(OTHER), false), (Some(MINE), true), (None, true)] {
        set_faults(&mut core, task, [[0, 10], [0, 90]]);
        core.tasks[task].preferred = known;
        core.tasks[task].wants_move = false;
        place(&mut world, &mut core, task);
        assert_eq!(core.tasks[task].preferred, Some(OTHER));
        assert_eq!(core.tasks[task].wants_move, tries, "it preferred {known:?}");
    }
}

#[test]
fn a_try_is_repeated_after_a_second_or_a_part_of_the_period() {
    let next_try = |mut world: World, mut core: Core, task: TaskId, period_ms: u64| {
        core.tasks[task].preferred = Some(OTHER);
        core.tasks[task].period = Nanos::from_ms(period_ms);
        core.try_preferred(&world.cx(), task);
        core.tasks[task].migrate_retry.as_ms()
    };
    let (world, core, task, _) = one_task();
    assert_eq!(next_try(world, core, task, 1600), 100, "a sixteenth");
    let (world, core, task, _) = one_task();
    assert_eq!(next_try(world, core, task, 60_000), 1000);
    let (world, core, task, _) = one_task_of_3_13();
    assert_eq!(next_try(world, core, task, 1600), 1000, "2013 knew no part of it");
}

#[test]
fn in_july_2013_a_fault_backs_off_unless_its_page_moved() {
    let (mut world, mut core, task, _) = july_2013();
    core.task_start(&mut world.cx(), task, None);
    let mut after = |moved| {
        core.tasks[task].period = Nanos::from_ms(2000);
        let word = CpuPid::new(CpuId(0), task).word();
        let asked = world.fault(task, 1, word);
        assert_eq!(core.hint_fault(&mut world.cx(), &asked).migrate_to, Some(MINE));
        let migration = Migration { task, from: OTHER, to: MINE, pages: Pages(1), moved };
        core.migration_done(&mut world.cx(), &migration);
        core.tasks[task].period.as_ms()
    };
    assert_eq!([true, false].map(&mut after), [2000, 2010]);
}

#[test]
fn in_july_2013_a_page_of_a_batch_that_stays_is_not_accounted() {
    let (mut world, mut core, task, _) = july_2013();
    core.task_start(&mut world.cx(), task, None);
    core.tasks[task].period = Nanos::from_ms(2000);
    let batch = HintFault { batch: true, ..world.fault(task, 1, 0) };
    let verdict = core.hint_fault(&mut world.cx(), &batch);
    assert_eq!(verdict, Verdict::new(CpuPid::new(CpuId(0), task).word(), None));
    assert_eq!((core.tasks[task].period.as_ms(), core.tasks[task].pass.remote), (2000, 0));
    let again = HintFault { word: verdict.word, ..batch };
    assert_eq!(core.hint_fault(&mut world.cx(), &again).migrate_to, Some(MINE));
}

#[test]
fn in_july_2013_private_faults_alone_choose_a_node() {
    let (mut world, mut core, task, _) = july_2013();
    set_faults(&mut core, task, [[900, 0], [0, 0]]);
    place(&mut world, &mut core, task);
    assert_eq!(core.tasks[task].preferred, None, "shared faults choose nothing");
    set_faults(&mut core, task, [[900, 0], [0, 10]]);
    place(&mut world, &mut core, task);
    assert_eq!(core.tasks[task].preferred, Some(OTHER));
}

/// Own and group's faults on the two nodes, of 1000 each, and the node that 3.13 chooses.
#[test]
fn in_3_13_task_and_group_together_choose_where_they_disagree() {
    let chosen = |own: [u64; 2], group: [u64; 2]| {
        let (world, mut core, task, _) = one_task_of_3_13();
        drop(world);
        set_faults(&mut core, task, own.map(|count| [0, count]));
        let mut faults = Faults::new(2);
        faults.mem[MINE] = [0, group[0]];
        faults.mem[OTHER] = [0, group[1]];
        faults.total = group.iter().sum();
        set_group(&mut core, task, faults);
        core.best_node(task)
    };
    assert_eq!(chosen([300, 700], [900, 100]), Some(MINE), "1200 for 800");
    assert_eq!(chosen([100, 900], [700, 300]), Some(OTHER), "800 for 1200");
    assert_eq!(chosen([491, 509], [506, 494]), Some(OTHER), "997 for 1003");
}

#[test]
fn a_found_place_is_preferred_and_starts_the_period_again_in_3_13_only() {
    let went = |(mut world, mut core, task, mm): (World, Core, TaskId, MmId)| {
        core.tasks[task].preferred = Some(OTHER);
        core.tasks[task].wants_move = true;
        core.tasks[task].period = Nanos::from_ms(7000);
        set_faults(&mut core, task, [[0, 10], [0, 90]]);
        core.rules.groups = false;
        assert_eq!(core.place_task(&mut world.cx(), task, Placing::Tick), Some(Move::To(CpuId(2))));
        let shortest = core.rules.period.scan_min(world.cx().rss(mm));
        core.tasks[task].period == shortest
    };
    assert!(went(one_task_of_3_13()));
    assert!(!went(july_2013()));
}

/// Three nodes; nothing is to be had on the preferred one, and a partner on the third gains.
#[test]
fn in_3_13_the_node_found_becomes_the_preferred_one_and_the_partner_is_not_displaced() {
    let mut world = World::new(3, 1);
    let mm = world.add_space();
    let mut core = core(&world);
    (core.rules.adaptation, core.rules.search.search) = (Adaptation::ByLocality, Search::V3_13);
    let tasks: Vec<TaskId> = (0..3).map(|cpu| world.add_task(mm, cpu)).collect();
    for (task, mem) in tasks.iter().zip([[0, 500, 400], [0, 1000, 0], [900, 0, 100]]) {
        core.task_start(&mut world.cx(), *task, None);
        let sums = &mut core.tasks[*task].faults.sums;
        for (node, count) in mem.into_iter().enumerate() {
            sums.mem[NodeId(node as u8)] = [0, count];
        }
        sums.total = mem.iter().sum();
        core.tasks[*task].has_faults = true;
    }
    core.tasks[tasks[0]].preferred = Some(NodeId(1));
    core.tasks[tasks[0]].wants_move = true;
    core.tasks[tasks[2]].preferred = Some(NodeId(2));
    assert_eq!(
        core.place_task(&mut world.cx(), tasks[0], Placing::Tick),
        Some(Move::Swap(tasks[2]))
    );
    assert_eq!(core.tasks[tasks[0]].preferred, Some(NodeId(2)));
    // The partner sits where the swap put it, so its next tick notices no move.
    world.sched.swap(tasks[0], tasks[2], world.now);
    core.notice_node(&world.cx(), tasks[2], mm);
    assert!(!core.tasks[tasks[2]].displaced);
}

#[test]
fn a_page_that_finds_no_room_counts_as_failed() {
    let (mut world, mut core, task, _) = one_task();
    world.fill(0);
    let fault = HintFault { pages: Pages(512), ..world.fault(task, 1, 0) };
    assert_eq!(core.hint_fault(&mut world.cx(), &fault).migrate_to, None);
    assert_eq!(core.tasks[task].pass.failed, 512);
}

#[test]
fn a_thread_inherits_from_a_parent_of_its_process_only_and_only_in_3_13() {
    let inherited = |(mut world, mut core, task, mm): (World, Core, TaskId, MmId), fork: bool| {
        core.tasks[task].preferred = Some(OTHER);
        let space = if fork { world.add_space() } else { mm };
        let child = world.add_task(space, 1);
        core.task_start(&mut world.cx(), child, Some(task));
        core.tasks[child].preferred
    };
    assert_eq!(inherited(one_task_of_3_13(), false), Some(OTHER));
    assert_eq!(inherited(one_task_of_3_13(), true), None);
    assert_eq!(inherited(one_task(), false), None);
}

#[test]
fn the_second_thread_delays_the_first_scan_and_later_ones_do_not() {
    let (mut world, mut core, task, mm) = one_task();
    let mut next_scan = |ms| {
        world.now = Nanos::from_ms(ms);
        let thread = world.add_task(mm, 1);
        core.task_start(&mut world.cx(), thread, Some(task));
        (core.spaces[mm].next_scan.as_ms(), core.tasks[thread].node_stamp)
    };
    let (second, stamp) = next_scan(300);
    assert_eq!(second, 1300);
    assert_eq!(next_scan(400).0, 1300);
    // The longest period of so small a process, 60 s, taken for nanoseconds, and two ticks of 4 ms.
    assert_eq!(stamp, Nanos(60_000) + Nanos::from_ms(8));
}

/// A fault on memory of one active node of the group by a CPU of another.
#[test]
fn shared_faults_between_active_nodes_are_local_since_but_not_in_2013() {
    let locality = |(mut world, mut core, task, _): (World, Core, TaskId, MmId)| {
        let mut faults = Faults::new(2);
        faults.cpu[MINE] = [100, 0];
        faults.cpu[OTHER] = [90, 0];
        let group = set_group(&mut core, task, faults);
        core.groups[group].count_active_nodes(3);
        core.tasks[task].migrate_retry = Nanos::MAX;
        let word = used_by_another(0);
        let fault = world.fault(task, 1, word);
        core.account(&world.cx(), &fault, CpuPid::of(word), OTHER);
        (core.tasks[task].pass.local, core.tasks[task].pass.remote)
    };
    assert_eq!(locality(one_task()), (1, 0));
    assert_eq!(locality(one_task_of_3_13()), (0, 1));
}

#[test]
fn a_pass_goes_into_the_group_and_remote_faults_into_the_weights() {
    let (mut world, mut core, task, _) = one_task();
    let group = set_group(&mut core, task, Faults::new(2));
    core.tasks[task].faults.count(OTHER, MINE, false, 100);
    core.tasks[task].pass.remote = 100;
    world.now = Nanos::from_ms(1000);
    world.tasks[task].cpu_time = world.now;
    place(&mut world, &mut core, task);
    assert_eq!(core.groups[group].faults.mem_of(OTHER), 100);
    assert_eq!(core.groups[group].max_faults_cpu, core.groups[group].faults.cpu_of(MINE));
    // All of the time, 65536, times 100 faults of 101.
    assert!(core.groups[group].max_faults_cpu.abs_diff(65_536 * 100 / 101) <= 1);
}

#[test]
fn members_are_counted_as_they_join_and_leave() {
    let (mut world, mut core, task, mm) = one_task();
    let other = world.add_task(mm, 2);
    core.task_start(&mut world.cx(), other, Some(task));
    let (small, large) = {
        let small = set_group(&mut core, task, Faults::new(2));
        (small, set_group(&mut core, other, Faults::new(2)))
    };
    let last = CpuPid::new(CpuId(2), other);
    assert!(!core.join_group(&world.cx(), task, last));
    let members = |core: &Core| [small, large].map(|group| core.groups[group].nr_tasks);
    assert_eq!(members(&core), [0, 2]);
    core.task_exit(&mut world.cx(), task);
    assert_eq!(members(&core), [0, 1]);
}

#[test]
fn a_groups_size_stretches_periods_since_but_not_in_2013() {
    let start = |(mut world, mut core, task, mm): (World, Core, TaskId, MmId)| {
        let mut faults = Faults::new(2);
        faults.mem[MINE] = [1000, 0];
        let group = set_group(&mut core, task, faults);
        core.groups[group].nr_tasks = 8;
        core.scan_start(&world.cx(), task, mm).as_ms()
    };
    assert_eq!(start(one_task()), 8000);
    assert_eq!(start(one_task_of_3_13()), 1000);
}

#[test]
fn a_task_with_all_faults_on_a_node_weighs_a_thousand_there() {
    use crate::numab::search::Weigh;
    let (_, mut core, task, _) = one_task();
    set_faults(&mut core, task, [[0, 640], [0, 0]]);
    assert_eq!([MINE, OTHER].map(|node| core.task_weight(task, node, 20)), [1000, 0]);
}
