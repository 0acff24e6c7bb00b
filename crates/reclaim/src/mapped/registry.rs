//! All rules for mapped pages, in the order in which they are listed.

use super::{AnyReference, MappedPages, OneAccess, RefaultDistance, SecondLook, SharedOrText};

/// What the registry needs to know of a rule. Rules have no constants.
pub trait Rule: MappedPages + Default + 'static {
    /// As experiments name it.
    const NAME: &'static str;
    /// When, and the idea in a line.
    const LINEAGE: &'static str;
    /// Where it is described.
    const SOURCE: &'static str;
    /// What is not modelled or differs from the source.
    const LEFT_OUT: &'static str;
}

/// A rule as the registry keeps it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// As experiments name it.
    pub name: &'static str,
    /// When, the idea.
    pub lineage: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What is not modelled.
    pub left_out: &'static str,
    /// Builds the rule.
    pub build: fn() -> Box<dyn MappedPages>,
}

/// All rules: what the kernel does now, then the others by age.
pub const MAPPED_RULES: &[Registered] = &[
    register::<RefaultDistance>(),
    register::<AnyReference>(),
    register::<SecondLook>(),
    register::<SharedOrText>(),
    register::<OneAccess>(),
];

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Registered> {
    MAPPED_RULES.iter().find(|rule| rule.name == name)
}

const fn register<R: Rule>() -> Registered {
    Registered {
        name: R::NAME,
        lineage: R::LINEAGE,
        source: R::SOURCE,
        left_out: R::LEFT_OUT,
        build: || Box::new(R::default()),
    }
}
