//! A guest behind a simulator that has page tables, CPUs and devices of its own.
//!
//! The guest stays the authority for lists, groups, swap slots and free pages; the simulator's page
//! tables are the authority for accessed and dirty bits, since its accesses never come here. It
//! lends them for each call. What a call maps and unmaps is logged, for the simulator to apply when
//! it has its tables back. The guest's clock is set to the caller's before a call, so how far it went
//! is what the call took. Left out: write faults on clean pages (dirty bits are looked at when a
//! page is unmapped or cleaned, so `pgreuse` stays 0 and a swap slot is kept until then).

mod calls;

use std::ops::Range;

use base::{MmId, MmVec, Nanos};
use des::Server;
use mm::{AddressSpace, Pte};

use super::Policy;
use super::memcg::is_below;
use super::state::{Guest, HUGE, NONE, flag, pte};
pub use calls::Stroke;

/// A device as far as waiting for it goes.
#[derive(Clone, Debug)]
pub struct Disk {
    server: Server,
    read: Nanos,
    write: Nanos,
    next_page: Nanos,
}

impl Disk {
    /// A device that serves `depth` requests at a time: a page at random takes `read` or `write`,
    /// each further page of a request `next_page`.
    pub fn new(depth: usize, read: Nanos, write: Nanos, next_page: Nanos) -> Self {
        Self { server: Server::new(depth.max(1)), read, write, next_page }
    }

    fn serve(&mut self, now: u64, pages: u64, first: Nanos) -> u64 {
        let service = first + self.next_page * pages.saturating_sub(1);
        self.server.serve(Nanos(now), service).done.0
    }
}

/// What the simulator's page tables are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A page, or the 512 of a huge one, is mapped.
    Mapped {
        /// The mapping's number.
        region: u32,
        /// First page.
        page: u32,
        /// Whether it is a huge page.
        huge: bool,
        /// Zone that it is in.
        zone: usize,
    },
    /// It is not any more.
    Unmapped {
        /// The mapping's number.
        region: u32,
        /// First page.
        page: u32,
    },
}

/// What a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Time on the CPU.
    pub cpu_ns: u64,
    /// Time asleep: for a device, for writes to end, for memory.high.
    pub waited_ns: u64,
    /// Of both, time in direct reclaim and reclaim for a limit.
    pub stalled_ns: u64,
    /// Whether a page was read from a device or the compressed store.
    pub major: bool,
    /// Nothing could be freed: the group that is full, 0 for the machine.
    pub oom: Option<u16>,
}

/// A fault to be served.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// CPU.
    pub cpu: usize,
    /// Process that pays.
    pub process: u16,
    /// Mapping.
    pub region: u32,
    /// Page of the mapping.
    pub page: u32,
    /// Whether it is a store.
    pub write: bool,
    /// Whether a huge page would do.
    pub huge: bool,
    /// Where a new page may be.
    pub policy: Policy,
}

/// The side of the guest that faces a simulator.
#[derive(Debug, Default)]
pub(super) struct Outside {
    pub(super) attached: bool,
    tables: MmVec<AddressSpace>,
    log: Vec<Change>,
    swap: Option<Disk>,
    storage: Option<Disk>,
    /// File page that was read last.
    last_read: (u32, u32),
    /// Pages that the present fault reads from swap.
    pub(super) reading: u64,
    waited: u64,
    stalled: u64,
    stalling: bool,
    major: bool,
    oom: Option<u16>,
}

impl Outside {
    fn is_young(&self, vma: usize, index: usize, entry: u8) -> bool {
        Self::range(index, entry).is_some_and(|pages| self.any(vma, pages, Pte::YOUNG))
    }

    /// The simulator's entries of a mapping; none where nobody lent some.
    #[inline]
    pub(super) fn lent(&mut self, vma: usize) -> &mut [Pte] {
        self.tables.0.get_mut(vma).map_or(&mut [], |space| &mut space.ptes[..])
    }

    /// Clears the accessed bits that an entry stands for and says whether one was set.
    #[inline]
    pub(super) fn take_lent(lent: &mut [Pte], index: usize, entry: u8) -> bool {
        let Some(pages) = Self::range(index, entry) else { return false };
        let mut young = false;
        for pte in lent.get_mut(pages).into_iter().flatten() {
            young |= pte.has(Pte::YOUNG);
            *pte = pte.without(Pte::YOUNG);
        }
        young
    }

