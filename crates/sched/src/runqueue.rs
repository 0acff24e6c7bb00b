//! The run queue of one CPU: who waits, in which order, who is next.

use base::{Nanos, TaskId};

use crate::knobs::FairPolicy;

/// A waiting task as the queue orders it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) vruntime: i64,
    pub(crate) task: TaskId,
    pub(crate) weight: u32,
    pub(crate) deadline: i64,
}

impl Entry {
    fn key(&self) -> (i64, TaskId) {
        (self.vruntime, self.task)
    }
}

/// Waiting tasks in a vector sorted by (vruntime, task), *largest first*: the next one is popped
/// from the end, nothing is allocated once the vector has grown, and with a few tasks per CPU an
/// insertion moves less memory than a tree touches.
#[derive(Clone, Debug)]
pub(crate) struct RunQueue {
    waiting: Vec<Entry>,
    pub(crate) current: Option<TaskId>,
    /// Where newcomers are placed; never goes back.
    pub(crate) min_vruntime: i64,
    /// How long the current task has run since it was picked.
    pub(crate) ran: Nanos,
    /// Since when nothing is runnable here (meaningful while idle).
    pub(crate) idle_since: Nanos,
    /// Moving average of the length of idle times.
    pub(crate) avg_idle: Nanos,
}

impl RunQueue {
    pub(crate) fn new(avg_idle: Nanos) -> Self {
        Self {
            waiting: Vec::new(),
            current: None,
            min_vruntime: 0,
            ran: Nanos::ZERO,
            idle_since: Nanos::ZERO,
            avg_idle,
        }
    }

    /// Number of waiting tasks, the current one not among them.
    pub(crate) fn nr_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Waiting tasks, least vruntime first.
    pub(crate) fn waiting(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.waiting.iter().rev()
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        let at = self.waiting.partition_point(|other| other.key() > entry.key());
        self.waiting.insert(at, entry);
    }

    /// Takes out the task that waits with this vruntime; false when there is none.
    pub(crate) fn remove(&mut self, vruntime: i64, task: TaskId) -> bool {
        let at = self.waiting.partition_point(|other| other.key() > (vruntime, task));
        let found = self.waiting.get(at).is_some_and(|entry| entry.key() == (vruntime, task));
        if found {
            self.waiting.remove(at);
        }
        found
    }

    pub(crate) fn leftmost(&self) -> Option<&Entry> {
        self.waiting.last()
    }

    /// Weighted mean of the vruntimes of all waiting tasks and of `current`; the least vruntime
    /// of the queue when it is empty.
    pub(crate) fn avg_vruntime(&self, current: Option<Entry>) -> i64 {
        let base = self.min_vruntime;
        let (mut sum, mut weight) = (0_i128, 0_i128);
        for entry in self.waiting.iter().chain(current.iter()) {
            sum += i128::from(entry.vruntime - base) * i128::from(entry.weight);
            weight += i128::from(entry.weight);
        }
        if weight == 0 { base } else { base + sum.div_euclid(weight) as i64 }
    }

    /// Takes out the task to run next. There must be no current task.
    pub(crate) fn pop_next(&mut self, policy: FairPolicy) -> Option<Entry> {
        match policy {
            FairPolicy::Cfs => self.waiting.pop(),
            FairPolicy::Eevdf => self.pop_earliest_deadline(),
        }
    }

    /// The eligible tasks (vruntime not above the mean) are a suffix of the vector, and never
    /// empty unless the queue is: the least vruntime is at most the mean.
    fn pop_earliest_deadline(&mut self) -> Option<Entry> {
        let mean = self.avg_vruntime(None);
        let eligible_from = self.waiting.partition_point(|entry| entry.vruntime > mean);
        let at = (eligible_from..self.waiting.len())
            .min_by_key(|at| (self.waiting[*at].deadline, self.waiting[*at].task))?;
        Some(self.waiting.remove(at))
    }

