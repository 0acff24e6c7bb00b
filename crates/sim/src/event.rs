//! Everything that can happen, in one closed list.

use base::{CpuId, TaskId};

/// An event of the queue. Accesses are none: they are replayed in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A new epoch starts: rates are found, CPUs run.
    Epoch,
    /// A blocked task becomes runnable. Ignored when the generation is not the task's own any more.
    Wake(TaskId, u32),
    /// A CPU's balance pass is due.
    Balance(CpuId),
    /// A background daemon wakes up somewhere.
    Daemon,
    /// The workload's time is up.
    TimeUp,
}

const _: () = assert!(size_of::<Event>() <= 16, "events are copied a lot");
