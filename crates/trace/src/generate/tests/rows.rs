//! Steps of all threads in one order.

use config::parse;

use super::{machine, steps, touched};
use crate::container::{DEFAULT_BUDGET, SharedTrace, Source, save};
use crate::generate::{WorkloadSpec, rows};
use crate::{Event, Step, Thread, Workload};

fn open(text: &str) -> Workload {
    let spec: WorkloadSpec = parse("test", text).unwrap();
    spec.open(&machine(2, 2), 1).unwrap()
}

fn all(text: &str, limit: u64) -> Vec<(usize, Step)> {
    rows(open(text), limit).collect::<Result<_, _>>().unwrap()
}

const MIX: &str =
    "kind = 'mix'\nfootprint = '8MiB'\nshared = '4MiB'\naccesses = 2000\ninit = 'each-own'";

#[test]
fn every_thread_begins_when_spawned_and_ends_once() {
    let rows = all(MIX, u64::MAX);
    for thread in 0..5 {
        let first = rows.iter().position(|(idx, _)| *idx == thread).unwrap();
        let spawned = rows
            .iter()
            .position(|(_, step)| matches!(step, Step::Event(Event::Spawn(idx)) if *idx == thread));
        assert_eq!(spawned.is_none(), thread == 0);
        assert!(spawned.is_none_or(|spawned| spawned < first));
        let ends = rows.iter().filter(|(idx, step)| *idx == thread && matches!(step, Step::End));
        assert_eq!(ends.count(), 1);
    }
    let accesses: usize =
        rows.iter().flat_map(|(_, step)| touched(step)).map(|(_, pages)| pages.len()).sum();
    assert_eq!(accesses, 2048 + 4 * 2000);
}

#[test]
fn nobody_passes_a_barrier_before_the_last_has_come() {
    let rows = all(MIX, u64::MAX);
    let last_arrival = rows
        .iter()
        .rposition(|(_, step)| matches!(step, Step::Event(Event::Barrier { .. })))
        .unwrap();
    let first_point = rows.iter().position(|(_, step)| matches!(step, Step::Points(..))).unwrap();
    assert!(last_arrival < first_point);
}

#[test]
fn sweeps_take_turns() {
    let text = "kind = 'sequential'\nfootprint = '16MiB'\naccesses = 4096\ninit = 'each-own'";
    let rows = all(text, u64::MAX);
    let sweeps = rows.iter().filter(|(_, step)| matches!(step, Step::Sweep(_)));
    let threads: Vec<usize> = sweeps.map(|(idx, _)| *idx).collect();
    // Behind the barrier all four go side by side, 4096 pages in parts of 512.
    let (init, swept) = threads.split_at(4 * 2);
    assert_eq!(swept.len(), 4 * 8);
    assert!(swept.chunks(4).all(|turn| turn == &swept[..4]), "{swept:?}");
    assert!((1..=4).all(|thread| init.contains(&thread) && swept[..4].contains(&thread)));
}

#[test]
fn the_limit_is_met_exactly_also_by_an_endless_workload() {
    for (text, limit) in [(MIX, 3333), ("kind = 'gups'\nfootprint = '8MiB'\nhot = '1MiB'", 10_001)]
    {
        let rows = all(text, limit);
        let accesses: usize =
            rows.iter().flat_map(|(_, step)| touched(step)).map(|(_, pages)| pages.len()).sum();
        assert_eq!(accesses as u64, limit);
        let ends = rows.iter().filter(|(_, step)| matches!(step, Step::End));
        assert_eq!(ends.count(), 5);
    }
}

/// A thread's accesses page by page, and its events.
fn flat(thread: &mut Thread) -> Vec<String> {
    let mut flat = Vec::new();
    for step in steps(thread, 1 << 20).unwrap() {
        match step {
            Step::Sweep(sweep) => flat.extend((0..sweep.nr_pages).map(|idx| {
                let page = sweep.page + idx;
                format!("{:?}", (sweep.mm, page, sweep.traffic, sweep.think_ns, sweep.sequential))
            })),
            Step::Points(points, rows) => flat.extend(rows.map(|row| {
                let (page, traffic) = (points.page[row], points.traffic[row]);
                let text = (points.mm, page, traffic, points.think_ns[row], points.sequential);
                format!("{text:?}{}", if points.dependent { " dependent" } else { "" })
            })),
            Step::Event(event) => flat.push(format!("{event:?}")),
            Step::End => {}
        }
    }
    flat
}

#[test]
fn what_is_written_to_a_file_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.parquet");
    for text in [
        MIX,
        "kind = 'chase'\nfootprint = '1MiB'\naccesses = 1000",
        "kind = 'sequential'\nfootprint = '1MiB'\naccesses = 1000\nthink = '80ns'",
        "kind = 'autonuma-benchmark'\nprogram = 'numa02'\nvariant = 'HARD'\nscale = 0.005\n\
         memory_scale = 0.001",
        "kind = 'perf-bench-numa'\npreset = '2x3-convergence'\nloops = 1\nscale = 0.001",
        "kind = 'perf-bench-numa'\nglobal = '1MiB'\nprocesses = 2\nloops = 1",
        "kind = 'specjbb'\nheap = '4MiB'\nwarehouse = '4MiB'\noperations = 9\n\
         churn_operations = 2",
    ] {
        save(open(text), &path, Source::default(), 1 << 20).unwrap();
        let mut saved = SharedTrace::open(&path, DEFAULT_BUDGET).unwrap().workload().unwrap();
        let mut generated = open(text);
        assert_eq!(saved.spaces, generated.spaces, "{text}");
        assert_eq!(saved.groups, generated.groups, "{text}");
        assert_eq!(
            (saved.stop_after, saved.convergence),
            (generated.stop_after, generated.convergence)
        );
        for (one, other) in saved.threads.iter_mut().zip(&mut generated.threads) {
            assert_eq!(one.allowed, other.allowed, "{text}");
            assert!(flat(one) == flat(other), "{text}: thread {}", one.name);
        }
    }
}
