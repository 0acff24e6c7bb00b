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
