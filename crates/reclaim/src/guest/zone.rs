//! Zones, their watermarks and per-CPU page lists, and who gets a page from where.
//!
//! Free pages in per-CPU lists are not free for watermarks, and lists are filled in batches that
//! double, so a zone's free pages fall in steps. Left out: orders other than 0 and huge, and where
//! in a zone a page lies.

use super::Policy;
use super::blocks::Blocks;
use super::stat::{NumaStat, Stat};
use super::state::{Guest, HUGE};

/// A watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Min = 0,
    Low = 1,
    High = 2,
}

/// Free pages that a CPU holds of a zone.
#[derive(Clone, Debug, Default)]
pub(super) struct PageList {
    pub(super) count: u64,
    /// Further pages, used last: of blocks of other kinds of allocation, by their block.
    pub(super) stolen: Vec<u8>,
    /// Pages for slabs.
    pub(super) slabs: u64,
    high: u64,
    high_min: u64,
    high_max: u64,
    alloc_factor: u32,
    free_count: u64,
}

impl PageList {
    /// Takes pages that it has.
    #[inline]
    pub(super) fn take(&mut self, pages: u64) {
        debug_assert!(pages <= self.count, "the list holds fewer pages");
        // Each page halves it.
        self.free_count = self.free_count.checked_shr(pages as u32).unwrap_or(0);
        self.count -= pages;
    }

    /// Pages in all.
    #[inline]
    pub(super) fn len(&self) -> u64 {
        self.count + self.stolen.len() as u64
    }
}

/// A zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    pub(super) node: usize,
    /// DMA 0, DMA32 1, Normal 2.
    pub(super) class: usize,
    pub(super) managed: u64,
    /// In the buddy lists.
    pub(super) free: u64,
    pub(super) marks: [u64; 4],
    /// Held back from allocations that may use higher zones.
    pub(super) reserve: u64,
    pub(super) batch: u64,
    pub(super) boost: u64,
    /// vm.watermark_boost_factor.
    pub(super) boost_factor: u64,
    pub(super) below_high: bool,
    pub(super) lists: Vec<PageList>,
    /// Whether kswapd is to be told of a boost.
    pub(super) boosted: bool,
    /// Its free pages in blocks of other kinds of allocation, taken last.
    pub(super) blocks: Blocks,
    /// The fewest pages that were free in movable blocks: as many lie in blocks that are free altogether.
    pub(super) untouched: u64,
    /// Pages of slabs.
    pub(super) slab: u64,
}

impl Zone {
    #[inline]
    pub(super) fn mark(&self, mark: Mark) -> u64 {
        self.marks[mark as usize] + self.boost
    }

    /// Whether nobody need be woken for a page of it.
    #[inline]
    fn has_plenty(&self) -> bool {
        self.boost == 0 && self.above(Mark::High)
    }

    /// Pages held back from allocations that may use zones up to a class (`lowmem_reserve`).
    #[inline]
    pub(super) fn held_from(&self, class: usize) -> u64 {
        if class > self.class { self.reserve } else { 0 }
    }

    #[inline]
    pub(super) fn above(&self, mark: Mark) -> bool {
        self.free > self.mark(mark) + self.reserve
    }

    pub(super) fn setup_lists(&mut self, nr_cpus: usize, cpus_of_node: usize) {
        let sharers = if cpus_of_node == 0 { nr_cpus } else { cpus_of_node }.max(1) as u64;
        let high_min = (self.marks[1] / sharers).max(4 * self.batch);
        let high_max = (self.managed / 8 / sharers).max(4 * self.batch);
        let list = PageList { high: high_min, high_min, high_max, ..PageList::default() };
        self.lists = vec![list; nr_cpus];
        self.untouched = self.free.saturating_sub(self.blocks.free());
    }

