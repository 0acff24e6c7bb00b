//! As shared pages and text, and a page that comes back soon after its eviction is activated.
//!
//! J. Weiner, Linux 3.15, and 6.12's classic engine: a page that is read again before as many others
//! were evicted or activated as the active list holds goes there at once.
//!
//! Left out: which mapping is the executable one; here a file is executable or not.

use config::{Described, NoKnobs};

use super::{MappedPages, Seen, SharedOrText, Verdict};

/// Today's rule of the classic engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefaultDistance;

impl MappedPages for RefaultDistance {
    fn decide(&self, seen: &Seen) -> Verdict {
        SharedOrText.decide(seen)
    }

    fn activates_refaults(&self) -> bool {
        true
    }
}

impl Described for RefaultDistance {
    const NAME: &'static str = "refault-distance";
    const LINEAGE: &'static str = "J. Weiner, 3.15 to 6.12: and early refaults activate";
    const SOURCE: &'static str = "Linux 6.12, mm/vmscan.c and mm/workingset.c";
    const LEFT_OUT: &'static str = "files are executable as a whole";
    type Knobs = NoKnobs;
}
