//! Where a task that is not on its preferred node should go: the search for a CPU or a partner.
//!
//! `task_numa_migrate`, `task_numa_find_cpu` and `task_numa_compare` of `kernel/sched/fair.c`. Load
//! is the weight of runnable tasks, as [`sched::Sched`] keeps it; capacity is equal for all CPUs.
//! Left out: the flag that keeps two searches from the same CPU at the same time (here nothing
//! happens at the same time), and the kernel's preference for an idle core among idle CPUs of the
//! last-level cache.

use base::{CpuId, NodeId, TaskId};

use crate::{Cx, Move};

/// Which search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Sum of gains above 0 is enough; plain moves only to an idle CPU (3.13).
    V3_13,
    /// Hysteresis of 30 in 1000, spare capacity first, partners by their preferences (6.x).
    V6,
}

/// What the search asks about tasks.
pub(crate) trait Weigh {
    /// A task's group; tasks without are equal to each other.
    fn group(&self, task: TaskId) -> Option<usize>;
    /// Its preferred node.
    fn preferred(&self, task: TaskId) -> Option<NodeId>;
    /// Share of its own faults on a node, in 1/1000; `dist` is between the nodes compared.
    fn task_weight(&self, task: TaskId, node: NodeId, dist: u8) -> i64;
    /// Share of its group's faults; 0 without group.
    fn group_weight(&self, task: TaskId, node: NodeId, dist: u8) -> i64;
    /// Nodes its group is active on.
    fn active_nodes(&self, task: TaskId) -> u32;
}

/// Constants of the search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SearchKnobs {
    pub(crate) search: Search,
    /// `imbalance_pct` of the lowest domain between nodes.
    pub(crate) imbalance_pct: u64,
    /// Least gain of a swap (`SMALLIMP`).
    pub(crate) small_imp: i64,
}

/// Loads and counts of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeStats {
    pub(crate) nr_cpus: u64,
    pub(crate) nr_running: u64,
    pub(crate) nr_busy: u64,
    pub(crate) load: u64,
    pub(crate) idle: Option<CpuId>,
}

/// How busy a node is (`numa_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeType {
    HasSpare,
    FullyBusy,
    Overloaded,
}

impl NodeStats {
    fn of(cx: &Cx<'_>, node: NodeId, task: TaskId) -> Self {
        let cpus = cx.sched.node_cpus(node);
        let idle = cx.sched.idle_cpus(node).find(|cpu| cx.sched.allowed(task, *cpu));
        Self {
            nr_cpus: cpus.len() as u64,
            nr_running: u64::from(cx.sched.node_nr_running(node)),
            nr_busy: (cpus.len() - cx.sched.node_nr_idle(node) as usize) as u64,
            load: cx.sched.node_load(node),
            idle,
        }
    }

    /// Utilisation is the CPUs that run something, and what is runnable the tasks.
    fn kind(&self, pct: u64) -> NodeType {
        let (cap, run) = (self.nr_cpus, self.nr_running);
        if run > cap && (cap * 100 < self.nr_busy * pct || cap * pct < run * 100) {
            NodeType::Overloaded
        } else if run < cap || (cap * 100 > self.nr_busy * pct && cap * pct > run * 100) {
            NodeType::HasSpare
        } else {
            NodeType::FullyBusy
        }
    }
}

/// A search under way.
struct Env<'a, 'c, W> {
    cx: &'a Cx<'c>,
    weigh: &'a W,
    knobs: &'a SearchKnobs,
    task: TaskId,
    src_cpu: CpuId,
    src: NodeId,
    src_stats: NodeStats,
    dst: NodeId,
    dst_stats: NodeStats,
    dist: u8,
    best: Option<Best>,
}

/// The best place so far; `partner` runs there and would come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Best {
    cpu: CpuId,
    partner: Option<TaskId>,
    imp: i64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundPlace {
    pub(crate) node: NodeId,
    pub(crate) how: Move,
}

