//! The world of one run, and its event loop.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{
    CpuId, CpuMask, CpuVec, FolioId, MmId, MmVec, Nanos, NodeMask, Rng, TaskId, TaskVec, Vm,
    Vmstat, stream,
};
use des::{Phase, Queue};
use designs::{Placement, SpaceInfo, TaskInfo};
use mm::{AddressSpace, Cursor, Memory, Vma};
use results::{Outcome, Run};
use sched::{NICE_0_WEIGHT, Sched, SchedKnobs};
use topology::Machine;
use trace::{Convergence, Step};

use crate::bandwidth::Bandwidth;
use crate::event::Event;
use crate::fault::FirstTouches;
use crate::flush::Runners;
use crate::history::Decisions;
use crate::pressure::{Pressure, Yardsticks};
use crate::record::Recorder;
use crate::replay::{BLOCK, Gathered, Seen};
use crate::sampler::Sampler;
use crate::spec::{EngineKnobs, Progress, RunSpec, SimError};
use crate::thread::{Role, Thread, User};

/// Everything there is while a run runs.
pub(crate) struct World {
    pub(crate) machine: Arc<Machine>,
    pub(crate) knobs: EngineKnobs,
    pub(crate) sched: Sched,
    pub(crate) memory: Memory,
    /// Where the machine's kernel reclaims.
    pub(crate) pressure: Option<Box<Pressure>>,
    /// Where the experiment names textbook policies.
    pub(crate) yardsticks: Option<Box<Yardsticks>>,
    pub(crate) design: Box<dyn Placement>,
    pub(crate) tasks: TaskVec<TaskInfo>,
    pub(crate) spaces: MmVec<SpaceInfo>,
    pub(crate) threads: TaskVec<Thread>,
    pub(crate) cpus: CpuVec<CpuState>,
    /// SMT siblings of each CPU, itself left out.
    pub(crate) siblings: CpuVec<Vec<CpuId>>,
    /// Nodes with memory.
    pub(crate) memory_nodes: NodeMask,
    pub(crate) queue: Queue<Event>,
    pub(crate) epoch: Epoch,
    pub(crate) bandwidth: Bandwidth,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) barriers: Vec<Barrier>,
    /// CPUs that were given work, and when.
    pub(crate) kicked: Vec<(CpuId, Nanos)>,
    pub(crate) vmstat: Vmstat,
    pub(crate) recorder: Recorder,
    pub(crate) sampler: Sampler,
    pub(crate) decisions: Decisions,
    pub(crate) rng: Streams,
    /// The kernel threads of the design, in its order.
    pub(crate) kthreads: Vec<TaskId>,
    pub(crate) daemon: Option<TaskId>,
    pub(crate) groups: Vec<trace::Group>,
    /// What blocks are gathered in; `None` while one is replayed.
    pub(crate) gathered: Option<Box<Gathered>>,
    pub(crate) touches: FirstTouches,
    pub(crate) runners: Runners,
    /// Living threads of the workload.
    pub(crate) nr_alive: usize,
    pub(crate) ended: Option<Nanos>,
    pub(crate) outcome: Outcome,
    pub(crate) error: Option<SimError>,
    pub(crate) work_done: u64,
    pub(crate) stop_after: Option<Nanos>,
    /// When a timed run ends.
    pub(crate) deadline: Nanos,
    pub(crate) measured_from: Option<Nanos>,
    pub(crate) convergence: Convergence,
    pub(crate) converged: Option<Nanos>,
}

/// The engine's own random streams, each named after its owner.
pub(crate) struct Streams {
    pub(crate) design: Rng,
    pub(crate) balance: Rng,
    pub(crate) fork: Rng,
    pub(crate) daemon: Rng,
    pub(crate) order: Rng,
}

impl Streams {
    fn new(seed: u64) -> Self {
        Self {
            design: stream(seed, "design", 0),
            balance: stream(seed, "sched.balance", 0),
            fork: stream(seed, "sched.fork", 0),
            daemon: stream(seed, "daemon", 0),
            order: stream(seed, "epoch.order", 0),
        }
    }
}

