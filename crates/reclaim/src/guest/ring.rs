//! Lists of folios as rings of folio numbers.
//!
//! On a linked list the folio behind the last one is known when the last one's links have been read, and
//! folios lie anywhere in memory, so reclaim would wait for memory at each of them. A ring has their
//! numbers side by side. A folio knows its place in the ring, so one in the midst of a list goes in
//! constant time: it leaves a hole, which the ends pass by, and which closes when the ring is full.

use super::folio::Folios;
use super::state::NONE;
use crate::list::List;

/// A slot whose folio left.
const HOLE: u32 = NONE;
/// Slots of a ring at least, once it has any.
const MIN_SLOTS: usize = 64;
/// A ring is halved when so many of its slots are not in use for each one that is.
const SPARE: u32 = 8;

/// A list: the slots of the places from `back` up to `front`, which count on and wrap around.
#[derive(Clone, Debug, Default)]
struct Ring {
    /// A place has the slot of its last bits; their number is a power of two.
    slots: Vec<u32>,
    /// Place of the last folio; no hole.
    back: u32,
    /// Place before that of the first folio, which is no hole.
    front: u32,
    /// Folios on it.
    len: u32,
}

impl Ring {
    #[inline]
    fn slot(&self, place: u32) -> usize {
        place as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn at(&self, place: u32) -> u32 {
        self.slots.get(self.slot(place)).copied().unwrap_or(HOLE)
    }

    #[inline]
    fn put(&mut self, place: u32, folio: u32) {
        let slot = self.slot(place);
        self.slots[slot] = folio;
    }

    /// Places in use, holes included.
    #[inline]
    fn span(&self) -> u32 {
        self.front.wrapping_sub(self.back)
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.span() as usize == self.slots.len()
    }

    /// Closes the holes if they are half of it, or takes more slots.
    #[cold]
    fn make_room(&mut self, folios: &mut Folios) {
        if self.len as usize > self.slots.len() / 2 || self.slots.is_empty() {
            return self.resize((self.slots.len() * 2).max(MIN_SLOTS));
        }
        let mut to = self.back;
        for place in self.places() {
            let folio = self.at(place);
            if folio != HOLE {
                self.put(to, folio);
                folios[folio].place = to;
                to = to.wrapping_add(1);
            }
        }
        self.front = to;
    }

    /// From the last folio to the first.
    fn places(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        let back = self.back;
        (0..self.span()).map(move |place| back.wrapping_add(place))
    }

    #[cold]
    fn resize(&mut self, nr_slots: usize) {
        let mut old = std::mem::replace(&mut self.slots, vec![HOLE; nr_slots]);
        for place in self.places() {
            let slot = place as usize & (old.len() - 1);
            self.put(place, std::mem::replace(&mut old[slot], HOLE));
        }
    }

    /// Passes holes at the ends by, after folios left.
    #[inline]
    fn trim(&mut self) {
        if self.len == 0 {
            self.front = self.back;
        }
        while self.span() > 0 && self.at(self.back) == HOLE {
            self.back = self.back.wrapping_add(1);
        }
        while self.span() > 0 && self.at(self.front.wrapping_sub(1)) == HOLE {
            self.front = self.front.wrapping_sub(1);
        }
        if self.slots.len() > MIN_SLOTS && (self.slots.len() as u32) / SPARE > self.span() {
            self.resize(self.slots.len() / 2);
        }
    }
}

/// A fixed number of lists of folios, on one of which at most a folio is.
#[derive(Clone, Debug, Default)]
pub(super) struct Rings(Vec<Ring>);

impl Rings {
    /// Empty lists.
    pub(super) fn new(nr_lists: usize) -> Self {
        Self(vec![Ring::default(); nr_lists])
    }

    /// Folios on a list.
    #[inline]
    pub(super) fn len(&self, list: List) -> u32 {
        self.0[list.0 as usize].len
    }

    /// Whether a list is empty.
    #[inline]
    pub(super) fn is_empty(&self, list: List) -> bool {
        self.len(list) == 0
    }

    /// The folio at the front.
    pub(super) fn front(&self, list: List) -> Option<u32> {
        let ring = &self.0[list.0 as usize];
        (ring.len > 0).then(|| ring.at(ring.front.wrapping_sub(1)))
    }

    /// The folio at the back.
    #[inline]
    pub(super) fn back(&self, list: List) -> Option<u32> {
        let ring = &self.0[list.0 as usize];
        (ring.len > 0).then(|| ring.at(ring.back))
    }

    /// The folios of a list from back to front.
    #[inline]
    pub(super) fn iter_back(&self, list: List) -> impl Iterator<Item = u32> + '_ {
        let ring = &self.0[list.0 as usize];
        ring.places().map(|place| ring.at(place)).filter(|folio| *folio != HOLE)
    }

