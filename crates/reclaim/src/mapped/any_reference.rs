//! Any reference activates.
//!
//! Linux before 2.6.34 (what 64574746 changed): a page with an accessed bit set goes to the active
//! list. A stream of mapped pages then passes through the active list too.
//!
//! Left out: the rules before 2.6.28, when one pair of lists held all pages.

use config::{Described, NoKnobs};

use super::{MappedPages, Seen, Verdict, unreferenced};

/// Any reference activates.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyReference;

impl MappedPages for AnyReference {
    fn decide(&self, seen: &Seen) -> Verdict {
        if seen.young > 0 { Verdict::Activate } else { unreferenced(seen) }
    }

    fn keeps_executables(&self) -> bool {
        false
    }
}

impl Described for AnyReference {
    const NAME: &'static str = "any-reference";
    const LINEAGE: &'static str = "Linux before 2.6.34: an accessed bit activates";
    const SOURCE: &'static str = "Linux 64574746, the state before it";
    const LEFT_OUT: &'static str = "the single pair of lists before 2.6.28";
    type Knobs = NoKnobs;
}
