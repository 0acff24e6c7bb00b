//! How far from the best a run was: the textbook policies on the run's own stream of page accesses.
//!
//! A simulator records which pages its tasks accessed, in the order in which it let them, and which
//! accesses found their page gone ([`Recording`]). Afterwards the stream of a memory cgroup, or of all,
//! is replayed by policies that may hold as many pages as the group held ([`Stream::misses`]).
//!
//! Only misses on pages that had been in memory before count, for the engine and the policies alike:
//! the first access to a page misses under all of them. Accesses that follow each other to one page
//! are one, since how a recorder cuts them is no property of the program. A page that its owner freed is
//! another one when it is accessed again.
//!
//! The stream is that of this run: under another policy tasks would wait at other times, and accesses
//! of different tasks would follow each other in another order. Policies load a page when it is
//! accessed; an engine that reads ahead may therefore miss less than Belady's optimum.

use std::ops::Range;

use crate::textbook::{Registered, Setting};

/// What happened to pages, in order.
#[derive(Clone, Debug)]
enum Entry {
    /// Tasks of a group accessed so many of the recorded pages.
    Accessed { group: u16, nr: u32 },
    /// An access of a task of a group found a page that was not in memory.
    Absent { group: u16, page: u32 },
    /// The owner freed pages.
    Freed(Range<u32>),
}

/// Page accesses of a run, up to a number of them.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// First page number of each region, and the number after the last.
    first: Vec<u32>,
    pages: Vec<u32>,
    entries: Vec<Entry>,
    /// Most pages and most entries.
    most: usize,
    left_out: u64,
}

impl Recording {
    /// A recording of regions of so many pages each. It stops for good after `most` accesses.
    pub fn new(sizes: impl Iterator<Item = u32>, most: usize) -> Self {
        let mut first = vec![0u32];
        let mut fits = true;
        for size in sizes {
            let last = first.last().copied().unwrap_or(0);
            fits &= last.checked_add(size).is_some();
            first.push(last.saturating_add(size));
        }
        // With more pages than there are numbers for them nothing can be told.
        Self { first, most: if fits { most } else { 0 }, ..Self::default() }
    }

    /// Accesses that came after the recording had stopped.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        self.left_out > 0
    }

    /// Tasks of a group accessed pages of a region one after the other.
    pub fn access(&mut self, group: u16, region: usize, pages: impl ExactSizeIterator<Item = u32>) {
        let nr = pages.len();
        let room = self.most.saturating_sub(self.pages.len());
        if self.has_stopped() || nr > room || self.entries.len() >= self.most {
            self.left_out += nr as u64;
            return;
        }
        let (first, before) = (self.first[region], self.pages.len());
        // What is accessed again at once is left out here already, for the room it takes.
        let mut last = match self.entries.last() {
            Some(Entry::Accessed { group: last, .. }) if *last == group => {
                self.pages.last().copied()
            }
            _ => None,
        };
        for page in pages.map(|page| first + page) {
            if last.replace(page) != Some(page) {
                self.pages.push(page);
            }
        }
        let more = (self.pages.len() - before) as u32;
        match self.entries.last_mut() {
            Some(Entry::Accessed { group: last, nr }) if *last == group => *nr += more,
            _ => self.entries.push(Entry::Accessed { group, nr: more }),
        }
    }

    /// An access of a task of a group found a page that was not in memory.
    pub fn absent(&mut self, group: u16, region: usize, page: u32) {
        let page = self.first[region] + page;
        self.note(Entry::Absent { group, page });
    }

    /// The owner freed pages.
    pub fn free(&mut self, region: usize, pages: Range<u32>) {
        let first = self.first[region];
        self.note(Entry::Freed(first + pages.start..first + pages.end));
    }

    fn note(&mut self, entry: Entry) {
        if !self.has_stopped() {
            self.entries.push(entry);
        }
    }

    /// The stream of the tasks of some groups.
    pub fn stream(&self, is_inside: impl Fn(u16) -> bool) -> Stream {
        let mut stream = Stream::default();
        let mut number = vec![NONE; self.first.last().map_or(0, |last| *last as usize)];
        let mut pages = self.pages.iter();
        let mut last = NONE;
        for entry in &self.entries {
            match entry {
                Entry::Accessed { group, nr } => {
                    let these = pages.by_ref().take(*nr as usize);
                    if !is_inside(*group) {
                        these.for_each(drop);
                        continue;
                    }
                    for page in these {
                        let number = &mut number[*page as usize];
                        if *number == NONE {
                            *number = stream.nr_pages;
                            stream.nr_pages += 1;
                        }
                        if *number != last {
                            last = *number;
                            stream.accesses.push(last);
                        }
                    }
                }
                Entry::Absent { group, page } => {
                    let came_back = number[*page as usize] != NONE && is_inside(*group);
                    stream.missed += u64::from(came_back);
                }
                Entry::Freed(range) => {
                    stream.free(&mut number[range.start as usize..range.end as usize]);
                    last = NONE;
                }
            }
        }
        stream
    }
}

