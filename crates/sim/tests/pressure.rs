//! Runs that need more memory than there is, or than their groups may have.

#[path = "common/machine.rs"]
mod machine;
#[path = "pressure/oom.rs"]
mod oom;
#[path = "common/steps.rs"]
mod steps;

use std::sync::Arc;

use base::{Bytes, CpuMask, MmId, MmVec, Nanos, NodeId, NodeMask, Pages, Vm};
use proptest::prelude::*;
use results::{MemcgUse, Outcome, Run};
use sim::{Progress, RunSpec, SimError};
use topology::{Machine, Reclaim};
use trace::{
    Advice, Convergence, Event, Mapping, Memcg, MemcgSettings, Points, Space, Step, Sweep, Thread,
    Traffic, Workload,
};

use machine::two_nodes;
use steps::scripted;

/// Two nodes of two CPUs, 32 MiB each, and a fast swap device.
fn machine(reclaim: Reclaim) -> Machine {
    let rest = r#"both_ways = "2GB/s"
[kernel]
thp = "never"
min_free_kbytes = 256
[[devices]]
name = "ssd"
kind = "swap"
queue_depth = 4
read = "80us"
write = "20us"
sequential_page = "2us"
capacity = "256MiB"
"#;
    let text = two_nodes(["0-1", "2-3"], "32MiB", rest);
    match topology::parse("tiny.toml", &text) {
        Ok(mut machine) => {
            machine.kernel.reclaim = reclaim;
            machine
        }
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

fn sweep(mm: u16, page: u32, nr_pages: u32, write: bool) -> Step {
    Step::Sweep(Sweep {
        mm: MmId(mm),
        page,
        nr_pages,
        traffic: Traffic::new(4, 0, write),
        think_ns: 0,
        sequential: true,
    })
}

fn points(mm: u16, pages: &[u32], write: bool) -> Step {
    let nr = pages.len();
    let points = Points {
        mm: MmId(mm),
        page: pages.to_vec(),
        traffic: vec![Traffic::new(1, 0, write); nr],
        think_ns: vec![0; nr],
        sequential: false,
        dependent: true,
    };
    Step::Points(Arc::new(points), 0..nr)
}

/// A process for each list of steps, with a space of its own; one more space is a file.
fn workload(nr_pages: u64, processes: Vec<Vec<Step>>, memcgs: Vec<Memcg>) -> Workload {
    let space = |name: &str, file| Space {
        name: name.to_owned(),
        nr_pages: Pages(nr_pages),
        file,
        executable: false,
        mappings: vec![Mapping { pages: 0..nr_pages as u32, thp: None, policy: None }],
    };
    let mut spaces: Vec<Space> = processes.iter().map(|_| space("p", false)).collect();
    spaces.push(space("file", true));
    let thread = |(idx, steps): (usize, Vec<Step>)| Thread {
        name: format!("p{idx}"),
        process: idx as u32,
        mm: MmId(idx as u16),
        parent: None,
        allowed: CpuMask::EMPTY,
        stream: scripted(steps),
    };
    Workload {
        name: "scripted".to_owned(),
        digest: String::new(),
        spaces: MmVec(spaces),
        threads: processes.into_iter().enumerate().map(thread).collect(),
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        memcgs,
    }
}

fn memcg(path: &str, max: Option<Bytes>, processes: &[u32]) -> Memcg {
    let processes = processes.to_vec();
    Memcg {
        path: path.to_owned(),
        settings: MemcgSettings { max, processes, ..MemcgSettings::default() },
    }
}

fn try_run(machine: &Machine, workload: Workload, design: &str) -> Result<Run, SimError> {
    run_beside(machine, workload, design, &[])
}

/// A run beside the textbook policies of those names.
fn run_beside(
    machine: &Machine,
    workload: Workload,
    design: &str,
    yardsticks: &[&str],
) -> Result<Run, SimError> {
    let policies = yardsticks.iter().filter_map(|name| reclaim::textbook::find(name));
    let machine = Arc::new(machine.clone());
    let design = designs::find(design).expect("a registered design");
    let built = (design.build_default)(&machine);
    let spec = RunSpec::new(machine, workload, design.about.name, built, 1);
    sim::run(RunSpec { yardsticks: policies.collect(), ..spec }, &Progress::default())
}

fn run(machine: &Machine, workload: Workload, design: &str) -> Run {
    match try_run(machine, workload, design) {
        Ok(run) => run,
        Err(error) => panic!("{error}"),
    }
}

fn group<'a>(run: &'a Run, path: &str) -> &'a MemcgUse {
    let memcgs = &run.reclaim.as_ref().expect("the machine reclaims").memcgs;
    memcgs.iter().find(|memcg| memcg.path == path).expect("a declared group")
}

