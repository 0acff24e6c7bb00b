//! What a run is given, and why it may fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base::Nanos;
use designs::Placement;
use reclaim::textbook::Registered;
use thiserror::Error;
use topology::Machine;
use trace::{TraceError, Workload};

config::config! {
    /// Settings of the engine itself; they trade accuracy for speed and belong to no design.
    pub struct EngineKnobs {
        /// Length of an epoch: rates are constant within it, and no CPU runs ahead of another by
        /// more. Copies of huge pages should take several epochs.
        pub epoch: Nanos = Nanos::from_ms(5),
        /// Pages sampled ahead of each task to learn what it is about to do.
        pub look_ahead_samples: u32 = 32,
        /// Shortest interval of the time series; it grows with the length of the run.
        pub sample_interval: Nanos = Nanos::from_ms(10),
        /// Whether an extra reference (somebody who waits for the page) makes a migration fail, as
        /// in the kernel.
        pub extra_reference_fails: bool = true,
        /// Page accesses of a run that are kept for `yardsticks`, four bytes each. A longer run is
        /// compared up to there, and the result says how much was left out.
        #[check(config::positive)]
        pub yardstick_accesses: u64 = 16_777_216,
    }
}

/// Everything one run is given.
pub struct RunSpec {
    /// The machine.
    pub machine: Arc<Machine>,
    /// The workload, freshly opened.
    pub workload: Workload,
    /// The design, freshly built.
    pub design: Box<dyn Placement>,
    /// Its name.
    pub design_name: String,
    /// Values of the experiment's axes, passed on to the result.
    pub axes: BTreeMap<String, String>,
    /// Seed of all random streams.
    pub seed: u64,
    /// Settings of the engine.
    pub knobs: EngineKnobs,
    /// Textbook policies that are given the run's stream of accesses, where the machine reclaims.
    pub yardsticks: Vec<&'static Registered>,
}

impl RunSpec {
    /// A run with the engine's defaults, without axes and yardsticks.
    pub fn new(
        machine: Arc<Machine>,
        workload: Workload,
        design_name: &str,
        design: Box<dyn Placement>,
        seed: u64,
    ) -> Self {
        Self {
            machine,
            workload,
            design,
            design_name: design_name.to_owned(),
            axes: BTreeMap::new(),
            seed,
            knobs: EngineKnobs::default(),
            yardsticks: Vec::new(),
        }
    }
}

/// What a run publishes while it runs; reading it cannot influence the run.
#[derive(Debug, Default)]
pub struct Progress {
    /// Accesses replayed so far.
    pub accesses: AtomicU64,
    /// Machine time reached, in ns.
    pub machine_ns: AtomicU64,
    /// Set from outside to stop the run at the next epoch.
    pub cancel: AtomicBool,
}

impl Progress {
    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// Why a run could not be done. The result is lost; others are not touched.
#[derive(Debug, Error)]
pub enum SimError {
    /// The trace is damaged; found while reading on.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A thread may use no CPU of the machine.
    #[error("thread {thread} is restricted to CPUs that machine {machine} does not have")]
    NoCpu {
        /// The thread's name.
        thread: String,
        /// The machine's name.
        machine: String,
    },
    /// All living threads wait for something that cannot happen any more.
    #[error("deadlock after {at}: {waiting} threads wait at barriers that nobody else can reach")]
    Deadlock {
        /// Machine time.
        at: Nanos,
        /// How many wait.
        waiting: usize,
    },
    /// The machine's kernel names designs of reclaim that do not exist, or sets them wrongly.
    #[error("the machine's kernel: {0}")]
    Kernel(String),
    /// A move to a memory cgroup that the workload's file does not declare.
    #[error("thread {thread} moves to memory cgroup {path}, which the workload does not declare")]
    NoMemcg {
        /// The thread's name.
        thread: String,
        /// The group's path.
        path: String,
    },
    /// The removal of a memory cgroup that has processes or groups below it.
    #[error("thread {thread} removes memory cgroup {path}, which has processes or groups below it")]
    BusyMemcg {
        /// The thread's name.
        thread: String,
        /// The group's path.
        path: String,
    },
    /// The run was asked to stop.
    #[error("cancelled")]
    Cancelled,
}
