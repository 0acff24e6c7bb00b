//! Situations whose outcome is known: where threads start, and how they even out.

use crate::rig::{Rig, machine};
use base::{CpuId, CpuMask, Nanos, NodeId, TaskId};
use sched::{
    FairPolicy, ImbNumaNr, Leave, Permit, SchedError, SchedKnobs, SeekIdle, Sync, TaskState,
};

fn rig(nr_nodes: usize, cores: usize, threads: usize) -> Rig {
    Rig::new(machine(nr_nodes, cores, threads), SchedKnobs::default(), 1)
}

fn busy_cpus(rig: &Rig) -> usize {
    (0..rig.sched.nr_cpus()).filter(|cpu| !rig.sched.is_idle(CpuId::from_idx(*cpu))).count()
}

#[test]
fn a_full_load_gives_each_cpu_one_thread() {
    for seed in 0..20 {
        let mut rig = Rig::new(machine(4, 12, 1), SchedKnobs::default(), seed);
        rig.fork(48);
        // A fork leaves its own node only for one that is clearly less busy; the last task is pulled.
        assert!(rig.node_counts().into_iter().all(|nr| (11..=13).contains(&nr)));
        rig.run_for(100);
        assert_eq!(rig.node_counts(), [12; 4]);
        assert_eq!(busy_cpus(&rig), 48);
    }
}

#[test]
fn a_half_load_is_spread_over_nodes_and_whole_cores() {
    for seed in 0..20 {
        let mut rig = Rig::new(machine(2, 6, 2), SchedKnobs::default(), seed);
        let tasks = rig.fork(12);
        assert_eq!(rig.node_counts(), [6, 6]);
        let mut cores: Vec<u16> =
            tasks.iter().map(|task| rig.sched.cpu(rig.sched.cpu_of(*task)).core).collect();
        cores.sort_unstable();
        cores.dedup();
        assert_eq!(cores.len(), 12, "one thread a core");
    }
}

/// The parent runs while it forks, so the last child finds no idle CPU; when the parent waits for
/// its children, they get one CPU each.
#[test]
fn a_parent_that_waits_leaves_each_child_a_cpu() {
    for seed in 0..20 {
        let mut rig = Rig::new(machine(2, 6, 1), SchedKnobs::default(), seed);
        let parent = rig.start_on(CpuId(0));
        rig.fork(12);
        rig.leave(parent, Leave::Block);
        rig.run_for(25);
        assert_eq!((rig.node_counts(), busy_cpus(&rig)), (vec![6, 6], 12));
    }
}

/// A program starts wherever nodes are idlest, which differs between seeds; its threads then go to
/// the nodes after its own in turn, whatever the seed.
#[test]
fn where_a_program_starts_is_drawn_and_where_its_threads_go_follows() {
    let places = |seed| {
        let mut rig = Rig::new(machine(4, 4, 1), SchedKnobs::default(), seed);
        let main = rig.add(1024, rig.all());
        let cpu = rig.sched.select_cpu_exec(main, CpuId(0), &mut rig.rng);
        rig.start(main, cpu);
        let mut child = || {
            let task = rig.add(1024, rig.all());
            let cpu = rig.sched.select_cpu_fork(task, cpu, &mut rig.rng);
            rig.start(task, cpu);
            rig.sched.node_of(task).idx()
        };
        let children = [(); 6].map(|()| child());
        (rig.sched.node_of(main).idx(), children)
    };
    let starts: std::collections::BTreeSet<usize> = (0..30).map(|seed| places(seed).0).collect();
    assert_eq!(starts.len(), 4, "any node");
    for seed in 0..30 {
        let (start, children) = places(seed);
        // The others first; then all run one and the parent's is not clearly busier, so it keeps the
        // fourth child.
        assert_eq!(children.map(|node| (node + 4 - start) % 4), [1, 2, 3, 0, 1, 2]);
    }
}

