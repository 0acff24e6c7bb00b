//! Intrusive doubly linked lists with 32-bit links.
//!
//! Items are numbers `0..nr_items`: page numbers in the textbook engines, slots of the compressed
//! store. An item is on one list at most, so one pair of links serves all lists. Next and previous
//! share a cache line on purpose: at 64 M items that line is a miss, and two arrays would be two
//! (`benches/lists.rs` measures both). Each list is a ring through a head of its own, which spares
//! every operation the question whether it is at an end.
//!
//! [`Lists`] is links alone, 8 bytes an item, for owners that keep which list an item is on in flags
//! of their own. [`TaggedLists`] keeps that itself in one byte more.

use std::iter;

/// The number of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct List(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    /// Towards the back.
    next: u32,
    /// Towards the front.
    prev: u32,
}

/// Links of an item that is on no list.
const OFF: Link = Link { next: u32::MAX, prev: u32::MAX };

/// A fixed number of lists over items `0..nr_items`.
#[derive(Clone, Debug)]
pub struct Lists {
    /// First the lists' heads, then the items.
    links: Vec<Link>,
    /// Items on each list.
    len: Vec<u32>,
}

impl Lists {
    /// Empty lists; no item is on one.
    pub fn new(nr_lists: u32, nr_items: u32) -> Self {
        let heads = (0..nr_lists).map(|head| Link { next: head, prev: head });
        let mut lists = Self { links: heads.collect(), len: vec![0; nr_lists as usize] };
        lists.grow(nr_items);
        lists
    }

    /// Makes room for items `0..nr_items`. Panics beyond 2^32 less the number of lists.
    #[inline]
    pub fn grow(&mut self, nr_items: u32) {
        let nr = nr_items.checked_add(self.nr_heads()).expect("too many items for 32-bit links");
        if nr as usize > self.links.len() {
            self.links.resize(nr as usize, OFF);
        }
    }

    /// Items on a list.
    #[inline]
    pub fn len(&self, list: List) -> u32 {
        self.len[list.0 as usize]
    }

    /// Whether a list is empty.
    pub fn is_empty(&self, list: List) -> bool {
        self.len(list) == 0
    }

    /// Whether an item is on a list.
    #[inline]
    pub fn is_listed(&self, item: u32) -> bool {
        self.links[self.node(item)].next != OFF.next
    }

    /// The item at the front.
    pub fn front(&self, list: List) -> Option<u32> {
        self.item(self.links[list.0 as usize].next)
    }

    /// The item at the back.
    #[inline]
    pub fn back(&self, list: List) -> Option<u32> {
        self.item(self.links[list.0 as usize].prev)
    }

    /// The item before a listed one, towards the front.
    #[inline]
    pub fn before(&self, item: u32) -> Option<u32> {
        self.item(self.links[self.node(item)].prev)
    }

    /// The item behind a listed one, towards the back.
    pub fn behind(&self, item: u32) -> Option<u32> {
        self.item(self.links[self.node(item)].next)
    }

    /// Puts an item that is on no list at the front (`list_add`).
    #[inline]
    pub fn push_front(&mut self, list: List, item: u32) {
        debug_assert!(!self.is_listed(item), "item {item} is on a list already");
        self.insert_behind(list.0, item);
        self.len[list.0 as usize] += 1;
    }

    /// Puts an item that is on no list at the back (`list_add_tail`).
    #[inline]
    pub fn push_back(&mut self, list: List, item: u32) {
        debug_assert!(!self.is_listed(item), "item {item} is on a list already");
        self.insert_behind(self.links[list.0 as usize].prev, item);
        self.len[list.0 as usize] += 1;
    }

    /// Takes an item off the list that it is on (`list_del`).
    #[inline]
    pub fn del(&mut self, list: List, item: u32) {
        self.unlink(item);
        let node = self.node(item);
        self.links[node] = OFF;
        self.len[list.0 as usize] -= 1;
    }

    /// Takes the item off the back.
    #[inline]
    pub fn pop_back(&mut self, list: List) -> Option<u32> {
        let item = self.back(list)?;
        self.del(list, item);
        Some(item)
    }

    /// Moves an item to the front of the list that it is on.
    #[inline]
    pub fn rotate(&mut self, list: List, item: u32) {
        self.unlink(item);
        self.insert_behind(list.0, item);
    }

    /// Moves an item from the list that it is on to the front of another (`list_move`).
    #[inline]
    pub fn move_front(&mut self, from: List, to: List, item: u32) {
        self.rotate(to, item);
        self.len[from.0 as usize] -= 1;
        self.len[to.0 as usize] += 1;
    }

