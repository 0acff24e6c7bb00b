use base::CpuId;
use config::Described;
use sched::Permit;

use super::*;
use crate::testing::{NR_PAGES, World};
use crate::{
    Design, Migration, Move, NumaBalancing612, Placement, Placing, ScanOutcome, ScanPlan, ScanRules,
};

mod rules;

/// The state of 6.12 with its defaults.
fn core(world: &World) -> Core {
    let knobs = <NumaBalancing612 as Described>::Knobs::default();
    NumaBalancing612::new(knobs, &world.machine)
}

fn one_task() -> (World, Core, TaskId, MmId) {
    let mut world = World::new(2, 2);
    let mm = world.add_space();
    let task = world.add_task(mm, 0);
    let mut core = core(&world);
    core.task_start(&mut world.cx(), task, None);
    (world, core, task, mm)
}

/// Lets the task run to `ms` on both clocks and asks for a scan.
fn scan_at(world: &mut World, core: &mut Core, task: TaskId, ms: u64) -> Option<ScanPlan> {
    world.now = Nanos::from_ms(ms);
    world.tasks[task].cpu_time = Nanos::from_ms(ms);
    core.scan(&mut world.cx(), task)
}

/// The walk that `plan` asks for finds `charged` pages.
fn walked(plan: &ScanPlan, charged: u64, exhausted: bool) -> ScanOutcome {
    ScanOutcome {
        next: plan.end,
        charged: Pages(charged),
        exhausted,
        walked: Pages(u64::from(plan.end - plan.start)),
        ..ScanOutcome::default()
    }
}

#[test]
fn the_first_scan_waits_for_a_second_of_cpu_time() {
    let (mut world, mut core, task, mm) = one_task();
    assert_eq!(scan_at(&mut world, &mut core, task, 1000), None);
    let plan = scan_at(&mut world, &mut core, task, 1001).expect("a scan is due");
    assert_eq!((plan.mm, plan.start, plan.end), (mm, 0, NR_PAGES));
    let rules = ScanRules {
        charge_steps: true,
        skip_base_pages_on: Some(NodeId(0)),
        ..ScanRules::default()
    };
    assert_eq!(plan.rules, rules, "one thread: local base pages stay open");
    assert_eq!(plan.max_updated, Pages(65_536));
    let next = core.scan_done(&mut world.cx(), task, &walked(&plan, 9, false), Nanos::from_ms(10));
    assert_eq!(next, None);
    assert_eq!(core.spaces[mm].progress.scan_seq, 1, "the pass is over");
    // One period, two ticks, and 32 times the walk.
    let stamp = Nanos::from_ms(1000 + 2 * 4 + 320);
    assert_eq!(core.tasks[task].node_stamp, stamp);
}

#[test]
fn a_thread_that_comes_early_loses_a_period() {
    let (mut world, mut core, task, mm) = one_task();
    core.spaces[mm].next_scan = Nanos::from_ms(1500);
    assert_eq!(scan_at(&mut world, &mut core, task, 1100), None);
    assert_eq!(scan_at(&mut world, &mut core, task, 1900), None, "not before 2000 ms");
    assert!(scan_at(&mut world, &mut core, task, 2001).is_some());
}

#[test]
fn an_unused_mapping_is_forced_alone_and_the_pass_stays_open() {
    let (mut world, mut core, task, mm) = one_task();
    world.spaces[mm].nr_tasks = 50;
    core.spaces[mm].progress.scan_seq = 0;
    for ms in [1001, 2100] {
        let plan = scan_at(&mut world, &mut core, task, ms).expect("two free passes");
        core.scan_done(&mut world.cx(), task, &walked(&plan, 1, false), Nanos::ZERO);
    }
    let seq = core.spaces[mm].progress.scan_seq;
    assert_eq!(seq, 2);
    let plan = scan_at(&mut world, &mut core, task, 4000).expect("forced");
    assert_eq!((plan.start, plan.end), (0, NR_PAGES));
    core.scan_done(&mut world.cx(), task, &walked(&plan, 1, false), Nanos::ZERO);
    let progress = &core.spaces[mm].progress;
    assert_eq!((progress.scan_seq, progress.offset), (seq, NR_PAGES));
}

