//! NUMA-placement designs: one a file, the trait they implement, the registry that names them.
//!
//! A design never moves a page or a task and never advances time. It answers questions with small
//! values ([`Verdict`], [`ScanPlan`], [`Move`]); the engine checks the answer, carries it out,
//! charges its cost to whoever pays, and counts it. So a design cannot corrupt state or forget a
//! cost, and it is tested without an engine.
//!
//! To add one: a file with a knobs table ([`config::config!`]), `impl Placement` with the hooks
//! that differ from plain Linux, `impl Design`, and a line in [`DESIGNS`].

mod cx;
mod placement;
mod registry;

mod balancenuma;
mod bind;
mod first_touch;
mod interleave;
mod weighted_interleave;

pub use balancenuma::BalanceNuma;
pub use bind::Bind;
pub use cx::{Cx, SpaceInfo, TaskInfo};
pub use first_touch::FirstTouch;
pub use interleave::Interleave;
pub use mm::{Mempolicy, ScanOutcome, ScanPlan, ScanRules};
pub use placement::{
    AllocRequest, HintFault, Kthread, KthreadWork, Migration, Move, PageMove, Placement, Placing,
    Verdict,
};
pub use registry::{Build, DESIGNS, Design, Maker, Registered, find};
pub use sched::Permit;
pub use weighted_interleave::WeightedInterleave;