/// Two processes fork their threads, one after the other, as numa01 does on a machine of two nodes. The
/// first main sleeps by then, so that its node is the less busy one: the first threads of
/// both processes meet there, in every run.
#[test]
fn first_threads_of_two_processes_meet_on_a_node() {
    for seed in 0..20 {
        let mut rig = Rig::new(machine(2, 6, 2), SchedKnobs::default(), seed);
        let fork = |rig: &mut Rig, parent: CpuId| {
            let task = rig.add(1024, rig.all());
            let cpu = rig.sched.select_cpu_fork(task, parent, &mut rig.rng);
            rig.start(task, cpu);
            task
        };
        let main = rig.start_on(CpuId(0));
        let second_main = fork(&mut rig, CpuId(0));
        assert_eq!(rig.sched.node_of(second_main), NodeId(1));
        let first = [(); 12].map(|()| fork(&mut rig, CpuId(0)))[0];
        rig.leave(main, Leave::Block);
        let parent = rig.sched.cpu_of(second_main);
        let second = fork(&mut rig, parent);
        assert_eq!([first, second].map(|task| rig.sched.node_of(task)), [NodeId(0); 2]);
    }
}

#[test]
fn a_fork_does_not_reach_beyond_the_reclaim_distance() {
    let (cpus, mut distances) = machine(2, 2, 1);
    distances[(NodeId(0), NodeId(1))] = 31;
    let mut rig = Rig::new((cpus, distances), SchedKnobs::default(), 1);
    rig.fork(4);
    assert_eq!(rig.node_counts(), [4, 0]);
    // Affinity leaves no other choice.
    let bound = rig.add(1024, CpuMask::from_iter([CpuId(3)]));
    let mut rng = rig.rng.clone();
    assert_eq!(rig.sched.select_cpu_fork(bound, CpuId(0), &mut rng), CpuId(3));
}

#[test]
fn children_stay_on_the_node_while_numa_imbalance_is_allowed() {
    let knobs = SchedKnobs { imb_numa_nr: ImbNumaNr::Derived, ..SchedKnobs::default() };
    // An eighth of 32 CPUs.
    let mut rig = Rig::new(machine(2, 32, 1), knobs, 1);
    rig.fork(4);
    assert_eq!(rig.node_counts(), [4, 0]);
    rig.fork(1);
    assert_eq!(rig.node_counts(), [4, 1]);
}

/// Threads that finish are made up for: nodes even out, one running thread at a time.
#[test]
fn a_node_whose_threads_finished_is_refilled() {
    for seed in 0..10 {
        let mut rig = Rig::new(machine(2, 6, 1), SchedKnobs::default(), seed);
        let tasks = rig.fork(12);
        rig.run_for(500);
        assert_eq!((rig.node_counts(), rig.nr_running_moves), (vec![6, 6], 0), "full is balanced");
        let on_node_0: Vec<TaskId> =
            tasks.into_iter().filter(|task| rig.sched.node_of(*task) == NodeId(0)).collect();
        on_node_0[..3].iter().for_each(|task| rig.leave(*task, Leave::Exit));
        rig.run_for(50);
        assert_eq!(rig.node_counts(), [4, 5]);
        on_node_0[3..].iter().for_each(|task| {
            if rig.sched.node_of(*task) == NodeId(0) {
                rig.leave(*task, Leave::Exit);
            }
        });
        // 1 : 5 needs two moves, at most one in 50 ms.
        assert_eq!(rig.node_counts(), [1, 5]);
        rig.run_for(130);
        assert_eq!(rig.node_counts(), [3, 3]);
        let nr_moves = rig.nr_running_moves;
        rig.run_for(1000);
        assert_eq!((rig.node_counts(), rig.nr_running_moves), (vec![3, 3], nr_moves), "it rests");
        rig.check();
    }
}

#[test]
fn running_tasks_are_pulled_between_nodes_once_in_the_interval() {
    let mut rig = rig(2, 16, 1);
    (16..32).for_each(|cpu| {
        rig.start_on(CpuId(cpu));
    });
    let mut moved_at = Vec::new();
    for _ in 0..1000 {
        let before = rig.nr_running_moves;
        rig.step(Nanos::from_ms(1));
        if rig.nr_running_moves > before {
            moved_at.push(rig.now.as_ms());
        }
        assert!(rig.nr_running_moves <= before + 1);
    }
    assert_eq!(rig.node_counts(), [8, 8]);
    assert_eq!(moved_at.len(), 8);
    for pair in moved_at.windows(2) {
        let gap = pair[1] - pair[0];
        assert!((50..=70).contains(&gap), "{gap} ms between two pulls");
    }
}