    /// Pages whose bits an entry stands for: the first one of a huge page for all of it, the others
    /// for none.
    fn range(index: usize, entry: u8) -> Option<Range<usize>> {
        match entry & pte::HUGE {
            0 => Some(index..index + 1),
            _ if index.is_multiple_of(HUGE) => Some(index..index + HUGE),
            _ => None,
        }
    }

    fn any(&self, vma: usize, pages: Range<usize>, bits: u64) -> bool {
        let Some(space) = self.tables.get(MmId::from_idx(vma)) else { return false };
        space.ptes.get(pages).is_some_and(|ptes| ptes.iter().any(|pte| pte.has(bits)))
    }

    fn clear(&mut self, vma: usize, pages: Range<usize>, bits: u64) {
        let Some(space) = self.tables.0.get_mut(vma) else { return };
        let entries = space.ptes.get_mut(pages).into_iter().flatten();
        entries.for_each(|pte| *pte = pte.without(bits));
    }

    /// Notes time that passes asleep.
    pub(super) fn note_wait(&mut self, ns: u64) {
        self.waited += ns;
    }

    /// When a write of so many pages to swap ends, by the simulator's device.
    pub(super) fn swap_write(&mut self, now: u64, pages: u64) -> Option<u64> {
        let disk = self.swap.as_mut()?;
        let write = disk.write;
        Some(disk.serve(now, pages, write))
    }

    /// When the pages that the present fault reads from swap are there.
    pub(super) fn swap_read(&mut self, now: u64) -> Option<u64> {
        let pages = std::mem::take(&mut self.reading);
        let disk = self.swap.as_mut()?;
        let read = disk.read;
        Some(disk.serve(now, pages, read))
    }

    /// When a file's page is there. The page after the last one comes at the sequential rate.
    pub(super) fn file_read(&mut self, now: u64, object: u32, index: u32) -> Option<u64> {
        self.major = true;
        let disk = self.storage.as_mut()?;
        let next = self.last_read == (object, index.wrapping_sub(1));
        self.last_read = (object, index);
        let first = if next { disk.next_page } else { disk.read };
        Some(disk.serve(now, 1, first))
    }

    pub(super) fn log(&mut self, change: Change) {
        if self.attached {
            self.log.push(change);
        }
    }

    pub(super) fn note_major(&mut self) {
        self.major = true;
    }

    pub(super) fn begin_stall(&mut self) -> bool {
        !std::mem::replace(&mut self.stalling, true)
    }

    pub(super) fn end_stall(&mut self, ns: u64) {
        self.stalling = false;
        self.stalled += ns;
    }

    pub(super) fn note_oom(&mut self, group: u16) {
        self.oom.get_or_insert(group);
    }
}

impl Guest {
    /// Puts the guest behind a simulator: kswapd runs when told to, accesses happen elsewhere, mapping
    /// `n` is the address space `n`, and requests to devices queue. Without a device swap is memory.
    pub fn attach(&mut self, swap: Option<Disk>, storage: Option<Disk>) {
        self.outside = Outside { attached: true, swap, storage, ..Outside::default() };
    }

    /// Exchanges the simulator's page tables and the ones that the guest holds: a caller lends its own
    /// and takes them back.
    pub fn lend(&mut self, tables: &mut MmVec<AddressSpace>) {
        let lent = std::mem::take(tables);
        *tables = std::mem::replace(&mut self.outside.tables, lent);
    }

