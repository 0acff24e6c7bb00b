//! What is said about bad input: exit code 2, everything at once, nothing written.

use crate::rig::{EXPERIMENT, MACHINE, WORKLOAD, files, names, numalab, ok};

/// The three files with some text replaced.
struct Bad {
    experiment: String,
    machine: String,
    workload: String,
}

impl Bad {
    fn new() -> Self {
        Self {
            experiment: EXPERIMENT.to_owned(),
            machine: MACHINE.to_owned(),
            workload: WORKLOAD.to_owned(),
        }
    }

    fn experiment(mut self, from: &str, to: &str) -> Self {
        assert!(self.experiment.contains(from));
        self.experiment = self.experiment.replace(from, to);
        self
    }

    fn machine(mut self, from: &str, to: &str) -> Self {
        assert!(self.machine.contains(from));
        self.machine = self.machine.replace(from, to);
        self
    }

    fn workload(mut self, from: &str, to: &str) -> Self {
        assert!(self.workload.contains(from));
        self.workload = self.workload.replace(from, to);
        self
    }

    /// Compares, which must be refused without a trace; what stderr says.
    fn refused(&self) -> String {
        let dir = files(&[
            ("experiment.toml", &self.experiment),
            ("machine.toml", &self.machine),
            ("workload.toml", &self.workload),
        ]);
        let before = names(dir.path());
        let ran = numalab(dir.path(), &["compare", "experiment.toml", "--out", "results/x"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
        assert_eq!(names(dir.path()), before);
        ran.stderr
    }
}

#[test]
fn unknown_keys_wrong_types_and_wrong_units_of_three_files_come_at_once() {
    let bad = Bad::new()
        .experiment("seeds = 2", "seed = 2")
        .machine("\"100ns\"", "\"100GiB\"")
        .workload("accesses = 20000", "accesses = \"many\"");
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn distance_matrix_of_the_wrong_size() {
    let bad = Bad::new().machine("\n[latency]", "distances = [[10, 20]]\n\n[latency]");
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn cpu_on_two_nodes() {
    insta::assert_snapshot!(Bad::new().machine("\"2-3\"", "\"1-3\"").refused());
}

#[test]
fn zero_bandwidth() {
    insta::assert_snapshot!(Bad::new().machine("\"6GB/s\"\n", "\"0GB/s\"\n").refused());
}

#[test]
fn design_that_does_not_exist() {
    insta::assert_snapshot!(Bad::new().experiment("\"interleave\"", "\"interleaf\"").refused());
}

#[test]
fn knob_that_does_not_exist() {
    let bad = Bad::new().experiment(
        "{ design = \"interleave\" }",
        "{ design = \"balancenuma\", knobs = { two_stages = false, ratelimit = \"1ms\" } }",
    );
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn missing_files() {
    let bad = Bad::new()
        .experiment("machine.toml", "machines.toml")
        .experiment("\"workload.toml\"", "\"trace.parquet\"")
        .experiment("[axes]\n\"workload.shared_share\" = [0.2, 0.8]", "");
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn axes_that_lead_nowhere() {
    let bad = Bad::new().experiment(
        "\"workload.shared_share\" = [0.2, 0.8]",
        "\"workload.shared_share\" = [0.2, 2.0]\n\"workload.shred\" = [1]\n\"machne.kernel.thp\" = [\"always\"]\n\"machine.kernel.thp\" = [\"allways\"]\n\"designs.bind.x\" = [1]\nworkload.accesses = 3",
    );
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn labels_and_baseline() {
    let bad = Bad::new()
        .experiment("{ design = \"interleave\" }", "{ design = \"first-touch\" }")
        .experiment("seeds = 2", "baseline = \"frist-touch\"");
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn wrong_types_do_not_hide_the_other_files() {
    let bad = Bad::new()
        .experiment("seeds = 2", "seeds = [1, 1]")
        .machine("\"200ns\"", "200")
        .workload("\"mix\"", "\"mixed\"");
    insta::assert_snapshot!(bad.refused());
}

#[test]
fn experiment_that_is_not_there() {
    let dir = files(&[]);
    let ran = numalab(dir.path(), &["compare", "nothing.toml"]);
    assert_eq!(ran.code, Some(2));
    insta::assert_snapshot!(ran.stderr);
}

#[test]
fn arguments_of_a_run_are_shown_like_a_file() {
    let dir = files(&[("machine.toml", MACHINE), ("workload.toml", WORKLOAD)]);
    let args = ["run", "--machine", "machine.toml", "--workload", "workload.toml"];
    let args = [&args[..], &["--design", "frist-touch", "--set", "workload.acesses=3"]].concat();
    let ran = numalab(dir.path(), &args);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(ran.stderr);
}

#[test]
fn json_messages_name_file_line_and_column() {
    let dir = files(&[("machine.toml", "name = 3\n")]);
    let args = ["machine", "show", "machine.toml", "--message-format", "json"];
    let ran = numalab(dir.path(), &args);
    assert_eq!(ran.code, Some(2));
    let first: serde_json::Value =
        serde_json::from_str(ran.stderr.lines().next().unwrap()).unwrap();
    let label = &first["labels"][0];
    assert_eq!((&label["line"], &label["column"]), (&1.into(), &8.into()));
    assert_eq!(label["file"], "machine.toml");
}

#[test]
fn usage_mistakes_have_code_2() {
    let dir = files(&[]);
    for args in [&["compare"][..], &["compar"], &["compare", "x", "--seeds", "0"]] {
        assert_eq!(numalab(dir.path(), args).code, Some(2), "{args:?}");
    }
}

#[test]
fn usage_mistakes_are_json_where_that_is_asked_for() {
    let dir = files(&[]);
    for (args, wanted) in [
        (&["compare", "--message-format", "json"][..], "<FILE>"),
        (&["--message-format=json", "compar"], "compar"),
        (&["compare", "x", "--seeds", "0", "--message-format", "json"], "--seeds"),
        (&["--message-format", "json"], "command"),
    ] {
        let ran = numalab(dir.path(), args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{args:?}: {}", ran.stderr);
        let problem: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert!(problem["message"].as_str().unwrap().contains(wanted), "{problem}");
        assert_eq!(problem["severity"], "error");
    }
}

#[test]
fn yardsticks_and_designs_of_reclaim_are_checked_by_name() {
    let bad = || Bad::new().experiment("seeds = 2", "seeds = 2\nyardsticks = [\"siev\", \"arcc\"]");
    let stderr = bad().refused();
    for (wrong, near) in [("siev", "sieve"), ("arcc", "arc")] {
        let message = format!("unknown value `{wrong}` for `yardsticks`");
        assert_eq!(stderr.matches(&message).count(), 1, "{stderr}");
        assert!(stderr.contains(&format!("did you mean `{near}`?")), "{stderr}");
    }
    assert!(stderr.contains("^^^^^^"), "{stderr}");
    let machine = format!("{MACHINE}\n[kernel]\nmapped_pages = \"second-lok\"\n");
    assert!(!MACHINE.contains("[kernel]"));
    let dir = files(&[("machine.toml", &machine)]);
    let ran = numalab(dir.path(), &["machine", "show", "machine.toml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `second-look`?"), "{}", ran.stderr);
    assert!(ran.stderr.contains("^"), "{}", ran.stderr);
}

#[test]
fn outputs_whose_place_is_taken_say_what_was_expected() {
    let dir = crate::rig::small();
    fs_err::write(dir.path().join("file"), "mine").unwrap();
    fs_err::create_dir(dir.path().join("folder")).unwrap();
    let before = names(dir.path());
    let generate = [
        "trace",
        "generate",
        "workload.toml",
        "--machine",
        "machine.toml",
        "--limit",
        "9",
        "--out",
    ];
    let generate = |out| [&generate[..], &[out]].concat();
    let taken = "a file of this name is there; name another directory, or remove the file";
    let on_the_way = "on the way to it is a file, not a directory";
    for (args, path, why) in [
        (vec!["compare", "experiment.toml", "--out", "file"], "file", taken),
        (vec!["compare", "experiment.toml", "--out", "file/a/b"], "file/a/b", on_the_way),
        (vec!["man", "file"], "file", taken),
        (vec!["schemas", "file"], "file", taken),
        (generate("folder"), "folder", "it is a directory; name a file"),
        (generate("file/t.parquet"), "file", taken),
        (
            vec!["validate", "--suite", "closed-form", "--markdown", "folder"],
            "folder",
            "it is a directory; name a file",
        ),
    ] {
        let ran = numalab(dir.path(), &args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), ""), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stderr, format!("error: cannot write {path}: {why}\n"), "{args:?}");
        assert_eq!(names(dir.path()), before);
    }
    // Missing directories are made.
    ok(dir.path(), &generate("new/deep/t.parquet"));
    assert!(dir.path().join("new/deep/t.parquet").is_file());
}

#[test]
fn a_directory_without_a_result_is_told_from_a_damaged_one() {
    let dir = files(&[]);
    let ran = numalab(dir.path(), &["explain", "nothing"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.contains("no result in nothing: it has no run.json"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`numalab compare --out`"), "{}", ran.stderr);
    let dir = crate::rig::small();
    ok(dir.path(), &["compare", "experiment.toml", "--out", "result"]);
    let ran = numalab(dir.path(), &["explain", "result", "first-tuch", "interleave"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("did you mean `first-touch`?"), "{}", ran.stderr);
}

#[test]
fn a_setting_of_a_run_needs_no_quotes() {
    let dir = crate::rig::small();
    let args = ["run", "--machine", "machine.toml", "--workload", "workload.toml"];
    let args = [&args[..], &["--design", "first-touch", "--json"]].concat();
    let accesses = |more: &[&str]| {
        let json = ok(dir.path(), &[&args[..], more].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["cells"][0]["counters"]["thp_fault_alloc"].as_u64().unwrap()
    };
    assert!(accesses(&[]) > 0);
    assert_eq!(accesses(&["--set", "machine.kernel.thp=never", "--set", "engine.epoch=1ms"]), 0);
}

#[test]
fn mistakes_of_keys_do_not_hide_those_of_designs_and_matrices() {
    let bad = Bad::new()
        .experiment("seeds = 2", "seeds = -2\nbaseline = \"frist-touch\"")
        .experiment(
            "{ design = \"interleave\" }",
            "\"interleaf\", { design = \"balancenuma\", knobs = { two_stag = false } }",
        )
        .machine("\"2-3\"", "\"1-3\"")
        .machine("\n[latency]", "distances = [[10, 20]]\n\n[latency]");
    let told = bad.refused();
    for wanted in [
        "experiment.toml:4:9",
        "unknown value `frist-touch` for `baseline`",
        "design `interleaf` does not exist",
        "unknown key `two_stag`",
        "CPU 1 belongs to two nodes",
        "machine.toml:3:13",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}
