//! Generated workloads: what threads of well-known benchmarks and of plain patterns do.
//!
//! A workload file names a `kind` and its settings ([`WorkloadSpec`]); [`WorkloadSpec::open`] makes
//! a [`Workload`](crate::Workload) from it whose streams are walked lazily (see `script`). All that
//! is random comes from streams named `workload.NAME` and numbered by thread (or process), so the
//! same settings, machine and seed give the same accesses.
//!
//! What writes whole pages moves 64 lines a page and is counted once, as the bandwidth benchmarks
//! count; a random access that writes moves its lines in and out again.

mod autonuma;
mod blocks;
mod build;
mod draw;
mod gups;
mod jobs;
mod perf_bench;
mod permutation;
mod pmbench;
mod presets;
mod rows;
mod script;
mod server;
mod spec;
mod stream_kernels;
mod synthetic;
mod zipf;

#[cfg(test)]
mod tests;

pub use autonuma::{Autonuma, AutonumaProgram, Variant};
pub use build::OpenError;
pub use gups::{Gups, HotAt};
pub use jobs::{Does, Job, Jobs};
pub use perf_bench::{ConvergenceMode, PerfBenchNuma, ThpAdvice};
pub use pmbench::{Distribution, Pmbench};
pub use presets::Preset;
pub use rows::rows;
pub use server::{Guest, Kvm, Specjbb};
pub use spec::{TraceFile, WorkloadFile, WorkloadSpec};
pub use stream_kernels::Stream;
pub use synthetic::{Chase, Init, Loop, Mix, Phases, Sequential, Uniform, ZipfPages};
