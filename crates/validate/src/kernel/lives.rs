//! Processes of a case: when they begin and end, and what their children do.

use std::collections::BTreeMap;

use reclaim::guest::{Backing, Policy};

use super::case::{Kind, Region, Touch};
use super::generate::Pages;
use super::replay::{Life, PROGRAM_PAGES, ProcState, Replay, SNAPSHOT_PAGES, State, ThreadState};

/// Pages of its own that a forked child writes: its stack, tables of the program, its task.
const CHILD_PAGES: u32 = 12;
/// Kernel memory of a forked child that its group pays for.
const CHILD_KERNEL_PAGES: u64 = 17;
/// Touches after which a step looks at the clock.
const CLOCK_DISTANCE: u64 = 256;

impl Replay<'_> {
    /// Makes room for a process and its threads; it does not exist before it begins.
    pub(super) fn declare_process(&mut self, index: usize) {
        for (number, thread) in self.case.procs[index].threads.iter().enumerate() {
            let cpu = thread.cpus.first().copied().unwrap_or(0);
            self.threads.push(ThreadState::new(index, number, cpu.min(self.nr_cpus() - 1)));
        }
        self.procs.push(ProcState::default());
    }

    /// Begins the processes that wait for nobody, or for one that has ended.
    pub(super) fn begin_processes(&mut self) {
        for index in 0..self.procs.len() {
            let gone = |name: &String| {
                let place = self.case.procs.iter().position(|proc| proc.name == *name);
                place.is_none_or(|place| self.procs[place].life == Life::Gone)
            };
            let waits = self.case.procs[index].after.as_ref().is_some_and(|name| !gone(name));
            if self.procs[index].life == Life::Unborn && !waits {
                self.begin_process(index);
            }
        }
    }

    fn begin_process(&mut self, index: usize) {
        let proc = &self.case.procs[index];
        let group = self.groups.get(&proc.cgroup).copied().unwrap_or(0);
        let id = self.guest.add_process(group);
        let mut regions = BTreeMap::new();
        for (number, region) in proc.regions.iter().enumerate() {
            let backing = backing_of(&proc.name, region);
            let offset = (1 << 32) + ((number as u64) << 24);
            let huge = proc.thp && region.kind == Kind::Anon;
            let (pages, policy) = (region.pages as u32, region.policy);
            let vma = self.guest.add_region(id, &backing, pages, policy, offset, huge);
            regions.insert(region.name.clone(), (vma, region.kind, region.pages));
        }
        let pages = PROGRAM_PAGES + SNAPSHOT_PAGES;
        let program =
            self.guest.add_region(id, &Backing::Anon, pages, Policy::Default, 1 << 31, false);
        self.procs[index] =
            ProcState { id, regions, program, life: Life::Alive, ..ProcState::default() };
        let mut cpu = 0;
        for thread in self.threads.iter_mut().filter(|thread| thread.proc == index) {
            thread.state = State::Ready;
            cpu = thread.cpu;
        }
        for page in 0..PROGRAM_PAGES {
            self.guest.touch(cpu, program, page, true);
        }
        self.guest.charge_kernel(id, 1);
        if self.balancing.is_some() {
            let mappings = self.mappings(index);
            if let Some(balancing) = &mut self.balancing {
                balancing.map_all(index, &mappings);
            }
        }
    }

    /// Ends the processes whose threads are all done, and begins those that waited for them.
    pub(super) fn reap(&mut self) {
        let mut any = false;
        for index in 0..self.procs.len() {
            let mut own = self.threads.iter().filter(|thread| thread.proc == index);
            if self.procs[index].life != Life::Alive || !own.all(|t| t.state == State::Done) {
                continue;
            }
            let cpu = self.threads.iter().rfind(|thread| thread.proc == index);
            let cpu = cpu.map_or(0, |thread| thread.cpu);
            let state = &mut self.procs[index];
            state.life = Life::Gone;
            state.regions.clear();
            let id = state.id;
            if !self.guest.is_dead(id) {
                self.guest.exit(cpu, id);
            }
            any = true;
        }
        if any {
            self.begin_processes();
        }
    }

    /// A child touches, prints and exits while the parent waits.
    pub(super) fn fork(&mut self, index: usize, label: &str, touch: &Touch) {
        let (proc, cpu) = (self.threads[index].proc, self.threads[index].cpu);
        let Some((parent, kind, pages)) = self.procs[proc].regions.get(&touch.region).copied()
        else {
            return;
        };
        let (child, region) = self.guest.fork(cpu, parent);
        let program = self.guest.add_region(
            child,
            &Backing::Anon,
            CHILD_PAGES,
            Policy::Default,
            1 << 31,
            false,
        );
        for page in 0..CHILD_PAGES {
            self.guest.touch(cpu, program, page, true);
        }
        self.guest.charge_kernel(child, CHILD_KERNEL_PAGES);
        let mut generator = Pages::new(touch, pages);
        let end = self.guest.now() + touch.ms * 1_000_000;
        let mut done = 0_u64;
        // A parent that was killed meanwhile has given up what the child would look at.
        let own = self.procs[self.threads[index].proc].id;
        while !self.guest.is_dead(child) && !self.guest.is_dead(own) {
            let late = touch.count.is_none()
                && done.is_multiple_of(CLOCK_DISTANCE)
                && self.guest.now() >= end;
            if late || touch.count.is_some_and(|count| done >= count) {
                break;
            }
            let page = generator.next_page() as u32;
            if kind == Kind::Io {
                self.guest.file_io(cpu, region, page, touch.write);
            } else {
                self.guest.touch_in_child(cpu, parent, region, page, touch.write);
            }
            done += 1;
        }
        if !self.guest.is_dead(child) && !self.guest.is_dead(own) {
            self.snap(index, label);
            self.guest.exit(cpu, child);
        }
    }
}

fn backing_of(process: &str, region: &Region) -> Backing {
    let path = if region.path.is_empty() {
        format!("{process}/{}", region.name)
    } else {
        region.path.clone()
    };
    match region.kind {
        Kind::Anon => Backing::Anon,
        Kind::Shmem => Backing::Shmem(path),
        Kind::File | Kind::Io if path.starts_with("/shm") => Backing::Shmem(path),
        Kind::File | Kind::Io => Backing::File(path),
    }
}
