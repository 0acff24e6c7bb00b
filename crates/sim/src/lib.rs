//! One run: the world, the event loop, the flow of a fault, a hint fault, a migration, a balance
//! pass.
//!
//! [`run`] takes a [`RunSpec`] and returns a [`results::Run`]. A run is closed-loop: how long an
//! access takes decides when the next one happens. Time advances in *epochs*: at the start of each
//! one the bandwidth solver turns what the running tasks are about to do into their rates
//! (`bandwidth`); then every CPU runs to the epoch's end on its own clock (`cpu`), replaying
//! blocks of accesses on the fast path (`replay`) and taking the slow path where a page is absent
//! (`fault`) or protected by a scanner (`hint`).
//!
//! Invariants: designs are asked, never trusted ([`designs::Placement`]); all time that a design
//! costs is charged to a task or a kernel thread; the same inputs and seed give the same result.

mod balance;
mod bandwidth;
mod check;
mod converge;
mod cpu;
mod demand;
mod epoch;
mod event;
mod fault;
mod flush;
mod hint;
mod history;
mod kthread;
mod llc;
mod paths;
mod pressure;
mod record;
mod replay;
mod sampler;
mod spec;
mod step;
mod thread;
mod world;

pub use pressure::reclaim_designs;
pub use replay::{BLOCK, Count, Gathered, Seen, run_sweep};
pub use spec::{EngineKnobs, Progress, RunSpec, SimError};
pub use world::run;
