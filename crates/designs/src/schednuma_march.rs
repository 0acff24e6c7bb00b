//! sched/numa, first form: every process has a home node.
//!
//! Peter Zijlstra, "sched/numa", March-July 2012; not merged. Described in the posting of
//! 2012-03-16 and in its `kernel/sched/numa.c`.
//!
//! Modelled: choice of the home at the start of a process; a daemon for each node that takes over
//! processes from overcommitted nodes; lazy migration of a process that changed its home; memory
//! from the home node; the scheduler's pull. With `numa_tbind`, a group that the workload declares
//! is an entity of its own, as if the program had called `numa_tbind` and `numa_mbind`.
//!
//! Left out: the bias of wake-ups, off by default; averaging of node loads.

use base::{CpuId, MmId, Nanos, NodeId, NodeVec, Pages, TaskId, TaskVec};
use config::Described;
use mm::{Mempolicy, ScanPlan, ScanRules, Watermark};
use sched::Permit;
use topology::Machine;

use crate::hometask::{permit, way_home};
use crate::{
    AllocRequest, Cx, Design, HintFault, Kthread, KthreadWork, Move, Placement, Placing, Verdict,
};

config::config! {
    /// Constants of sched/numa as first posted.
    pub struct Knobs {
        /// Time between two passes of a node's daemon.
        #[check(config::positive)]
        pub numa_balance_interval: Nanos = Nanos::from_secs(2),
        /// A home is changed at the start only for a node so much less loaded, in percent.
        pub home_hysteresis_pct: u32 = 110,
        /// CPU time of its threads before a process is moved.
        pub min_runtime: Nanos = Nanos::from_secs(1),
        /// Whether programs bind the groups of threads that the workload declares.
        pub numa_tbind: bool = false,
        /// Time between two tries of a running task to get home (load balancing of its CPU).
        pub pull_interval: Nanos = Nanos::from_ms(64),
    }
}

/// A process, or a group the workload declares.
#[derive(Clone, Debug)]
struct Entity {
    key: Key,
    home: NodeId,
    tasks: Vec<TaskId>,
    mm: MmId,
    /// Its memory is to be made inaccessible, so that it follows.
    lazy: bool,
}

/// What makes tasks one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Mm(MmId),
    Group(u16),
}

/// State of sched/numa.
#[derive(Debug)]
pub struct SchednumaMarch {
    knobs: Knobs,
    entities: Vec<Entity>,
    entity_of: TaskVec<Option<usize>>,
    next_pull: TaskVec<Nanos>,
    /// Allocations that wanted a node and went elsewhere, since its daemon last looked.
    foreign: NodeVec<u64>,
    /// Whether a node's daemon has slept since it last balanced.
    rested: NodeVec<bool>,
    /// Running mean of the largest memory load, which no node is pushed above.
    max_mem: u64,
}

/// Loads of a home node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    cpu: u64,
    /// Part of `cpu` that runs elsewhere.
    remote_cpu: u64,
    pages: u64,
    remote_mem: u64,
}

/// What of a busy node should go to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Imbalance {
    busy: NodeId,
    cpu: i64,
    mem: i64,
}

/// Which node `to` should relieve, and by how much.
///
/// The node with most load running elsewhere competes with the one with most allocations served
/// elsewhere; the one farther above its average wins.
fn imbalance(loads: &NodeVec<Load>, to: NodeId) -> Option<Imbalance> {
    if loads[to].remote_mem > 0 {
        return None;
    }
    let busiest = |key: fn(&Load) -> u64| {
        let others = loads.ids().filter(|node| *node != to && key(&loads[*node]) > 0);
        others.max_by_key(|node| (key(&loads[*node]), std::cmp::Reverse(*node)))
    };
    let by_cpu = busiest(|load| load.remote_cpu);
    let by_mem = busiest(|load| load.remote_mem);
    let busy = match (by_cpu, by_mem) {
        (Some(cpu), Some(mem)) => {
            let sum = |key: fn(&Load) -> u64| u128::from(loads.iter().map(key).sum::<u64>());
            let cpu_side = u128::from(loads[cpu].remote_cpu) * sum(|load| load.remote_mem);
            let mem_side = u128::from(loads[mem].remote_mem) * sum(|load| load.remote_cpu);
            if cpu_side >= mem_side { cpu } else { mem }
        }
        (one, other) => one.or(other)?,
    };
    let half = |key: fn(&Load) -> u64| (key(&loads[busy]) as i64 - key(&loads[to]) as i64) / 2;
    Some(Imbalance { busy, cpu: half(|load| load.cpu), mem: half(|load| load.pages) })
}

