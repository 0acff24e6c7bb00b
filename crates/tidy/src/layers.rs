//! Imports point down: the manifests against `docs/explanation/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use crate::tree::{crates, files, read};

/// The arrows of the architecture page. A crate may also import what those below it may.
const ARROWS: &[(&str, &[&str])] = &[
    ("numalab", &["validate", "lab", "report"]),
    ("validate", &["lab"]),
    ("lab", &["sim", "report"]),
    ("report", &["results"]),
    ("sim", &["designs", "reclaim", "trace", "results"]),
    ("designs", &["sched", "mm"]),
    ("reclaim", &["mm"]),
    ("sched", &["des", "topology"]),
    ("mm", &["des", "topology"]),
    ("trace", &["topology"]), // sizes of caches
    ("des", &["config"]),
    ("topology", &["config"]),
    ("results", &["config"]),
    ("config", &["base"]),
    ("base", &[]),
    ("tidy", &[]),
];

/// Crates that do neither files nor threads nor clocks, so that their only errors are bad input.
const PURE: &[&str] = &["base", "config", "des", "mm", "reclaim", "sched", "designs", "sim"];

fn manifest(name: &str) -> Table {
    let path = format!("crates/{name}/Cargo.toml");
    read(&path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names in the manifest's tables of dependencies; tests of a crate live in its layer.
fn dependencies(manifest: &Table) -> Vec<String> {
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|table| manifest.get(*table)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

fn below(name: &str) -> BTreeSet<&'static str> {
    let arrows: BTreeMap<&str, &[&'static str]> = ARROWS.iter().copied().collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<&'static str> = arrows.get(name).copied().unwrap_or_default().to_vec();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(arrows.get(next).copied().unwrap_or_default());
        }
    }
    reached
}

#[test]
fn imports_point_down() {
    let names = crates();
    for name in &names {
        assert!(
            ARROWS.iter().any(|(known, _)| known == name),
            "crate {name} has no place in the layers: give it one here and in the architecture page"
        );
        let allowed = below(name);
        for other in dependencies(&manifest(name)) {
            let fine =
                other == *name || !names.contains(&other) || allowed.contains(other.as_str());
            assert!(fine, "{name} imports {other}, which is not below it");
        }
    }
}

#[test]
fn the_layers_have_no_circle() {
    for (name, _) in ARROWS {
        assert!(!below(name).contains(name), "{name} lies below itself");
    }
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = read("docs/explanation/architecture.md");
    for name in crates() {
        assert!(page.contains(&format!("`{name}`")), "the architecture page is silent on {name}");
    }
}

#[test]
fn only_lab_runs_things_in_parallel() {
    let importers: Vec<String> = crates()
        .into_iter()
        .filter(|name| dependencies(&manifest(name)).iter().any(|other| other == "rayon"))
        .collect();
    assert_eq!(importers, ["lab"]);
}

#[test]
fn core_crates_do_no_input_or_output() {
    let words = ["std::fs", "fs_err", "std::time::", "std::thread", "std::process", "std::env"];
    for name in PURE {
        for file in files(&format!("crates/{name}/src"), ".rs") {
            let code = crate::sources::product(&file.text);
            for word in words {
                let found = code.iter().find(|(_, line)| line.contains(word));
                assert!(found.is_none(), "{} uses {word}: {found:?}", file.path);
            }
        }
    }
}

#[test]
fn manifests_share_what_the_workspace_sets() {
    for name in crates() {
        let manifest = manifest(&name);
        let package = manifest["package"].as_table().expect("a package table");
        assert_eq!(package["name"].as_str(), Some(name.as_str()), "a folder is named as its crate");
        assert!(package.contains_key("description"), "{name} has no description");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            let shared = package.get(key).and_then(|value| value.get("workspace"));
            assert!(shared.is_some(), "{name}: {key} is not the workspace's");
        }
        let lints = manifest.get("lints").and_then(|value| value.get("workspace"));
        assert_eq!(lints.and_then(|value| value.as_bool()), Some(true), "{name}: lints");
        for table in ["dependencies", "dev-dependencies"] {
            let entries = manifest.get(table).and_then(|value| value.as_table());
            for (dependency, value) in entries.into_iter().flatten() {
                assert!(
                    value.get("workspace").is_some(),
                    "{name}: the version of {dependency} belongs into the root manifest"
                );
            }
        }
    }
}
