//! First touch: memory comes from the node of the CPU that touches it first, and stays there.
//!
//! Linux without NUMA balancing; the baseline of every published comparison.

use config::{Described, NoKnobs};

use crate::{Design, Placement};

/// Plain Linux.
#[derive(Debug)]
pub struct FirstTouch;

impl Placement for FirstTouch {}

impl Described for FirstTouch {
    const NAME: &'static str = "first-touch";
    const LINEAGE: &'static str =
        "Linux default: allocate on the node of the first toucher, never move";
    const SOURCE: &'static str = "Linux, Documentation/admin-guide/mm/numa_memory_policy.rst";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}

impl Design for FirstTouch {
    type State = Self;

    fn new(_knobs: NoKnobs, _machine: &topology::Machine) -> Self {
        Self
    }
}
