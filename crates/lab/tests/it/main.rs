//! Plans and runs of small experiments.

mod plan;
mod runner;

use std::path::Path;

use lab::{Overrides, Plan};

/// An experiment on a shipped machine with a small workload.
pub(crate) const TEXT: &str = r#"name = "test"
machine = "../machines/skylake-2s.toml"
workload = "../workloads/mix.toml"
seeds = [7, 3]
designs = [{ design = "first-touch" }, { design = "interleave", label = "spread" }]
[set]
"workload.footprint" = "8MiB"
"workload.shared" = "2MiB"
"workload.accesses" = 500
"#;

/// Plans an experiment as if it lay beside the shipped ones.
pub(crate) fn parse_with(text: &str, overrides: &Overrides) -> Result<Plan, config::Problems> {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    Plan::parse(&configs.join("experiments/test.toml").display().to_string(), text, overrides)
}

pub(crate) fn parse(text: &str) -> Result<Plan, config::Problems> {
    parse_with(text, &Overrides::default())
}

/// The small experiment with more lines behind its last one.
pub(crate) fn plan_with(more: &str, overrides: &Overrides) -> Result<Plan, config::Problems> {
    parse_with(&format!("{TEXT}{more}"), overrides)
}

pub(crate) fn plan(more: &str) -> Plan {
    plan_with(more, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"))
}
