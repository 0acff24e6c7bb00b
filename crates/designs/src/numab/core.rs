//! The state of NUMA balancing.

use base::{MmId, MmVec, Nanos, NodeId, NodeMask, Pages, TaskId, TaskVec};
use topology::Machine;

use super::group::{Group, Join, Member, join};
use super::misplaced::{CpuPid, Question, should_migrate, should_migrate_3_13};
use super::nearby::{Distances, first_max};
use super::period::{Adapted, GroupShare, PassFaults, PeriodKnobs, adapt, adapt_3_13};
use super::promote::{Decision, Promotion};
use super::search::{Search, SearchKnobs};
use super::stats::{Faults, PRIVATE, SHARED, TaskFaults};
use super::walk::{Progress, Walk, WalkKnobs};
use crate::ratelimit::RateLimit;
use crate::{Cx, HintFault, Verdict};

mod answers;
mod weights;

/// Which rule decides about a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplacing {
    /// The fault before must be from the same node (balancenuma's filter).
    TwoStage,
    /// The same, but an unset word passes; after a shared page was refused, this many more are.
    Deferred(u32),
    /// Two-stage filter, then the group's use of the two nodes.
    ByGroup,
}

/// How scan periods change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adaptation {
    /// A fault that moved nothing lengthens the task's period by `backoff`; every `reset` the task
    /// of a process that notices goes back to its shortest (up to the summer of 2013).
    PerFault { backoff: Nanos, reset: Nanos },
    /// After each pass, by how local its faults were; a task that was sent elsewhere starts again
    /// with its shortest (3.13).
    ByLocality,
    /// After each pass, by how local or how private its faults were (6.x).
    ByLocalityAndSharing,
}

/// What a version of the kernel does, and its constants.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) scan_delay: Nanos,
    pub(crate) period: PeriodKnobs,
    pub(crate) walk: WalkKnobs,
    pub(crate) search: SearchKnobs,
    pub(crate) misplacing: Misplacing,
    pub(crate) adaptation: Adaptation,
    /// Whether tasks that share memory form groups.
    pub(crate) groups: bool,
    /// Passes in which a task's private pages move at once.
    pub(crate) early_passes: u64,
    /// `ACTIVE_NODE_FRACTION`.
    pub(crate) active_node_fraction: u64,
    /// A scan delays the task's next one by its own time, so many times.
    pub(crate) scan_cost_factor: u64,
    /// Placement and the try to reach the preferred node wait for this at most.
    pub(crate) migrate_retry: Nanos,
    pub(crate) rate_limit: Option<RateLimit>,
    /// Memory tiering, if it is on.
    pub(crate) promotion: Option<Promotion>,
    /// Nodes slower than the fastest.
    pub(crate) slow_nodes: NodeMask,
    pub(crate) tick: Nanos,
}

impl Rules {
    /// Whether these are the rules of 2013.
    fn is_2013(&self) -> bool {
        self.search.search == Search::V3_13
    }

    /// Whether these are the rules of 2013 as they were merged.
    fn is_3_13(&self) -> bool {
        self.adaptation == Adaptation::ByLocality
    }
}

/// What is known of a task.
#[derive(Clone, Debug, Default)]
struct Task {
    /// CPU time at which its period last expired.
    node_stamp: Nanos,
    period: Nanos,
    scan_seq: u64,
    /// No placement before.
    migrate_retry: Nanos,
    preferred: Option<NodeId>,
    faults: TaskFaults,
    /// Whether it ever took a fault.
    has_faults: bool,
    group: Option<usize>,
    /// This pass's faults by locality.
    pass: PassFaults,
    /// CPU time and machine time of the last placement.
    placed: (Nanos, Nanos),
    /// Node it was last seen on.
    node: NodeId,
    /// A migration under way: counted when it has ended.
    pending: Option<Pending>,
    /// It should try to reach its preferred node.
    wants_move: bool,
    /// Shared faults that are not to migrate (3.13).
    deferred: u32,
    /// The load balancer has moved it off its preferred node since the last placement (3.13).
    displaced: bool,
}

