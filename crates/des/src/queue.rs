//! The event queue, which is also the clock.
//!
//! Order is (time, phase, sequence number), packed into one `u128` so that a comparison is one
//! subtraction with borrow. The sequence number makes it total: among events of the same time and
//! phase the first pushed is the first popped, so every correct heap gives the same run. There is
//! no cancelling: the owner of an event keeps a generation and ignores stale ones.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use base::Nanos;

/// Which of the events of one instant come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// What happens in the simulated machine.
    Normal,
    /// Book-keeping that must see all of the instant's effects: epochs, samples of series.
    Accounting,
    /// The end of the run, after the last book-keeping.
    End,
}

/// Low bits of a key that hold the sequence number; the two above hold the phase.
const SEQ_BITS: u32 = 62;

/// Events in the order of their time; popping one moves the clock to it.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    now: Nanos,
    next_seq: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), now: Nanos::ZERO, next_seq: 0 }
    }
}

impl<E> Queue<E> {
    /// An empty queue at time 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event. Panics when `at` lies before [`Queue::now`]: that is a bug of the caller.
    ///
    /// An event pushed for the present instant in an earlier phase than the one being handled is
    /// allowed and comes next; only time never goes back.
    pub fn push(&mut self, at: Nanos, phase: Phase, event: E) {
        assert!(at >= self.now, "event for {at} pushed at {}", self.now);
        let low = u128::from((phase as u64) << SEQ_BITS | self.next_seq);
        self.next_seq += 1;
        self.heap.push(Entry { key: u128::from(at.0) << 64 | low, event });
    }

    /// Takes the next event and moves the clock to its time; `None` when nothing is pending.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        let Entry { key, event } = self.heap.pop()?;
        self.now = time_of(key);
        Some((self.now, event))
    }

    /// The time of the next event.
    pub fn peek(&self) -> Option<Nanos> {
        self.heap.peek().map(|entry| time_of(entry.key))
    }

    /// The time of the event popped last; 0 before the first.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Events pending.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

fn time_of(key: u128) -> Nanos {
    Nanos((key >> 64) as u64)
}

/// A pending event. Ordered the other way round, since the standard heap gives its largest first.
#[derive(Clone, Debug)]
struct Entry<E> {
    key: u128,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The obvious model: a list that is sorted by (time, phase), stably, before each pop.
    #[derive(Default)]
    struct SlowQueue(Vec<(Nanos, Phase, u32)>);

    impl SlowQueue {
        fn pop(&mut self) -> Option<(Nanos, u32)> {
            self.0.sort_by_key(|&(at, phase, _)| (at, phase));
            (!self.0.is_empty()).then(|| self.0.remove(0)).map(|(at, _, event)| (at, event))
        }
    }

    const PHASES: [Phase; 3] = [Phase::Normal, Phase::Accounting, Phase::End];

    proptest! {
        #[test]
        fn pops_what_a_sorted_list_pops(steps in prop::collection::vec((0u64..4, 0usize..3, any::<bool>()), 0..200)) {
            let mut fast = Queue::new();
            let mut slow = SlowQueue::default();
            let mut last = Nanos::ZERO;
            for (number, (delay, phase, pop)) in steps.into_iter().enumerate() {
                if pop {
                    let got = fast.pop();
                    prop_assert_eq!(got, slow.pop());
                    prop_assert!(fast.now() >= last, "time went back");
                    last = fast.now();
                } else {
                    let at = fast.now() + Nanos(delay);
                    fast.push(at, PHASES[phase], number as u32);
                    slow.0.push((at, PHASES[phase], number as u32));
                }
                prop_assert_eq!(fast.len(), slow.0.len());
            }
        }
    }

    #[test]
    fn phases_order_an_instant() {
        let mut queue = Queue::new();
        queue.push(Nanos(5), Phase::End, "end");
        queue.push(Nanos(5), Phase::Accounting, "sample");
        queue.push(Nanos(5), Phase::Normal, "first");
        queue.push(Nanos(5), Phase::Normal, "second");
        assert_eq!(queue.peek(), Some(Nanos(5)));
        let order: Vec<&str> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(order, ["first", "second", "sample", "end"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_largest_time_is_kept_whole() {
        let mut queue = Queue::new();
        queue.push(Nanos::MAX, Phase::End, ());
        assert_eq!(queue.pop(), Some((Nanos::MAX, ())));
    }

    #[test]
    #[should_panic(expected = "pushed at 7ns")]
    fn the_past_is_refused() {
        let mut queue = Queue::new();
        queue.push(Nanos(7), Phase::Normal, ());
        queue.pop();
        queue.push(Nanos(6), Phase::Normal, ());
    }
}
