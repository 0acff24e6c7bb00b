//! A thread's caches: which of its accesses reach memory.
//!
//! Set-associative levels with least-recently-used replacement, write-back and write-allocate. A
//! miss fills the line into every level above the one that had it. A dirty line that a level evicts
//! marks the copy in the next level that holds the line, without refreshing it; when no level
//! below holds it, it goes to memory. Levels are neither inclusive nor exclusive, as in Valgrind's
//! cachegrind, with whose counts of misses this model agrees (`traces/capture/check-caches.sh`).
//!
//! Left out: prefetching, which moves lines earlier but not more of them as a rule; coherence
//! between threads, so that a line written by one thread stays valid in the caches of another; and
//! the competition of threads for the last level, of which each has a fixed share.

use std::ops::Range;

use base::CACHE_LINE_BYTES;
use topology::{Cache, Caches};

const EMPTY: u64 = u64::MAX;
const DIRTY: u64 = 1;

/// What one access did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the line came from memory.
    pub filled: bool,
    /// Dirty lines written to memory because of it.
    pub evictions: u32,
    /// Whether it made a clean line dirty.
    pub dirtied: bool,
}

/// The caches of one thread, from the first level to the last.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    levels: Vec<Level>,
}

/// One level. A set's lines stand in order of their last use, the most recent first; each is
/// `line << 1 | dirty`.
#[derive(Clone, Debug)]
struct Level {
    nr_sets: u64,
    ways: usize,
    lines: Vec<u64>,
}

impl Level {
    fn new(cache: Cache) -> Result<Self, String> {
        let set_bytes = u64::from(cache.ways) * CACHE_LINE_BYTES;
        if set_bytes == 0 || !cache.size.0.is_multiple_of(set_bytes) || cache.size.0 == 0 {
            return Err(format!(
                "a cache of {} bytes in {} ways: the size must be a multiple of ways x {CACHE_LINE_BYTES} bytes",
                cache.size.0, cache.ways
            ));
        }
        let nr_sets = cache.size.0 / set_bytes;
        let nr_lines = (nr_sets * u64::from(cache.ways)) as usize;
        Ok(Self { nr_sets, ways: cache.ways as usize, lines: vec![EMPTY; nr_lines] })
    }

    fn set(&mut self, line: u64) -> &mut [u64] {
        let start = (line % self.nr_sets) as usize * self.ways;
        &mut self.lines[start..start + self.ways]
    }

    /// Makes the line the most recent of its set and returns whether it was dirty; `None` if it is
    /// not there.
    fn touch(&mut self, line: u64, write: bool) -> Option<bool> {
        let set = self.set(line);
        let way = set.iter().position(|entry| entry >> 1 == line)?;
        let entry = set[way];
        set.copy_within(..way, 1);
        set[0] = entry | u64::from(write);
        Some(entry & DIRTY != 0)
    }

    /// Puts the line in as the most recent of its set; returns the line that had to go if it was
    /// dirty.
    fn install(&mut self, line: u64, write: bool) -> Option<u64> {
        let set = self.set(line);
        let victim = set[set.len() - 1];
        let last = set.len() - 1;
        set.copy_within(..last, 1);
        set[0] = line << 1 | u64::from(write);
        (victim != EMPTY && victim & DIRTY != 0).then_some(victim >> 1)
    }

    /// Marks the line dirty if it is there.
    fn mark_dirty(&mut self, line: u64) -> bool {
        match self.set(line).iter_mut().find(|entry| **entry >> 1 == line) {
            Some(entry) => {
                *entry |= DIRTY;
                true
            }
            None => false,
        }
    }

    fn forget(&mut self, lines: &Range<u64>) {
        let gone = |entry: u64| entry != EMPTY && lines.contains(&(entry >> 1));
        let ways = self.ways;
        let clean = |set: &mut [u64]| {
            if set.iter().any(|entry| gone(*entry)) {
                let kept: Vec<u64> = set.iter().copied().filter(|entry| !gone(*entry)).collect();
                set.fill(EMPTY);
                set[..kept.len()].copy_from_slice(&kept);
            }
        };
        if lines.end - lines.start < self.nr_sets {
            for line in lines.clone() {
                clean(self.set(line));
            }
        } else {
            self.lines.chunks_mut(ways).for_each(clean);
        }
    }
}

impl Hierarchy {
    /// Empty caches. Without levels every access goes to memory.
    ///
    /// # Errors
    /// A level whose size is not a multiple of a line per way.
    pub fn new(caches: &Caches) -> Result<Self, String> {
        let levels =
            caches.levels.iter().map(|cache| Level::new(*cache)).collect::<Result<_, _>>()?;
        Ok(Self { levels })
    }