/// Bytes that a process moved between memory and caches.
fn bytes_of(run: &Run, process: u32) -> u64 {
    let processes = &run.reclaim.as_ref().expect("the machine reclaims").processes;
    processes.iter().find(|other| other.process == process).expect("it ran").tasks.bytes
}

const ENGINES: [Reclaim; 2] = [Reclaim::Classic, Reclaim::Mglru];

#[test]
fn what_does_not_fit_goes_to_swap_and_comes_back() {
    // 96 MiB on a machine of 64 MiB, twice.
    let steps = || vec![vec![sweep(0, 0, 24_576, true), sweep(0, 0, 24_576, true)]];
    for reclaim in ENGINES {
        let run = run(&machine(reclaim), workload(24_576, steps(), Vec::new()), "first-touch");
        assert_eq!(run.outcome, Outcome::Finished, "{reclaim}");
        let stat = &run.vmstat;
        assert!(stat[Vm::pswpout] > 8192, "{reclaim}: {} pages went out", stat[Vm::pswpout]);
        assert!(stat[Vm::pswpin] > 8192, "{reclaim}: {} pages came back", stat[Vm::pswpin]);
        assert!(stat[Vm::pgsteal_kswapd] > 0, "{reclaim}: kswapd took part");
        assert!(stat[Vm::pgmajfault] > 0 && stat[Vm::workingset_refault_anon] > 0);
        assert!(run.tasks[0].time.sleep > Nanos::ZERO, "{reclaim}: waited for the device");
    }
}

#[test]
fn what_fits_is_not_reclaimed() {
    // Less than a node: the last pages of one lie in blocks of other kinds of allocation, and taking
    // those over wakes kswapd.
    let steps = || vec![vec![sweep(0, 0, 6000, true), sweep(0, 0, 6000, true)]];
    for reclaim in ENGINES {
        let run = run(&machine(reclaim), workload(8192, steps(), Vec::new()), "first-touch");
        assert_eq!(run.vmstat[Vm::pswpout], 0);
        assert_eq!(run.vmstat[Vm::pgscan_direct] + run.vmstat[Vm::pgscan_kswapd], 0);
    }
}

#[test]
fn a_group_stays_below_its_limit_and_others_are_left_alone() {
    // Both want 16 MiB; one may have 8.
    let steps = |mm| vec![sweep(mm, 0, 4096, true), sweep(mm, 0, 4096, true)];
    for reclaim in ENGINES {
        let memcgs =
            vec![memcg("/small", Some(Bytes::from_mib(8)), &[0]), memcg("/free/inner", None, &[1])];
        let run =
            run(&machine(reclaim), workload(4096, vec![steps(0), steps(1)], memcgs), "first-touch");
        assert_eq!(run.outcome, Outcome::Finished);
        let (small, free) = (group(&run, "/small"), group(&run, "/free"));
        assert!(small.stat["memory.current"] <= 8 << 20);
        assert!(small.stat["pswpout"] > 1000 && small.stat["memory.events.max"] > 0);
        assert!(small.tasks.latency.contains_key("direct reclaim"));
        assert_eq!(free.stat["pswpout"], 0);
        assert!(free.stat["anon"] == 4096 * 4096, "{}", free.stat["anon"]);
        let p99 = |path: &str| group(&run, path).tasks.latency["access"].p99_ns;
        assert!(p99("/small") > p99("/free/inner"));
    }
}

