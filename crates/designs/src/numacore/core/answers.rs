//! What numa/core answers to the engine's questions.

use base::{CpuId, Nanos, NodeId, Pages, TaskId};
use sched::{Permit, TaskState};

use super::{Class, Core, PRIVATE, Space, Statistics, Task};
use crate::numab::CpuPid;
use crate::{
    Cx, HintFault, Migration, Move, Placement, Placing, ScanOutcome, ScanPlan, ScanRules, Verdict,
};

impl Placement for Core {
    fn task_start(&mut self, cx: &mut Cx<'_>, task: TaskId, _parent: Option<TaskId>) {
        let fresh = Task {
            period: self.rules.scan_delay,
            faults: vec![[0; 2]; self.nr_nodes],
            faults_curr: vec![[0; 2]; self.nr_nodes],
            nodes: cx.machine.cpu_nodes(),
            ..Task::default()
        };
        self.tasks.0.resize(cx.tasks.len(), fresh);
        let space = Space { next_scan: cx.now + self.rules.scan_delay, ..Space::default() };
        self.spaces.0.resize(cx.spaces.len(), space);
        if cx.tasks[task].mm.is_some_and(|mm| cx.spaces[mm].nr_tasks <= 1) {
            // A process that starts later has its own delay.
            cx.tasks[task].mm.into_iter().for_each(|mm| self.spaces[mm] = space);
        }
    }

    fn scan(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<ScanPlan> {
        let info = &cx.tasks[task];
        let mm = info.mm.filter(|_| !info.has_policy)?;
        let state = &mut self.tasks[task];
        if info.cpu_time < state.stamp + state.period {
            return None;
        }
        if state.stamp == Nanos::ZERO {
            state.period = self.rules.period_min;
        }
        state.stamp = info.cpu_time;
        let space = &mut self.spaces[mm];
        if cx.now < space.next_scan || cx.rss(mm) < self.rules.rss_threshold {
            return None;
        }
        space.next_scan = cx.now + state.period;
        Some(ScanPlan {
            mm,
            start: space.offset,
            end: u32::MAX,
            max_updated: self.rules.scan_size(state.strength),
            max_walked: Pages::MAX,
            rules: ScanRules { skip_bound_vmas: true, ..ScanRules::default() },
        })
    }

    fn scan_done(
        &mut self,
        cx: &mut Cx<'_>,
        task: TaskId,
        outcome: &ScanOutcome,
        _took: Nanos,
    ) -> Option<ScanPlan> {
        let space = &mut self.spaces[cx.tasks[task].mm?];
        space.offset = outcome.next;
        space.scan_seq += u64::from(outcome.wrapped);
        None
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let last = CpuPid::of(fault.word);
        let private = match self.rules.statistics {
            Statistics::ByCpu => last.is_some_and(|last| last.cpu == fault.cpu),
            Statistics::ByCpuPid { .. } => last.is_none_or(|last| last.matches(fault.task)),
        };
        let target = self.page_target(cx, fault, last);
        let wanted = target
            .filter(|to| *to != fault.page_node && !fault.waited && cx.can_take(*to, fault.pages));
        if wanted.is_some() {
            self.tasks[fault.task].pending = Some((*fault, private));
        } else {
            self.account(cx, fault, fault.page_node, private);
        }
        Verdict::new(CpuPid::new(fault.cpu, fault.task).word(), wanted)
    }

    fn migration_done(&mut self, cx: &mut Cx<'_>, migration: &Migration) {
        if let Some((fault, private)) = self.tasks[migration.task].pending.take() {
            let node = if migration.moved { migration.to } else { migration.from };
            self.account(cx, &fault, node, private);
        }
    }

    fn place_task(&mut self, cx: &mut Cx<'_>, task: TaskId, _why: Placing) -> Option<Move> {
        let state = self.tasks.0.get_mut(task.idx())?;
        let target = state.target.take()?;
        let (from, to) = (cx.node_of_task(task), cx.node_of(target));
        if from == to || !cx.sched.allowed(task, target) {
            return None;
        }
        // Its private pages will follow: they count for the new node at once.
        let private = std::mem::take(&mut state.faults[from.idx()][PRIVATE]);
        state.faults[to.idx()][PRIVATE] += private;
        Some(cx.displace(task, target))
    }

    fn place_reason(&self, _task: TaskId, _to: NodeId) -> &'static str {
        "ideal CPU"
    }

    /// The ladder of faults: up is welcome, down is resisted. A shared task that runs beside its
    /// process is not pulled away while it runs: gathering may defeat even spreading.
    fn can_migrate_task(&mut self, cx: &mut Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        let (from, to) = (cx.node_of_task(task), cx.node_of(to));
        let Some(state) = self.tasks.0.get(task.idx()) else { return Permit::Default };
        if state.class.is_none() || from == to {
            return Permit::Default;
        }
        if state.class == Some(Class::Shared) && self.is_ideal(cx, task) {
            let runs = cx.sched.state(task) == TaskState::Running;
            return if runs { Permit::Refuse } else { Permit::Resist };
        }
        match state.on(to).cmp(&state.on(from)) {
            std::cmp::Ordering::Greater => Permit::Encourage,
            std::cmp::Ordering::Equal => Permit::Default,
            std::cmp::Ordering::Less => Permit::Resist,
        }
    }
}
