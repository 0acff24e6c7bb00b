//! The ground floor: units, ids and the vectors they index, masks of nodes and CPUs, the
//! `counters!` macro with the list of counters, named random streams, portable maths.
//!
//! Every other crate may import this one; it imports none of them and knows nothing of memory
//! management beyond the spelling of its counters.

mod counters;
mod ids;
mod mask;
pub mod math;
mod rng;
mod units;
mod vmstat;

pub use ids::{CpuId, CpuVec, FolioId, MemcgId, MmId, MmVec, NodeId, NodeVec, TaskId, TaskVec};
pub use ids::{FolioVec, MemcgVec};
pub use mask::{CpuMask, MAX_CPUS, MAX_NODES, NodeMask};
pub use rng::{Rng, Zipf, stream};
pub use units::{Bytes, CACHE_LINE_BYTES, HUGE_PAGE_PAGES, Nanos, PAGE_BYTES, PAGE_LINES, Pages};
pub use vmstat::{Vm, Vmstat};
