//! Shared inputs of the benchmarks.

pub mod pressure;
pub mod replay;
pub mod rows;
pub mod tasks;

use std::time::Duration;

/// Whether inputs should be tiny: `cargo test --benches` runs each benchmark once, to see that it
/// still works. Cargo passes `--bench` only when it is asked to measure.
pub fn is_smoke() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

/// Whether `NUMALAB_BENCH_LARGE` asks for inputs that do not fit into caches; off by default.
pub fn is_large() -> bool {
    std::env::var_os("NUMALAB_BENCH_LARGE").is_some()
}

/// How long criterion warms a benchmark up.
pub const WARM_UP: Duration = Duration::from_millis(300);
/// How long criterion measures a benchmark.
pub const MEASUREMENT: Duration = Duration::from_secs(1);
