//! Replaying a case with NUMA balancing: threads share CPUs as the scheduler says, and whoever
//! prints the samples is one of them.

use base::TaskId;
use reclaim::guest::{Backing, Policy, Stat};

use super::balancing::Balancing;
use super::case::{Pattern, Touch};
use super::replay::{PROGRAM_PAGES, Replay, SLICE_NS, SNAPSHOT_PAGES, State};
use super::setup;

/// What part of the system's own work after boot is done in interrupts, which are charged to whoever
/// runs. Estimated: a case that begins 1.75 s sooner has its second walk of page tables 26 to 55 ms of
/// CPU time sooner.
const BOOT_TO_INTERRUPTS: u64 = 32;
/// Pages that a thread writes on its stack.
const STACK_PAGES: u32 = 2;

impl Replay<'_> {
    /// Makes the processes and threads known to the design, if NUMA balancing is on.
    pub(super) fn start_balancing(&mut self, mode: u64) {
        let costs = setup::numa_costs(self.case.guest.shift);
        let Some(mut balancing) = Balancing::new(self.case, mode, costs) else { return };
        for proc in 0..self.procs.len() {
            let mm = balancing.add_space(&self.mappings(proc));
            let mut first = None;
            for thread in &self.case.procs[proc].threads {
                let task = balancing.add_task(&self.guest, Some(mm), &thread.cpus, first);
                first = first.or(Some(task));
            }
            let own: Vec<usize> =
                (0..self.threads.len()).filter(|index| self.threads[*index].proc == proc).collect();
            // Stacks of threads lie above the regions, the first thread's on top; then what the
            // kernel maps into each process and nobody touches.
            for index in own.iter().skip(1).chain(own.first()) {
                let cpu = self.threads[*index].cpu;
                let stack = self.add_own(&mut balancing, proc, STACK_PAGES, cpu);
                self.threads[*index].stack = Some(stack);
            }
            let cpu = own.first().map_or(0, |index| self.threads[*index].cpu);
            self.add_own(&mut balancing, proc, 1, cpu);
        }
        if let Some(ms) = self.case.sample_ms {
            balancing.add_task(&self.guest, None, &[], None);
            self.observer.0 = self.guest.now() + ms * 1_000_000;
        }
        balancing.add_task(&self.guest, None, &[], None);
        self.balancing = Some(Box::new(balancing));
    }

    /// Mappings of a process: region, pages, policy.
    pub(super) fn mappings(&self, proc: usize) -> Vec<(u32, u32, Policy)> {
        let own = &self.procs[proc];
        let program = (own.program, PROGRAM_PAGES + SNAPSHOT_PAGES, Policy::Default);
        let regions = self.case.procs[proc].regions.iter().filter_map(|region| {
            let (vma, _, pages) = own.regions.get(&region.name)?;
            Some((*vma, *pages as u32, region.policy))
        });
        std::iter::once(program).chain(regions).collect()
    }

    /// A small mapping of the process itself, written by a CPU.
    fn add_own(&mut self, balancing: &mut Balancing, proc: usize, pages: u32, cpu: usize) -> u32 {
        let id = self.procs[proc].id;
        let default = Policy::Default;
        let region = self.guest.add_region(id, &Backing::Anon, pages, default, 1 << 29, false);
        for page in 0..pages {
            self.guest.touch(cpu, region, page, true);
        }
        balancing.map(proc, region, pages);
        region
    }

    /// Runs to the end, CPU by CPU.
    pub(super) fn run_on_cpus(&mut self) {
        let observer = self.case.sample_ms.map(|_| TaskId::from_idx(self.threads.len()));
        let boot = TaskId::from_idx(self.threads.len() + usize::from(observer.is_some()));
        while self.threads.iter().any(|thread| thread.state != State::Done) {
            self.wake();
            let end = self.end_of_turn();
            let Some(balancing) = &mut self.balancing else { return };
            for (index, thread) in self.threads.iter().enumerate() {
                let task = TaskId::from_idx(index);
                if thread.state == State::Done {
                    balancing.exit(&self.guest, task);
                }
                balancing.set_runnable(&self.guest, task, thread.state == State::Ready);
            }
            if let Some(task) = observer {
                balancing.set_runnable(&self.guest, task, self.observer.1 > 0);
            }
            balancing.set_runnable(&self.guest, boot, self.boot_ns > 0);
            balancing.tell_loads(&mut self.guest);
            match balancing.next(&self.guest) {
                Some((task, cpu)) if task == boot => {
                    let step = self.boot_ns.min(SLICE_NS);
                    self.boot_ns -= step;
                    self.guest.work(cpu, step);
                    if let Some(balancing) = &mut self.balancing {
                        balancing.charge_interrupts(cpu, step / BOOT_TO_INTERRUPTS);
                    }
                }
                Some((task, cpu)) if Some(task) == observer => self.print_sample(cpu),
                Some((task, cpu)) => {
                    self.threads[task.idx()].cpu = cpu;
                    balancing.tick(&mut self.guest, task, end);
                    self.slice_until(task.idx(), end);
                    self.reap();
                }
                None => match self.next_due() {
                    Some(due) => self.guest.advance(due),
                    None => return,
                },
            }
        }
    }

    /// Wakes sleepers whose time has come.
    pub(super) fn wake(&mut self) {
        let now = self.guest.now();
        for thread in &mut self.threads {
            if matches!(thread.state, State::Until(due) if due <= now) {
                thread.state = State::Ready;
            }
        }
        if self.observer.0 <= now {
            self.observer = (u64::MAX, self.snapshot_ns);
        }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        let sleepers = self.threads.iter().filter_map(|thread| match thread.state {
            State::Until(due) => Some(due),
            _ => None,
        });
        // Samples alone do not keep a case going.
        let due = sleepers.min()?;
        Some(due.min(self.observer.0))
    }

    /// Prints a part of a sample.
    pub(super) fn print_sample(&mut self, cpu: usize) {
        let step = self.observer.1.min(SLICE_NS);
        self.guest.work(cpu, step);
        self.observer.1 -= step;
        if self.observer.1 == 0 {
            if !self.case.cgroups.is_empty() {
                self.guest.read_stats();
            }
            let ms = self.case.sample_ms.unwrap_or(0);
            self.observer.0 = self.guest.now() + ms * 1_000_000;
        }
    }

    /// A load or store, perhaps with a hint fault before it.
    pub(super) fn access(&mut self, index: usize, cpu: usize, vma: u32, page: u32, write: bool) {
        if let Some(balancing) = &mut self.balancing
            && self.guest.is_marked(vma, page)
        {
            let task = TaskId::from_idx(index);
            balancing.fault(&mut self.guest, task, cpu, (vma, page), write);
        }
        self.guest.touch(cpu, vma, page, write);
    }

    /// An access before a tick; one whose fault goes beyond the tick is repeated later.
    pub(super) fn access_until(
        &mut self,
        index: usize,
        cpu: usize,
        access: (u32, u32, bool),
        tick: u64,
    ) {
        let (vma, page, write) = access;
        let faults = self.guest.vmstat()[Stat::pgfault];
        self.access(index, cpu, vma, page, write);
        let faulted = self.guest.vmstat()[Stat::pgfault] > faults;
        if self.balancing.is_some() && faulted && self.guest.now() >= tick {
            self.threads[index].interrupted = Some(access);
        }
    }

    /// The access that a tick came in: a scan may have marked the page that its fault brought.
    pub(super) fn repeat_interrupted(&mut self, index: usize, cpu: usize) {
        if let Some((vma, page, write)) = self.threads[index].interrupted.take()
            && self.guest.is_marked(vma, page)
        {
            self.access(index, cpu, vma, page, write);
        }
    }

    /// What a thread uses all the time besides its region: its stack and the table it draws by.
    /// Gives what a draw takes beyond a hit, ns.
    pub(super) fn begin_slice(
        &mut self,
        index: usize,
        cpu: usize,
        touch: &Touch,
        table: Option<(u32, u32)>,
    ) -> u64 {
        let Some(balancing) = &self.balancing else { return 0 };
        let zipf_ns = balancing.zipf_ns();
        let stack = self.threads[index].stack.map(|region| (region, STACK_PAGES));
        for (region, pages) in stack.into_iter().chain(table) {
            for page in 0..pages {
                if self.guest.is_marked(region, page) {
                    self.access(index, cpu, region, page, true);
                }
            }
        }
        if matches!(touch.pattern, Pattern::Zipf(_)) { zipf_ns } else { 0 }
    }
}
