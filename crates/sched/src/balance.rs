//! Load balancing: which moves would even out the load.
//!
//! After the kernel's fair class (6.x in its states and thresholds, see the module `group`): the
//! first idle CPU of a group pulls for it, from the busiest group of the domain, from its busiest
//! CPU. What differs, and why:
//!
//! - A pass that fills several idle CPUs hands each of them one task, where the kernel pulls all to
//!   one CPU and spreads them in further passes.
//! - Between nodes a *running* task is pulled as soon as tasks differ by two, but at most once in
//!   `numa_pull_interval`; the kernel counts failed passes, whose time depends on the span. The
//!   published runs of 2012 are reproduced by about 50 ms.
//! - Groups that cannot be balanced because of affinities are not marked ("imbalanced" state).
//!
//! What does not differ, and decides published rows: a pass looks at one group only. If nothing of
//! the busiest may run here, for its affinity, nothing is pulled, though another group might have
//! something (`out_one_pinned` in the kernel); of equally busy groups it is the first after the own.

use base::{CpuId, Nanos, Rng, TaskId};

use crate::domain::{Balance, Domain, Level};
use crate::group::{GroupState, GroupStats, Imbalance, Pass, imbalance};
use crate::sched::{Sched, TaskMove};

/// A design's answer to "may the balancer move this task to that CPU?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// No opinion: the ordinary rules (cache hotness) decide.
    Default,
    /// Rather not: treated like a cache-hot task, moved after repeated failures only.
    Resist,
    /// Never.
    Refuse,
    /// Even if it is cache hot.
    Encourage,
}

/// Asks the design about a move; it sees the scheduler's views.
pub type PermitFn<'a> = dyn FnMut(&Sched, TaskId, CpuId) -> Permit + 'a;

/// A pass of one CPU at one level.
struct Ask<'a, 'p> {
    cpu: CpuId,
    balance: Balance,
    pass: Pass,
    now: Nanos,
    permit: &'a mut PermitFn<'p>,
    rng: &'a mut Rng,
}

/// What a pass found.
enum Found {
    Balanced,
    /// Imbalanced, but nothing could be moved.
    Nothing,
    Queued(Vec<TaskMove>),
    Running(TaskMove),
}

impl Sched {
    /// A task to pull to `cpu`, which has just gone idle. Never a running one. Finds nothing when
    /// the CPU usually idles for less than `migration_cost`.
    pub fn newidle_balance(
        &mut self,
        cpu: CpuId,
        now: Nanos,
        permit: &mut PermitFn<'_>,
        rng: &mut Rng,
    ) -> Option<TaskMove> {
        if self.nr_overloaded == 0 || self.rqs[cpu].avg_idle < self.knobs.migration_cost {
            return None;
        }
        for idx in 0..self.domains.of_cpu[cpu].len() {
            let balance = self.domains.of_cpu[cpu][idx];
            let mut ask = Ask { cpu, balance, pass: Pass::NewIdle, now, permit, rng };
            if let Found::Queued(moves) = self.find_moves(&mut ask) {
                return moves.first().copied();
            }
        }
        None
    }

    /// The lowest level of `cpu` at which a periodic pass is due. Call [`Sched::periodic_balance`]
    /// for it and ask again, until `None`.
    pub fn due_level(&self, cpu: CpuId, now: Nanos) -> Option<Level> {
        let due = |balance: &&Balance| self.due_at(cpu, balance) <= now;
        let balance = self.domains.of_cpu[cpu].iter().find(due)?;
        Some(self.domains.all[balance.domain].level)
    }

    /// When the next periodic pass of `cpu` is due; [`Nanos::MAX`] when it has no domain. It is
    /// earlier while the CPU idles.
    pub fn next_balance(&self, cpu: CpuId) -> Nanos {
        let times = self.domains.of_cpu[cpu].iter().map(|balance| self.due_at(cpu, balance));
        times.min().unwrap_or(Nanos::MAX)
    }

    /// One periodic pass of `cpu` at `level`: the moves that even out the groups of its domain
    /// there; empty for a level it does not have. Only the first idle CPU of a group (on an idle
    /// core if there is one; else the group's first CPU) finds any. The moves are to be carried out
    /// at once.
    pub fn periodic_balance(
        &mut self,
        cpu: CpuId,
        level: Level,
        now: Nanos,
        permit: &mut PermitFn<'_>,
        rng: &mut Rng,
    ) -> Vec<TaskMove> {
        let is_level = |balance: &Balance| self.domains.all[balance.domain].level == level;
        let Some(idx) = self.domains.of_cpu[cpu].iter().position(is_level) else {
            return Vec::new();
        };
        let balance = self.domains.of_cpu[cpu][idx];
        let found = if self.should_balance(cpu, &balance) {
            let pass = if self.is_idle(cpu) { Pass::Idle } else { Pass::Busy };
            self.find_moves(&mut Ask { cpu, balance, pass, now, permit, rng })
        } else {
            Found::Balanced
        };
        self.remember(cpu, idx, now, &found);
        match found {
            Found::Balanced | Found::Nothing => Vec::new(),
            Found::Queued(moves) => moves,
            Found::Running(task_move) => vec![task_move],
        }
    }

