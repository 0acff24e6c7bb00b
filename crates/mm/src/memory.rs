//! Spaces, folios and zones together, kept consistent.

use std::ops::Range;

use base::{FolioId, HUGE_PAGE_PAGES, MmId, MmVec, NodeId, NodeVec, Pages};
use thiserror::Error;
use topology::Machine;

use crate::{AddressSpace, Allocated, Folios, Order, Pte, Watermark, Zones};

/// All memory of the simulated machine.
#[derive(Debug)]
pub struct Memory {
    /// Address spaces and files.
    pub spaces: MmVec<AddressSpace>,
    /// What is resident.
    pub folios: Folios,
    /// What is free.
    pub zones: Zones,
    /// Resident base pages by space and node.
    resident: MmVec<NodeVec<u64>>,
}

/// A folio was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The folio.
    pub folio: FolioId,
    /// Its first page.
    pub page: u32,
}

/// Why a folio cannot be moved.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MigrateError {
    /// No zone of the target would stay above its high watermark.
    #[error("the target node has no free memory above its high watermark")]
    TargetFull,
    /// It is being moved already.
    #[error("the page is under migration already")]
    Busy,
}

impl Memory {
    /// Empty memory.
    pub fn new(machine: &Machine) -> Self {
        Self {
            spaces: MmVec::default(),
            folios: Folios::default(),
            zones: Zones::new(machine),
            resident: MmVec::default(),
        }
    }

    /// Adds an address space.
    pub fn add_space(&mut self, space: AddressSpace) -> MmId {
        self.resident.push(NodeVec::filled(0, base::MAX_NODES));
        self.spaces.push(space)
    }

    /// The entry of a page.
    pub fn pte(&self, mm: MmId, page: u32) -> Pte {
        self.spaces[mm].ptes[page as usize]
    }

    /// Base pages of `mm` on each node.
    pub fn resident_by_node(&self, mm: MmId) -> &NodeVec<u64> {
        &self.resident[mm]
    }

    /// Maps an allocated folio at `page` (rounded down to the folio's size). Panics when something
    /// is mapped there: the caller looked.
    #[inline(always)]
    pub fn map(&mut self, mm: MmId, page: u32, order: Order, at: &Allocated) -> Mapped {
        let page = page & !(order.step() - 1);
        let folio = self.folios.insert(mm, page, at.node, at.zone, order);
        let space = &mut self.spaces[mm];
        let mapped = Pte::mapped(folio, at.node, order == Order::Huge);
        match order {
            Order::Base => {
                let pte = &mut space.ptes[page as usize];
                assert!(!pte.has(Pte::PRESENT), "mapped over a mapped page");
                *pte = mapped;
            }
            Order::Huge => {
                let ptes = &mut space.ptes[page as usize..][..HUGE_PAGE_PAGES as usize];
                assert!(ptes.iter().all(|pte| !pte.has(Pte::PRESENT)), "mapped over a mapped page");
                ptes.fill(mapped);
                space.huge_changed(page);
            }
        }
        space.resident += order.pages();
        self.resident[mm][at.node] += order.pages().0;
        Mapped { folio, page }
    }

    /// Unmaps and frees the folios of a range, splitting huge pages that stick out of it; returns
    /// the base pages freed.
    pub fn free_range(&mut self, mm: MmId, range: Range<u32>) -> Pages {
        let mut freed = Pages::ZERO;
        let mut page = range.start;
        while page < range.end {
            let pte = self.pte(mm, page);
            if !pte.has(Pte::PRESENT) {
                page += 1;
                continue;
            }
            let order = self.folios.order(pte.folio());
            let first = self.folios.page(pte.folio());
            if order == Order::Huge && (first < range.start || first + order.step() > range.end) {
                self.split(pte.folio());
                continue;
            }
            self.free_folio(pte.folio());
            freed += order.pages();
            page = first + order.step();
        }
        freed
    }

    /// Unmaps and frees one folio.
    pub fn free_folio(&mut self, folio: FolioId) {
        let order = self.folios.order(folio);
        let (mm, page, node) =
            (self.folios.mm(folio), self.folios.page(folio), self.folios.node(folio));
        let space = &mut self.spaces[mm];
        space.ptes[page as usize..][..order.step() as usize].fill(Pte::ABSENT);
        if order == Order::Huge {
            space.huge_changed(page);
        }
        space.resident -= order.pages();
        self.resident[mm][node] -= order.pages().0;
        self.zones.free_folio(order, node, self.folios.zone(folio));
        self.folios.remove(folio);
    }

    /// Splits a huge page into base pages in place; marks, young and dirty bits stay.
    pub fn split(&mut self, folio: FolioId) {
        assert_eq!(self.folios.order(folio), Order::Huge, "split of a base page");
        let (mm, page, node) =
            (self.folios.mm(folio), self.folios.page(folio), self.folios.node(folio));
        let (zone, word) = (self.folios.zone(folio), self.folios.word(folio));
        self.folios.remove(folio);
        for offset in 0..HUGE_PAGE_PAGES as u32 {
            let part = self.folios.insert(mm, page + offset, node, zone, Order::Base);
            self.folios.set_word(part, word);
            let pte = &mut self.spaces[mm].ptes[(page + offset) as usize];
            let kept =
                pte.0 & (Pte::OPEN | Pte::YOUNG | Pte::DIRTY | Pte::PROTNONE | Pte::MIGRATING);
            *pte = Pte::mapped(part, node, false).without(Pte::OPEN).with(kept);
        }
        self.spaces[mm].huge_changed(page);
    }