    /// Touches a line (address / 64).
    pub fn access(&mut self, line: u64, write: bool) -> Outcome {
        debug_assert!(line < 1 << 58, "a line number has 58 bits");
        let mut was_dirty = false;
        let mut hit = self.levels.len();
        for (depth, level) in self.levels.iter_mut().enumerate() {
            // Only the first level is written to: the others learn of it when it evicts.
            if let Some(dirty) = level.touch(line, write && depth == 0) {
                was_dirty = dirty;
                hit = depth;
                break;
            }
        }
        let mut outcome = Outcome {
            filled: hit == self.levels.len(),
            evictions: 0,
            dirtied: write && !was_dirty,
        };
        for depth in (0..hit).rev() {
            if let Some(victim) = self.levels[depth].install(line, write && depth == 0) {
                let below = &mut self.levels[depth + 1..];
                if !below.iter_mut().any(|level| level.mark_dirty(victim)) {
                    outcome.evictions += 1;
                }
            }
        }
        outcome
    }

    /// Drops lines whose memory was freed, dirty or not.
    pub fn forget(&mut self, lines: Range<u64>) {
        if lines.start < lines.end {
            self.levels.iter_mut().for_each(|level| level.forget(&lines));
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// The same rules, written with time stamps and searches over everything.
    struct Slow {
        now: u64,
        levels: Vec<SlowLevel>,
    }

    /// Sets, ways and entries (line, dirty, last use).
    type SlowLevel = (u64, usize, Vec<(u64, bool, u64)>);

    impl Slow {
        fn access(&mut self, line: u64, write: bool) -> Outcome {
            self.now += 1;
            let now = self.now;
            let mut outcome = Outcome { filled: true, evictions: 0, dirtied: write };
            let mut missed = Vec::new();
            for (depth, (_, _, entries)) in self.levels.iter_mut().enumerate() {
                if let Some(entry) = entries.iter_mut().find(|entry| entry.0 == line) {
                    outcome.filled = false;
                    outcome.dirtied = write && !entry.1;
                    entry.2 = now;
                    entry.1 |= write && depth == 0;
                    break;
                }
                missed.push(depth);
            }
            for depth in missed.into_iter().rev() {
                let (nr_sets, ways, entries) = &mut self.levels[depth];
                let set = line % *nr_sets;
                let in_set = entries.iter().filter(|entry| entry.0 % *nr_sets == set);
                let mut victim = None;
                if in_set.clone().count() == *ways {
                    victim = in_set.min_by_key(|entry| entry.2).copied();
                }
                if let Some(victim) = victim {
                    entries.retain(|entry| entry.0 != victim.0);
                }
                entries.push((line, write && depth == 0, now));
                if let Some((dirty_line, true, _)) = victim {
                    let below = self.levels[depth + 1..].iter_mut();
                    let mut copies = below.flat_map(|level| level.2.iter_mut());
                    match copies.find(|entry| entry.0 == dirty_line) {
                        Some(copy) => copy.1 = true,
                        None => outcome.evictions += 1,
                    }
                }
            }
            outcome
        }

        fn forget(&mut self, lines: &Range<u64>) {
            for level in &mut self.levels {
                level.2.retain(|entry| !lines.contains(&entry.0));
            }
        }
    }

    fn caches(levels: &[(u64, u32)]) -> Caches {
        let level = |&(sets, ways)| Cache { size: Bytes(sets * u64::from(ways) * 64), ways };
        Caches { levels: levels.iter().map(level).collect() }
    }

    proptest! {
        #[test]
        fn the_caches_equal_their_slow_twin(
            levels in prop::collection::vec((1_u64..5, 1_u32..4), 0..4),
            accesses in prop::collection::vec((0_u64..40, any::<bool>(), 0_u32..30), 1..400),
        ) {
            let mut fast = Hierarchy::new(&caches(&levels)).expect("sizes fit");
            let slow_levels = levels.iter().map(|l| (l.0, l.1 as usize, Vec::new()));
            let mut slow = Slow { now: 0, levels: slow_levels.collect() };
            for (line, write, what) in accesses {
                if what == 0 {
                    fast.forget(line..line + 5);
                    slow.forget(&(line..line + 5));
                } else {
                    prop_assert_eq!(fast.access(line, write), slow.access(line, write));
                }
            }
        }
    }

    #[test]
    fn a_dirty_line_goes_to_memory_once_when_it_falls_out() {
        let mut one_set = Hierarchy::new(&caches(&[(1, 2)])).expect("sizes fit");
        assert_eq!(one_set.access(1, true), Outcome { filled: true, evictions: 0, dirtied: true });
        assert_eq!(
            one_set.access(1, true),
            Outcome { filled: false, evictions: 0, dirtied: false }
        );
        one_set.access(2, false);
        assert_eq!(one_set.access(3, false).evictions, 1);
        assert_eq!(one_set.access(4, false).evictions, 0);
    }

    #[test]
    fn a_size_that_makes_no_whole_sets_is_refused() {
        for (size, ways) in [(0, 1), (100, 1), (4096, 0), (4096, 3)] {
            let level = Cache { size: Bytes(size), ways };
            assert!(Hierarchy::new(&Caches { levels: vec![level] }).is_err());
        }
    }
}
