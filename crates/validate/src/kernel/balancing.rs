//! NUMA balancing on a guest: a design decides, the guest marks and moves, the emulator's prices
//! are paid. Tasks share CPUs as the scheduler says, and all CPUs share one stream of instructions.

use base::{CpuId, MmId, Nanos, NodeId, Pages, Rng, TaskId, stream};
use config::Described;
use designs::{Design, HintFault, Migration, Move, NumaBalancing612, Placement, Placing};
use mm::{ScanOutcome, ScanPlan};
use reclaim::guest::{Guest, Policy};
use sched::{Leave, Sync, TaskMove, TaskState};

use super::case::Case;
use super::setup::NumaCosts;
use super::view::View;

type Knobs = <NumaBalancing612 as Described>::Knobs;

/// A walk of page tables under way: its marks are seen by others when it is over.
struct Walk {
    plan: ScanPlan,
    outcome: ScanOutcome,
    left_ns: u64,
    /// CPU time of the task when it began, as of the last tick.
    began: Nanos,
}

/// A design at work on a guest.
pub(super) struct Balancing {
    pub(super) view: View,
    /// Space of each process.
    spaces: Vec<MmId>,
    design: Box<dyn Placement>,
    costs: NumaCosts,
    walks: Vec<Option<Walk>>,
    /// By CPU: the clock when its task was last charged, what kswapds had had of it by then, and
    /// when it last had its turn.
    cpus: Vec<(u64, u64, u64)>,
    turns: u64,
    random: Rng,
}

impl Balancing {
    /// The design of Linux 6.12 in a mode of `numa_balancing`; `None` when that is off.
    pub(super) fn new(case: &Case, mode: u64, costs: NumaCosts) -> Option<Self> {
        if mode == 0 {
            return None;
        }
        let view = View::new(case)?;
        let knobs = Knobs { mode: mode as u32, ..Knobs::default() };
        let design = NumaBalancing612::new(knobs, &view.machine);
        let nr_cpus = view.machine.cpus.len();
        Some(Self {
            spaces: Vec::new(),
            design: Box::new(design),
            costs,
            walks: Vec::new(),
            cpus: vec![(0, 0, 0); nr_cpus],
            turns: 0,
            random: stream(1, "validate.kernel.balance", 0),
            view,
        })
    }

    /// Adds a task; the number is its place in the order of calls. It does not run yet.
    pub(super) fn add_task(
        &mut self,
        guest: &Guest,
        mm: Option<MmId>,
        cpus: &[usize],
        parent: Option<TaskId>,
    ) -> TaskId {
        let now = Nanos(guest.now());
        let task = self.view.add_task(mm, cpus, now);
        self.walks.push(None);
        self.design.task_start(&mut self.view.cx(now), task, parent);
        let near = parent.map_or(CpuId(0), |parent| self.view.sched.cpu_of(parent));
        let cpu = self.view.sched.select_cpu_fork(task, near, &mut self.random);
        self.view.sched.enqueue(task, cpu, now);
        self.view.sched.dequeue(task, now, Leave::Block);
        task
    }

    /// Lets a task run or not.
    pub(super) fn set_runnable(&mut self, guest: &Guest, task: TaskId, runnable: bool) {
        let now = guest.now();
        let state = self.view.sched.state(task);
        match state {
            TaskState::Running | TaskState::Queued if !runnable => {
                let cpu = self.view.sched.cpu_of(task);
                self.charge(guest, cpu);
                self.view.sched.dequeue(task, Nanos(now), Leave::Block);
            }
            TaskState::Blocked | TaskState::New if runnable => {
                let waker = self.view.sched.cpu_of(task);
                let cpu = self.view.sched.select_cpu_wakeup(task, waker, Sync::WakerRuns);
                self.charge(guest, cpu);
                self.view.sched.enqueue(task, cpu, Nanos(now));
                if self.view.sched.wakeup_preempts(task) {
                    self.view.sched.pick_next(cpu, Nanos(now));
                }
            }
            _ => {}
        }
    }

    /// A task has ended.
    pub(super) fn exit(&mut self, guest: &Guest, task: TaskId) {
        if self.view.tasks[task].alive {
            self.view.tasks[task].alive = false;
            if let Some(mm) = self.view.tasks[task].mm {
                self.view.spaces[mm].nr_tasks -= 1;
            }
            self.design.task_exit(&mut self.view.cx(Nanos(guest.now())), task);
        }
    }

    /// Charges the task of a CPU with the time since it was last charged: to the guest's kernel a
    /// task runs as long as it is on its CPU, also while the emulator serves other CPUs, but for what
    /// kswapd had of it.
    fn charge(&mut self, guest: &Guest, cpu: CpuId) {
        let index = usize::from(cpu.0);
        let (now, kswapd) = (guest.now(), guest.kswapd_ns(index));
        let since = std::mem::replace(&mut self.cpus[index].0, now);
        let before = std::mem::replace(&mut self.cpus[index].1, kswapd);
        let ran = Nanos(now.saturating_sub(since).saturating_sub(kswapd - before));
        if let Some(task) = self.view.sched.current(cpu) {
            self.view.tasks[task].cpu_time += ran;
            self.view.sched.account(cpu, ran);
        }
    }

