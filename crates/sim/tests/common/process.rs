//! A process that needs no more than its threads' steps.

use base::{CpuMask, MmId, MmVec, Pages};
use trace::{Convergence, Mapping, Space, Step, Thread, Workload};

use crate::steps::scripted;

/// One process whose threads do these steps; all start by themselves.
pub(crate) fn one_process(nr_pages: u64, threads: Vec<Vec<Step>>) -> Workload {
    let mapping = Mapping { pages: 0..nr_pages as u32, thp: None, policy: None };
    let space = Space {
        name: "p".to_owned(),
        nr_pages: Pages(nr_pages),
        file: false,
        executable: false,
        mappings: vec![mapping],
    };
    let thread = |(idx, steps): (usize, Vec<Step>)| Thread {
        name: format!("t{idx}"),
        process: 0,
        mm: MmId(0),
        parent: None,
        allowed: CpuMask::EMPTY,
        stream: scripted(steps),
    };
    Workload {
        name: "scripted".to_owned(),
        digest: String::new(),
        spaces: MmVec(vec![space]),
        threads: threads.into_iter().enumerate().map(thread).collect(),
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        memcgs: Vec::new(),
    }
}