#[test]
fn yardsticks_see_the_runs_own_stream_and_change_nothing() {
    // 24 MiB again and again, 8 of them in memory, and a part that is freed in between.
    let nr = 6144u32;
    let steps = || {
        let free = Step::Event(Event::Madvise(MmId(0), 0..512, Advice::DontNeed));
        let round = || sweep(0, 0, nr, true);
        vec![vec![round(), round(), free, round()]]
    };
    let memcgs = || vec![memcg("/small", Some(Bytes::from_mib(8)), &[0])];
    let policies = ["lru", "arc", "s3-fifo", "sieve"];
    for reclaim in ENGINES {
        let load = || workload(nr.into(), steps(), memcgs());
        let plain = run(&machine(reclaim), load(), "first-touch");
        let beside = run_beside(&machine(reclaim), load(), "first-touch", &policies);
        let beside = beside.expect("it ran without");
        assert_eq!((plain.elapsed, &plain.vmstat), (beside.elapsed, &beside.vmstat));
        assert!(plain.reclaim.is_some_and(|reclaim| reclaim.yardsticks.is_empty()));
        let used = &beside.reclaim.as_ref().expect("the machine reclaims").yardsticks;
        let [used] = &used[..] else { panic!("only the group ran short: {used:?}") };
        assert_eq!((used.path.as_str(), used.left_out), ("/small", 0));
        assert_eq!((used.accesses, used.pages), (3 * u64::from(nr), u64::from(nr) + 512));
        assert!(used.capacity_pages <= 2048 && used.capacity_pages > 1900);
        let names: Vec<&str> = used.policies.iter().map(|it| it.policy.as_str()).collect();
        assert_eq!(names, policies);
        // Cyclic accesses to more than fits: LRU misses all that was in memory before.
        assert_eq!(used.policies[0].misses, 2 * u64::from(nr) - 512);
        assert!(used.policies.iter().all(|it| it.misses >= used.best), "{used:?}");
        assert!(used.misses > 0, "{used:?}");
    }
}

#[test]
fn a_process_that_moves_charges_its_new_group() {
    let memcgs = || vec![memcg("/a", None, &[0]), memcg("/b", None, &[])];
    let move_to = |path: &str| Step::Event(Event::MoveCgroup(path.to_owned()));
    let steps =
        |path| vec![vec![sweep(0, 0, 1000, true), move_to(path), sweep(0, 1000, 500, true)]];
    let moved =
        run(&machine(Reclaim::Classic), workload(4096, steps("b"), memcgs()), "first-touch");
    assert_eq!(group(&moved, "/a").stat["anon"], 1000 * 4096);
    assert_eq!(group(&moved, "/b").stat["anon"], 500 * 4096);
    let in_groups = ["/a", "/b"].map(|path| group(&moved, path).tasks.bytes);
    assert_eq!(in_groups.iter().sum::<u64>(), bytes_of(&moved, 0));
    let wrong =
        try_run(&machine(Reclaim::Classic), workload(4096, steps("/c"), memcgs()), "first-touch");
    assert!(matches!(wrong, Err(SimError::NoMemcg { .. })));
}

#[test]
fn what_a_process_did_is_told_of_it_whatever_the_order_of_threads() {
    let steps = vec![vec![sweep(0, 0, 1000, true)], vec![sweep(1, 0, 10, true)]];
    let mut workload = workload(4096, steps, Vec::new());
    workload.threads.reverse();
    let run = run(&machine(Reclaim::Classic), workload, "first-touch");
    assert_eq!(bytes_of(&run, 0), 100 * bytes_of(&run, 1));
}

