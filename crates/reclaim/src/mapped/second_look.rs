//! A page is marked at the first look and activated at the second.
//!
//! J. Weiner, Linux 2.6.34 (64574746). A page whose accessed bit is set for the first time stays
//! where it is; if it was used again by the next look, it is activated. Referenced pages of
//! executables stay active since 2.6.31.
//!
//! Left out: nothing.

use config::{Described, NoKnobs};

use super::{MappedPages, Seen, Verdict, unreferenced};

/// Marked, then activated.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecondLook;

impl MappedPages for SecondLook {
    fn decide(&self, seen: &Seen) -> Verdict {
        match (seen.young > 0, seen.marked) {
            (true, true) => Verdict::Activate,
            (true, false) => Verdict::Keep,
            (false, _) => unreferenced(seen),
        }
    }
}

impl Described for SecondLook {
    const NAME: &'static str = "second-look";
    const LINEAGE: &'static str =
        "J. Weiner, 2.6.34: keep at the first look, activate at the second";
    const SOURCE: &'static str = "Linux 64574746";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}
