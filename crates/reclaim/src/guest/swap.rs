//! Swap: slots, the swap cache, readahead, devices.

use std::collections::VecDeque;

use super::stat::Stat;
use super::state::{Guest, NONE, flag, pte};
use super::zswap::Zswap;

/// What swap is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Device {
    /// There is none.
    #[default]
    None,
    /// Memory: no swap cache, no readahead, a write is done at once.
    Synchronous,
    /// A disk: a request ends after so many ns.
    Disk { latency_ns: u64 },
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// Of the page that is in it, 0 for none.
    shadow: u64,
    /// The group that it is charged to.
    pub(super) owner: u16,
}

impl Slot {
    /// What is known of the page that was in it, which is forgotten.
    #[inline]
    pub(super) fn take_shadow(&mut self) -> u64 {
        std::mem::take(&mut self.shadow)
    }
}

/// Swap slots.
#[derive(Clone, Debug)]
pub(super) struct Swap {
    pub(super) device: Device,
    pub(super) slots: Vec<Slot>,
    used: u64,
    unused: VecDeque<u32>,
    pub(super) zswap: Zswap,
    pub(super) page_cluster: u32,
}

/// How a write to swap went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is done.
    Done,
    /// The device has it.
    InFlight,
    /// The page may go nowhere.
    Refused,
}

impl Swap {
    pub(super) fn new(device: Device, swap: &super::SwapDevice) -> Self {
        // The first page of an area is its header.
        let nr = swap.pages.saturating_sub(1) as usize;
        Self {
            device,
            slots: vec![Slot::default(); nr],
            used: 0,
            unused: (0..nr as u32).collect(),
            zswap: Zswap::new(swap.zswap, nr),
            page_cluster: swap.page_cluster,
        }
    }

    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.slots.len() as u64
    }

    #[inline]
    pub(super) fn free(&self) -> u64 {
        self.unused.len() as u64
    }

    /// How long the device takes for a request, ns.
    pub(super) fn latency_ns(&self) -> u64 {
        match self.device {
            Device::Disk { latency_ns } => latency_ns,
            Device::None | Device::Synchronous => 0,
        }
    }

    /// Gives a page of a group the next slot, if there is one, with what is remembered of the page.
    #[inline]
    pub(super) fn put(&mut self, owner: u16, shadow: u64) -> Option<u32> {
        let slot = self.unused.pop_front()?;
        self.slots[slot as usize] = Slot { shadow, owner };
        self.used += 1;
        Some(slot)
    }

    /// Takes a slot back.
    #[inline]
    pub(super) fn give(&mut self, slot: u32) {
        self.unused.push_back(slot);
        self.used -= 1;
    }

    #[inline]
    pub(super) fn keep_shadow(&mut self, slot: u32, shadow: u64) {
        if let Some(kept) = self.slots.get_mut(slot as usize) {
            kept.shadow = shadow;
        }
    }

    /// Reads what is known of a slot, if it is one; the value only keeps the read alive.
    #[inline]
    pub(super) fn warm(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).map_or(0, |slot| u32::from(slot.owner))
    }

    /// As [`warm`](Self::warm), for the slots that are given out next.
    pub(super) fn warm_unused(&self, nr: usize) -> u32 {
        self.unused.iter().take(nr).fold(0, |seen, slot| seen ^ self.warm(*slot))
    }
}

impl Guest {
    /// Gives a folio swap slots and charges them; false when there are none.
    pub(super) fn add_to_swap(&mut self, folio: u32) -> bool {
        let nr = u32::from(self.folios[folio].nr);
        let memcg = self.folios[folio].memcg;
        if self.swap.free() < u64::from(nr) || self.swap_left(memcg) < u64::from(nr) {
            return false;
        }
        let (object, first) = (self.folios[folio].object as usize, self.folios[folio].index);
        for index in first..first + nr {
            let Some(slot) = self.swap.put(memcg, 0) else { return false };
            self.objects[object].pages[index as usize].set_swap(slot);
        }
        self.charge_swap(memcg, u64::from(nr));
        self.folios.set(folio, flag::SWAPCACHE);
        true
    }

    #[inline]
    pub(super) fn free_slot(&mut self, object: u32, index: u32) {
        let page = &mut self.objects[object as usize].pages[index as usize];
        let slot = page.swap();
        if slot == NONE {
            return;
        }
        page.set_swap(NONE);
        let memcg = self.swap.slots[slot as usize].owner;
        self.zswap_drop(slot);
        self.swap.give(slot);
        self.uncharge_swap(memcg, 1);
    }

    /// A group has so many slots more.
    #[inline]
    pub(super) fn charge_swap(&mut self, memcg: u16, nr: u64) {
        self.upward(memcg, |guest, index| guest.memcgs[index as usize].swap += nr);
    }