#[test]
fn a_removed_group_leaves_its_pages_to_the_one_above() {
    let memcgs =
        || vec![memcg("/a", None, &[]), memcg("/a/b", None, &[0]), memcg("/c", None, &[1])];
    let event = Step::Event;
    let steps = |leaves: bool, path: &str| {
        let mut steps = vec![sweep(0, 0, 1000, true)];
        if leaves {
            steps.push(event(Event::MoveCgroup("/c".to_owned())));
        }
        steps.push(event(Event::RemoveCgroup(path.to_owned())));
        steps.push(sweep(0, 1000, 500, true));
        vec![steps, Vec::new()]
    };
    for reclaim in ENGINES {
        let removed =
            run(&machine(reclaim), workload(4096, steps(true, "/a/b"), memcgs()), "first-touch");
        assert_eq!(group(&removed, "/a/b").stat["memory.current"], 0);
        assert_eq!(group(&removed, "/a").stat["anon"], 1000 * 4096);
        assert_eq!(group(&removed, "/c").stat["anon"], 500 * 4096);
    }
    let try_steps =
        |steps| try_run(&machine(Reclaim::Classic), workload(4096, steps, memcgs()), "first-touch");
    assert!(matches!(try_steps(steps(false, "/a/b")), Err(SimError::BusyMemcg { .. })));
    assert!(matches!(try_steps(steps(true, "/a/x")), Err(SimError::NoMemcg { .. })));
    let mut twice = steps(true, "/a/b");
    twice[0].push(event(Event::MoveCgroup("/a/b".to_owned())));
    assert!(matches!(try_steps(twice), Err(SimError::NoMemcg { .. })));
}

#[test]
fn what_is_read_is_cached_until_the_memory_is_needed() {
    // 8 MiB of a file, read twice: the group may have all of it, or half.
    let file = MmId(1);
    let read = || (0..64).map(|piece| Step::Event(Event::Read(file, piece * 32..(piece + 1) * 32)));
    for reclaim in ENGINES {
        let of = |max| {
            let memcgs = vec![memcg("/a", Some(Bytes::from_mib(max)), &[0])];
            let mut machine = machine(reclaim);
            let mut disk = machine.devices[0].clone();
            disk.kind = topology::DeviceKind::Storage;
            machine.devices.push(disk);
            let mut workload = workload(2048, vec![read().chain(read()).collect()], memcgs);
            workload.threads[0].mm = file;
            run(&machine, workload, "first-touch")
        };
        let (all, half) = (of(16), of(4));
        let (fits, does_not) = (group(&all, "/a"), group(&half, "/a"));
        assert_eq!(fits.stat["file"], 2048 * 4096);
        assert!(does_not.stat["file"] <= 4 << 20);
        assert_eq!(fits.stat["workingset_refault_file"], 0);
        assert!(does_not.stat["workingset_refault_file"] > 1000);
        assert_eq!(fits.tasks.bytes, 2 * 2048 * 4096);
        // The first round waits for the disk, the second only if the pages are gone.
        assert!(fits.tasks.waited > Nanos::ZERO && does_not.tasks.waited > fits.tasks.waited);
        assert!(half.latency.iter().any(|latency| latency.class == "file read"));
        assert!(all.elapsed < half.elapsed);
    }
}

