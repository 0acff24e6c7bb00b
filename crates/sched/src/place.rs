//! Placement: which CPU a forked or woken task goes to.

use base::{CpuId, NodeId, Rng, TaskId};
use topology::Cpu;

use crate::domain::Level;
use crate::knobs::ImbNumaNr;
use crate::sched::Sched;

/// A node may have this much of the idlest other node's load, in percent, before a child leaves its
/// parent's: half of what the `imbalance_pct` of NUMA levels, 125, is above 100.
const FORK_MARGIN_PCT: u64 = 112;

impl Sched {
    /// The CPU for a program that starts: the idlest group top-down: node, last-level cache, core,
    /// CPU, each with the fewest runnable tasks per CPU, ties at random, since where the shell ran
    /// that starts it is luck. Nodes beyond `reclaim_distance` of `near` are left out unless affinity
    /// demands them. Enqueue the task before the next one is placed.
    pub fn select_cpu_exec(&self, task: TaskId, near: CpuId, rng: &mut Rng) -> CpuId {
        let cpus = self.within_reach(task, near);
        let cpus = self.idlest_group(cpus, |cpu| u32::from(cpu.node.0), rng);
        self.idlest_of_node(cpus, rng).unwrap_or(near)
    }

    /// The CPU for a forked task: as for a program that starts, but the node follows from the
    /// parent's, which the parent still runs on (`fork_node`). A full load gives each node its
    /// share of the threads, a half load half of it. Enqueue the task before the next one is placed.
    pub fn select_cpu_fork(&self, task: TaskId, parent_cpu: CpuId, rng: &mut Rng) -> CpuId {
        let home = self.cpus[parent_cpu].node;
        let mut cpus = self.within_reach(task, parent_cpu);
        let node = if self.stays_home(task, parent_cpu) {
            Some(home)
        } else {
            self.fork_node(&cpus, home)
        };
        cpus.retain(|cpu| Some(self.cpus[*cpu].node) == node);
        self.idlest_of_node(cpus, rng).unwrap_or(parent_cpu)
    }

    /// Where `task` may run, without nodes beyond `reclaim_distance` of `near` if others are left.
    fn within_reach(&self, task: TaskId, near: CpuId) -> Vec<CpuId> {
        let home = self.cpus[near].node;
        let allowed: Vec<CpuId> = self.tasks.affinity[task].iter().collect();
        let reaches = |cpu: &CpuId| {
            let node = self.cpus[*cpu].node;
            node == home || self.distances[(home, node)] <= self.knobs.reclaim_distance
        };
        let reached: Vec<CpuId> = allowed.iter().copied().filter(reaches).collect();
        if reached.is_empty() { allowed } else { reached }
    }

    /// The node of `cpus` for a child of a task that runs on `home` (`find_idlest_group` at NUMA
    /// levels): the one with the fewest runnable tasks per CPU, among equals the first after `home`
    /// in the order of numbers; but `home` unless it is clearly busier. Up to 5.17 that is by half of
    /// the level's `imbalance_pct` of 125; later any difference (there in idle CPUs) decides.
    fn fork_node(&self, cpus: &[CpuId], home: NodeId) -> Option<NodeId> {
        let nr_nodes = self.node_cpus.len();
        // Tasks and CPUs; cross-multiplied, so that no quotient is rounded.
        let load_of = |node: NodeId| {
            let on_node = cpus.iter().filter(|cpu| self.cpus[**cpu].node == node);
            on_node.fold((0, 0), |(nr, len), cpu| (nr + u64::from(self.nr_running[*cpu]), len + 1))
        };
        let others = (1..nr_nodes).map(|step| NodeId::from_idx((home.idx() + step) % nr_nodes));
        let others = others.map(|node| (node, load_of(node))).filter(|(_, (_, len))| *len > 0);
        let idlest = others.reduce(|best, other| {
            let ((nr, len), (best_nr, best_len)) = (other.1, best.1);
            if nr * best_len < best_nr * len { other } else { best }
        });
        let (home_nr, home_len) = load_of(home);
        let Some((node, (nr, len))) = idlest else { return (home_len > 0).then_some(home) };
        let (home_load, least) = (home_nr * len, nr * home_len);
        let stays = home_len > 0
            && match self.knobs.imb_numa_nr {
                ImbNumaNr::Fixed(_) => 100 * home_load < FORK_MARGIN_PCT * least,
                ImbNumaNr::Derived => home_load <= least,
            };
        Some(if stays { home } else { node })
    }