    /// Adapts the interval and the count of failures: a pass that found balance makes the next one
    /// later, up to twice the minimum.
    fn remember(&mut self, cpu: CpuId, idx: usize, now: Nanos, found: &Found) {
        let balance = &mut self.domains.of_cpu[cpu][idx];
        let domain = &mut self.domains.all[balance.domain];
        balance.last = now;
        let min = domain.min_interval;
        (balance.interval, balance.nr_failed) = match found {
            Found::Balanced => (Nanos((2 * balance.interval.0).min(2 * min.0)), 0),
            Found::Nothing => (min, balance.nr_failed.saturating_add(1)),
            Found::Queued(_) => (min, 0),
            Found::Running(_) => (min, domain.level.cache_nice_tries() + 1),
        };
        if let Found::Running(_) = found {
            domain.last_active = Some(now);
        }
    }

    fn due_at(&self, cpu: CpuId, balance: &Balance) -> Nanos {
        let interval = if self.is_idle(cpu) {
            balance.interval.min(self.knobs.idle_interval_max)
        } else {
            // The kernel's upper limit: a tenth of a second times the number of CPUs.
            let limit = Nanos::from_ms(100 * self.nr_cpus() as u64);
            Nanos(balance.interval.0 * u64::from(self.knobs.busy_factor)).min(limit)
        };
        // Never zero, whatever the knobs: a pass at `now` must not be due again at `now`.
        balance.last + interval.max(self.knobs.tick).max(Nanos(1))
    }

    fn should_balance(&self, cpu: CpuId, balance: &Balance) -> bool {
        let group = &self.domains.all[balance.domain].groups[balance.group];
        self.first_idle(group).or(group.first().copied()) == Some(cpu)
    }

    /// The first CPU on an idle core, else the first idle CPU.
    fn first_idle(&self, group: &[CpuId]) -> Option<CpuId> {
        let idle = || group.iter().copied().filter(|cpu| self.is_idle(*cpu));
        let first = idle().next()?;
        Some(idle().find(|cpu| self.core_is_idle(*cpu)).unwrap_or(first))
    }

    fn find_moves(&self, ask: &mut Ask<'_, '_>) -> Found {
        let domain = &self.domains.all[ask.balance.domain];
        let Some((busiest, amount, state)) = self.busiest_group(domain, ask) else {
            return Found::Balanced;
        };
        let moves = self.pull_queued(domain, busiest, amount, ask);
        if !moves.is_empty() {
            return Found::Queued(moves);
        }
        match amount {
            Imbalance::Tasks(_)
                if ask.pass == Pass::Idle && self.may_pull_running(domain, state, ask) =>
            {
                self.pull_running(domain, busiest, ask).map_or(Found::Nothing, Found::Running)
            }
            _ => Found::Nothing,
        }
    }

