//! What holds under any schedule.

use crate::rig::{Rig, machine};
use base::{CpuId, CpuMask, Nanos, TaskId};
use proptest::prelude::*;
use sched::{FairPolicy, Leave, Permit, Sched, SchedKnobs, SeekIdle, Sync, TaskState};

fn policies() -> impl Strategy<Value = FairPolicy> {
    prop_oneof![Just(FairPolicy::Cfs), Just(FairPolicy::Eevdf)]
}

fn shapes() -> impl Strategy<Value = (usize, usize, usize)> {
    (1_usize..4, 1_usize..4, 1_usize..3)
}

#[derive(Clone, Debug)]
enum Op {
    Fork { weight: u32, mask: u16 },
    Wake { task: usize, waker: usize, sync: bool },
    Leave { task: usize, exit: bool },
    Affinity { task: usize, mask: u16 },
    Swap { a: usize, b: usize },
    Noise,
    Step { us: u64 },
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1_u32..5000, any::<u16>()).prop_map(|(weight, mask)| Op::Fork { weight, mask }),
        4 => (0_usize..64, 0_usize..64, any::<bool>())
            .prop_map(|(task, waker, sync)| Op::Wake { task, waker, sync }),
        3 => (0_usize..64, prop::bool::weighted(0.1)).prop_map(|(task, exit)| Op::Leave { task, exit }),
        2 => (0_usize..64, any::<u16>()).prop_map(|(task, mask)| Op::Affinity { task, mask }),
        1 => (0_usize..64, 0_usize..64).prop_map(|(a, b)| Op::Swap { a, b }),
        1 => Just(Op::Noise),
        8 => (1_u64..8000).prop_map(|us| Op::Step { us }),
    ]
}

fn mask_of(bits: u16, nr_cpus: usize) -> CpuMask {
    (0..nr_cpus).filter(|cpu| bits >> (cpu % 16) & 1 == 1).map(CpuId::from_idx).collect()
}

fn runnable(sched: &Sched, task: TaskId) -> bool {
    matches!(sched.state(task), TaskState::Queued | TaskState::Running)
}

fn resched(rig: &mut Rig, cpus: [CpuId; 2]) {
    for cpu in cpus {
        rig.sched.pick_next(cpu, rig.now);
    }
}

