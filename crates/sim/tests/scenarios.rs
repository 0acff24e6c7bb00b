//! Small machines, a few accesses, what must come of them.

#[path = "common/machine.rs"]
mod machine;
#[path = "common/process.rs"]
mod process;
#[path = "common/steps.rs"]
mod steps;

use std::sync::Arc;

use base::{Bytes, MmId, Nanos, NodeId, NodeMask, Vm};
use proptest::prelude::*;
use results::{Outcome, Run};
use sim::{EngineKnobs, Progress, RunSpec, SimError};
use topology::Machine;
use trace::{Event, Mempolicy, Points, Step, Sweep, Traffic, Workload};

use machine::two_nodes;
use process::one_process;

/// Two nodes of two CPUs, 64 MiB each.
fn tiny() -> String {
    let rest = r#"both_ways = "2GB/s"
[kernel]
thp = "never"
hz = 250
min_free_kbytes = 256
"#;
    two_nodes(["0-1", "2-3"], "64MiB", rest)
}

fn machine() -> Arc<Machine> {
    parse(&tiny())
}

/// The same with another link.
fn machine_with_link(one_way: &str) -> Arc<Machine> {
    parse(&tiny().replace("\"1GB/s\"\nboth", &format!("\"{one_way}\"\nboth")))
}