#[test]
fn the_run_is_over_when_a_thread_says_so_and_set_up_is_not_measured() {
    let event = Step::Event;
    let first = vec![
        sweep(0, 0, 1000, true),
        event(Event::MeasureFrom),
        event(Event::Compute(Nanos::from_ms(20))),
        points(0, &[1, 2, 3], false),
        event(Event::EndRun),
    ];
    let other = (0..1000).map(|_| event(Event::Sleep(Nanos::from_ms(10)))).collect();
    let memcgs = vec![memcg("/a", None, &[0]), memcg("/b", None, &[1])];
    let run =
        run(&machine(Reclaim::Classic), workload(4096, vec![first, other], memcgs), "first-touch");
    assert_eq!(run.outcome, Outcome::Finished);
    assert!(run.elapsed < Nanos::from_ms(40), "{}", run.elapsed);
    let a = group(&run, "/a");
    assert_eq!((a.tasks.latency["access"].count, a.tasks.bytes), (3, 3 * 64));
    let measured = run.reclaim.as_ref().map(|reclaim| reclaim.measured);
    assert!(measured.is_some_and(|span| span >= Nanos::from_ms(20) && span < run.elapsed));
}

#[test]
fn designs_and_soft_limits_reach_the_guest() {
    // Two groups of 24 MiB and a third that wants more than is left; the first is marked, with room
    // for its page tables.
    let steps = |mm| vec![sweep(mm, 0, 6144, true), Step::Event(Event::Sleep(Nanos::from_ms(200)))];
    let late = vec![Step::Event(Event::Sleep(Nanos::from_ms(100))), sweep(2, 0, 6144, true)];
    let swapped = |design: &str| {
        let mut machine = machine(Reclaim::Classic);
        machine.kernel.hierarchy.design = design.to_owned().into();
        let limit = |path: &str, soft: u64, process| {
            let mut memcg = memcg(path, None, &[process]);
            memcg.settings.soft_limit = Some(Bytes::from_mib(soft));
            memcg
        };
        let memcgs = vec![limit("/kept", 28, 0), limit("/over", 0, 1), limit("/late", 0, 2)];
        let workload = workload(6144, vec![steps(0), steps(1), late.clone()], memcgs);
        let run = run(&machine, workload, "first-touch");
        ["/kept", "/over"].map(|path| group(&run, path).stat["pswpout"])
    };
    let [kept, over] = swapped("soft-limit-two-pass");
    assert!(kept == 0 && over > 500, "{kept} {over}");
    // Today's protection does not look at soft limits.
    let [kept, _] = swapped("memory-protection");
    assert!(kept > 200, "{kept}");
    let mut wrong = machine(Reclaim::Classic);
    wrong.kernel.mapped_pages = "third-look".to_owned().into();
    let error = try_run(&wrong, workload(64, vec![Vec::new()], Vec::new()), "first-touch");
    assert!(matches!(error, Err(SimError::Kernel(text)) if text.contains("second-look")));
}

#[test]
fn the_flusher_keeps_to_the_kernels_settings() {
    // 1000 pages of a mapped file are written; a second later one more.
    let steps = || {
        vec![
            sweep(1, 0, 1000, true),
            Step::Event(Event::Sleep(Nanos::from_secs(1))),
            sweep(1, 2000, 1, true),
        ]
    };
    let dirty = |change: fn(&mut topology::Kernel)| {
        let mut machine = machine(Reclaim::Classic);
        change(&mut machine.kernel);
        let mut workload = workload(2048, vec![steps()], vec![memcg("/a", None, &[0])]);
        workload.threads[0].mm = MmId(1);
        group(&run(&machine, workload, "first-touch"), "/a").stat["file_dirty"] / 4096
    };
    assert_eq!(dirty(|_| {}), 1001);
    // Old enough, and looked at in time.
    let soon = |kernel: &mut topology::Kernel| {
        (kernel.dirty_expire_centisecs, kernel.dirty_writeback_centisecs) = (10, 10);
    };
    assert!(dirty(soon) <= 1, "{}", dirty(soon));
    // Above the limit in the background.
    let low = |kernel: &mut topology::Kernel| {
        (kernel.dirty_background_ratio, kernel.dirty_ratio) = (1, 2);
        kernel.dirty_writeback_centisecs = 10;
    };
    assert!(dirty(low) < 1001, "{}", dirty(low));
}