    /// The idlest CPU of the idlest core of the idlest cache of a node's `cpus`.
    fn idlest_of_node(&self, mut cpus: Vec<CpuId>, rng: &mut Rng) -> Option<CpuId> {
        cpus = self.idlest_group(cpus, |cpu| u32::from(cpu.llc), rng);
        cpus = self.idlest_group(cpus, |cpu| u32::from(cpu.core), rng);
        self.idlest_cpu(&cpus, rng)
    }

    /// The CPU for a waking task. `waker_cpu` is where the wake-up happens (the task's own CPU
    /// for a timer or a device); `sync` says that the waker is about to sleep.
    ///
    /// Chooses between the waker's and the previous CPU (wake-affine, by idleness, then by load),
    /// then looks for an idle core, then for an idle CPU, that shares its last-level cache.
    pub fn select_cpu_wakeup(&self, task: TaskId, waker_cpu: CpuId, sync: Sync) -> CpuId {
        let prev = self.tasks.cpu[task];
        let target = if !self.allowed(task, prev) {
            self.nearest_allowed(task, prev)
        } else if self.allowed(task, waker_cpu) && self.wake_affine_reaches(waker_cpu, prev) {
            self.wake_affine(task, waker_cpu, prev, sync)
        } else {
            prev
        };
        self.idle_sibling(task, prev, target)
    }

    /// A CPU that `task` may run on, close to `from`: idle on the same node, any on the same node,
    /// idle anywhere, any; the nearest node first.
    pub(crate) fn nearest_allowed(&self, task: TaskId, from: CpuId) -> CpuId {
        let home = self.cpus[from].node;
        let cost = |cpu: &CpuId| {
            let node = self.cpus[*cpu].node;
            (node != home, self.nr_running[*cpu] > 0, self.distances[(home, node)], *cpu)
        };
        self.tasks.affinity[task].iter().min_by_key(cost).unwrap_or(from)
    }

    /// Where nodes may differ a little, a child stays on its parent's node while that runs few
    /// tasks.
    fn stays_home(&self, task: TaskId, parent_cpu: CpuId) -> bool {
        let home = self.cpus[parent_cpu].node;
        let numa = self.domains.of_cpu[parent_cpu]
            .iter()
            .map(|balance| &self.domains.all[balance.domain])
            .find(|domain| domain.level.is_numa());
        numa.is_some_and(|domain| {
            self.node_nr_running[home] < domain.imb_numa_nr
                && self.idle_cpus(home).any(|cpu| self.allowed(task, cpu))
        })
    }

    /// Those of `cpus` that belong to the group with the fewest runnable tasks per CPU.
    fn idlest_group(
        &self,
        mut cpus: Vec<CpuId>,
        key: fn(&Cpu) -> u32,
        rng: &mut Rng,
    ) -> Vec<CpuId> {
        let key_of = |cpu: &CpuId| key(&self.cpus[*cpu]);
        cpus.sort_by_key(key_of);
        let mut best: &[CpuId] = &[];
        let mut best_load = (u64::MAX, 1);
        let mut nr_ties = 0;
        for group in cpus.chunk_by(|a, b| key_of(a) == key_of(b)) {
            let nr: u64 = group.iter().map(|cpu| u64::from(self.nr_running[*cpu])).sum();
            let load = (nr, group.len() as u64);
            let order = (u128::from(load.0) * u128::from(best_load.1))
                .cmp(&(u128::from(best_load.0) * u128::from(load.1)));
            nr_ties = if order.is_lt() { 1 } else { nr_ties + u64::from(order.is_eq()) };
            if order.is_lt() || (order.is_eq() && rng.below(nr_ties) == 0) {
                (best, best_load) = (group, load);
            }
        }
        best.to_vec()
    }

