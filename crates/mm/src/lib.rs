//! Mechanics of memory: address spaces, folios, zones, allocation, mapping, marking and migration.
//!
//! - [`Pte`] and [`AddressSpace`]: a dense array of 8-byte entries per space, and its mappings.
//! - [`Folios`]: struct-of-arrays of what is resident.
//! - [`Zones`]: free pages and watermarks of each node, fallback lists.
//! - [`Mempolicy`] resolution: which node an allocation wants, which it may take.
//! - [`Memory`]: owns the three and keeps them consistent; every operation conserves pages.
//!
//! This crate never learns which design runs and draws no random numbers; it charges no time (the
//! flow in `sim` does).

mod folio;
mod huge;
mod memory;
mod policy;
mod pte;
mod scan;
mod space;
mod zone;

pub use folio::{Folios, Order};
pub use memory::{Mapped, Memory, MigrateError};
pub use policy::{Cursor, Mempolicy, Wanted};
pub use pte::Pte;
pub use scan::{Regions, ScanOutcome, ScanPlan, ScanRules, Stamp};
pub use space::{AddressSpace, Vma};
pub use zone::{AllocError, Allocated, Watermark, Zones};
