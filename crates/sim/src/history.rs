//! What moved tasks and pages, counted where it happens: on the slow path, never for an access.
//!
//! Totals by kind go through the sampler, which gives them over time; the rest is what a run's
//! [`History`] says of each thread and rule. Nothing here is read by the engine or by a design.

use base::{MmId, Nanos, NodeId, TaskId, TaskVec};
use mm::Order;
use results::{
    DecisionCounts, HintFaults, History, MemoryHistory, MoveCount, MoveReason, NodeMove, PageFlow,
    Queueing, Scans, ThreadHistory,
};
use tracing::debug;

use crate::thread::Role;
use crate::world::World;

/// Most samples of a history: more columns cannot be seen.
const MOST_SAMPLES: usize = 256;
/// Most values of all threads (or of all spaces and nodes) over all samples, as long as at least
/// [`FEWEST_SAMPLES`] are left.
const MOST_VALUES: usize = 1 << 16;
/// Fewest samples that are kept.
const FEWEST_SAMPLES: usize = 16;
/// Most moves between nodes that are kept of a thread, and of all threads together while each has
/// [`FEWEST_MOVES`].
const MOST_MOVES: usize = 16;
const MOST_MOVES_OF_ALL: usize = 4096;
const FEWEST_MOVES: usize = 4;

const NR_REASONS: usize = MoveReason::ALL.len();

/// Kinds of decisions beside moves of tasks.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A move that a design asked for and that could not be carried out.
    Stick = NR_REASONS as isize,
    Scan,
    Folio,
    FolioFailed,
}

/// Their names, as shown to users.
const KINDS: [&str; 4] = ["sched_stick_numa", "scan", NUMA_MISPLACED, "migration failed"];
const NR_KINDS: usize = NR_REASONS + KINDS.len();

/// The kernel's name of the reason why a page moves when its user is elsewhere.
const NUMA_MISPLACED: &str = "numa_misplaced";
/// The same, done later by a kernel thread.
const BY_KTHREAD: &str = "numa_misplaced, by a kernel thread";

/// Totals by kind: moves between nodes by reason, then [`Kind`].
pub(crate) type Totals = [u64; NR_KINDS];

/// What happened to a task.
#[derive(Clone, Debug, Default)]
struct OfTask {
    /// Moves between CPUs and, of those, between nodes, by reason.
    moves: [(u64, u64); NR_REASONS],
    first: Vec<NodeMove>,
}

/// A move of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) task: TaskId,
    pub(crate) at: Nanos,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) reason: MoveReason,
    pub(crate) why: &'static str,
}

/// Counts of decisions.
#[derive(Default)]
pub(crate) struct Decisions {
    totals: Totals,
    tasks: TaskVec<OfTask>,
    /// Moves of a task that are kept.
    keep: usize,
    nr_nodes: usize,
    /// By rule, from node, to node.
    migrations: Vec<PageFlow>,
    hint_faults: HintFaults,
    /// By address space.
    scans: Vec<Scans>,
}

impl Decisions {
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Makes room for tasks, nodes and address spaces; none comes later.
    pub(crate) fn prepare(
        &mut self,
        nr_tasks: usize,
        nr_nodes: usize,
        spaces: impl Iterator<Item = String>,
    ) {
        self.tasks = TaskVec::filled(OfTask::default(), nr_tasks);
        self.keep = (MOST_MOVES_OF_ALL / nr_tasks.max(1)).clamp(FEWEST_MOVES, MOST_MOVES);
        self.scans = spaces.map(|space| Scans { space, ..Scans::default() }).collect();
        self.nr_nodes = nr_nodes;
        let nodes = || 0..nr_nodes as u8;
        for rule in [NUMA_MISPLACED, BY_KTHREAD] {
            for (from, to) in nodes().flat_map(|from| nodes().map(move |to| (from, to))) {
                let rule = rule.to_owned();
                self.migrations.push(PageFlow { rule, from, to, ..PageFlow::default() });
            }
        }
    }

    pub(crate) fn task_moved(&mut self, moved: Moved) {
        let Moved { task, at, from, to, reason, why } = moved;
        debug!(%task, %at, %from, %to, reason = reason.name(), why, "task moved");
        let of_task = &mut self.tasks[task];
        let count = &mut of_task.moves[reason as usize];
        count.0 += 1;
        if from == to {
            return;
        }
        count.1 += 1;
        self.totals[reason as usize] += 1;
        if of_task.first.len() < self.keep {
            let why = why.to_owned();
            of_task.first.push(NodeMove { at, from: from.0, to: to.0, reason, why });
        }
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        self.totals[kind as usize] += 1;
    }

