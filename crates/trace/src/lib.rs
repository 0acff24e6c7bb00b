//! Access streams: what threads do, where it comes from (recorded or generated), how it is kept.

pub mod cache;
pub mod container;
mod error;
pub mod generate;
pub mod import;
mod info;
mod stream;

pub use error::TraceError;
pub use info::{SpaceInfo, ThreadInfo, TraceInfo};
pub use stream::{
    Advice, Convergence, Event, Group, Mapping, Memcg, MemcgSettings, Mempolicy, Points, Space,
    Step, Sweep, Thread, ThreadStream, Traffic, Workload,
};