    /// Charges interrupts to a task of the workload that shares a CPU with whoever caused them.
    pub(super) fn charge_interrupts(&mut self, cpu: usize, ns: u64) {
        let cpu = CpuId(cpu as u16);
        let runnable = |state| matches!(state, TaskState::Running | TaskState::Queued);
        for (index, task) in self.view.tasks.iter_mut().enumerate() {
            let id = TaskId::from_idx(index);
            let here = runnable(self.view.sched.state(id)) && self.view.sched.cpu_of(id) == cpu;
            if here && task.mm.is_some() {
                task.cpu_time += Nanos(ns);
                return;
            }
        }
    }

    /// The task whose turn it is, and its CPU, after the CPU's tick; `None` when all are idle.
    pub(super) fn next(&mut self, guest: &Guest) -> Option<(TaskId, usize)> {
        let now = guest.now();
        let ids: Vec<CpuId> = self.view.machine.cpus.ids().collect();
        for cpu in ids.iter().copied() {
            self.balance(guest, cpu);
        }
        let busy = ids.iter().copied().filter(|cpu| self.view.sched.nr_running(*cpu) > 0);
        let cpu = busy.min_by_key(|cpu| self.cpus[usize::from(cpu.0)].2)?;
        self.turns += 1;
        self.cpus[usize::from(cpu.0)].2 = self.turns;
        self.charge(guest, cpu);
        if self.view.sched.current(cpu).is_none() || self.view.sched.should_preempt(cpu) {
            self.view.sched.pick_next(cpu, Nanos(now));
        }
        self.view.sched.current(cpu).map(|task| (task, usize::from(cpu.0)))
    }

    /// Tells the guest how many tasks share each CPU.
    pub(super) fn tell_loads(&self, guest: &mut Guest) {
        for cpu in self.view.machine.cpus.ids() {
            guest.set_tasks(usize::from(cpu.0), self.view.sched.nr_running(cpu) as usize);
        }
    }

    /// The load balancer's passes that are due on a CPU.
    fn balance(&mut self, guest: &Guest, cpu: CpuId) {
        let now = Nanos(guest.now());
        while let Some(level) = self.view.sched.due_level(cpu, now) {
            let View { machine, sched, memory, tasks, spaces, rng, .. } = &mut self.view;
            let (design, random) = (&mut self.design, &mut self.random);
            let permit = &mut |sched: &sched::Sched, task: TaskId, to: CpuId| {
                if tasks[task].mm.is_none() {
                    return sched::Permit::Default;
                }
                let mut cx = designs::Cx { now, machine, sched, memory, tasks, spaces, rng };
                design.can_migrate_task(&mut cx, task, to)
            };
            let moves = sched.periodic_balance(cpu, level, now, permit, random);
            for found in moves {
                self.charge(guest, found.from);
                self.charge(guest, found.to);
                self.view.sched.apply(found, now);
            }
        }
    }

    /// Changes where a task may run.
    pub(super) fn set_affinity(&mut self, guest: &Guest, task: TaskId, cpus: &[usize]) -> usize {
        let mask = self.view.mask(cpus);
        self.view.tasks[task].allowed = mask;
        if let Ok(Some(needed)) = self.view.sched.set_affinity(task, mask) {
            self.apply(guest, needed);
        }
        usize::from(self.view.sched.cpu_of(task).0)
    }

    fn apply(&mut self, guest: &Guest, found: TaskMove) {
        let now = guest.now();
        self.charge(guest, found.from);
        self.charge(guest, found.to);
        self.view.sched.apply(found, Nanos(now));
    }

    /// The work that a tick gives a task: beginning a scan, or going on with one, until `end`.
    pub(super) fn tick(&mut self, guest: &mut Guest, task: TaskId, end: u64) {
        let now = Nanos(guest.now());
        if self.walks[task.idx()].is_none() {
            if let Some(plan) = self.design.scan(&mut self.view.cx(now), task) {
                self.begin(guest, task, plan, self.costs.scan_ns);
            }
            self.place(guest, task, Placing::Tick);
        }
        while let Some(walk) = &mut self.walks[task.idx()] {
            let step = walk.left_ns.min(end.saturating_sub(guest.now()));
            guest.spend(step);
            walk.left_ns -= step;
            if walk.left_ns > 0 {
                return;
            }
            self.finish(guest, task);
        }
    }