    /// Advances `min_vruntime` to the least vruntime of `current` and the waiting tasks.
    pub(crate) fn update_min_vruntime(&mut self, current_vruntime: Option<i64>) {
        let leftmost = self.leftmost().map(|entry| entry.vruntime);
        let least = match (current_vruntime, leftmost) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(least) = least {
            self.min_vruntime = self.min_vruntime.max(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The slow twin: an ordered map, everything recomputed by looking at all of it.
    #[derive(Default)]
    struct Slow(BTreeMap<(i64, TaskId), Entry>);

    impl Slow {
        fn pop_next(&mut self, policy: FairPolicy) -> Option<Entry> {
            let key = match policy {
                FairPolicy::Cfs => self.0.keys().next().copied()?,
                FairPolicy::Eevdf => {
                    let eligible = |entry: &&Entry| self.lag_sum(entry.vruntime) >= 0;
                    let earliest = |entry: &&Entry| (entry.deadline, entry.task);
                    self.0.values().filter(eligible).min_by_key(earliest)?.key()
                }
            };
            self.0.remove(&key)
        }

        /// Sum of the weighted lags against a point in virtual time: not negative when the mean
        /// is at or after it. That is eligibility without a division.
        fn lag_sum(&self, at: i64) -> i128 {
            let lag = |entry: &Entry| i128::from(entry.vruntime - at) * i128::from(entry.weight);
            self.0.values().map(lag).sum()
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert { vruntime: i64, weight: u32, slice: i64 },
        Remove(usize),
        Pop,
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let insert = (-50_i64..1000, 1_u32..5000, 0_i64..300)
            .prop_map(|(vruntime, weight, slice)| Op::Insert { vruntime, weight, slice });
        let op =
            prop_oneof![4 => insert, 1 => (0_usize..50).prop_map(Op::Remove), 2 => Just(Op::Pop)];
        prop::collection::vec(op, 1..200)
    }

    proptest! {
        #[test]
        fn queue_and_slow_twin_agree(cfs in any::<bool>(), ops in ops()) {
            let policy = if cfs { FairPolicy::Cfs } else { FairPolicy::Eevdf };
            let mut fast = RunQueue::new(Nanos::ZERO);
            let mut slow = Slow::default();
            for (idx, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Insert { vruntime, weight, slice } => {
                        let task = TaskId::from_idx(idx);
                        let entry = Entry { vruntime, task, weight, deadline: vruntime + slice };
                        fast.insert(entry);
                        slow.0.insert(entry.key(), entry);
                    }
                    Op::Remove(k) => {
                        let key = slow.0.keys().nth(k).copied().unwrap_or((0, TaskId(u32::MAX)));
                        prop_assert_eq!(fast.remove(key.0, key.1), slow.0.remove(&key).is_some());
                    }
                    Op::Pop => prop_assert_eq!(fast.pop_next(policy), slow.pop_next(policy)),
                }
                prop_assert!(fast.waiting().eq(slow.0.values()));
                prop_assert_eq!(fast.nr_waiting(), slow.0.len());
                prop_assert_eq!(fast.leftmost(), slow.0.values().next());
            }
        }
    }

    fn entry(task: u32, vruntime: i64, deadline: i64) -> Entry {
        Entry { vruntime, task: TaskId(task), weight: 1024, deadline }
    }

    #[test]
    fn eevdf_runs_the_earliest_deadline_among_those_not_ahead_of_the_mean() {
        let mut rq = RunQueue::new(Nanos::ZERO);
        // Mean 20: tasks 0 and 1 are eligible; 2 has the earliest deadline but is ahead.
        [entry(0, 5, 90), entry(1, 15, 50), entry(2, 40, 45)]
            .into_iter()
            .for_each(|entry| rq.insert(entry));
        assert_eq!(rq.avg_vruntime(None), 20);
        let order: Vec<u32> = std::iter::from_fn(|| rq.pop_next(FairPolicy::Eevdf))
            .map(|entry| entry.task.0)
            .collect();
        // Without task 1 the mean is 22 and task 2 is still ahead of it.
        assert_eq!(order, [1, 0, 2]);
    }

    #[test]
    fn equal_vruntimes_go_by_task_number() {
        let mut rq = RunQueue::new(Nanos::ZERO);
        [entry(7, 3, 0), entry(2, 3, 0), entry(5, 3, 0)]
            .into_iter()
            .for_each(|entry| rq.insert(entry));
        let order: Vec<u32> =
            std::iter::from_fn(|| rq.pop_next(FairPolicy::Cfs)).map(|entry| entry.task.0).collect();
        assert_eq!(order, [2, 5, 7]);
    }

    #[test]
    fn min_vruntime_never_goes_back() {
        let mut rq = RunQueue::new(Nanos::ZERO);
        rq.update_min_vruntime(Some(100));
        rq.insert(entry(0, 40, 0));
        rq.update_min_vruntime(Some(200));
        assert_eq!(rq.min_vruntime, 100);
        rq.update_min_vruntime(None);
        assert_eq!(rq.min_vruntime, 100);
    }
}
