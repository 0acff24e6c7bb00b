//! Access streams: what threads do, where it comes from (recorded or generated), how it is kept.

pub mod cache;
pub mod container;
mod error;
pub mod generate;
mod stream;

pub use error::TraceError;
pub use stream::{
    Advice, Convergence, Event, Group, Mapping, Mempolicy, Points, Space, Step, Sweep, Thread,
    ThreadStream, Traffic, Workload,
};
