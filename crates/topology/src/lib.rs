//! The machine: nodes, zones, CPUs, distances, latencies, bandwidths, devices and costs.
//!
//! [`Machine`] is plain data, compiled from a TOML file ([`MachineFile`]); the engine reads it and
//! never changes it. SLIT distances are input to policies only; latencies and bandwidths are input
//! to timing only. [`watermarks()`] derives what Linux derives from the memory's size, [`show()`]
//! and [`svg()`] draw a machine for people.

mod fallback;
pub mod file;
mod machine;
mod show;
mod summary;
mod svg;
#[cfg(test)]
mod testing;
mod watermarks;

pub use file::{MachineFile, load, load_named, parse, schema};
pub use machine::{
    BandwidthResource, Cache, Caches, Costs, Cpu, Daemons, Device, DeviceKind, HierarchyChoice,
    Kernel, LoadedLatency, Machine, Matrix, Node, Pattern, Peak, Reclaim, ResourceKind, ThpMode,
    Use, Zone, ZoneKind,
};
pub use show::show;
pub use svg::svg;
pub use watermarks::{Watermarks, min_free_kbytes, watermarks};
