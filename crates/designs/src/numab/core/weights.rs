//! How much a node weighs for a task or its group, and what the load balancer makes of it.

use base::{CpuId, NodeId, TaskId};
use sched::Permit;

use super::Core;
use crate::Cx;
use crate::numab::search::{Search, Weigh};
use crate::numab::stats::Faults;

impl Core {
    /// `migrate_degrades_locality`.
    pub(crate) fn permit(&self, cx: &Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        let (src, dst) = (cx.node_of_task(task), cx.node_of(to));
        let Some(state) = self.tasks.0.get(task.idx()).filter(|state| state.has_faults) else {
            return Permit::Default;
        };
        if src == dst {
            return Permit::Default;
        }
        if self.rules.search.search == Search::V3_13 {
            return self.permit_2013(task, state.preferred == Some(dst), (src, dst));
        }
        if state.preferred == Some(src) {
            let prefers = |task: TaskId| {
                self.tasks.0.get(task.idx()).is_some_and(|task| task.preferred == Some(src))
            };
            let all_prefer = cx.sched.tasks_on(cx.sched.cpu_of(task)).all(prefers);
            return if all_prefer { Permit::Default } else { Permit::Resist };
        }
        if state.preferred == Some(dst) {
            return Permit::Encourage;
        }
        if cx.sched.is_idle(to) {
            return Permit::Default;
        }
        let dist = self.distances.matrix[(src, dst)];
        let weight = |node| match state.group {
            Some(_) => self.group_weight(task, node, dist),
            None => self.task_weight(task, node, dist),
        };
        if weight(dst) < weight(src) { Permit::Resist } else { Permit::Encourage }
    }

    /// `migrate_improves_locality` of 3.13; resistance (`NUMA_RESIST_LOWER`) was off.
    fn permit_2013(&self, task: TaskId, preferred: bool, (src, dst): (NodeId, NodeId)) -> Permit {
        let dist = self.distances.matrix[(src, dst)];
        let task_gains = self.task_weight(task, dst, dist) > self.task_weight(task, src, dist);
        let group_gains = self.group_weight(task, dst, dist) > self.group_weight(task, src, dist);
        if preferred || task_gains && group_gains { Permit::Encourage } else { Permit::Default }
    }

    fn weight_of(&self, faults: &Faults, node: NodeId, dist: u8) -> i64 {
        if faults.total == 0 {
            return 0;
        }
        let near = self.distances.score_nearby(node, dist, |node| faults.mem_of(node));
        (1000 * (faults.mem_of(node) + near) / faults.total) as i64
    }
}

impl Weigh for Core {
    fn group(&self, task: TaskId) -> Option<usize> {
        self.tasks[task].group
    }

    fn preferred(&self, task: TaskId) -> Option<NodeId> {
        self.tasks[task].preferred
    }

    fn task_weight(&self, task: TaskId, node: NodeId, dist: u8) -> i64 {
        self.weight_of(&self.tasks[task].faults.sums, node, dist)
    }

    fn group_weight(&self, task: TaskId, node: NodeId, dist: u8) -> i64 {
        let group = self.tasks[task].group.map(|group| &self.groups[group]);
        group.map_or(0, |group| self.weight_of(&group.faults, node, dist))
    }

    fn active_nodes(&self, task: TaskId) -> u32 {
        self.tasks[task].group.map_or(1, |group| self.groups[group].active_nodes)
    }
}
