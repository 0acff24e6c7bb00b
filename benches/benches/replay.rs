//! How many accesses a second does one core replay? The whole engine with full accounting beside a
//! bare CLOCK loop over the same pages, in the same run, with 0, 0.1 and 1 % of the accesses on the
//! slow path (page faults).
//!
//! The first touch of the pages is not in the engine's figure: time runs from the first row to the
//! last. It is CPU time where the system tells. `NUMALAB_BENCH_LARGE=1` uses 64 M pages.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::sync::Arc;

use benches::replay::{Accesses, Stopwatch, bare_clock, engine, machine};
use benches::{is_large, is_smoke};
use mm::Pte;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let (pages, rows, rounds) = match (is_smoke(), is_large()) {
        (true, _) => (1 << 10, 1 << 12, 1),
        (false, false) => (1 << 20, 20_000_000, 5),
        (false, true) => (1 << 26, 20_000_000, 3),
    };
    // A smoke run is too short to measure anything; it only shows that the benchmark works.
    let show = |line: String| {
        if !is_smoke() {
            println!("{line}");
        }
    };
    show(format!("pages {pages}, rows {rows}, medians of {rounds}"));
    show(format!(
        "{:>12} {:>8} {:>14} {:>14} {:>8}",
        "design", "slow", "engine ns", "bare CLOCK ns", "ratio"
    ));
    let machine = machine(4, 2);
    let cases =
        ["first-touch", "interleave"].map(|design| [0.0, 0.001, 0.01].map(|slow| (design, slow)));
    for (design, slow) in cases.into_iter().flatten() {
        let accesses = Accesses::zipf(pages, rows, slow);
        let mut engines = Vec::new();
        let mut bares = Vec::new();
        for _ in 0..rounds {
            let stopwatch = Arc::default();
            let replayed = engine(&machine, design, accesses.workload(&stopwatch));
            assert_eq!(replayed, u64::from(pages) + rows as u64);
            engines.push(stopwatch.ns() / rows as f64);
            let mut ptes = vec![Pte(Pte::PRESENT); pages as usize];
            ptes.resize((pages + accesses.nr_cold) as usize, Pte::ABSENT);
            let stopwatch = Stopwatch::default();
            stopwatch.start();
            let misses = black_box(bare_clock(&mut ptes, &accesses.points));
            stopwatch.stop();
            assert_eq!(misses, u64::from(accesses.nr_cold));
            bares.push(stopwatch.ns() / rows as f64);
        }
        let (engine, bare) = (median(engines), median(bares));
        show(format!(
            "{design:>12} {:>7}% {engine:>14.2} {bare:>14.2} {:>8.2}",
            slow * 100.0,
            bare / engine
        ));
    }
}
