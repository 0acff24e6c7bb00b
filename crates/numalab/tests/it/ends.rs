//! Ends before the end: Ctrl-C, a disk without room, and memory that runs out.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::rig::{EXPERIMENT, MACHINE, WORKLOAD, files, names, numalab, ok, small};

/// One cell that is over at once and one that takes hours.
const HOURS: &str = r#"name = "hours"
machine = "machine.toml"
workload = "workload.toml"
designs = [{ design = "first-touch" }]
seeds = 1

[axes]
"workload.accesses" = [1000, 100000000000]
"#;

#[test]
fn what_is_finished_survives_ctrl_c() {
    interrupted_by("-INT");
}

/// As schedulers of clusters and `timeout` end a job.
#[test]
fn what_is_finished_survives_sigterm() {
    interrupted_by("-TERM");
}

fn interrupted_by(signal: &str) {
    let dir = files(&[
        ("machine.toml", MACHINE),
        ("workload.toml", WORKLOAD),
        ("experiment.toml", HOURS),
    ]);
    let args = ["compare", "experiment.toml", "--jobs", "1", "--json", "--out", "result"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_numalab"))
        .args(args)
        .args(["--progress", "always"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
    let mut line = String::new();
    while !line.starts_with("1 of 2 runs") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("text") > 0, "it ended by itself");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill starts").success());
    let mut told = String::new();
    stderr.read_to_string(&mut told).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted: 1 of 2 runs had finished"), "{told}");
    let stored = fs_err::read_to_string(dir.path().join("result/run.json")).expect("a result");
    for text in [String::from_utf8(output.stdout).expect("text"), stored] {
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["cells"].as_array().map(Vec::len), Some(1));
        assert_eq!(json["cells"][0]["axes"]["workload.accesses"], "1000");
        assert_eq!(json["failed"][0]["message"], "interrupted");
    }
    ok(dir.path(), &["report", "result"]);
}

#[test]
fn a_full_disk_leaves_the_earlier_result_valid() {
    let dir = small();
    ok(dir.path(), &["compare", "experiment.toml", "--seeds", "1", "--out", "result"]);
    let read = |name: &str| fs_err::read(dir.path().join("result").join(name)).unwrap();
    let files = names(&dir.path().join("result"));
    let before = (read("run.json"), read("report.html"));
    // No file may grow beyond 256 KiB, which the report does; the signal for it is ignored, so that
    // writing fails as it does on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 256; {} compare experiment.toml --out result",
        env!("CARGO_BIN_EXE_numalab")
    );
    let output =
        Command::new("bash").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains("cannot write result/report.html"), "{told}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("first-touch"), "the table is out");
    assert_eq!((read("run.json"), read("report.html")), before);
    assert_eq!(names(&dir.path().join("result")), files);
    assert_eq!(numalab(dir.path(), &["report", "result"]).code, Some(0));
}

#[test]
fn a_full_disk_leaves_nothing_of_a_new_result() {
    let dir = small();
    // The signal is not ignored by the shell: the command itself must not die of it.
    let script = format!(
        "ulimit -f 256; exec {} compare experiment.toml --out new/result",
        env!("CARGO_BIN_EXE_numalab")
    );
    let before = names(dir.path());
    let output =
        Command::new("bash").args(["-c", &script]).current_dir(dir.path()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(!told.contains(".tmp"), "{told}");
    assert_eq!(names(dir.path()), before);
}

/// The small workload in a group of half of what it touches, on a machine without swap.
fn crowded() -> tempfile::TempDir {
    let machine = format!("{MACHINE}\n[kernel]\nreclaim = \"classic\"\n");
    let workload = format!("{WORKLOAD}\n[memcg.\"/box\"]\nmax = \"8MiB\"\nothers = true\n");
    files(&[
        ("machine.toml", &machine),
        ("workload.toml", &workload),
        ("experiment.toml", EXPERIMENT),
    ])
}

#[test]
fn who_is_killed_for_memory_is_told_and_the_exit_code_says_so() {
    let dir = crowded();
    let args = ["run", "--machine", "machine.toml", "--workload", "workload.toml"];
    let ran = numalab(dir.path(), &[&args[..], &["--design", "first-touch"]].concat());
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    for wanted in [
        "memory of /box: usage 8192kB, limit 8192kB",
        "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/box,task_memcg=/box",
        "Memory cgroup out of memory: Killed process 0",
        "every process was killed",
    ] {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("NaN"), "{}", ran.stderr);
    let ran = numalab(dir.path(), &["compare", "experiment.toml", "--out", "result"]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stdout.contains("no memory"), "{}", ran.stdout);
    let killed = ran.stdout.lines().filter(|line| line.starts_with("killed, "));
    assert_eq!(killed.count(), 8, "two designs, two cases, two seeds: {}", ran.stdout);
    assert!(!ran.stdout.contains(" wins"), "runs with a kill are not compared");
    let report = fs_err::read_to_string(dir.path().join("result/report.html")).unwrap();
    assert!(report.contains("constraint=CONSTRAINT_MEMCG"));
}