    /// The busiest other group, how much to pull from it, and its state. Among equals the first
    /// after the own group, so that not every group pulls from the same one.
    fn busiest_group<'a>(
        &self,
        domain: &'a Domain,
        ask: &Ask<'_, '_>,
    ) -> Option<(&'a [CpuId], Imbalance, GroupState)> {
        // While all wait, which is most of the time with a slow disk, there is nothing to even out.
        if domain.span.iter().all(|cpu| self.nr_running[*cpu] == 0) {
            return None;
        }
        let stats_of =
            |idx: usize| GroupStats::of(&domain.groups[idx], &self.nr_running, &self.load);
        let local = stats_of(ask.balance.group);
        let mut total = local;
        let mut best: Option<(usize, GroupStats)> = None;
        for step in 1..domain.groups.len() {
            let idx = (ask.balance.group + step) % domain.groups.len();
            let stats = stats_of(idx);
            total.nr_cpus += stats.nr_cpus;
            total.load += stats.load;
            if best.is_none_or(|(_, other)| stats.busyness() > other.busyness()) {
                best = Some((idx, stats));
            }
        }
        let (idx, busiest) = best?;
        let amount = imbalance(domain, ask.pass, &local, &busiest, &total)?;
        Some((&domain.groups[idx], amount, busiest.state()))
    }

    /// Waiting tasks of the busiest CPUs of `group`, as many as `amount` says.
    fn pull_queued(
        &self,
        domain: &Domain,
        group: &[CpuId],
        amount: Imbalance,
        ask: &mut Ask<'_, '_>,
    ) -> Vec<TaskMove> {
        let mut sources: Vec<CpuId> =
            group.iter().copied().filter(|cpu| self.nr_running[*cpu] > 1).collect();
        ask.rng.shuffle(&mut sources);
        sources.sort_by_key(|cpu| std::cmp::Reverse((self.nr_running[*cpu], self.load[*cpu])));
        let mut pull = Pull {
            moves: Vec::new(),
            left: amount,
            examined: 0,
            targets: self.targets(domain, ask),
        };
        for from in sources {
            // One task always stays: the CPU must not idle instead.
            let spare = self.nr_running[from] as usize - 1;
            let taken_before = pull.moves.len();
            for entry in self.rqs[from].waiting().rev() {
                let enough = pull.moves.len() - taken_before >= spare
                    || pull.examined >= self.knobs.nr_migrate;
                if enough || pull.is_done(ask.pass) {
                    break;
                }
                pull.examined += 1;
                if let Some(at) = self.target_for(domain, entry.task, &pull, ask) {
                    pull.take(
                        TaskMove { task: entry.task, from, to: pull.targets[at], running: false },
                        at,
                        entry.weight,
                    );
                }
            }
        }
        pull.moves
    }

    /// Where tasks may go: this CPU first, then, when it pulls for a group with idle CPUs, those.
    fn targets(&self, domain: &Domain, ask: &Ask<'_, '_>) -> Vec<CpuId> {
        let mut targets = vec![ask.cpu];
        if ask.pass == Pass::Idle {
            let group = domain.groups[ask.balance.group].iter().copied();
            targets.extend(group.filter(|cpu| *cpu != ask.cpu && self.is_idle(*cpu)));
        }
        targets
    }

    fn target_for(
        &self,
        domain: &Domain,
        task: TaskId,
        pull: &Pull,
        ask: &mut Ask<'_, '_>,
    ) -> Option<usize> {
        if let Imbalance::Load(left) = pull.left {
            // A task that is too heavy by half would turn the imbalance round; failures relax it.
            let shift = 1 + ask.balance.nr_failed.min(31);
            if u64::from(self.tasks.weight[task]) >> shift > left {
                return None;
            }
        }
        let at = pull.targets.iter().position(|cpu| self.allowed(task, *cpu))?;
        self.permits(domain, task, pull.targets[at], self.is_hot(domain, task, ask.now), ask)
            .then_some(at)
    }

    /// Whether the design and cache hotness let `task` go.
    fn permits(
        &self,
        domain: &Domain,
        task: TaskId,
        to: CpuId,
        hot: bool,
        ask: &mut Ask<'_, '_>,
    ) -> bool {
        let tried = ask.balance.nr_failed > domain.level.cache_nice_tries();
        match (ask.permit)(self, task, to) {
            Permit::Refuse => false,
            Permit::Encourage => true,
            Permit::Default => !hot || tried,
            Permit::Resist => tried,
        }
    }

    /// Siblings of a core share all caches, so nothing is hot between them.
    fn is_hot(&self, domain: &Domain, task: TaskId, now: Nanos) -> bool {
        domain.level != Level::Smt
            && self.tasks.run_time[task] > Nanos::ZERO
            && now.saturating_sub(self.tasks.last_ran[task]) < self.knobs.migration_cost
    }

    /// Between nodes with spare CPUs: once in an interval. Else after repeated failures.
    fn may_pull_running(&self, domain: &Domain, busiest: GroupState, ask: &Ask<'_, '_>) -> bool {
        if domain.level.is_numa() && busiest != GroupState::Overloaded {
            let interval = self.knobs.numa_pull_interval;
            return domain.last_active.is_none_or(|last| last + interval <= ask.now);
        }
        ask.balance.nr_failed > domain.level.cache_nice_tries() + 2
    }

    /// A running task of `group`, at random among those that may go. Its cache is warm, which does
    /// not hold it back.
    fn pull_running(
        &self,
        domain: &Domain,
        group: &[CpuId],
        ask: &mut Ask<'_, '_>,
    ) -> Option<TaskMove> {
        let targets = self.targets(domain, ask);
        let mut sources = group.to_vec();
        ask.rng.shuffle(&mut sources);
        for from in sources {
            let Some(task) = self.rqs[from].current else { continue };
            let Some(to) = targets.iter().copied().find(|cpu| self.allowed(task, *cpu)) else {
                continue;
            };
            if self.permits(domain, task, to, false, ask) {
                return Some(TaskMove { task, from, to, running: true });
            }
        }
        None
    }
}

/// Moves collected so far.
struct Pull {
    moves: Vec<TaskMove>,
    left: Imbalance,
    examined: u32,
    /// CPUs that may still take a task.
    targets: Vec<CpuId>,
}

impl Pull {
    fn is_done(&self, pass: Pass) -> bool {
        let one_is_enough = pass == Pass::NewIdle && !self.moves.is_empty();
        one_is_enough
            || self.targets.is_empty()
            || matches!(self.left, Imbalance::Tasks(0) | Imbalance::Load(0))
    }

    /// An idle target takes one task; by load, one CPU takes all.
    fn take(&mut self, task_move: TaskMove, target: usize, weight: u32) {
        self.moves.push(task_move);
        match &mut self.left {
            Imbalance::Tasks(left) => {
                *left -= 1;
                self.targets.remove(target);
            }
            Imbalance::Load(left) => *left = left.saturating_sub(u64::from(weight)),
        }
    }
}