impl SchednumaMarch {
    fn home_of(&self, task: TaskId) -> Option<NodeId> {
        let entity = (*self.entity_of.0.get(task.idx())?)?;
        Some(self.entities[entity].home)
    }

    fn loads(&self, cx: &Cx<'_>) -> NodeVec<Load> {
        let mut loads = NodeVec::filled(Load::default(), cx.machine.nodes.len());
        for entity in &self.entities {
            let load = &mut loads[entity.home];
            for task in entity.tasks.iter().copied().filter(|task| cx.tasks[*task].alive) {
                let weight = u64::from(cx.sched.weight(task));
                load.cpu += weight;
                load.remote_cpu += if cx.node_of_task(task) == entity.home { 0 } else { weight };
            }
        }
        for space in cx.spaces.ids() {
            let resident = cx.memory.resident_by_node(space);
            loads.ids().for_each(|node| loads[node].pages += resident[node]);
        }
        loads.ids().for_each(|node| loads[node].remote_mem = self.foreign[node]);
        loads
    }

    /// The least loaded node without allocations that had to go elsewhere; the current node unless
    /// it is clearly more loaded.
    fn choose_home(&self, cx: &Cx<'_>, current: NodeId) -> NodeId {
        let loads = self.loads(cx);
        let load = |node: NodeId| cx.sched.node_load(node) + loads[node].remote_cpu;
        let free = cx.machine.cpu_nodes().iter().filter(|node| loads[*node].remote_mem == 0);
        let Some(best) = free.min_by_key(|node| (load(*node), *node)) else { return current };
        let pct = u64::from(self.knobs.home_hysteresis_pct);
        if load(current) * 100 >= load(best) * pct && load(current) > load(best) {
            best
        } else {
            current
        }
    }

    /// One pass of the daemon of `to`: takes over entities from a busy node.
    fn balance(&mut self, cx: &Cx<'_>, to: NodeId) {
        let loads = self.loads(cx);
        let largest = loads.iter().map(|load| load.pages).max().unwrap_or(0);
        self.max_mem = (self.max_mem + largest) / 2;
        self.foreign[to] = 0;
        let Some(imbalance) = imbalance(&loads, to) else { return };
        let (mut cpu_moved, mut mem_moved) = (0i64, 0i64);
        for entity in &mut self.entities {
            if cpu_moved >= imbalance.cpu && mem_moved >= imbalance.mem {
                break;
            }
            let alive = || entity.tasks.iter().copied().filter(|task| cx.tasks[*task].alive);
            let cpu: i64 = alive().map(|task| i64::from(cx.sched.weight(task))).sum();
            let mem = cx.rss(entity.mm).0 as i64;
            let runtime: Nanos = alive().map(|task| cx.tasks[task].cpu_time).sum();
            let fits = imbalance.cpu - cpu_moved >= cpu / 2
                && loads[to].pages as i64 + mem_moved + mem <= self.max_mem as i64;
            let may_run = alive()
                .all(|task| cx.sched.node_cpus(to).iter().any(|c| cx.sched.allowed(task, *c)));
            if entity.home == imbalance.busy
                && fits
                && may_run
                && cpu > 0
                && runtime > self.knobs.min_runtime
            {
                entity.home = to;
                entity.lazy = true;
                cpu_moved += cpu;
                mem_moved += mem;
            }
        }
    }