    /// Takes pages out of the buddy lists into a CPU's (`rmqueue_bulk`).
    #[inline]
    fn take(&mut self, cpu: usize, pages: u64) {
        let own = self.free.saturating_sub(self.blocks.free());
        self.untouched = self.untouched.min(own.saturating_sub(pages));
        self.free -= pages;
        self.lists[cpu].count += pages.min(own);
        if own < pages {
            self.fall_back(cpu, pages - own);
        }
    }

    /// Takes a page from a CPU's list, which is filled first if it is empty.
    #[inline]
    pub(super) fn alloc_page(&mut self, cpu: usize) -> bool {
        let list = &mut self.lists[cpu];
        list.free_count /= 2;
        if list.count > 0 {
            list.count -= 1;
            return true;
        }
        self.take_stolen(cpu) || self.fill(cpu)
    }

    /// Takes a page of a block of another kind from a CPU's list.
    fn take_stolen(&mut self, cpu: usize) -> bool {
        let Some(block) = self.lists[cpu].stolen.pop() else { return false };
        let held: u64 = self.lists.iter().map(PageList::len).sum();
        self.blocks.note_use(block, self.managed.saturating_sub(self.free + held));
        true
    }

    /// Fills a CPU's list and takes a page from it.
    #[inline(never)]
    fn fill(&mut self, cpu: usize) -> bool {
        let (batch, below_high) = (self.batch, self.below_high);
        let list = &mut self.lists[cpu];
        let mut nr = batch << list.alloc_factor;
        if !below_high {
            list.high = (list.high + nr).min(list.high_max);
        }
        let limit = list.high.saturating_sub(list.count + batch).max(batch);
        if nr <= limit && list.alloc_factor < 5 {
            list.alloc_factor += 1;
        }
        nr = nr.min(limit).min(self.free);
        self.take(cpu, nr);
        let list = &mut self.lists[cpu];
        if list.count == 0 {
            return self.take_stolen(cpu);
        }
        list.count -= 1;
        true
    }

    /// Gives a page to a CPU's list, which is emptied in part when it is full.
    #[inline(always)]
    pub(super) fn free_page(&mut self, cpu: usize, kswapd_runs: bool) {
        let (batch, below_high) = (self.batch, self.below_high);
        let list = &mut self.lists[cpu];
        list.alloc_factor /= 2;
        list.count += 1;
        list.free_count = (list.free_count + 1).min(32 * batch);
        let shrink = |list: &mut PageList| {
            list.high = list.high.saturating_sub(list.free_count.max(batch)).max(list.high_min);
        };
        let bound = if kswapd_runs {
            shrink(list);
            (4 * batch).min(list.high)
        } else if below_high {
            shrink(list);
            list.len().max(list.high_min)
        } else {
            if list.len() >= list.high && list.high < list.free_count + batch {
                list.high = (list.free_count + batch).min(list.high_max);
            }
            list.high
        };
        if list.len() >= bound {
            self.drain(cpu, bound);
        }
    }

    /// As [`free_page`](Self::free_page), for some pages.
    #[inline]
    pub(super) fn free_pages(&mut self, cpu: usize, pages: u64, kswapd_runs: bool) {
        let mut left = pages;
        if !kswapd_runs && !self.below_high {
            // A list that does not come to its mark only grows.
            let list = &mut self.lists[cpu];
            let nr = left.min(list.high.saturating_sub(list.len() + 1));
            list.alloc_factor = list.alloc_factor.checked_shr(nr as u32).unwrap_or(0);
            list.count += nr;
            list.free_count = (list.free_count + nr).min(32 * self.batch);
            left -= nr;
        }
        (0..left).for_each(|_| self.free_page(cpu, kswapd_runs));
    }