/// Spans that overlap (a ring) or are not symmetric must not make groups pull from each other for
/// ever.
#[test]
fn balance_comes_to_rest_on_odd_distances() {
    let ring = [[10, 16, 22, 16], [16, 10, 16, 22], [22, 16, 10, 16], [16, 22, 16, 10]];
    let skewed = [[10, 16, 22, 30], [20, 10, 16, 21], [22, 28, 10, 16], [16, 22, 17, 10]];
    for rows in [ring, skewed] {
        for nr_tasks in [5, 9, 14, 24, 31, 32] {
            let (cpus, mut distances) = machine(4, 8, 1);
            for (from, row) in rows.iter().enumerate() {
                for (to, distance) in row.iter().enumerate() {
                    distances[(NodeId::from_idx(from), NodeId::from_idx(to))] = *distance;
                }
            }
            let mut rig = Rig::new((cpus, distances), SchedKnobs::default(), 1);
            (0..nr_tasks).for_each(|idx| {
                rig.start_on(CpuId(idx % 8));
            });
            rig.run_for(4000);
            let nr_moves = rig.nr_running_moves;
            rig.run_for(2000);
            assert_eq!(rig.nr_running_moves, nr_moves, "{nr_tasks} tasks {:?}", rig.node_counts());
            assert_eq!(busy_cpus(&rig), usize::from(nr_tasks));
        }
    }
}

#[test]
fn an_overloaded_node_fills_an_idle_one_quickly() {
    let mut rig = rig(2, 4, 1);
    (0..8).for_each(|idx| {
        rig.start_on(CpuId(idx % 4));
    });
    rig.run_for(25);
    assert_eq!(rig.node_counts(), [4, 4]);
    assert_eq!(busy_cpus(&rig), 8);
}

#[test]
fn two_tasks_on_one_cpu_part_when_another_is_idle() {
    for (nr_nodes, cores, threads) in [(1, 2, 1), (1, 64, 1), (2, 1, 1), (1, 1, 2), (2, 32, 2)] {
        let mut rig = rig(nr_nodes, cores, threads);
        rig.run_for(100);
        rig.start_on(CpuId(0));
        rig.start_on(CpuId(0));
        rig.run_for(25);
        assert_eq!(busy_cpus(&rig), 2, "{nr_nodes} nodes of {cores} cores");
    }
}

#[test]
fn siblings_of_a_core_part_when_a_core_is_idle() {
    // CPUs 0 and 4 are siblings.
    let mut rig = rig(1, 4, 2);
    let tasks = [rig.start_on(CpuId(0)), rig.start_on(CpuId(4))];
    rig.run_for(200);
    let cores = tasks.map(|task| rig.sched.cpu(rig.sched.cpu_of(task)).core);
    assert_ne!(cores[0], cores[1]);
    assert_eq!(rig.nr_running_moves, 1);
}

#[test]
fn a_cpu_that_goes_idle_pulls_a_waiting_task_at_once() {
    let mut rig = rig(2, 2, 1);
    let short = rig.start_on(CpuId(3));
    let waiting: Vec<TaskId> = (0..3).map(|cpu| rig.start_on(CpuId(cpu))).collect();
    let extra = rig.start_on(CpuId(0));
    rig.leave(short, Leave::Block);
    assert_eq!(busy_cpus(&rig), 4);
    assert_eq!(rig.sched.nr_migrations(extra) + rig.sched.nr_migrations(waiting[0]), 1);
}

#[test]
fn a_cpu_that_idles_briefly_does_not_pull() {
    let mut rig = rig(1, 2, 1);
    let short = rig.start_on(CpuId(1));
    // Many idle times of 0.1 ms bring the average below the migration cost.
    for _ in 0..40 {
        rig.leave(short, Leave::Block);
        rig.step(Nanos::from_us(100));
        rig.start(short, CpuId(1));
    }
    (0..2).for_each(|_| {
        rig.start_on(CpuId(0));
    });
    rig.leave(short, Leave::Block);
    assert!(rig.sched.is_idle(CpuId(1)));
}

#[test]
fn designs_veto_delay_or_encourage_moves() {
    let outcome = |permit, ms| {
        let mut rig = rig(2, 1, 1);
        rig.permit = permit;
        let tasks = [rig.start_on(CpuId(0)), rig.start_on(CpuId(0))];
        rig.run_for(ms);
        let moved = tasks.iter().map(|task| rig.sched.nr_migrations(*task)).sum::<u64>();
        (moved, rig)
    };
    assert_eq!(outcome(Permit::Refuse, 2000).0, 0);
    assert_eq!(outcome(Permit::Default, 10).0, 1);
    assert_eq!(outcome(Permit::Encourage, 10).0, 1);
    // Resisted: only after more failures than the three a NUMA level waits for.
    assert_eq!(outcome(Permit::Resist, 10).0, 0);
    assert_eq!(outcome(Permit::Resist, 100).0, 1);
}

