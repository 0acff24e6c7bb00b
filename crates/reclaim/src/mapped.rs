//! What reclaim does with a page whose accessed bits are set.
//!
//! The answers that Linux gave over the years, a topic of the memcg/mm minisummit of 2012. A rule
//! sees what the page tables said of one page at the cold end and answers whether it stays; the
//! guest clears the bits and moves pages. Rules serve both engines; the multi-generation engine
//! itself, the newest answer, gives faulted pages the youngest generation before a rule is asked.

mod any_reference;
mod one_access;
mod refault_distance;
pub mod registry;
mod second_look;
mod shared_or_text;

pub use any_reference::AnyReference;
pub use one_access::OneAccess;
pub use refault_distance::RefaultDistance;
pub use registry::{MAPPED_RULES, Registered, find};
pub use second_look::SecondLook;
pub use shared_or_text::SharedOrText;

/// What is known of a page at the cold end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Mappings whose accessed bit was set; 2 stands for more.
    pub young: u32,
    /// Whether it was marked as referenced, by an earlier look or by read().
    pub marked: bool,
    /// Whether it is a file's page.
    pub file: bool,
    /// Whether its file is mapped executable.
    pub executable: bool,
}

/// What becomes of it. A page with an accessed bit set is marked in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the active list, or the youngest generation.
    Activate,
    /// Another round on the list it is on.
    Keep,
    /// Away with it, unless it would have to be written.
    ReclaimClean,
    /// Away with it.
    Reclaim,
}

/// A rule for mapped pages.
pub trait MappedPages: std::fmt::Debug + Send + Sync {
    /// What becomes of a page.
    fn decide(&self, seen: &Seen) -> Verdict;

    /// Whether referenced pages of executables stay on the active list.
    fn keeps_executables(&self) -> bool {
        true
    }

    /// Whether a page that comes back soon enough after its eviction is activated.
    fn activates_refaults(&self) -> bool {
        false
    }
}

/// All answers of a rule, asked once: a look at a page is a look into a table.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    verdicts: [Verdict; 32],
    /// See [`MappedPages::keeps_executables`].
    pub keeps_executables: bool,
    /// See [`MappedPages::activates_refaults`].
    pub activates_refaults: bool,
}

impl Answers {
    /// Asks a rule.
    pub fn of(rule: &dyn MappedPages) -> Self {
        let mut verdicts = [Verdict::Keep; 32];
        for young in 0..=2 {
            for bits in 0..8 {
                let [marked, file, executable] = [4, 2, 1].map(|bit| bits & bit != 0);
                let seen = Seen { young, marked, file, executable };
                verdicts[Self::place(&seen)] = rule.decide(&seen);
            }
        }
        let (keeps_executables, activates_refaults) =
            (rule.keeps_executables(), rule.activates_refaults());
        Self { verdicts, keeps_executables, activates_refaults }
    }

    #[inline]
    fn place(seen: &Seen) -> usize {
        let bits = usize::from(seen.marked) << 2
            | usize::from(seen.file) << 1
            | usize::from(seen.executable);
        (seen.young.min(2) as usize) << 3 | bits
    }

    /// As [`MappedPages::decide`] of the rule.
    #[inline]
    pub fn verdict(&self, seen: &Seen) -> Verdict {
        self.verdicts[Self::place(seen) % self.verdicts.len()]
    }
}

/// A page without a set accessed bit: one that was read once more since the last look is not worth a
/// write.
fn unreferenced(seen: &Seen) -> Verdict {
    if seen.marked && seen.file { Verdict::ReclaimClean } else { Verdict::Reclaim }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(rule: &dyn MappedPages) -> [Verdict; 5] {
        let page = Seen { file: true, ..Seen::default() };
        [
            Seen { young: 1, ..page },
            Seen { young: 1, marked: true, ..page },
            Seen { young: 2, ..page },
            Seen { young: 1, executable: true, ..page },
            Seen { marked: true, ..page },
        ]
        .map(|seen| rule.decide(&seen))
    }

    #[test]
    fn a_first_look_activates_keeps_or_lets_go_by_rule() {
        use Verdict::{Activate, Keep, ReclaimClean};
        let last = ReclaimClean;
        assert_eq!(verdicts(&AnyReference), [Activate, Activate, Activate, Activate, last]);
        assert_eq!(verdicts(&SecondLook), [Keep, Activate, Keep, Keep, last]);
        assert_eq!(verdicts(&SharedOrText), [Keep, Activate, Activate, Activate, last]);
        assert_eq!(verdicts(&RefaultDistance), verdicts(&SharedOrText));
        let [first, second, shared, text, last] = verdicts(&OneAccess);
        assert_eq!([first, shared, text, last], [ReclaimClean; 4]);
        assert_eq!(second, Activate);
    }

    #[test]
    fn anonymous_pages_are_never_text() {
        let anon = Seen { young: 1, executable: true, ..Seen::default() };
        assert_eq!(RefaultDistance.decide(&anon), Verdict::Keep);
        assert_eq!(RefaultDistance.decide(&Seen::default()), Verdict::Reclaim);
    }

    #[test]
    fn the_table_of_a_rule_says_what_the_rule_says() {
        for rule in MAPPED_RULES {
            let rule = (rule.build)();
            let answers = Answers::of(&*rule);
            for (young, bits) in (0..4).flat_map(|young| (0..8).map(move |bits| (young, bits))) {
                let [marked, file, executable] = [1, 2, 4].map(|bit| bits & bit != 0);
                let seen = Seen { young, marked, file, executable };
                assert_eq!(answers.verdict(&seen), rule.decide(&seen), "{rule:?} of {seen:?}");
            }
        }
    }

    #[test]
    fn names_are_distinct_and_defaults_build() {
        let names: std::collections::BTreeSet<&str> =
            MAPPED_RULES.iter().map(|rule| rule.about.name).collect();
        assert_eq!(names.len(), MAPPED_RULES.len());
        let newest = find("refault-distance").expect("today's rule");
        assert!((newest.build)().activates_refaults());
    }
}
