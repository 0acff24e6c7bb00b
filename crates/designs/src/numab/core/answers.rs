//! What NUMA balancing answers to the engine's questions.

use base::{CpuId, Nanos, NodeId, TaskId};
use sched::Permit;

use super::{Adaptation, Core, CpuPid, Faults, Pending, Space, Task, TaskFaults, Walk};
use crate::numab::promote::time_word;
use crate::numab::search::find_place;
use crate::{Cx, HintFault, Migration, Move, Placement, Placing, ScanOutcome, ScanPlan, Verdict};

impl Placement for Core {
    fn task_start(&mut self, cx: &mut Cx<'_>, task: TaskId, parent: Option<TaskId>) {
        let fresh = Task { faults: TaskFaults::new(self.nr_nodes()), ..Task::default() };
        self.tasks.0.resize(cx.tasks.len(), fresh.clone());
        self.spaces.0.resize(cx.spaces.len(), Space::default());
        let Some(mm) = cx.tasks[task].mm else { return };
        let delay = self.rules.scan_delay;
        let nr_before = cx.spaces[mm].nr_tasks.saturating_sub(1);
        let same_mm = parent.is_some_and(|parent| cx.tasks[parent].mm == Some(mm));
        if nr_before <= 1 {
            self.spaces[mm].next_scan = cx.now + delay;
            self.spaces[mm].progress.scan_seq = 0;
            if let Adaptation::PerFault { reset, .. } = self.rules.adaptation {
                self.spaces[mm].next_reset = cx.now + reset;
            }
        }
        // The kernel takes the longest period, a number of milliseconds, for nanoseconds.
        let stagger = if (same_mm || nr_before > 0) && !self.rules.is_2013() {
            let max = self.rules.period.scan_max(cx.rss(mm), None);
            Nanos(max.as_ms()) + self.rules.tick * 2
        } else {
            Nanos::ZERO
        };
        let inherited = parent.filter(|_| same_mm && self.rules.is_3_13());
        self.tasks[task] = Task {
            preferred: inherited.and_then(|parent| self.tasks[parent].preferred),
            node_stamp: stagger,
            period: delay,
            scan_seq: self.spaces[mm].progress.scan_seq,
            placed: (Nanos::ZERO, cx.now),
            node: cx.node_of_task(task),
            ..fresh
        };
    }

    fn task_exit(&mut self, _cx: &mut Cx<'_>, task: TaskId) {
        let Some(state) = self.tasks.0.get_mut(task.idx()) else { return };
        if let Some(group) = state.group.take() {
            let none = Faults::new(self.distances.matrix.0.len());
            self.groups[group].faults.change(&state.faults.sums, &none);
            self.groups[group].nr_tasks -= 1;
        }
    }

