//! A minimal engine for the scheduler's tests: time advances in steps, every CPU runs what is
//! current, and the call sequence is the one the crate's page describes.

use std::collections::BTreeSet;

use base::{CpuId, CpuMask, CpuVec, Nanos, NodeId, NodeVec, Rng, TaskId, TaskVec, stream};
use sched::{Leave, Permit, Sched, SchedKnobs, TaskMove, TaskState};
use topology::{Cpu, Matrix};

/// A machine of equal nodes, one last-level cache each, 20 apart. As on x86, the first threads of
/// all cores are numbered before the second ones.
pub(crate) fn machine(nr_nodes: usize, cores: usize, threads: usize) -> (CpuVec<Cpu>, Matrix<u8>) {
    let nr_cores = nr_nodes * cores;
    let cpus = (0..nr_cores * threads).map(|idx| {
        let core = idx % nr_cores;
        let node = core / cores;
        Cpu { node: NodeId(node as u8), core: core as u16, llc: node as u16, package: node as u16 }
    });
    let mut distances = Matrix::filled(20, nr_nodes);
    (0..nr_nodes).map(NodeId::from_idx).for_each(|node| distances[(node, node)] = 10);
    (cpus.collect(), distances)
}

/// The engine.
pub(crate) struct Rig {
    pub(crate) sched: Sched,
    pub(crate) now: Nanos,
    pub(crate) rng: Rng,
    pub(crate) permit: Permit,
    /// CPU time after which a task exits.
    pub(crate) demand: TaskVec<Nanos>,
    pub(crate) nr_running_moves: u32,
}

impl Rig {
    pub(crate) fn new(
        (cpus, distances): (CpuVec<Cpu>, Matrix<u8>),
        knobs: SchedKnobs,
        seed: u64,
    ) -> Self {
        Self {
            sched: Sched::from_cpus(cpus, distances, knobs),
            now: Nanos::ZERO,
            rng: stream(seed, "test.sched", 0),
            permit: Permit::Default,
            demand: TaskVec::default(),
            nr_running_moves: 0,
        }
    }

    pub(crate) fn all(&self) -> CpuMask {
        CpuMask::first(self.sched.nr_cpus())
    }

    pub(crate) fn add(&mut self, weight: u32, affinity: CpuMask) -> TaskId {
        let task = self.sched.add_task(weight, affinity).expect("a valid task");
        self.demand.push(Nanos::MAX);
        task
    }

    /// Adds a task that runs for ever and starts it on `cpu`.
    pub(crate) fn start_on(&mut self, cpu: CpuId) -> TaskId {
        let task = self.add(1024, self.all());
        self.start(task, cpu);
        task
    }

    pub(crate) fn start(&mut self, task: TaskId, cpu: CpuId) {
        self.sched.enqueue(task, cpu, self.now);
        self.resched_if(cpu, task);
    }

    /// Forks `nr` tasks from CPU 0, each placed by the scheduler.
    pub(crate) fn fork(&mut self, nr: usize) -> Vec<TaskId> {
        (0..nr)
            .map(|_| {
                let task = self.add(1024, self.all());
                let cpu = self.sched.select_cpu_fork(task, CpuId(0), &mut self.rng);
                self.start(task, cpu);
                task
            })
            .collect()
    }

    fn resched_if(&mut self, cpu: CpuId, arrived: TaskId) {
        if self.sched.current(cpu).is_none() || self.sched.wakeup_preempts(arrived) {
            self.sched.pick_next(cpu, self.now);
        }
    }

    pub(crate) fn leave(&mut self, task: TaskId, why: Leave) {
        let cpu = self.sched.cpu_of(task);
        self.sched.dequeue(task, self.now, why);
        if self.sched.current(cpu).is_none() {
            self.pick(cpu);
        }
    }

    /// Picks, and pulls when there is nothing to pick.
    pub(crate) fn pick(&mut self, cpu: CpuId) {
        if self.sched.pick_next(cpu, self.now).is_some() {
            return;
        }
        let answer = self.permit;
        let permit = &mut |_: &Sched, _, _| answer;
        if let Some(found) = self.sched.newidle_balance(cpu, self.now, permit, &mut self.rng) {
            assert!(
                !found.running && found.to == cpu,
                "a new idle CPU pulls a waiting task to itself"
            );
            self.carry_out(found);
        }
    }

