//! Per-CPU batches in front of the lists, and the classic lists themselves.

use super::stat::Stat;
use super::state::{Folio, Guest, OFF, UNEVICTABLE_LIST, flag};
use super::zone::Zone;
use crate::list::List;

/// Folios in a batch.
const BATCH: usize = 31;

/// What becomes of a folio at the cold end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cold {
    /// It is taken.
    Take,
    /// It is passed over.
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
        let busy = flag::DIRTY | flag::UNEVICTABLE;
        if self.folios[folio].on == OFF || self.folios.has(folio, busy) {
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
        let mut batch = std::mem::take(&mut self.cpus[cpu].add);
        let engine = self.engine;
        engine.insert_batch(self, &batch);
        batch.clear();
        self.cpus[cpu].add = batch;
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
        let flags = &mut self.folios[folio].flags;
        if *flags & flag::MLOCKED != 0 {
            *flags = *flags & !flag::ACTIVE | flag::UNEVICTABLE;
            self.classic_insert(folio, false);
        } else {
            *flags &= !flag::UNEVICTABLE;
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
        if at_tail {
            self.lists.push_back(Self::list(lruvec, list), folio);
        } else {
            self.lists.push_front(Self::list(lruvec, list), folio);
        }
        self.resize(lruvec, list, class, nr);
    }

    /// As [`insert_evictable`](Self::insert_evictable) with the classic engine, for a batch, which is
    /// mostly of one lruvec.
    pub(super) fn classic_insert_batch(&mut self, batch: &[u32]) {
        let nr_nodes = self.nodes.len();
        // The root's lists, until the first folio says where it belongs.
        let (mut at, mut place, mut head) = ((u16::MAX, 0), (0, 0, 0), 0);
        let mut grown = [0; 5];
        for folio in batch {
            let record = &mut self.folios[*folio];
            if record.has(flag::MLOCKED) {
                record.flags = record.flags & !flag::ACTIVE | flag::UNEVICTABLE;
            } else {
                record.flags &= !flag::UNEVICTABLE;
            }
            let list = record.classic_list();
            record.on = list as u8;
            let Folio { memcg, zone, nr, .. } = *record;
            if at != (memcg, zone) {
                self.resize_lists(place, std::mem::take(&mut grown));
                at = (memcg, zone);
                let Zone { node, class, .. } = self.zones[zone as usize];
                place = (memcg as usize * nr_nodes + node, node, class);
                head = Self::list(place.0, 0).0;
            }
            grown[list] += i64::from(nr);
            self.lists.push_front(List(head + list as u32), *folio);
        }
        self.resize_lists(place, grown);
    }

    /// Changes the sizes of a lruvec's lists; `place` is the lruvec, its node, and the zone's class.
    fn resize_lists(&mut self, (lruvec, node, class): (usize, usize, usize), by: [i64; 5]) {
        let (sizes, node) = (&mut self.lruvecs[lruvec].size, &mut self.node_size[node]);
        for (list, by) in by.into_iter().enumerate() {
            sizes[list][class] += by;
            node[list] += by;
        }
    }

    /// Takes a folio off its classic list.
    #[inline]
    pub(super) fn classic_remove(&mut self, folio: u32) {
        let record = &mut self.folios[folio];
        let list = std::mem::replace(&mut record.on, OFF) as usize;
        let (memcg, nr) = (record.memcg, i64::from(record.nr));
        let Zone { node, class, .. } = self.zones[record.zone as usize];
        let lruvec = self.lruvec(memcg, node);
        self.lists.del(Self::list(lruvec, list), folio);
        self.resize(lruvec, list, class, -nr);
    }

    /// Takes folios off the cold end of a classic list into a batch, until `decide`, which sees a
    /// folio and its zone's class, wants no more. Those passed over go to the hot end.
    #[inline]
    pub(super) fn take_cold(
        &mut self,
        lruvec: usize,
        list: usize,
        mut decide: impl FnMut(&mut Folio, usize) -> Cold,
    ) -> Vec<u32> {
        let mut taken = std::mem::take(&mut self.batch);
        taken.clear();
        let mut passed = Vec::new();
        let mut gone = [0; 3];
        let (folios, zones) = (&mut self.folios, &self.zones);
        let heads = Self::list(lruvec, list);
        self.lists.pop_back_while(heads, |folio| {
            let record = &mut folios[folio];
            let class = zones[record.zone as usize].class;
            match decide(record, class) {
                Cold::Take => {
                    record.on = OFF;
                    gone[class] += i64::from(record.nr);
                    taken.push(folio);
                }
                Cold::Pass => passed.push(folio),
                Cold::Stop => return false,
            }
            true
        });
        for folio in passed {
            self.lists.push_front(heads, folio);
        }
        for (class, nr) in gone.into_iter().enumerate().filter(|(_, nr)| *nr > 0) {
            self.resize(lruvec, list, class, -nr);
        }
        taken
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