fn parse(text: &str) -> Arc<Machine> {
    match topology::parse("tiny.toml", text) {
        Ok(machine) => Arc::new(machine),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

fn sweep(page: u32, nr_pages: u32) -> Step {
    Step::Sweep(Sweep {
        mm: MmId(0),
        page,
        nr_pages,
        traffic: Traffic::new(64, 0, true),
        think_ns: 0,
        sequential: true,
    })
}

fn on_node(node: u8) -> Step {
    Step::Event(Event::SetNodes(NodeMask::only(NodeId(node))))
}

fn try_run(
    machine: &Arc<Machine>,
    workload: Workload,
    design: &str,
    knobs: EngineKnobs,
) -> Result<Run, SimError> {
    let design = designs::find(design).expect("a registered design");
    let built = (design.build_default)(machine);
    let spec = RunSpec::new(Arc::clone(machine), workload, design.about.name, built, 1);
    sim::run(RunSpec { knobs, ..spec }, &Progress::default())
}

fn run(workload: Workload, design: &str) -> Run {
    try_run(&machine(), workload, design, EngineKnobs::default()).expect("the workload runs")
}

fn seconds(run: &Run) -> f64 {
    run.elapsed.as_secs_f64()
}

const MIB_PAGES: u32 = 256;

/// A parent starts a thread on the other node and, a little later, one on its own. The first one is at each
/// page first, whatever the order in which the engine runs CPUs within an epoch.
#[test]
fn who_is_started_first_touches_first() {
    let spawn = |child| Step::Event(Event::Spawn(child));
    let wait = || Step::Event(Event::Compute(Nanos::from_us(20)));
    let main = vec![on_node(0), spawn(1), wait(), spawn(2), wait(), spawn(3)];
    let child = |node| vec![on_node(node), sweep(0, MIB_PAGES)];
    for (first, later) in [(0, 1), (1, 0)] {
        let threads = vec![main.clone(), child(first), child(later), child(later)];
        let mut workload = one_process(u64::from(MIB_PAGES), threads);
        workload.threads[1..].iter_mut().for_each(|thread| thread.parent = Some(0));
        let run = run(workload, "first-touch");
        assert_eq!(run.tasks[1].lines_remote, 0, "all pages lie where the first thread runs");
        assert_eq!(run.tasks[2].lines_local, 0);
        assert_eq!(run.tasks[3].lines_local, 0);
    }
}

#[test]
fn a_lone_local_thread_runs_at_its_cores_speed() {
    // 8 MiB 500 times at 1 GB/s: 4.194 s.
    let steps = [vec![on_node(0)], vec![sweep(0, 8 * MIB_PAGES); 500]].concat();
    let run = run(one_process(8 * u64::from(MIB_PAGES), vec![steps]), "first-touch");
    let expected = (Bytes::from_mib(8).0 * 500) as f64 / 1e9;
    assert!((seconds(&run) / expected - 1.0).abs() < 0.01, "{} s", seconds(&run));
    assert_eq!(run.vmstat[Vm::sim_lines_remote], 0);
    assert_eq!(run.vmstat[Vm::pgfault], 8 * u64::from(MIB_PAGES));
}

#[test]
fn a_remote_thread_runs_at_the_remote_speed() {
    // First touch on node 0, then the thread moves to node 1.
    let steps =
        [vec![on_node(0), sweep(0, 8 * MIB_PAGES), on_node(1)], vec![sweep(0, 8 * MIB_PAGES); 250]]
            .concat();
    let run = run(one_process(8 * u64::from(MIB_PAGES), vec![steps]), "first-touch");
    let expected = Bytes::from_mib(8).0 as f64 * (250.0 / 0.5e9 + 1.0 / 1e9);
    assert!((seconds(&run) / expected - 1.0).abs() < 0.01, "{} s", seconds(&run));
    assert!(run.vmstat[Vm::sim_lines_remote] > 249 * 64 * 8 * u64::from(MIB_PAGES));
}

#[test]
fn two_remote_threads_share_the_link() {
    // Memory on node 0, both threads on node 1: 1 GB/s for both, 0.5 GB/s each; the core alone
    // allows as much, so the link is just full. Three quarters of a second of it each.
    let first = [vec![on_node(0), sweep(0, 2 * MIB_PAGES)], vec![on_node(1)]].concat();
    let barrier = Step::Event(Event::Barrier { id: 0, parties: 2 });
    let body = vec![sweep(0, 2 * MIB_PAGES); 200];
    let threads = vec![
        [first, vec![barrier.clone()], body.clone()].concat(),
        [vec![on_node(1), barrier], body].concat(),
    ];
    let run = run(one_process(2 * u64::from(MIB_PAGES), threads), "first-touch");
    let expected = Bytes::from_mib(2).0 as f64 * 200.0 / 0.5e9;
    assert!((seconds(&run) / expected - 1.0).abs() < 0.03, "{} s", seconds(&run));
}

#[test]
fn a_huge_page_is_cleared_in_a_cache_that_holds_it_whatever_memory_is_asked_for() {
    // Two threads share 0.5 GB/s of memory, where a core alone would take 1 GB/s; one of them first
    // touches 32 MiB.
    let sweeping = [vec![on_node(0)], vec![sweep(0, 4 * MIB_PAGES); 100]].concat();
    let touching = vec![on_node(0), sweep(4 * MIB_PAGES, 32 * MIB_PAGES)];
    let slow = tiny().replace("3GB/s", "0.5GB/s").replace("never", "always");
    let clearing_s = |text: &str| {
        let threads = vec![sweeping.clone(), touching.clone()];
        let workload = one_process(36 * u64::from(MIB_PAGES), threads);
        let run = try_run(&parse(text), workload, "first-touch", EngineKnobs::default());
        let run = run.expect("the workload runs");
        assert_eq!(run.vmstat[Vm::thp_fault_alloc], 18);
        run.tasks[1].time.fault.as_secs_f64()
    };
    let bytes = Bytes::from_mib(32).0 as f64;
    let in_memory = clearing_s(&slow);
    assert!((in_memory / (bytes / 0.25e9) - 1.0).abs() < 0.1, "{in_memory} s");
    // 2 MiB for each of two CPUs, so both may clear.
    let cached = clearing_s(&format!("{slow}\n[[caches]]\nsize = \"2MiB\"\nways = 16\n"));
    assert!((cached / (bytes / 1e9) - 1.0).abs() < 0.1, "{cached} s");
}

#[test]
fn interleave_puts_every_other_page_on_each_node() {
    let run = run(one_process(1000, vec![vec![sweep(0, 1000)]]), "interleave");
    let (local, remote) = (run.vmstat[Vm::sim_accesses_local], run.vmstat[Vm::sim_accesses_remote]);
    assert_eq!((local, remote), (500, 500));
}

#[test]
fn a_bound_mapping_takes_only_its_node() {
    let bind =
        Step::Event(Event::Mbind(MmId(0), 0..100, Mempolicy::Bind(NodeMask::only(NodeId(1)))));
    let run = run(one_process(200, vec![vec![on_node(0), bind, sweep(0, 200)]]), "first-touch");
    assert_eq!(run.vmstat[Vm::sim_accesses_remote], 100);
    assert_eq!(run.vmstat[Vm::numa_other], 100);
}

#[test]
fn balancenuma_brings_memory_to_a_thread_that_moved() {
    // It runs for over a second on node 0 first, since scanning waits until a process was seen on
    // two nodes.
    let body = |nr: usize| vec![sweep(0, 8 * MIB_PAGES); nr];
    let steps = [vec![on_node(0)], body(250), vec![on_node(1)], body(1500)].concat();
    let pages = 8 * u64::from(MIB_PAGES);
    let moved = run(one_process(pages, vec![steps.clone()]), "balancenuma");
    let stayed = run(one_process(pages, vec![steps]), "first-touch");
    assert_eq!(moved.vmstat[Vm::numa_pages_migrated], pages, "each page once");
    // The equal-only filter takes two faults a page before it moves.
    assert!(moved.vmstat[Vm::numa_hint_faults] >= 2 * pages);
    assert!(seconds(&moved) < 0.75 * seconds(&stayed), "{} {}", seconds(&moved), seconds(&stayed));
}

#[test]
fn first_touches_in_the_midst_of_blocks_are_counted_and_paid_for_one_by_one() {
    // One access in seven goes to a page that was never touched, as do all of a sweep.
    let pages: Vec<u32> =
        (0..7000).map(|row| if row % 7 == 0 { 1000 + row / 7 } else { row % 900 }).collect();
    let nr = pages.len();
    let points = Points {
        mm: MmId(0),
        traffic: vec![Traffic::new(1, 0, true); nr],
        think_ns: vec![10; nr],
        page: pages,
        ..Points::default()
    };
    let steps = vec![sweep(0, 900), Step::Points(Arc::new(points), 0..nr)];
    let run = run(one_process(2048, vec![steps]), "interleave");
    let touched = 900 + 1000;
    for counter in
        [Vm::pgfault, Vm::pgalloc_normal, Vm::numa_hit, Vm::numa_interleave, Vm::sim_slow_path]
    {
        assert_eq!(run.vmstat[counter], touched, "{}", counter.name());
    }
    assert_eq!(run.vmstat[Vm::numa_local] + run.vmstat[Vm::numa_other], touched);
    assert_eq!(run.vmstat[Vm::sim_accesses], 900 + nr as u64);
    let faults = run.latency.iter().find(|latency| latency.class == "page fault");
    let faults = &faults.expect("there were some").histogram;
    assert_eq!(faults.len(), touched);
    let (sum, paid) = (faults.mean() * touched as f64, run.tasks[0].time.fault.0 as f64);
    assert!((sum / paid - 1.0).abs() < 1e-3, "{sum} ns in the histogram, {paid} ns paid");
    // Nothing else takes time here, but for the start.
    let time = run.tasks[0].time;
    assert!(run.elapsed.saturating_sub(time.total()) < Nanos::from_us(1), "{time:?}");
}

#[test]
fn running_out_of_memory_ends_with_a_report() {
    let pages = 2 * 64 * u64::from(MIB_PAGES);
    let run = run(one_process(pages, vec![vec![sweep(0, pages as u32)]]), "first-touch");
    let Outcome::OutOfMemory(report) = &run.outcome else { panic!("it fitted") };
    assert!(report.contains("thread t0: no free memory"), "{report}");
    assert_eq!(run.vmstat[Vm::oom_kill], 1);
}

#[test]
fn a_barrier_that_nobody_can_reach_is_a_deadlock() {
    let stuck = vec![Step::Event(Event::Barrier { id: 1, parties: 3 })];
    let outcome = try_run(
        &machine(),
        one_process(10, vec![stuck.clone(), stuck]),
        "first-touch",
        EngineKnobs::default(),
    );
    assert!(matches!(outcome, Err(SimError::Deadlock { waiting: 2, .. })), "{outcome:?}");
}

#[test]
fn six_threads_on_four_cpus_share_them() {
    // Each computes 0.4 s: 2.4 s of work on four CPUs.
    let compute = vec![Step::Event(Event::Compute(Nanos::from_ms(400)))];
    let run = run(one_process(1, vec![compute; 6]), "first-touch");
    assert!((0.6..0.72).contains(&seconds(&run)), "{} s", seconds(&run));
    assert!(run.tasks.iter().map(|task| task.time.runqueue).sum::<Nanos>() > Nanos::from_ms(300));
}

#[test]
fn results_converge_as_the_epoch_shrinks() {
    let elapsed = |epoch_us: u64| {
        let steps = |node| [vec![on_node(node)], vec![sweep(0, 4 * MIB_PAGES); 150]].concat();
        let threads = vec![steps(0), steps(0), steps(1), steps(1)];
        let knobs = EngineKnobs { epoch: Nanos::from_us(epoch_us), ..EngineKnobs::default() };
        seconds(
            &try_run(
                &machine(),
                one_process(4 * u64::from(MIB_PAGES), threads),
                "first-touch",
                knobs,
            )
            .expect("runs"),
        )
    };
    let finest = elapsed(250);
    let error = |epoch_us| (elapsed(epoch_us) / finest - 1.0).abs();
    assert!(error(1000) < 0.02 && error(5000) < 0.05, "{} {}", error(1000), error(5000));
}

#[test]
fn the_same_inputs_give_the_same_result() {
    let steps = |node| [vec![on_node(node)], vec![sweep(0, 4 * MIB_PAGES); 100]].concat();
    let once = || {
        run(
            one_process(4 * u64::from(MIB_PAGES), vec![steps(0), steps(1), steps(1)]),
            "balancenuma",
        )
    };
    let (a, b) = (once(), once());
    assert_eq!((a.elapsed, &a.vmstat, &a.tasks), (b.elapsed, &b.vmstat, &b.tasks));
}

fn step() -> impl Strategy<Value = Step> {
    let range = (0u32..1500, 1u32..548);
    prop_oneof![
        6 => range.clone().prop_map(|(page, nr)| sweep(page, nr)),
        1 => (0u8..2).prop_map(on_node),
        1 => range.prop_map(|(page, nr)| Step::Event(Event::Munmap(MmId(0), page..page + nr))),
        1 => (1u64..3_000_000).prop_map(|ns| Step::Event(Event::Sleep(Nanos(ns)))),
        1 => (1u64..3_000_000).prop_map(|ns| Step::Event(Event::Compute(Nanos(ns)))),
    ]
}

#[test]
fn the_history_tells_where_everything_was_and_what_moved_it() {
    let nr = 4 * MIB_PAGES;
    // The first thread touches all memory on node 0 and stays for over a second; then both are on
    // node 1, and one comes back.
    let barrier = || Step::Event(Event::Barrier { id: 0, parties: 2 });
    let touch = vec![on_node(0), sweep(0, nr), barrier()];
    let first =
        [touch, vec![sweep(0, nr); 400], vec![on_node(1)], vec![sweep(0, nr); 1500]].concat();
    let second = [
        vec![on_node(1), barrier()],
        vec![sweep(0, nr); 1500],
        vec![on_node(0)],
        vec![sweep(0, nr); 500],
    ];
    let run = run(one_process(u64::from(nr), vec![first, second.concat()]), "balancenuma");
    let history = &run.history;
    assert_eq!(history.at.last(), Some(&run.elapsed));
    for (thread, task) in history.threads.iter().zip(&run.tasks) {
        let (cpu, node) = thread.nr_moves();
        assert_eq!((cpu, node), (task.cpu_migrations, task.node_migrations), "{}", thread.name);
        let queued: u64 = thread.queueing.iter().map(|one| one.time.0).sum();
        let all = task.time.queueing.0;
        assert!(queued.abs_diff(all) <= 1_000 + all / 1_000, "{queued} of {all} ns");
    }
    let last_seen = |thread: usize| history.threads[thread].nodes.iter().rfind(|node| **node >= 0);
    assert_eq!([last_seen(0), last_seen(1)], [Some(&1), Some(&0)]);
    let moved = &history.threads[1].first_moves;
    let last = moved.last().expect("it moved");
    assert_eq!((last.from, last.to, last.reason), (1, 0, results::MoveReason::SetAffinity));
    let pages = &history.memory[0].pages;
    let now: Vec<u64> = pages.iter().map(|node| *node.last().expect("samples")).collect();
    assert_eq!(now.iter().sum::<u64>(), u64::from(nr));
    assert!(pages[0].contains(&u64::from(nr)), "all memory began on node 0");
    let flows = history.migrations.iter().map(|flow| flow.pages).sum::<u64>();
    assert_eq!(flows, run.vmstat[Vm::numa_pages_migrated]);
    assert!(flows > 0, "memory came to the threads");
    let faults = history.hint_faults;
    let all = faults.local + faults.left + faults.sent + faults.waited;
    assert_eq!(all, run.vmstat[Vm::numa_hint_faults]);
    let over_time = history.decisions.iter().find(|one| one.kind == "numa_misplaced");
    assert_eq!(over_time.map(|one| one.counts.iter().sum()), Some(flows), "base pages");
    assert!(history.scans[0].count > 0 && history.scans[0].shortest <= history.scans[0].longest);
}

#[test]
fn queueing_is_put_down_to_what_is_full() {
    // Memory on node 0, both threads on node 1: a link of 0.6 GB/s where each would take 0.5 GB/s,
    // so each waits for 40 % of its time.
    let touch = vec![on_node(0), sweep(0, 2 * MIB_PAGES), on_node(1)];
    let threads = vec![[touch, vec![sweep(0, 2 * MIB_PAGES); 200]].concat(); 2];
    let workload = one_process(2 * u64::from(MIB_PAGES), threads);
    let machine = machine_with_link("0.6GB/s");
    let run = try_run(&machine, workload, "first-touch", EngineKnobs::default());
    let run = run.expect("the workload runs");
    let busiest = run.resources.iter().max_by_key(|one| one.queueing).expect("resources");
    assert!(busiest.name.contains("link"), "{:?}", run.resources);
    let share = busiest.queueing.as_secs_f64() / (2.0 * seconds(&run));
    assert!((share - 0.4).abs() < 0.02, "{share}");
    let all: u64 = run.tasks.iter().map(|task| task.time.queueing.0).sum();
    assert!(busiest.queueing.0 > all * 99 / 100 && all > 0, "{:?}", run.resources);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Memory is recounted and times are added up inside the engine at the end of a debug run.
    #[test]
    fn time_and_pages_are_conserved(
        threads in prop::collection::vec(prop::collection::vec(step(), 1..12), 1..7),
        design in prop::sample::select(designs::DESIGNS.iter().map(|design| design.about.name).collect::<Vec<_>>()),
    ) {
        let run = run(one_process(2048, threads), design);
        prop_assert_eq!(run.outcome, Outcome::Finished);
        for task in &run.tasks {
            prop_assert!(task.end <= run.elapsed + EngineKnobs::default().epoch);
            let (parts, life) = (task.time.total(), task.end.since(task.start));
            // Between waking up and being put on a CPU the scheduler's own steps take no time.
            prop_assert!(parts <= life, "{} {}", parts, life);
        }
        let lines = run.vmstat[Vm::sim_lines_local] + run.vmstat[Vm::sim_lines_remote];
        let recorded: u64 = run.latency.iter().filter(|latency| latency.class.ends_with("read") || latency.class.ends_with("write")).map(|latency| latency.histogram.len()).sum();
        prop_assert_eq!(lines, recorded);
    }
}

/// Warming up is set-up: its work does not count, and the measured span begins when it is over.
#[test]
fn work_before_the_measured_part_does_not_count() {
    let round = [sweep(0, 8 * MIB_PAGES), Step::Event(Event::WorkDone(1))];
    let steps = |start: Event| {
        [vec![on_node(0), Step::Event(start)], vec![round.to_vec(); 500].concat()].concat()
    };
    let measured = |start: Event| {
        let mut workload = one_process(8 * u64::from(MIB_PAGES), vec![steps(start)]);
        workload.stop_after = Some(Nanos::from_secs(1));
        run(workload, "first-touch")
    };
    let (cold, warm) =
        (measured(Event::MeasureFrom), measured(Event::MeasureAfter(Nanos::from_secs(2))));
    assert!((seconds(&cold) - 1.0).abs() < 0.02 && (seconds(&warm) - 3.0).abs() < 0.02);
    // 8 MiB at 1 GB/s: 119 rounds a second.
    assert!((117..=120).contains(&cold.work_done), "{}", cold.work_done);
    assert!((117..=120).contains(&warm.work_done), "{}", warm.work_done);
    assert_eq!(warm.tasks[0].work_done, warm.work_done);
}
