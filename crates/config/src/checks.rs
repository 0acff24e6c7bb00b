//! Bounds for `#[check(...)]`: functions from a decoded value to what is wrong with it.

use std::fmt::Debug;
use std::ops::RangeBounds;

/// Refuses zero and less (for quantities: zero).
pub fn positive<T: PartialOrd + Default>(value: &T) -> Result<(), String> {
    if *value > T::default() { Ok(()) } else { Err("must be greater than 0".to_owned()) }
}

/// Refuses less than zero.
pub fn not_negative<T: PartialOrd + Default>(value: &T) -> Result<(), String> {
    if *value >= T::default() { Ok(()) } else { Err("must not be negative".to_owned()) }
}

/// Refuses what lies outside a range; the message shows the range.
pub fn in_range<T: PartialOrd + Debug>(
    range: impl RangeBounds<T> + Debug,
) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        if range.contains(value) { Ok(()) } else { Err(format!("must lie in {range:?}")) }
    }
}

/// Refuses an empty list or string.
pub fn not_empty<T: IsEmpty>(value: &T) -> Result<(), String> {
    if value.is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) }
}

/// Applies a check to every element of a list.
pub fn each<T>(check: impl Fn(&T) -> Result<(), String>) -> impl Fn(&Vec<T>) -> Result<(), String> {
    move |items| items.iter().try_for_each(&check)
}

/// Applies a check to a value that may be absent.
pub fn if_some<T>(
    check: impl Fn(&T) -> Result<(), String>,
) -> impl Fn(&Option<T>) -> Result<(), String> {
    move |value| value.iter().try_for_each(&check)
}

/// What [`not_empty`] can look at.
pub trait IsEmpty {
    /// Whether there is nothing inside.
    fn is_empty(&self) -> bool;
}

impl<T> IsEmpty for Vec<T> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl IsEmpty for String {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T> IsEmpty for crate::IdList<T> {
    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl<T> IsEmpty for crate::Named<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: IsEmpty> IsEmpty for crate::Spanned<T> {
    fn is_empty(&self) -> bool {
        self.value.is_empty()
    }
}
