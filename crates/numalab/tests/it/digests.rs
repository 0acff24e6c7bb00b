//! Bundled runs give the results that are committed, on any machine, for ever.
//!
//! A change of the engine or of a bundled file changes digests; say so in the commit that runs
//! `UPDATE=1 cargo test -p numalab digests`.

use std::fmt::Write as _;

use crate::rig::{ok, root};

const EXPERIMENTS: [&str; 4] = ["main", "mix", "numa02", "programs"];

#[test]
fn digests_of_bundled_runs_are_those_committed() {
    let mut text = String::new();
    for name in EXPERIMENTS {
        let file = format!("configs/experiments/{name}.toml");
        let json = ok(&root(), &["compare", &file, "--seeds", "1", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let _ = writeln!(text, "{name} {}", json["digest"].as_str().unwrap());
    }
    let path = root().join("crates/numalab/tests/digests.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(&path, &text).unwrap();
    }
    let committed = fs_err::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "run UPDATE=1 cargo test -p numalab digests, and say why");
}
