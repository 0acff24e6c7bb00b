//! Charging pages to memory cgroups, their limits and protection.

use super::stat::Stat;
use super::state::{Guest, Lruvec, Memcg};

/// Pages that a CPU takes at once.
const STOCK: u64 = 64;
/// Attempts without progress before a task is killed.
const RETRIES: u32 = 16;

/// Whether a group is another one or below it.
#[inline(never)]
pub(super) fn is_below(memcgs: &[Memcg], memcg: u16, root: u16) -> bool {
    let mut at = Some(memcg);
    while let Some(memcg) = at {
        if memcg == root {
            return true;
        }
        at = memcgs[memcg as usize].parent;
    }
    false
}

impl Guest {
    pub(super) fn push_memcg(&mut self, memcg: Memcg) {
        let number = self.memcgs.len() as u16;
        if let Some(parent) = memcg.parent {
            self.memcgs[parent as usize].children.push(number);
        }
        self.memcgs.push(memcg);
        let nr = self.memcgs.len();
        self.subtrees = (0..nr as u16).map(|root| self.preorder(root)).collect();
        for memcg in &mut self.memcgs {
            memcg.walk = vec![(None, 0); self.nodes.len()];
        }
        for node in 0..self.nodes.len() as u16 {
            let lruvec = Lruvec { memcg: number, node, ..Lruvec::default() };
            self.lruvecs.push(lruvec);
        }
        self.link_lruvecs();
    }

    fn preorder(&self, root: u16) -> Vec<u16> {
        let mut order = vec![root];
        for child in &self.memcgs[root as usize].children {
            order.extend(self.preorder(*child));
        }
        order
    }

    /// Sets a group's soft limit, pages; only designs of reclaim that know soft limits look at it.
    pub fn set_soft_limit(&mut self, group: u16, pages: u64) {
        self.memcgs[group as usize].soft_limit = Some(pages);
    }

    /// Whether a group is another one or below it.
    pub fn is_below(&self, memcg: u16, root: u16) -> bool {
        is_below(&self.memcgs, memcg, root)
    }

    /// Charges pages to a group; false when the group has to be killed instead.
    #[inline(always)]
    pub(super) fn charge(&mut self, memcg: u16, nr: u64) -> bool {
        if memcg == 0 {
            return true;
        }
        let (owner, held) = &mut self.cpus[self.cpu].stock;
        if *owner == memcg && *held >= nr {
            *held -= nr;
            return true;
        }
        let (room, is_over_high) = self.add(memcg, nr);
        if room >= nr && (room < STOCK || nr >= STOCK) {
            self.over_high += if is_over_high { nr } else { 0 };
            return true;
        }
        self.uncharge_counter(memcg, nr);
        if room < nr { self.charge_full(memcg, nr) } else { self.charge_stock(memcg, nr) }
    }