#[test]
fn a_task_that_has_just_run_is_not_pulled() {
    let mut rig = rig(1, 2, 1);
    let a = rig.start_on(CpuId(0));
    let b = rig.start_on(CpuId(0));
    rig.run_for(1);
    // Preempted just now, it is hot for half a millisecond; the other one runs.
    rig.sched.put_prev(CpuId(0), rig.now);
    while rig.sched.current(CpuId(0)) != Some(b) {
        rig.sched.pick_next(CpuId(0), rig.now);
        rig.sched.account(CpuId(0), Nanos::from_ms(20));
        rig.sched.put_prev(CpuId(0), rig.now);
        rig.sched.pick_next(CpuId(0), rig.now);
    }
    assert_eq!(rig.sched.state(a), TaskState::Queued);
    let mut pulled_after = |wait: Nanos| {
        let now = rig.now + wait;
        let permit = &mut |_: &sched::Sched, _, _| Permit::Default;
        rig.sched.newidle_balance(CpuId(1), now, permit, &mut rig.rng).map(|found| found.task)
    };
    assert_eq!(pulled_after(Nanos::from_us(499)), None);
    assert_eq!(pulled_after(Nanos::from_us(500)), Some(a));
}

#[test]
fn a_change_of_affinity_names_the_move() {
    let mut rig = rig(2, 2, 1);
    let task = rig.start_on(CpuId(0));
    let only = |cpu| CpuMask::from_iter([CpuId(cpu)]);
    assert_eq!(rig.sched.set_affinity(task, CpuMask::EMPTY), Err(SchedError::EmptyAffinity));
    assert_eq!(rig.sched.set_affinity(task, only(999)), Err(SchedError::EmptyAffinity));
    assert_eq!(rig.sched.set_affinity(task, only(0)), Ok(None));
    let needed = rig.sched.set_affinity(task, only(3)).unwrap().unwrap();
    assert_eq!((needed.from, needed.to, needed.running), (CpuId(0), CpuId(3), true));
    rig.carry_out(needed);
    assert_eq!(rig.sched.current(CpuId(3)), Some(task));
    // Applied again, it is stale.
    assert!(!rig.sched.apply(needed, rig.now));
    // A sleeping task is placed when it wakes.
    rig.leave(task, Leave::Block);
    assert_eq!(rig.sched.set_affinity(task, only(1)), Ok(None));
    assert_eq!(rig.sched.select_cpu_wakeup(task, CpuId(3), Sync::WakerRuns), CpuId(1));
}

#[test]
fn pinned_tasks_stay_however_unfair() {
    let mut rig = rig(2, 2, 1);
    let mask = CpuMask::from_iter([CpuId(0)]);
    (0..4).for_each(|_| {
        let task = rig.add(1024, mask);
        rig.start(task, CpuId(0));
    });
    rig.run_for(1000);
    assert_eq!(rig.sched.nr_running(CpuId(0)), 4);
}

#[test]
fn a_wake_up_prefers_where_the_task_was_then_an_idle_core() {
    // CPUs 0..4 and their siblings 4..8 share a cache.
    let mut rig = rig(1, 4, 2);
    let task = rig.start_on(CpuId(1));
    rig.leave(task, Leave::Block);
    rig.start_on(CpuId(0));
    let wake = |rig: &Rig| rig.sched.select_cpu_wakeup(task, CpuId(0), Sync::WakerRuns);
    assert_eq!(wake(&rig), CpuId(1));
    rig.start_on(CpuId(1));
    // CPU 2 idles, but its sibling does not; core 3 is idle as a whole.
    rig.start_on(CpuId(6));
    assert_eq!(wake(&rig), CpuId(3));
    rig.start_on(CpuId(3));
    // No core is left; the first idle CPU from the target upwards.
    assert_eq!(wake(&rig), CpuId(2));
}

