//! What scripts rely on.

use serde_json::Value as Json;

use crate::rig::{
    EXPERIMENT, MACHINE, WORKLOAD, files, names, numalab, ok, root, small, without_wall,
};

#[test]
fn jobs_do_not_change_a_byte() {
    let dir = small();
    let run = |jobs| ok(dir.path(), &["compare", "experiment.toml", "--json", "--jobs", jobs]);
    let one = run("1");
    assert_eq!(without_wall(&one), without_wall(&run("2")));
    let before_wall = |text: &str| text.split(",\"wall\":").next().map(str::to_owned);
    assert_eq!(before_wall(&one), before_wall(&run("3")));
}

#[test]
fn the_log_tells_cells_and_decisions_on_stderr_alone() {
    let busy = format!("{MACHINE}\n[daemons]\nwakeups_per_s = 2000\n");
    let dir = files(&[
        ("machine.toml", busy.as_str()),
        ("workload.toml", WORKLOAD),
        ("experiment.toml", EXPERIMENT),
    ]);
    let args = ["compare", "experiment.toml", "--json", "--jobs", "1"];
    let silent = numalab(dir.path(), &args);
    let logged = numalab(dir.path(), &[&args[..], &["--log", "lab=info,sim=debug"]].concat());
    assert_eq!(without_wall(&silent.stdout), without_wall(&logged.stdout));
    assert_eq!(silent.stderr, "");
    let lines = |text: &str| logged.stderr.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("lab::runner: begins"), lines("lab::runner: ended")), (8, 8));
    assert!(lines("sim::history: task moved") > 0, "{}", logged.stderr);
}

#[test]
fn the_result_does_not_depend_on_where_the_command_is_typed() {
    let dir = small();
    let path = dir.path().join("experiment.toml");
    let here = ok(dir.path(), &["compare", "experiment.toml", "--json"]);
    let elsewhere = ok(std::path::Path::new("/"), &["compare", path.to_str().unwrap(), "--json"]);
    assert_eq!(without_wall(&here), without_wall(&elsewhere));
}

