//! What runs in a cell: a generator or a recorded trace, and its memory cgroups.

use std::sync::Arc;

use topology::{Machine, Reclaim};
use trace::container::SharedTrace;
use trace::generate::WorkloadSpec;
use trace::{Memcg, TraceError, Workload};

/// What runs.
#[derive(Clone)]
pub struct Program {
    /// Where the accesses come from.
    pub source: ProgramSource,
    /// The memory cgroups it runs in.
    pub memcgs: Vec<Memcg>,
}

/// Where the accesses come from.
#[derive(Clone)]
pub enum ProgramSource {
    /// A generator.
    Generated(Arc<WorkloadSpec>),
    /// A recorded trace, decoded once for all cells.
    Recorded(SharedTrace),
}

impl Program {
    /// A workload at its beginning.
    ///
    /// # Errors
    /// The workload does not fit the machine, or the trace is damaged.
    pub fn open(&self, machine: &Machine, seed: u64) -> Result<Workload, TraceError> {
        let invalid = |error: String| TraceError::Invalid(error);
        let mut workload = match &self.source {
            ProgramSource::Generated(spec) => {
                spec.open(machine, seed).map_err(|error| invalid(error.to_string()))?
            }
            ProgramSource::Recorded(trace) => trace.workload()?,
        };
        workload.memcgs = self.memcgs.clone();
        self.check_memcgs(machine, &workload).map_err(invalid)?;
        Ok(workload)
    }

    /// What is wrong with the memory cgroups on that machine.
    fn check_memcgs(&self, machine: &Machine, workload: &Workload) -> Result<(), String> {
        if !self.memcgs.is_empty() && machine.kernel.reclaim == Reclaim::None {
            return Err(format!(
                "the workload has memory cgroups, but {} reclaims nothing: set \
                 machine.kernel.reclaim to \"classic\" or \"mglru\"",
                machine.name
            ));
        }
        for memcg in &self.memcgs {
            let exists =
                |process: &u32| workload.threads.iter().any(|thread| thread.process == *process);
            let missing = memcg.settings.processes.iter().find(|process| !exists(process));
            if let Some(process) = missing {
                let nr = workload.threads.iter().map(|thread| thread.process).max().unwrap_or(0);
                return Err(format!(
                    "memory cgroup {} has process {process}; the last one is {nr}",
                    memcg.path
                ));
            }
        }
        Ok(())
    }

    /// Rows a run will replay, where that is known beforehand.
    pub fn nr_rows(&self) -> Option<u64> {
        match &self.source {
            ProgramSource::Generated(_) => None,
            ProgramSource::Recorded(trace) => Some(trace.nr_rows()),
        }
    }
}
