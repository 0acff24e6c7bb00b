//! What does one access cost under each replacement policy, and which layout of list links is the
//! best? Zipf 0.99, a tenth of the pages fits; each policy is also replayed through `dyn`.
//!
//! `NUMALAB_BENCH_LARGE=1` uses 64 M pages. With `NUMALAB_STREAM` (a file of pages, counted from 1,
//! as 32-bit little-endian numbers), `NUMALAB_POLICY` and `NUMALAB_CAPACITY` it replays that stream
//! once and prints misses, seconds of the replay, seconds with reading the file:
//! `benches/peers/against_libcachesim.sh` measures other programs so. The policy `guest` is the guest
//! with its classic engine, the pages a file that a memory cgroup of that capacity maps.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]

use std::env;
use std::hint::black_box;
use std::time::Instant;

use base::{Zipf, stream};
use benches::pressure::{self, Engine, Kind};
use benches::{is_large, is_smoke};
use reclaim::textbook::{Clock, POLICIES, Replacement, Setting, Textbook, find, knobs};

/// LRU with next and previous in arrays of their own, the layout that was not taken.
struct SplitLru {
    next: Vec<u32>,
    prev: Vec<u32>,
    len: u32,
    capacity: u32,
}

const OFF: u32 = u32::MAX;

impl SplitLru {
    fn new(nr_pages: u32, capacity: u32) -> Self {
        let links = || {
            let mut links = vec![OFF; nr_pages as usize + 1];
            links[0] = 0;
            links
        };
        Self { next: links(), prev: links(), len: 0, capacity }
    }

    fn unlink(&mut self, node: usize) {
        let (next, prev) = (self.next[node], self.prev[node]);
        self.next[prev as usize] = next;
        self.prev[next as usize] = prev;
    }

    fn link(&mut self, node: usize) {
        let next = self.next[0];
        self.next[node] = next;
        self.prev[node] = 0;
        self.next[0] = node as u32;
        self.prev[next as usize] = node as u32;
    }

    fn replay(&mut self, requests: &[u32]) -> u64 {
        let mut misses = 0;
        for block in requests.chunks(64) {
            black_box(block.iter().fold(0, |seen, page| seen ^ self.next[*page as usize + 1]));
            misses += block.iter().map(|page| u64::from(!self.access(*page))).sum::<u64>();
        }
        misses
    }

    fn access(&mut self, page: u32) -> bool {
        let node = page as usize + 1;
        let hit = self.next[node] != OFF;
        if hit {
            self.unlink(node);
        } else if self.len == self.capacity {
            let victim = self.prev[0] as usize;
            self.unlink(victim);
            self.next[victim] = OFF;
        } else {
            self.len += 1;
        }
        self.link(node);
        hit
    }
}

/// Nanoseconds an access, the median of some rounds, and the misses. Making the policy is not
/// measured.
fn measure<P>(
    requests: &[u32],
    rounds: usize,
    make: impl Fn() -> P,
    replay: impl Fn(&mut P, &[u32]) -> u64,
) -> (f64, u64) {
    let mut misses = 0;
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let mut policy = make();
            let started = Instant::now();
            misses = black_box(replay(&mut policy, requests));
            started.elapsed().as_secs_f64() * 1e9 / requests.len() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[rounds / 2], misses)
}

fn compare_policies() {
    let (nr_pages, rows, rounds) = match (is_smoke(), is_large()) {
        (true, _) => (1 << 10, 1 << 12, 1),
        (false, false) => (1 << 20, 20_000_000, 5),
        (false, true) => (1 << 26, 100_000_000, 1),
    };
    let capacity = nr_pages / 10;
    let (zipf, mut rng) = (Zipf::new(u64::from(nr_pages), 0.99), stream(1, "bench.lists", 0));
    // An odd factor scatters ranks over the pages, whose number is a power of two.
    let page = |rank: u64| (rank.wrapping_mul(0x9e37_79b1) % u64::from(nr_pages)) as u32;
    let requests: Vec<u32> = (0..rows).map(|_| page(zipf.sample(&mut rng))).collect();
    println!("pages {nr_pages}, capacity {capacity}, accesses {rows}, medians of {rounds}");
    println!("{:>12} {:>10} {:>12}", "policy", "ns", "misses");
    let line =
        |name: &str, (ns, misses): (f64, u64)| println!("{name:>12} {ns:>10.2} {misses:>12}");
    let setting = Setting { nr_pages, capacity, future: &requests };
    let make_split = || SplitLru::new(nr_pages, capacity);
    let split = measure(&requests, rounds, make_split, SplitLru::replay);
    line("lru, split", split);
    for policy in POLICIES {
        let make = || (policy.build_default)(&setting);
        let measured = measure(&requests, rounds, make, |policy, requests| policy.replay(requests));
        line(policy.about.name, measured);
        assert!(policy.about.name != "lru" || measured.1 == split.1, "both layouts are one policy");
    }
}

/// The pages of a stream file.
fn read_stream(path: &str) -> Vec<u32> {
    let bytes = std::fs::read(path).expect("a readable stream");
    bytes.as_chunks().0.iter().map(|page| u32::from_le_bytes(*page)).collect()
}

fn replay_file(path: &str) {
    let wanted = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let policy = wanted("NUMALAB_POLICY");
    let capacity = wanted("NUMALAB_CAPACITY").parse().expect("a number of pages");
    let started = Instant::now();
    let requests = read_stream(path);
    let setting = Setting::of(&requests, capacity);
    if policy == "guest" {
        let (mut guest, region) =
            pressure::guest(setting.nr_pages, capacity, Kind::File, Engine::Classic);
        let replay_started = Instant::now();
        let misses = pressure::replay(&mut guest, region, &requests, Kind::File);
        let ended = Instant::now();
        let seconds = |from: Instant| (ended - from).as_secs_f64();
        println!("{misses} {} {}", seconds(replay_started), seconds(started));
        return;
    }
    let mut policy: Box<dyn Replacement> = match policy.as_str() {
        "clock-2" => Box::new(Clock::new(knobs::Clock { bits: 2 }, &setting)),
        name => (find(name).expect("a policy").build_default)(&setting),
    };
    let replay_started = Instant::now();
    let misses = policy.replay(&requests);
    let ended = Instant::now();
    let seconds = |from: Instant| (ended - from).as_secs_f64();
    println!("{misses} {} {}", seconds(replay_started), seconds(started));
}

fn main() {
    match env::var("NUMALAB_STREAM") {
        Ok(path) => replay_file(&path),
        Err(_) => compare_policies(),
    }
}
