//! What does an access cost while memory is short, in the guest with a memory cgroup and the classic
//! or the multi-generation engine, beside a bare loop over active and inactive lists? Zipf 0.99, a
//! tenth of the pages fits.
//!
//! `NUMALAB_BENCH_LARGE=1` uses 64 M pages. `NUMALAB_PAGES` and `NUMALAB_ROWS` set others, for profiles;
//! with `NUMALAB_ONLY` (the name of a row) just that is replayed, once.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]

use std::env;
use std::hint::black_box;

use base::{Zipf, stream};
use benches::pressure::{Engine, Kind, TwoLists, guest, replay};
use benches::{is_large, is_smoke};

struct Inputs {
    nr_pages: u32,
    warm_up: Vec<u32>,
    requests: Vec<u32>,
}

/// Nanoseconds of CPU time that this process had, so that busy neighbours count less.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn number(name: &str) -> Option<usize> {
    env::var(name).ok()?.parse().ok()
}

/// Accesses that fill memory, and those that are measured.
fn inputs() -> Inputs {
    let (nr_pages, rows) = match (is_smoke(), is_large()) {
        (true, _) => (1 << 12, 1 << 14),
        (false, false) => (1 << 20, 10_000_000),
        (false, true) => (1 << 26, 60_000_000),
    };
    let nr_pages = number("NUMALAB_PAGES").map_or(nr_pages, |pages| pages as u32);
    let rows = number("NUMALAB_ROWS").unwrap_or(rows);
    let (zipf, mut rng) = (Zipf::new(u64::from(nr_pages), 0.99), stream(1, "bench.pressure", 0));
    // An odd factor scatters ranks over the pages.
    let page = |rank: u64| (rank.wrapping_mul(0x9e37_79b1) % u64::from(nr_pages)) as u32;
    let mut draw = |nr: usize| (0..nr).map(|_| page(zipf.sample(&mut rng))).collect();
    Inputs { nr_pages, warm_up: draw(rows), requests: draw(rows) }
}

/// Nanoseconds and misses of the measured accesses after the warm-up.
fn measure(inputs: &Inputs, what: &str) -> (f64, u64) {
    let Inputs { nr_pages, warm_up, requests } = inputs;
    let capacity = nr_pages / 10;
    let kind = if what.ends_with("anon") { Kind::Anon } else { Kind::File };
    let engine = if what.starts_with("mglru") { Engine::Mglru } else { Engine::Classic };
    if what == "bare" {
        let mut lists = TwoLists::new(*nr_pages, capacity);
        lists.replay(warm_up);
        let started = cpu_ns();
        let misses = black_box(lists.replay(requests));
        return ((cpu_ns() - started) as f64, misses);
    }
    let (mut guest, region) = guest(*nr_pages, capacity, kind, engine);
    replay(&mut guest, region, warm_up, kind);
    let started = cpu_ns();
    let misses = black_box(replay(&mut guest, region, requests, kind));
    ((cpu_ns() - started) as f64, misses)
}

fn main() {
    let inputs = inputs();
    let rows = inputs.requests.len() as f64;
    if let Ok(only) = env::var("NUMALAB_ONLY") {
        let (ns, misses) = measure(&inputs, &only);
        println!("{only} {:.2} ns an access, {misses} misses", ns / rows);
        return;
    }
    let rounds = if is_smoke() || is_large() { 1 } else { 5 };
    println!("pages {}, a tenth fits, accesses {rows}, medians of {rounds}", inputs.nr_pages);
    println!("{:>10} {:>10} {:>12} {:>14}", "", "ns", "misses", "bare / this");
    let names = ["bare", "file", "anon", "mglru-file", "mglru-anon"];
    let mut times = [const { Vec::new() }; 5];
    let mut misses = [0; 5];
    for _ in 0..rounds {
        for (place, what) in names.into_iter().enumerate() {
            let (ns, missed) = measure(&inputs, what);
            times[place].push(ns / rows);
            misses[place] = missed;
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[rounds / 2]
    });
    for place in 0..names.len() {
        let (ns, ratio) = (medians[place], medians[0] / medians[place]);
        println!("{:>10} {ns:>10.2} {:>12} {ratio:>14.2}", names[place], misses[place]);
    }
}