/// A CPU's own clock and what it owes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuState {
    /// How far it has run.
    pub(crate) clock: Nanos,
    /// Time taken from it by TLB shootdowns of others, not yet charged.
    pub(crate) stolen: Nanos,
    /// When the next tick is due.
    pub(crate) next_tick: Nanos,
    /// When its pending balance event is due; another one is stale.
    pub(crate) balance_at: Nanos,
}

/// The current epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epoch {
    /// Counts from 1; 0 before the first.
    pub(crate) nr: u64,
    pub(crate) end: Nanos,
    /// Whether the next one is in the queue.
    pub(crate) pending: bool,
}

/// A huge page under migration.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) folio: FolioId,
    pub(crate) waiters: Vec<TaskId>,
}

/// A barrier with those who wait at it.
#[derive(Clone, Debug)]
pub(crate) struct Barrier {
    pub(crate) id: u32,
    pub(crate) waiting: Vec<TaskId>,
}

/// Runs the workload to its end.
///
/// # Errors
/// A damaged trace, a thread without a CPU, a deadlock of the workload, or cancellation. Running
/// out of memory is not an error but an outcome.
pub fn run(spec: RunSpec, progress: &Progress) -> Result<Run, SimError> {
    let design_name = spec.design_name.clone();
    let axes = spec.axes.clone();
    let seed = spec.seed;
    let workload_name = spec.workload.name.clone();
    let mut world = World::new(spec)?;
    world.start()?;
    world.event_loop(progress)?;
    Ok(world.into_run(design_name, workload_name, axes, seed))
}

/// Borrows the parts of the world that a design may look at.
macro_rules! cx {
    ($world:expr, $now:expr) => {
        designs::Cx {
            now: $now,
            machine: &$world.machine,
            sched: &$world.sched,
            memory: &$world.memory,
            tasks: &$world.tasks,
            spaces: &$world.spaces,
            rng: &mut $world.rng.design,
        }
    };
}
pub(crate) use cx;

impl World {
    fn new(spec: RunSpec) -> Result<Self, SimError> {
        let RunSpec { machine, workload, design, seed, knobs, yardsticks, .. } = spec;
        let jiffy = Nanos(1_000_000_000 / u64::from(machine.kernel.hz.max(1)));
        let sched_knobs = SchedKnobs { tick: jiffy, ..SchedKnobs::default() };
        let siblings_of = |cpu: CpuId| {
            let core = machine.cpus[cpu].core;
            machine
                .cpus
                .enumerate()
                .filter(|(id, other)| other.core == core && *id != cpu)
                .map(|(id, _)| id)
                .collect()
        };
        let pressure = Pressure::new(&machine, &workload)?.map(Box::new);
        let yardsticks = Yardsticks::new(
            &yardsticks,
            knobs.yardstick_accesses,
            pressure.as_deref(),
            &workload.spaces,
            &workload.memcgs,
        );
        let mut world = Self {
            sched: Sched::new(&machine, sched_knobs),
            memory: Memory::new(&machine),
            pressure,
            yardsticks,
            design,
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
            threads: TaskVec::default(),
            cpus: CpuVec::filled(CpuState::default(), machine.cpus.len()),
            siblings: machine.cpus.ids().map(siblings_of).collect(),
            memory_nodes: machine.memory_nodes(),
            queue: Queue::new(),
            epoch: Epoch::default(),
            bandwidth: Bandwidth::new(&machine),
            in_flight: Vec::new(),
            barriers: Vec::new(),
            kicked: Vec::new(),
            vmstat: Vmstat::default(),
            recorder: Recorder::new(),
            sampler: Sampler::new(&machine, knobs.sample_interval),
            decisions: Decisions::default(),
            rng: Streams::new(seed),
            kthreads: Vec::new(),
            daemon: None,
            groups: workload.groups.clone(),
            gathered: None,
            touches: FirstTouches::default(),
            runners: Runners::default(),
            nr_alive: 0,
            ended: None,
            outcome: Outcome::Finished,
            error: None,
            work_done: 0,
            stop_after: workload.stop_after,
            deadline: Nanos::MAX,
            measured_from: None,
            convergence: workload.convergence,
            converged: None,
            machine,
            knobs,
        };
        world.populate(workload)?;
        Ok(world)
    }

