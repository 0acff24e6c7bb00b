//! Is autonuma-benchmark what its source does?

use base::{CpuMask, NodeId, NodeMask};

use super::{cpus_of, machine, measured, steps, total_bytes, touched};
use crate::generate::{Autonuma, AutonumaProgram, Variant};
use crate::{Event, Mempolicy, Step, Workload};

const GIB: u64 = 1 << 30;

fn program(program: AutonumaProgram, variant: Variant) -> Autonuma {
    Autonuma {
        program,
        variant,
        scale: 1.0,
        memory_scale: 1.0,
        work: 1,
        two_per_node: false,
        start_node: None,
    }
}

fn open(settings: &Autonuma, nr_nodes: usize, cpus_per_node: usize) -> Workload {
    settings.open(&machine(nr_nodes, cpus_per_node), 1, "").unwrap()
}

fn policies(steps: &[Step]) -> Vec<Mempolicy> {
    let policy = |step: &Step| match step {
        Step::Event(Event::SetMempolicy(policy)) => Some(policy.clone()),
        _ => None,
    };
    steps.iter().filter_map(policy).collect()
}

fn nodes(range: std::ops::Range<u8>) -> NodeMask {
    range.map(NodeId).collect()
}

#[test]
fn totals_are_those_of_the_table() {
    for variant in Variant::ALL.iter().copied() {
        for (nr_nodes, cpus) in [(2, 12), (4, 12), (8, 8)] {
            let c = (nr_nodes * cpus) as u64;
            let total = |which| total_bytes(&mut open(&program(which, variant), nr_nodes, cpus));
            assert_eq!(total(AutonumaProgram::Numa01), 51 * 3 * GIB * c);
            let thread_alloc = 2 * (3000 * GIB + 3 * GIB * (c / 2));
            assert_eq!(total(AutonumaProgram::Numa01ThreadAlloc), thread_alloc);
            assert_eq!(total(AutonumaProgram::Numa02), 801 * GIB);
            assert_eq!(total(AutonumaProgram::Numa02Smt), 801 * GIB);
        }
    }
}

#[test]
fn knobs_scale_sweeps_memory_and_threads() {
    let plain = program(AutonumaProgram::Numa01, Variant::Base);
    let scaled = Autonuma { scale: 0.1, work: 2, ..plain.clone() };
    assert_eq!(total_bytes(&mut open(&scaled, 2, 4)), 11 * 3 * GIB * 8);
    let small = Autonuma { memory_scale: 0.5, ..plain.clone() };
    assert_eq!(total_bytes(&mut open(&small, 2, 4)), 51 * 3 * GIB / 2 * 8);
    let two_per_node = Autonuma { two_per_node: true, ..plain };
    assert_eq!(total_bytes(&mut open(&two_per_node, 2, 4)), 51 * 3 * GIB * 4);
}

/// Threads per process, slices disjoint and covering, in the main loop.
#[test]
fn threads_divide_the_memory() {
    // 3 GiB in 18 parts does not come out even: parts may differ by a page.
    for (which, nr_threads, processes) in [
        (AutonumaProgram::Numa01ThreadAlloc, 18, 2),
        (AutonumaProgram::Numa02, 36, 1),
        (AutonumaProgram::Numa02Smt, 18, 1),
    ] {
        let mut workload = open(&program(which, Variant::Base), 4, 9);
        let nr_pages =
            workload.spaces.iter().map(|space| space.nr_pages.0 as usize).collect::<Vec<_>>();
        assert_eq!(workload.threads.len(), (nr_threads + 1) * processes);
        let mut owners: Vec<Vec<u32>> = nr_pages.iter().map(|nr| vec![0; *nr]).collect();
        for thread in workload.threads.iter_mut().filter(|thread| thread.name.contains('t')) {
            let steps = steps(thread, 10_000).unwrap();
            let main_loop = measured(&steps);
            let (mm, slice) = touched(&main_loop[0]).remove(0);
            let even = nr_pages[mm.idx()] / nr_threads;
            assert!(slice.len() == even || slice.len() == even + 1);
            owners[mm.idx()][slice.start as usize..slice.end as usize]
                .iter_mut()
                .for_each(|nr| *nr += 1);
            assert!(main_loop.iter().flat_map(touched).all(|range| range == (mm, slice.clone())));
        }
        assert!(owners.iter().flatten().all(|nr| *nr == 1), "{which}");
    }
}

