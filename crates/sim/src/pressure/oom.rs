//! Out of memory: a process is killed as the kernel chooses it, and the run goes on.
//!
//! mm/oom_kill.c as documented in proc(5) and Documentation/admin-guide/cgroup-v2.rst: of the processes
//! below the group that is full, or of all, the one with the largest badness goes; of equals the last. Its
//! memory is free at once, as by the OOM reaper; its threads end when they next return to their
//! program, those that sleep or wait at a barrier at once, those that wait for a device when it has
//! answered. Left out: memory.oom.group, children sharing the blame, reserves for the victim.

use base::{CpuId, MmId, Nanos, TaskId, Vm};
use mm::Pte;
use reclaim::guest::Gauge;
use results::{OomKill, OomTask, Outcome};
use trace::Step;

use super::Pressure;
use crate::thread::{Activity, Role, WaitFor};
use crate::world::World;

impl World {
    /// Nothing could be freed for a task: a process is killed, or where none may be, the run ends.
    pub(super) fn out_of_memory(&mut self, task: TaskId, cpu: CpuId, group: u16) {
        let Some(kill) = self.choose_victim(task, cpu, group) else {
            let name = &self.threads[task].name;
            let Some(pressure) = &self.pressure else { return };
            let text = format!("thread {name}: {}", pressure.full_report(group));
            self.outcome = Outcome::OutOfMemory(text);
            self.finish(self.cpus[cpu].clock);
            return;
        };
        self.vmstat[Vm::oom_kill] += 1;
        self.kill_process(task, cpu, kill.killed().process);
        if let Some(pressure) = &mut self.pressure {
            pressure.kills.push(kill);
        }
    }

    /// The process to kill with all that the report needs; `None` where there is none.
    fn choose_victim(&self, task: TaskId, cpu: CpuId, group: u16) -> Option<OomKill> {
        let pressure = self.pressure.as_deref()?;
        let (usage_pages, limit_pages) = pressure.usage_of(group);
        let mut tasks = Vec::new();
        for (process, guest) in &pressure.processes {
            let inside = pressure.guest.is_below(pressure.group_of(*process), group);
            if !inside || !self.is_killable(*process) {
                continue;
            }
            let held = pressure.guest.footprint(*guest);
            let oom_score_adj = pressure.oom_score_adj[usize::from(*guest)];
            let Some(badness) = held.badness(oom_score_adj, limit_pages) else { continue };
            tasks.push(OomTask {
                process: *process,
                name: self.process_name(*process),
                rss: held.anon_rss,
                pgtables: held.tables,
                swapents: held.swap,
                oom_score_adj,
                badness,
            });
        }
        let (victim, worst) = tasks.iter().enumerate().max_by_key(|(_, task)| task.badness)?;
        let path = |group: u16| pressure.groups[usize::from(group)].path.clone();
        Some(OomKill {
            at: self.cpus[cpu].clock,
            asked_by: self.threads[task].name.clone(),
            path: path(group),
            usage_pages,
            limit_pages,
            victim,
            task_path: path(pressure.group_of(worst.process)),
            tasks,
            state: pressure.state_of(group),
        })
    }

    /// Whether a process has a thread that runs, and none that was killed already.
    fn is_killable(&self, process: u32) -> bool {
        let mut own = self.threads.iter().filter(|thread| thread.process == process);
        own.clone().all(|thread| !thread.is_killed)
            && own.any(|thread| thread.start != Nanos::MAX && thread.end.is_none())
    }

    /// The name of a process's threads without their numbers.
    pub(super) fn process_name(&self, process: u32) -> String {
        let first = self.threads.iter().find(|thread| thread.process == process);
        let name = first.map_or("", |thread| thread.name.as_str());
        name.rsplit_once('.').map_or(name, |(process, _)| process).to_owned()
    }

    /// Frees a process's memory and lets its threads end, at the cost of the task that needs memory.
    fn kill_process(&mut self, task: TaskId, cpu: CpuId, process: u32) {
        let mut spaces: Vec<MmId> = Vec::new();
        for idx in 0..self.threads.len() {
            let other = TaskId::from_idx(idx);
            if self.threads[other].is_user() && self.threads[other].process == process {
                spaces.push(self.threads[other].user().mm);
                self.kill_thread(other, self.cpus[cpu].clock);
            }
        }
        spaces.sort();
        spaces.dedup();
        spaces.into_iter().for_each(|mm| self.release_all(task, cpu, mm));
        if let Some(pressure) = &mut self.pressure {
            let own = pressure.cpus[cpu];
            if let Some(guest) = pressure.guest_number(process) {
                pressure.guest.kill(own, guest);
            }
            pressure.show_free(&mut self.memory);
        }
    }

    /// Frees the pages of a killed process's address space.
    pub(crate) fn release_all(&mut self, task: TaskId, cpu: CpuId, mm: MmId) {
        let space = &self.memory.spaces[mm];
        if !space.file && space.ptes.iter().any(|pte| pte.has(Pte::PRESENT)) {
            let pages = 0..space.ptes.len() as u32;
            self.release(task, cpu, mm, pages);
        }
    }

    /// Lets a thread end as soon as it runs; wakes it where it sleeps.
    fn kill_thread(&mut self, task: TaskId, now: Nanos) {
        let thread = &mut self.threads[task];
        thread.is_killed = true;
        if let Role::User(user) = &mut thread.role {
            (user.step, user.done) = (Step::End, 0);
        }
        if matches!(thread.activity, Activity::Compute(_)) {
            thread.activity = Activity::Replay;
        }
        match thread.wait.map(|wait| wait.why) {
            Some(WaitFor::Barrier(_)) => {
                for barrier in &mut self.barriers {
                    barrier.waiting.retain(|waiting| *waiting != task);
                }
                self.wake_at(task, now);
            }
            Some(WaitFor::Timer) => self.wake_at(task, now),
            Some(WaitFor::Migration | WaitFor::Device) | None => {}
        }
    }

    /// A run whose threads were all killed has not finished.
    pub(crate) fn note_all_killed(&mut self) {
        let Some(kill) = self.pressure.as_ref().and_then(|pressure| pressure.kills.last()) else {
            return;
        };
        let mut ran = self.threads.iter().filter(|it| it.is_user() && it.start != Nanos::MAX);
        if ran.all(|thread| thread.is_killed) {
            let text = format!("every process was killed; the last one: {}", kill.line());
            self.outcome = Outcome::OutOfMemory(text);
        }
    }

    /// Whether the run ends because those who are left wait for threads that were killed.
    pub(crate) fn ends_by_kill(&mut self, now: Nanos) -> bool {
        let Some(kill) = self.pressure.as_ref().and_then(|pressure| pressure.kills.last()) else {
            return false;
        };
        let waiting: usize = self.barriers.iter().map(|barrier| barrier.waiting.len()).sum();
        let text = format!(
            "{waiting} threads wait at barriers for threads that were killed; the last kill: {}",
            kill.line()
        );
        self.outcome = Outcome::OutOfMemory(text);
        self.finish(now);
        true
    }
}

impl Pressure {
    /// Pages that a group or the machine has in use, and how many there may be, with swap.
    fn usage_of(&self, group: u16) -> (u64, u64) {
        if group == 0 {
            let free: u64 = (0..self.zones.len()).map(|zone| self.guest.free_pages(zone)).sum();
            return (self.managed.saturating_sub(free), self.managed);
        }
        (self.guest.gauge(group, Gauge::Current), self.guest.limit(group))
    }
}
