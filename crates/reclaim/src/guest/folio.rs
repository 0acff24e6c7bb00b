//! Folios: the pages that are in memory, by number.

use std::ops::{Index, IndexMut};

use super::state::{NONE, OFF, UNEVICTABLE_LIST};

/// Bits of a folio.
pub(super) mod flag {
    pub(crate) const ACTIVE: u16 = 1;
    pub(crate) const REFERENCED: u16 = 2;
    pub(crate) const WORKINGSET: u16 = 4;
    pub(crate) const DIRTY: u16 = 8;
    pub(crate) const WRITEBACK: u16 = 16;
    pub(crate) const RECLAIM: u16 = 32;
    /// Goes to swap: anonymous and shmem.
    pub(crate) const SWAPBACKED: u16 = 64;
    pub(crate) const SWAPCACHE: u16 = 128;
    pub(crate) const MLOCKED: u16 = 256;
    pub(crate) const READAHEAD: u16 = 512;
    pub(crate) const UNEVICTABLE: u16 = 1024;
    pub(crate) const ISOLATED: u16 = 2048;
    /// A fault is about to map it: not to be taken.
    pub(crate) const LOCKED: u16 = 4096;
    /// Anonymous, dropped by reclaim unless it was written since (MADV_FREE).
    pub(crate) const LAZY: u16 = 8192;
}

/// A folio: what a fault or a look at it needs lies in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Folio {
    pub(super) object: u32,
    pub(super) index: u32,
    /// What NUMA balancing keeps with it, 0 for nothing.
    pub(super) word: u32,
    /// Where on its list it is.
    pub(super) place: u32,
    pub(super) flags: u16,
    pub(super) memcg: u16,
    /// Base pages.
    pub(super) nr: u16,
    /// Mappings that have it in their page tables.
    pub(super) mapped: u16,
    /// Places in CPUs' batches for activation and rotation; they outlive the folio.
    pub(super) queued: u16,
    pub(super) zone: u8,
    /// The list of its lruvec that it is on.
    pub(super) on: u8,
    /// Its own generation, seq modulo 4.
    pub(super) generation: u8,
    /// Accesses counted beyond the second.
    pub(super) refs: u8,
}

impl Folio {
    /// On no list and not mapped.
    pub(super) const UNLISTED: Self = Self {
        object: NONE,
        index: 0,
        word: 0,
        place: 0,
        flags: 0,
        memcg: 0,
        nr: 1,
        mapped: 0,
        queued: 0,
        zone: 0,
        on: OFF,
        generation: OFF,
        refs: 0,
    };

    #[inline]
    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// 0 for pages that go to swap, 1 for file pages.
    #[inline]
    pub(super) fn kind(&self) -> usize {
        usize::from(!self.has(flag::SWAPBACKED))
    }

    /// The list of the classic engine that its flags ask for.
    #[inline]
    pub(super) fn classic_list(&self) -> usize {
        if self.has(flag::UNEVICTABLE) {
            return UNEVICTABLE_LIST;
        }
        self.evictable_list()
    }

    /// The same of one that is not unevictable.
    #[inline]
    pub(super) fn evictable_list(&self) -> usize {
        self.kind() * 2 + usize::from(self.has(flag::ACTIVE))
    }

    /// It is free.
    #[inline]
    pub(super) fn release(&mut self) {
        self.object = NONE;
        self.flags = 0;
    }

    /// Makes it unevictable if it is locked, evictable if not.
    #[inline]
    pub(super) fn set_evictable(&mut self) {
        self.flags = if self.has(flag::MLOCKED) {
            self.flags & !flag::ACTIVE | flag::UNEVICTABLE
        } else {
            self.flags & !flag::UNEVICTABLE
        };
    }
}

/// All folios, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Folios {
    all: Vec<Folio>,
    free: Vec<u32>,
}

impl Index<u32> for Folios {
    type Output = Folio;

    #[inline]
    fn index(&self, folio: u32) -> &Folio {
        &self.all[folio as usize]
    }
}

impl IndexMut<u32> for Folios {
    #[inline]
    fn index_mut(&mut self, folio: u32) -> &mut Folio {
        &mut self.all[folio as usize]
    }
}

impl Folios {
    /// A record that is free, if there is one.
    #[inline]
    pub(super) fn take_free(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// A record more.
    #[inline(never)]
    pub(super) fn push(&mut self) -> u32 {
        self.all.push(Folio::UNLISTED);
        self.all.len() as u32 - 1
    }

    pub(super) fn get(&self, folio: u32) -> Option<&Folio> {
        self.all.get(folio as usize)
    }

    /// Folios that there ever were at once.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[inline]
    pub(super) fn release(&mut self, folio: u32) {
        self[folio].release();
        self.free.push(folio);
    }

    /// Takes records back that are free already.
    #[inline]
    pub(super) fn released(&mut self, folios: &[u32]) {
        self.free.extend_from_slice(folios);
    }

    #[inline]
    pub(super) fn has(&self, folio: u32, flags: u16) -> bool {
        self[folio].has(flags)
    }

    #[inline]
    pub(super) fn set(&mut self, folio: u32, flags: u16) {
        self[folio].flags |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, folio: u32, flags: u16) {
        self[folio].flags &= !flags;
    }

    /// Clears and says whether any was set.
    #[inline]
    pub(super) fn take(&mut self, folio: u32, flags: u16) -> bool {
        let had = self.has(folio, flags);
        self.clear(folio, flags);
        had
    }

    /// 0 for pages that go to swap, 1 for file pages.
    #[inline]
    pub(super) fn kind(&self, folio: u32) -> usize {
        self[folio].kind()
    }
}
