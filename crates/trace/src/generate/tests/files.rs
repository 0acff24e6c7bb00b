//! Workload files: those that are shipped, their schema, and what is said about wrong ones.

use std::path::{Path, PathBuf};

use config::parse;

use super::machine;
use crate::generate::{OpenError, WorkloadFile, WorkloadSpec};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

#[test]
fn every_shipped_file_opens_on_a_machine_of_eight_nodes() {
    let mut kinds = Vec::new();
    for entry in fs_err::read_dir(configs().join("workloads")).unwrap() {
        let path = entry.unwrap().path();
        let (WorkloadFile { spec, .. }, warnings) = WorkloadFile::load(&path)
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(warnings.is_empty(), "{}", warnings.render(false));
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema ../schemas/workload.json\n"), "{}", path.display());
        kinds.push(spec.kind());
        match spec.open(&machine(8, 8), 1) {
            Ok(workload) => assert!(!workload.threads.is_empty()),
            Err(OpenError::IsTrace { .. }) => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
    let missing =
        WorkloadSpec::KINDS.iter().filter(|kind| !kinds.contains(kind) && **kind != "trace");
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "kinds without an example");
}

/// `UPDATE=1 cargo test -p trace schema` writes the file anew.
#[test]
fn the_committed_schema_is_fresh() {
    let path = configs().join("schemas/workload.json");
    let schema = serde_json::to_string_pretty(&WorkloadFile::json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(&path, &schema).unwrap();
    }
    let committed = fs_err::read_to_string(&path).unwrap();
    assert!(committed == schema, "run UPDATE=1 cargo test -p trace schema");
}

#[test]
fn mistakes_are_named_all_at_once() {
    let text = "kind = 'gups'\nfootprnt = '4MiB'\nhot_at = 'strat'\nhot = '1MB/s'\n";
    let problems = parse::<WorkloadSpec>("test.toml", text).unwrap_err();
    assert_eq!(problems.nr_errors(), 3, "{}", problems.render(false));
    let shown = problems.render(false);
    assert!(shown.contains("footprint") && shown.contains("start"), "{shown}");
    let unknown = parse::<WorkloadSpec>("test.toml", "kind = 'gup'").unwrap_err().render(false);
    assert!(unknown.contains("gups"), "{unknown}");
    let preset =
        parse::<WorkloadSpec>("test.toml", "kind = 'perf-bench-numa'\npreset = '4x4-convergense'")
            .unwrap_err();
    assert!(preset.render(false).contains("4x4-convergence"));
}

#[test]
fn what_would_never_end_is_refused() {
    for text in [
        "kind = 'gups'\nfootprint = '4MiB'\nhot = '1MiB'\nrun_time = '0s'",
        "kind = 'gups'\nfootprint = '4MiB'\nhot = '8MiB'",
        "kind = 'specjbb'\nrun_time = '0s'",
        "kind = 'kvm'\nguests = []",
        "kind = 'kvm'\nguests = [{ vcpus = 8, memory = '1GiB' }]",
        "kind = 'uniform'\nfootprint = '0B'",
        "kind = 'perf-bench-numa'\nprocess = '1MiB'",
    ] {
        assert!(parse::<WorkloadSpec>("test.toml", text).is_err(), "{text}");
    }
}

#[test]
fn a_space_past_the_page_numbers_is_refused() {
    let spec: WorkloadSpec = parse("t", "kind = 'uniform'\nfootprint = '17TiB'").unwrap();
    assert!(matches!(spec.open(&machine(2, 2), 1), Err(OpenError::TooLarge { .. })));
}

#[test]
fn a_trace_is_the_callers_to_open() {
    let spec: WorkloadSpec = parse("t", "kind = 'trace'\nfile = 'a.parquet'").unwrap();
    assert_eq!(spec.name(), "a.parquet");
    assert!(matches!(spec.open(&machine(2, 2), 1), Err(OpenError::IsTrace { .. })));
}

#[test]
fn memory_cgroups_stand_beside_any_kind() {
    let text =
        "kind = 'uniform'\nfootprint = '4MiB'\n[memcg.'/a/b']\nmax = '1MiB'\nothers = true\n";
    let file: WorkloadFile = parse("t", text).unwrap();
    let memcgs = file.memcgs();
    assert_eq!((memcgs.len(), memcgs[0].path.as_str()), (1, "/a/b"));
    assert_eq!(memcgs[0].settings.max, Some(base::Bytes::from_mib(1)));
    let again: WorkloadFile = parse("t", &config::to_toml_text(&file)).unwrap();
    assert_eq!(again, file);
    let wrong = "kind = 'uniform'\nfootprnt = '4MiB'\n[memcg.'/a']\nmx = '1MiB'\n";
    let problems = parse::<WorkloadFile>("t", wrong).unwrap_err().render(false);
    assert!(problems.contains("footprint") && problems.contains("max"), "{problems}");
}
