//! The native container: one Parquet file, its rows in replay order.
//!
//! `docs/reference/trace-format.md` describes the format. [`TraceWriter`] writes rows as they come,
//! [`TraceFile`] opens and verifies, [`SharedTrace`] decodes once for any number of runs,
//! [`save`] writes what a generator yields.

mod bits;
mod chunk;
mod column;
mod deltas;
mod group;
mod indexes;
mod meta;
mod read;
mod row;
mod save;
mod schema;
mod shared;
mod tail;
mod vectors;
mod write;

pub use meta::{Meta, Order, Source, ThreadMeta};
pub use read::{TraceFile, Verified};
pub use row::Row;
pub use save::save;
pub use shared::{DEFAULT_BUDGET, SharedTrace};
pub use write::{Summary, TraceWriter};

#[cfg(test)]
mod column_tests;
#[cfg(test)]
pub(crate) mod tests;
