//! Resident folios. What is known of one lies together: a fault or a scan that looks at one asks for
//! all of it.

use base::{FolioId, FolioVec, HUGE_PAGE_PAGES, MmId, NodeId, Pages};

/// Size of a folio as a power of two of base pages; 0 and 9 occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// A base page.
    Base,
    /// A huge page, 512 base pages.
    Huge,
}

impl Order {
    /// Base pages.
    pub const fn pages(self) -> Pages {
        match self {
            Self::Base => Pages(1),
            Self::Huge => Pages(HUGE_PAGE_PAGES),
        }
    }

    /// Base pages, as a step through page numbers.
    pub const fn step(self) -> u32 {
        self.pages().0 as u32
    }
}

const MM_SHIFT: u32 = 16;
const NODE_SHIFT: u32 = 8;
const HUGE: u32 = 1;
const LIVE: u32 = 2;
const ZONE_SHIFT: u32 = 4;

/// A resident folio.
#[derive(Clone, Copy, Debug)]
struct Folio {
    /// First page number in the space that maps it.
    page: u32,
    /// Space (16 bits), node (6), zone index (4), flags.
    place: u32,
    /// A word for the NUMA design: last CPU and PID, last node.
    word: u32,
}

/// What is known of each resident folio; 12 bytes each, and 4 for each that was freed.
#[derive(Debug, Default)]
pub struct Folios {
    all: FolioVec<Folio>,
    free: Vec<FolioId>,
}

impl Folios {
    /// Adds a folio.
    #[inline]
    pub fn insert(&mut self, mm: MmId, page: u32, node: NodeId, zone: u8, order: Order) -> FolioId {
        debug_assert!(zone < 4, "a node has at most four zones");
        let huge = if order == Order::Huge { HUGE } else { 0 };
        let place = u32::from(mm.0) << MM_SHIFT
            | u32::from(node.0) << NODE_SHIFT
            | u32::from(zone) << ZONE_SHIFT
            | huge
            | LIVE;
        let new = Folio { page, place, word: 0 };
        match self.free.pop() {
            Some(folio) => {
                self.all[folio] = new;
                folio
            }
            None => self.all.push(new),
        }
    }

    /// Forgets a folio.
    pub fn remove(&mut self, folio: FolioId) {
        debug_assert!(self.is_live(folio), "freed twice");
        self.all[folio].place = 0;
        self.free.push(folio);
    }

    /// Moves a folio to another node and zone; its id stays.
    pub fn set_node(&mut self, folio: FolioId, node: NodeId, zone: u8) {
        let kept = self.all[folio].place & !(63 << NODE_SHIFT | 3 << ZONE_SHIFT);
        self.all[folio].place =
            kept | u32::from(node.0) << NODE_SHIFT | u32::from(zone) << ZONE_SHIFT;
    }

    /// Reads what is known of some folios, so that the cache misses overlap when it will be asked for one
    /// after the other. Unknown ids are left out.
    pub fn read_ahead(&self, folios: impl Iterator<Item = FolioId>) {
        let places = folios.filter_map(|folio| self.all.get(folio)).map(|folio| folio.place);
        std::hint::black_box(places.fold(0, |any, place| any | place));
    }

    /// Whether the id is in use.
    pub fn is_live(&self, folio: FolioId) -> bool {
        self.all.get(folio).is_some_and(|folio| folio.place & LIVE != 0)
    }

    /// Space that maps it.
    pub fn mm(&self, folio: FolioId) -> MmId {
        MmId((self.all[folio].place >> MM_SHIFT) as u16)
    }

    /// First page number in that space.
    pub fn page(&self, folio: FolioId) -> u32 {
        self.all[folio].page
    }

    /// Node it is on.
    pub fn node(&self, folio: FolioId) -> NodeId {
        NodeId((self.all[folio].place >> NODE_SHIFT) as u8 & 63)
    }

    /// Index of its zone in the node.
    pub fn zone(&self, folio: FolioId) -> u8 {
        (self.all[folio].place >> ZONE_SHIFT) as u8 & 3
    }

    /// Its size.
    pub fn order(&self, folio: FolioId) -> Order {
        if self.all[folio].place & HUGE != 0 { Order::Huge } else { Order::Base }
    }

    /// The NUMA design's word; 0 until it is set.
    pub fn word(&self, folio: FolioId) -> u32 {
        self.all[folio].word
    }

    /// Sets the NUMA design's word.
    pub fn set_word(&mut self, folio: FolioId, word: u32) {
        self.all[folio].word = word;
    }

    /// Folios in use.
    pub fn nr_live(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// All folios in use, in the order of their ids.
    pub fn live(&self) -> impl Iterator<Item = FolioId> + '_ {
        self.all.ids().filter(|folio| self.is_live(*folio))
    }
}
