//! Steps of all threads in one order.

use config::parse;

use super::{machine, touched};
use crate::generate::{WorkloadSpec, rows};
use crate::{Event, Step, Workload};

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
