//! Tests of the scheduler as an engine drives it.

mod fair;
mod properties;
mod rig;
mod scenarios;