    /// Takes room on `to` for moving `folio` there; the entry is marked so that others wait.
    /// [`Memory::finish_migration`] or [`Memory::abort_migration`] must follow.
    ///
    /// # Errors
    /// When the target is full or the folio is being moved already; nothing has changed then.
    pub fn begin_migration(&mut self, folio: FolioId, to: NodeId) -> Result<u8, MigrateError> {
        let order = self.folios.order(folio);
        self.begin_migration_to(folio, |zones| zones.alloc_on(order, to, Watermark::High))
    }

    /// The same with room that somebody else finds; asked only when the folio can be moved.
    ///
    /// # Errors
    /// As [`Memory::begin_migration`].
    pub fn begin_migration_to(
        &mut self,
        folio: FolioId,
        room: impl FnOnce(&mut Zones) -> Option<u8>,
    ) -> Result<u8, MigrateError> {
        let (mm, page) = (self.folios.mm(folio), self.folios.page(folio));
        if self.pte(mm, page).has(Pte::MIGRATING) {
            return Err(MigrateError::Busy);
        }
        let zone = room(&mut self.zones).ok_or(MigrateError::TargetFull)?;
        self.update_ptes(folio, |pte| pte.without(Pte::OPEN).with(Pte::MIGRATING));
        Ok(zone)
    }

    /// The copy is done: the folio now is on `to`, its old page is free.
    pub fn finish_migration(&mut self, folio: FolioId, to: NodeId, zone: u8) {
        let order = self.folios.order(folio);
        let (mm, from) = (self.folios.mm(folio), self.folios.node(folio));
        self.zones.free_folio(order, from, self.folios.zone(folio));
        self.folios.set_node(folio, to, zone);
        self.resident[mm][from] -= order.pages().0;
        self.resident[mm][to] += order.pages().0;
        let huge = order == Order::Huge;
        self.update_ptes(folio, |pte| {
            Pte::mapped(folio, to, huge).with(pte.0 & (Pte::YOUNG | Pte::DIRTY))
        });
    }

    /// The move failed: the room is given back, the folio stays and is open again.
    pub fn abort_migration(&mut self, folio: FolioId, to: NodeId, zone: u8) {
        self.zones.free_folio(self.folios.order(folio), to, zone);
        self.open(folio);
    }

    /// Makes a folio accessible again after a hint fault.
    pub fn open(&mut self, folio: FolioId) {
        let closed = Pte::PROTNONE | Pte::MIGRATING | Pte::REGION;
        self.update_ptes(folio, |pte| pte.without(closed).with(Pte::OPEN));
    }

    /// Changes every entry of a folio.
    pub fn update_ptes(&mut self, folio: FolioId, change: impl Fn(Pte) -> Pte) {
        let (mm, page) = (self.folios.mm(folio), self.folios.page(folio));
        let order = self.folios.order(folio);
        let space = &mut self.spaces[mm];
        space.ptes[page as usize..][..order.step() as usize]
            .iter_mut()
            .for_each(|pte| *pte = change(*pte));
        if order == Order::Huge {
            space.huge_changed(page);
        }
    }

    /// Recounts everything and panics on a contradiction: every folio is mapped exactly where it
    /// says, entries agree with folios, free and resident pages add up to the managed ones. Slow;
    /// for tests.
    pub fn validate(&self, in_flight: &[(NodeId, Pages)]) {
        let mut used = self.validate_entries();
        in_flight.iter().for_each(|(node, pages)| used[*node] += pages.0);
        for (node, used) in used.enumerate() {
            assert_eq!(
                self.zones.free(node).0 + used,
                self.zones.managed(node).0,
                "pages of node {node}"
            );
        }
    }

    /// The part of [`Memory::validate`] that holds whoever counts free pages; gives the mapped base
    /// pages of each node.
    pub fn validate_entries(&self) -> NodeVec<u64> {
        let mut used = NodeVec::filled(0u64, self.zones.nr_nodes());
        let mut mapped = 0u64;
        for folio in self.folios.live() {
            let order = self.folios.order(folio);
            let (mm, page, node) =
                (self.folios.mm(folio), self.folios.page(folio), self.folios.node(folio));
            for pte in &self.spaces[mm].ptes[page as usize..][..order.step() as usize] {
                assert!(pte.has(Pte::PRESENT), "folio {folio} is not mapped");
                assert_eq!((pte.folio(), pte.node()), (folio, node), "entry and folio disagree");
                assert_eq!(pte.has(Pte::HUGE), order == Order::Huge, "size of folio {folio}");
                let closed = pte.has(Pte::PROTNONE) && !pte.has(Pte::OPEN);
                assert!(closed || !pte.has(Pte::REGION), "open page of a marked region");
            }
            used[node] += order.pages().0;
            mapped += order.pages().0;
        }
        self.spaces.iter().for_each(AddressSpace::validate_huge);
        let present =
            |space: &AddressSpace| space.ptes.iter().filter(|pte| pte.has(Pte::PRESENT)).count();
        let entries: usize = self.spaces.iter().map(present).sum();
        assert_eq!(entries as u64, mapped, "entries without a folio");
        let resident: u64 = self.resident.iter().flat_map(|nodes| nodes.iter()).sum();
        assert_eq!(resident, mapped, "resident counts");
        used
    }
}