    /// Moves all items of a list, in their order, to the front of another one (`list_splice`), in
    /// constant time.
    pub fn splice_front(&mut self, from: List, to: List) {
        if from == to || self.is_empty(from) {
            return;
        }
        let Link { next: first, prev: last } = self.links[from.0 as usize];
        let behind = self.links[to.0 as usize].next;
        self.links[to.0 as usize].next = first;
        self.links[first as usize].prev = to.0;
        self.links[last as usize].next = behind;
        self.links[behind as usize].prev = last;
        self.links[from.0 as usize] = Link { next: from.0, prev: from.0 };
        self.len[to.0 as usize] += self.len[from.0 as usize];
        self.len[from.0 as usize] = 0;
    }

    /// The items of a list from front to back.
    pub fn iter(&self, list: List) -> impl Iterator<Item = u32> + '_ {
        iter::successors(self.front(list), |item| self.behind(*item))
    }

    /// The items of a list from back to front.
    #[inline]
    pub fn iter_back(&self, list: List) -> impl Iterator<Item = u32> + '_ {
        iter::successors(self.back(list), |item| self.before(*item))
    }

    /// Reads the links of some items, so that later operations on them find these in the cache: the
    /// misses overlap. The value only keeps the reads alive. (Reading the neighbours' links as well
    /// was measured and costs more than it saves.)
    #[inline]
    pub fn warm(&self, items: &[u32]) -> u32 {
        items.iter().fold(0, |seen, item| seen ^ self.links[self.node(*item)].next)
    }

    /// Walks all lists both ways and panics on a contradiction: a link that is not answered, a
    /// wrong length, an item that is not where `list_of` says, an item that is linked without being
    /// on a list. Slow; for tests.
    pub fn validate(&self, list_of: impl Fn(u32) -> Option<List>) {
        let mut listed = 0;
        for list in (0..self.nr_heads()).map(List) {
            let mut nr = 0;
            let mut last = list.0;
            for item in self.iter(list) {
                let node = self.node(item);
                assert_eq!(self.links[node].prev, last, "item {item} does not link back");
                assert_eq!(
                    list_of(item),
                    Some(list),
                    "item {item} is on another list than it says"
                );
                last = node as u32;
                nr += 1;
                assert!(nr <= self.len(list), "list {} is longer than its count", list.0);
            }
            assert_eq!(self.links[list.0 as usize].prev, last, "the back of list {}", list.0);
            assert_eq!(self.len(list), nr, "the count of list {}", list.0);
            listed += nr;
        }
        let nr_items = self.links.len() as u32 - self.nr_heads();
        let linked = (0..nr_items).filter(|item| self.is_listed(*item)).count();
        assert_eq!(linked, listed as usize, "items linked without being on a list");
        let said = (0..nr_items).filter(|item| list_of(*item).is_some()).count();
        assert_eq!(said, linked, "items that say they are on a list without being linked");
    }

    fn nr_heads(&self) -> u32 {
        self.len.len() as u32
    }

    #[inline]
    fn node(&self, item: u32) -> usize {
        item as usize + self.len.len()
    }

    #[inline]
    fn item(&self, node: u32) -> Option<u32> {
        node.checked_sub(self.nr_heads())
    }

    #[inline]
    fn unlink(&mut self, item: u32) {
        let Link { next, prev } = self.links[self.node(item)];
        debug_assert!(next != OFF.next, "item {item} is on no list");
        self.links[prev as usize].next = next;
        self.links[next as usize].prev = prev;
    }

    #[inline]
    fn insert_behind(&mut self, prev: u32, item: u32) {
        let node = self.node(item);
        let next = self.links[prev as usize].next;
        self.links[node] = Link { next, prev };
        self.links[prev as usize].next = node as u32;
        self.links[next as usize].prev = node as u32;
    }
}

/// At most 15 lists that remember which one an item is on, with 4 bits of the owner's for each
/// item.
#[derive(Clone, Debug)]
pub struct TaggedLists {
    lists: Lists,
    /// List (lower half; [`NO_LIST`]) and the owner's note (upper half).
    tag: Vec<u8>,
}

const NO_LIST: u8 = 15;
const NOTE_SHIFT: u32 = 4;

impl TaggedLists {
    /// Empty lists; no item is on one, all notes are 0. Panics beyond 15 lists.
    pub fn new(nr_lists: u32, nr_items: u32) -> Self {
        assert!(nr_lists <= u32::from(NO_LIST), "at most 15 lists fit the tag");
        Self { lists: Lists::new(nr_lists, nr_items), tag: vec![NO_LIST; nr_items as usize] }
    }

