//! Running the command, and small files to run it on.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What a command left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The top of the tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the command in a directory.
pub(crate) fn numalab(dir: &Path, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_numalab"))
        .args(args)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .output()
        .expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the command, which must succeed, and gives what it printed.
pub(crate) fn ok(dir: &Path, args: &[&str]) -> String {
    let ran = numalab(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
    ran.stdout
}

/// Two nodes of two CPUs.
pub(crate) const MACHINE: &str = r#"name = "small"
nodes = [{ cpus = "0-1", memory = "256MiB" }, { cpus = "2-3", memory = "256MiB" }]

[latency]
local = "100ns"
remote = "200ns"

[bandwidth]
core = { local = "4GB/s", remote = "2GB/s" }
controller = "6GB/s"
links = [{ one_way = "3GB/s", both_ways = "6GB/s" }]
"#;

/// Four threads on memory of their own and on shared memory.
pub(crate) const WORKLOAD: &str = r#"kind = "mix"
footprint = "16MiB"
shared = "4MiB"
shared_share = 0.3
accesses = 20000
write_share = 0.2
"#;

/// Two designs, two values of an axis, two seeds.
pub(crate) const EXPERIMENT: &str = r#"name = "small"
machine = "machine.toml"
workload = "workload.toml"
seeds = 2
designs = [{ design = "first-touch" }, { design = "interleave" }]

[axes]
"workload.shared_share" = [0.2, 0.8]
"#;

/// A directory with these files.
pub(crate) fn files(contents: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in contents {
        fs_err::write(dir.path().join(name), text).expect("a writable directory");
    }
    dir
}

/// A directory with the small experiment.
pub(crate) fn small() -> TempDir {
    files(&[
        ("machine.toml", MACHINE),
        ("workload.toml", WORKLOAD),
        ("experiment.toml", EXPERIMENT),
    ])
}

/// The document without its object `wall`.
pub(crate) fn without_wall(json: &str) -> String {
    let mut document: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert!(document.as_object_mut().is_some_and(|keys| keys.remove("wall").is_some()));
    document.to_string()
}

/// Names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(dir).expect("a directory");
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