    fn idlest_cpu(&self, cpus: &[CpuId], rng: &mut Rng) -> Option<CpuId> {
        let least = cpus.iter().map(|cpu| self.nr_running[*cpu]).min()?;
        let ties: Vec<CpuId> =
            cpus.iter().copied().filter(|cpu| self.nr_running[*cpu] == least).collect();
        Some(ties[rng.below(ties.len() as u64) as usize])
    }

    fn wake_affine_reaches(&self, a: CpuId, b: CpuId) -> bool {
        let (a, b) = (self.cpus[a].node, self.cpus[b].node);
        a == b || self.distances[(a, b)] <= self.knobs.reclaim_distance
    }

    fn wake_affine(&self, task: TaskId, waker: CpuId, prev: CpuId, sync: Sync) -> CpuId {
        if waker == prev {
            return prev;
        }
        let same_llc = self.cpus[waker].llc == self.cpus[prev].llc;
        if self.is_idle(waker) && same_llc {
            return if self.is_idle(prev) { prev } else { waker };
        }
        if sync == Sync::WakerSleeps && self.nr_running[waker] == 1 {
            return waker;
        }
        if self.is_idle(prev) {
            return prev;
        }
        let weight = u64::from(self.tasks.weight[task]);
        let mut waker_load = self.load[waker] + weight;
        if let (Sync::WakerSleeps, Some(current)) = (sync, self.rqs[waker].current) {
            waker_load = waker_load.saturating_sub(u64::from(self.tasks.weight[current]));
        }
        let margin = 100 + u64::from(self.knobs.imbalance_pct.saturating_sub(100)) / 2;
        if waker_load * 100 < self.load[prev] * margin { waker } else { prev }
    }

    /// The target if it idles, else the previous CPU if it idles in the same cache, else an idle
    /// core, else an idle CPU of the cache (from the target upwards, wrapping), else the target.
    pub(crate) fn idle_sibling(&self, task: TaskId, prev: CpuId, target: CpuId) -> CpuId {
        if self.is_idle(target) {
            return target;
        }
        let llc = self.cpus[target].llc;
        if prev != target
            && self.cpus[prev].llc == llc
            && self.is_idle(prev)
            && self.allowed(task, prev)
        {
            return prev;
        }
        let node = &self.node_cpus[self.cpus[target].node];
        let start = node.partition_point(|cpu| *cpu < target);
        let in_llc = |cpu: &CpuId| {
            self.cpus[*cpu].llc == llc && self.is_idle(*cpu) && self.allowed(task, *cpu)
        };
        let mut first_idle = None;
        for cpu in node[start..].iter().chain(&node[..start]).copied().filter(in_llc) {
            if self.core_is_idle(cpu) {
                return cpu;
            }
            first_idle = first_idle.or(Some(cpu));
        }
        first_idle.unwrap_or(target)
    }

    /// Whether no SMT sibling of `cpu`, nor itself, has a runnable task.
    pub(crate) fn core_is_idle(&self, cpu: CpuId) -> bool {
        let smt = self.domains.of_cpu[cpu]
            .first()
            .map(|lowest| &self.domains.all[lowest.domain])
            .filter(|domain| domain.level == Level::Smt);
        match smt {
            Some(core) => core.span.iter().all(|sibling| self.is_idle(*sibling)),
            None => self.is_idle(cpu),
        }
    }
}

/// What the waker does after a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It goes on running.
    WakerRuns,
    /// It is about to sleep, so its CPU comes free.
    WakerSleeps,
}