#[derive(Clone, Debug)]
enum Op {
    Sweep { file: bool, page: u32, nr: u32, write: bool },
    Points { seed: u32, write: bool },
    Read { page: u32, nr: u32 },
    Free { page: u32, nr: u32 },
    Node(u8),
    Sleep,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<bool>(), 0u32..3000, 1u32..3000, any::<bool>())
            .prop_map(|(file, page, nr, write)| Op::Sweep { file, page, nr, write }),
        2 => (0u32..3000, 1u32..64).prop_map(|(page, nr)| Op::Read { page, nr }),
        3 => (any::<u32>(), any::<bool>()).prop_map(|(seed, write)| Op::Points { seed, write }),
        1 => (0u32..6000, 1u32..2000).prop_map(|(page, nr)| Op::Free { page, nr }),
        1 => (0u8..2).prop_map(Op::Node),
        1 => Just(Op::Sleep),
    ]
}

fn step(op: &Op, mm: u16, file: u16, nr_pages: u32) -> Step {
    match op {
        Op::Sweep { file: true, page, nr, write } => sweep(file, *page, *nr, *write),
        Op::Sweep { page, nr, write, .. } => sweep(mm, *page, *nr, *write),
        Op::Points { seed, write } => {
            let page =
                |k: u32| seed.wrapping_mul(2_654_435_761).wrapping_add(k * 40_503) % nr_pages;
            points(mm, &(0..500).map(page).collect::<Vec<_>>(), *write)
        }
        Op::Read { page, nr } => Step::Event(Event::Read(MmId(file), *page..page + nr)),
        Op::Free { page, nr } => {
            let end = (page + nr).min(nr_pages);
            Step::Event(Event::Madvise(MmId(mm), *page..end, Advice::DontNeed))
        }
        Op::Node(node) => Step::Event(Event::SetNodes(NodeMask::only(NodeId(*node)))),
        Op::Sleep => Step::Event(Event::Sleep(Nanos::from_ms(3))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A run checks itself at its end (debug builds): entries, folios and the guest agree on what is
    /// mapped and where, each resident folio is on one list, counters equal a recount.
    #[test]
    fn nothing_is_lost_or_doubled(
        ops in prop::collection::vec((0usize..2, op()), 1..40),
        mglru: bool,
        thp: bool,
        swap_mib in 0u64..64,
        max_mib in 2u64..24,
        nodes_mib in 8u64..32,
        design in prop::sample::select(vec!["first-touch", "autonuma-alpha", "balancenuma"]),
        hierarchy in 0..reclaim::hierarchy::HIERARCHIES.len(),
        mapped in 0..reclaim::mapped::MAPPED_RULES.len(),
    ) {
        let nr_pages = 8192;
        let mut machine = machine(if mglru { Reclaim::Mglru } else { Reclaim::Classic });
        machine.kernel.swap_size = Some(Bytes::from_mib(swap_mib));
        let hierarchy = reclaim::hierarchy::HIERARCHIES[hierarchy].about.name;
        machine.kernel.hierarchy.design = hierarchy.to_owned().into();
        machine.kernel.mapped_pages = reclaim::mapped::MAPPED_RULES[mapped].about.name.to_owned().into();
        machine.kernel.thp = if thp { topology::ThpMode::Always } else { topology::ThpMode::Never };
        for node in machine.nodes.iter_mut() {
            for zone in &mut node.zones {
                zone.managed = Pages(zone.managed.0.min(nodes_mib * 256));
            }
        }
        let mut steps = vec![Vec::new(), Vec::new()];
        for (process, op) in &ops {
            steps[*process].push(step(op, *process as u16, 2, nr_pages));
        }
        let memcgs = vec![memcg("/a", Some(Bytes::from_mib(max_mib)), &[0]), memcg("/b", None, &[1])];
        let run = run(&machine, workload(nr_pages.into(), steps, memcgs), design);
        prop_assert!(group(&run, "/a").stat["memory.current"] <= max_mib << 20);
    }
}
