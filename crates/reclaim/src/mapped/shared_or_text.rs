//! Pages used through several mappings, and those of executables, are activated at the first look.
//!
//! Linux 3.3: as the second look, but a page with more than one accessed bit set, or a file's page
//! of an executable mapping, is activated at once.
//!
//! Left out: which mapping is the executable one; here a file is executable or not.

use config::{Described, NoKnobs};

use super::{MappedPages, Seen, Verdict, unreferenced};

/// Shared pages and text at once, others at the second look.
#[derive(Clone, Copy, Debug, Default)]
pub struct SharedOrText;

impl MappedPages for SharedOrText {
    fn decide(&self, seen: &Seen) -> Verdict {
        if seen.young == 0 {
            return unreferenced(seen);
        }
        let text = seen.executable && seen.file;
        if seen.marked || seen.young > 1 || text { Verdict::Activate } else { Verdict::Keep }
    }
}

impl Described for SharedOrText {
    const NAME: &'static str = "shared-or-text";
    const LINEAGE: &'static str =
        "Linux 3.3: shared pages and executables activate at the first look";
    const SOURCE: &'static str = "Linux 6.12, mm/vmscan.c, folio_check_references";
    const LEFT_OUT: &'static str = "files are executable as a whole";
    type Knobs = NoKnobs;
}
