//! AutoNUMA: what its early and late version share.
//!
//! The scanner, the statistics of tasks and processes, and the balance step of a running task.

mod balance;
mod filter;
mod queues;
mod scand;
mod state;

pub(crate) use filter::{LastNode, confirm};
pub(crate) use queues::Queues;
pub(crate) use scand::{Scand, ScandKnobs};
pub(crate) use state::{PLACE_REASON, State};
