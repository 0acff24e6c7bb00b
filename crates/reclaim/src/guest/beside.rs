//! kswapd beside the tasks: who has the CPU when.
//!
//! A task that wakes kswapd loses its CPU at once, unless it was picked less than a slice ago: then
//! it goes on to the tick. From then on they take turns from tick to tick, as fair tasks of equal weight do in Linux 6.12; kswapd of a node whose
//! CPU is another one goes on at the same pace. A task can lose its CPU at the end of a fault or a
//! read, before a batch of its own reclaim, and at the tick; kswapd after each batch. Asleep, a task
//! leaves the time to kswapd. Left out: that a kswapd whose node has
//! several CPUs changes between them.

use super::state::Guest;

/// Time between ticks, ns.
pub(super) const TICK_NS: u64 = 4_000_000;
/// What a task runs at least once it was picked, on a machine of one CPU, ns.
const SLICE_NS: u64 = 700_000;

/// How a node's kswapd shares its CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    cpu: usize,
    /// When the task on its CPU has to go, at the earliest.
    due: u64,
    /// How far kswapd is ahead in CPU time, ns, up to `counted`.
    lead: i64,
    counted: u64,
}

/// What is the running task's own while kswapd runs in between.
struct Kept {
    cpu: usize,
    task: u16,
    current_proc: usize,
    in_fault: bool,
    walk_exists: bool,
    reads_cache: bool,
    plug: super::plug::Plug,
}

fn next_tick(after: u64) -> u64 {
    (after / TICK_NS + 1) * TICK_NS
}

impl Guest {
    /// Slices grow with the logarithm of the number of CPUs, up to 8.
    fn slice_ns(&self) -> u64 {
        SLICE_NS * u64::from(1 + self.cpus.len().clamp(1, 8).ilog2())
    }

    /// A CPU that the running task does not need, among those of the node if it has any.
    fn cpu_for(&self, node: usize) -> usize {
        let of_node = |cpu: &usize| self.cpus[*cpu].node as usize == node;
        let all = 0..self.cpus.len();
        let own: Vec<usize> = all.clone().filter(of_node).collect();
        let cpus = if own.is_empty() { all.collect() } else { own };
        let other = cpus.iter().copied().find(|cpu| *cpu != self.cpu);
        other.or(cpus.first().copied()).unwrap_or(0)
    }

    /// A node's kswapd becomes runnable.
    pub(super) fn begin_turns(&mut self, node: usize) {
        let (now, slice) = (self.now, self.slice_ns());
        let cpu = self.cpu_for(node);
        let picked = self.cpus[cpu].picked;
        let due = if now - picked >= slice { now } else { self.end_of_turn(picked) };
        self.nodes[node].turn = Turn { cpu, due, lead: 0, counted: now };
    }

    /// The running task may lose its CPU here.
    #[inline]
    pub(super) fn resched(&mut self) {
        let now = self.now;
        if !self.nodes.iter().all(|kswapd| kswapd.is_idle(now)) {
            self.resched_to_kswapd();
        }
    }

    #[inline(never)]
    fn resched_to_kswapd(&mut self) {
        if self.kswapd_runs || self.outside.attached {
            return;
        }
        for node in 0..self.nr_nodes() {
            self.end_nap(node);
            if self.kswapd_is_due(node) {
                self.share_cpu(node);
            }
        }
    }

    fn share_cpu(&mut self, node: usize) {
        let now = self.now;
        let same = self.nodes[node].turn.cpu == self.cpu;
        let tasks = if same { self.cpus[self.cpu].tasks.max(1) } else { 1 };
        let turn = &mut self.nodes[node].turn;
        let since = std::mem::replace(&mut turn.counted, now);
        turn.lead -= (now.saturating_sub(since) / tasks) as i64;
        let turn = *turn;
        if same && (now < turn.due || turn.lead > 0) {
            return;
        }
        let until =
            if same { self.end_of_turn(now) } else { now + turn.lead.min(0).unsigned_abs() };
        self.run_beside(node, until);
    }

    /// The first tick that finds a slice used up that began at a time.
    fn end_of_turn(&self, began: u64) -> u64 {
        let tick = next_tick(began);
        if tick - began >= self.slice_ns() { tick } else { tick + TICK_NS }
    }

