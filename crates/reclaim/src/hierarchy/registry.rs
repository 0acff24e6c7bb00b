//! All designs for reclaim of a hierarchy, in the order in which they are listed.

use config::{Cx, Described, Description};

use super::{
    Hierarchy, LowLimit, MemoryLowV1, Protection, Score, SoftAncestors, SoftNaturalised, SoftOwn,
    SoftTree, TwoPass,
};

/// A design that the registry can build.
pub trait Design: Hierarchy + Described + Sized + 'static {
    /// The design at the start of a run.
    fn new(knobs: Self::Knobs) -> Self;
}

/// A design as the registry keeps it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// What it is.
    pub about: Description,
    /// Decodes a knobs table; problems go to the context.
    pub build: fn(&config::Value, &mut Cx) -> Option<Maker>,
    /// Builds the design with its defaults.
    pub build_default: fn() -> Box<dyn Hierarchy>,
}

/// Makes a fresh instance of a configured design.
pub type Maker = std::sync::Arc<dyn Fn() -> Box<dyn Hierarchy> + Send + Sync>;

/// All designs: what the kernel does now, then the others by age.
pub const HIERARCHIES: &[Registered] = &[
    register::<Protection>(),
    register::<SoftTree>(),
    register::<SoftNaturalised>(),
    register::<SoftOwn>(),
    register::<SoftAncestors>(),
    register::<Score>(),
    register::<TwoPass>(),
    register::<LowLimit>(),
    register::<MemoryLowV1>(),
];

/// The design of that name.
pub fn find(name: &str) -> Option<&'static Registered> {
    HIERARCHIES.iter().find(|design| design.about.name == name)
}

const fn register<D: Design>() -> Registered {
    Registered {
        about: Description::of::<D>(),
        build: build::<D>,
        build_default: || Box::new(D::new(D::Knobs::default())),
    }
}

fn build<D: Design>(table: &config::Value, cx: &mut Cx) -> Option<Maker> {
    let knobs = <D::Knobs as config::FromToml>::from_toml(table, cx)?;
    Some(std::sync::Arc::new(move || Box::new(D::new(knobs.clone())) as Box<dyn Hierarchy>))
}