    /// What was mapped and unmapped since the last time, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.outside.log)
    }

    /// Gives the log's memory back for the next call.
    pub fn recycle(&mut self, mut changes: Vec<Change>) {
        changes.clear();
        self.outside.log = changes;
    }

    /// Sets the clock to the caller's, whose CPUs are apart by up to an epoch, and ends what is due.
    pub(super) fn begin_work(&mut self, now: u64) {
        self.now = now;
        (self.outside.waited, self.outside.stalled) = (0, 0);
        (self.outside.major, self.outside.oom) = (false, None);
        self.flush_if_due();
        self.finish_writes();
    }

    pub(super) fn end_work(&mut self, began: u64) -> Work {
        let waited_ns = self.outside.waited;
        Work {
            cpu_ns: self.now.saturating_sub(began).saturating_sub(waited_ns),
            waited_ns,
            stalled_ns: self.outside.stalled,
            major: self.outside.major,
            oom: self.outside.oom.take(),
        }
    }

    /// Serves a fault on a page that is not in the simulator's page tables.
    pub fn serve(&mut self, now: u64, fault: &Fault) -> Work {
        self.begin_work(now);
        let region = fault.region as usize;
        self.vmas[region].policy = fault.policy;
        self.vmas[region].huge = fault.huge;
        // A first touch gives a page, read or written: the simulator has no page of zeros.
        let object = self.vmas[region].object as usize;
        let is_new = self.objects[object].swapbacked
            && self.objects[object].pages[fault.page as usize].swap() == NONE;
        self.fault_of(fault.process, fault.cpu, region, fault.page, fault.write || is_new);
        self.end_work(now)
    }

    #[inline]
    pub(super) fn log_mapped(&mut self, vma: usize, page: u32, folio: u32) {
        if self.outside.attached {
            self.log_mapped_outside(vma, page, folio);
        }
    }

    fn log_mapped_outside(&mut self, vma: usize, page: u32, folio: u32) {
        let huge = self.folios[folio].nr > 1;
        let zone = usize::from(self.folios[folio].zone);
        self.outside.log(Change::Mapped { region: vma as u32, page, huge, zone });
    }

    /// Says that a process runs now, so that walks of its page tables are worth while.
    pub fn note_running(&mut self, process: u16) {
        self.procs[process as usize].used = true;
    }

    /// The first of some entries that is present and has its accessed bit set.
    #[inline]
    pub(super) fn next_young(&self, vma: usize, entries: Range<usize>) -> Option<usize> {
        let first = entries.start;
        let ptes = &self.vmas[vma].ptes[entries];
        if self.outside.attached {
            let mut places = ptes.iter().zip(first..);
            return places.find(|(pte, at)| self.is_lent_young(vma, *at, **pte)).map(|(_, at)| at);
        }
        pte::first_young(ptes).map(|place| first + place)
    }

    /// Which of up to 64 entries are present and have their accessed bits set, as bits.
    #[inline]
    pub(super) fn young(&self, vma: usize, entries: Range<usize>) -> u64 {
        let first = entries.start;
        let ptes = &self.vmas[vma].ptes[entries];
        if !self.outside.attached {
            return pte::young(ptes);
        }
        let young = |(place, entry): (usize, &u8)| {
            u64::from(self.is_lent_young(vma, first + place, *entry)) << place
        };
        ptes.iter().enumerate().map(young).sum()
    }

    fn is_lent_young(&self, vma: usize, index: usize, entry: u8) -> bool {
        entry & pte::PRESENT != 0
            && (entry & pte::YOUNG != 0 || self.outside.is_young(vma, index, entry))
    }

    /// Clears an entry's accessed bit, if it is present, and says whether it was set.
    #[inline]
    pub(super) fn clear_young(&mut self, vma: usize, index: usize) -> bool {
        self.clear_young_for(0, vma, index)
    }

    /// As [`clear_young`](Self::clear_young), but accessed bits of processes outside the reclaimed
    /// group neither count nor change.
    #[inline]
    pub(super) fn clear_young_for(&mut self, target: u16, vma: usize, index: usize) -> bool {
        let mapping = &mut self.vmas[vma];
        let Some(entry) = mapping.ptes.get_mut(index) else { return false };
        let old = *entry;
        if old & pte::PRESENT == 0 || mapping.random {
            return false;
        }
        let inside = target == 0 || target == mapping.memcg;
        if !inside && !is_below(&self.memcgs, mapping.memcg, target) {
            return false;
        }
        *entry = old & !pte::YOUNG;
        let lent = Outside::take_lent(self.outside.lent(vma), index, old);
        lent || old & pte::YOUNG != 0
    }

    /// Notes stores that only the simulator's entries tell of; `pages` are those of a folio.
    pub(super) fn harvest_dirty(&mut self, folio: u32, vma: usize, pages: Range<usize>) {
        if !self.outside.attached || !self.outside.any(vma, pages.clone(), Pte::DIRTY) {
            return;
        }
        self.outside.clear(vma, pages, Pte::DIRTY);
        if self.folios.kind(folio) == 1 {
            self.dirty_file_page(folio);
        } else {
            self.folios.set(folio, flag::DIRTY);
        }
    }

    /// Forgets stores up to now: the page is being written.
    pub(super) fn forget_dirty(&mut self, vma: usize, index: usize) {
        if self.outside.attached {
            self.outside.clear(vma, index..index + 1, Pte::DIRTY);
        }
    }
}