    fn begin(&mut self, guest: &Guest, task: TaskId, plan: ScanPlan, extra_ns: u64) {
        self.view.refresh(guest, &plan);
        let outcome = self.view.memory.scan(&plan);
        let updated = outcome.updated + outcome.huge_updated;
        let (absent, marked) = self.view.absent_and_marked(&plan, outcome.next);
        let before = marked.saturating_sub(outcome.updated_pages().0);
        let looked_at = outcome.entries.saturating_sub(absent + before);
        let walked_ns = self.costs.scan_entry_ns * looked_at + self.costs.scan_marked_ns * before;
        let left_ns = extra_ns + walked_ns + self.costs.scan_update_ns * updated;
        let began = self.view.tasks[task].cpu_time;
        self.walks[task.idx()] = Some(Walk { plan, outcome, left_ns, began });
    }

    fn finish(&mut self, guest: &mut Guest, task: TaskId) {
        let Some(walk) = self.walks[task.idx()].take() else { return };
        self.view.write_back(guest, &walk.plan, walk.outcome.next);
        let took = self.view.tasks[task].cpu_time.saturating_sub(walk.began);
        let now = Nanos(guest.now());
        let next = self.design.scan_done(&mut self.view.cx(now), task, &walk.outcome, took);
        match next {
            Some(plan) => self.begin(guest, task, plan, 0),
            None => self.place(guest, task, Placing::ScanDone),
        }
    }

    /// Serves the hint fault of a task on a marked entry.
    pub(super) fn fault(
        &mut self,
        guest: &mut Guest,
        task: TaskId,
        cpu: usize,
        at: (u32, u32),
        write: bool,
    ) {
        let (region, index) = at;
        let hinted = guest.hint_fault(cpu, region, index);
        guest.spend(self.costs.fault_ns);
        let Some((mm, page)) = self.view.page_of(region, index) else {
            guest.open(region, index, hinted.word);
            return;
        };
        let node = self.view.machine.node_of(CpuId(cpu as u16));
        let fault = HintFault {
            task,
            cpu: CpuId(cpu as u16),
            node,
            mm,
            page,
            page_node: NodeId(hinted.node as u8),
            pages: Pages(hinted.pages),
            word: hinted.word,
            write,
            waited: false,
            batch: false,
        };
        let now = Nanos(guest.now());
        let verdict = self.design.hint_fault(&mut self.view.cx(now), &fault);
        if verdict.candidate {
            guest.count_promotion_candidates(hinted.pages);
        }
        match verdict.migrate_to.filter(|to| *to != fault.page_node) {
            None => guest.open(region, index, verdict.word),
            Some(to) => {
                let moved = guest.move_to_node(cpu, region, index, to.idx(), verdict.word);
                if moved {
                    let more = self.costs.copy_ns * hinted.pages.saturating_sub(1);
                    guest.spend(self.costs.move_ns + more);
                }
                let from = fault.page_node;
                let migration = Migration { task, from, to, pages: fault.pages, moved };
                let now = Nanos(guest.now());
                self.design.migration_done(&mut self.view.cx(now), &migration);
            }
        }
        self.place(guest, task, Placing::HintFault);
    }

    /// Asks the design where the task should run.
    fn place(&mut self, guest: &Guest, task: TaskId, why: Placing) {
        let now = Nanos(guest.now());
        match self.design.place_task(&mut self.view.cx(now), task, why) {
            None => {}
            Some(Move::To(to)) => {
                let from = self.view.sched.cpu_of(task);
                let running = self.view.sched.current(from) == Some(task);
                self.apply(guest, TaskMove { task, from, to, running });
            }
            Some(Move::Swap(other)) => {
                let (a, b) = (self.view.sched.cpu_of(task), self.view.sched.cpu_of(other));
                let runs = |task| {
                    matches!(self.view.sched.state(task), TaskState::Queued | TaskState::Running)
                };
                let fits = self.view.sched.allowed(task, b) && self.view.sched.allowed(other, a);
                if a != b && fits && runs(task) && runs(other) {
                    self.charge(guest, a);
                    self.charge(guest, b);
                    self.view.sched.swap(task, other, now);
                }
            }
        }
    }

    /// Adds a process with its mappings in the order of their addresses.
    pub(super) fn add_space(&mut self, regions: &[(u32, u32, Policy)]) -> MmId {
        let mm = self.view.add_space();
        self.spaces.push(mm);
        for (region, pages, policy) in regions {
            self.view.map(mm, *region, *pages, *policy);
        }
        mm
    }

    /// Adds the mappings of a process that begins late.
    pub(super) fn map_all(&mut self, proc: usize, regions: &[(u32, u32, Policy)]) {
        if let Some(mm) = self.spaces.get(proc) {
            for (region, pages, policy) in regions {
                self.view.map(*mm, *region, *pages, *policy);
            }
        }
    }

    /// Adds memory that a process takes while it runs.
    pub(super) fn map(&mut self, proc: usize, region: u32, pages: u32) {
        if let Some(mm) = self.spaces.get(proc) {
            self.view.map(*mm, region, pages, Policy::Default);
        }
    }

    /// What a Zipf draw takes beyond a uniform one, ns.
    pub(super) fn zipf_ns(&self) -> u64 {
        self.costs.zipf_ns
    }
}