    /// A group has so many slots less.
    #[inline]
    pub(super) fn uncharge_swap(&mut self, memcg: u16, nr: u64) {
        self.upward(memcg, |guest, index| {
            let swap = &mut guest.memcgs[index as usize].swap;
            *swap = swap.saturating_sub(nr);
        });
    }

    /// Frees the slots of a folio in the swap cache, which makes it dirty.
    pub(super) fn free_swap_of(&mut self, folio: u32) {
        let (object, first) = (self.folios[folio].object, self.folios[folio].index);
        for index in first..first + u32::from(self.folios[folio].nr) {
            self.free_slot(object, index);
        }
        self.folios.clear(folio, flag::SWAPCACHE);
        self.folios.set(folio, flag::DIRTY);
    }

    /// Whether slots should be freed as soon as their pages are back.
    #[inline]
    pub(super) fn swap_full(&self, folio: u32) -> bool {
        if self.swap.used * 2 > self.swap.total() {
            return true;
        }
        let mut at = Some(self.folios[folio].memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            if group.swap_max != u64::MAX && group.swap * 2 >= group.swap_max {
                return true;
            }
            at = group.parent;
        }
        false
    }

    /// Starts the write of a folio in the swap cache.
    pub(super) fn write_to_swap(&mut self, folio: u32, nr: u64) -> Written {
        let memcg = self.folios[folio].memcg;
        if self.swap.zswap.enabled && nr == 1 {
            if self.zswap_store(folio) {
                return Written::Done;
            }
            if !self.may_write_back(memcg) {
                return Written::Refused;
            }
        }
        self.count(memcg, Stat::pswpout, nr);
        if nr > 1 {
            self.vm[Stat::thp_swpout] += 1;
        }
        match self.swap.device {
            Device::Disk { .. } => {
                self.folios.set(folio, flag::WRITEBACK);
                self.note_writeback(folio, 1);
                self.now += self.config.costs.swap_write_ns;
                let (object, index) = (self.folios[folio].object, self.folios[folio].index);
                let slot = self.objects[object as usize].pages[index as usize].swap();
                self.plug_write(folio, slot, nr);
                Written::InFlight
            }
            _ => Written::Done,
        }
    }

    /// A fault on a page that is in swap. Gives whether it was major.
    pub(super) fn swap_in(&mut self, vma: usize, index: u32, write: bool) -> bool {
        let object = self.vmas[vma].object;
        let synchronous = self.swap.device == Device::Synchronous && !self.swap.zswap.enabled;
        let direct = synchronous && !self.objects[object as usize].shmem;
        let stored =
            self.swap.zswap.holds(self.objects[object as usize].pages[index as usize].swap());
        let folio = if direct {
            self.read_slot(vma, object, index, false)
        } else {
            self.read_ahead(vma, object, index)
        };
        let Some(folio) = folio else { return true };
        if direct {
            self.free_swap_of(folio);
        } else if !stored {
            self.wait_for_disk();
        }
        self.map_swapped(vma, object, folio, index, write);
        true
    }

    fn wait_for_disk(&mut self) {
        if let Device::Disk { latency_ns } = self.swap.device {
            let done = self.outside.swap_read(self.now).unwrap_or(self.now + latency_ns);
            self.sleep(done.saturating_sub(self.now));
            self.finish_writes();
        }
    }

    /// A fault on a page that is in the swap cache and not mapped.
    pub(super) fn swap_cache_hit(&mut self, vma: usize, folio: u32, index: u32, write: bool) {
        let readahead = self.folios.take(folio, flag::READAHEAD);
        if readahead {
            self.vm[Stat::swap_ra_hit] += 1;
        }
        let (_, window, hits) = self.vmas[vma].readahead.unwrap_or((index, 0, 4));
        let hits = (hits + u32::from(readahead)).min(63);
        self.vmas[vma].readahead = Some((index, window, hits));
        let object = self.vmas[vma].object;
        self.map_swapped(vma, object, folio, index, write);
    }

    fn map_swapped(&mut self, vma: usize, object: u32, folio: u32, index: u32, write: bool) {
        if self.objects[object as usize].shmem {
            // A page of tmpfs leaves the swap cache for the page cache.
            self.free_swap_of(folio);
        } else if self.folios.has(folio, flag::SWAPCACHE) {
            let locked = self.vmas[vma].locked;
            let wanted = write || locked || self.swap_full(folio);
            // A page that is being written keeps its slot.
            if wanted && !self.folios.has(folio, flag::WRITEBACK) {
                self.free_swap_of(folio);
            }
        }
        // A huge page went out by its pages' entries, and comes back by them.
        if self.folios[folio].nr > 1 && !self.outside.attached {
            self.install_by_pages(vma, folio, write);
            if write {
                self.folios.set(folio, flag::DIRTY);
            }
            return;
        }
        self.install(vma, index, folio, write);
        if write {
            self.folios.set(folio, flag::DIRTY);
        } else if self.folios.has(folio, flag::SWAPCACHE) {
            self.vmas[vma].ptes[index as usize] |= pte::PROTECTED;
        }
    }