    /// Gives pages of a CPU's list back.
    #[inline(never)]
    fn drain(&mut self, cpu: usize, bound: u64) {
        let batch = self.batch;
        let list = &mut self.lists[cpu];
        let most = bound.saturating_sub(batch).max(batch);
        let back = list.free_count.clamp(batch.min(most), most).min(list.len());
        // The oldest ones first, which the stolen ones are.
        let stolen = list.stolen.len().min(back as usize);
        list.count -= back - stolen as u64;
        list.stolen.drain(..stolen).for_each(|block| self.blocks.put(block));
        self.blocks.note_freed(back - stolen as u64);
        self.free += back;
        if self.below_high && self.free > self.marks[2] + self.boost {
            self.below_high = false;
        }
    }
}

/// Who may give a page.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Whose list of zones is walked.
    head: usize,
    mask: u64,
    huge: bool,
}

impl Guest {
    pub(super) fn build_fallback(&mut self, distances: &[Vec<u32>], cpus: &[usize]) {
        let nr = self.nr_nodes();
        let mut load = vec![0u64; nr];
        self.fallback = Vec::new();
        for (local, distances) in distances.iter().enumerate().take(nr) {
            let mut order = vec![local];
            let mut last = distances[local];
            while order.len() < nr {
                let cost = |node: usize| {
                    let penalty = u64::from(node < local) + u64::from(cpus[node] > 0);
                    (u64::from(distances[node]) + penalty) * 1024 + load[node]
                };
                let left = (0..nr).filter(|node| !order.contains(node));
                let Some(best) = left.min_by_key(|node| cost(*node)) else { break };
                if distances[best] != last {
                    load[best] += 1;
                }
                last = distances[best];
                order.push(best);
            }
            let mut zones = Vec::new();
            for node in order {
                let own = self.zones.iter().enumerate().filter(|(_, zone)| zone.node == node);
                let mut own: Vec<usize> = own.map(|(index, _)| index).collect();
                own.reverse();
                zones.extend(own);
            }
            self.fallback.push(zones);
        }
    }

    /// A zone's page for a page of a mapping under its policy; `None` when nothing can be freed.
    #[inline(always)]
    pub(super) fn alloc_zone(&mut self, vma: usize, index: u32, huge: bool) -> Option<usize> {
        let mapping = &self.vmas[vma];
        let place = mapping.offset + u64::from(index);
        if !huge && matches!(mapping.policy, Policy::Default | Policy::Local) {
            let head = self.cpus[self.cpu].node as usize;
            let near = self.take_first(Wanted { head, mask: u64::MAX, huge: false });
            if near.is_some() {
                return near;
            }
        }
        self.alloc_by_policy(self.vmas[vma].policy, place, huge)
    }

    #[inline(never)]
    fn alloc_by_policy(&mut self, policy: Policy, index: u64, huge: bool) -> Option<usize> {
        let here = self.cpus[self.cpu].node as usize;
        let all = u64::MAX;
        match policy {
            Policy::Default | Policy::Local => {
                self.alloc_from(Wanted { head: here, mask: all, huge }, true)
            }
            Policy::Preferred(node) => {
                let head = (node as usize).min(self.nr_nodes() - 1);
                self.alloc_from(Wanted { head, mask: all, huge }, true)
            }
            Policy::Bind(mask) => self.alloc_from(Wanted { head: here, mask, huge }, true),
            Policy::Within { node, first, allowed } => {
                let head = (node as usize).min(self.nr_nodes() - 1);
                let near = Wanted { head, mask: first, huge };
                (first != 0)
                    .then(|| self.alloc_from(near, false))
                    .flatten()
                    .or_else(|| self.alloc_from(Wanted { head, mask: allowed, huge }, true))
            }
            Policy::Many(mask) => self
                .alloc_from(Wanted { head: here, mask, huge }, false)
                .or_else(|| self.alloc_from(Wanted { head: here, mask: all, huge }, true)),
            Policy::Interleave(mask) => {
                let nodes = || (0..self.nr_nodes()).filter(|node| mask >> node & 1 != 0);
                let turn = (index % nodes().count().max(1) as u64) as usize;
                let head = nodes().nth(turn).unwrap_or(here);
                let zone = self.alloc_from(Wanted { head, mask: all, huge }, true)?;
                if self.zones[zone].node == head {
                    self.numa[head][NumaStat::interleave_hit] += 1;
                }
                Some(zone)
            }
            Policy::Weighted(mask) => {
                let weight =
                    |node: usize| self.knobs.weights.get(node).copied().unwrap_or(1).max(1);
                let nodes = || (0..self.nr_nodes()).filter(|node| mask >> node & 1 != 0);
                let total: u64 = nodes().map(weight).sum();
                let mut turn = index % total.max(1);
                let mut head = here;
                for node in nodes() {
                    if turn < weight(node) {
                        head = node;
                        break;
                    }
                    turn -= weight(node);
                }
                self.alloc_from(Wanted { head, mask: all, huge }, true)
            }
        }
    }