#[test]
fn local_faults_leave_the_page_alone_and_remote_ones_sign_it() {
    let (mut world, mut core, task, _) = one_task();
    let local = world.fault(task, 0, 77);
    let verdict = core.hint_fault(&mut world.cx(), &local);
    assert_eq!(verdict, Verdict::new(77, None));
    let remote = world.fault(task, 1, 0);
    let verdict = core.hint_fault(&mut world.cx(), &remote);
    assert_eq!(verdict.word, CpuPid::new(CpuId(0), task).word());
    assert_eq!(verdict.migrate_to, Some(NodeId(0)));
}

#[test]
fn the_first_placement_knows_nothing_and_backs_off() {
    let (mut world, mut core, task, mm) = one_task();
    let plan = scan_at(&mut world, &mut core, task, 1001).expect("a scan is due");
    core.scan_done(&mut world.cx(), task, &walked(&plan, 1, false), Nanos::ZERO);
    let fault = world.fault(task, 0, 0);
    core.hint_fault(&mut world.cx(), &fault);
    assert_eq!(core.tasks[task].period, Nanos::from_ms(2000));
    assert_eq!(core.spaces[mm].next_scan, Nanos::from_ms(3001));
    assert_eq!(core.tasks[task].preferred, None);
    // The next pass is judged by the fault just counted: private, hence three slots more.
    core.spaces[mm].progress.scan_seq += 1;
    world.now = Nanos::from_ms(4000);
    core.hint_fault(&mut world.cx(), &fault);
    assert_eq!(core.tasks[task].period, Nanos::from_ms(2600));
    assert_eq!(core.tasks[task].preferred, Some(NodeId(0)));
}

#[test]
fn a_failed_migration_is_counted_where_the_page_stayed() {
    let (mut world, mut core, task, _) = one_task();
    let remote = world.fault(task, 1, 0);
    core.hint_fault(&mut world.cx(), &remote);
    let migration =
        Migration { task, from: NodeId(1), to: NodeId(0), pages: Pages(1), moved: false };
    core.migration_done(&mut world.cx(), &migration);
    let pass = core.tasks[task].pass;
    assert_eq!((pass.failed, pass.local, pass.remote), (1, 0, 1));
    core.tasks[task].faults.fold(1, 1, 1);
    assert_eq!(core.tasks[task].faults.sums.mem_of(NodeId(1)), 1);
}

/// Two tasks that fault on each other's pages, and their groups.
fn groups_of_two_that_share(groups: bool) -> [Option<usize>; 2] {
    let (mut world, mut core, first, mm) = one_task();
    core.rules.groups = groups;
    let second = world.add_task(mm, 2);
    core.task_start(&mut world.cx(), second, Some(first));
    // Each faults on pages whose word names the other, which runs on the CPU of the word.
    for (task, other) in [(first, second), (second, first)] {
        let word = CpuPid::new(world.sched.cpu_of(other), other).word();
        let node = u8::from(task == first);
        let fault = world.fault(task, node, word);
        core.hint_fault(&mut world.cx(), &fault);
        core.tasks[task].pending = None;
    }
    let fault = world.fault(first, 0, 0);
    let last = Some(CpuPid::new(CpuId(2), second));
    core.account(&world.cx(), &fault, last, NodeId(0));
    [core.tasks[first].group, core.tasks[second].group]
}

#[test]
fn tasks_that_use_each_others_pages_become_a_group() {
    let [first, second] = groups_of_two_that_share(true);
    assert!(first.is_some());
    assert_eq!(first, second);
}

#[test]
fn before_groups_they_stay_alone() {
    assert_eq!(groups_of_two_that_share(false), [None, None]);
}

#[test]
fn the_balancer_is_kept_from_the_preferred_node() {
    let (mut world, mut core, task, _) = one_task();
    let to = CpuId(2);
    assert_eq!(core.permit(&world.cx(), task, to), Permit::Default, "no statistics yet");
    core.tasks[task].has_faults = true;
    core.tasks[task].preferred = Some(NodeId(1));
    assert_eq!(core.permit(&world.cx(), task, to), Permit::Encourage);
    core.tasks[task].preferred = Some(NodeId(0));
    assert_eq!(core.permit(&world.cx(), task, to), Permit::Default, "all here prefer it");
    let mm = world.tasks[task].mm.expect("a user task");
    let other = world.add_task(mm, 0);
    core.task_start(&mut world.cx(), other, Some(task));
    assert_eq!(core.permit(&world.cx(), task, to), Permit::Resist, "the other can go");
}