#[test]
fn json_has_the_promised_keys() {
    let dir = small();
    let text = ok(dir.path(), &["compare", "experiment.toml", "--json"]);
    let json: Json = serde_json::from_str(&text).unwrap();
    let cells = json["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2 * 2 * 2);
    for cell in cells {
        assert!(cell["design"].is_string() && cell["seed"].is_u64());
        assert!(cell["axes"]["workload.shared_share"].is_string());
        assert!(cell["elapsed_ns"].as_u64().unwrap() > 0);
        assert!(cell["counters"]["numa_hint_faults"].is_u64());
        // Every thread draws this many accesses, and first touches come on top.
        assert!(cell["counters"]["sim_accesses"].as_u64().unwrap() >= 4 * 20_000);
    }
    let summary = json["summary"].as_array().unwrap();
    assert_eq!(summary.len(), 2 * 2);
    for row in summary {
        for estimate in ["elapsed_s", "speedup", "local_access_pct"] {
            let value = |key: &str| row[estimate][key].as_f64().unwrap();
            assert!(value("low") <= value("mean") && value("mean") <= value("high"));
        }
        assert!(row["latency"]["p50_ns"].as_u64() <= row["latency"]["p99_ns"].as_u64());
    }
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn seeds_and_designs_can_be_chosen() {
    let dir = small();
    let args = ["compare", "experiment.toml", "--json", "--seeds", "3", "--filter-design", "inter"];
    let json: Json = serde_json::from_str(&ok(dir.path(), &args)).unwrap();
    assert_eq!(json["seeds"], serde_json::json!([1, 2, 3]));
    let designs: Vec<&Json> =
        json["summary"].as_array().unwrap().iter().map(|row| &row["design"]).collect();
    assert_eq!(designs, ["first-touch", "interleave", "first-touch", "interleave"]);
}

#[test]
fn files_are_written_where_asked_and_nowhere_else() {
    let dir = small();
    ok(dir.path(), &["compare", "experiment.toml", "--seeds", "1"]);
    let inputs = ["experiment.toml", "machine.toml", "workload.toml"];
    assert_eq!(names(dir.path()), inputs);
    let table = ok(dir.path(), &["compare", "experiment.toml", "--seeds", "1", "--out", "a/b"]);
    assert!(table.ends_with("report: a/b/report.html\n"), "{table}");
    let files = names(&dir.path().join("a/b"));
    for file in ["run.json", "report.html", "counters.parquet", "machine-small.svg"] {
        assert!(files.iter().any(|name| name == file), "{file} is not in {files:?}");
    }
    fs_err::remove_file(dir.path().join("a/b/report.html")).unwrap();
    ok(dir.path(), &["report", "a/b"]);
    assert_eq!(names(&dir.path().join("a/b")), files);
}

#[test]
fn explain_is_plain_in_a_pipe_and_takes_the_winner_by_itself() {
    let dir = small();
    ok(dir.path(), &["compare", "experiment.toml", "--seeds", "1", "--out", "a"]);
    let text = ok(dir.path(), &["explain", "a"]);
    for part in ["where threads were", "where memory was", "moves of threads", "interleave"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b') && text.lines().all(|line| line.len() <= 200), "{text}");
    let args = ["explain", "a", "interleave", "first-touch", "--color", "always"];
    assert!(ok(dir.path(), &args).contains("\x1b[48;5;"));
    let page = || fs_err::read_to_string(dir.path().join("a/report.html")).unwrap();
    ok(dir.path(), &["report", "a", "--pair", "interleave", "first-touch"]);
    assert!(page().contains("interleave and first-touch side by side"));
    for args in [
        &["explain", "a", "interleave", "frist-touch"][..],
        &["report", "a", "--pair", "interleave", "frist-touch"],
        &["explain", "a", "interleave"],
    ] {
        let ran = numalab(dir.path(), args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_anything_runs() {
    let dir = small();
    let ran = numalab(dir.path(), &["compare", "experiment.toml", "--out", "machine.toml/x"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), ""));
    assert!(ran.stderr.contains("cannot write machine.toml/x"), "{}", ran.stderr);
}

#[test]
fn tables_come_in_every_form() {
    let dir = small();
    for (format, head) in [("csv", "machine,workload,"), ("md", "**"), ("table", "mix")] {
        let text = ok(dir.path(), &["compare", "experiment.toml", "--format", format]);
        assert!(text.starts_with(head), "{text}");
    }
}

#[test]
fn one_run_prints_counters_as_the_kernel_does() {
    let dir = small();
    let args = ["run", "--machine", "machine.toml", "--workload", "workload.toml"];
    let args = [&args[..], &["--design", "interleave", "--set", "workload.accesses=1000"]].concat();
    let ran = numalab(dir.path(), &args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let counters = base::Vmstat::parse(&ran.stdout);
    assert_eq!(counters.to_string(), ran.stdout);
    assert!(counters[base::Vm::numa_interleave] > 0);
    assert!(ran.stderr.contains("on small"), "{}", ran.stderr);
}

#[test]
fn validate_tells_every_run_where_stderr_is_no_terminal() {
    let args = ["--progress", "always", "validate", "--filter", "m-ingo-ram/RAM-bw-local/"];
    let ran = numalab(&root(), &args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let line = ran.stderr.lines().find(|line| line.starts_with("1/1 runs")).unwrap_or_default();
    assert!(line.contains(" s  m-ingo-ram/"), "{}", ran.stderr);
}

#[test]
fn validate_refuses_a_filter_that_fits_no_row() {
    let ran = numalab(&root(), &["validate", "--suite", "kernel", "--filter", "no-such-row"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("no row of these suites matches `no-such-row`"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = small();
    let command = format!("{} counters | true", env!("CARGO_BIN_EXE_numalab"));
    let script = format!("set -o pipefail; for i in 1 2 3 4 5; do {command} || exit 9; done");
    let status = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn a_full_disk_below_stdout_is_an_output_error() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let script = format!("{} counters > /dev/full", env!("CARGO_BIN_EXE_numalab"));
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn manual_pages_and_completions_are_made() {
    let dir = files(&[]);
    ok(dir.path(), &["man", "man1"]);
    assert!(names(&dir.path().join("man1")).contains(&"numalab-compare.1".to_owned()));
    assert!(ok(dir.path(), &["completions", "bash"]).contains("filter-design"));
    ok(dir.path(), &["schemas", "schemas"]);
    assert_eq!(
        names(&dir.path().join("schemas")),
        ["experiment.json", "machine.json", "workload.json"]
    );
}
