//! Out of memory: what a process holds, and which one is killed.
//!
//! After Linux 6.12, and as proc(5) (oom_score_adj) and Documentation/admin-guide/cgroup-v2.rst
//! (memory.events) have it: the process with the largest badness is chosen. Where the guest is attached
//! its caller chooses and kills; here only `oom` is counted. Left out: `memory.oom.group`, and that a
//! victim takes time to go.

use super::stat::Stat;
use super::state::{Guest, NONE, pte};

/// Memory of a process, pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Anonymous pages mapped.
    pub anon_rss: u64,
    /// Pages of files and of shared memory mapped. Those of an attached guest belong to no process.
    pub file_rss: u64,
    /// Pages in swap, or in the swap cache only.
    pub swap: u64,
    /// Page tables.
    pub tables: u64,
}

impl Footprint {
    /// The kernel's badness: memory in pages, shifted by a thousandth of all memory for each point of
    /// `oom_score_adj`. `None` where that says that the process must not be killed.
    pub fn badness(&self, oom_score_adj: i32, total_pages: u64) -> Option<i64> {
        let pages = (self.anon_rss + self.file_rss + self.swap + self.tables) as i64;
        let shift = i64::from(oom_score_adj) * (total_pages / 1000) as i64;
        (oom_score_adj > OOM_SCORE_ADJ_MIN).then_some(pages + shift)
    }
}

/// Exempts a process.
pub const OOM_SCORE_ADJ_MIN: i32 = -1000;

impl Guest {
    /// Nothing could be freed for a group, or for the machine (group 0). Gives whether another process
    /// than the running one was killed, so that trying again makes sense; the running one is killed
    /// at the end of its fault.
    #[inline(never)]
    pub(super) fn out_of_memory(&mut self, memcg: u16) -> bool {
        if memcg != 0 {
            self.count_memcg(memcg, Stat::events_oom, 1);
        }
        if self.outside.attached {
            self.oom = true;
            self.outside.note_oom(memcg);
            return false;
        }
        let current = self.current_proc as u16;
        let victim = self.worst_process(memcg).unwrap_or(current);
        self.count_kill(victim);
        if victim == current {
            self.oom = true;
            return false;
        }
        self.end(victim);
        true
    }

    /// The process in a group or below it with the largest badness, `oom_score_adj` being 0 for all; the
    /// running one before equals.
    fn worst_process(&self, memcg: u16) -> Option<u16> {
        let alive = (0..self.procs.len() as u16).filter(|index| {
            let proc = &self.procs[*index as usize];
            !proc.dead && !proc.exited && self.is_below(proc.memcg, memcg)
        });
        let badness = |index| self.footprint(index).badness(0, 0).filter(|pages| *pages > 0);
        let rated = alive.filter_map(|index| {
            Some((badness(index)?, usize::from(index) == self.current_proc, index))
        });
        rated.max().map(|(_, _, index)| index)
    }

    /// What a process holds.
    pub fn footprint(&self, process: u16) -> Footprint {
        let proc = &self.procs[process as usize];
        let mut found = Footprint { tables: proc.table_zones.len() as u64, ..Footprint::default() };
        for vma in proc.vmas.iter().map(|vma| &self.vmas[*vma as usize]) {
            let private = self.is_private(vma.object);
            if !private && self.outside.attached {
                continue;
            }
            let pages = &self.objects[vma.object as usize].pages;
            for (entry, page) in vma.ptes.iter().zip(pages) {
                let is_mapped = entry & (pte::PRESENT | pte::ZERO) == pte::PRESENT;
                let exists = page.folio() != NONE || page.swap() != NONE;
                found.anon_rss += u64::from(private && is_mapped);
                found.file_rss += u64::from(!private && is_mapped);
                found.swap += u64::from(private && !is_mapped && exists);
            }
        }
        found
    }

    fn count_kill(&mut self, process: u16) {
        self.count(self.procs[process as usize].memcg, Stat::events_oom_kill, 1);
    }

    /// Ends a process that was chosen here.
    pub(super) fn end(&mut self, process: u16) {
        self.procs[process as usize].dead = true;
        self.exit(self.cpu, process);
    }

    /// Counts the kill of a process that the caller chose and frees what it has besides its pages, which
    /// the caller discards. Its faults are not served any more.
    pub fn kill(&mut self, cpu: usize, process: u16) {
        self.cpu = cpu;
        self.count_kill(process);
        self.procs[process as usize].dead = true;
        self.free_tables(process);
    }

    /// Frees a process's page tables and other kernel memory.
    pub(super) fn free_tables(&mut self, process: u16) {
        let proc = &mut self.procs[process as usize];
        proc.exited = true;
        let zones = std::mem::take(&mut proc.table_zones);
        for (memcg, pages) in std::mem::take(&mut proc.kernel_memory) {
            self.uncharge_counter(memcg, pages);
        }
        for zone in zones {
            self.free_to_zone(zone as usize, 1);
        }
    }
}
