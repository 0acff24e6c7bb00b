//! From an experiment file to a comparison: cells, the runner, the store.
//!
//! [`Plan`] reads an experiment with its machines and workloads, and tells all that is wrong with
//! them at once. [`compare`] runs the plan's cells side by side and returns a
//! [`results::Comparison`], the same for any number of jobs. [`Live`] shows how far it is and
//! stops it. [`Directory`] is the place where the result goes.
//!
//! Only this crate runs things in parallel, and only whole cells. It prints nothing.

mod axes;
mod experiment;
mod families;
mod inputs;
mod live;
mod plan;
mod program;
mod runner;
mod store;

pub use experiment::{DesignFile, ExperimentFile, Seeds, schema};
pub use families::{load_machine, machine_schema};
pub use live::{CellState, Live, LiveCell};
pub use plan::{Cell, Overrides, Plan};
pub use program::{Program, ProgramSource};
pub use runner::{Finished, LabError, Options, compare};
pub use store::Directory;
