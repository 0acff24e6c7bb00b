//! A page-table entry as the replay loop reads it.

use base::{FolioId, NodeId};

/// An 8-byte page-table entry.
///
/// Everything the fast path asks is in here: whether the page is present and open (one AND over a
/// block of entries answers it for all), its node, whether young and dirty are set already. The 512
/// entries of a huge page are equal but for young and dirty, so no second table is looked up;
/// marking one is a fill of 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// The access goes through without a fault.
    pub const OPEN: u64 = 1;
    /// A folio is mapped.
    pub const PRESENT: u64 = 1 << 1;
    /// Accessed since the bit was last cleared.
    pub const YOUNG: u64 = 1 << 2;
    /// Written since the bit was last cleared.
    pub const DIRTY: u64 = 1 << 3;
    /// Part of a huge page.
    pub const HUGE: u64 = 1 << 4;
    /// Made inaccessible by a NUMA scanner: the next access is a hint fault.
    pub const PROTNONE: u64 = 1 << 5;
    /// Under migration: whoever touches it waits.
    pub const MIGRATING: u64 = 1 << 6;
    /// Made inaccessible together with the other base pages of its 2 MiB: one hint fault is for all of
    /// them.
    pub const REGION: u64 = 1 << 7;
    /// Where the node's six bits begin. They and all flags lie in the low sixteen bits.
    pub const NODE_SHIFT: u32 = 8;
    const FOLIO_SHIFT: u32 = 32;

    /// Nothing mapped.
    pub const ABSENT: Self = Self(0);

    /// An open entry of a resident folio.
    pub const fn mapped(folio: FolioId, node: NodeId, huge: bool) -> Self {
        let flags = Self::OPEN | Self::PRESENT | if huge { Self::HUGE } else { 0 };
        Self((folio.0 as u64) << Self::FOLIO_SHIFT | (node.0 as u64) << Self::NODE_SHIFT | flags)
    }

    /// Node of the mapped folio.
    #[inline]
    pub const fn node(self) -> NodeId {
        NodeId((self.0 >> Self::NODE_SHIFT) as u8 & 63)
    }

    /// The mapped folio.
    pub const fn folio(self) -> FolioId {
        FolioId((self.0 >> Self::FOLIO_SHIFT) as u32)
    }

    /// Whether all of `flags` are set.
    #[inline]
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags == flags
    }

    /// With `flags` set.
    pub const fn with(self, flags: u64) -> Self {
        Self(self.0 | flags)
    }

    /// With `flags` cleared.
    pub const fn without(self, flags: u64) -> Self {
        Self(self.0 & !flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap() {
        let pte = Pte::mapped(FolioId(u32::MAX), NodeId(63), true).with(Pte::YOUNG | Pte::DIRTY);
        assert_eq!((pte.folio(), pte.node()), (FolioId(u32::MAX), NodeId(63)));
        assert!(pte.has(Pte::OPEN | Pte::PRESENT | Pte::HUGE | Pte::YOUNG | Pte::DIRTY));
        assert!(!pte.has(Pte::PROTNONE) && !pte.has(Pte::MIGRATING));
    }
}
