//! All designs for reclaim of a hierarchy, in the order in which they are listed.

use config::{Config, Cx, Knob};

use super::{
    Hierarchy, LowLimit, MemoryLowV1, Protection, Score, SoftAncestors, SoftNaturalised, SoftOwn,
    SoftTree, TwoPass,
};

config::config! {
    /// The design has no constants.
    pub struct NoKnobs {}
}

/// What the registry needs to know of a design.
pub trait Design: Hierarchy + Sized + 'static {
    /// As experiments name it.
    const NAME: &'static str;
    /// Who proposed it, when, and the idea in a line.
    const LINEAGE: &'static str;
    /// Where it is described.
    const SOURCE: &'static str;
    /// What is not modelled or differs from the source.
    const LEFT_OUT: &'static str;
    /// Its constants, with the published defaults.
    type Knobs: Config + Default + Clone + Send + Sync;
    /// The design at the start of a run.
    fn new(knobs: Self::Knobs) -> Self;
}

/// A design as the registry keeps it.
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
    /// Its knobs with defaults and docs.
    pub knobs: fn() -> Vec<Knob>,
    /// JSON Schema of the knobs table.
    pub schema: fn() -> config::Json,
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
    HIERARCHIES.iter().find(|design| design.name == name)
}

const fn register<D: Design>() -> Registered {
    Registered {
        name: D::NAME,
        lineage: D::LINEAGE,
        source: D::SOURCE,
        left_out: D::LEFT_OUT,
        knobs: <D::Knobs as Config>::knobs,
        schema: config::json_schema::<D::Knobs>,
        build: build::<D>,
        build_default: || Box::new(D::new(D::Knobs::default())),
    }
}

fn build<D: Design>(table: &config::Value, cx: &mut Cx) -> Option<Maker> {
    let knobs = <D::Knobs as config::FromToml>::from_toml(table, cx)?;
    Some(std::sync::Arc::new(move || Box::new(D::new(knobs.clone())) as Box<dyn Hierarchy>))
}
