//! A thread of the workload goes on with its steps: blocks of accesses, sweeps, events.

use std::ops::Range;
use std::sync::Arc;

use base::math::round_to_u64;
use base::{CpuId, MmId, Nanos, NodeId, TaskId, Vm};
use mm::Pte;
use sched::Leave;
use trace::{Advice, Event, Points, Step};

use crate::replay::{Count, Gathered, run_sweep};
use crate::thread::{Activity, Role, Thought, User, WaitFor};
use crate::world::{Barrier, World, cx, policy_of, vma_of};

/// Most pages of a sweep that are replayed at a time.
const SWEEP_BLOCK: usize = 4096;
/// Most accesses to single pages that are replayed before their time is settled.
const MOST_POINTS: usize = 4096;
/// Accesses of which that much need not be left.
const FEW_POINTS: usize = 256;
/// Fewest accesses of a block.
const SHORTEST_BLOCK: usize = 16;

/// An access that needs the slow path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slow {
    pub(crate) mm: MmId,
    pub(crate) page: u32,
    pub(crate) write: bool,
}

/// What a slow access did to page-table entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// No entry that was open has changed, and the task goes on with its accesses.
    Closed,
    /// Whatever there is.
    More,
}

/// Whether at most [`MOST_POINTS`] of these numbers can be added up in thirty-two bits.
fn are_small(numbers: &[u32]) -> bool {
    numbers.iter().fold(0, |any, number| any | number) < 1 << 20
}

/// The sum of at most [`MOST_POINTS`] numbers that are small. It ends with a whole vector, since a
/// loop over the rest would be mispredicted at its end.
fn sum_of_small(numbers: &[u32]) -> u64 {
    const LANES: usize = 8;
    let (vectors, rest) = numbers.as_chunks::<LANES>();
    let Some(last) = numbers.last_chunk::<LANES>() else {
        return numbers.iter().map(|number| u64::from(*number)).sum();
    };
    let whole = vectors.as_flattened().iter().fold(0u32, |sum, number| sum.wrapping_add(*number));
    // The last vector overlaps the one before it.
    let new = |(lane, number): (usize, &u32)| if lane + rest.len() >= LANES { *number } else { 0 };
    u64::from(last.iter().enumerate().map(new).fold(whole, u32::wrapping_add))
}

impl World {
    /// Replays one block, or carries out one event, of the thread's stream.
    pub(crate) fn replay(&mut self, task: TaskId, cpu: CpuId, until: Nanos) {
        let user = self.threads[task].user();
        match &user.step {
            Step::Points(_, range) => {
                if range.start + user.done >= range.end {
                    self.next_step(task, cpu);
                } else {
                    self.replay_points(task, cpu, until);
                }
            }
            Step::Sweep(sweep) => {
                let sweep = *sweep;
                if user.done >= sweep.nr_pages as usize {
                    self.next_step(task, cpu);
                } else {
                    self.replay_sweep(task, cpu, until, sweep);
                }
            }
            Step::Event(event) => {
                let event = event.clone();
                self.next_step(task, cpu);
                self.event(task, cpu, event);
            }
            Step::End => self.exit(task, cpu),
        }
    }

    fn next_step(&mut self, task: TaskId, cpu: CpuId) {
        let user = self.threads[task].user();
        user.done = 0;
        user.thought = Thought::default();
        match user.stream.next_step() {
            Ok(step) => user.step = step,
            Err(error) => self.error = Some(error.into()),
        }
        // A stream may change its pattern from step to step within an epoch.
        if self.threads[task].rates.epoch != self.epoch.nr {
            self.estimate_rates(task, cpu);
        }
    }

