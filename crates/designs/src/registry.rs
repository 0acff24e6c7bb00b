//! All designs, in the order in which they are listed.

use config::{Cx as ConfigCx, Described, Description};

use crate::{
    Autonuma28, AutonumaAlpha, BalanceNuma, Bind, FirstTouch, Interleave, NumaBalancing313,
    NumaBalancing612, NumaBalancingV5, Numacore15, NumacoreUnified3, Placement, SchednumaMarch,
    SchednumaOctober, WeightedInterleave,
};

/// A design that the registry can build.
pub trait Design: Described + Sized + 'static {
    /// What answers in a run: `Self`, or what versions of one design share.
    type State: Placement + 'static;

    /// The design with these constants on a machine.
    fn new(knobs: Self::Knobs, machine: &topology::Machine) -> Self::State;
}

/// A design as the registry keeps it.
#[derive(Clone, Copy)]
pub struct Registered {
    /// What it is.
    pub about: Description,
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
    DESIGNS.iter().find(|design| design.about.name == name)
}

const fn register<D: Design>() -> Registered {
    Registered {
        about: Description::of::<D>(),
        build: build::<D>,
        build_default: |machine| Box::new(D::new(D::Knobs::default(), machine)),
    }
}

fn build<D: Design>(table: &config::Value, cx: &mut ConfigCx) -> Option<Maker> {
    let knobs = <D::Knobs as config::FromToml>::from_toml(table, cx)?;
    Some(std::sync::Arc::new(move |machine: &topology::Machine| {
        Box::new(D::new(knobs.clone(), machine)) as Box<dyn Placement>
    }))
}

#[cfg(test)]
mod tests;