#[test]
fn numa01_starts_on_one_node_and_at_one_offset() {
    let mut seen = [false; 2];
    for seed in 0..20 {
        let settings = program(AutonumaProgram::Numa01, Variant::Base);
        let mut workload = settings.open(&machine(4, 4), seed, "").unwrap();
        let mut starts = Vec::new();
        for thread in workload.threads.iter_mut().filter(|thread| thread.name.contains('t')) {
            assert_eq!(thread.allowed, CpuMask::EMPTY);
            let steps = steps(thread, 1000).unwrap();
            let [Mempolicy::Bind(start), Mempolicy::Local] = policies(&steps)[..] else {
                panic!("not bound for the first sweep only")
            };
            starts.push(start);
            let sweeps: Vec<_> = steps.iter().flat_map(touched).collect();
            assert_eq!(sweeps.len(), 51);
            assert!(sweeps.iter().all(|(_, pages)| *pages == (0..3 << 18)));
        }
        assert_eq!(starts.len(), 16);
        assert!(starts.iter().all(|start| *start == starts[0]), "both processes on the same node");
        seen[starts[0].iter().next().unwrap().idx()] = true;
    }
    assert_eq!(seen, [true; 2], "the seed picks node 0 or node 1");
}

#[test]
fn numa01_forces_no_node_when_it_is_not_asked_to() {
    let mut workload = open(&program(AutonumaProgram::Numa01, Variant::Unforced), 4, 4);
    for thread in &mut workload.threads {
        assert_eq!(thread.allowed, CpuMask::EMPTY);
        assert_eq!(policies(&steps(thread, 1000).unwrap()), []);
    }
}

#[test]
fn numa01_bound_halves() {
    for nr_nodes in [2usize, 4, 8] {
        let half = nr_nodes / 2;
        let lower = nodes(0..half as u8);
        let upper = nodes(half as u8..nr_nodes as u8);
        // The first process forks the other one, then both bind themselves: the parent to the upper
        // half.
        for (variant, memory) in
            [(Variant::Hard, [upper, lower]), (Variant::Inverse, [upper, upper])]
        {
            for which in [AutonumaProgram::Numa01, AutonumaProgram::Numa01ThreadAlloc] {
                let settings = Autonuma { scale: 0.1, ..program(which, variant) };
                let mut workload = open(&settings, nr_nodes, 4);
                let second_main = workload.threads.len() / 2;
                for thread in &mut workload.threads {
                    let process = thread.process as usize;
                    let cpus = [cpus_of(half..nr_nodes, 4), cpus_of(0..half, 4)][process];
                    let steps = steps(thread, 1000).unwrap();
                    if thread.name.contains('t') {
                        assert_eq!(thread.allowed, cpus, "{variant} process {process}");
                        assert_eq!(policies(&steps), [Mempolicy::Bind(memory[process])]);
                        continue;
                    }
                    assert_eq!(thread.allowed, CpuMask::EMPTY, "forked before it is bound");
                    assert_eq!(policies(&steps), []);
                    let at = |wanted: &dyn Fn(&Event) -> bool| {
                        let is = |step: &Step| matches!(step, Step::Event(event) if wanted(event));
                        steps.iter().position(is)
                    };
                    let bound_at =
                        at(&|event| matches!(event, Event::SetAffinity(mask) if *mask == cpus));
                    let bound_at = bound_at.expect("binds itself");
                    let forks =
                        at(&|event| matches!(event, Event::Spawn(child) if *child == second_main));
                    assert_eq!(forks, (process == 0).then(|| bound_at - 1));
                }
            }
        }
    }
}

#[test]
fn numa02_bound_threads() {
    for nr_nodes in [2usize, 4, 8] {
        for which in [AutonumaProgram::Numa02, AutonumaProgram::Numa02Smt] {
            for variant in [Variant::Hard, Variant::Inverse] {
                let mut workload = open(&program(which, variant), nr_nodes, 4);
                let t = workload.threads.len() - 1;
                let main = steps(&mut workload.threads[0], 10_000).unwrap();
                let binds = main.iter().filter_map(|step| match step {
                    Step::Event(Event::Mbind(_, pages, Mempolicy::Bind(nodes))) => {
                        Some((pages.clone(), *nodes))
                    }
                    _ => None,
                });
                let data = |k: usize| (k * (1 << 18) / nr_nodes) as u32;
                let expected =
                    (0..nr_nodes).map(|k| (data(k)..data(k + 1), NodeMask::only(NodeId(k as u8))));
                assert_eq!(binds.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                for (i, thread) in workload.threads[1..].iter().enumerate() {
                    let i = if variant == Variant::Hard { i } else { t - 1 - i };
                    let node = i / (t / nr_nodes);
                    assert_eq!(
                        thread.allowed,
                        cpus_of(node..node + 1, 4),
                        "{which} {variant} {nr_nodes}"
                    );
                }
            }
        }
    }
}

#[test]
fn binding_needs_two_nodes() {
    for variant in [Variant::Hard, Variant::Inverse] {
        for which in AutonumaProgram::ALL.iter().copied() {
            let error =
                program(which, variant).open(&machine(1, 4), 1, "").err().unwrap().to_string();
            assert!(error.contains("at least 2 nodes"), "{error}");
        }
    }
    assert_eq!(open(&program(AutonumaProgram::Numa02, Variant::Base), 1, 4).threads.len(), 5);
}