    /// Replays accesses of the step at hand, which are [`Step::Points`], until time is up or the slow
    /// path has changed more than what it was called for.
    fn replay_points(&mut self, task: TaskId, cpu: CpuId, until: Nanos) {
        let Step::Points(points, range) = &self.threads[task].user().step else { return };
        let (points, end) = (Arc::clone(points), range.end);
        let first = range.start;
        let mut gathered = self.gathered.take().unwrap_or_default();
        gathered.forget();
        loop {
            let rows = first + self.threads[task].user().done..end;
            let slow = self.replay_open(task, cpu, until, &points, rows, &mut gathered);
            let Some(slow) = slow else { break };
            let touched = self.slow_access(task, cpu, slow);
            if touched == Touched::More {
                // The next one is likely near, and what is gathered behind it is gathered in vain.
                let user = self.threads[task].user();
                user.block = (user.block / 2).max(SHORTEST_BLOCK);
                break;
            }
            if self.leaves(task, cpu, until).is_some() {
                break;
            }
        }
        self.gathered = Some(gathered);
    }

    /// Replays accesses until one of them needs the slow path, which is returned, or as many are
    /// done as are likely to fit. First touches of base pages are served on the way; their time is
    /// settled with that of the accesses.
    fn replay_open(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        until: Nanos,
        points: &Points,
        rows: Range<usize>,
        gathered: &mut Gathered,
    ) -> Option<Slow> {
        let budget_ns = until.since(self.cpus[cpu].clock).0 as f64;
        let accesses_per_ns = 1.0 / self.threads[task].access_ns;
        // Several blocks at a time only while they fill half of the time that is left: what the
        // last ones took is a guess for the next.
        let fitting = (budget_ns * accesses_per_ns) as usize;
        let wanted = if fitting / 2 > FEW_POINTS {
            (fitting / 2).min(MOST_POINTS)
        } else {
            fitting.clamp(1, FEW_POINTS)
        };
        let first = rows.start;
        let mut left = first..rows.end.min(first + wanted);
        let mut slow = None;
        'blocks: loop {
            let User { seen, block, .. } = self.threads[task].user();
            let space = &mut self.memory.spaces[points.mm];
            let (ptes, huge) = space.tables(self.pressure.is_some());
            let mut closed = gathered.run((&mut *ptes, huge), points, &mut left, block, seen);
            let Some(at) = closed else { break };
            let pte_of = |at| ptes[points.page[left.start + at] as usize];
            if pte_of(at).has(Pte::PROTNONE) {
                let ahead = gathered.closed_ahead(left.len()).map(|at| pte_of(at).folio());
                self.memory.folios.read_ahead(ahead);
            }
            while let Some(at) = closed {
                let row = left.start + at;
                let write = points.traffic[row].is_write();
                let access = Slow { mm: points.mm, page: points.page[row], write };
                let is_served = self.touch_first(task, cpu, access);
                if is_served {
                    let rest_ns = budget_ns - self.touches.time().0 as i64 as f64;
                    left.end = left.end.min(first + (rest_ns * accesses_per_ns) as usize);
                }
                let ptes = &mut self.memory.spaces[points.mm].ptes;
                if !is_served || row >= left.end {
                    let seen = &mut self.threads[task].user().seen;
                    gathered.stop(ptes, points, &mut left, at, seen);
                    slow = (!is_served).then_some(access);
                    break 'blocks;
                }
                closed = gathered.next(ptes, points, &left);
            }
        }
        let row = left.start;
        if row > first {
            if let Some(yardsticks) = &mut self.yardsticks {
                let process = self.threads[task].process;
                let pages = points.page[first..row].iter().copied();
                yardsticks.access(self.pressure.as_deref(), process, points.mm, pages);
            }
            let think_ns = self.think_ns(task, points, first..row, rows.end);
            let took = self.settle(task, cpu, think_ns as f64);
            let thread = &mut self.threads[task];
            thread.user().done += row - first;
            thread.access_ns = (took / (row - first) as f64).max(0.1);
        }
        self.settle_touches(task, cpu);
        slow
    }

    /// Think time of some rows of the step at hand, which ends at `end`.
    fn think_ns(&mut self, task: TaskId, points: &Points, rows: Range<usize>, end: usize) -> u64 {
        let thought = &mut self.threads[task].user().thought;
        if rows.end > thought.until {
            // Looked at by thousands, so that cache misses overlap: short stretches would wait for
            // each.
            thought.until = rows.end.max(end.min(rows.start + MOST_POINTS));
            thought.are_small = are_small(&points.think_ns[rows.start..thought.until]);
        }
        let think = &points.think_ns[rows];
        if thought.are_small {
            sum_of_small(think)
        } else {
            think.iter().map(|ns| u64::from(*ns)).sum()
        }
    }

    /// Replays pages of a sweep: a stretch of present ones, or of those that are touched for the first
    /// time, or one that needs the slow path.
    fn replay_sweep(&mut self, task: TaskId, cpu: CpuId, until: Nanos, sweep: trace::Sweep) {
        let budget_ns = until.since(self.cpus[cpu].clock).0 as f64;
        let done = self.threads[task].user().done;
        let most = SWEEP_BLOCK.min(sweep.nr_pages as usize - done) as u32;
        let page = sweep.page + done as u32;
        let first = self.memory.spaces[sweep.mm].look(page);
        let nr = if first.has(Pte::OPEN) {
            let fitting = budget_ns / self.page_ns(task, &sweep, first.node());
            (fitting.ceil() as u32).clamp(1, most)
        } else {
            self.touch_sweep(task, cpu, budget_ns, &sweep, page..page + most)
        };
        if nr == 0 {
            let slow = Slow { mm: sweep.mm, page, write: sweep.traffic.is_write() };
            self.slow_access(task, cpu, slow);
            return;
        }
        let space = &mut self.memory.spaces[sweep.mm];
        let user = self.threads[task].user();
        let tables = space.tables(self.pressure.is_some());
        let went = run_sweep(tables, page, nr, sweep.traffic, &mut user.seen);
        user.done += went as usize;
        if let Some(yardsticks) = &mut self.yardsticks {
            let process = self.threads[task].process;
            yardsticks.access(self.pressure.as_deref(), process, sweep.mm, page..page + went);
        }
        self.settle(task, cpu, f64::from(went) * f64::from(sweep.think_ns));
        self.settle_touches(task, cpu);
    }

    /// Nanoseconds that a page of a sweep takes, at least a tenth.
    fn page_ns(&self, task: TaskId, sweep: &trace::Sweep, node: NodeId) -> f64 {
        let rates = &self.threads[task].rates;
        let line_ns = rates.idle_ns[node.idx()] + rates.queue_ns[node.idx()];
        (f64::from(sweep.traffic.lines()) * line_ns + f64::from(sweep.think_ns)).max(0.1)
    }

    /// Touches pages for the first time, as many in a row as there are and time allows; returns their
    /// number.
    fn touch_sweep(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        budget_ns: f64,
        sweep: &trace::Sweep,
        pages: Range<u32>,
    ) -> u32 {
        let write = sweep.traffic.is_write();
        let mut passing_ns = 0.0;
        for page in pages.clone() {
            if !self.touch_first(task, cpu, Slow { mm: sweep.mm, page, write }) {
                return page - pages.start;
            }
            passing_ns += self.page_ns(task, sweep, self.memory.pte(sweep.mm, page).node());
            if passing_ns + self.touches.time().0 as i64 as f64 >= budget_ns {
                return page + 1 - pages.start;
            }
        }
        pages.len() as u32
    }

    /// Turns what a block saw into time and counts; returns the nanoseconds it took.
    fn settle(&mut self, task: TaskId, cpu: CpuId, think_ns: f64) -> f64 {
        let local = self.machine.node_of(cpu);
        let thread = &mut self.threads[task];
        let Role::User(user) = &mut thread.role else { return 0.0 };
        let (mut local_ns, mut remote_ns, mut queue_ns) = (0.0, 0.0, 0.0);
        let (mut local_count, mut remote_count) = (Count::default(), Count::default());
        let rates = &thread.rates;
        for (node, counts) in user.seen.drain() {
            let (idle, queue) = (rates.idle_ns[node.idx()], rates.queue_ns[node.idx()]);
            let of_node = &mut thread.epoch_seen[node.idx()];
            let mut idle_ns = [0.0; 2];
            for (kind, count) in counts.into_iter().enumerate() {
                // As a signed number: that conversion is an instruction, the other one is several.
                let lines_f = count.lines() as i64 as f64;
                queue_ns += lines_f * queue;
                idle_ns[kind] = lines_f * idle;
                of_node[kind] += count.lines();
            }
            let (ns, sum) = if node == local {
                (&mut local_ns, &mut local_count)
            } else {
                (&mut remote_ns, &mut remote_count)
            };
            *ns = *ns + idle_ns[0] + idle_ns[1];
            *sum += counts[0] + counts[1];
        }
        thread.lines_local += local_count.lines();
        thread.lines_remote += remote_count.lines();
        self.vmstat[Vm::sim_lines_local] += local_count.lines();
        self.vmstat[Vm::sim_lines_remote] += remote_count.lines();
        self.vmstat[Vm::sim_accesses_local] += local_count.accesses();
        self.vmstat[Vm::sim_accesses_remote] += remote_count.accesses();
        self.vmstat[Vm::sim_accesses] += (local_count + remote_count).accesses();
        let took = local_ns + remote_ns + queue_ns + think_ns;
        let exact = took + thread.rounding_ns;
        // Through signed numbers, as above.
        let ran = exact as i64 as u64;
        thread.rounding_ns = exact - ran as i64 as f64;
        // The parts are rounded one by one; computing takes what rounding leaves.
        let mut left = ran;
        let mut part = |ns: f64| {
            let part = round_to_u64(ns).min(left);
            left -= part;
            Nanos(part)
        };
        let time = &mut thread.time;
        time.queueing += part(queue_ns);
        time.remote += part(remote_ns);
        time.local += part(local_ns);
        let compute = Nanos(left);
        time.compute += compute;
        self.vmstat[Vm::sim_user_ns] += ran;
        self.cpus[cpu].clock += Nanos(ran);
        thread.clock = self.cpus[cpu].clock;
        self.tasks[task].cpu_time += Nanos(ran);
        self.sched.account_parts(cpu, [compute, Nanos(ran) - compute]);
        took
    }

    fn slow_access(&mut self, task: TaskId, cpu: CpuId, slow: Slow) -> Touched {
        self.vmstat[Vm::sim_slow_path] += 1;
        let pte = self.memory.pte(slow.mm, slow.page);
        if pte.has(Pte::MIGRATING) || pte.has(Pte::PROTNONE) {
            self.hint_fault(task, cpu, slow.mm, slow.page, slow.write)
        } else {
            self.demand_fault(task, cpu, slow.mm, slow.page, slow.write)
        }
    }

    fn event(&mut self, task: TaskId, cpu: CpuId, event: Event) {
        let now = self.cpus[cpu].clock;
        match event {
            Event::Spawn(child) => self.spawn(TaskId::from_idx(child), Some(task), now),
            Event::Mmap(mm, mapping) => self.memory.spaces[mm].map(vma_of(&mapping)),
            Event::Munmap(mm, pages) => {
                self.memory.spaces[mm].unmap(pages.clone());
                self.release(task, cpu, mm, pages);
            }
            Event::Madvise(mm, pages, advice) => self.madvise(task, cpu, mm, pages, advice),
            Event::SetMempolicy(policy) => {
                let policy = policy_of(&policy);
                let plain = policy == mm::Mempolicy::Local;
                self.tasks[task].has_policy = !plain;
                self.threads[task].user().policy = (!plain).then_some(policy);
            }
            Event::Mbind(mm, pages, policy) => {
                let policy = policy_of(&policy);
                self.memory.spaces[mm].change(pages, |vma| vma.policy = Some(policy.clone()));
            }
            Event::SetAffinity(mask) => self.set_affinity(task, mask, now),
            Event::SetNodes(nodes) => {
                let cpus = nodes.iter().filter_map(|node| self.machine.nodes.get(node));
                let mask = cpus.flat_map(|node| node.cpus.iter()).collect();
                self.set_affinity(task, mask, now);
            }
            Event::MoveCgroup(path) => self.move_cgroup(task, &path),
            Event::RemoveCgroup(path) => self.remove_cgroup(task, &path),
            Event::Read(mm, pages) => self.read_file(task, cpu, mm, pages),
            Event::EndRun => self.finish(now),
            Event::Barrier { id, parties } => self.barrier(task, cpu, id, parties),
            Event::Sleep(span) => {
                self.block(task, now, WaitFor::Timer);
                self.wake_at(task, now + span);
            }
            Event::Compute(span) if span > Nanos::ZERO => {
                self.threads[task].activity = Activity::Compute(span);
            }
            Event::Compute(_) => {}
            Event::MeasureFrom => self.measure_from(now),
            Event::MeasureAfter(span) => self.measure_from(now + span),
            Event::WorkDone(_) if self.measured_from.is_some_and(|from| now < from) => {}
            Event::WorkDone(units) => {
                self.work_done += units;
                self.threads[task].work_done += units;
            }
        }
    }

    fn set_affinity(&mut self, task: TaskId, mask: base::CpuMask, now: Nanos) {
        let mask = self.mask_or_all(mask);
        match self.sched.set_affinity(task, mask) {
            Ok(needed) => {
                self.tasks[task].allowed = mask;
                if let Some(needed) = needed {
                    self.apply_move(needed, now, results::MoveReason::SetAffinity, "");
                }
            }
            Err(_) => {
                self.error = Some(crate::SimError::NoCpu {
                    thread: self.threads[task].name.clone(),
                    machine: self.machine.name.clone(),
                });
            }
        }
    }

    fn madvise(&mut self, task: TaskId, cpu: CpuId, mm: MmId, pages: Range<u32>, advice: Advice) {
        match advice {
            Advice::HugePage => self.memory.spaces[mm].change(pages, |vma| vma.thp = Some(true)),
            Advice::NoHugePage => self.memory.spaces[mm].change(pages, |vma| vma.thp = Some(false)),
            // Without pressure, lazily freed pages would stay; freeing them at once is what a
            // program that reuses them sees as the worst case.
            Advice::DontNeed | Advice::Free => self.release(task, cpu, mm, pages),
            Advice::WillNeed => {}
        }
    }

    /// Frees the pages of a range at the task's cost. Folios under migration are left to the copier.
    pub(crate) fn release(&mut self, task: TaskId, cpu: CpuId, mm: MmId, pages: Range<u32>) {
        let busy: Vec<Range<u32>> = self.busy_ranges(mm, &pages);
        let mut start = pages.start;
        let mut freed = 0;
        for gap in busy.iter().map(Some).chain([None]) {
            let end = gap.map_or(pages.end, |gap| gap.start.max(start));
            freed += self.memory.free_range(mm, start..end).0;
            self.pressure_discard(cpu, mm, start..end);
            start = gap.map_or(pages.end, |gap| gap.end.min(pages.end));
        }
        self.vmstat[Vm::pgfree] += freed;
        let flush = self.tlb_flush(mm, cpu);
        let cost = Nanos(self.machine.costs.unmap_page.0 * freed) + flush;
        self.charge(task, cpu, cost, |time| &mut time.system);
    }

    fn barrier(&mut self, task: TaskId, cpu: CpuId, id: u32, parties: u32) {
        let now = self.cpus[cpu].clock;
        let idx = match self.barriers.iter().position(|barrier| barrier.id == id) {
            Some(idx) => idx,
            None => {
                self.barriers.push(Barrier { id, waiting: Vec::new() });
                self.barriers.len() - 1
            }
        };
        if self.barriers[idx].waiting.len() + 1 < parties as usize {
            self.barriers[idx].waiting.push(task);
            self.block(task, now, WaitFor::Barrier(id));
            return;
        }
        // Clocks of CPUs differ by up to an epoch: the barrier opens when the last clock is there.
        let waiting = std::mem::take(&mut self.barriers[idx].waiting);
        let clocks = waiting.iter().map(|other| self.threads[*other].clock);
        let opens = clocks.fold(now, Nanos::max);
        waiting.into_iter().for_each(|other| self.wake_at(other, opens));
        if opens > now {
            self.block(task, now, WaitFor::Barrier(id));
            self.wake_at(task, opens);
        }
    }

    /// Starts a task; its first CPU is the scheduler's choice, or the design's node.
    pub(crate) fn spawn(&mut self, task: TaskId, parent: Option<TaskId>, now: Nanos) {
        if self.tasks.get(task).is_none_or(|info| info.alive) || self.threads[task].end.is_some() {
            return;
        }
        self.nr_alive += 1;
        let info = &mut self.tasks[task];
        info.alive = true;
        info.started = now;
        if let Some(mm) = info.mm {
            self.spaces[mm].nr_tasks += 1;
            self.spaces[mm].tasks.push(task);
        }
        self.threads[task].start = now;
        self.threads[task].clock = now;
        self.design.task_start(&mut cx!(self, now), task, parent);
        let cpu = self.first_cpu(task, parent, now);
        self.sched.enqueue(task, cpu, now);
        self.kick(cpu, now);
    }

    fn first_cpu(&mut self, task: TaskId, parent: Option<TaskId>, now: Nanos) -> CpuId {
        let near = parent.map_or(CpuId(0), |parent| self.sched.cpu_of(parent));
        let allowed = self.tasks[task].allowed;
        let node = self.design.preferred_node(&mut cx!(self, now), task);
        let on_node = node.and_then(|node| {
            let cpus =
                self.sched.node_cpus(node).iter().copied().filter(|cpu| allowed.contains(*cpu));
            cpus.min_by_key(|cpu| (self.sched.nr_running(*cpu), *cpu))
        });
        let rng = &mut self.rng.fork;
        on_node.unwrap_or_else(|| match parent {
            Some(_) => self.sched.select_cpu_fork(task, near, rng),
            None => self.sched.select_cpu_exec(task, near, rng),
        })
    }

    fn exit(&mut self, task: TaskId, cpu: CpuId) {
        if self.threads[task].is_killed {
            // What it was moving when its memory was freed.
            let mm = self.threads[task].user().mm;
            self.release_all(task, cpu, mm);
        }
        let now = self.cpus[cpu].clock;
        self.record_lines(task, cpu);
        self.sched.dequeue(task, now, Leave::Exit);
        self.threads[task].end = Some(now);
        self.tasks[task].alive = false;
        self.nr_alive -= 1;
        if let Some(mm) = self.tasks[task].mm {
            self.spaces[mm].nr_tasks -= 1;
        }
        self.design.task_exit(&mut cx!(self, now), task);
    }

    /// Whether that time is in the measured part, as far as is known.
    pub(crate) fn is_measured(&self, at: Nanos) -> bool {
        self.measured_from.is_none_or(|from| at >= from)
    }

    /// The measured part begins at `from`; the first thread to say so counts.
    fn measure_from(&mut self, from: Nanos) {
        if self.measured_from.is_none() {
            self.restart_groups();
            self.measured_from = Some(from);
            if let Some(span) = self.stop_after {
                self.time_up_at(from + span);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MOST_POINTS, are_small, sum_of_small};

    proptest! {
        #[test]
        fn sums_are_exact(
            numbers in prop::collection::vec(0u32..1 << 20, 0..=MOST_POINTS),
            large in 1u32 << 20..,
        ) {
            let exact: u64 = numbers.iter().map(|number| u64::from(*number)).sum();
            prop_assert!(are_small(&numbers));
            prop_assert_eq!(sum_of_small(&numbers), exact);
            prop_assert!(!are_small(&[&numbers[..], &[large]].concat()));
        }
    }

    #[test]
    fn the_largest_sum_fits() {
        let most = [(1 << 20) - 1; MOST_POINTS];
        assert_eq!(sum_of_small(&most), ((1 << 20) - 1) * MOST_POINTS as u64);
    }
}
