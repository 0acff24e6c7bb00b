//! All designs, in the order in which they are listed.

use config::{Config, Cx as ConfigCx, Knob};

use crate::{
    Autonuma28, AutonumaAlpha, BalanceNuma, Bind, FirstTouch, Interleave, NumaBalancing313,
    NumaBalancing612, NumaBalancingV5, Numacore15, NumacoreUnified3, Placement, SchednumaMarch,
    SchednumaOctober, WeightedInterleave,
};

/// What the registry needs to know of a design.
pub trait Design: Placement + Sized + 'static {
    /// As experiments name it.
    const NAME: &'static str;
    /// Who proposed it, when, and what became of it, in a line.
    const LINEAGE: &'static str;
    /// Where it is described.
    const SOURCE: &'static str;
    /// What is not modelled.
    const LEFT_OUT: &'static str;
    /// Its constants, with the published defaults.
    type Knobs: Config + Default;
    /// The design with these constants on a machine.
    fn new(knobs: Self::Knobs, machine: &topology::Machine) -> Self;
}

/// A design as the registry keeps it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// As experiments name it.
    pub name: &'static str,
    /// Who, when, what became of it.
    pub lineage: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What is not modelled.
    pub left_out: &'static str,
    /// Its knobs with defaults and docs.
    pub knobs: fn() -> Vec<Knob>,
    /// JSON Schema of the knobs table.
    pub schema: fn() -> config::Json,
    /// Decodes a knobs table and builds the design; problems go to the context.
    pub build: Build,
    /// Builds the design with its defaults.
    pub build_default: fn(&topology::Machine) -> Box<dyn Placement>,
}

/// Builds a design from its table in an experiment.
pub type Build = fn(&config::Value, &mut ConfigCx) -> Option<Maker>;

/// Makes a fresh instance of a configured design for a run.
pub type Maker = std::sync::Arc<dyn Fn(&topology::Machine) -> Box<dyn Placement> + Send + Sync>;

/// All designs in the order in which they are listed.
pub const DESIGNS: &[Registered] = &[
    register::<FirstTouch>(),
    register::<Interleave>(),
    register::<WeightedInterleave>(),
    register::<Bind>(),
    register::<AutonumaAlpha>(),
    register::<SchednumaMarch>(),
    register::<SchednumaOctober>(),
    register::<Autonuma28>(),
    register::<Numacore15>(),
    register::<NumacoreUnified3>(),
    register::<BalanceNuma>(),
    register::<NumaBalancingV5>(),
    register::<NumaBalancing313>(),
    register::<NumaBalancing612>(),
];

/// The design of that name.
pub fn find(name: &str) -> Option<&'static Registered> {
    DESIGNS.iter().find(|design| design.name == name)
}

const fn register<D: Design>() -> Registered
where
    D::Knobs: Clone + Send + Sync,
{
    Registered {
        name: D::NAME,
        lineage: D::LINEAGE,
        source: D::SOURCE,
        left_out: D::LEFT_OUT,
        knobs: <D::Knobs as Config>::knobs,
        schema: config::json_schema::<D::Knobs>,
        build: build::<D>,
        build_default: |machine| Box::new(D::new(D::Knobs::default(), machine)),
    }
}

fn build<D: Design>(table: &config::Value, cx: &mut ConfigCx) -> Option<Maker>
where
    D::Knobs: Clone + Send + Sync,
{
    let knobs = <D::Knobs as config::FromToml>::from_toml(table, cx)?;
    Some(std::sync::Arc::new(move |machine: &topology::Machine| {
        Box::new(D::new(knobs.clone(), machine)) as Box<dyn Placement>
    }))
}

#[cfg(test)]
mod tests;
