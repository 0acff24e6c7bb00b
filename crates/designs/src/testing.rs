//! A small world for tests of designs.

use base::{CpuId, CpuMask, MmId, MmVec, Nanos, NodeId, Pages, Rng, TaskId, TaskVec, stream};
use mm::{AddressSpace, Memory, Order, Vma, Watermark};
use sched::{NICE_0_WEIGHT, Sched, SchedKnobs, TaskMove};
use topology::Machine;

use crate::{Cx, HintFault, SpaceInfo, TaskInfo};

/// Two nodes of two CPUs, and what a test puts on them.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) sched: Sched,
    pub(crate) memory: Memory,
    pub(crate) tasks: TaskVec<TaskInfo>,
    pub(crate) spaces: MmVec<SpaceInfo>,
    pub(crate) rng: Rng,
    pub(crate) now: Nanos,
}

/// Pages of a test's space.
pub(crate) const NR_PAGES: u32 = 4096;

impl World {
    /// `nr_nodes` nodes of `nr_cpus` CPUs, equally far from each other.
    pub(crate) fn new(nr_nodes: usize, nr_cpus: usize) -> Self {
        let node = |idx: usize| {
            let (first, last) = (idx * nr_cpus, (idx + 1) * nr_cpus - 1);
            format!("[[nodes]]\ncpus = \"{first}-{last}\"\nmemory = \"64MiB\"\n")
        };
        let nodes: String = (0..nr_nodes).map(node).collect();
        let text = format!(
            "name = \"tiny\"\ndescription = \"small nodes\"\n{nodes}\
             [latency]\nby_distance = {{ 10 = \"90ns\", 20 = \"150ns\" }}\n\
             [bandwidth]\ncore = {{ by_distance = {{ 10 = \"10GB/s\", 20 = \"5GB/s\" }} }}\n\
             controller = \"10GB/s\"\n\
             [[bandwidth.links]]\nwithin = [\"0-{}\"]\none_way = \"4GB/s\"\n",
            nr_nodes - 1
        );
        let machine = topology::parse("tiny.toml", &text).expect("a valid machine");
        Self {
            sched: Sched::new(&machine, SchedKnobs::default()),
            memory: Memory::new(&machine),
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
            rng: stream(1, "test", 0),
            now: Nanos::ZERO,
            machine,
        }
    }

    /// A process with one mapping of [`NR_PAGES`].
    pub(crate) fn add_space(&mut self) -> MmId {
        let mut space = AddressSpace::new("test", false, Pages(u64::from(NR_PAGES)));
        space.map(Vma { pages: 0..NR_PAGES, thp: None, policy: None });
        self.spaces.push(SpaceInfo::default());
        self.memory.add_space(space)
    }

    /// A task of `mm` that runs on `cpu`.
    pub(crate) fn add_task(&mut self, mm: MmId, cpu: u16) -> TaskId {
        self.add_weighted(mm, cpu, NICE_0_WEIGHT)
    }

    /// The same with a weight of its own.
    pub(crate) fn add_weighted(&mut self, mm: MmId, cpu: u16, weight: u32) -> TaskId {
        let allowed = CpuMask::first(self.machine.cpus.len());
        let task = self.sched.add_task(weight, allowed).expect("a CPU");
        self.tasks.push(TaskInfo {
            mm: Some(mm),
            process: u32::from(mm.0),
            cpu_time: Nanos::ZERO,
            started: self.now,
            allowed,
            alive: true,
            group: None,
            has_policy: false,
        });
        self.spaces[mm].nr_tasks += 1;
        self.spaces[mm].tasks.push(task);
        self.sched.enqueue(task, CpuId(cpu), self.now);
        self.sched.pick_next(CpuId(cpu), self.now);
        task
    }

    /// Puts a runnable task on another CPU; it runs there when that was idle.
    pub(crate) fn go(&mut self, task: TaskId, cpu: u16) {
        let (from, to) = (self.sched.cpu_of(task), CpuId(cpu));
        if from != to {
            let running = self.sched.current(from) == Some(task);
            self.sched.apply(TaskMove { task, from, to, running }, self.now);
            for cpu in [from, to] {
                self.sched.pick_next(cpu, self.now);
            }
        }
    }

    /// Takes all memory of a node down to its low watermark.
    pub(crate) fn fill(&mut self, node: u8) {
        for order in [Order::Huge, Order::Base] {
            while self.memory.zones.alloc_on(order, NodeId(node), Watermark::Low).is_some() {}
        }
    }

    /// What a design sees.
    pub(crate) fn cx(&mut self) -> Cx<'_> {
        Cx {
            now: self.now,
            machine: &self.machine,
            sched: &self.sched,
            memory: &self.memory,
            tasks: &self.tasks,
            spaces: &self.spaces,
            rng: &mut self.rng,
        }
    }

    /// A hint fault of `task`, where it runs, on a base page that is on `page_node`.
    pub(crate) fn fault(&self, task: TaskId, page_node: u8, word: u32) -> HintFault {
        let cpu = self.sched.cpu_of(task);
        HintFault {
            task,
            cpu,
            node: self.machine.node_of(cpu),
            mm: self.tasks[task].mm.expect("a user task"),
            page: 0,
            page_node: NodeId(page_node),
            pages: Pages(1),
            word,
            write: true,
            waited: false,
            batch: false,
        }
    }
}