/// Searches for a place for `task` on its `preferred` node, then on others.
pub(crate) fn find_place<W: Weigh>(
    cx: &Cx<'_>,
    weigh: &W,
    knobs: &SearchKnobs,
    task: TaskId,
    preferred: NodeId,
) -> Option<FoundPlace> {
    let src_cpu = cx.sched.cpu_of(task);
    let src = cx.node_of(src_cpu);
    let mut env = Env {
        cx,
        weigh,
        knobs,
        task,
        src_cpu,
        src,
        src_stats: NodeStats::of(cx, src, task),
        dst: preferred,
        dst_stats: NodeStats::of(cx, preferred, task),
        dist: cx.machine.distances[(src, preferred)],
        best: None,
    };
    env.find_cpu();
    let spans =
        knobs.search == Search::V6 && weigh.group(task).is_some() && weigh.active_nodes(task) > 1;
    if env.best.is_none() || spans {
        for node in cx.machine.cpu_nodes().iter() {
            if node == src || node == preferred {
                continue;
            }
            env.dst = node;
            env.dist = cx.machine.distances[(src, node)];
            let (taskimp, groupimp) = env.gains();
            if taskimp < 0 && groupimp < 0 {
                continue;
            }
            env.dst_stats = NodeStats::of(cx, node, task);
            env.find_cpu();
        }
    }
    env.best.map(|best| FoundPlace {
        node: cx.node_of(best.cpu),
        how: best.partner.map_or(Move::To(best.cpu), Move::Swap),
    })
}

impl<W: Weigh> Env<'_, '_, W> {
    /// What the task and its group would gain at the destination.
    fn gains(&self) -> (i64, i64) {
        let gain = |weight: &dyn Fn(NodeId) -> i64| weight(self.dst) - weight(self.src);
        (
            gain(&|node| self.weigh.task_weight(self.task, node, self.dist)),
            gain(&|node| self.weigh.group_weight(self.task, node, self.dist)),
        )
    }

    fn best_imp(&self) -> i64 {
        self.best.map_or(0, |best| best.imp)
    }

    fn assign(&mut self, cpu: CpuId, partner: Option<TaskId>, imp: i64) {
        self.best = Some(Best { cpu, partner, imp });
    }

    fn find_cpu(&mut self) {
        let (taskimp, groupimp) = self.gains();
        let may_move = match self.knobs.search {
            Search::V3_13 => self.move_fits(),
            Search::V6 if self.dst_kind() == NodeType::HasSpare => {
                if self.spare_is_balanced() {
                    if let Some(idle) = self.dst_stats.idle {
                        self.assign(idle, None, 0);
                        return;
                    }
                    true
                } else {
                    false
                }
            }
            Search::V6 => self.move_fits(),
        };
        for cpu in self.cx.sched.node_cpus(self.dst).to_vec() {
            if !self.cx.sched.allowed(self.task, cpu) {
                continue;
            }
            let stop = match self.knobs.search {
                Search::V3_13 => self.compare_3_13(cpu, taskimp, groupimp),
                Search::V6 => self.compare(cpu, taskimp, groupimp, may_move),
            };
            if stop {
                break;
            }
        }
    }

    fn dst_kind(&self) -> NodeType {
        self.dst_stats.kind(self.knobs.imbalance_pct)
    }

    /// Whether the node with spare CPUs may take one more: evened out, or within the imbalance
    /// that is allowed between nodes.
    fn spare_is_balanced(&self) -> bool {
        let dst = self.dst_stats.nr_running + 1;
        let imbalance = dst.saturating_sub(self.src_stats.nr_running.saturating_sub(1));
        let allowed = (self.dst_stats.nr_cpus / 8).max(1);
        imbalance == 0 || dst <= allowed && imbalance <= 2
    }

    fn move_fits(&self) -> bool {
        !self.too_imbalanced(self.cx.sched.weight(self.task) as i64)
    }

    /// Whether `moved` load going from source to destination makes their difference larger.
    fn too_imbalanced(&self, moved: i64) -> bool {
        let (src, dst) = (self.src_stats.load as i64, self.dst_stats.load as i64);
        let (src_cap, dst_cap) = (self.src_stats.nr_cpus as i64, self.dst_stats.nr_cpus as i64);
        let imbalance = |src: i64, dst: i64| (dst * src_cap - src * dst_cap).abs();
        imbalance(src - moved, dst + moved) > imbalance(src, dst)
    }

    /// The user task that runs on `cpu`.
    fn current(&self, cpu: CpuId) -> Option<TaskId> {
        self.cx.sched.current(cpu).or_else(|| self.cx.sched.tasks_on(cpu).next())
    }

    fn prefers_src(&self, task: TaskId) -> bool {
        self.weigh.preferred(task) == Some(self.src)
    }

