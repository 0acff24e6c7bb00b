//! Discrete-event kernel: clock and event queue, FIFO servers, fluid sharing of bandwidth, and
//! the latency of a loaded memory. It knows no page.
//!
//! - [`Queue`] holds what is to happen and is the clock.
//! - [`Server`] and [`Lock`] make requests wait for each other: disks, spinlocks.
//! - [`Fluid`] shares the capacities of memory controllers and links among streams.
//! - [`LatencyCurve`] and [`WaitingShape`] say how long a cache line takes below saturation, and
//!   how the waiting is distributed.
//!
//! Everything here is plain arithmetic on numbers the caller gives; which task, node or device
//! stands behind them is not known.

mod capacity;
pub mod fluid;
mod latency;
mod queue;
mod server;

pub use capacity::{Capacity, Piecewise, PiecewiseError};
pub use fluid::{Fluid, Limit, ResourceId, StreamIdx};
pub use latency::{LatencyCurve, WaitingShape, closed_loop_ns, waiting_points};
pub use queue::{Phase, Queue};
pub use server::{Lock, Served, Server, ServerStats};
