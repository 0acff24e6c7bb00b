//! All rules for mapped pages, in the order in which they are listed.

use config::{Described, Description, NoKnobs};

use super::{AnyReference, MappedPages, OneAccess, RefaultDistance, SecondLook, SharedOrText};

/// A rule as the registry keeps it. Rules have no constants.
#[derive(Clone, Copy)]
pub struct Registered {
    /// What it is.
    pub about: Description,
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
    MAPPED_RULES.iter().find(|rule| rule.about.name == name)
}

const fn register<R>() -> Registered
where
    R: MappedPages + Described<Knobs = NoKnobs> + Default + 'static,
{
    Registered { about: Description::of::<R>(), build: || Box::new(R::default()) }
}