    /// Lets a node's kswapd run up to a time, or until it sleeps.
    fn run_beside(&mut self, node: usize, until: u64) {
        let began = self.now;
        let cpu = self.nodes[node].turn.cpu;
        let kept = self.switch_to(cpu);
        while self.now < until && self.kswapd_is_due(node) {
            self.step_kswapd(node);
        }
        self.switch_back(kept);
        let now = self.now;
        self.cpus[cpu].kswapd_ns += now - began;
        self.cpus[cpu].picked = now;
        let due = self.end_of_turn(now);
        let turn = &mut self.nodes[node].turn;
        turn.lead += (now - began) as i64;
        (turn.counted, turn.due) = (now, due);
    }

    fn switch_to(&mut self, cpu: usize) -> Kept {
        self.kswapd_runs = true;
        Kept {
            cpu: std::mem::replace(&mut self.cpu, cpu),
            task: std::mem::replace(&mut self.task, 0),
            current_proc: self.current_proc,
            in_fault: std::mem::take(&mut self.in_fault),
            walk_exists: std::mem::take(&mut self.walk_exists),
            reads_cache: std::mem::take(&mut self.reads_cache),
            plug: std::mem::take(&mut self.plug),
        }
    }

    fn switch_back(&mut self, kept: Kept) {
        self.kswapd_runs = false;
        self.send_plugged();
        let same = self.cpu == kept.cpu;
        (self.cpu, self.task, self.current_proc) = (kept.cpu, kept.task, kept.current_proc);
        if same && let Some(proc) = self.procs.get_mut(kept.current_proc) {
            // A CPU that turns to a process makes its page tables worth a walk.
            proc.used = true;
        }
        (self.in_fault, self.walk_exists) = (kept.in_fault, kept.walk_exists);
        (self.reads_cache, self.plug) = (kept.reads_cache, kept.plug);
    }

    /// No task runs until a time: kswapds that are awake, or wake by themselves, have the machine.
    pub(super) fn idle_until(&mut self, until: u64) {
        if until <= self.now {
            return;
        }
        if self.kswapd_runs || self.outside.attached {
            self.now = until;
            return;
        }
        loop {
            (0..self.nr_nodes()).for_each(|node| self.end_nap(node));
            let due = (0..self.nr_nodes()).filter(|node| self.kswapd_is_due(*node));
            if self.now < until
                && let Some(node) = due.min_by_key(|node| self.nodes[*node].turn.counted)
            {
                let step = self.now + 1;
                self.run_beside(node, step);
                self.nodes[node].turn.lead = 0;
                continue;
            }
            let naps = (0..self.nr_nodes()).filter_map(|node| self.nap_of(node));
            match naps.min().filter(|nap| *nap < until) {
                Some(nap) if self.now < until => self.now = self.now.max(nap),
                _ => break,
            }
        }
        let now = self.now.max(until);
        self.now = now;
        self.cpus.iter_mut().for_each(|cpu| cpu.picked = now);
    }

    /// The running task computes for a while.
    pub fn work(&mut self, cpu: usize, ns: u64) {
        self.cpu = cpu;
        let mut left = ns;
        while left > 0 {
            let step = left.min(next_tick(self.now) - self.now);
            self.now += step;
            left -= step;
            self.finish_writes();
            self.flush_if_due();
            self.resched();
        }
    }

    /// How many tasks share a CPU, besides kswapd; one unless said otherwise.
    pub fn set_tasks(&mut self, cpu: usize, tasks: usize) {
        self.cpus[cpu].tasks = tasks as u64;
    }

    /// Whether some node's kswapd has work to do.
    pub fn kswapd_is_awake(&self) -> bool {
        (0..self.nr_nodes()).any(|node| self.kswapd_is_due(node))
    }

    /// A task goes on on a CPU: what is due by the clock is done first.
    pub fn begin_turn(&mut self, cpu: usize) {
        self.cpu = cpu;
        self.finish_writes();
        self.flush_if_due();
        self.resched();
    }

    /// CPU time that kswapds have had on a CPU, ns.
    pub fn kswapd_ns(&self, cpu: usize) -> u64 {
        self.cpus[cpu].kswapd_ns
    }
}