    pub(crate) fn carry_out(&mut self, task_move: TaskMove) {
        assert!(self.sched.apply(task_move, self.now), "the move is fresh: {task_move:?}");
        self.nr_running_moves += u32::from(task_move.running);
        if self.sched.current(task_move.from).is_none() {
            self.pick(task_move.from);
        }
        self.resched_if(task_move.to, task_move.task);
    }

    pub(crate) fn balance(&mut self, cpu: CpuId) {
        let answer = self.permit;
        while let Some(level) = self.sched.due_level(cpu, self.now) {
            let permit = &mut |_: &Sched, _, _| answer;
            let moves = self.sched.periodic_balance(cpu, level, self.now, permit, &mut self.rng);
            moves.into_iter().for_each(|task_move| self.carry_out(task_move));
        }
    }

    /// Everybody runs for `dt`; then exits, ticks and balancing.
    pub(crate) fn step(&mut self, dt: Nanos) {
        let cpus: Vec<CpuId> = (0..self.sched.nr_cpus()).map(CpuId::from_idx).collect();
        cpus.iter().for_each(|cpu| self.sched.account(*cpu, dt));
        self.now += dt;
        for cpu in cpus.iter().copied() {
            match self.sched.current(cpu) {
                Some(task) if self.sched.run_time(task) >= self.demand[task] => {
                    self.leave(task, Leave::Exit);
                }
                Some(_) if self.sched.should_preempt(cpu) => {
                    self.sched.pick_next(cpu, self.now);
                }
                _ => {}
            }
        }
        for cpu in cpus {
            if self.sched.next_balance(cpu) <= self.now {
                self.balance(cpu);
            }
        }
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step(Nanos::from_ms(1)));
    }

    pub(crate) fn node_counts(&self) -> Vec<u32> {
        let nr_nodes = 1
            + (0..self.sched.nr_cpus())
                .map(|cpu| self.sched.cpu(CpuId::from_idx(cpu)).node.idx())
                .max()
                .unwrap_or(0);
        (0..nr_nodes).map(|node| self.sched.node_nr_running(NodeId::from_idx(node))).collect()
    }

    /// Everything that must hold between two calls, recounted from scratch.
    pub(crate) fn check(&self) {
        let sched = &self.sched;
        let nodes = self.node_counts().len();
        let mut node_nr = NodeVec::filled(0_u32, nodes);
        let mut node_load = NodeVec::filled(0_u64, nodes);
        let mut node_idle = NodeVec::filled(0_u32, nodes);
        let mut seen = BTreeSet::new();
        for cpu in (0..sched.nr_cpus()).map(CpuId::from_idx) {
            let here: Vec<TaskId> = sched.tasks_on(cpu).collect();
            for task in here.iter().copied() {
                assert!(seen.insert(task), "task {task} is in two places");
                assert_eq!(sched.cpu_of(task), cpu);
                assert!(sched.allowed(task, cpu), "task {task} is where it must not be");
                let running = sched.current(cpu) == Some(task);
                let state = if running { TaskState::Running } else { TaskState::Queued };
                assert_eq!(sched.state(task), state);
            }
            let load: u64 = here.iter().map(|task| u64::from(sched.weight(*task))).sum();
            assert_eq!((sched.nr_running(cpu) as usize, sched.load(cpu)), (here.len(), load));
            assert_eq!(sched.is_idle(cpu), here.is_empty());
            let node = sched.cpu(cpu).node;
            node_nr[node] += here.len() as u32;
            node_load[node] += load;
            node_idle[node] += u32::from(here.is_empty());
        }
        for node in node_nr.ids() {
            assert_eq!(sched.node_nr_running(node), node_nr[node]);
            assert_eq!(sched.node_load(node), node_load[node]);
            assert_eq!(sched.node_nr_idle(node), node_idle[node]);
            assert_eq!(sched.idle_cpus(node).count() as u32, node_idle[node]);
        }
        for task in (0..sched.nr_tasks()).map(TaskId::from_idx) {
            let runnable = matches!(sched.state(task), TaskState::Queued | TaskState::Running);
            assert_eq!(runnable, seen.contains(&task), "task {task} is lost");
        }
    }
}
