//! Is `perf bench numa mem` what the tool does?

use base::{Bytes, CpuId, CpuMask, Nanos, NodeId, NodeMask};

use super::{lines, machine, measured, steps, touched};
use crate::generate::{PerfBenchNuma, Preset};
use crate::{Convergence, Event, Mempolicy, Step, Workload};

fn open(settings: &PerfBenchNuma) -> Workload {
    settings.open(&machine(4, 8), 1, "").unwrap()
}

fn preset(preset: Preset) -> PerfBenchNuma {
    PerfBenchNuma { preset: Some(preset), ..PerfBenchNuma::default() }
}

fn work(steps: &[Step]) -> u64 {
    let done = |step: &Step| match step {
        Step::Event(Event::WorkDone(bytes)) => *bytes,
        _ => 0,
    };
    steps.iter().map(done).sum()
}

#[test]
fn a_loop_zeroes_each_buffer_once_whatever_the_preset() {
    for which in Preset::ALL.iter().copied() {
        // At a sixteenth all sizes are still whole numbers of pages.
        let settings = PerfBenchNuma { loops: 3, scale: 1.0 / 16.0, ..preset(which) };
        let full = which.settings();
        let per_thread = (full.process.0 + full.thread.0) / 16;
        let mut workload = open(&settings);
        assert_eq!(workload.threads.len(), (full.processes * (full.threads + 1)) as usize);
        for thread in &mut workload.threads {
            let steps = steps(thread, 1 << 20).unwrap();
            let main_loop = measured(&steps);
            if thread.parent.is_none() {
                continue;
            }
            assert_eq!(work(main_loop), 3 * per_thread, "{which}");
            assert_eq!(main_loop.iter().map(lines).sum::<u64>() * 64, 3 * per_thread, "{which}");
        }
        assert_eq!(workload.stop_after, Some(Nanos(full.run_time.0 / 16)));
    }
}

/// Some rows of the published tables, written out independently of the declaration.
#[test]
fn presets_are_the_published_rows() {
    let row = |name| Preset::from_name(name).unwrap().settings();
    let shape = |name| {
        let row = row(name);
        let mib = |bytes: Bytes| bytes.0 >> 20;
        (row.processes, row.threads, mib(row.process), mib(row.thread), row.run_time.as_ms() / 1000)
    };
    assert_eq!(shape("4x4-convergence-NOTHP"), (4, 4, 512, 0, 100));
    assert_eq!(shape("1x6-convergence"), (1, 6, 1020, 0, 100));
    assert_eq!(shape("32x1-bw-thread"), (1, 32, 0, 64, 20));
    assert_eq!(shape("numa01-bw-thread"), (2, 16, 0, 192, 20));
    assert_eq!(shape("1x32-bw-thread"), (1, 32, 2048, 0, 20));
    assert_eq!(row("4x4-convergence-NOTHP").thp, Some(false));
    assert_eq!(row("4x4-convergence").convergence, Convergence::EndsRun);
    assert_eq!(row("4x4-bw-thread").convergence, Convergence::Ignored);
    assert!(row("2x1-bw-process").random_walk && !row("RAM-bw-local").random_walk);
}

#[test]
fn memory_is_zeroed_on_cpu_0_and_threads_are_free_afterwards() {
    let mut workload = open(&PerfBenchNuma { loops: 1, ..preset(Preset::Numa02) });
    let cpu0: CpuMask = [CpuId(0)].into_iter().collect();
    for thread in workload.threads.iter_mut().filter(|thread| thread.parent.is_some()) {
        let steps = steps(thread, 1 << 20).unwrap();
        let [
            Step::Event(Event::SetAffinity(first)),
            Step::Sweep(init),
            Step::Event(Event::SetAffinity(then)),
            Step::Event(Event::Barrier { parties: 32, .. }),
            ..,
        ] = &steps[..]
        else {
            panic!("{:?}", &steps[..4])
        };
        assert_eq!((*first, *then), (cpu0, CpuMask::EMPTY));
        assert_eq!(u64::from(init.nr_pages), 32 << 8);
        let inside = init.page..init.page + init.nr_pages;
        let all_inside = measured(&steps)
            .iter()
            .flat_map(touched)
            .all(|(_, pages)| inside.contains(&pages.start) && pages.end <= inside.end);
        assert!(all_inside, "memory of a thread is its own");
    }
}

#[test]
fn bound_rows_take_cpus_and_nodes_in_turn() {
    let mut workload = open(&PerfBenchNuma { loops: 1, ..preset(Preset::RamCross) });
    let mut bound = Vec::new();
    for thread in &mut workload.threads {
        let steps = steps(thread, 1 << 20).unwrap();
        let Step::Event(Event::SetMempolicy(Mempolicy::Bind(nodes))) = steps[0] else {
            panic!("not bound")
        };
        assert!(steps.iter().all(|step| !matches!(step, Step::Event(Event::SetAffinity(_)))));
        bound.push((thread.allowed.iter().collect::<Vec<_>>(), nodes));
    }
    let task = |cpu, node| (vec![CpuId(cpu)], NodeMask::only(NodeId(node)));
    // Each process's main thread, which zeroes the memory, is bound as its first task.
    assert_eq!(bound, [task(0, 1), task(0, 1), task(8, 0), task(8, 0)]);
}

#[test]
fn a_binding_to_what_is_not_there_is_refused() {
    let on = |settings: PerfBenchNuma, nodes, cpus| {
        settings.open(&machine(nodes, cpus), 1, "").err().unwrap().to_string()
    };
    assert!(on(preset(Preset::RamRemote), 1, 16).contains("node 1"));
    assert!(on(preset(Preset::RamCross), 2, 4).contains("CPU 8"));
}

#[test]
fn keys_beside_a_preset_override_it() {
    let settings = PerfBenchNuma {
        threads: Some(5),
        run_time: Some(Nanos::ZERO),
        ..preset(Preset::Thread4x4)
    };
    let workload = open(&settings);
    assert_eq!((workload.threads.len(), workload.stop_after), (4 * 6, None));
}

#[test]
fn shared_memory_of_all_is_one_space() {
    let settings = PerfBenchNuma {
        processes: Some(3),
        threads: Some(2),
        global: Some(Bytes::from_mib(8)),
        loops: 1,
        ..PerfBenchNuma::default()
    };
    let mut workload = open(&settings);
    for thread in workload.threads.iter_mut().filter(|thread| thread.parent.is_some()) {
        let steps = steps(thread, 1000).unwrap();
        assert_eq!(work(&steps), 8 << 20);
        assert!(steps.iter().flat_map(touched).all(|(mm, _)| mm.idx() == 0));
    }
}
