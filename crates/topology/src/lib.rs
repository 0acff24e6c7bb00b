//! The machine: nodes, zones, CPUs, distances, latencies, bandwidths, devices and costs.
//!
//! [`Machine`] is plain data, compiled from a TOML file; the engine reads it and never changes it.
//! SLIT distances are input to policies only; latencies and bandwidths are input to timing only.

mod machine;

pub use machine::{
    BandwidthResource, Cache, Caches, Costs, Cpu, Daemons, Device, DeviceKind, Kernel,
    LoadedLatency, Machine, Matrix, Node, Pattern, Peak, ResourceKind, ThpMode, Use, Zone,
    ZoneKind,
};