/// A fault that migrates its page.
#[derive(Clone, Copy, Debug)]
struct Pending {
    fault: HintFault,
    last: Option<CpuPid>,
}

/// What is known of a process.
#[derive(Clone, Debug, Default)]
struct Space {
    next_scan: Nanos,
    next_reset: Nanos,
    progress: Progress,
}

/// The state of NUMA balancing.
#[derive(Debug)]
pub struct Core {
    rules: Rules,
    distances: Distances,
    tasks: TaskVec<Task>,
    spaces: MmVec<Space>,
    groups: Vec<Group>,
    walk: Option<Walk>,
}

impl Core {
    pub(crate) fn new(rules: Rules, machine: &Machine) -> Self {
        Self {
            rules,
            distances: Distances::new(machine),
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
            groups: Vec::new(),
            walk: None,
        }
    }

    fn nr_nodes(&self) -> usize {
        self.distances.matrix.0.len()
    }

    fn share_of(&self, task: TaskId) -> Option<GroupShare> {
        let group = self.tasks[task].group.filter(|_| !self.rules.is_2013());
        group.map(|group| self.groups[group].share())
    }

    fn scan_start(&self, cx: &Cx<'_>, task: TaskId, mm: MmId) -> Nanos {
        self.rules.period.scan_start(cx.rss(mm), self.share_of(task))
    }

    /// Notices that the load balancer has moved a task to another node: its period starts again,
    /// unless it came to its preferred node, or was not on it before. Not so in 2013 (that is of
    /// 4.19, "Reset scan rate whenever task moves across nodes"): 3.13 moves no memory to a node
    /// that the task does not prefer before its next placement.
    fn notice_node(&mut self, cx: &Cx<'_>, task: TaskId, mm: MmId) {
        let node = cx.node_of_task(task);
        let state = &mut self.tasks[task];
        let from = std::mem::replace(&mut state.node, node);
        if node == from || !state.has_faults {
            return;
        }
        if self.rules.is_2013() {
            state.displaced = state.preferred.is_some_and(|preferred| preferred != node);
            return;
        }
        let no_reset = state.scan_seq > 0
            && (state.preferred == Some(node)
                || state.preferred.is_some_and(|preferred| preferred != from));
        if !no_reset {
            self.tasks[task].period = self.scan_start(cx, task, mm);
        }
    }

    /// Moves a hot page up. Faults on pages that stay slow are in no statistics.
    fn promote(&mut self, fault: &HintFault, decision: &Decision, word: u32) -> Verdict {
        if decision.promote {
            self.tasks[fault.task].pending = Some(Pending { fault: *fault, last: None });
        }
        let migrate_to = decision.promote.then_some(fault.node);
        Verdict { word, migrate_to, candidate: decision.candidate }
    }

    fn should_migrate(&mut self, cx: &Cx<'_>, fault: &HintFault, last: Option<CpuPid>) -> bool {
        let state = &mut self.tasks[fault.task];
        let group = state.group.map(|group| &self.groups[group]);
        let question = Question {
            early: state.preferred.is_none() || state.scan_seq <= self.rules.early_passes,
            last: last.map(|last| (cx.node_of(last.cpu), last.matches(fault.task))),
            here: fault.node,
            group: group.map(|group| group.between(fault.node, fault.page_node)),
        };
        match self.rules.misplacing {
            Misplacing::TwoStage => question.last.is_some_and(|(node, _)| node == fault.node),
            Misplacing::Deferred(defer) => {
                let away = state.displaced && state.preferred != Some(fault.node);
                !away && should_migrate_3_13(&question, &mut state.deferred, defer)
            }
            Misplacing::ByGroup => should_migrate(&question, self.rules.active_node_fraction),
        }
    }