    pub(crate) fn folio_moved(
        &mut self,
        by_kthread: bool,
        order: Order,
        (from, to): (NodeId, NodeId),
        moved: bool,
    ) {
        debug!(by_kthread, ?order, %from, %to, moved, "folio sent to another node");
        self.count(if moved { Kind::Folio } else { Kind::FolioFailed });
        let nr_nodes = self.nr_nodes;
        let idx = (usize::from(by_kthread) * nr_nodes + from.idx()) * nr_nodes + to.idx();
        let flow = &mut self.migrations[idx];
        if moved {
            flow.folios += 1;
            flow.pages += order.pages().0;
        } else {
            flow.failed += 1;
        }
    }

    /// What becomes of a hint fault; `sent` when the design has the page moved.
    pub(crate) fn hint_fault(&mut self, waited: bool, local: bool, sent: bool) {
        let faults = &mut self.hint_faults;
        let outcome = match (waited, sent, local) {
            (true, ..) => &mut faults.waited,
            (_, true, _) => &mut faults.sent,
            (.., true) => &mut faults.local,
            _ => &mut faults.left,
        };
        *outcome += 1;
    }

    /// A walk of the scanner begins.
    pub(crate) fn scan(&mut self, mm: MmId, now: Nanos) {
        debug!(%mm, %now, "scan of page tables begins");
        self.count(Kind::Scan);
        let scans = &mut self.scans[mm.idx()];
        let since = now.saturating_sub(scans.last);
        match scans.count {
            0 => scans.first = now,
            1 => (scans.shortest, scans.longest) = (since, since),
            _ => {
                scans.shortest = scans.shortest.min(since);
                scans.longest = scans.longest.max(since);
            }
        }
        scans.count += 1;
        // Clocks of CPUs differ by up to an epoch.
        scans.last = scans.last.max(now);
    }

    /// Times a task moved to another node.
    pub(crate) fn node_moves(&self, task: TaskId) -> u64 {
        self.tasks[task].moves.iter().map(|(_, node)| node).sum()
    }
}

/// Where threads and memory were, at each sample, and the totals of decisions up to it.
#[derive(Default)]
pub(crate) struct Whereabouts {
    pub(crate) at: Vec<Nanos>,
    /// Node of each thread; `u8::MAX` while it is not alive.
    pub(crate) threads: Vec<Vec<u8>>,
    /// Resident pages of each space by node.
    pub(crate) memory: Vec<Vec<u64>>,
    pub(crate) totals: Vec<Totals>,
    /// One of so many samples was kept so far.
    pub(crate) kept_one_in: u64,
}

impl Whereabouts {
    /// Adds the end of the run as the last sample, and thins out to what may be kept.
    fn close(&mut self, elapsed: Nanos, totals: Totals) {
        self.at.iter_mut().for_each(|at| *at = (*at).min(elapsed));
        if let (Some(threads), Some(memory)) = (self.threads.last(), self.memory.last()) {
            // Threads that have just ended were where they were.
            let (threads, memory) = (threads.clone(), memory.clone());
            self.at.push(elapsed);
            self.threads.push(threads);
            self.memory.push(memory);
            self.totals.push(totals);
        }
        let widest = |rows: &[Vec<u8>]| rows.first().map_or(1, Vec::len).max(1);
        let wide = widest(&self.threads).max(self.memory.first().map_or(1, Vec::len));
        let most = (MOST_VALUES / wide).clamp(FEWEST_SAMPLES, MOST_SAMPLES);
        let stride = self.at.len().div_ceil(most).max(1);
        keep_every(&mut self.at, stride);
        keep_every(&mut self.threads, stride);
        keep_every(&mut self.memory, stride);
        keep_every(&mut self.totals, stride);
        self.kept_one_in *= stride as u64;
    }

    /// One kind's counts from sample to sample.
    fn counts(&self, kind: usize) -> Vec<u64> {
        let mut before = 0;
        let counts = self.totals.iter().map(|totals| {
            let now = totals[kind];
            now - std::mem::replace(&mut before, now)
        });
        counts.collect()
    }
}

/// Keeps every `stride`-th item, the last one among them.
fn keep_every<T>(items: &mut Vec<T>, stride: usize) {
    let last = items.len().saturating_sub(1);
    let mut idx = 0;
    items.retain(|_| {
        idx += 1;
        (last + 1 - idx).is_multiple_of(stride)
    });
}

impl World {
    /// Records that a task has come from one CPU to another.
    pub(crate) fn note_move(&mut self, moved: Moved) {
        if self.threads[moved.task].is_user() {
            self.decisions.task_moved(moved);
        }
    }