    /// Gain of swapping with `cur`, before hysteresis of preferences.
    fn swap_gain(&self, cur: TaskId, taskimp: i64, groupimp: i64) -> i64 {
        let (own, other) = (self.weigh.group(self.task), self.weigh.group(cur));
        let task_gain = self.weigh.task_weight(cur, self.src, self.dist)
            - self.weigh.task_weight(cur, self.dst, self.dist);
        if own == other {
            let imp = taskimp + task_gain;
            // Within a group tiny differences are not worth a swap.
            return if own.is_some() { imp - imp / 16 } else { imp };
        }
        let by_group = match self.knobs.search {
            Search::V3_13 => other.is_some(),
            Search::V6 => own.is_some() && other.is_some(),
        };
        let base = if own.is_some() { groupimp } else { taskimp };
        base + if by_group {
            self.weigh.group_weight(cur, self.src, self.dist)
                - self.weigh.group_weight(cur, self.dst, self.dist)
        } else {
            task_gain
        }
    }

    /// Looks at one CPU by the rules of 6.x; returns whether the search may stop.
    fn compare(&mut self, cpu: CpuId, taskimp: i64, groupimp: i64, may_move: bool) -> bool {
        let move_imp = if self.weigh.group(self.task).is_some() { groupimp } else { taskimp };
        let Some(cur) = self.current(cpu) else {
            if may_move && move_imp >= self.best_imp() {
                self.assign(cpu, None, move_imp);
                return true;
            }
            return false;
        };
        if cur == self.task {
            return true;
        }
        let best_prefers =
            self.best.and_then(|best| best.partner).map(|best| self.prefers_src(best));
        let cur_prefers = self.prefers_src(cur);
        let same_group = self.weigh.group(cur) == self.weigh.group(self.task);
        if !self.is_partner(cur)
            || best_prefers == Some(true) && !cur_prefers
            || same_group && self.dst_kind() == NodeType::HasSpare
        {
            return false;
        }
        let mut imp = self.swap_gain(cur, taskimp, groupimp);
        if self.weigh.preferred(cur) == Some(self.dst) {
            imp -= imp / 16;
        }
        if cur_prefers {
            imp += imp / 8;
        }
        if may_move && move_imp > imp && move_imp > self.best_imp() {
            self.assign(cpu, None, move_imp);
            return self.cx.sched.is_idle(cpu);
        }
        let better_partner = cur_prefers && best_prefers == Some(false);
        if !better_partner {
            let small = self.knobs.small_imp;
            if imp < small || imp <= self.best_imp() + small / 2 {
                return false;
            }
            let moved =
                i64::from(self.cx.sched.weight(self.task)) - i64::from(self.cx.sched.weight(cur));
            if moved != 0 && self.too_imbalanced(moved) {
                return false;
            }
        }
        self.assign(cpu, Some(cur), imp);
        !may_move && cur_prefers
    }

    /// Looks at one CPU by the rules of 3.13; never stops the search.
    fn compare_3_13(&mut self, cpu: CpuId, taskimp: i64, groupimp: i64) -> bool {
        let cur = self.current(cpu);
        let own = self.weigh.group(self.task);
        let imp = match cur {
            Some(cur) if cur == self.task || !self.is_partner(cur) => return false,
            Some(cur) => self.swap_gain(cur, taskimp, groupimp),
            None if own.is_some() => groupimp,
            None => taskimp,
        };
        if imp <= self.best_imp() {
            return false;
        }
        let has_capacity = |stats: &NodeStats| stats.nr_running < stats.nr_cpus;
        if cur.is_none() && has_capacity(&self.src_stats) && !has_capacity(&self.dst_stats) {
            return false;
        }
        let weight = |task| i64::from(self.cx.sched.weight(task));
        let moved = weight(self.task) - cur.map_or(0, weight);
        let one_each =
            self.cx.sched.nr_running(self.src_cpu) == 1 && self.cx.sched.nr_running(cpu) == 1;
        if !one_each && self.exceeds_pct(moved) {
            return false;
        }
        self.assign(cpu, cur, imp);
        false
    }

    /// Whether the loads would differ by more than the domain allows.
    fn exceeds_pct(&self, moved: i64) -> bool {
        let src = (self.src_stats.load as i64 - moved) * self.dst_stats.nr_cpus as i64;
        let dst = (self.dst_stats.load as i64 + moved) * self.src_stats.nr_cpus as i64;
        let pct = self.knobs.imbalance_pct as i64;
        src.max(dst) * 100 > src.min(dst) * pct && self.too_imbalanced(moved)
    }

    fn is_partner(&self, cur: TaskId) -> bool {
        self.cx.tasks[cur].mm.is_some() && self.cx.sched.allowed(cur, self.src_cpu)
    }
}

#[cfg(test)]
mod tests;
