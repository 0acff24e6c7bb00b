//! Reading a guest: counters, gauges, the clock.

use super::stat::{NumaStats, Stats};
use super::state::{Guest, NONE, SoftStats, pte};

/// Pages and the like that a group or the machine holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as memory.stat names them")]
pub enum Gauge {
    Current,
    SwapCurrent,
    Anon,
    File,
    Shmem,
    AnonThp,
    InactiveAnon,
    ActiveAnon,
    InactiveFile,
    ActiveFile,
    Unevictable,
    FileDirty,
    FileWriteback,
    SlabReclaimable,
    Zswapped,
}

impl Guest {
    /// The guest's clock, ns.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Lets time pass in which no task runs, and does what is due then; an idle machine does not
    /// flush statistics before it wakes.
    pub fn advance(&mut self, to: u64) {
        self.idle_until(to);
        self.finish_writes();
        self.flush_if_due();
    }

    /// Whether a process was killed because nothing could be freed for it.
    pub fn is_dead(&self, process: u16) -> bool {
        self.procs[process as usize].dead
    }

    /// What reading memory.stat does to the statistics that reclaim decides by.
    pub fn read_stats(&mut self) {
        self.flush_stats();
    }

    /// Empties every CPU's batches onto the lists.
    pub fn drain_all(&mut self) {
        for cpu in 0..self.cpus.len() {
            self.drain(cpu);
        }
    }

    /// /proc/vmstat's events.
    pub fn vmstat(&self) -> &Stats {
        &self.vm
    }

    /// memory.stat's events of a group and those below.
    pub fn group_stats(&self, group: u16) -> Stats {
        let mut sum = Stats::default();
        for memcg in (0..self.memcgs.len() as u16).filter(|memcg| self.is_below(*memcg, group)) {
            sum.add(&self.memcgs[memcg as usize].stats);
        }
        sum
    }

    /// What was reclaimed of a group because of soft limits.
    pub fn soft_stats(&self, group: u16) -> SoftStats {
        self.memcgs[group as usize].soft
    }

    /// A node's numastat.
    pub fn numastat(&self, node: usize) -> &NumaStats {
        &self.numa[node]
    }

    /// What a group and those below hold.
    pub fn gauge(&self, group: u16, gauge: Gauge) -> u64 {
        let own = &self.memcgs[group as usize];
        let sum = |pick: fn(&super::state::Memcg) -> i64| -> u64 {
            let groups = self.subtrees[group as usize].iter();
            groups.map(|memcg| pick(&self.memcgs[*memcg as usize])).sum::<i64>().max(0) as u64
        };
        let list = |list: usize| -> u64 {
            let nodes = 0..self.nr_nodes();
            nodes.map(|node| self.tree_size(group, node)[list]).sum::<i64>().max(0) as u64
        };
        match gauge {
            Gauge::Current => own.usage,
            Gauge::SwapCurrent => own.swap,
            Gauge::Anon => sum(|memcg| memcg.anon),
            Gauge::File => sum(|memcg| memcg.file),
            Gauge::Shmem => sum(|memcg| memcg.shmem),
            Gauge::AnonThp => sum(|memcg| memcg.anon_huge),
            Gauge::InactiveAnon => list(0),
            Gauge::ActiveAnon => list(1),
            Gauge::InactiveFile => list(2),
            Gauge::ActiveFile => list(3),
            Gauge::Unevictable => list(4),
            Gauge::FileDirty => sum(|memcg| memcg.dirty),
            Gauge::FileWriteback => sum(|memcg| memcg.writeback),
            Gauge::SlabReclaimable => sum(|memcg| memcg.reclaimable_slab_bytes as i64) / 4096,
            Gauge::Zswapped => sum(|memcg| memcg.zswapped),
        }
    }

    /// Pages on a list of a node: inactive and active anonymous, inactive and active file,
    /// unevictable.
    pub fn node_list(&self, node: usize, list: usize) -> u64 {
        self.node_size[node][list].max(0) as u64
    }

    /// Free pages of a zone in the buddy lists.
    pub fn free_pages(&self, zone: usize) -> u64 {
        self.zones[zone].free
    }

    /// Pages of a region that are mapped, by node, as numa_maps has them.
    pub fn pages_by_node(&self, region: u32) -> Vec<u64> {
        let mut pages = vec![0; self.nr_nodes()];
        let vma = &self.vmas[region as usize];
        let object = &self.objects[vma.object as usize];
        for (entry, page) in vma.ptes.iter().zip(&object.pages) {
            if entry & pte::PRESENT != 0 && page.folio() != NONE {
                pages[self.node_of(page.folio())] += 1;
            }
        }
        pages
    }

    /// A group's memory.max, pages.
    pub fn limit(&self, group: u16) -> u64 {
        self.memcgs[group as usize].max
    }

    /// Whether a page of a region is in memory, mapped or not.
    pub fn holds(&self, region: u32, page: u32) -> bool {
        let object = self.vmas[region as usize].object as usize;
        self.objects[object].pages[page as usize].folio() != NONE
    }

    /// Dirty pages and pages under writeback.
    pub fn dirty_pages(&self) -> (u64, u64) {
        (self.dirty.nr_dirty.max(0) as u64, self.dirty.nr_writeback.max(0) as u64)
    }
}
