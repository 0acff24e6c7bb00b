//! Fair scheduling on one CPU: slices, newcomers, sleepers, waits.

use base::{CpuId, Nanos, TaskId};
use sched::{FairPolicy, Leave, SchedKnobs};

use crate::rig::{Rig, machine};

const CPU: CpuId = CpuId(0);
const POLICIES: [FairPolicy; 2] = [FairPolicy::Cfs, FairPolicy::Eevdf];

fn rig(policy: FairPolicy) -> Rig {
    Rig::new(machine(1, 1, 1), SchedKnobs { policy, ..SchedKnobs::default() }, 1)
}

/// Runs in steps of 0.25 ms and returns how long each stretch of one current task was, in steps.
fn stretches(rig: &mut Rig, nr_steps: u32) -> Vec<u32> {
    let mut lengths = vec![0];
    let mut current = rig.sched.current(CPU);
    for _ in 0..nr_steps {
        if rig.sched.current(CPU) != current {
            current = rig.sched.current(CPU);
            lengths.push(0);
        }
        *lengths.last_mut().expect("not empty") += 1;
        rig.step(Nanos::from_us(250));
    }
    lengths
}

/// One CPU does not scale the knobs. CFS: the latency of 6 ms, halved. EEVDF: the base slice of
/// 0.75 ms.
#[test]
fn a_slice_is_as_long_as_the_policy_says() {
    for (policy, steps) in [(FairPolicy::Cfs, 12), (FairPolicy::Eevdf, 3)] {
        let mut rig = rig(policy);
        (0..2).for_each(|_| {
            rig.start_on(CPU);
        });
        rig.run_for(50);
        let lengths = stretches(&mut rig, 4000);
        let inner = &lengths[1..lengths.len() - 1];
        assert!(inner.iter().all(|length| *length == steps), "{policy:?}: {inner:?}");
    }
}

#[test]
fn the_time_left_of_a_slice_ends_in_a_preemption() {
    for policy in POLICIES {
        let mut rig = rig(policy);
        let tasks = [rig.start_on(CPU), rig.start_on(CPU)];
        for _ in 0..100 {
            let left = rig.sched.slice_left(CPU);
            assert!(Nanos::ZERO < left && left < Nanos::from_ms(7), "{policy:?}: {left}");
            rig.sched.account(CPU, left - Nanos(1));
            // CFS may also end it early, when the other one has fallen behind by a slice.
            rig.sched.account(CPU, Nanos(1));
            rig.now += left;
            assert!(rig.sched.should_preempt(CPU));
            rig.sched.pick_next(CPU, rig.now);
        }
        rig.leave(tasks[0], Leave::Exit);
        assert_eq!(rig.sched.slice_left(CPU), Nanos::MAX);
        rig.sched.account(CPU, Nanos::from_secs(1));
        assert!(!rig.sched.should_preempt(CPU), "nobody waits");
    }
}

#[test]
fn a_new_task_waits_for_its_turn_under_cfs() {
    let mut rig = rig(FairPolicy::Cfs);
    // Its smaller number would win a tie.
    let new = rig.add(1024, rig.all());
    let old = rig.start_on(CPU);
    rig.run_for(10);
    rig.start(new, CPU);
    assert_eq!(rig.sched.current(CPU), Some(old));
    // Even with a fresh choice the new one, a slice behind, is not first.
    rig.sched.pick_next(CPU, rig.now);
    assert_eq!(rig.sched.current(CPU), Some(old));
    rig.run_for(10);
    assert!(rig.sched.run_time(new) > Nanos::ZERO);
}

/// A task that slept for long preempts, but cannot claim the time it slept.
#[test]
fn a_long_sleep_is_not_saved_up() {
    for policy in POLICIES {
        let mut rig = rig(policy);
        let hog = rig.start_on(CPU);
        let sleeper = rig.start_on(CPU);
        rig.run_for(20);
        rig.leave(sleeper, Leave::Block);
        rig.run_for(10_000);
        let before = (rig.sched.run_time(hog), rig.sched.run_time(sleeper));
        rig.start(sleeper, CPU);
        rig.run_for(100);
        let hog_ran = (rig.sched.run_time(hog) - before.0).as_ms();
        let sleeper_ran = (rig.sched.run_time(sleeper) - before.1).as_ms();
        assert!((40..=60).contains(&hog_ran), "{policy:?}: {hog_ran}");
        assert_eq!(hog_ran + sleeper_ran, 100);
    }
}