/// A page that has no number.
const NONE: u32 = u32::MAX;

/// Accesses as policies are given them: pages are numbered in the order of their first access.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    accesses: Vec<u32>,
    nr_pages: u32,
    /// Pages freed, and how many accesses came before.
    freed: Vec<(usize, Range<u32>)>,
    missed: u64,
}

impl Stream {
    /// Accesses, those that follow each other to one page counted once.
    pub fn nr_accesses(&self) -> u64 {
        self.accesses.len() as u64
    }

    /// Different pages; one that was freed and accessed again counts again.
    pub fn nr_pages(&self) -> u64 {
        self.nr_pages.into()
    }

    /// Misses in the run, first accesses apart.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Takes the numbers of freed pages from them.
    fn free(&mut self, numbers: &mut [u32]) {
        let at = self.accesses.len();
        let mut range: Option<Range<u32>> = None;
        for number in numbers.iter_mut().filter(|number| **number != NONE) {
            let number = std::mem::replace(number, NONE);
            match &mut range {
                Some(range) if range.end == number => range.end += 1,
                _ => {
                    self.freed.extend(range.map(|range| (at, range)));
                    range = Some(number..number + 1);
                }
            }
        }
        self.freed.extend(range.map(|range| (at, range)));
    }

    /// Misses of a policy with its published constants, first accesses apart, when it may hold so
    /// many pages.
    pub fn misses(&self, policy: &Registered, capacity: u32) -> u64 {
        let setting = Setting { nr_pages: self.nr_pages, capacity, future: &self.accesses };
        let is_offline = policy.is_offline;
        let mut policy = (policy.build_default)(&setting);
        let (mut misses, mut done) = (0, 0);
        for (at, pages) in &self.freed {
            misses += policy.replay(&self.accesses[done..*at]);
            done = *at;
            // A freed page is not used again under its number: who knows the future evicts it first.
            if !is_offline {
                policy.forget(pages.clone());
            }
        }
        misses += policy.replay(&self.accesses[done..]);
        misses - self.nr_pages()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::libcachesim::{STREAMS, Stream as Published};
    use crate::textbook::{POLICIES, find, simulate};

    fn deduplicated(pages: &[u32]) -> Vec<u32> {
        let mut pages = pages.to_vec();
        pages.dedup();
        pages
    }

    fn distinct(pages: &[u32]) -> u64 {
        pages.iter().collect::<std::collections::BTreeSet<_>>().len() as u64
    }

    #[test]
    fn counts_are_those_of_the_textbook_suite_on_the_same_stream() {
        let Some(published) = STREAMS.first() else { panic!("no stream") };
        let published = Published { nr_requests: 200_000, ..*published };
        let requests = published.requests();
        let mut recording = Recording::new([published.nr_pages].into_iter(), requests.len());
        for block in requests.chunks(97) {
            recording.access(0, 0, block.iter().copied());
        }
        assert!(!recording.has_stopped());
        let (stream, plain) = (recording.stream(|_| true), deduplicated(&requests));
        assert_eq!(stream.nr_accesses(), plain.len() as u64);
        for policy in POLICIES {
            for capacity in [100, 5_000] {
                let misses = stream.misses(policy, capacity) + distinct(&requests);
                assert_eq!(misses, simulate(policy, capacity, &plain), "{}", policy.about.name);
            }
        }
    }

    #[test]
    fn what_comes_after_the_last_access_that_fits_is_counted_and_left_out() {
        let mut recording = Recording::new([10].into_iter(), 4);
        recording.access(0, 0, [1, 2, 3].into_iter());
        recording.access(0, 0, [4, 5].into_iter());
        recording.access(0, 0, [6].into_iter());
        recording.absent(0, 0, 1);
        assert_eq!(recording.left_out(), 3);
        let stream = recording.stream(|_| true);
        assert_eq!((stream.nr_accesses(), stream.nr_pages(), stream.missed()), (3, 3, 0));
    }

    #[test]
    fn a_page_counts_as_missed_if_the_group_had_it_before() {
        let mut recording = Recording::new([10, 10].into_iter(), 100);
        recording.absent(1, 1, 3);
        recording.access(1, 1, [3, 4, 3].into_iter());
        recording.absent(1, 1, 3);
        recording.absent(2, 1, 3);
        recording.free(1, 0..10);
        recording.absent(1, 1, 3);
        recording.access(1, 1, [3].into_iter());
        let of = |wanted: u16| recording.stream(move |group| group == wanted);
        assert_eq!((of(1).missed(), of(2).missed()), (1, 0));
        assert_eq!(of(1).nr_pages(), 3, "a freed page is another one");
    }

    #[test]
    fn an_access_of_another_group_to_the_same_page_is_one_of_its_own() {
        let mut recording = Recording::new([10].into_iter(), 100);
        recording.access(0, 0, [7].into_iter());
        recording.access(1, 0, [7, 7].into_iter());
        let of = |wanted: u16| recording.stream(move |group| group == wanted).nr_accesses();
        assert_eq!((of(0), of(1)), (1, 1));
        assert_eq!(recording.stream(|_| true).nr_accesses(), 1, "one to both together");
    }

    /// What may happen to a page.
    #[derive(Clone, Debug)]
    enum Op {
        Access(u16, u32),
        Free(u32, u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            20 => (0u16..2, 0u32..30).prop_map(|(group, page)| Op::Access(group, page)),
            1 => (0u32..30, 1u32..8).prop_map(|(page, nr)| Op::Free(page, nr)),
        ]
    }

    fn record(ops: &[Op]) -> Recording {
        let mut recording = Recording::new([40].into_iter(), ops.len() + 1);
        for op in ops {
            match op {
                Op::Access(group, page) => recording.access(*group, 0, [*page].into_iter()),
                Op::Free(page, nr) => recording.free(0, *page..*page + *nr),
            }
        }
        recording
    }

    /// LRU as a list, freed pages taken out, first accesses to a page not counted.
    fn lru_by_hand(ops: &[Op], wanted: u16, capacity: usize) -> u64 {
        let (mut list, mut seen) = (Vec::<u32>::new(), Vec::<u32>::new());
        let mut misses = 0;
        for op in ops {
            match op {
                Op::Access(group, page) if *group == wanted => {
                    let was = list.iter().position(|other| other == page);
                    was.map(|at| list.remove(at));
                    misses += u64::from(was.is_none() && seen.contains(page));
                    if list.len() == capacity {
                        list.remove(0);
                    }
                    list.push(*page);
                    seen.push(*page);
                }
                Op::Access(..) => {}
                Op::Free(page, nr) => {
                    list.retain(|other| !(*page..page + nr).contains(other));
                    seen.retain(|other| !(*page..page + nr).contains(other));
                }
            }
        }
        misses
    }

    proptest! {
        #[test]
        fn lru_is_as_by_hand_and_nobody_beats_belady(
            ops in prop::collection::vec(op(), 0..300),
            capacity in 1u32..20,
        ) {
            let recording = record(&ops);
            for group in 0..2 {
                let stream = recording.stream(|other| other == group);
                let misses = |name: &str| find(name).map(|policy| stream.misses(policy, capacity));
                prop_assert_eq!(misses("lru"), Some(lru_by_hand(&ops, group, capacity as usize)));
                for policy in POLICIES {
                    prop_assert!(Some(stream.misses(policy, capacity)) >= misses("belady"));
                }
            }
        }
    }
}
