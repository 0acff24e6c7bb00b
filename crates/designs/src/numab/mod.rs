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

/// Implements [`Placement`](crate::Placement) for a tuple struct by the [`Core`] in it.
macro_rules! placement_by_core {
    ($name:ident) => {
        impl crate::Placement for $name {
            fn task_start(
                &mut self,
                cx: &mut crate::Cx<'_>,
                task: base::TaskId,
                parent: Option<base::TaskId>,
            ) {
                self.0.task_start(cx, task, parent);
            }

            fn task_exit(&mut self, _cx: &mut crate::Cx<'_>, task: base::TaskId) {
                self.0.task_exit(task);
            }

            fn scan(&mut self, cx: &mut crate::Cx<'_>, task: base::TaskId) -> Option<mm::ScanPlan> {
                self.0.scan(cx, task)
            }

            fn scan_done(
                &mut self,
                cx: &mut crate::Cx<'_>,
                task: base::TaskId,
                outcome: &mm::ScanOutcome,
                took: base::Nanos,
            ) -> Option<mm::ScanPlan> {
                self.0.scan_done(cx, task, outcome, took)
            }

            fn hint_fault(
                &mut self,
                cx: &mut crate::Cx<'_>,
                fault: &crate::HintFault,
            ) -> crate::Verdict {
                self.0.hint_fault(cx, fault)
            }

            fn migration_done(&mut self, cx: &mut crate::Cx<'_>, migration: &crate::Migration) {
                self.0.migration_done(cx, migration);
            }

            fn place_task(
                &mut self,
                cx: &mut crate::Cx<'_>,
                task: base::TaskId,
                _why: crate::Placing,
            ) -> Option<crate::Move> {
                self.0.place_task(cx, task)
            }

            fn place_reason(&self, task: base::TaskId, to: base::NodeId) -> &'static str {
                self.0.place_reason(task, to)
            }

            fn can_migrate_task(
                &mut self,
                cx: &mut crate::Cx<'_>,
                task: base::TaskId,
                to: base::CpuId,
            ) -> sched::Permit {
                self.0.permit(cx, task, to)
            }
        }
    };
}
pub(crate) use placement_by_core;