    fn scan(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<ScanPlan> {
        let info = &cx.tasks[task];
        let mm = info.mm?;
        self.notice_node(cx, task, mm);
        let state = &self.tasks[task];
        let period = state.period;
        if info.cpu_time <= state.node_stamp + period {
            return None;
        }
        if state.node_stamp == Nanos::ZERO {
            self.tasks[task].period = self.scan_start(cx, task, mm);
        }
        self.tasks[task].node_stamp += period;
        let space = &mut self.spaces[mm];
        if let Adaptation::PerFault { reset, .. } = self.rules.adaptation
            && cx.now >= space.next_reset
        {
            space.next_reset = cx.now + reset;
            self.tasks[task].period = self.rules.period.scan_min(cx.rss(mm));
        }
        if cx.now < space.next_scan {
            return None;
        }
        space.next_scan = cx.now + self.tasks[task].period;
        // Another thread shall win the next time.
        self.tasks[task].node_stamp += self.rules.tick * 2;
        if info.has_policy {
            return None;
        }
        let mut walk = Walk::begin(task, mm, &space.progress, &self.rules.walk);
        let plan = walk.next_plan(cx, &mut space.progress, &self.rules.walk);
        self.walk = Some(walk);
        plan
    }

    fn scan_done(
        &mut self,
        cx: &mut Cx<'_>,
        task: TaskId,
        outcome: &ScanOutcome,
        took: Nanos,
    ) -> Option<ScanPlan> {
        self.tasks[task].node_stamp += took * self.rules.scan_cost_factor;
        let walk = self.walk.as_mut()?;
        let progress = &mut self.spaces[walk.mm].progress;
        let goes_on = walk.walked(outcome, progress);
        goes_on.then(|| walk.next_plan(cx, progress, &self.rules.walk)).flatten()
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let stay = Verdict::new(fault.word, None);
        if fault.waited {
            // The kernel finds a migration entry, which is not a hint fault.
            return stay;
        }
        if let Some(vma) = cx.memory.spaces[fault.mm].vma(fault.page) {
            self.spaces[fault.mm].progress.vmas.faulted(vma.pages.start, fault.task);
        }
        let last = CpuPid::of(fault.word);
        let local = fault.page_node == fault.node;
        if local && !self.rules.is_2013() {
            self.account(cx, fault, last, fault.page_node);
            return stay;
        }
        if self.rules.slow_nodes.contains(fault.page_node) {
            if let Some(promotion) = &mut self.rules.promotion {
                let decision = promotion.decide(cx, fault.node, fault.word, fault.pages);
                return self.promote(fault, &decision, time_word(cx.now));
            }
            if last.is_none() && !self.rules.is_2013() {
                // Without tiering a slow node's page stays at its first remote fault.
                return Verdict::new(CpuPid::new(fault.cpu, fault.task).word(), None);
            }
        }
        let word = CpuPid::new(fault.cpu, fault.task).word();
        // In 2013 the kernel asks and signs the page at local faults as well.
        let wanted = self.should_migrate(cx, fault, last) && !local;
        if fault.batch && !wanted {
            // Not accounted before "mm, numa: Sanitize task_numa_fault() callsites" (July 2013).
            return Verdict::new(word, None);
        }
        if wanted && self.room_for(cx, fault.node, fault.pages) {
            self.tasks[fault.task].pending = Some(Pending { fault: *fault, last });
            return Verdict::new(word, Some(fault.node));
        }
        self.account(cx, fault, last, fault.page_node);
        if wanted {
            self.tasks[fault.task].pass.failed += fault.pages.0;
        }
        Verdict::new(word, None)
    }

    fn migration_done(&mut self, cx: &mut Cx<'_>, migration: &Migration) {
        let Some(Pending { fault, last }) = self.tasks[migration.task].pending.take() else {
            return;
        };
        let node = if migration.moved { migration.to } else { migration.from };
        if self.rules.promotion.is_some() && self.rules.slow_nodes.contains(node) {
            return;
        }
        self.account(cx, &fault, last, node);
        if !migration.moved {
            // After the placement that the fault may cause: a failure counts in the next one.
            self.tasks[migration.task].pass.failed += migration.pages.0;
        }
    }

    fn place_task(&mut self, cx: &mut Cx<'_>, task: TaskId, _why: Placing) -> Option<Move> {
        let state = self.tasks.0.get_mut(task.idx())?;
        let preferred = state.preferred?;
        if !std::mem::take(&mut state.wants_move) || cx.node_of_task(task) == preferred {
            return None;
        }
        let found = find_place(cx, self, &self.rules.search, task, preferred);
        if self.rules.is_2013() {
            let found = found?;
            self.tasks[task].preferred = Some(found.node);
            if let Move::Swap(partner) = found.how {
                // The load balancer has no part in it.
                self.tasks[partner].node = cx.node_of_task(task);
            }
            if let Some(mm) = cx.tasks[task].mm.filter(|_| self.rules.is_3_13()) {
                self.tasks[task].period = self.rules.period.scan_min(cx.rss(mm));
            }
        } else if self.tasks[task].group.is_some() {
            // A group that spans nodes settles down where its members get.
            let node = found.map_or(cx.node_of_task(task), |found| found.node);
            self.tasks[task].preferred = Some(node);
        }
        found.map(|found| found.how)
    }

    fn place_reason(&self, task: TaskId, to: NodeId) -> &'static str {
        match self.tasks.0.get(task.idx()).and_then(|state| state.preferred) {
            Some(preferred) if preferred == to => "preferred node",
            _ => "better node than here; the preferred one is taken",
        }
    }

    fn can_migrate_task(&mut self, cx: &mut Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        self.permit(cx, task, to)
    }
}