    fn lazy_plan(&mut self) -> Option<ScanPlan> {
        let entity = self.entities.iter_mut().find(|entity| entity.lazy)?;
        entity.lazy = false;
        Some(ScanPlan {
            mm: entity.mm,
            start: 0,
            end: u32::MAX,
            max_updated: Pages::MAX,
            max_walked: Pages::MAX,
            rules: ScanRules { skip_bound_vmas: true, ..ScanRules::default() },
        })
    }
}

impl Placement for SchednumaMarch {
    fn alloc_policy(&mut self, cx: &mut Cx<'_>, request: &AllocRequest) -> Option<Mempolicy> {
        let home = self.home_of(request.task)?;
        if !cx.memory.zones.would_stay_above(home, request.pages, Watermark::Low) {
            self.foreign[home] += request.pages.0;
        }
        Some(Mempolicy::Preferred(home))
    }

    fn task_start(&mut self, cx: &mut Cx<'_>, task: TaskId, _parent: Option<TaskId>) {
        self.entity_of.0.resize(cx.tasks.len(), None);
        self.next_pull.0.resize(cx.tasks.len(), Nanos::ZERO);
        let info = &cx.tasks[task];
        let Some(mm) = info.mm.filter(|_| !info.has_policy) else { return };
        let group = info.group.filter(|_| self.knobs.numa_tbind);
        let key = group.map_or(Key::Mm(mm), Key::Group);
        let known = self.entities.iter().position(|entity| entity.key == key);
        let idx = known.unwrap_or_else(|| {
            let home = self.choose_home(cx, cx.node_of_task(task));
            self.entities.push(Entity { key, home, tasks: Vec::new(), mm, lazy: false });
            self.entities.len() - 1
        });
        self.entities[idx].tasks.push(task);
        self.entity_of[task] = Some(idx);
    }

    fn kthreads(&self) -> Vec<Kthread> {
        let numad = |node: NodeId| Kthread { name: format!("numad/{node}"), node: Some(node) };
        self.foreign.ids().map(numad).collect()
    }

    fn kthread(&mut self, cx: &mut Cx<'_>, idx: usize) -> KthreadWork {
        let node = NodeId::from_idx(idx);
        if std::mem::take(&mut self.rested[node]) {
            self.balance(cx, node);
        }
        match self.lazy_plan() {
            Some(plan) => KthreadWork::Scan(plan),
            None => {
                self.rested[node] = true;
                KthreadWork::Sleep(self.knobs.numa_balance_interval)
            }
        }
    }

    fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        let home = self.home_of(fault.task).filter(|home| *home != fault.page_node);
        let migrate_to = home.filter(|home| !fault.waited && cx.can_take(*home, fault.pages));
        Verdict::new(fault.word, migrate_to)
    }

    fn place_task(&mut self, cx: &mut Cx<'_>, task: TaskId, why: Placing) -> Option<Move> {
        let home = self.home_of(task)?;
        if why != Placing::Tick || cx.now < self.next_pull[task] {
            return None;
        }
        self.next_pull[task] = cx.now + self.knobs.pull_interval;
        way_home(cx, task, home, |task| self.home_of(task))
    }

    fn place_reason(&self, _task: TaskId, _to: NodeId) -> &'static str {
        "home node"
    }

    fn can_migrate_task(&mut self, cx: &mut Cx<'_>, task: TaskId, to: CpuId) -> Permit {
        permit(cx, task, self.home_of(task), to)
    }
}

impl Described for SchednumaMarch {
    const NAME: &'static str = "schednuma-march";
    const LINEAGE: &'static str = "Peter Zijlstra, Mar-Jul 2012, not merged: a home node for each process, daemons that re-home";
    const SOURCE: &'static str =
        "\"sched/numa\", lkml 2012-03-16; kernel/sched/numa.c of the branch";
    const LEFT_OUT: &'static str = "bias of wake-ups; averaging of node loads";
    type Knobs = Knobs;
}

