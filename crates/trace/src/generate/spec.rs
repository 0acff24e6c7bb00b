//! Workload files: `configs/workloads/*.toml`.

use std::io;
use std::path::Path;

use config::{
    Cx, FromToml, Json, Kind, Named, Problems, Schemas, Spanned, Value, config, config_tagged,
    object_schema, positive, to_toml_text,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use topology::Machine;

use crate::generate::build::{OpenError, hex};
use crate::generate::{
    Autonuma, Chase, Gups, Jobs, Kvm, Loop, Mix, PerfBenchNuma, Phases, Pmbench, Sequential,
    Specjbb, Stream, Uniform, ZipfPages,
};
use crate::{Memcg, MemcgSettings, Workload};

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
    /// Processes that do different things.
    Jobs(Jobs) = "jobs",
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

/// A workload file: what runs, and the memory cgroups it runs in.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadFile {
    /// What runs.
    pub spec: WorkloadSpec,
    /// Tables `[memcg."/PATH"]`.
    pub memcgs: Named<MemcgSettings>,
}

impl WorkloadFile {
    /// The key of the memory cgroups, beside those of the workload's kind.
    pub const MEMCG: &'static str = "memcg";

    /// Reads a workload file; warnings come with it.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn load(path: &Path) -> Result<(Self, Problems), Problems> {
        config::load(path, |path: &Path| -> io::Result<String> { std::fs::read_to_string(path) })
    }

    /// The groups as runs take them.
    pub fn memcgs(&self) -> Vec<Memcg> {
        let memcg = |(path, settings): &(Spanned<String>, MemcgSettings)| Memcg {
            path: path.value.clone(),
            settings: settings.clone(),
        };
        self.memcgs.0.iter().map(memcg).collect()
    }

    /// The JSON Schema of workload files.
    pub fn json_schema() -> Json {
        let mut schema = config::json_schema::<WorkloadSpec>();
        let groups = json!({
            "type": "object",
            "description": "Memory cgroups by path.",
            "additionalProperties": object_schema::<MemcgSettings>(&mut Schemas::default()),
        });
        let kinds = schema.get_mut("oneOf").and_then(Json::as_array_mut);
        for keys in kinds.into_iter().flatten().filter_map(|kind| kind.get_mut("properties")) {
            keys[Self::MEMCG] = groups.clone();
        }
        schema
    }
}

impl FromToml for WorkloadFile {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let Kind::Table(table) = &value.kind else {
            return config::wrong_type(value, "a table", cx);
        };
        let memcgs = match table.get(Self::MEMCG) {
            Some(entry) => cx.within(Self::MEMCG, |cx| Named::from_toml(&entry.value, cx)),
            None => Some(Named::default()),
        };
        let rest = Value { kind: Kind::Table(table.without(Self::MEMCG)), span: value.span };
        let spec = WorkloadSpec::from_toml(&rest, cx);
        Some(Self { spec: spec?, memcgs: memcgs? })
    }

    fn to_toml(&self) -> Option<Value> {
        let mut value = self.spec.to_toml()?;
        if let (Kind::Table(table), false) = (&mut value.kind, self.memcgs.0.is_empty()) {
            table.set(Self::MEMCG.to_owned().into(), self.memcgs.to_toml()?);
        }
        Some(value)
    }

    fn type_name() -> String {
        WorkloadSpec::type_name()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        WorkloadSpec::schema(schemas)
    }
}

impl WorkloadSpec {
    /// SHA-256 over all settings, also those left at their defaults. For a trace it covers its
    /// path only; the container knows the digest of its content.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(to_toml_text(self)))
    }
}
