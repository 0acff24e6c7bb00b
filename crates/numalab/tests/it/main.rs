//! The command as its users and their scripts see it.

mod contract;
mod diagnostics;
mod digests;
mod ends;
mod rig;
mod traces;