    /// The list that an item is on.
    #[inline]
    pub fn list_of(&self, item: u32) -> Option<List> {
        let list = self.tag[item as usize] & NO_LIST;
        (list != NO_LIST).then_some(List(u32::from(list)))
    }

    /// The owner's note on an item, listed or not.
    #[inline]
    pub fn note(&self, item: u32) -> u8 {
        self.tag[item as usize] >> NOTE_SHIFT
    }

    /// The owner's note on an item, which is 0 from now on.
    #[inline]
    pub fn take_note(&mut self, item: u32) -> u8 {
        let note = self.note(item);
        self.set_note(item, 0);
        note
    }

    /// Sets the owner's note, below 16.
    #[inline]
    pub fn set_note(&mut self, item: u32, note: u8) {
        debug_assert!(note < 16, "a note has 4 bits");
        let tag = &mut self.tag[item as usize];
        *tag = *tag & NO_LIST | note << NOTE_SHIFT;
    }

    /// Puts an item at the front of a list, wherever it was before; its note stays.
    #[inline]
    pub fn put_front(&mut self, list: List, item: u32) {
        match self.list_of(item) {
            Some(from) => self.lists.move_front(from, list, item),
            None => self.lists.push_front(list, item),
        }
        let tag = &mut self.tag[item as usize];
        *tag = *tag & !NO_LIST | list.0 as u8;
    }

    /// As [`Self::put_front`], on a list of at most `most` items: the one at its back goes.
    #[inline]
    pub fn put_front_of(&mut self, list: List, most: u32, item: u32) {
        if most > 0 {
            if self.len(list) >= most {
                self.pop_back(list);
            }
            self.put_front(list, item);
        }
    }

    /// Takes an item off the list that it is on, if any; its note stays.
    #[inline]
    pub fn take_off(&mut self, item: u32) {
        if let Some(list) = self.list_of(item) {
            self.lists.del(list, item);
            self.tag[item as usize] |= NO_LIST;
        }
    }

    /// Takes the item off the back.
    #[inline]
    pub fn pop_back(&mut self, list: List) -> Option<u32> {
        let item = self.lists.back(list)?;
        self.take_off(item);
        Some(item)
    }

    /// Takes items off their lists and clears their notes.
    pub fn forget(&mut self, items: std::ops::Range<u32>) {
        for item in items {
            self.take_off(item);
            self.set_note(item, 0);
        }
    }

    /// Items of a list.
    #[inline]
    pub fn len(&self, list: List) -> u32 {
        self.lists.len(list)
    }

    /// The links, to be read.
    #[inline]
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Reads the tags of some items, so that later operations on them find all in the cache.
    #[inline]
    pub fn warm(&self, items: &[u32]) -> u32 {
        items.iter().fold(0, |seen, item| seen ^ u32::from(self.tag[*item as usize]))
    }

