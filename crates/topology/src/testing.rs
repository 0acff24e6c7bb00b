//! Machines for tests.

use std::path::{Path, PathBuf};

use base::{CpuMask, CpuVec, NodeVec, Pages};

use crate::machine::{
    Caches, Costs, Daemons, Kernel, LoadedLatency, Machine, Matrix, Node, Zone, ZoneKind,
};

/// A machine that has these zones and little else.
pub(crate) fn machine_of_zones(zones: Vec<Vec<Zone>>) -> Machine {
    let nr = zones.len();
    let node = |zones| Node { cpus: CpuMask::EMPTY, zones, tier: 0 };
    Machine {
        name: "test".to_owned(),
        description: String::new(),
        cpus: CpuVec::default(),
        nodes: zones.into_iter().map(node).collect(),
        distances: Matrix::filled(10, nr),
        idle_latency_ns: Matrix::filled(100.0, nr),
        loaded_latency: LoadedLatency::Flat,
        core_max: [Matrix::filled(1e9, nr), Matrix::filled(1e9, nr)],
        resources: Vec::new(),
        routes: Matrix(NodeVec::filled(NodeVec::filled(Vec::new(), nr), nr)),
        local_weight: 1.0,
        lines_in_flight: 10.0,
        smt_share: 0.6,
        ns_per_instruction: 0.25,
        caches: Caches::default(),
        costs: Costs::default(),
        devices: Vec::new(),
        kernel: Kernel::default(),
        daemons: Daemons::default(),
    }
}

/// A zone.
pub(crate) fn zone(kind: ZoneKind, managed: u64) -> Zone {
    Zone { kind, managed: Pages(managed) }
}

/// The folder of shipped files.
pub(crate) fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

/// A shipped machine.
pub(crate) fn shipped(name: &str) -> Machine {
    let path = configs().join("machines").join(name);
    match crate::load(&path, |path: &Path| std::fs::read_to_string(path)) {
        Ok((machine, _)) => machine,
        Err(problems) => panic!("{problems}"),
    }
}

/// File names of all shipped machines.
pub(crate) fn shipped_names() -> Vec<String> {
    let entries = std::fs::read_dir(configs().join("machines")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