    /// Puts a folio that is on no list at the front (`list_add`).
    #[inline]
    pub(super) fn push_front(&mut self, list: List, folio: u32, folios: &mut Folios) {
        let ring = &mut self.0[list.0 as usize];
        if ring.is_full() {
            ring.make_room(folios);
        }
        ring.put(ring.front, folio);
        folios[folio].place = ring.front;
        ring.front = ring.front.wrapping_add(1);
        ring.len += 1;
    }

    /// Puts a folio that is on no list at the back (`list_add_tail`).
    #[inline]
    pub(super) fn push_back(&mut self, list: List, folio: u32, folios: &mut Folios) {
        let ring = &mut self.0[list.0 as usize];
        if ring.is_full() {
            ring.make_room(folios);
        }
        ring.back = ring.back.wrapping_sub(1);
        ring.put(ring.back, folio);
        folios[folio].place = ring.back;
        ring.len += 1;
    }

    /// Takes a folio off the list that it is on (`list_del`).
    #[inline]
    pub(super) fn del(&mut self, list: List, folio: u32, folios: &Folios) {
        let (ring, place) = (&mut self.0[list.0 as usize], folios[folio].place);
        debug_assert_eq!(ring.at(place), folio, "a folio that is not where it says");
        ring.put(place, HOLE);
        ring.len -= 1;
        ring.trim();
    }

    /// The last folios of a list, as many as there are up to `nr`, in the order in which they are taken.
    #[inline]
    pub(super) fn copy_back(&self, list: List, nr: usize, to: &mut Vec<u32>) {
        let ring = &self.0[list.0 as usize];
        if ring.len == 0 || ring.len < ring.span() {
            return to.extend(self.iter_back(list).take(nr));
        }
        let (nr, first) = (nr.min(ring.len as usize), ring.slot(ring.back));
        let end = (first + nr).min(ring.slots.len());
        to.extend_from_slice(&ring.slots[first..end]);
        to.extend_from_slice(&ring.slots[..nr - (end - first)]);
        // Whoever takes these comes back for as many, and these are not in the cache.
        let later = [nr + nr / 2, 2 * nr].map(|nr| ring.at(ring.back.wrapping_add(nr as u32)));
        std::hint::black_box(later);
    }

    /// Takes that many folios off the back; there are as many.
    #[inline]
    pub(super) fn drop_back(&mut self, list: List, nr: u32) {
        let ring = &mut self.0[list.0 as usize];
        debug_assert!(nr <= ring.len, "the list is shorter");
        if ring.len < ring.span() {
            let mut left = nr;
            self.pop_back_while(list, |_| {
                let more = left > 0;
                left -= u32::from(more);
                more
            });
            return;
        }
        (ring.back, ring.len) = (ring.back.wrapping_add(nr), ring.len - nr);
        ring.trim();
    }

    /// Takes folios off the back for as long as `take` wants the one that is there.
    #[inline]
    pub(super) fn pop_back_while(&mut self, list: List, mut take: impl FnMut(u32) -> bool) {
        let ring = &mut self.0[list.0 as usize];
        let (mut place, mut nr) = (ring.back, 0);
        while place != ring.front {
            let folio = ring.at(place);
            if folio != HOLE {
                if !take(folio) {
                    break;
                }
                nr += 1;
            }
            place = place.wrapping_add(1);
        }
        (ring.back, ring.len) = (place, ring.len - nr);
        ring.trim();
    }

