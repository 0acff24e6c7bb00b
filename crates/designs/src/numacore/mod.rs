//! numa/core: what its versions share.
//!
//! Private and shared faults told apart by CPU or task, tasks classed by them, private tasks spread and
//! shared ones gathered after each complete scan.

mod core;
mod place;

pub(crate) use self::core::{Core, Rules, Statistics};

/// Implements [`Placement`](crate::Placement) for a tuple struct by the [`Core`] in it.
macro_rules! placement_by_numacore {
    ($name:ident) => {
        impl crate::Placement for $name {
            fn task_start(
                &mut self,
                cx: &mut crate::Cx<'_>,
                task: base::TaskId,
                _parent: Option<base::TaskId>,
            ) {
                self.0.task_start(cx, task);
            }

            fn scan(&mut self, cx: &mut crate::Cx<'_>, task: base::TaskId) -> Option<mm::ScanPlan> {
                self.0.scan(cx, task)
            }

            fn scan_done(
                &mut self,
                cx: &mut crate::Cx<'_>,
                task: base::TaskId,
                outcome: &mm::ScanOutcome,
                _took: base::Nanos,
            ) -> Option<mm::ScanPlan> {
                self.0.scan_done(cx, task, outcome);
                None
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

            fn place_reason(&self, _task: base::TaskId, _to: base::NodeId) -> &'static str {
                "ideal CPU"
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
pub(crate) use placement_by_numacore;
