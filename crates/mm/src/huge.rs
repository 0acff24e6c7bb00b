//! What the entries of a huge page have in common, a word for each 2 MiB.
//!
//! The entries of a huge page are equal but for young and dirty, so whoever asks for flags and node
//! of many pages need not read 8 bytes for each of them: the words of 8 GiB fit into a first-level cache.

use base::HUGE_PAGE_PAGES;

use crate::Pte;

/// Entries of 2 MiB.
const ENTRIES: usize = HUGE_PAGE_PAGES as usize;
/// What may differ between the entries of a huge page at any time.
const ACCESSED: u64 = Pte::YOUNG | Pte::DIRTY;

/// A word for each 2 MiB of an address space.
#[derive(Clone, Debug, Default)]
pub(crate) struct HugeWords {
    words: Vec<u16>,
    /// Words that are not 0.
    nr_known: usize,
}

impl HugeWords {
    /// Words for as many pages, all 0.
    pub(crate) fn new(nr_pages: usize) -> Self {
        Self { words: vec![0; nr_pages.div_ceil(ENTRIES)], nr_known: 0 }
    }

    /// All words.
    pub(crate) fn all(&self) -> &[u16] {
        &self.words
    }

    /// Words that are not 0.
    pub(crate) fn nr_known(&self) -> usize {
        self.nr_known
    }

    /// Finds the word of the 2 MiB around `page` anew.
    pub(crate) fn renew(&mut self, ptes: &[Pte], page: u32) {
        let at = page as usize / ENTRIES;
        if let Some(word) = self.words.get_mut(at) {
            let new = word_of(ptes.get(at * ENTRIES..(at + 1) * ENTRIES).unwrap_or_default());
            self.nr_known = self.nr_known + usize::from(new != 0) - usize::from(*word != 0);
            *word = new;
        }
    }
}

/// Flags and node that all these entries have, with young and dirty set; 0 unless they are those of a
/// huge page and agree.
pub(crate) fn word_of(ptes: &[Pte]) -> u16 {
    let Some(first) = ptes.first().filter(|first| first.has(Pte::HUGE)) else { return 0 };
    let differs = ptes.iter().fold(0, |any, pte| any | (pte.0 ^ first.0));
    if differs & !ACCESSED == 0 { (first.0 | ACCESSED) as u16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use base::{FolioId, NodeId};

    use super::*;

    #[test]
    fn a_word_tells_what_the_entries_of_a_huge_page_share() {
        let mut ptes = vec![Pte::mapped(FolioId(7), NodeId(5), true); 2 * ENTRIES + 1];
        ptes[ENTRIES + 3] = ptes[ENTRIES + 3].with(Pte::YOUNG);
        let mut words = HugeWords::new(ptes.len());
        (0..3).for_each(|at| words.renew(&ptes, at * ENTRIES as u32 + 9));
        let open = Pte::OPEN | Pte::PRESENT | Pte::HUGE | Pte::YOUNG | Pte::DIRTY;
        let word = (open | 5 << Pte::NODE_SHIFT) as u16;
        assert_eq!((words.all(), words.nr_known()), (&[word, word, 0][..], 2));
        // One entry is marked, the others are not.
        ptes[7] = ptes[7].without(Pte::OPEN).with(Pte::PROTNONE);
        // Base pages.
        ptes[ENTRIES..].fill(Pte::mapped(FolioId(7), NodeId(5), false));
        (0..2).for_each(|at| words.renew(&ptes, at * ENTRIES as u32));
        assert_eq!((words.all(), words.nr_known()), (&[0, 0, 0][..], 0));
    }
}
