//! Tasks without accesses: all a run does for them is scheduling, ticks and epochs.

use base::{CpuMask, MmId, MmVec, Nanos, Pages, Rng, stream};
use trace::{Convergence, Event, Mapping, Space, Step, Thread, ThreadStream, TraceError, Workload};

/// Mean time that a task computes before it sleeps, and sleeps before it computes.
const MEAN_NS: f64 = 2e6;

/// `nr` tasks, 16 to a process, that compute and sleep by turns for `span`, each for exponentially
/// distributed times with a mean of 2 ms: with four times as many tasks as CPUs, two are runnable on
/// a CPU on average.
pub fn tasks(nr: usize, span: Nanos) -> Workload {
    let space = |process: usize| Space {
        name: format!("process {process}"),
        nr_pages: Pages(1),
        file: false,
        executable: false,
        mappings: vec![Mapping { pages: 0..1, thp: None, policy: None }],
    };
    let thread = |idx: usize| Thread {
        name: format!("task {idx}"),
        process: (idx / 16) as u32,
        mm: MmId::from_idx(idx / 16),
        parent: None,
        allowed: CpuMask::EMPTY,
        stream: Box::new(Sleeper { rng: stream(1, "bench.tasks", idx as u64), awake: false }),
    };
    Workload {
        name: "tasks".to_owned(),
        digest: String::new(),
        spaces: MmVec((0..nr.div_ceil(16)).map(space).collect()),
        threads: (0..nr).map(thread).collect(),
        stop_after: Some(span),
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        memcgs: Vec::new(),
    }
}

struct Sleeper {
    rng: Rng,
    awake: bool,
}

impl ThreadStream for Sleeper {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        self.awake = !self.awake;
        let span = Nanos::from_f64(self.rng.exponential(MEAN_NS)).max(Nanos(1));
        Ok(Step::Event(if self.awake { Event::Compute(span) } else { Event::Sleep(span) }))
    }
}
