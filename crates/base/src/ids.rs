//! Ids as newtypes over the smallest integer that serves, each with a vector only it indexes.

use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty), $vec:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// As an index.
            pub const fn idx(self) -> usize {
                self.0 as usize
            }

            /// From an index; panics when it does not fit the id's integer.
            pub fn from_idx(idx: usize) -> Self {
                Self(<$int>::try_from(idx).expect(concat!(stringify!($name), " out of range")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        #[doc = concat!("A vector that only [`", stringify!($name), "`] indexes.")]
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $vec<T>(pub Vec<T>);

        impl<T> Default for $vec<T> {
            fn default() -> Self {
                Self(Vec::new())
            }
        }

        impl<T> $vec<T> {
            /// A vector of `len` copies of `value`.
            pub fn filled(value: T, len: usize) -> Self
            where
                T: Clone,
            {
                Self(vec![value; len])
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there is no element.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// Appends an element and returns its id.
            pub fn push(&mut self, value: T) -> $name {
                let id = $name::from_idx(self.0.len());
                self.0.push(value);
                id
            }

            /// The element, or `None` past the end.
            pub fn get(&self, id: $name) -> Option<&T> {
                self.0.get(id.idx())
            }

            /// All ids in order.
            pub fn ids(&self) -> impl DoubleEndedIterator<Item = $name> + ExactSizeIterator + use<T> {
                (0..self.0.len()).map($name::from_idx)
            }

            /// The elements in order.
            pub fn iter(&self) -> std::slice::Iter<'_, T> {
                self.0.iter()
            }

            /// The elements in order, to be changed.
            pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
                self.0.iter_mut()
            }

            /// Ids and elements in order.
            pub fn enumerate(&self) -> impl DoubleEndedIterator<Item = ($name, &T)> {
                self.0.iter().enumerate().map(|(idx, value)| ($name::from_idx(idx), value))
            }
        }

        impl<T> FromIterator<T> for $vec<T> {
            fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
                Self(items.into_iter().collect())
            }
        }

        impl<'a, T> IntoIterator for &'a $vec<T> {
            type Item = &'a T;
            type IntoIter = std::slice::Iter<'a, T>;
            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }

        impl<T> Index<$name> for $vec<T> {
            type Output = T;
            #[inline]
            fn index(&self, id: $name) -> &T {
                &self.0[id.idx()]
            }
        }

        impl<T> IndexMut<$name> for $vec<T> {
            #[inline]
            fn index_mut(&mut self, id: $name) -> &mut T {
                &mut self.0[id.idx()]
            }
        }
    };
}

id! {
    /// A memory node. At most 64 of them ([`crate::MAX_NODES`]).
    NodeId(u8), NodeVec
}
id! {
    /// A logical CPU.
    CpuId(u16), CpuVec
}
id! {
    /// A task: a thread of a simulated program, or a kernel thread.
    TaskId(u32), TaskVec
}
id! {
    /// An address space (the kernel's `mm_struct`), or a file's page cache (`address_space`).
    MmId(u16), MmVec
}
id! {
    /// A folio: a page or a huge page that is resident. 2^32 of them, 16 TiB of base pages.
    FolioId(u32), FolioVec
}
id! {
    /// A memory cgroup; 0 is the root.
    MemcgId(u16), MemcgVec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_returns_the_id_that_finds_the_element() {
        let mut names = NodeVec::default();
        let a = names.push("a");
        let b = names.push("b");
        assert_eq!((names[a], names[b], names.len()), ("a", "b", 2));
        assert_eq!(names.ids().collect::<Vec<_>>(), [a, b]);
    }
}
