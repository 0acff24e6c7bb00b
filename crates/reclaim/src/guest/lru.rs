//! Per-CPU batches in front of the lists, and the classic lists themselves.

use super::stat::Stat;
use super::state::{Guest, Lruvec, OFF, UNEVICTABLE_LIST, flag};
use super::zone::Zone;
use crate::list::List;

/// Folios in a batch.
pub(super) const BATCH: usize = 31;

/// What becomes of a folio at the cold end of a list that is in a higher zone than asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Above {
    /// It goes to the hot end.
    Pass,
    /// It stays, and so does all behind it.
    Stop,
}

impl Guest {
    /// Queues a new folio for its list.
    #[inline(always)]
    pub(super) fn lru_add(&mut self, folio: u32) {
        let record = &mut self.folios[folio];
        if self.is_mglru && self.in_fault && !record.has(flag::UNEVICTABLE) {
            record.flags |= flag::ACTIVE;
        }
        let add = &mut self.cpus[self.cpu].add;
        add.push(folio);
        if add.len() >= BATCH || record.nr > 1 {
            self.drain(self.cpu);
        }
    }

    /// Queues a folio for activation.
    pub(super) fn queue_activation(&mut self, folio: u32) {
        let cpu = self.cpu;
        if self.folios[folio].on == OFF {
            return;
        }
        self.folios[folio].queued += 1;
        self.cpus[cpu].activate.push(folio);
        if self.cpus[cpu].activate.len() >= BATCH {
            let batch = std::mem::take(&mut self.cpus[cpu].activate);
            self.activate_batch(&batch);
        }
    }

    /// Queues a folio whose write ended for the tail.
    pub(super) fn queue_rotation(&mut self, folio: u32) {
        // Of a page in the swap cache only its entries tell of a store since the write began.
        let dirty = if self.folios.has(folio, flag::SWAPCACHE) { 0 } else { flag::DIRTY };
        if self.folios[folio].on == OFF || self.folios.has(folio, dirty | flag::UNEVICTABLE) {
            return;
        }
        let cpu = self.cpu;
        self.folios[folio].queued += 1;
        self.cpus[cpu].rotate.push(folio);
        if self.cpus[cpu].rotate.len() >= BATCH {
            let batch = std::mem::take(&mut self.cpus[cpu].rotate);
            self.rotate_batch(&batch);
        }
    }

    /// Empties a CPU's batches onto the lists.
    pub(super) fn drain(&mut self, cpu: usize) {
        if !self.cpus[cpu].add.is_empty() {
            let mut batch = std::mem::take(&mut self.cpus[cpu].add);
            let engine = self.engine;
            engine.insert_batch(self, &batch);
            batch.clear();
            self.cpus[cpu].add = batch;
        }
        if !self.cpus[cpu].rotate.is_empty() {
            let batch = std::mem::take(&mut self.cpus[cpu].rotate);
            self.rotate_batch(&batch);
        }
        if !self.cpus[cpu].activate.is_empty() {
            let batch = std::mem::take(&mut self.cpus[cpu].activate);
            self.activate_batch(&batch);
        }
    }

    /// Puts a folio on its list, the unevictable one if it is locked.
    #[inline]
    pub(super) fn insert_evictable(&mut self, folio: u32) {
        let record = &mut self.folios[folio];
        record.set_evictable();
        if record.has(flag::UNEVICTABLE) {
            self.classic_insert(folio, false);
        } else {
            let engine = self.engine;
            engine.insert(self, folio, false);
        }
    }

    fn rotate_batch(&mut self, batch: &[u32]) {
        let engine = self.engine;
        for folio in batch.iter().copied() {
            self.folios[folio].queued -= 1;
            let on = self.folios[folio].on;
            if on == OFF || on as usize == UNEVICTABLE_LIST || self.folios[folio].object == u32::MAX
            {
                continue;
            }
            engine.remove(self, folio, false);
            self.folios.clear(folio, flag::ACTIVE);
            engine.insert(self, folio, true);
            self.vm[Stat::pgrotated] += u64::from(self.folios[folio].nr);
        }
    }