/// Carries out one operation as an engine would; operations that make no sense now do nothing.
fn run_op(rig: &mut Rig, op: &Op) {
    let nr_cpus = rig.sched.nr_cpus();
    let nr_tasks = rig.sched.nr_tasks();
    let task_at = |idx: usize| (nr_tasks > 0).then(|| TaskId::from_idx(idx % nr_tasks.max(1)));
    match *op {
        Op::Fork { weight, mask } => {
            let mask = mask_of(mask, nr_cpus);
            if !mask.is_empty() && nr_tasks < 40 {
                let task = rig.add(weight, mask);
                let cpu = rig.sched.select_cpu_fork(task, CpuId(0), &mut rig.rng);
                rig.start(task, cpu);
            }
        }
        Op::Wake { task, waker, sync } => {
            let Some(task) = task_at(task) else { return };
            if rig.sched.state(task) == TaskState::Blocked {
                let sync = if sync { Sync::WakerSleeps } else { Sync::WakerRuns };
                let waker = CpuId::from_idx(waker % nr_cpus);
                let cpu = rig.sched.select_cpu_wakeup(task, waker, sync);
                rig.start(task, cpu);
            }
        }
        Op::Leave { task, exit } => {
            let Some(task) = task_at(task) else { return };
            if runnable(&rig.sched, task) {
                rig.leave(task, if exit { Leave::Exit } else { Leave::Block });
            }
        }
        Op::Affinity { task, mask } => {
            let Some(task) = task_at(task) else { return };
            if let Ok(Some(needed)) = rig.sched.set_affinity(task, mask_of(mask, nr_cpus)) {
                rig.carry_out(needed);
            }
        }
        Op::Swap { a, b } => {
            let (Some(a), Some(b)) = (task_at(a), task_at(b)) else { return };
            let cpus = [rig.sched.cpu_of(a), rig.sched.cpu_of(b)];
            let fits = rig.sched.allowed(a, cpus[1]) && rig.sched.allowed(b, cpus[0]);
            if fits && runnable(&rig.sched, a) && runnable(&rig.sched, b) {
                rig.sched.swap(a, b, rig.now);
                resched(rig, cpus);
            }
        }
        Op::Noise => {
            let found = rig.sched.noise_swap(SeekIdle::InCache, &mut rig.rng);
            if let Some((task, to)) = found {
                let from = rig.sched.cpu_of(task);
                rig.sched.exchange(task, to, rig.now);
                resched(rig, [from, to]);
            }
        }
        Op::Step { us } => rig.step(Nanos::from_us(us)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Every task is in exactly one place, sums equal what is recounted, affinity holds, no CPU
    /// with a runnable task idles, and time is conserved.
    #[test]
    fn state_is_consistent_under_any_schedule(
        policy in policies(),
        (nodes, cores, threads) in shapes(),
        seed in 0_u64..1000,
        ops in prop::collection::vec(ops(), 1..200),
    ) {
        let knobs = SchedKnobs { policy, ..SchedKnobs::default() };
        let mut rig = Rig::new(machine(nodes, cores, threads), knobs, seed);
        let mut busy = Nanos::ZERO;
        for op in &ops {
            if let Op::Step { us } = op {
                let nr = (0..rig.sched.nr_cpus())
                    .filter(|cpu| rig.sched.current(CpuId::from_idx(*cpu)).is_some())
                    .count();
                busy += Nanos::from_us(us * nr as u64);
            }
            run_op(&mut rig, op);
            rig.check();
            for cpu in (0..rig.sched.nr_cpus()).map(CpuId::from_idx) {
                prop_assert_eq!(rig.sched.current(cpu).is_some(), !rig.sched.is_idle(cpu));
            }
        }
        let ran: u64 = (0..rig.sched.nr_tasks())
            .map(|task| rig.sched.run_time(TaskId::from_idx(task)).0)
            .sum();
        prop_assert_eq!(Nanos(ran), busy);
    }

    /// No wake-up is lost and nobody starves: after any history, every runnable task runs within
    /// the time that all of them need for two slices each, on one CPU.
    #[test]
    fn every_runnable_task_runs_in_time(
        policy in policies(),
        shape in shapes(),
        seed in 0_u64..1000,
        ops in prop::collection::vec(ops(), 1..100),
    ) {
        let knobs = SchedKnobs { policy, ..SchedKnobs::default() };
        let mut rig = Rig::new(machine(shape.0, shape.1, shape.2), knobs, seed);
        ops.iter().for_each(|op| run_op(&mut rig, op));
        let tasks: Vec<TaskId> = (0..rig.sched.nr_tasks())
            .map(TaskId::from_idx)
            .filter(|task| runnable(&rig.sched, *task))
            .collect();
        let before: Vec<Nanos> = tasks.iter().map(|task| rig.sched.run_time(*task)).collect();
        // A task of weight w among W waits until the others have had W/w times its share; the
        // weights drawn here differ by up to 5000, so the lightest get a weight of their own.
        let lightest = tasks.iter().map(|task| rig.sched.weight(*task)).min().unwrap_or(1);
        let total: u64 = tasks.iter().map(|task| u64::from(rig.sched.weight(*task))).sum();
        let ms = 100 + 2 * 24 * (1 + total / u64::from(lightest));
        prop_assume!(ms < 20_000);
        rig.run_for(ms);
        for (task, before) in tasks.iter().zip(before) {
            prop_assert!(rig.sched.run_time(*task) > before, "task {} starves", task);
        }
    }

    /// Free tasks, wherever they start, end with no task waiting while a CPU idles, and with equal
    /// nodes within one task of each other when each has a CPU of its own.
    #[test]
    fn free_tasks_spread_out(
        (nodes, cores, threads) in shapes(),
        seed in 0_u64..1000,
        starts in prop::collection::vec(0_usize..64, 1..30),
    ) {
        let mut rig = Rig::new(machine(nodes, cores, threads), SchedKnobs::default(), seed);
        let nr_cpus = rig.sched.nr_cpus();
        for start in &starts {
            rig.start_on(CpuId::from_idx(start % nr_cpus));
        }
        rig.run_for(100);
        let nr_busy =
            (0..nr_cpus).filter(|cpu| !rig.sched.is_idle(CpuId::from_idx(*cpu))).count();
        prop_assert_eq!(nr_busy, nr_cpus.min(starts.len()));
        rig.run_for(1500);
        let counts = rig.node_counts();
        let spread = counts.iter().max().zip(counts.iter().min()).map_or(0, |(a, b)| a - b);
        prop_assert!(starts.len() > nr_cpus || spread <= 1, "{counts:?}");
    }

    /// On one CPU, run times are proportional to weights up to a slice or two each.
    #[test]
    fn run_time_follows_weight(
        policy in policies(),
        weights in prop::collection::vec(256_u32..4096, 2..8),
    ) {
        let knobs = SchedKnobs { policy, ..SchedKnobs::default() };
        let mut rig = Rig::new(machine(1, 1, 1), knobs, 1);
        for weight in &weights {
            let task = rig.add(*weight, rig.all());
            rig.start(task, CpuId(0));
        }
        rig.run_for(4000);
        let total: u32 = weights.iter().sum();
        for (idx, weight) in weights.iter().enumerate() {
            let got = rig.sched.run_time(TaskId::from_idx(idx)).as_secs_f64();
            let due = 4.0 * f64::from(*weight) / f64::from(total);
            // One CPU: 6 ms latency for up to eight tasks; a new task starts a slice behind.
            prop_assert!((got - due).abs() < 0.016, "weight {weight}: {got} s, due {due} s");
        }
    }

    /// The same history gives the same schedule.
    #[test]
    fn schedules_repeat(seed in 0_u64..100, ops in prop::collection::vec(ops(), 1..60)) {
        let run = || {
            let mut rig = Rig::new(machine(2, 2, 2), SchedKnobs::default(), seed);
            ops.iter().for_each(|op| run_op(&mut rig, op));
            format!("{:?}", rig.sched)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn equal_weights_get_equal_time_across_cpus_when_they_divide() {
    for policy in [FairPolicy::Cfs, FairPolicy::Eevdf] {
        let knobs = SchedKnobs { policy, ..SchedKnobs::default() };
        let mut rig = Rig::new(machine(2, 2, 1), knobs, 1);
        let tasks = rig.fork(12);
        rig.run_for(9000);
        for task in tasks {
            let got = rig.sched.run_time(task).as_secs_f64();
            assert!((got - 3.0).abs() < 0.1, "{policy:?}: {got} s");
        }
    }
}

#[test]
fn waiting_time_is_what_is_not_run() {
    let mut rig = Rig::new(machine(1, 1, 1), SchedKnobs::default(), 1);
    let tasks = [rig.start_on(CpuId(0)), rig.start_on(CpuId(0))];
    rig.permit = Permit::Default;
    rig.run_for(1000);
    rig.sched.put_prev(CpuId(0), rig.now);
    let picked = rig.sched.pick_next(CpuId(0), rig.now).expect("two are runnable");
    let other = tasks.into_iter().find(|task| *task != picked.task).expect("two tasks");
    let ran = rig.sched.run_time(picked.task);
    assert_eq!(ran + rig.sched.wait_time(picked.task), rig.now);
    // The other one has waited since its last preemption, which is not counted yet.
    assert!(rig.sched.run_time(other) + rig.sched.wait_time(other) <= rig.now);
}

/// Settings of zero must slow nothing down to a standstill.
#[test]
fn zero_knobs_still_make_progress() {
    for policy in [FairPolicy::Cfs, FairPolicy::Eevdf] {
        let knobs = SchedKnobs {
            policy,
            latency: Nanos::ZERO,
            min_granularity: Nanos::ZERO,
            wakeup_granularity: Nanos::ZERO,
            migration_cost: Nanos::ZERO,
            busy_factor: 0,
            tick: Nanos::ZERO,
            idle_interval_max: Nanos::ZERO,
            numa_pull_interval: Nanos::ZERO,
            ..SchedKnobs::default()
        };
        let mut rig = Rig::new(machine(2, 2, 2), knobs, 1);
        let tasks = rig.fork(12);
        rig.run_for(1000);
        rig.check();
        assert!(tasks.iter().all(|task| rig.sched.run_time(*task) > Nanos::from_ms(300)));
        assert!(rig.sched.slice_left(CpuId(0)) > Nanos::ZERO);
    }
}