    /// How many pages a CPU can charge to a group, one after the other, without that a limit is met
    /// or its stock is filled.
    pub(super) fn charge_room(&self, cpu: usize, memcg: u16) -> u64 {
        if memcg == 0 {
            return u64::MAX;
        }
        let (owner, held) = self.cpus[cpu].stock;
        if owner == memcg && held > 0 {
            return held;
        }
        let (mut room, mut below_high, mut at) = (u64::MAX, u64::MAX, Some(memcg));
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            room = room.min(group.max.saturating_sub(group.usage));
            below_high = below_high.min(group.high.saturating_sub(group.usage));
            at = group.parent;
        }
        if room < STOCK { room.min(below_high) } else { 0 }
    }

    /// Charges a stock for the CPU, of which `nr` pages are used.
    #[inline(never)]
    fn charge_stock(&mut self, memcg: u16, nr: u64) -> bool {
        self.add(memcg, STOCK);
        self.refill_stock(memcg, STOCK - nr);
        self.note_over_high(memcg, STOCK);
        true
    }

    /// Adds to a group's usage and to those above it; gives how many pages they had room for before, and
    /// whether one is over its memory.high now.
    #[inline]
    fn add(&mut self, memcg: u16, nr: u64) -> (u64, bool) {
        let (mut room, mut is_over_high, mut at) = (u64::MAX, false, Some(memcg));
        while let Some(index) = at {
            let group = &mut self.memcgs[index as usize];
            room = room.min(group.max.saturating_sub(group.usage));
            group.usage += nr;
            is_over_high |= group.usage > group.high;
            at = group.parent;
        }
        (room, is_over_high)
    }

    /// As [`charge`](Self::charge), where a limit is met.
    #[inline(never)]
    fn charge_full(&mut self, memcg: u16, nr: u64) -> bool {
        let mut drained = false;
        let mut retries = RETRIES;
        loop {
            let stock = &mut self.cpus[self.cpu].stock;
            if stock.0 == memcg && stock.1 >= nr {
                stock.1 -= nr;
                return true;
            }
            let Some(full) = self.try_add(memcg, nr) else {
                self.note_over_high(memcg, nr);
                return true;
            };
            self.count_event(full, Stat::events_max);
            let freed = self.reclaim_memcg(full, nr);
            let group = &self.memcgs[full as usize];
            if group.max.saturating_sub(group.usage) >= nr {
                continue;
            }
            if !drained {
                self.drain_stocks(full);
                drained = true;
                continue;
            }
            if freed > 0 && nr <= 8 {
                continue;
            }
            if retries > 0 {
                retries -= 1;
                continue;
            }
            // Nobody is killed for a huge page: base pages will do.
            if nr > 8 {
                return false;
            }
            if !self.out_of_memory(full) {
                return false;
            }
            retries = RETRIES;
        }
    }

    /// Adds to a group and those above it, or says which is full.
    #[inline]
    fn try_add(&mut self, memcg: u16, nr: u64) -> Option<u16> {
        let mut at = Some(memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            if group.usage + nr > group.max {
                return Some(index);
            }
            at = group.parent;
        }
        self.add(memcg, nr);
        None
    }

    fn count_event(&mut self, memcg: u16, stat: Stat) {
        self.count_memcg(memcg, stat, 1);
    }

    #[inline(never)]
    fn refill_stock(&mut self, memcg: u16, nr: u64) {
        if nr == 0 {
            return;
        }
        let cpu = self.cpu;
        let (owner, held) = self.cpus[cpu].stock;
        if owner != memcg {
            self.uncharge_counter(owner, held);
            self.cpus[cpu].stock = (memcg, nr);
        } else {
            self.cpus[cpu].stock.1 += nr;
        }
        if self.cpus[cpu].stock.1 > STOCK {
            let held = std::mem::take(&mut self.cpus[cpu].stock.1);
            self.uncharge_counter(memcg, held);
        }
    }

    pub(super) fn drain_stocks(&mut self, root: u16) {
        for cpu in 0..self.cpus.len() {
            let (owner, held) = self.cpus[cpu].stock;
            if held > 0 && self.is_below(owner, root) {
                self.cpus[cpu].stock.1 = 0;
                self.uncharge_counter(owner, held);
            }
        }
    }

    /// Takes pages off a group's usage and of those above it.
    #[inline]
    pub(super) fn uncharge_counter(&mut self, memcg: u16, nr: u64) {
        if memcg == 0 || nr == 0 {
            return;
        }
        self.upward(memcg, |guest, index| {
            let usage = &mut guest.memcgs[index as usize].usage;
            *usage = usage.saturating_sub(nr);
        });
    }

    /// Remembers that the task has to reclaim for memory.high.
    #[inline]
    fn note_over_high(&mut self, memcg: u16, batch: u64) {
        let mut at = Some(memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            if group.usage > group.high {
                self.over_high += batch;
                return;
            }
            at = group.parent;
        }
    }

    /// On the way back to user mode: reclaims what was charged over memory.high, then makes the
    /// task sleep for what is left. Gives the ns slept.
    pub(super) fn handle_over_high(&mut self, memcg: u16) -> u64 {
        let pages = std::mem::take(&mut self.over_high);
        if pages == 0 {
            return 0;
        }
        let mut want = pages;
        let mut retries = RETRIES;
        loop {
            let freed = self.reclaim_high(memcg, want);
            let penalty = self.high_penalty_jiffies(memcg, pages);
            if penalty <= 250 / 100 {
                return 0;
            }
            if freed > 0 || retries > 0 {
                retries = retries.saturating_sub(u32::from(freed == 0));
                want = 32;
                if freed == 0 && retries == 0 {
                    return penalty * 4_000_000;
                }
                continue;
            }
            return penalty * 4_000_000;
        }
    }

    fn reclaim_high(&mut self, memcg: u16, want: u64) -> u64 {
        let mut freed = 0;
        let mut at = Some(memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            at = group.parent;
            if group.usage > group.high && index != 0 {
                self.count_event(index, Stat::events_high);
                freed += self.reclaim_memcg(index, want);
            }
        }
        freed
    }

    fn high_penalty_jiffies(&self, memcg: u16, pages: u64) -> u64 {
        let mut most = 0;
        let mut at = Some(memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            at = group.parent;
            if group.usage > group.high {
                most = most.max(((group.usage - group.high) << 20) / group.high.max(1));
            }
        }
        let penalty = ((most.saturating_mul(most).saturating_mul(250)) >> 20) >> 14;
        (penalty * pages / STOCK).min(500)
    }

    /// Memory that slab objects take, in bytes of objects and their owner's pointers.
    pub(super) fn charge_slab(&mut self, memcg: u16, bytes: u64, reclaimable: bool) {
        let group = &mut self.memcgs[memcg as usize];
        group.slab_bytes += bytes;
        if reclaimable {
            group.reclaimable_slab_bytes += bytes;
        }
        let pages = group.slab_bytes.div_ceil(4096);
        if pages > group.slab_pages {
            let more = pages - group.slab_pages;
            self.memcgs[memcg as usize].slab_pages = pages;
            // The object is there already; the group is over its limit where nothing can be freed.
            if !self.charge(memcg, more) {
                self.add(memcg, more);
            }
        }
    }

    /// As [`charge_slab`](Self::charge_slab), from within reclaim: passes limits if it must.
    pub(super) fn overcharge_slab(&mut self, memcg: u16, bytes: u64) {
        let group = &mut self.memcgs[memcg as usize];
        group.slab_bytes += bytes;
        let more = group.slab_bytes.div_ceil(4096).saturating_sub(group.slab_pages);
        group.slab_pages += more;
        if memcg == 0 || more == 0 {
            return;
        }
        let stock = &mut self.cpus[self.cpu].stock;
        if stock.0 == memcg && stock.1 >= more {
            stock.1 -= more;
        } else if self.try_add(memcg, more.max(STOCK)).is_none() {
            self.refill_stock(memcg, more.max(STOCK) - more);
        } else if let Some(full) = self.try_add(memcg, more) {
            self.count_event(full, Stat::events_max);
            self.upward(memcg, |guest, index| guest.memcgs[index as usize].usage += more);
        }
    }

    /// Gives slab memory back.
    pub(super) fn uncharge_slab(&mut self, memcg: u16, bytes: u64, reclaimable: bool) {
        let group = &mut self.memcgs[memcg as usize];
        group.slab_bytes = group.slab_bytes.saturating_sub(bytes);
        if reclaimable {
            group.reclaimable_slab_bytes = group.reclaimable_slab_bytes.saturating_sub(bytes);
        }
        let pages = group.slab_bytes.div_ceil(4096);
        let less = group.slab_pages.saturating_sub(pages);
        group.slab_pages = pages.min(group.slab_pages);
        self.uncharge_counter(memcg, less);
    }
}