    /// As [`Lists::validate`].
    pub fn validate(&self) {
        self.lists.validate(|item| self.list_of(item));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const NR_LISTS: u32 = 3;
    const NR_ITEMS: u32 = 12;

    #[derive(Clone, Debug)]
    enum Op {
        PushFront(u32, u32),
        PushBack(u32, u32),
        Del(u32),
        PopBack(u32),
        Rotate(u32),
        Move(u32, u32),
        Splice(u32, u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (list, item) = (0..NR_LISTS, 0..NR_ITEMS);
        prop_oneof![
            (list.clone(), item.clone()).prop_map(|(list, item)| Op::PushFront(list, item)),
            (list.clone(), item.clone()).prop_map(|(list, item)| Op::PushBack(list, item)),
            item.clone().prop_map(Op::Del),
            list.clone().prop_map(Op::PopBack),
            item.clone().prop_map(Op::Rotate),
            (list.clone(), item).prop_map(|(list, item)| Op::Move(list, item)),
            (list.clone(), list).prop_map(|(from, to)| Op::Splice(from, to)),
        ]
    }

    /// The obvious model: a deque for each list, searched.
    #[derive(Default)]
    struct Slow([VecDeque<u32>; NR_LISTS as usize]);

    impl Slow {
        fn list_of(&self, item: u32) -> Option<List> {
            let list = self.0.iter().position(|list| list.contains(&item))?;
            Some(List(list as u32))
        }

        fn del(&mut self, item: u32) {
            self.0.iter_mut().for_each(|list| list.retain(|other| *other != item));
        }
    }

    fn apply(op: Op, fast: &mut Lists, slow: &mut Slow) {
        match op {
            Op::PushFront(list, item) if slow.list_of(item).is_none() => {
                fast.push_front(List(list), item);
                slow.0[list as usize].push_front(item);
            }
            Op::PushBack(list, item) if slow.list_of(item).is_none() => {
                fast.push_back(List(list), item);
                slow.0[list as usize].push_back(item);
            }
            Op::PopBack(list) => {
                assert_eq!(fast.pop_back(List(list)), slow.0[list as usize].pop_back());
            }
            Op::Splice(from, to) if from != to => {
                fast.splice_front(List(from), List(to));
                let mut moved = std::mem::take(&mut slow.0[from as usize]);
                moved.append(&mut slow.0[to as usize]);
                slow.0[to as usize] = moved;
            }
            Op::Del(item) => {
                if let Some(list) = slow.list_of(item) {
                    fast.del(list, item);
                    slow.del(item);
                }
            }
            Op::Rotate(item) => {
                if let Some(list) = slow.list_of(item) {
                    fast.rotate(list, item);
                    slow.del(item);
                    slow.0[list.0 as usize].push_front(item);
                }
            }
            Op::Move(to, item) => {
                if let Some(from) = slow.list_of(item) {
                    fast.move_front(from, List(to), item);
                    slow.del(item);
                    slow.0[to as usize].push_front(item);
                }
            }
            Op::PushFront(..) | Op::PushBack(..) | Op::Splice(..) => {}
        }
    }

    proptest! {
        #[test]
        fn lists_behave_as_deques(ops in prop::collection::vec(op(), 0..100)) {
            let (mut fast, mut slow) = (Lists::new(NR_LISTS, NR_ITEMS), Slow::default());
            for op in ops {
                apply(op.clone(), &mut fast, &mut slow);
                fast.validate(|item| slow.list_of(item));
                for (list, items) in slow.0.iter().enumerate() {
                    let list = List(list as u32);
                    prop_assert!(fast.iter(list).eq(items.iter().copied()), "{:?}", op);
                    prop_assert!(fast.iter_back(list).eq(items.iter().rev().copied()));
                    prop_assert_eq!(fast.front(list), items.front().copied());
                    prop_assert_eq!(fast.back(list), items.back().copied());
                }
            }
        }

        #[test]
        fn tags_follow_their_items(ops in prop::collection::vec((0..NR_LISTS, 0..NR_ITEMS, 0..4u8), 0..100)) {
            let (mut fast, mut slow) = (TaggedLists::new(NR_LISTS, NR_ITEMS), Slow::default());
            let mut notes = [0; NR_ITEMS as usize];
            for (list, item, what) in ops {
                match what {
                    0 => {
                        fast.put_front(List(list), item);
                        slow.del(item);
                        slow.0[list as usize].push_front(item);
                    }
                    1 => {
                        fast.take_off(item);
                        slow.del(item);
                    }
                    2 => {
                        prop_assert_eq!(fast.pop_back(List(list)), slow.0[list as usize].pop_back());
                    }
                    _ => {
                        fast.set_note(item, list as u8 + 1);
                        notes[item as usize] = list as u8 + 1;
                    }
                }
                fast.validate();
                for item in 0..NR_ITEMS {
                    prop_assert_eq!(fast.list_of(item), slow.list_of(item));
                    prop_assert_eq!(fast.note(item), notes[item as usize]);
                }
            }
        }
    }

    #[test]
    fn growing_keeps_what_is_there() {
        let mut lists = Lists::new(2, 1);
        lists.push_front(List(1), 0);
        lists.grow(5);
        lists.push_front(List(1), 4);
        lists.grow(2);
        assert!(lists.iter(List(1)).eq([4, 0]));
    }

    #[test]
    #[should_panic(expected = "another list")]
    fn validate_finds_an_item_on_another_list_than_it_says() {
        let mut lists = Lists::new(2, 1);
        lists.push_front(List(1), 0);
        lists.validate(|_| Some(List(0)));
    }

    #[test]
    fn a_bounded_list_lets_its_back_go() {
        let mut lists = TaggedLists::new(1, 4);
        for item in 0..4 {
            lists.set_note(item, 2);
            lists.put_front_of(List(0), 2, item);
        }
        assert_eq!((lists.len(List(0)), lists.lists().back(List(0))), (2, Some(2)));
        assert_eq!((lists.list_of(1), lists.take_note(1), lists.note(1)), (None, 2, 0));
        lists.put_front_of(List(0), 0, 0);
        assert_eq!(lists.list_of(0), None, "a list of none takes none");
    }
}
