//! All textbook policies, in the order in which they are listed.

use config::{Cx, Described, Description};

use super::{Arc, Belady, Clock, Fifo, Lfu, Lru, Replacement, S3Fifo, Setting, Sieve, TwoQ};

/// A policy that the registry can build.
pub trait Textbook: Replacement + Described + Sized + 'static {
    /// Whether it must know all accesses beforehand.
    const OFFLINE: bool = false;

    /// The policy with nothing resident.
    fn new(knobs: Self::Knobs, setting: &Setting<'_>) -> Self;
}

/// A policy as the registry keeps it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// What it is.
    pub about: Description,
    /// Whether it must know all accesses beforehand, in [`Setting::future`].
    pub is_offline: bool,
    /// Decodes a knobs table; problems go to the context.
    pub build: fn(&config::Value, &mut Cx) -> Option<Maker>,
    /// Builds the policy with its defaults.
    pub build_default: Build,
}

/// Builds a policy that needs no further knobs.
pub type Build = fn(&Setting<'_>) -> Box<dyn Replacement>;

/// Makes a fresh instance of a configured policy.
pub type Maker = std::sync::Arc<dyn Fn(&Setting<'_>) -> Box<dyn Replacement> + Send + Sync>;

/// All policies in the order in which they are listed.
pub const POLICIES: &[Registered] = &[
    register::<Lru>(),
    register::<Fifo>(),
    register::<Clock>(),
    register::<TwoQ>(),
    register::<Arc>(),
    register::<S3Fifo>(),
    register::<Sieve>(),
    register::<Lfu>(),
    register::<Belady>(),
];

/// The policy that nobody beats.
pub const OPTIMUM: &Registered = &register::<Belady>();

/// The policy of that name.
pub fn find(name: &str) -> Option<&'static Registered> {
    POLICIES.iter().find(|policy| policy.about.name == name)
}

const fn register<P: Textbook>() -> Registered {
    Registered {
        about: Description::of::<P>(),
        is_offline: P::OFFLINE,
        build: build::<P>,
        build_default: |setting| Box::new(P::new(P::Knobs::default(), setting)),
    }
}

fn build<P: Textbook>(table: &config::Value, cx: &mut Cx) -> Option<Maker> {
    let knobs = <P::Knobs as config::FromToml>::from_toml(table, cx)?;
    Some(std::sync::Arc::new(move |setting: &Setting<'_>| {
        Box::new(P::new(knobs.clone(), setting)) as Box<dyn Replacement>
    }))
}
