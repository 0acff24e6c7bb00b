//! Tests of the scheduler as an engine drives it.

mod properties;
mod rig;
mod scenarios;