    /// A page of the CPU's own node for the kernel itself.
    pub(super) fn alloc_kernel_page(&mut self) -> Option<usize> {
        let head = self.cpus[self.cpu].node as usize;
        self.alloc_from(Wanted { head, mask: u64::MAX, huge: false }, true)
    }

    /// A page near the CPU for reclaim itself, which may take the last ones.
    pub(super) fn take_pool_page(&mut self) -> Option<usize> {
        let (cpu, head) = (self.cpu, self.cpus[self.cpu].node as usize);
        for careful in [true, false] {
            for place in 0..self.fallback[head].len() {
                let index = self.fallback[head][place];
                let zone = &mut self.zones[index];
                if (!careful || zone.above(Mark::Min)) && zone.alloc_page(cpu) {
                    let node = zone.node;
                    self.count_placement(node, head, 1);
                    return Some(index);
                }
            }
        }
        None
    }

    #[inline(always)]
    fn alloc_from(&mut self, wanted: Wanted, may_reclaim: bool) -> Option<usize> {
        self.take_first(wanted).or_else(|| self.alloc_slowly(wanted, may_reclaim))
    }

    /// The usual case: the nearest zone has plenty, and the CPU's list a page of it.
    #[inline(always)]
    fn take_first(&mut self, wanted: Wanted) -> Option<usize> {
        let index = *self.fallback[wanted.head].first()?;
        let zone = &mut self.zones[index];
        let node = zone.node;
        if wanted.huge || wanted.mask >> node & 1 == 0 || !zone.has_plenty() {
            return None;
        }
        let list = &mut zone.lists[self.cpu];
        if list.count == 0 {
            return None;
        }
        list.take(1);
        self.count_placement(node, node, 1);
        Some(index)
    }

    /// The zone that pages for a CPU come from under the default policy, with how many of them the
    /// CPU's list can give, one after the other, before anybody has to look.
    pub(super) fn near_pages(&self, cpu: usize) -> Option<(usize, u64)> {
        let index = *self.fallback[self.cpus[cpu].node as usize].first()?;
        let zone = &self.zones[index];
        zone.has_plenty().then(|| (index, zone.lists[cpu].count))
    }

    /// Takes pages that [`near_pages`](Self::near_pages) told of, for the running CPU.
    pub(super) fn take_near_pages(&mut self, zone: usize, nr: u64) {
        let node = self.zones[zone].node;
        self.zones[zone].lists[self.cpu].take(nr);
        self.count_placement(node, node, nr);
    }

    #[inline(never)]
    fn alloc_slowly(&mut self, wanted: Wanted, may_reclaim: bool) -> Option<usize> {
        if let Some(zone) = self.try_zones(wanted, Mark::Low) {
            return Some(zone);
        }
        self.wake_all(wanted.head, wanted.mask);
        if let Some(zone) = self.try_zones(wanted, Mark::Min) {
            return Some(zone);
        }
        if !may_reclaim || wanted.huge {
            return None;
        }
        loop {
            let zone = self.reclaim_and_try(wanted);
            if zone.is_some() || !self.out_of_memory(0) {
                return zone;
            }
        }
    }