    fn room_for(&mut self, cx: &Cx<'_>, node: NodeId, pages: Pages) -> bool {
        cx.can_take(node, pages)
            && self.rules.rate_limit.as_mut().is_none_or(|limit| limit.admits(node, pages, cx.now))
    }

    /// Counts a fault whose page now is on `mem_node`, and every now and then places the task.
    fn account(&mut self, cx: &Cx<'_>, fault: &HintFault, last: Option<CpuPid>, mem_node: NodeId) {
        let task = fault.task;
        let mut private = last.is_none_or(|last| last.matches(task));
        if let Some(last) = last.filter(|_| !private && self.rules.groups) {
            private = self.join_group(cx, task, last);
        }
        let mut local = fault.page_node == fault.node;
        if let Some(group) = self.tasks[task].group
            && !private
            && !local
            && !self.rules.is_2013()
        {
            let group = &self.groups[group];
            let active = |node| group.is_active(node, self.rules.active_node_fraction);
            local = group.active_nodes > 1 && active(fault.node) && active(mem_node);
        }
        let state = &mut self.tasks[task];
        state.has_faults = true;
        if let Adaptation::PerFault { backoff, .. } = self.rules.adaptation
            && mem_node == fault.page_node
        {
            let max = self.rules.period.scan_max(cx.rss(fault.mm), None);
            state.period = (state.period + backoff).min(max);
        }
        if cx.now > state.migrate_retry {
            self.place(cx, task);
            self.try_preferred(cx, task);
        } else if self.rules.is_2013() {
            self.place(cx, task);
        }
        let state = &mut self.tasks[task];
        state.faults.count(mem_node, fault.node, private, fault.pages.0);
        *(if local { &mut state.pass.local } else { &mut state.pass.remote }) += fault.pages.0;
    }

    /// A fault on a page that another task used: both may be of one group. Returns whether the
    /// fault counts as private after all.
    fn join_group(&mut self, cx: &Cx<'_>, task: TaskId, last: CpuPid) -> bool {
        if self.tasks[task].group.is_none() {
            self.tasks[task].group = Some(self.groups.len());
            self.groups.push(Group::of_one(self.tasks[task].faults.sums.clone()));
        }
        let member = |task: TaskId| Member { group: self.tasks[task].group, mm: cx.tasks[task].mm };
        let other = cx.sched.current(last.cpu).filter(|other| last.matches(*other));
        match join(&self.groups, member(task), other.map(member)) {
            Join::Stay => false,
            Join::FalseMatch => true,
            Join::To(to) => {
                let none = Faults::new(self.nr_nodes());
                let state = &mut self.tasks[task];
                if let Some(from) = state.group.replace(to) {
                    self.groups[from].faults.change(&state.faults.sums, &none);
                    self.groups[from].nr_tasks -= 1;
                }
                self.groups[to].faults.change(&none, &state.faults.sums);
                self.groups[to].nr_tasks += 1;
                false
            }
        }
    }

    /// After a finished pass: halve and add the statistics, choose the preferred node, adapt the
    /// period.
    fn place(&mut self, cx: &Cx<'_>, task: TaskId) {
        let Some(mm) = cx.tasks[task].mm else { return };
        let seq = self.spaces[mm].progress.scan_seq;
        let state = &mut self.tasks[task];
        if state.scan_seq == seq {
            return;
        }
        state.scan_seq = seq;
        state.displaced = false;
        let runtime = cx.tasks[task].cpu_time.saturating_sub(state.placed.0);
        let walltime = cx.now.saturating_sub(state.placed.1);
        state.placed = (cx.tasks[task].cpu_time, cx.now);
        let before = state.faults.sums.clone();
        let counted = state.pass.local + state.pass.remote;
        let kinds = state.faults.fold(runtime.0, walltime.0, counted);
        if let Some(group) = state.group {
            let group = &mut self.groups[group];
            group.faults.change(&before, &self.tasks[task].faults.sums);
            group.count_active_nodes(self.rules.active_node_fraction);
        }
        if let Some(node) = self.best_node(task) {
            let old = self.tasks[task].preferred.replace(node);
            if self.rules.is_2013() && old != Some(node) {
                self.try_preferred(cx, task);
            }
        }
        self.adapt_period(cx, task, mm, kinds);
    }