    /// Adds the workload's spaces and threads, then the kernel's threads.
    fn populate(&mut self, workload: trace::Workload) -> Result<(), SimError> {
        for space in &workload.spaces {
            let mut mm = AddressSpace::new(&space.name, space.file, space.nr_pages);
            space.mappings.iter().for_each(|mapping| mm.map(vma_of(mapping)));
            self.memory.add_space(mm);
            self.spaces.push(SpaceInfo::default());
        }
        for (idx, thread) in workload.threads.into_iter().enumerate() {
            self.add_user(idx, thread)?;
        }
        self.add_kthreads()?;
        self.add_kswapds()?;
        let names = self.memory.spaces.iter().map(|space| space.name.clone());
        self.decisions.prepare(self.threads.len(), self.machine.nodes.len(), names);
        Ok(())
    }

    /// Adds a thread of the workload; its task id is its index there.
    fn add_user(&mut self, idx: usize, thread: trace::Thread) -> Result<(), SimError> {
        let group = self.groups.iter().position(|group| group.threads.contains(&idx));
        let allowed = self.mask_or_all(thread.allowed);
        let user = User {
            mm: thread.mm,
            has_parent: thread.parent.is_some(),
            stream: thread.stream,
            step: Step::Event(trace::Event::Compute(Nanos::ZERO)),
            done: 0,
            thought: crate::thread::Thought::default(),
            policy: None,
            cursor: Cursor::default(),
            seen: Seen::default(),
            block: BLOCK,
        };
        let role = Role::User(Box::new(user));
        let nr_nodes = self.machine.nodes.len();
        self.add_task(
            Thread::new(thread.name, thread.process, role, nr_nodes),
            allowed,
            Some(thread.mm),
        )?;
        let info = TaskId::from_idx(idx);
        self.tasks[info].group = group.map(|group| group as u16);
        Ok(())
    }

    /// Adds the kernel threads of the design and the daemon.
    fn add_kthreads(&mut self) -> Result<(), SimError> {
        let nr_nodes = self.machine.nodes.len();
        for (idx, kthread) in self.design.kthreads().into_iter().enumerate() {
            let allowed = kthread.node.map_or(CpuMask::EMPTY, |node| self.machine.nodes[node].cpus);
            let allowed = self.mask_or_all(allowed);
            let thread = Thread::new(kthread.name, u32::MAX, Role::Kthread(idx), nr_nodes);
            let task = self.add_task(thread, allowed, None)?;
            self.kthreads.push(task);
        }
        if self.machine.daemons.wakeups_per_s > 0.0 {
            let thread = Thread::new("daemon".to_owned(), u32::MAX, Role::Daemon, nr_nodes);
            self.daemon = Some(self.add_task(thread, self.mask_or_all(CpuMask::EMPTY), None)?);
        }
        Ok(())
    }

    pub(crate) fn add_task(
        &mut self,
        thread: Thread,
        allowed: CpuMask,
        mm: Option<MmId>,
    ) -> Result<TaskId, SimError> {
        let info = TaskInfo {
            mm,
            process: thread.process,
            cpu_time: Nanos::ZERO,
            started: Nanos::ZERO,
            allowed,
            alive: false,
            group: None,
            has_policy: false,
        };
        let no_cpu =
            SimError::NoCpu { thread: thread.name.clone(), machine: self.machine.name.clone() };
        let task = self.sched.add_task(NICE_0_WEIGHT, allowed).map_err(|_| no_cpu)?;
        self.tasks.push(info);
        self.threads.push(thread);
        Ok(task)
    }

    /// The mask, or all CPUs when it is empty.
    pub(crate) fn mask_or_all(&self, mask: CpuMask) -> CpuMask {
        if mask.is_empty() { CpuMask::first(self.machine.cpus.len()) } else { mask }
    }

    /// Starts what runs from the beginning.
    fn start(&mut self) -> Result<(), SimError> {
        for idx in 0..self.threads.len() {
            let task = TaskId::from_idx(idx);
            if matches!(&self.threads[task].role, Role::User(user) if !user.has_parent) {
                self.spawn(task, None, Nanos::ZERO);
            }
        }
        for task in self.kthreads.iter().copied().chain(self.kswapds()).collect::<Vec<_>>() {
            self.tasks[task].alive = true;
            self.sleep_kthread(task, Nanos::ZERO);
        }
        for cpu in self.machine.cpus.ids() {
            self.schedule_balance(cpu, Nanos::ZERO);
        }
        self.schedule_daemon();
        if let Some(span) = self.stop_after {
            self.time_up_at(span);
        }
        self.want_epoch(Nanos::ZERO);
        Ok(())
    }

