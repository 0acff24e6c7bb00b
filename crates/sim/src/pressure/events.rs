//! Events of a workload that only matter where the kernel reclaims: memory cgroups, reads of files.

use std::ops::Range;

use base::{CpuId, MmId, Nanos, PAGE_BYTES, TaskId};
use reclaim::guest::Removal;

use crate::SimError;
use crate::bandwidth::page_bytes;
use crate::record::Latent;
use crate::world::World;

impl World {
    /// Moves the task's process to another memory cgroup; its pages stay charged where they are.
    pub(crate) fn move_cgroup(&mut self, task: TaskId, path: &str) {
        let process = self.threads[task].process;
        let Some(pressure) = &mut self.pressure else { return };
        let Some(guest) = pressure.guest_number(process) else { return };
        match pressure.find_group(path) {
            Some(group) => {
                pressure.guest.join(guest, group);
                pressure.record_in(guest, group);
            }
            None => {
                let thread = self.threads[task].name.clone();
                self.error = Some(SimError::NoMemcg { thread, path: path.to_owned() });
            }
        }
    }

    /// Removes a memory cgroup; its pages go to the group above, as in cgroup v1.
    pub(crate) fn remove_cgroup(&mut self, task: TaskId, path: &str) {
        let Some(pressure) = &mut self.pressure else { return };
        let group = pressure.find_group(path);
        let remove = |guest: &mut reclaim::guest::Guest| match group {
            Some(group) => guest.remove_group(group, Removal::Reparent),
            None => false,
        };
        let (removed, _) = pressure.call(&mut self.memory, None, remove);
        let thread = || self.threads[task].name.clone();
        match group {
            Some(group) if removed => pressure.groups[usize::from(group)].removed = true,
            Some(_) => {
                let (thread, path) = (thread(), path.to_owned());
                self.error = Some(SimError::BusyMemcg { thread, path });
            }
            None => {
                let (thread, path) = (thread(), path.to_owned());
                self.error = Some(SimError::NoMemcg { thread, path });
            }
        }
    }

    /// read() of pages of a file: each is copied from the page cache, which reads the device first if
    /// it does not have it. Without reclaim all files are in the page cache already.
    pub(crate) fn read_file(&mut self, task: TaskId, cpu: CpuId, mm: MmId, pages: Range<u32>) {
        let started = self.cpus[cpu].clock;
        let nr = u64::from(pages.end - pages.start);
        let rate = self.move_rate(task, cpu, None, self.machine.node_of(cpu));
        let copy = Nanos::from_secs_f64(page_bytes(nr) / rate);
        self.charge(task, cpu, copy, |time| &mut time.system);
        self.catch_up_kswapds(cpu, started);
        let process = self.threads[task].process;
        let is_measured = self.is_measured(started);
        let Some(pressure) = &mut self.pressure else { return };
        let own = pressure.cpus[cpu];
        let began = self.cpus[cpu].clock.0;
        if let Some(yardsticks) = &mut self.yardsticks {
            yardsticks.note_absent(pressure, process, mm, pages.clone());
            yardsticks.access(Some(pressure), process, mm, pages.clone());
        }
        let (work, applied) = pressure
            .call(&mut self.memory, None, |guest| guest.read(began, own, u32::from(mm.0), pages));
        if let Some(yardsticks) = &mut self.yardsticks {
            yardsticks.note_held(&pressure.guest);
        }
        if is_measured {
            pressure.recorded_of(process).bytes += nr * PAGE_BYTES;
        }
        self.pay_work(task, cpu, &work, &applied);
        self.note_fault(task, cpu, started, Latent::FileRead, &work);
        self.wake_kswapds(cpu, started);
        if let Some(group) = work.oom {
            self.out_of_memory(task, cpu, group);
        }
        self.sleep_for_work(task, cpu, &work);
    }
}
