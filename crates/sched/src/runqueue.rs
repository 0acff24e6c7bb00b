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
