//! A workload's steps in one order, for writing them to a file.

use std::collections::{BTreeMap, VecDeque};

use crate::{Event, Step, Sweep, TraceError, Workload};

/// Pages a thread may be ahead of the others: a sweep is handed out in parts of this size.
const TURN_PAGES: u32 = 512;

/// Steps of all threads, round robin, as `(thread's index, step)`, up to `limit` page accesses.
///
/// Threads begin when they are spawned, wait at barriers, and end with a [`Step::End`] each, also
/// when the limit cuts them off; sweeps come in parts of at most 512 pages. Time plays no role: the
/// order is that of equally fast threads.
pub fn rows(
    workload: Workload,
    limit: u64,
) -> impl Iterator<Item = Result<(usize, Step), TraceError>> {
    let ready = workload.threads.iter().enumerate();
    let ready = ready.filter(|(_, thread)| thread.parent.is_none()).map(|(idx, _)| idx).collect();
    let rests = workload.threads.iter().map(|_| None).collect();
    let started = workload.threads.iter().map(|thread| thread.parent.is_none()).collect();
    let waiting = BTreeMap::new();
    let mut rows = Rows { workload, left: limit, ready, rests, started, waiting };
    std::iter::from_fn(move || rows.next())
}

struct Rows {
    workload: Workload,
    /// Page accesses that may still be given.
    left: u64,
    /// Threads that can go on, in turn.
    ready: VecDeque<usize>,
    /// What is left of a sweep, by thread.
    rests: Vec<Option<Sweep>>,
    started: Vec<bool>,
    /// Threads at each barrier.
    waiting: BTreeMap<u32, Vec<usize>>,
}

impl Rows {
    fn next(&mut self) -> Option<Result<(usize, Step), TraceError>> {
        let idx = self.ready.pop_front().or_else(|| self.stranded())?;
        if self.left == 0 {
            return Some(Ok((idx, Step::End)));
        }
        let step = match self.rests[idx].take() {
            Some(sweep) => Ok(Step::Sweep(sweep)),
            None => self.workload.threads[idx].stream.next_step(),
        };
        match step {
            Ok(step) => Some(Ok((idx, self.account(idx, step)))),
            Err(error) => Some(Err(error)),
        }
    }

    /// A thread at a barrier to which the others will not come any more.
    fn stranded(&mut self) -> Option<usize> {
        let (id, mut threads) = self.waiting.pop_first()?;
        let thread = threads.pop();
        if !threads.is_empty() {
            self.waiting.insert(id, threads);
        }
        thread
    }

    fn account(&mut self, idx: usize, step: Step) -> Step {
        let step = match step {
            Step::Sweep(sweep) => self.cut(idx, sweep),
            Step::Points(points, rows) => {
                let given = (rows.len() as u64).min(self.left);
                self.left -= given;
                Step::Points(points, rows.start..rows.start + given as usize)
            }
            other => other,
        };
        match &step {
            Step::End => return step,
            Step::Event(Event::Spawn(child)) => {
                if let Some(started) = self.started.get_mut(*child)
                    && !std::mem::replace(started, true)
                {
                    self.ready.push_back(*child);
                }
            }
            Step::Event(Event::Barrier { id, parties }) => {
                let threads = self.waiting.entry(*id).or_default();
                threads.push(idx);
                if threads.len() >= *parties as usize {
                    let released = self.waiting.remove(id).unwrap_or_default();
                    self.ready.extend(released);
                }
                return step;
            }
            _ => {}
        }
        self.ready.push_back(idx);
        step
    }

    fn cut(&mut self, idx: usize, sweep: Sweep) -> Step {
        let given = u64::from(sweep.nr_pages.min(TURN_PAGES)).min(self.left) as u32;
        self.left -= u64::from(given);
        if given < sweep.nr_pages {
            let rest =
                Sweep { page: sweep.page + given, nr_pages: sweep.nr_pages - given, ..sweep };
            self.rests[idx] = Some(rest);
        }
        Step::Sweep(Sweep { nr_pages: given, ..sweep })
    }
}
