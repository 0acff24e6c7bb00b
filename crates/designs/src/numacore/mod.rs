//! numa/core: what its versions share.
//!
//! Private and shared faults told apart by CPU or task, tasks classed by them, private tasks spread and
//! shared ones gathered after each complete scan.

mod core;
mod place;

pub(crate) use self::core::{Core, Rules, Statistics};