    /// The node with most faults of the group, or of the task alone; `None` without any.
    fn best_node(&self, task: TaskId) -> Option<NodeId> {
        let own = &self.tasks[task].faults.sums;
        let nodes = || self.distances.matrix.0.ids();
        if let Adaptation::PerFault { .. } = self.rules.adaptation {
            // July 2013: private faults alone choose.
            let node = first_max(nodes(), |node| own.mem[node][PRIVATE])?;
            return (own.mem[node][PRIVATE] > 0).then(|| self.with_cpus(node));
        }
        let most = |faults: &Faults| {
            let node = first_max(nodes(), |node| faults.mem_of(node))?;
            (faults.mem_of(node) > 0).then_some(node)
        };
        let Some(group) = self.tasks[task].group else {
            return most(own).map(|node| self.with_cpus(node));
        };
        let group = &self.groups[group].faults;
        let best = self.with_cpus(most(group)?);
        if self.rules.is_2013() {
            // Where task and group disagree, the sum of both shares decides.
            let share = |faults: &Faults, node| faults.mem_of(node) * 1000 / faults.total.max(1);
            return match most(own) {
                Some(node) if node != best => first_max(self.distances.cpu_nodes.iter(), |node| {
                    share(own, node) + share(group, node)
                }),
                _ => Some(best),
            };
        }
        Some(self.distances.preferred_group_node(best, |node| group.mem_of(node)))
    }

    /// The node itself, or the nearest one that has CPUs.
    fn with_cpus(&self, node: NodeId) -> NodeId {
        let cpu_nodes = self.distances.cpu_nodes;
        if cpu_nodes.contains(node) {
            return node;
        }
        let nearest =
            cpu_nodes.iter().min_by_key(|other| (self.distances.matrix[(node, *other)], *other));
        nearest.unwrap_or(node)
    }

    fn adapt_period(&mut self, cx: &Cx<'_>, task: TaskId, mm: MmId, kinds: [u64; 2]) {
        let share = self.share_of(task);
        let rss = cx.rss(mm);
        let (min, max) = (self.rules.period.scan_min(rss), self.rules.period.scan_max(rss, share));
        let state = &mut self.tasks[task];
        let pass = PassFaults {
            shared: kinds[SHARED],
            private: kinds[PRIVATE],
            ..std::mem::take(&mut state.pass)
        };
        let adapted = match self.rules.adaptation {
            Adaptation::PerFault { .. } => return,
            Adaptation::ByLocality => adapt_3_13(state.period, &pass, min, max),
            Adaptation::ByLocalityAndSharing => adapt(state.period, &pass, min, max),
        };
        match adapted {
            Adapted::BackOff(period) => {
                state.period = period;
                self.spaces[mm].next_scan = cx.now + period;
            }
            Adapted::To(period) => state.period = period,
        }
    }

    /// Lets the task try to get to its preferred node, not too often.
    fn try_preferred(&mut self, cx: &Cx<'_>, task: TaskId) {
        let retry = self.rules.migrate_retry;
        let is_2013 = self.rules.is_2013();
        let state = &mut self.tasks[task];
        let Some(preferred) = state.preferred else { return };
        let wait = if is_2013 { retry } else { retry.min(Nanos(state.period.0 / 16)) };
        state.migrate_retry = cx.now + wait;
        state.wants_move = cx.node_of_task(task) != preferred;
    }
}

#[cfg(test)]
mod tests;