    fn event_loop(&mut self, progress: &Progress) -> Result<(), SimError> {
        while self.ended.is_none() {
            let Some((now, event)) = self.queue.pop() else {
                if self.ends_by_kill(self.queue.now()) {
                    break;
                }
                return Err(self.deadlock());
            };
            match event {
                Event::Epoch => {
                    progress.accesses.store(self.vmstat[Vm::sim_accesses], Ordering::Relaxed);
                    progress.machine_ns.store(now.0, Ordering::Relaxed);
                    if progress.is_cancelled() {
                        return Err(SimError::Cancelled);
                    }
                    self.run_epoch(now);
                }
                Event::Wake(task, generation) => self.wake_event(task, generation, now),
                Event::Balance(cpu) => self.balance_event(cpu, now),
                Event::Daemon => self.daemon_event(now),
                Event::TimeUp => self.time_up_event(now),
            }
            self.run_kicked();
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            if self.nr_alive == 0 && self.ended.is_none() {
                let last = self.threads.iter().filter_map(|thread| thread.end).max();
                self.finish(last.unwrap_or(now));
                self.note_all_killed();
            } else if self.is_stuck() && !self.ends_by_kill(now) {
                return Err(self.deadlock());
            }
        }
        Ok(())
    }

    /// Whether no thread of the workload can ever run again. Threads of a barrier that has opened
    /// are about to wake up.
    fn is_stuck(&self) -> bool {
        let waits_at_barrier = |task: TaskId| {
            self.threads[task].wait.is_some_and(|wait| {
                matches!(wait.why, crate::thread::WaitFor::Barrier(_))
                    && self.barriers.iter().any(|barrier| barrier.waiting.contains(&task))
            })
        };
        let mut living =
            self.threads.enumerate().filter(|(_, thread)| thread.is_user() && thread.end.is_none());
        !self.epoch.pending
            && living.all(|(task, thread)| thread.start == Nanos::MAX || waits_at_barrier(task))
    }

    fn deadlock(&self) -> SimError {
        let waiting = self.barriers.iter().map(|barrier| barrier.waiting.len()).sum();
        SimError::Deadlock { at: self.queue.now(), waiting }
    }

    /// Ends the run.
    pub(crate) fn finish(&mut self, at: Nanos) {
        self.ended = Some(at);
    }

    /// Makes sure that an epoch starts, at `at` or at the next border after it.
    pub(crate) fn want_epoch(&mut self, at: Nanos) {
        if !self.epoch.pending {
            self.epoch.pending = true;
            let at = at.max(self.queue.now()).max(self.epoch.end);
            self.queue.push(at, Phase::Accounting, Event::Epoch);
        }
    }
}

/// A mapping as `mm` keeps it.
pub(crate) fn vma_of(mapping: &trace::Mapping) -> Vma {
    Vma {
        pages: mapping.pages.clone(),
        thp: mapping.thp,
        policy: mapping.policy.as_ref().map(policy_of),
    }
}

/// A policy as `mm` keeps it.
pub(crate) fn policy_of(policy: &trace::Mempolicy) -> mm::Mempolicy {
    match policy {
        trace::Mempolicy::Local => mm::Mempolicy::Local,
        trace::Mempolicy::Preferred(nodes) => match nodes.nth(0) {
            Some(node) => mm::Mempolicy::Preferred(node),
            None => mm::Mempolicy::Local,
        },
        trace::Mempolicy::PreferredMany(nodes) => mm::Mempolicy::PreferredMany(*nodes),
        trace::Mempolicy::Bind(nodes) => mm::Mempolicy::Bind(*nodes),
        trace::Mempolicy::Interleave(nodes) => mm::Mempolicy::Interleave(*nodes),
        trace::Mempolicy::WeightedInterleave(weights) => {
            mm::Mempolicy::WeightedInterleave(weights.clone())
        }
    }
}
