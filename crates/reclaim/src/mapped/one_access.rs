//! A set accessed bit counts as one access and keeps nothing.
//!
//! No kernel did this; it is the contrast: mapped pages are treated as read() treats pages, where the
//! second access activates and the first one saves no page. What the other rules pay and gain by a
//! round more for each mapped page shows against it.
//!
//! Left out: nothing.

use config::{Described, NoKnobs};

use super::{MappedPages, Seen, Verdict, unreferenced};

/// Mapped pages as those of read().
#[derive(Clone, Copy, Debug, Default)]
pub struct OneAccess;

impl MappedPages for OneAccess {
    fn decide(&self, seen: &Seen) -> Verdict {
        match (seen.young > 0, seen.marked) {
            (true, true) => Verdict::Activate,
            (true, false) => unreferenced(&Seen { marked: true, ..*seen }),
            (false, _) => unreferenced(seen),
        }
    }

    fn keeps_executables(&self) -> bool {
        false
    }
}

impl Described for OneAccess {
    const NAME: &'static str = "one-access";
    const LINEAGE: &'static str =
        "for contrast: an accessed bit counts as one read() and keeps nothing";
    const SOURCE: &'static str = "ours";
    const LEFT_OUT: &'static str = "nothing";
    type Knobs = NoKnobs;
}