    fn activate_batch(&mut self, batch: &[u32]) {
        let engine = self.engine;
        for folio in batch.iter().copied() {
            self.folios[folio].queued -= 1;
            let on = self.folios[folio].on;
            let idle = on == OFF || on as usize == UNEVICTABLE_LIST;
            if idle || self.folios.has(folio, flag::ACTIVE) || self.folios[folio].object == u32::MAX
            {
                continue;
            }
            engine.remove(self, folio, false);
            self.folios.set(folio, flag::ACTIVE);
            let memcg = self.folios[folio].memcg;
            let nr = u64::from(self.folios[folio].nr);
            engine.insert(self, folio, false);
            self.count(memcg, Stat::pgactivate, nr);
        }
    }

    /// Puts a folio on its classic list.
    #[inline]
    pub(super) fn classic_insert(&mut self, folio: u32, at_tail: bool) {
        let record = &mut self.folios[folio];
        let list = record.classic_list();
        record.on = list as u8;
        let (memcg, nr) = (record.memcg, i64::from(record.nr));
        let Zone { node, class, .. } = self.zones[record.zone as usize];
        let lruvec = self.lruvec(memcg, node);
        let to = Self::list(lruvec, list);
        if at_tail {
            self.lists.push_back(to, folio, &mut self.folios);
        } else {
            self.lists.push_front(to, folio, &mut self.folios);
        }
        self.resize(lruvec, list, class, nr);
    }

    /// As [`insert_evictable`](Self::insert_evictable) with the classic engine, for a batch, which is
    /// mostly of one lruvec. Gives the pages that went to active lists.
    #[inline(never)]
    pub(super) fn classic_insert_batch(&mut self, batch: &[u32]) -> u64 {
        let Some(first) = batch.first().map(|first| self.folios[*first]) else { return 0 };
        let mut activated = 0;
        let nr_nodes = self.nodes.len();
        let Self { folios, zones, lruvecs, node_size, lists, .. } = self;
        let place_of = |memcg: u16, zone: u8| {
            let Zone { node, class, .. } = zones[zone as usize];
            (memcg as usize * nr_nodes + node, node, class)
        };
        let (mut memcg, mut zone) = (first.memcg, first.zone);
        let mut place = place_of(memcg, zone);
        let mut head = Self::list(place.0, 0).0;
        let mut grown = [0; 5];
        for folio in batch.iter().copied() {
            let record = &mut folios[folio];
            let list = if record.has(flag::MLOCKED | flag::UNEVICTABLE) {
                record.set_evictable();
                record.classic_list()
            } else {
                record.evictable_list()
            };
            record.on = list as u8;
            if record.memcg != memcg || record.zone != zone {
                activated += grown[1] + grown[3];
                resize_lists(lruvecs, node_size, place, std::mem::take(&mut grown));
                (memcg, zone) = (record.memcg, record.zone);
                place = place_of(memcg, zone);
                head = Self::list(place.0, 0).0;
            }
            grown[list] += i64::from(record.nr);
            lists.push_front(List(head + list as u32), folio, folios);
        }
        resize_lists(&mut self.lruvecs, &mut self.node_size, place, grown);
        (activated + grown[1] + grown[3]) as u64
    }

    /// Takes a folio off its classic list.
    #[inline]
    pub(super) fn classic_remove(&mut self, folio: u32) {
        let record = &mut self.folios[folio];
        let list = std::mem::replace(&mut record.on, OFF) as usize;
        let (memcg, nr) = (record.memcg, i64::from(record.nr));
        let Zone { node, class, .. } = self.zones[record.zone as usize];
        let lruvec = self.lruvec(memcg, node);
        self.lists.del(Self::list(lruvec, list), folio, &self.folios);
        self.resize(lruvec, list, class, -nr);
    }

