//! Drawing a machine as text.
use crate::machine::Machine;
/// Text.
pub fn show(machine: &Machine) -> String {
    machine.name.clone()
}
