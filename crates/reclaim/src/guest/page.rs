//! What an object has of a page: a folio in memory, a place in swap, a shadow.
//!
//! Eight bytes for all, as a slot of the kernel's trees holds a folio or what is remembered of it: a
//! fault and an eviction touch one cache line for them. A shadow is of a file's page that is away, so
//! it takes the place of the others.

use super::state::NONE;

/// Set in a shadow, as [`Shadow::pack`](super::shadow::Shadow::pack) leaves it.
const SHADOW: u64 = 1 << 63;
/// "No slot of swap"; the last one that has no number is 2^31 - 2, of 8 TiB.
const NO_SWAP: u32 = NONE >> 1;

/// A page of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page(u64);

impl Page {
    /// Nowhere.
    pub(super) const EMPTY: Self = Self((NO_SWAP as u64) << 32 | NONE as u64);

    /// The folio that it is in, or [`NONE`].
    #[inline]
    pub(super) fn folio(self) -> u32 {
        if self.0 & SHADOW == 0 { self.0 as u32 } else { NONE }
    }

    /// Some of its bits, for reads that only warm the cache.
    #[inline]
    pub(super) fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Puts it into a folio; a shadow is forgotten.
    #[inline]
    pub(super) fn set_folio(&mut self, folio: u32) {
        let swap = if self.0 & SHADOW == 0 { self.0 } else { Self::EMPTY.0 } >> 32;
        self.0 = swap << 32 | u64::from(folio);
    }

    /// A page in a folio, without a place in swap.
    #[inline]
    pub(super) fn resident(folio: u32) -> Self {
        Self((NO_SWAP as u64) << 32 | u64::from(folio))
    }

    /// Its place in swap, or [`NONE`].
    #[inline]
    pub(super) fn swap(self) -> u32 {
        let slot = (self.0 >> 32) as u32;
        if slot < NO_SWAP { slot } else { NONE }
    }

    /// Gives it a place in swap, or takes it away.
    #[inline]
    pub(super) fn set_swap(&mut self, slot: u32) {
        debug_assert!(self.0 & SHADOW == 0, "what goes to swap leaves no shadow here");
        self.0 = u64::from(slot.min(NO_SWAP)) << 32 | self.0 & u64::from(NONE);
    }

    /// The page that went to a slot of swap.
    #[inline]
    pub(super) fn swapped(slot: u32) -> Self {
        let mut page = Self::EMPTY;
        page.set_swap(slot);
        page
    }

    /// What is remembered of it, 0 for nothing.
    #[inline]
    pub(super) fn shadow(self) -> u64 {
        if self.0 & SHADOW == 0 { 0 } else { self.0 }
    }

    /// The page that was evicted with this shadow (0 for none).
    #[inline]
    pub(super) fn evicted(shadow: u64) -> Self {
        if shadow == 0 { Self::EMPTY } else { Self(shadow | SHADOW) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_memory_and_in_swap_at_once_but_never_with_a_shadow() {
        let mut page = Page::EMPTY;
        assert_eq!((page.folio(), page.swap(), page.shadow()), (NONE, NONE, 0));
        page.set_swap(7);
        page.set_folio(3);
        assert_eq!((page.folio(), page.swap(), page.shadow()), (3, 7, 0));
        page.set_folio(NONE);
        assert_eq!((page.folio(), page.swap()), (NONE, 7));
        page.set_swap(NONE);
        assert_eq!(page, Page::EMPTY);
        page = Page::evicted(SHADOW | 5);
        assert_eq!((page.folio(), page.swap(), page.shadow()), (NONE, NONE, SHADOW | 5));
        page.set_folio(9);
        assert_eq!((page.folio(), page.swap(), page.shadow()), (9, NONE, 0));
        assert_eq!(Page::evicted(0), Page::EMPTY);
        page.set_folio(NONE);
        page.set_folio(6);
        assert_eq!(page, Page::resident(6));
    }
}