    /// Takes folios of at least `want` pages off the cold end of a classic list and sets `flags`; gives
    /// them, their pages, and the pages of zones above `class` that were met, as `above` says.
    #[inline(never)]
    pub(super) fn take_cold(
        &mut self,
        (lruvec, list): (usize, usize),
        want: u64,
        class: usize,
        flags: u16,
        above: Above,
    ) -> (Vec<u32>, u64, u64) {
        let mut taken = std::mem::take(&mut self.batch);
        taken.clear();
        let heads = Self::list(lruvec, list);
        self.lists.copy_back(heads, want as usize, &mut taken);
        let (mut pages, mut nr) = (0, 0);
        let zone = taken.first().map_or(0, |first| self.folios[*first].zone);
        let zone_class = self.zones[zone as usize].class;
        if zone_class <= class {
            for folio in &taken {
                let record = &mut self.folios[*folio];
                if pages >= want || record.zone != zone {
                    break;
                }
                record.on = OFF;
                record.flags |= flags;
                pages += u64::from(record.nr);
                nr += 1;
            }
        }
        taken.truncate(nr);
        self.lists.drop_back(heads, nr as u32);
        self.resize(lruvec, list, zone_class, -(pages as i64));
        if pages >= want || self.lists.is_empty(heads) {
            return (taken, pages, 0);
        }
        let want = want - pages;
        let (more, passed) =
            self.take_of_zones((lruvec, list), want, class, flags, above, &mut taken);
        (taken, pages + more, passed)
    }

    /// What is left of [`take_cold`](Self::take_cold) where zones mix on a list.
    #[cold]
    fn take_of_zones(
        &mut self,
        (lruvec, list): (usize, usize),
        want: u64,
        class: usize,
        flags: u16,
        above: Above,
        taken: &mut Vec<u32>,
    ) -> (u64, u64) {
        let (mut passed, mut passed_pages, mut pages, mut gone) = (Vec::new(), 0, 0, [0; 4]);
        let (folios, zones) = (&mut self.folios, &self.zones);
        let heads = Self::list(lruvec, list);
        self.lists.pop_back_while(heads, |folio| {
            if pages >= want {
                return false;
            }
            let record = &mut folios[folio];
            let zone_class = zones[record.zone as usize].class;
            let nr = u64::from(record.nr);
            if zone_class > class {
                passed_pages += nr;
                passed.push(folio);
                return above == Above::Pass;
            }
            record.on = OFF;
            record.flags |= flags;
            pages += nr;
            gone[zone_class % 4] += nr;
            taken.push(folio);
            true
        });
        if above == Above::Pass {
            for folio in passed {
                self.lists.push_front(heads, folio, &mut self.folios);
            }
        }
        for (class, nr) in gone.into_iter().enumerate().filter(|(_, nr)| *nr > 0) {
            self.resize(lruvec, list, class, -(nr as i64));
        }
        (pages, passed_pages)
    }

    /// Takes a folio off whatever list it is on.
    pub(super) fn lru_remove(&mut self, folio: u32) {
        let engine = self.engine;
        let on = self.folios[folio].on as usize;
        if on == UNEVICTABLE_LIST {
            self.classic_remove(folio);
        } else if on != usize::from(OFF) {
            engine.remove(self, folio, false);
        } else {
            for cpu in 0..self.cpus.len() {
                self.cpus[cpu].add.retain(|other| *other != folio);
            }
        }
        if std::mem::take(&mut self.folios[folio].queued) > 0 {
            for cpu in &mut self.cpus {
                cpu.activate.retain(|other| *other != folio);
                cpu.rotate.retain(|other| *other != folio);
            }
        }
    }
}

/// Changes the sizes of a lruvec's lists; `place` is the lruvec, its node, and the zone's class.
#[inline(never)]
fn resize_lists(
    lruvecs: &mut [Lruvec],
    node_size: &mut [[i64; 5]],
    (lruvec, node, class): (usize, usize, usize),
    by: [i64; 5],
) {
    let (sizes, node) = (&mut lruvecs[lruvec].size, &mut node_size[node]);
    for (list, by) in by.into_iter().enumerate() {
        sizes[list][class] += by;
        node[list] += by;
    }
}