    /// Panics on a contradiction: a folio that is on no list, or on another one than `list_of` says, or
    /// not at its place, a wrong length, a hole at an end. Slow; for tests.
    pub(super) fn validate(&self, folios: &Folios, list_of: impl Fn(u32) -> Option<List>) {
        let mut listed = 0;
        for (number, ring) in self.0.iter().enumerate() {
            let list = List(number as u32);
            let mut nr = 0;
            for place in ring.places() {
                let folio = ring.at(place);
                if folio != HOLE {
                    assert_eq!(list_of(folio), Some(list), "folio {folio} is on another list");
                    assert_eq!(folios[folio].place, place, "place of folio {folio}");
                    nr += 1;
                }
            }
            assert_eq!(ring.len, nr, "the count of list {number}");
            let ends = [ring.back, ring.front.wrapping_sub(1)];
            assert!(nr == 0 || ends.iter().all(|end| ring.at(*end) != HOLE), "a hole at an end");
            listed += nr;
        }
        let said = (0..folios.len() as u32).filter(|folio| list_of(*folio).is_some()).count();
        assert_eq!(said, listed as usize, "folios that say they are on a list without being there");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const NR_LISTS: usize = 2;

    #[derive(Clone, Debug)]
    enum Op {
        PushFront(usize, u32),
        PushBack(usize, u32),
        Del(u32),
        PopWhile(usize, usize),
        DropBack(usize, usize),
        /// All but some folios go, one by one.
        Thin(usize, usize),
    }

    /// The obvious model: a deque for each list, searched.
    #[derive(Default)]
    struct Slow([VecDeque<u32>; NR_LISTS]);

    impl Slow {
        fn list_of(&self, folio: u32) -> Option<List> {
            let list = self.0.iter().position(|list| list.contains(&folio))?;
            Some(List(list as u32))
        }
    }

    struct Both {
        fast: Rings,
        slow: Slow,
        folios: Folios,
    }

    impl Both {
        fn new(nr_folios: usize) -> Self {
            let mut folios = Folios::default();
            (0..nr_folios).for_each(|_| _ = folios.push());
            let mut fast = Rings::new(NR_LISTS);
            // Places wrap around soon.
            for ring in &mut fast.0 {
                (ring.back, ring.front) = (u32::MAX - 40, u32::MAX - 40);
            }
            Self { fast, slow: Slow::default(), folios }
        }

        fn del(&mut self, folio: u32) {
            if let Some(list) = self.slow.list_of(folio) {
                self.fast.del(list, folio, &self.folios);
                self.slow.0[list.0 as usize].retain(|other| *other != folio);
            }
        }

        fn apply(&mut self, op: Op) {
            match op {
                Op::PushFront(list, folio) => {
                    self.del(folio);
                    self.fast.push_front(List(list as u32), folio, &mut self.folios);
                    self.slow.0[list].push_front(folio);
                }
                Op::PushBack(list, folio) => {
                    self.del(folio);
                    self.fast.push_back(List(list as u32), folio, &mut self.folios);
                    self.slow.0[list].push_back(folio);
                }
                Op::Del(folio) => self.del(folio),
                Op::PopWhile(list, nr) => {
                    let mut popped = Vec::new();
                    self.fast.pop_back_while(List(list as u32), |folio| {
                        let wanted = popped.len() < nr;
                        popped.extend(wanted.then_some(folio));
                        wanted
                    });
                    let slow = &mut self.slow.0[list];
                    let expected = slow.split_off(slow.len().saturating_sub(nr));
                    assert!(popped.into_iter().eq(expected.into_iter().rev()));
                }
                Op::DropBack(list, nr) => {
                    let mut popped = Vec::new();
                    self.fast.copy_back(List(list as u32), nr, &mut popped);
                    self.fast.drop_back(List(list as u32), popped.len() as u32);
                    let slow = &mut self.slow.0[list];
                    let expected = slow.split_off(slow.len().saturating_sub(nr));
                    assert!(popped.into_iter().eq(expected.into_iter().rev()));
                }
                Op::Thin(list, every) => {
                    let all: Vec<u32> = self.slow.0[list].iter().copied().collect();
                    let kept = |place: &usize| place.is_multiple_of(every);
                    for place in (0..all.len()).filter(|place| !kept(place)) {
                        self.del(all[place]);
                    }
                }
            }
        }

        fn compare(&self) {
            self.fast.validate(&self.folios, |folio| self.slow.list_of(folio));
            for (list, slow) in self.slow.0.iter().enumerate() {
                let list = List(list as u32);
                assert!(self.fast.iter_back(list).eq(slow.iter().rev().copied()));
                assert_eq!(self.fast.front(list), slow.front().copied());
                assert_eq!(self.fast.back(list), slow.back().copied());
                assert_eq!(self.fast.is_empty(list), slow.is_empty());
            }
        }
    }

    fn op(nr_folios: u32) -> impl Strategy<Value = Op> {
        let (list, folio) = (0..NR_LISTS, 0..nr_folios);
        prop_oneof![
            8 => (list.clone(), folio.clone()).prop_map(|(list, folio)| Op::PushFront(list, folio)),
            4 => (list.clone(), folio.clone()).prop_map(|(list, folio)| Op::PushBack(list, folio)),
            2 => folio.prop_map(Op::Del),
            1 => (list.clone(), 0..20usize).prop_map(|(list, nr)| Op::PopWhile(list, nr)),
            1 => (list.clone(), 0..20usize).prop_map(|(list, nr)| Op::DropBack(list, nr)),
            1 => (list, 1..9usize).prop_map(|(list, every)| Op::Thin(list, every)),
        ]
    }

    proptest! {
        #[test]
        fn rings_behave_as_deques(ops in prop::collection::vec(op(200), 0..400)) {
            let mut both = Both::new(200);
            for op in ops {
                both.apply(op);
                both.compare();
            }
        }
    }

    #[test]
    fn a_ring_grows_while_it_is_full_closes_its_holes_and_shrinks() {
        let nr = 4 * MIN_SLOTS;
        let mut both = Both::new(nr);
        let slots = |both: &Both| both.fast.0[0].slots.len();
        (0..nr as u32).for_each(|folio| both.apply(Op::PushFront(0, folio)));
        assert_eq!(slots(&both), nr);
        both.apply(Op::Thin(0, 3));
        both.apply(Op::PushFront(0, 1));
        assert_eq!(slots(&both), nr, "holes made room");
        both.compare();
        both.apply(Op::PopWhile(0, nr));
        assert_eq!(slots(&both), nr / 2);
        both.compare();
    }
}
