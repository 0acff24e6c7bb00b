//! Random workloads on random schedules under every registered design: nothing is lost, nothing
//! counted twice, and time goes forward.
//!
//! The engine itself recounts run queues, loads and bandwidth after each epoch of a debug build,
//! and memory and times at its end; here the results are added up.

#[path = "common/steps.rs"]
mod steps;

use std::sync::Arc;

use base::{CpuMask, MmId, MmVec, Nanos, NodeId, NodeMask, Pages, Vm};
use proptest::prelude::*;
use results::{Outcome, Run};
use sim::{EngineKnobs, Progress, RunSpec};
use topology::Machine;
use trace::{
    Convergence, Event, Mapping, Mempolicy, Space, Step, Sweep, Thread, Traffic, Workload,
};

use steps::scripted;

/// Pages of each process.
const NR_PAGES: u32 = 1024;

/// Three nodes of two CPUs at two distances.
fn machine(thp: bool) -> Arc<Machine> {
    let thp = if thp { "always" } else { "never" };
    let text = format!(
        r#"
name = "tiny"
description = "three nodes"
distances = [[10, 20, 30], [20, 10, 20], [30, 20, 10]]
[[nodes]]
cpus = "0-1"
memory = "32MiB"
[[nodes]]
cpus = "2-3"
memory = "32MiB"
[[nodes]]
cpus = "4-5"
memory = "32MiB"
[latency]
local = "50ns"
remote = "100ns"
[bandwidth]
core = {{ local = "1GB/s", remote = "0.5GB/s" }}
controller = "1.5GB/s"
[[bandwidth.links]]
one_way = "0.7GB/s"
both_ways = "1GB/s"
[kernel]
thp = "{thp}"
hz = 250
min_free_kbytes = 256
"#
    );
    match topology::parse("tiny.toml", &text) {
        Ok(machine) => Arc::new(machine),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// What a thread does in a round, before it waits for the others of its process.
#[derive(Clone, Debug)]
enum Do {
    Sweep { page: u32, nr: u32, write: bool },
    Nodes { bits: u64 },
    Bind { page: u32, nr: u32, node: u8 },
    Unmap { page: u32, nr: u32 },
    Sleep { us: u64 },
    Compute { us: u64 },
}

fn what() -> impl Strategy<Value = Do> {
    let range = (0..NR_PAGES, 1u32..NR_PAGES);
    prop_oneof![
        6 => (range.clone(), any::<bool>())
            .prop_map(|((page, nr), write)| Do::Sweep { page, nr, write }),
        1 => (0u64..8).prop_map(|bits| Do::Nodes { bits }),
        1 => (range.clone(), 0u8..3).prop_map(|((page, nr), node)| Do::Bind { page, nr, node }),
        1 => range.prop_map(|(page, nr)| Do::Unmap { page, nr }),
        1 => (1u64..30_000).prop_map(|us| Do::Sleep { us }),
        2 => (1u64..60_000).prop_map(|us| Do::Compute { us }),
    ]
}

fn step(what: &Do, mm: MmId) -> Step {
    let end = |page: u32, nr: u32| (page + nr).min(NR_PAGES);
    match *what {
        Do::Sweep { page, nr, write } => Step::Sweep(Sweep {
            mm,
            page,
            nr_pages: end(page, nr) - page,
            traffic: Traffic::new(64, 0, write),
            think_ns: 0,
            sequential: true,
        }),
        Do::Nodes { bits } => Step::Event(Event::SetNodes(NodeMask(bits))),
        Do::Bind { page, nr, node } => {
            let policy = Mempolicy::Bind(NodeMask::only(NodeId(node)));
            Step::Event(Event::Mbind(mm, page..end(page, nr), policy))
        }
        Do::Unmap { page, nr } => Step::Event(Event::Munmap(mm, page..end(page, nr))),
        Do::Sleep { us } => Step::Event(Event::Sleep(Nanos::from_us(us))),
        Do::Compute { us } => Step::Event(Event::Compute(Nanos::from_us(us))),
    }
}

/// Processes of threads; each does its list `rounds` times, with a barrier after each round.
fn workload(processes: &[Vec<Vec<Do>>], rounds: usize) -> Workload {
    let space = |idx: usize| Space {
        name: format!("p{idx}"),
        nr_pages: Pages(u64::from(NR_PAGES)),
        file: false,
        executable: false,
        mappings: vec![Mapping { pages: 0..NR_PAGES, thp: None, policy: None }],
    };
    let mut threads = Vec::new();
    for (process, lists) in processes.iter().enumerate() {
        let mm = MmId::from_idx(process);
        let barrier = Event::Barrier { id: process as u32, parties: lists.len() as u32 };
        for list in lists {
            let mut round: Vec<Step> = list.iter().map(|what| step(what, mm)).collect();
            round.push(Step::Event(barrier.clone()));
            let steps: Vec<Step> = (0..rounds).flat_map(|_| round.clone()).collect();
            threads.push(Thread {
                name: format!("t{}", threads.len()),
                process: process as u32,
                mm,
                parent: None,
                allowed: CpuMask::EMPTY,
                stream: scripted(steps),
            });
        }
    }
    Workload {
        name: "random".to_owned(),
        digest: String::new(),
        spaces: MmVec((0..processes.len()).map(space).collect()),
        threads,
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        memcgs: Vec::new(),
    }
}

fn check(run: &Run) -> Result<(), TestCaseError> {
    prop_assert_eq!(&run.outcome, &Outcome::Finished);
    let late = run.elapsed + EngineKnobs::default().epoch;
    for task in &run.tasks {
        prop_assert!(task.start <= task.end && task.end <= late, "{}", task.name);
        prop_assert!(task.time.total() <= task.end.since(task.start), "{}", task.name);
    }
    for resource in &run.resources {
        let peak = resource.peak_utilisation;
        prop_assert!(peak <= 1.0 + 1e-9, "{} at {}", resource.name, peak);
        prop_assert!((0.0..=1.0).contains(&resource.saturated), "{}", resource.name);
    }
    let history = &run.history;
    prop_assert!(history.at.is_sorted(), "samples go forward");
    let moved: u64 = history.migrations.iter().map(|flow| flow.pages).sum();
    prop_assert_eq!(moved, run.vmstat[Vm::numa_pages_migrated]);
    for memory in &history.memory {
        let last: u64 = memory.pages.iter().filter_map(|node| node.last()).sum();
        prop_assert!(last <= u64::from(NR_PAGES), "{} pages of one space", last);
    }
    for (thread, task) in history.threads.iter().zip(&run.tasks) {
        let (cpu, node) = thread.nr_moves();
        prop_assert_eq!((cpu, node), (task.cpu_migrations, task.node_migrations));
    }
    let lines = run.vmstat[Vm::sim_lines_local] + run.vmstat[Vm::sim_lines_remote];
    let by_task: u64 = run.tasks.iter().map(|task| task.lines_local + task.lines_remote).sum();
    prop_assert_eq!(lines, by_task);
    Ok(())
}

/// One run with a machine of small pages.
fn run(workload: Workload, design: &str, machine: &Arc<Machine>, seed: u64) -> Run {
    let design = designs::find(design).expect("a registered design");
    let built = (design.build_default)(machine);
    let spec = RunSpec::new(Arc::clone(machine), workload, design.about.name, built, seed);
    match sim::run(spec, &Progress::default()) {
        Ok(run) => run,
        Err(error) => panic!("{}: {error}", design.about.name),
    }
}

/// Clocks of CPUs differ within an epoch, so that the last thread to come waits for the others'
/// clocks: nobody runs for a moment, and yet all will.
#[test]
fn a_barrier_that_opens_a_moment_later_is_no_deadlock() {
    let touch = vec![Do::Sweep { page: 0, nr: 1, write: false }];
    for seed in 0..8 {
        let workload = workload(&[vec![touch.clone(), touch.clone()]], 1);
        let run = run(workload, "first-touch", &machine(false), seed);
        assert_eq!(run.outcome, Outcome::Finished);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn every_design_conserves_pages_tasks_weights_and_time(
        processes in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(what(), 1..6), 1..5),
            1..4,
        ),
        rounds in 1usize..60,
        thp: bool,
        seed: u64,
    ) {
        let machine = machine(thp);
        for design in designs::DESIGNS {
            check(&run(workload(&processes, rounds), design.about.name, &machine, seed))?;
        }
    }
}