impl Design for SchednumaMarch {
    type State = Self;

    fn new(knobs: Knobs, machine: &Machine) -> Self {
        Self {
            knobs,
            entities: Vec::new(),
            entity_of: TaskVec::default(),
            next_pull: TaskVec::default(),
            foreign: NodeVec::filled(0, machine.nodes.len()),
            rested: NodeVec::filled(false, machine.nodes.len()),
            max_mem: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    fn load(cpu: u64, remote_cpu: u64, pages: u64, remote_mem: u64) -> Load {
        Load { cpu, remote_cpu, pages, remote_mem }
    }

    #[test]
    fn a_node_whose_own_memory_overflows_takes_nothing() {
        let loads = NodeVec(vec![load(4, 2, 10, 0), load(0, 0, 0, 1)]);
        assert_eq!(imbalance(&loads, B), None);
    }

    #[test]
    fn half_of_the_difference_moves() {
        let loads = NodeVec(vec![load(4096, 2048, 1000, 0), load(0, 0, 0, 0)]);
        assert_eq!(imbalance(&loads, B), Some(Imbalance { busy: A, cpu: 2048, mem: 500 }));
        let even = NodeVec(vec![load(4096, 0, 1000, 0), load(0, 0, 0, 0)]);
        assert_eq!(imbalance(&even, B), None, "nobody runs away from home");
    }

    #[test]
    fn processes_start_on_different_homes_and_threads_inherit() {
        let mut world = World::new(2, 2);
        let mut design = SchednumaMarch::new(Knobs::default(), &world.machine);
        let first_mm = world.add_space();
        let first = world.add_task(first_mm, 0);
        design.task_start(&mut world.cx(), first, None);
        let thread = world.add_task(first_mm, 2);
        design.task_start(&mut world.cx(), thread, Some(first));
        assert_eq!(design.home_of(thread), design.home_of(first));
        let home = design.home_of(first).expect("it has a home");
        let request = AllocRequest {
            task: thread,
            cpu: CpuId(2),
            node: B,
            mm: first_mm,
            page: 0,
            pages: Pages(1),
        };
        let policy = design.alloc_policy(&mut world.cx(), &request);
        assert_eq!(policy, Some(Mempolicy::Preferred(home)));
    }

    #[test]
    fn bound_groups_have_homes_of_their_own() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let tasks = [world.add_task(mm, 0), world.add_task(mm, 2)];
        for (idx, task) in tasks.iter().enumerate() {
            world.tasks[*task].group = Some(idx as u16);
        }
        for (numa_tbind, nr_entities) in [(false, 1), (true, 2)] {
            let knobs = Knobs { numa_tbind, ..Knobs::default() };
            let mut design = SchednumaMarch::new(knobs, &world.machine);
            for task in tasks {
                design.task_start(&mut world.cx(), task, None);
            }
            assert_eq!(design.entities.len(), nr_entities);
        }
    }

    #[test]
    fn a_re_homed_process_is_unmapped_once() {
        let mut world = World::new(2, 2);
        let mut design = SchednumaMarch::new(Knobs::default(), &world.machine);
        let mm = world.add_space();
        let task = world.add_task(mm, 0);
        design.task_start(&mut world.cx(), task, None);
        design.entities[0].home = B;
        design.entities[0].lazy = true;
        let KthreadWork::Scan(plan) = design.kthread(&mut world.cx(), 0) else {
            panic!("its memory is marked");
        };
        assert_eq!((plan.mm, plan.max_updated), (mm, Pages::MAX));
        let fault = world.fault(task, 0, 0);
        assert_eq!(design.hint_fault(&mut world.cx(), &fault).migrate_to, Some(B));
        let sleep = KthreadWork::Sleep(Nanos::from_secs(2));
        assert_eq!(design.kthread(&mut world.cx(), 0), sleep);
    }
}

#[cfg(test)]
mod twin;
