//! FIFO servers: disks, swap devices, locks.
//!
//! A request that comes while all servers are busy waits for the one that is free first. Nothing
//! is queued as an event: since order of service is order of arrival, the time of completion is
//! known at once, and the caller schedules its own wake-up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::Nanos;

/// When a request was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// When its service began (a lock: when it was held).
    pub start: Nanos,
    /// When its service ended.
    pub done: Nanos,
    /// Time from arrival to start.
    pub wait: Nanos,
}

/// What a server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Requests taken.
    pub nr_requests: u64,
    /// Requests that found every server busy.
    pub nr_waited: u64,
    /// Sum of the waits.
    pub wait: Nanos,
    /// The longest wait.
    pub max_wait: Nanos,
    /// Sum of the service times, those not yet finished included.
    pub busy: Nanos,
}

impl ServerStats {
    /// Mean wait of a request in nanoseconds; 0 before the first.
    pub fn mean_wait_ns(&self) -> f64 {
        if self.nr_requests == 0 { 0.0 } else { self.wait.0 as f64 / self.nr_requests as f64 }
    }
}

/// `k` equal servers behind one queue, first come, first served.
///
/// Requests are served in the order of the calls. A caller that runs ahead of the others by a
/// quantum may come with a later time before one with an earlier time; the latter then waits its
/// turn, as if it had come second.
#[derive(Clone, Debug)]
pub struct Server {
    free_at: BinaryHeap<Reverse<Nanos>>,
    stats: ServerStats,
}

impl Server {
    /// `k` servers that are free from the beginning. Panics when `k` is 0.
    pub fn new(k: usize) -> Self {
        assert!(k > 0, "a server needs at least one place");
        Self {
            free_at: std::iter::repeat_n(Reverse(Nanos::ZERO), k).collect(),
            stats: ServerStats::default(),
        }
    }

    /// Takes a request that arrives at `at` and needs `service`.
    pub fn serve(&mut self, at: Nanos, service: Nanos) -> Served {
        let mut first = self.free_at.peek_mut().expect("a server has at least one place");
        let start = at.max(first.0);
        let served = Served { start, done: start + service, wait: start.since(at) };
        first.0 = served.done;
        drop(first);
        self.stats.nr_requests += 1;
        self.stats.nr_waited += u64::from(served.wait > Nanos::ZERO);
        self.stats.wait += served.wait;
        self.stats.max_wait = self.stats.max_wait.max(served.wait);
        self.stats.busy += service;
        served
    }

    /// When a server is free next: a request that arrives later than this does not wait.
    pub fn free_at(&self) -> Nanos {
        self.free_at.peek().map_or(Nanos::ZERO, |first| first.0)
    }

    /// What was done so far.
    pub fn stats(&self) -> ServerStats {
        self.stats
    }

    /// Part of the servers' time from 0 to `now` that was spent serving; 0 at time 0.
    pub fn utilisation(&self, now: Nanos) -> f64 {
        let ahead: Nanos = self.free_at.iter().map(|free| free.0.saturating_sub(now)).sum();
        let available = now.0 as f64 * self.free_at.len() as f64;
        if available == 0.0 {
            return 0.0;
        }
        self.stats.busy.saturating_sub(ahead).0 as f64 / available
    }
}

/// A lock: one holder at a time, and a hand-off whose cost depends on where the last holder sat.
///
/// `P` is whatever tells places apart for that cost: a CPU, a node.
#[derive(Clone, Debug)]
pub struct Lock<P> {
    server: Server,
    last_holder: Option<P>,
}

impl<P: Copy> Default for Lock<P> {
    fn default() -> Self {
        Self { server: Server::new(1), last_holder: None }
    }
}

impl<P: Copy> Lock<P> {
    /// A lock nobody has held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the lock at `at` from `place` and holds it for `hold`. `hand_off` is the time it
    /// takes to bring the lock's cache line from its last holder (`None`: the first ever) to
    /// `place`. The waiter spends it, and meanwhile nobody else gets the lock: it counts as wait
    /// of this request and as busy time of the lock.
    pub fn acquire(
        &mut self,
        at: Nanos,
        place: P,
        hold: Nanos,
        hand_off: impl FnOnce(Option<P>) -> Nanos,
    ) -> Served {
        let hand_off = hand_off(self.last_holder.replace(place));
        let turn = self.server.serve(at, hand_off + hold);
        let start = turn.start + hand_off;
        Served { start, done: turn.done, wait: start.since(at) }
    }

    /// The server behind it, for its statistics. Their waits leave the hand-off out: they are the
    /// time for which others held the lock.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

#[cfg(test)]
mod tests {
    use base::{Rng, stream};
    use proptest::prelude::*;

    use super::*;

    /// Mean service time in ns; large, so that rounding to whole ns does not matter.
    const SERVICE_NS: f64 = 10_000.0;