    /// The history of the run, which is over.
    pub(crate) fn take_history(&mut self, elapsed: Nanos) -> History {
        let mut seen = std::mem::take(&mut self.sampler.seen);
        seen.close(elapsed, *self.decisions.totals());
        let user = |task: &TaskId| matches!(self.threads[*task].role, Role::User(_));
        let users: Vec<TaskId> =
            (0..self.threads.len()).map(TaskId::from_idx).filter(user).collect();
        let threads = users.iter().enumerate();
        let threads = threads.filter(|(_, task)| self.threads[**task].start != Nanos::MAX);
        let threads = threads.map(|(place, task)| self.thread_history(*task, place, &seen));
        let names = MoveReason::ALL.map(MoveReason::name).into_iter().chain(KINDS);
        let decisions = names.enumerate().map(|(kind, name)| DecisionCounts {
            kind: name.to_owned(),
            counts: seen.counts(kind),
        });
        let migrations = self.decisions.migrations.iter();
        let migrations = migrations.filter(|flow| flow.folios + flow.failed > 0);
        History {
            threads: threads.collect(),
            memory: self.memory_history(&seen),
            decisions: decisions.filter(|one| one.counts.iter().any(|nr| *nr > 0)).collect(),
            migrations: migrations.cloned().collect(),
            hint_faults: self.decisions.hint_faults,
            scans: self.decisions.scans.iter().filter(|one| one.count > 0).cloned().collect(),
            kept_one_in: seen.kept_one_in,
            at: seen.at,
        }
    }

    /// `place` is the thread's among those of the workload.
    fn thread_history(&self, task: TaskId, place: usize, seen: &Whereabouts) -> ThreadHistory {
        let thread = &self.threads[task];
        let of_task = &self.decisions.tasks[task];
        let moves = MoveReason::ALL.into_iter().zip(of_task.moves);
        let queued = self.machine.resources.iter().zip(&thread.queued_ns);
        ThreadHistory {
            name: thread.name.clone(),
            nodes: seen.threads.iter().map(|nodes| nodes[place] as i8).collect(),
            moves: moves
                .filter(|(_, (cpu, _))| *cpu > 0)
                .map(|(reason, (cpu, node))| MoveCount { reason, cpu, node })
                .collect(),
            first_moves: of_task.first.clone(),
            queueing: queued
                .map(|(resource, ns)| Queueing {
                    resource: resource.name.clone(),
                    time: Nanos::from_f64(*ns),
                })
                .filter(|one| one.time > Nanos::ZERO)
                .collect(),
        }
    }

    fn memory_history(&self, seen: &Whereabouts) -> Vec<MemoryHistory> {
        let nr_nodes = self.machine.nodes.len();
        let space = |mm: MmId| {
            let at =
                |node: usize| seen.memory.iter().map(move |all| all[mm.idx() * nr_nodes + node]);
            MemoryHistory {
                name: self.memory.spaces[mm].name.clone(),
                pages: (0..nr_nodes).map(|node| at(node).collect()).collect(),
            }
        };
        let resident = |space: &MemoryHistory| space.pages.iter().flatten().any(|nr| *nr > 0);
        self.spaces.ids().map(space).filter(resident).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(samples: usize, threads: usize) -> Whereabouts {
        Whereabouts {
            at: (1..=samples as u64).map(Nanos::from_ms).collect(),
            threads: (0..samples).map(|at| vec![at as u8; threads]).collect(),
            memory: vec![vec![7]; samples],
            totals: (1..=samples as u64).map(|nr| [nr; NR_KINDS]).collect(),
            kept_one_in: 2,
        }
    }

    #[test]
    fn long_runs_of_many_threads_are_thinned_and_lose_no_count() {
        for (samples, threads, most) in
            [(300, 1, 256), (100, 4, 101), (400, 1000, 66), (50, 100_000, 17)]
        {
            let mut seen = seen(samples, threads);
            seen.close(Nanos::from_secs(9), [1000; NR_KINDS]);
            assert!(seen.at.len() <= most, "{} of {samples}", seen.at.len());
            assert_eq!(seen.at.last(), Some(&Nanos::from_secs(9)));
            assert_eq!(seen.counts(3).iter().sum::<u64>(), 1000);
            assert_eq!(seen.kept_one_in > 2, samples + 1 > most);
            let lens = [seen.threads.len(), seen.memory.len(), seen.totals.len()];
            assert_eq!(lens, [seen.at.len(); 3]);
        }
    }

    #[test]
    fn a_run_without_samples_has_no_history() {
        let mut seen = Whereabouts::default();
        seen.close(Nanos::from_secs(1), [0; NR_KINDS]);
        assert!(seen.at.is_empty());
    }

    #[test]
    fn times_between_scans_are_told_apart_from_the_first() {
        let mut decisions = Decisions::default();
        decisions.prepare(1, 1, std::iter::once("heap".to_owned()));
        for ms in [1000, 1100, 1400] {
            decisions.scan(MmId(0), Nanos::from_ms(ms));
        }
        let scans = &decisions.scans[0];
        assert_eq!((scans.count, scans.first), (3, Nanos::from_ms(1000)));
        assert_eq!((scans.shortest, scans.longest), (Nanos::from_ms(100), Nanos::from_ms(300)));
    }
}
