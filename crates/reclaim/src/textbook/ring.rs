//! A queue of pages in a circular buffer of fixed size.

use std::ops::Range;

/// The queue; the front is the oldest.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    slots: Vec<u32>,
    front: usize,
    len: usize,
}

impl Ring {
    pub(super) fn new(capacity: u32) -> Self {
        Self { slots: vec![0; capacity as usize], front: 0, len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len as u32
    }

    pub(super) fn capacity(&self) -> u32 {
        self.slots.len() as u32
    }

    #[inline]
    pub(super) fn front(&self) -> Option<u32> {
        (self.len > 0).then(|| self.slots[self.front])
    }

    /// Panics when the ring is full: the caller looked.
    #[inline]
    pub(super) fn push_back(&mut self, page: u32) {
        assert!(self.len < self.slots.len(), "more pages than the capacity");
        let back = self.wrapped(self.front + self.len);
        self.slots[back] = page;
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<u32> {
        let page = self.front()?;
        self.front = self.wrapped(self.front + 1);
        self.len -= 1;
        Some(page)
    }

    /// Moves the front to the back. In a full ring the page keeps its slot.
    #[inline]
    pub(super) fn rotate(&mut self) {
        if self.len < self.slots.len() {
            let back = self.wrapped(self.front + self.len);
            self.slots[back] = self.slots[self.front];
        }
        self.front = self.wrapped(self.front + 1);
    }

    /// Takes out the pages of a range, in one pass.
    pub(super) fn forget(&mut self, pages: &Range<u32>) {
        for _ in 0..self.len {
            match self.pop_front() {
                Some(page) if !pages.contains(&page) => self.push_back(page),
                _ => {}
            }
        }
    }

    #[inline]
    fn wrapped(&self, slot: usize) -> usize {
        if slot < self.slots.len() { slot } else { slot - self.slots.len() }
    }
}