    /// Mean wait in service times, of Poisson arrivals that use `k` servers to `utilisation`.
    fn mean_wait(k: usize, utilisation: f64, service: impl Fn(&mut Rng) -> f64) -> f64 {
        let mut arrivals = stream(1, "test.arrivals", 0);
        let mut services = stream(1, "test.services", 0);
        let mut server = Server::new(k);
        let mut at = Nanos::ZERO;
        for _ in 0..1_000_000 {
            at += Nanos::from_f64(arrivals.exponential(SERVICE_NS / utilisation / k as f64));
            server.serve(at, Nanos::from_f64(service(&mut services)));
        }
        let measured = server.utilisation(at);
        assert!((measured / utilisation - 1.0).abs() < 0.01, "utilisation {measured}");
        server.stats().mean_wait_ns() / SERVICE_NS
    }

    fn assert_within_3_percent(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() < 0.03, "mean wait {got}, closed form {expected}");
    }

    #[test]
    fn waits_of_an_m_d_1_queue() {
        // Pollaczek-Khinchine with constant service: u / (2 (1 - u)) service times.
        for u in [0.3, 0.5, 0.8] {
            assert_within_3_percent(mean_wait(1, u, |_| SERVICE_NS), u / (2.0 * (1.0 - u)));
        }
    }

    #[test]
    fn waits_of_an_m_m_1_queue() {
        // u / (1 - u) service times.
        for u in [0.3, 0.5, 0.8] {
            assert_within_3_percent(
                mean_wait(1, u, |rng| rng.exponential(SERVICE_NS)),
                u / (1.0 - u),
            );
        }
    }

    #[test]
    fn waits_of_an_m_m_2_queue() {
        // Erlang C for two servers: u^2 / (1 - u^2) service times.
        for u in [0.5, 0.8] {
            let got = mean_wait(2, u, |rng| rng.exponential(SERVICE_NS));
            assert_within_3_percent(got, u * u / (1.0 - u * u));
        }
    }

    /// The obvious model: nanosecond by nanosecond, free servers take from the head of a line.
    /// Gives the starts, and how many servers were busy in each nanosecond.
    fn slow_service(k: usize, requests: &[(u64, u64)]) -> (Vec<u64>, Vec<usize>) {
        let mut starts = Vec::new();
        let mut ends: Vec<u64> = Vec::new();
        let mut busy = Vec::new();
        for now in 0..2_000 {
            ends.retain(|&end| end > now);
            while let Some(&(at, service)) = requests.get(starts.len()) {
                if at > now || ends.len() == k {
                    break;
                }
                starts.push(now);
                if service > 0 {
                    ends.push(now + service);
                }
            }
            busy.push(ends.len());
        }
        (starts, busy)
    }

    proptest! {
        #[test]
        fn serves_like_a_line_at_k_counters(
            k in 1usize..5,
            gaps in prop::collection::vec((0u64..20, 0u64..30), 1..40),
        ) {
            let mut at = 0;
            let requests: Vec<(u64, u64)> = gaps.into_iter().map(|(gap, service)| {
                at += gap;
                (at, service)
            }).collect();
            let (starts, busy) = slow_service(k, &requests);
            let mut server = Server::new(k);
            for (&(at, service), &start) in requests.iter().zip(&starts) {
                let served = server.serve(Nanos(at), Nanos(service));
                let expected = Served { start: Nanos(start), done: Nanos(start + service), wait: Nanos(start - at) };
                prop_assert_eq!(served, expected);
            }
            // No work is lost and none is done twice, up to any moment after the last arrival.
            for now in [at, at + 7, 1_999] {
                let done: usize = busy[..now as usize].iter().sum();
                let expected = if now == 0 { 0.0 } else { done as f64 / (k as f64 * now as f64) };
                prop_assert_eq!(server.utilisation(Nanos(now)), expected);
            }
        }
    }

    #[test]
    fn a_lock_is_handed_on_at_the_cost_of_the_distance() {
        let cost = |to: u8| {
            move |from: Option<u8>| match from {
                Some(from) if from == to => Nanos(50),
                Some(_) => Nanos(110),
                None => Nanos(0),
            }
        };
        let mut lock = Lock::new();
        let hold = Nanos(1000);
        // Node 0 takes the free lock at once; its neighbour waits for it and 50 ns more; node 1
        // waits for both and 110 ns more; much later nobody holds it, but the line is still there.
        let first = lock.acquire(Nanos(0), 0, hold, cost(0));
        let second = lock.acquire(Nanos(100), 0, hold, cost(0));
        let third = lock.acquire(Nanos(200), 1, hold, cost(1));
        let late = lock.acquire(Nanos(9000), 1, hold, cost(1));
        assert_eq!(first, Served { start: Nanos(0), done: Nanos(1000), wait: Nanos(0) });
        assert_eq!(second, Served { start: Nanos(1050), done: Nanos(2050), wait: Nanos(950) });
        assert_eq!(third, Served { start: Nanos(2160), done: Nanos(3160), wait: Nanos(1960) });
        assert_eq!(late, Served { start: Nanos(9050), done: Nanos(10050), wait: Nanos(50) });
        let stats = lock.server().stats();
        assert_eq!((stats.nr_requests, stats.nr_waited), (4, 2));
        assert_eq!((stats.wait, stats.max_wait), (Nanos(900 + 1850), Nanos(1850)));
        assert_eq!(stats.busy, Nanos(4 * 1000 + 50 + 110 + 50));
    }
}