/// The same world under the rules of 3.13.
fn one_task_of_3_13() -> (World, Core, TaskId, MmId) {
    let (mut world, mut core, task, mm) = one_task();
    core.rules.adaptation = Adaptation::ByLocality;
    core.rules.search.search = Search::V3_13;
    core.rules.misplacing = Misplacing::Deferred(2);
    core.task_start(&mut world.cx(), task, None);
    (world, core, task, mm)
}

fn fault(world: &mut World, core: &mut Core, (task, node, word): (TaskId, u8, u32)) -> Verdict {
    let fault = world.fault(task, node, word);
    core.hint_fault(&mut world.cx(), &fault)
}

#[test]
fn in_2013_local_faults_sign_the_page_too() {
    let (mut world, mut core, task, _) = one_task_of_3_13();
    let verdict = fault(&mut world, &mut core, (task, 0, 0));
    assert_eq!(verdict, Verdict::new(CpuPid::new(CpuId(0), task).word(), None));
    // Another task's fault from the other node before it defers the shared pages that follow.
    let other = CpuPid::new(CpuId(2), TaskId::from_idx(9)).word();
    fault(&mut world, &mut core, (task, 0, other));
    let word = CpuPid::new(CpuId(1), TaskId::from_idx(9)).word();
    let answers: Vec<bool> = (0..3)
        .map(|_| fault(&mut world, &mut core, (task, 1, word)).migrate_to.is_some())
        .collect();
    assert_eq!(answers, [false, false, true]);
}

#[test]
fn in_3_13_a_displaced_task_keeps_its_period_and_leaves_its_memory_behind() {
    let (mut world, mut core, task, mm) = one_task_of_3_13();
    fault(&mut world, &mut core, (task, 0, 0));
    core.tasks[task].preferred = Some(NodeId(0));
    core.tasks[task].period = Nanos::from_ms(7000);
    world.go(task, 2);
    core.notice_node(&world.cx(), task, mm);
    assert_eq!(core.tasks[task].period, Nanos::from_ms(7000));
    let back = world.fault(task, 0, 0);
    assert_eq!(core.hint_fault(&mut world.cx(), &back).migrate_to, None);
    // The next placement ends that.
    core.spaces[mm].progress.scan_seq += 1;
    core.place(&world.cx(), task);
    assert_eq!(core.hint_fault(&mut world.cx(), &back).migrate_to, Some(NodeId(1)));
    assert_eq!(core.permit(&world.cx(), task, CpuId(0)), Permit::Encourage);
    core.tasks[task].preferred = Some(NodeId(1));
    assert_eq!(core.permit(&world.cx(), task, CpuId(0)), Permit::Default, "no resistance");
}

#[test]
fn in_3_13_threads_inherit_the_preferred_node_and_start_together() {
    let (mut world, mut core, task, mm) = one_task_of_3_13();
    core.tasks[task].preferred = Some(NodeId(1));
    let thread = world.add_task(mm, 1);
    core.task_start(&mut world.cx(), thread, Some(task));
    let state = &core.tasks[thread];
    assert_eq!((state.preferred, state.node_stamp), (Some(NodeId(1)), Nanos::ZERO));
}

#[test]
fn in_july_2013_each_fault_that_moves_nothing_lengthens_the_period() {
    let (mut world, mut core, task, mm) = one_task_of_3_13();
    let (backoff, reset) = (Nanos::from_ms(10), Nanos::from_secs(60));
    core.rules.adaptation = Adaptation::PerFault { backoff, reset };
    core.rules.misplacing = Misplacing::TwoStage;
    core.task_start(&mut world.cx(), task, None);
    core.tasks[task].period = Nanos::from_ms(2000);
    let first = fault(&mut world, &mut core, (task, 1, 0));
    assert_eq!((first.migrate_to, core.tasks[task].period), (None, Nanos::from_ms(2010)));
    let second = fault(&mut world, &mut core, (task, 1, first.word));
    assert_eq!((second.migrate_to, core.tasks[task].period.as_ms()), (Some(NodeId(0)), 2010));
    for (ms, period) in [(59_000, 5000), (61_000, 1000)] {
        // The first expiry of all sets the period as well.
        scan_at(&mut world, &mut core, task, 3000);
        core.tasks[task].period = Nanos::from_ms(5000);
        core.spaces[mm].next_reset = reset;
        scan_at(&mut world, &mut core, task, ms);
        assert_eq!(core.tasks[task].period, Nanos::from_ms(period), "at {ms} ms");
    }
}
