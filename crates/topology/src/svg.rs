//! Drawing a machine as text.
use crate::machine::Machine;
/// Text.
pub fn svg(machine: &Machine) -> String {
    machine.name.clone()
}
