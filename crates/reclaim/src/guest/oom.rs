//! Out of memory: which process is killed.
//!
//! After Linux 6.12 the one that holds most is chosen: resident pages, swap entries, page tables.
//! Left out: `oom_score_adj`, `memory.oom.group`, and that a victim takes time to go.

use super::stat::Stat;
use super::state::{Guest, NONE, pte};

impl Guest {
    /// Nothing could be freed for a group, or for the machine (group 0). Gives whether another process
    /// than the running one was killed, so that trying again makes sense; the running one is killed
    /// at the end of its fault.
    #[inline(never)]
    pub(super) fn out_of_memory(&mut self, memcg: u16) -> bool {
        if self.outside.attached {
            if memcg == 0 {
                self.vm[Stat::events_oom_kill] += 1;
            } else {
                self.count_memcg(memcg, Stat::events_oom_kill, 1);
            }
            self.oom = true;
            self.outside.note_oom(memcg);
            return false;
        }
        if memcg != 0 {
            self.count_memcg(memcg, Stat::events_oom, 1);
        }
        let current = self.current_proc as u16;
        let victim = self.largest_process(memcg).unwrap_or(current);
        self.count_kill(self.procs[victim as usize].memcg);
        if victim == current {
            self.oom = true;
            return false;
        }
        self.kill(victim);
        true
    }

    /// The process in a group or below it that holds most; the running one before equals.
    fn largest_process(&self, memcg: u16) -> Option<u16> {
        let alive = (0..self.procs.len() as u16).filter(|index| {
            let proc = &self.procs[*index as usize];
            !proc.dead && !proc.exited && self.is_below(proc.memcg, memcg)
        });
        let score = |index: &u16| (self.held(*index), usize::from(*index) == self.current_proc);
        alive.max_by_key(score).filter(|index| self.held(*index) > 0)
    }

    /// Pages and swap entries of a process, and its page tables.
    fn held(&self, process: u16) -> u64 {
        let proc = &self.procs[process as usize];
        let tables = proc.table_zones.len() as u64;
        let of_region = |vma: &u32| {
            let vma = &self.vmas[*vma as usize];
            let object = &self.objects[vma.object as usize];
            let private = object.swapbacked && !object.shmem;
            let entries = vma.ptes.iter().zip(&object.pages);
            let holds = |entry: u8, page: &super::page::Page| {
                let swapped = private && page.folio() == NONE && page.swap() != NONE;
                (entry & pte::PRESENT != 0 && entry & pte::ZERO == 0) || swapped
            };
            entries.filter(|(entry, page)| holds(**entry, page)).count() as u64
        };
        tables + proc.vmas.iter().map(of_region).sum::<u64>()
    }

    fn count_kill(&mut self, memcg: u16) {
        self.count(memcg, Stat::events_oom_kill, 1);
    }

    /// Ends a process that was chosen.
    pub(super) fn kill(&mut self, process: u16) {
        self.procs[process as usize].dead = true;
        self.exit(self.cpu, process);
    }
}
