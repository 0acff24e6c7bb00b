//! Traces through the command: generated, shown, replayed, damaged.

use crate::rig::{files, names, numalab, ok, root, small};

const EXPERIMENT: &str = r#"name = "recorded"
machine = "machine.toml"
workload = "t.parquet"
designs = [{ design = "first-touch" }, { design = "interleave" }]
"#;

fn generate(dir: &std::path::Path, limit: &str) {
    let args = ["trace", "generate", "workload.toml", "--machine", "machine.toml"];
    let args = [&args[..], &["--out", "t.parquet", "--limit", limit]].concat();
    assert_eq!(ok(dir, &args), "t.parquet\n");
}

#[test]
fn a_generated_trace_replays_like_its_generator() {
    let dir = small();
    generate(dir.path(), "100000000");
    let counters = |workload: &str| {
        let args = ["run", "--machine", "machine.toml", "--design", "first-touch"];
        let text = ok(dir.path(), &[&args[..], &["--workload", workload]].concat());
        base::Vmstat::parse(&text)
    };
    let (generated, recorded) = (counters("workload.toml"), counters("t.parquet"));
    for counter in [base::Vm::sim_accesses, base::Vm::pgalloc_normal] {
        assert_eq!(generated[counter], recorded[counter], "{}", counter.name());
    }
    let info = ok(dir.path(), &["trace", "info", "t.parquet", "--verify", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["accesses"].as_u64(), Some(generated[base::Vm::sim_accesses]));
    assert_eq!(info["verified"], true);
}

#[test]
fn a_limit_cuts_the_trace() {
    let dir = small();
    generate(dir.path(), "5000");
    let info = ok(dir.path(), &["trace", "info", "t.parquet", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["accesses"], 5000);
}

#[test]
fn damage_anywhere_is_refused_and_nothing_is_written() {
    let dir = small();
    generate(dir.path(), "100000000");
    fs_err::write(dir.path().join("recorded.toml"), EXPERIMENT).unwrap();
    let path = dir.path().join("t.parquet");
    let whole = fs_err::read(&path).unwrap();
    let before = names(dir.path());
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let last = whole.len() - 1;
    for (what, bytes) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("a flipped bit in the rows", flipped(whole.len() / 3)),
        ("a flipped bit at the start", flipped(1)),
        ("a flipped bit at the end", flipped(last)),
    ] {
        fs_err::write(&path, bytes).unwrap();
        let ran = numalab(dir.path(), &["compare", "recorded.toml", "--out", "r"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("t.parquet"), "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains("recorded.toml:3:12"), "{what}: {}", ran.stderr);
        assert_eq!(names(dir.path()), before, "{what}");
    }
}

#[test]
fn a_lackey_log_is_imported() {
    let log = root().join("traces/samples/lackey-true.txt");
    let caches = root().join("configs/machines/quad.toml");
    let dir = files(&[]);
    let args = ["import", "lackey", log.to_str().unwrap(), "--out", "t.parquet", "--caches"];
    let args = [&args[..], &[caches.to_str().unwrap(), "--name", "true"]].concat();
    assert_eq!(ok(dir.path(), &args), "t.parquet\n");
    assert!(ok(dir.path(), &["trace", "info", "t.parquet"]).starts_with("true"));
    assert_eq!(names(dir.path()), ["t.parquet"]);
}

#[test]
fn a_recording_that_is_not_there_is_bad_input() {
    let dir = files(&[]);
    let ran = numalab(dir.path(), &["import", "lackey", "log.txt", "--out", "t.parquet"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn several_traces_are_shown_and_all_that_are_damaged_are_named() {
    let dir = small();
    generate(dir.path(), "5000");
    fs_err::copy(dir.path().join("t.parquet"), dir.path().join("u.parquet")).unwrap();
    fs_err::write(dir.path().join("bad.parquet"), "PAR1").unwrap();
    let text = ok(dir.path(), &["trace", "info", "t.parquet", "u.parquet"]);
    let (first, second) = text.split_once("\n\n").expect("a blank line between two traces");
    assert_eq!(first, second.trim_end());
    assert!(first.contains("\ncommand     kind = \"mix\"\n            "), "{first}");
    assert!(!first.contains("licence") && first.lines().all(|line| line == line.trim_end()));
    let args = ["trace", "info", "--json", "bad.parquet", "t.parquet", ".", "u.parquet"];
    let ran = numalab(dir.path(), &args);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "one object a line: {}", ran.stdout);
    assert!(ran.stderr.contains("error: bad.parquet: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: .: a directory, expected a trace"), "{}", ran.stderr);
}