#[test]
fn a_waker_that_sleeps_makes_room_for_what_it_wakes() {
    let mut rig = rig(2, 1, 1);
    let task = rig.start_on(CpuId(1));
    rig.leave(task, Leave::Block);
    rig.start_on(CpuId(0));
    rig.start_on(CpuId(1));
    let wake = |sync| rig.sched.select_cpu_wakeup(task, CpuId(0), sync);
    assert_eq!(wake(Sync::WakerSleeps), CpuId(0));
    assert_eq!(wake(Sync::WakerRuns), CpuId(1));
}

#[test]
fn a_daemon_preempts_runs_and_leaves_everybody_where_they_were() {
    for policy in [FairPolicy::Cfs, FairPolicy::Eevdf] {
        let knobs = SchedKnobs { policy, ..SchedKnobs::default() };
        let mut rig = Rig::new(machine(2, 2, 1), knobs, 1);
        let tasks = rig.fork(4);
        let daemon = rig.add(1024, rig.all());
        rig.run_for(100);
        for _ in 0..20 {
            let cpu = rig.sched.daemon_cpu(daemon, SeekIdle::InCache, &mut rig.rng);
            rig.start(daemon, cpu);
            rig.demand[daemon] = rig.sched.run_time(daemon) + Nanos::from_us(500);
            for _ in 0..200 {
                rig.step(Nanos::from_us(100));
                if rig.sched.run_time(daemon) >= rig.demand[daemon] - Nanos::from_us(100) {
                    break;
                }
            }
            rig.leave(daemon, Leave::Block);
            rig.run_for(20);
            rig.check();
        }
        assert_eq!(rig.sched.run_time(daemon), Nanos::from_us(20 * 400));
        assert_eq!(busy_cpus(&rig), 4);
        let moved: u64 = tasks.iter().map(|task| rig.sched.nr_migrations(*task)).sum();
        assert!(moved <= 20, "at most one displaced task a wake-up, not {moved}");
    }
}

/// A daemon that finds an idle CPU in the cache where it wakes up displaces nobody.
#[test]
fn a_daemon_beside_an_idle_cpu_exchanges_nothing() {
    let mut rig = rig(2, 2, 1);
    for cpu in 0..3 {
        rig.start_on(CpuId(cpu));
    }
    let (mut on_full, mut on_other) = (0, 0);
    for _ in 0..200 {
        let found = rig.sched.noise_swap(SeekIdle::InCache, &mut rig.rng);
        on_full += u32::from(found.is_some_and(|(task, _)| rig.sched.node_of(task) == NodeId(0)));
        on_other += u32::from(found.is_some_and(|(task, _)| rig.sched.node_of(task) == NodeId(1)));
        let daemon = rig.add(1024, rig.all());
        let cpu = rig.sched.daemon_cpu(daemon, SeekIdle::InCache, &mut rig.rng);
        assert_ne!(cpu, CpuId(2), "CPU 3 is idle");
    }
    assert!(on_full > 0);
    assert_eq!(on_other, 0);
    let mut bound = (0..200).filter_map(|_| rig.sched.noise_swap(SeekIdle::Never, &mut rig.rng));
    assert!(bound.any(|(task, _)| rig.sched.node_of(task) == NodeId(1)));
}

#[test]
fn noise_exchanges_two_running_tasks() {
    let mut rig = rig(2, 2, 1);
    let tasks = rig.fork(4);
    let bound = tasks[0];
    let home = rig.sched.cpu_of(bound);
    rig.sched.set_affinity(bound, CpuMask::from_iter([home])).unwrap();
    let mut nr_swaps = 0;
    for _ in 0..200 {
        let mut rng = rig.rng.clone();
        let found = rig.sched.noise_swap(SeekIdle::InCache, &mut rng);
        rig.rng = rng;
        let Some((task, to)) = found else { continue };
        let from = rig.sched.cpu_of(task);
        let displaced = rig.sched.exchange(task, to, rig.now);
        rig.sched.pick_next(from, rig.now);
        rig.sched.pick_next(to, rig.now);
        assert_eq!(rig.sched.current(to), Some(task));
        assert_eq!(rig.sched.current(from), displaced);
        nr_swaps += 1;
        rig.check();
    }
    assert_eq!(rig.sched.cpu_of(bound), home);
    // Of 16 pairs (task, CPU) the three unbound tasks have 2 foreign, unbound CPUs each: 6/16.
    assert!((50..100).contains(&nr_swaps), "{nr_swaps}");
}