#[test]
fn a_cfs_sleeper_preempts_when_it_wakes() {
    let mut rig = rig(FairPolicy::Cfs);
    let sleeper = rig.start_on(CPU);
    rig.start_on(CPU);
    rig.run_for(20);
    rig.leave(sleeper, Leave::Block);
    rig.run_for(20);
    rig.start(sleeper, CPU);
    assert_eq!(rig.sched.current(CPU), Some(sleeper));
}

/// Leaving and coming back at once must not buy CPU time.
#[test]
fn short_sleeps_do_not_cheat() {
    for policy in POLICIES {
        let mut rig = rig(policy);
        let cheat = rig.start_on(CPU);
        rig.start_on(CPU);
        for _ in 0..4000 {
            rig.step(Nanos::from_us(250));
            if rig.sched.current(CPU) == Some(cheat) {
                rig.leave(cheat, Leave::Block);
                rig.start(cheat, CPU);
            }
        }
        let share = rig.sched.run_time(cheat).as_secs_f64();
        assert!(share < 0.52, "{policy:?}: {share} of the CPU");
    }
}

#[test]
fn a_wait_is_counted_across_a_migration() {
    let mut rig = Rig::new(machine(1, 2, 1), SchedKnobs::default(), 1);
    let tasks: Vec<TaskId> = (0..2).map(|_| rig.start_on(CPU)).collect();
    let now = Nanos::from_ms(3);
    rig.sched.migrate(tasks[1], CpuId(1), now);
    let picked = rig.sched.pick_next(CpuId(1), Nanos::from_ms(5)).expect("it has moved here");
    assert_eq!((picked.task, picked.wait), (tasks[1], Nanos::from_ms(5)));
    assert_eq!(rig.sched.wait_time(tasks[1]), Nanos::from_ms(5));
}

/// Two CPUs: slices of 1.5 ms, lag bounded by two of them.
#[test]
fn an_eevdf_task_takes_its_lag_along() {
    let knobs = SchedKnobs { policy: FairPolicy::Eevdf, ..SchedKnobs::default() };
    let mut rig = Rig::new(machine(1, 2, 1), knobs, 1);
    let place = |rig: &mut Rig, cpu| {
        let task = rig.add(1024, rig.all());
        rig.sched.enqueue(task, cpu, rig.now);
        task
    };
    let [ahead, behind] = [(); 2].map(|()| place(&mut rig, CPU));
    rig.sched.pick_next(CPU, rig.now);
    assert_eq!(rig.sched.current(CPU), Some(ahead));
    rig.sched.account(CPU, Nanos::from_ms(2));
    // The mean is at 1 ms, so it is owed 1 ms; the task over there is at 0.
    place(&mut rig, CpuId(1));
    rig.sched.migrate(behind, CpuId(1), rig.now);
    assert_eq!(rig.sched.vruntime(behind), -1_000_000);
    // The mean there is now at -0.5 ms; back here, where the mean is 2 ms, it is owed 0.5 ms.
    rig.sched.migrate(behind, CPU, rig.now);
    assert_eq!(rig.sched.vruntime(behind), 1_500_000);
    rig.sched.account(CPU, Nanos::from_secs(1));
    rig.sched.migrate(behind, CpuId(1), rig.now);
    assert_eq!(rig.sched.vruntime(behind), -3_000_000);
}

#[test]
fn an_eevdf_task_that_was_alone_has_not_used_up_its_slice() {
    let mut rig = rig(FairPolicy::Eevdf);
    rig.start_on(CPU);
    rig.run_for(10);
    let new = rig.add(1024, rig.all());
    rig.sched.enqueue(new, CPU, rig.now);
    assert!(!rig.sched.should_preempt(CPU));
    assert!(rig.sched.slice_left(CPU) > Nanos::ZERO);
}
