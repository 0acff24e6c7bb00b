//! All textbook policies, in the order in which they are listed.

use config::{Config, Cx, Knob};

use super::{Arc, Belady, Clock, Fifo, Lfu, Lru, Replacement, S3Fifo, Setting, Sieve, TwoQ};

config::config! {
    /// The policy has no constants.
    pub struct NoKnobs {}
}

/// What the registry needs to know of a policy.
pub trait Textbook: Replacement + Sized + 'static {
    /// As experiments name it.
    const NAME: &'static str;
    /// Who proposed it, when, and the idea in a line.
    const LINEAGE: &'static str;
    /// Where it is described.
    const SOURCE: &'static str;
    /// What is not modelled or differs from the source.
    const LEFT_OUT: &'static str;
    /// Whether it must know all accesses beforehand.
    const OFFLINE: bool = false;
    /// Its constants, with the published defaults.
    type Knobs: Config + Default + Clone + Send + Sync;
    /// The policy with nothing resident.
    fn new(knobs: Self::Knobs, setting: &Setting<'_>) -> Self;
}

/// A policy as the registry keeps it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// As experiments name it.
    pub name: &'static str,
    /// Who, when, the idea.
    pub lineage: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What is not modelled.
    pub left_out: &'static str,
    /// Whether it must know all accesses beforehand, in [`Setting::future`].
    pub is_offline: bool,
    /// Its knobs with defaults and docs.
    pub knobs: fn() -> Vec<Knob>,
    /// JSON Schema of the knobs table.
    pub schema: fn() -> config::Json,
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
    POLICIES.iter().find(|policy| policy.name == name)
}

const fn register<P: Textbook>() -> Registered {
    Registered {
        name: P::NAME,
        lineage: P::LINEAGE,
        source: P::SOURCE,
        left_out: P::LEFT_OUT,
        is_offline: P::OFFLINE,
        knobs: <P::Knobs as Config>::knobs,
        schema: config::json_schema::<P::Knobs>,
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
