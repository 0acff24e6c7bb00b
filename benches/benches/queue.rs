//! What does one event cost? The hold model: with a constant number pending, take the next event
//! and put it back later. `des::Queue` beside the best comparison and radix heaps; all must pop
//! the same sequence.

use std::cmp::{Ordering, Reverse};
use std::hint::black_box;

use base::{Nanos, stream};
use benches::{MEASUREMENT, WARM_UP, is_large, is_smoke};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dary_heap::DaryHeap;
use des::{Phase, Queue};
use orx_priority_queue::PriorityQueue;
use radix_heap::RadixHeapMap;

/// 16 bytes, as the simulator's events.
type Payload = [u64; 2];

/// What the hold model asks of a queue.
trait Pending: Default {
    const NAME: &'static str;
    fn put(&mut self, at: u64, payload: Payload);
    fn take(&mut self) -> Option<(u64, Payload)>;
}

impl Pending for Queue<Payload> {
    const NAME: &'static str = "des::Queue";

    fn put(&mut self, at: u64, payload: Payload) {
        self.push(Nanos(at), Phase::Normal, payload);
    }

    fn take(&mut self) -> Option<(u64, Payload)> {
        self.pop().map(|(at, payload)| (at.0, payload))
    }
}

/// A rival and the sequence number that makes its order the same total one.
#[derive(Default)]
struct Numbered<H> {
    heap: H,
    seq: u64,
}

impl<H> Numbered<H> {
    fn key(&mut self, at: u64) -> u128 {
        self.seq += 1;
        u128::from(at) << 64 | u128::from(self.seq)
    }
}

fn time_of(key: u128) -> u64 {
    (key >> 64) as u64
}

/// Ordered by its key alone and backwards, as the entries of `des::Queue`.
struct Entry(u128, Payload);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0)
    }
}

impl<const D: usize> Pending for Numbered<DaryHeap<Entry, D>> {
    const NAME: &'static str = if D == 4 { "dary_heap 4" } else { "dary_heap 8" };

    fn put(&mut self, at: u64, payload: Payload) {
        let key = self.key(at);
        self.heap.push(Entry(key, payload));
    }

    fn take(&mut self) -> Option<(u64, Payload)> {
        self.heap.pop().map(|Entry(key, payload)| (time_of(key), payload))
    }
}

impl Pending for Numbered<RadixHeapMap<Reverse<u128>, Payload>> {
    const NAME: &'static str = "radix-heap";

    fn put(&mut self, at: u64, payload: Payload) {
        let key = self.key(at);
        self.heap.push(Reverse(key), payload);
    }

    fn take(&mut self) -> Option<(u64, Payload)> {
        self.heap.pop().map(|(Reverse(key), payload)| (time_of(key), payload))
    }
}

impl Pending for Numbered<orx_priority_queue::QuaternaryHeap<Payload, u128>> {
    const NAME: &'static str = "orx 4";

    fn put(&mut self, at: u64, payload: Payload) {
        let key = self.key(at);
        self.heap.push(payload, key);
    }

    fn take(&mut self) -> Option<(u64, Payload)> {
        self.heap.pop().map(|(payload, key)| (time_of(key), payload))
    }
}

/// A queue in use, and the delays that events are put back with.
struct Hold<'a, Q> {
    queue: Q,
    delays: &'a [u64],
    next_delay: usize,
}

impl<'a, Q: Pending> Hold<'a, Q> {
    fn new(nr_pending: usize, delays: &'a [u64]) -> Self {
        let mut hold = Self { queue: Q::default(), delays, next_delay: 0 };
        for number in 0..nr_pending as u64 {
            let delay = hold.delay();
            hold.queue.put(delay, [number, !number]);
        }
        hold
    }

    fn delay(&mut self) -> u64 {
        self.next_delay = (self.next_delay + 1) % self.delays.len();
        self.delays[self.next_delay]
    }

    fn step(&mut self) -> (u64, Payload) {
        let (at, payload) = self.queue.take().expect("as many are put as taken");
        let delay = self.delay();
        self.queue.put(at + delay, payload);
        (at, payload)
    }

    /// A number that depends on every event popped and on their order.
    fn digest(mut self, nr_steps: usize) -> u64 {
        (0..nr_steps).fold(0, |digest: u64, _| {
            let (at, payload) = self.step();
            (digest ^ at ^ payload[0] << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
        })
    }
}

/// A power of two, so that the step to the next delay is cheap.
const NR_DELAYS: usize = 1 << 16;

fn exponential_delays() -> Vec<u64> {
    let mut rng = stream(1, "bench.delays", 0);
    (0..NR_DELAYS).map(|_| Nanos::from_f64(rng.exponential(1e6)).0).collect()
}

/// Four timers: a quantum, a tick, a scan, a sample.
fn timer_delays() -> Vec<u64> {
    let mut rng = stream(1, "bench.timers", 0);
    let periods = [250_000, 1_000_000, 4_000_000, 10_000_000];
    (0..NR_DELAYS).map(|_| periods[rng.below(4) as usize]).collect()
}

fn measure<Q: Pending>(c: &mut Criterion, delays: (&str, &[u64]), nr_pending: usize, digest: u64) {
    let popped = Hold::<Q>::new(nr_pending, delays.1).digest(2 * nr_pending);
    assert_eq!(popped, digest, "{} pops another sequence", Q::NAME);
    let mut group = c.benchmark_group(format!("hold {}", delays.0));
    group.bench_function(BenchmarkId::new(Q::NAME, nr_pending), |b| {
        let mut hold = Hold::<Q>::new(nr_pending, delays.1);
        for _ in 0..2 * nr_pending {
            hold.step();
        }
        b.iter(|| black_box(hold.step()));
    });
    group.finish();
}

fn hold(c: &mut Criterion) {
    let sizes: &[usize] = match (is_smoke(), is_large()) {
        (true, _) => &[100],
        (false, false) => &[1_000, 100_000],
        (false, true) => &[1_000, 100_000, 1_000_000],
    };
    let exponential = exponential_delays();
    let timers = timer_delays();
    for delays in [("exponential", &exponential[..]), ("timers", &timers[..])] {
        for &size in sizes {
            let digest = Hold::<Queue<Payload>>::new(size, delays.1).digest(2 * size);
            measure::<Queue<Payload>>(c, delays, size, digest);
            measure::<Numbered<DaryHeap<Entry, 4>>>(c, delays, size, digest);
            measure::<Numbered<DaryHeap<Entry, 8>>>(c, delays, size, digest);
            measure::<Numbered<RadixHeapMap<Reverse<u128>, Payload>>>(c, delays, size, digest);
            measure::<Numbered<orx_priority_queue::QuaternaryHeap<Payload, u128>>>(
                c, delays, size, digest,
            );
        }
    }
}

criterion_group! {
    name = queue;
    config = Criterion::default().warm_up_time(WARM_UP).measurement_time(MEASUREMENT).sample_size(30);
    targets = hold
}
criterion_main!(queue);
