//! Workload files: `configs/workloads/*.toml`.

use std::io;
use std::path::Path;

use config::{Problems, Spanned, config, config_tagged, positive, to_toml_text};
use sha2::{Digest, Sha256};
use topology::Machine;

use crate::Workload;
use crate::generate::build::{OpenError, hex};
use crate::generate::{
    Autonuma, Chase, Gups, Kvm, Loop, Mix, PerfBenchNuma, Phases, Pmbench, Sequential, Specjbb,
    Stream, Uniform, ZipfPages,
};

config! {
    /// A recorded trace.
    pub struct TraceFile {
        /// The file; relative to the one that names it.
        pub file: Spanned<String>,
        /// How often each thread that another one started goes through its part of the recording.
        /// Recordings are short, fractions of a second once their accesses are timed, and designs
        /// scan once a second: a service that goes on doing the same is one pass after the other.
        /// Threads that start by themselves (a main thread that reads the input) go through once.
        #[check(positive)]
        pub passes: u32 = 1,
    }
}

/// Declares the kinds; all but a trace open themselves.
macro_rules! kinds {
    ($($(#[doc = $doc:expr])* $variant:ident($inner:ty) = $kind:literal),+ $(,)?) => {
        config_tagged! {
            /// What runs: a generated workload or a recorded trace.
            pub enum WorkloadSpec by "kind" {
                $($(#[doc = $doc])* $variant($inner) = $kind,)+
                /// A recorded trace.
                Trace(TraceFile) = "trace",
            }
        }

        impl WorkloadSpec {
            /// As tables show it.
            pub fn name(&self) -> String {
                match self {
                    $(Self::$variant(inner) => inner.name(),)+
                    Self::Trace(trace) => trace.file.value.clone(),
                }
            }

            /// The workload on a machine. The same (settings, machine's CPUs and nodes, seed) give
            /// the same streams.
            ///
            /// # Errors
            /// The machine lacks what the workload needs, or the workload is a trace, which is the
            /// caller's to open.
            pub fn open(&self, machine: &Machine, seed: u64) -> Result<Workload, OpenError> {
                match self {
                    $(Self::$variant(inner) => inner.open(machine, seed, &self.digest()),)+
                    Self::Trace(trace) => {
                        Err(OpenError::IsTrace { file: trace.file.value.clone() })
                    }
                }
            }
        }
    };
}

kinds! {
    /// Uniform accesses.
    Uniform(Uniform) = "uniform",
    /// Zipf-distributed accesses.
    Zipf(ZipfPages) = "zipf",
    /// Sweeps over all of the memory.
    Sequential(Sequential) = "sequential",
    /// Sweeps over a working set.
    Loop(Loop) = "loop",
    /// Pointer chase.
    Chase(Chase) = "chase",
    /// A working set that moves.
    Phases(Phases) = "phases",
    /// Shared and private memory.
    Mix(Mix) = "mix",
    /// The programs of autonuma-benchmark.
    Autonuma(Autonuma) = "autonuma-benchmark",
    /// `perf bench numa mem`.
    PerfBenchNuma(PerfBenchNuma) = "perf-bench-numa",
    /// STREAM.
    Stream(Stream) = "stream",
    /// Random updates with a hot set.
    Gups(Gups) = "gups",
    /// pmbench-like paging benchmark.
    Pmbench(Pmbench) = "pmbench",
    /// SPECjbb-like virtual machines.
    Specjbb(Specjbb) = "specjbb",
    /// Guests of KVM.
    Kvm(Kvm) = "kvm",
}

impl WorkloadSpec {
    /// Reads a workload file; warnings come with it.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn load(path: &Path) -> Result<(Self, Problems), Problems> {
        config::load(path, |path: &Path| -> io::Result<String> { fs_err::read_to_string(path) })
    }

    /// SHA-256 over all settings, also those left at their defaults. For a trace it covers its
    /// path only; the container knows the digest of its content.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(to_toml_text(self)))
    }

    /// The JSON Schema of workload files.
    pub fn json_schema() -> config::Json {
        config::json_schema::<Self>()
    }
}
