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

mod autonuma;
mod autonuma_28;
mod autonuma_alpha;
mod balancenuma;
mod bind;
mod first_touch;
mod hometask;
mod interleave;
mod numa_balancing_3_13;
mod numa_balancing_6_12;
mod numa_balancing_v5;
mod numab;
mod numacore;
mod numacore_15;
mod numacore_unified_3;
mod ratelimit;
mod schednuma_march;
mod schednuma_october;
#[cfg(test)]
mod testing;
mod weighted_interleave;

pub use autonuma_28::Autonuma28;
pub use autonuma_alpha::AutonumaAlpha;
pub use balancenuma::BalanceNuma;
pub use bind::Bind;
pub use cx::{Cx, SpaceInfo, TaskInfo};
pub use first_touch::FirstTouch;
pub use interleave::Interleave;
pub use mm::{Mempolicy, Regions, ScanOutcome, ScanPlan, ScanRules};
pub use numa_balancing_3_13::NumaBalancing313;
pub use numa_balancing_6_12::NumaBalancing612;
pub use numa_balancing_v5::NumaBalancingV5;
pub use numab::VmaFilter;
pub use numacore_15::Numacore15;
pub use numacore_unified_3::NumacoreUnified3;
pub use placement::{
    AllocRequest, HintFault, Kthread, KthreadWork, Migration, Move, PageMove, Placement, Placing,
    Verdict,
};
pub use registry::{Build, DESIGNS, Design, Maker, Registered, find};
pub use sched::Permit;
pub use schednuma_march::SchednumaMarch;
pub use schednuma_october::SchednumaOctober;
pub use weighted_interleave::WeightedInterleave;
