//! What a registry says of the things that a file may choose by name: designs, rules, policies.

use crate::schema::json_schema;
use crate::{Config, Json, Knob};

crate::config! {
    /// There are no constants.
    #[derive(Copy)]
    pub struct NoKnobs {}
}

/// What something that is chosen by name declares of itself.
pub trait Described {
    /// As files name it.
    const NAME: &'static str;
    /// Who proposed it, when, the idea or what became of it, in a line.
    const LINEAGE: &'static str;
    /// Where it is described.
    const SOURCE: &'static str;
    /// What is not modelled or differs from the source.
    const LEFT_OUT: &'static str;
    /// Its constants, with the published defaults.
    type Knobs: Config + Default + Clone + Send + Sync + 'static;
}

/// The same as data.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// As files name it.
    pub name: &'static str,
    /// Who, when, the idea or what became of it.
    pub lineage: &'static str,
    /// Where it is described.
    pub source: &'static str,
    /// What is not modelled.
    pub left_out: &'static str,
    /// Its knobs with defaults and docs.
    pub knobs: fn() -> Vec<Knob>,
    /// JSON Schema of the knobs table.
    pub schema: fn() -> Json,
}

impl Description {
    /// What `D` declares.
    pub const fn of<D: Described>() -> Self {
        Self {
            name: D::NAME,
            lineage: D::LINEAGE,
            source: D::SOURCE,
            left_out: D::LEFT_OUT,
            knobs: <D::Knobs as Config>::knobs,
            schema: json_schema::<D::Knobs>,
        }
    }
}
