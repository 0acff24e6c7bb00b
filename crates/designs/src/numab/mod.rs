//! NUMA balancing as merged in 3.13 and developed since: the parts that its versions share.
//!
//! Written from descriptions of `kernel/sched/fair.c`, `mm/mempolicy.c` and `mm/memory.c`. A tick
//! makes a task scan; a fault is counted by node and kind; after each pass a task chooses its
//! preferred node, tries to get there, and adapts its scan period. Each mechanism is a module of
//! its own; [`Core`] joins them by a version's [`Rules`].

mod core;
mod group;
mod misplaced;
mod nearby;
mod period;
mod promote;
mod search;
mod stats;
mod vma;
mod walk;
#[cfg(test)]
mod walk_twin;

pub(crate) use self::core::{Adaptation, Core, Misplacing, Rules};
pub(crate) use misplaced::CpuPid;
pub(crate) use period::PeriodKnobs;
pub(crate) use promote::{PromoteKnobs, Promotion};
pub(crate) use search::{Search, SearchKnobs};
pub use vma::VmaFilter;
pub(crate) use walk::WalkKnobs;