    fn reclaim_and_try(&mut self, wanted: Wanted) -> Option<usize> {
        let mut drained = false;
        for _ in 0..16 {
            self.vm[Stat::allocstall] += 1;
            self.resched();
            let freed = self.direct_reclaim(wanted.head, wanted.mask);
            if let Some(zone) = self.try_zones(wanted, Mark::Min) {
                return Some(zone);
            }
            // What was freed may be in some CPU's lists.
            if freed == 0 || !std::mem::replace(&mut drained, true) {
                self.drain_page_lists();
                if let Some(zone) = self.try_zones(wanted, Mark::Min) {
                    return Some(zone);
                }
            }
        }
        None
    }

    fn drain_page_lists(&mut self) {
        for zone in &mut self.zones {
            for list in &mut zone.lists {
                zone.free += list.len();
                zone.blocks.note_freed(std::mem::take(&mut list.count));
                list.stolen.drain(..).for_each(|block| zone.blocks.put(block));
            }
        }
    }

    fn try_zones(&mut self, wanted: Wanted, mark: Mark) -> Option<usize> {
        let pages = if wanted.huge { HUGE as u64 } else { 0 };
        let mut preferred = None;
        for place in 0..self.fallback[wanted.head].len() {
            let index = self.fallback[wanted.head][place];
            let zone = &mut self.zones[index];
            let node = zone.node;
            if wanted.mask >> node & 1 == 0 {
                continue;
            }
            let first = *preferred.get_or_insert(node);
            let held = zone.reserve + pages;
            if zone.free <= zone.mark(Mark::High) + held {
                zone.below_high = true;
                if zone.free <= zone.mark(mark) + held && !self.node_reclaim(index, wanted.head) {
                    continue;
                }
            }
            if self.take_from(index, wanted.huge) {
                self.count_placement(node, first, pages.max(1));
                return Some(index);
            }
        }
        None
    }

    #[inline]
    fn take_from(&mut self, index: usize, huge: bool) -> bool {
        let zone = &mut self.zones[index];
        let taken = if huge {
            zone.free = zone.free.saturating_sub(HUGE as u64);
            true
        } else {
            zone.alloc_page(self.cpu)
        };
        if std::mem::take(&mut zone.boosted) {
            let (node, class) = (zone.node, zone.class);
            self.wake_kswapd(node, class);
        }
        taken
    }

    #[inline(always)]
    pub(super) fn count_placement(&mut self, node: usize, preferred: usize, pages: u64) {
        if node != preferred {
            self.numa[preferred][NumaStat::numa_foreign] += pages;
        }
        let local = self.cpus[self.cpu].node as usize == node;
        let numa = &mut self.numa[node];
        numa[if node == preferred { NumaStat::numa_hit } else { NumaStat::numa_miss }] += pages;
        numa[if local { NumaStat::local_node } else { NumaStat::other_node }] += pages;
    }

    /// A page of a node, or a huge one, for a move there, which neither reclaims nor wakes anybody.
    pub(super) fn alloc_on_node(&mut self, node: usize, pages: u64) -> Option<usize> {
        let more = if pages > 1 { pages } else { 0 };
        let index = self.fallback[node].iter().copied().find(|index| {
            let zone = &self.zones[*index];
            zone.node == node && zone.free > zone.mark(Mark::Low) + zone.reserve + more
        })?;
        if pages > 1 {
            self.zones[index].free -= pages;
        } else if !self.zones[index].alloc_page(self.cpu) {
            return None;
        }
        self.count_placement(node, node, pages);
        Some(index)
    }

    /// Gives pages back to the current CPU's list of their zone.
    #[inline(always)]
    pub(super) fn free_to_zone(&mut self, zone: usize, pages: u64) {
        let zone = &mut self.zones[zone];
        if pages > 1 {
            zone.free += pages;
        } else {
            zone.free_page(self.cpu, self.nodes[zone.node].running);
        }
    }
}