    /// Reads one slot into a new folio that is charged to whoever owned the slot.
    pub(super) fn read_slot(
        &mut self,
        vma: usize,
        object: u32,
        index: u32,
        ahead: bool,
    ) -> Option<u32> {
        let slot = self.objects[object as usize].pages[index as usize].swap();
        let owner = self.swap.slots[slot as usize].owner;
        let gone = self.memcgs[owner as usize].is_offline;
        let memcg = if gone { self.task } else { owner };
        let zone = self.alloc_zone(vma, index, false)?;
        if !self.charge(memcg, 1) {
            self.free_to_zone(zone, 1);
            return None;
        }
        let mut flags = flag::SWAPBACKED | flag::SWAPCACHE;
        if ahead {
            flags |= flag::READAHEAD;
        }
        let folio = self.new_folio(object, index, zone, memcg, 1, flags);
        self.objects[object as usize].pages[index as usize].set_folio(folio);
        let shadow = self.swap.slots[slot as usize].take_shadow();
        if shadow != 0 {
            let engine = self.engine;
            engine.refault(self, &[folio], &[shadow]);
        }
        self.lru_add(folio);
        self.outside.reading += u64::from(!self.swap.zswap.holds(slot));
        if self.swap.zswap.holds(slot) {
            self.zswap_drop(slot);
            self.now += self.swap.zswap.knobs.load_ns;
            self.folios.set(folio, flag::DIRTY);
            self.count(memcg, Stat::zswpin, 1);
        } else {
            self.count(memcg, Stat::pswpin, 1);
        }
        Some(folio)
    }

    /// Reads the faulting page and its neighbours in the mapping, by the window of past hits.
    fn read_ahead(&mut self, vma: usize, object: u32, index: u32) -> Option<u32> {
        let most = 1u32 << self.swap.page_cluster.min(5);
        let shmem = self.objects[object as usize].shmem;
        let (mut first, mut last) = (index, index + 1);
        if most > 1 && !shmem {
            let (page, previous, hits) = self.vmas[vma].readahead.unwrap_or((0, 0, 4));
            let window = window(page, index, hits, most, previous);
            self.vmas[vma].readahead = Some((index, window, 0));
            if window > 1 {
                (first, last) = if index == page + 1 {
                    (index, index + window)
                } else if page == index + 1 {
                    ((index + 1).saturating_sub(window), index + 1)
                } else {
                    let left = (window - 1) / 2;
                    (index.saturating_sub(left), index + window - left)
                };
                // A window does not leave its page table.
                let table = index & !511;
                first = first.max(table);
                last = last.min(table + 512).min(self.vmas[vma].ptes.len() as u32);
            }
        }
        let mut found = None;
        for page in first..last {
            let at = self.objects[object as usize].pages[page as usize];
            if at.swap() == NONE || at.folio() != NONE {
                continue;
            }
            let folio = self.read_slot(vma, object, page, page != index);
            if page == index {
                found = folio;
                // Making room for its neighbours must not take it away again.
                found.into_iter().for_each(|folio| self.folios.set(folio, flag::LOCKED));
            } else if folio.is_some() {
                self.vm[Stat::swap_ra] += 1;
            }
        }
        found.into_iter().for_each(|folio| self.folios.clear(folio, flag::LOCKED));
        found
    }
}

/// Pages to read: more after hits, one after a miss that is no neighbour.
fn window(previous_page: u32, page: u32, hits: u32, most: u32, previous_window: u32) -> u32 {
    let mut pages = hits + 2;
    if pages == 2 {
        if page != previous_page.wrapping_add(1) && page != previous_page.wrapping_sub(1) {
            pages = 1;
        }
    } else {
        pages = pages.next_power_of_two().max(4);
    }
    pages.min(most).max(previous_window / 2)
}

#[cfg(test)]
mod tests {
    use super::window;

    #[test]
    fn windows_grow_with_hits_and_shrink_by_halves() {
        assert_eq!(window(0, 500, 4, 8, 0), 8, "the first fault of a mapping");
        assert_eq!(window(10, 500, 0, 8, 0), 1, "no hits, no neighbour");
        assert_eq!(window(10, 11, 0, 8, 0), 2, "the next page");
        assert_eq!(window(10, 500, 1, 8, 0), 4);
        assert_eq!(window(10, 500, 0, 8, 8), 4, "at least half of the last");
        assert_eq!(window(10, 500, 60, 8, 8), 8, "at most the cluster");
    }
}
