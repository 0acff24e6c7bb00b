//! Dirty pages, writes in flight and their ends.

use super::stat::Stat;
use super::state::{Guest, flag, pte};

/// Dirty file pages in order of their dirtying, and the disks.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) queue: std::collections::VecDeque<(u32, u64)>,
    pub(super) nr_dirty: i64,
    pub(super) nr_writeback: i64,
}

impl Guest {
    /// Counts a folio that went under writeback or came out of it.
    pub(super) fn note_writeback(&mut self, folio: u32, sign: i64) {
        let nr = sign * i64::from(self.folios.nr[folio as usize]);
        let memcg = self.folios.memcg[folio as usize] as usize;
        if self.folios.kind(folio) == 1 {
            self.memcgs[memcg].writeback += nr;
        }
        self.dirty.nr_writeback += nr;
    }

    /// Whether any write is in flight.
    pub(super) fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Ends the writes that are due.
    pub(super) fn finish_writes(&mut self) {
        while let Some((key, folio)) =
            self.writes.first_key_value().map(|(key, folio)| (*key, *folio))
        {
            if key.0 > self.now {
                break;
            }
            self.writes.remove(&key);
            self.folios.clear(folio, flag::WRITEBACK);
            self.note_writeback(folio, -1);
            if self.folios.take(folio, flag::RECLAIM) {
                self.queue_rotation(folio);
            }
        }
    }

    /// Notes that a file's page differs from the disk's.
    pub(super) fn dirty_file_page(&mut self, folio: u32) {
        if self.folios.has(folio, flag::DIRTY) || self.folios.kind(folio) == 0 {
            return;
        }
        self.folios.set(folio, flag::DIRTY);
        let memcg = self.folios.memcg[folio as usize] as usize;
        self.memcgs[memcg].dirty += 1;
        self.dirty.nr_dirty += 1;
        self.vm[Stat::nr_dirtied] += 1;
        self.dirty.queue.push_back((folio, self.now));
    }

    /// Write-protects a page in all mappings, so that the next store is noticed.
    pub(super) fn protect_all(&mut self, folio: u32) {
        let object = self.folios.object[folio as usize] as usize;
        let index = self.folios.index[folio as usize] as usize;
        for place in 0..self.objects[object].vmas.len() {
            let vma = self.objects[object].vmas[place] as usize;
            self.vmas[vma].ptes[index] |= pte::PROTECTED;
        }
    }
}
