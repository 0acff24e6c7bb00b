//! Belady's optimum: evict the page whose next use is farthest away.
//!
//! L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
//! Journal 5(2), 1966 (MIN); shown optimal in Mattson et al. 1970. Offline: the policy is given the
//! whole stream and must then be fed exactly that. No policy that loads a page on each fault misses
//! less, so the distance to it is what a design leaves on the table.
//!
//! Every access has a number, and at most one page is used next at each, so the resident pages are a
//! set of numbers whose largest is wanted: a tree of bits with 64 branches. Pages that are not used
//! again go first, the last seen of them first.

use std::ops::Range;

use config::{Described, NoKnobs};

use super::{Replacement, Setting, Textbook};

/// A page that is not used again.
const NEVER: u32 = u32::MAX;
/// A page that is not resident.
const ABSENT: u32 = u32::MAX - 1;

/// The page whose next use is farthest away goes.
#[derive(Clone, Debug)]
pub struct Belady {
    /// The page of each access.
    future: Vec<u32>,
    /// The next access to the page of each access.
    next: Vec<u32>,
    /// Next use of each resident page.
    next_use: Vec<u32>,
    uses: BitTree,
    /// Resident pages that are not used again.
    useless: Vec<u32>,
    /// Accesses so far.
    now: usize,
    nr_resident: u32,
    capacity: u32,
}

impl Belady {
    /// Notes the next use of a page that is being accessed.
    fn schedule(&mut self, page: u32) {
        debug_assert_eq!(
            self.future.get(self.now),
            Some(&page),
            "not the stream that was promised"
        );
        let next = self.next.get(self.now).copied().unwrap_or(NEVER);
        self.now += 1;
        self.next_use[page as usize] = next;
        if next == NEVER { self.useless.push(page) } else { self.uses.insert(next) }
    }
}

impl Replacement for Belady {
    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn nr_resident(&self) -> u32 {
        self.nr_resident
    }

    #[inline]
    fn is_resident(&self, page: u32) -> bool {
        self.next_use[page as usize] != ABSENT
    }

    fn hit(&mut self, page: u32) {
        self.uses.remove(self.next_use[page as usize]);
        self.schedule(page);
    }

    fn evict(&mut self) -> Option<u32> {
        let page = match self.useless.pop() {
            Some(page) => page,
            None => {
                let farthest = self.uses.last()?;
                self.uses.remove(farthest);
                self.future[farthest as usize]
            }
        };
        self.next_use[page as usize] = ABSENT;
        self.nr_resident -= 1;
        Some(page)
    }

    fn insert(&mut self, page: u32) {
        self.nr_resident += 1;
        self.schedule(page);
    }

    fn forget(&mut self, pages: Range<u32>) {
        self.useless.retain(|page| !pages.contains(page));
        for next in &mut self.next_use[pages.start as usize..pages.end as usize] {
            match std::mem::replace(next, ABSENT) {
                ABSENT => continue,
                NEVER => {}
                next => self.uses.remove(next),
            }
            self.nr_resident -= 1;
        }
    }

    fn validate(&self) {
        let resident = self.next_use.iter().filter(|next| **next != ABSENT).count();
        assert_eq!(resident, self.nr_resident as usize, "resident pages");
        let awaited = self.next_use.iter().filter(|next| **next < ABSENT);
        assert!(awaited.clone().all(|next| self.uses.contains(*next)), "a next use is missing");
        assert_eq!(resident, awaited.count() + self.useless.len(), "pages not used again");
    }
}

impl Described for Belady {
    const NAME: &'static str = "belady";
    const LINEAGE: &'static str =
        "the page whose next use is farthest away goes (Belady 1966): the bound";
    const SOURCE: &'static str = "L. A. Belady, IBM Systems Journal 5(2), 1966; R. L. Mattson et al., IBM Systems Journal 9(2), 1970";
    const LEFT_OUT: &'static str = "nothing; at most 2^32 - 2 accesses";
    type Knobs = NoKnobs;
}

impl Textbook for Belady {
    const OFFLINE: bool = true;
    fn new(_knobs: NoKnobs, setting: &Setting<'_>) -> Self {
        let mut seen = vec![NEVER; setting.nr_pages as usize];
        let mut next = vec![NEVER; setting.future.len()];
        for (now, page) in setting.future.iter().enumerate().rev() {
            next[now] = std::mem::replace(&mut seen[*page as usize], now as u32);
        }
        seen.fill(ABSENT);
        Self {
            future: setting.future.to_vec(),
            uses: BitTree::new(next.len()),
            next,
            next_use: seen,
            useless: Vec::new(),
            now: 0,
            nr_resident: 0,
            capacity: setting.capacity(),
        }
    }
}

/// A set of numbers below a bound; finds the largest in a few steps.
#[derive(Clone, Debug)]
struct BitTree {
    /// Bits of the numbers, then of the words below that are not 0, up to one word.
    levels: Vec<Vec<u64>>,
}

impl BitTree {
    fn new(bound: usize) -> Self {
        let mut levels = vec![vec![0; bound.div_ceil(64).max(1)]];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            levels.push(vec![0; below.len().div_ceil(64)]);
        }
        Self { levels }
    }

    fn insert(&mut self, number: u32) {
        let mut idx = number as usize;
        for level in &mut self.levels {
            let word = &mut level[idx / 64];
            let was_empty = *word == 0;
            *word |= 1 << (idx % 64);
            if !was_empty {
                return;
            }
            idx /= 64;
        }
    }

    fn remove(&mut self, number: u32) {
        let mut idx = number as usize;
        for level in &mut self.levels {
            let word = &mut level[idx / 64];
            *word &= !(1 << (idx % 64));
            if *word != 0 {
                return;
            }
            idx /= 64;
        }
    }

    fn contains(&self, number: u32) -> bool {
        self.levels[0][number as usize / 64] >> (number % 64) & 1 != 0
    }

    fn last(&self) -> Option<u32> {
        self.levels
            .iter()
            .rev()
            .try_fold(0, |idx, level| Some(idx * 64 + level[idx as usize].checked_ilog2()?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tree_of_bits_is_a_set(
            bound in 1u32..10_000,
            ops in prop::collection::vec((any::<bool>(), 0u32..10_000), 0..200),
        ) {
            let (mut fast, mut slow) = (BitTree::new(bound as usize), BTreeSet::new());
            for (add, number) in ops.into_iter().map(|(add, number)| (add, number % bound)) {
                if add {
                    fast.insert(number);
                    slow.insert(number);
                } else {
                    fast.remove(number);
                    slow.remove(&number);
                }
                prop_assert_eq!(fast.contains(number), add);
                prop_assert_eq!(fast.last(), slow.last().copied());
            }
        }
    }
}
