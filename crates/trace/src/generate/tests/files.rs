//! Workload files: those that are shipped, their schema, and what is said about wrong ones.

use std::path::{Path, PathBuf};

use config::parse;

use super::machine;
use crate::generate::{OpenError, WorkloadFile, WorkloadSpec};
use crate::{Event, Step};

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
        "kind = 'jobs'\n[jobs]",
        "kind = 'jobs'\n[jobs.a]\ndoes = 'sweep'\nfootprint = '1MiB'",
        "kind = 'jobs'\n[jobs.a]\ndoes = 'read'\nfootprint = '1MiB'\nends_run = true",
        "kind = 'jobs'\n[jobs.a]\ndoes = 'sweep'\nfootprint = '1MiB'\naccesses = 9\nexecutable = true",
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
fn jobs_are_processes_in_the_order_of_the_file() {
    let text = "kind = 'jobs'\nname = 'two'\n\
        [jobs.reader]\ndoes = 'read'\nfootprint = '256KiB'\nthreads = 2\nstart = '1ms'\n\
        [jobs.text]\ndoes = 'working-set'\nfile = true\nexecutable = true\nfootprint = '64KiB'\n\
        populate = true\naccesses = 10\nends_run = true\n";
    let spec: WorkloadSpec = parse("t", text).unwrap();
    let mut workload = spec.open(&machine(1, 2), 1).unwrap();
    assert_eq!(workload.name, "two");
    let spaces: Vec<_> =
        workload.spaces.iter().map(|s| (s.nr_pages.0, s.file, s.executable)).collect();
    assert_eq!(spaces, [(64, true, false), (16, true, true)]);
    let names: Vec<_> = workload.threads.iter().map(|t| (t.process, t.name.as_str())).collect();
    assert_eq!(names, [(0, "reader.t0"), (0, "reader.t1"), (1, "text.t0")]);
    // The readers go round their halves for ever, a read() a half, which 128 KiB are.
    let mut steps = |thread: usize, nr: usize| -> Vec<Step> {
        let stream = &mut workload.threads[thread].stream;
        (0..nr).map(|_| stream.next_step().unwrap()).collect()
    };
    for (thread, pages) in [(0, 0..32), (1, 32..64)] {
        let steps = steps(thread, 6);
        assert!(matches!(&steps[0], Step::Event(Event::Sleep(span)) if span.0 == 1_000_000));
        assert!(matches!(&steps[1], Step::Event(Event::Barrier { parties: 2, .. })));
        let reads =
            |step: &Step| matches!(step, Step::Event(Event::Read(_, read)) if *read == pages);
        assert!(steps[2..].iter().all(reads), "{steps:?}");
    }
    let steps = steps(2, 7);
    // A file's pages are read to populate it: written, they would be dirty.
    assert!(
        matches!(&steps[0], Step::Sweep(sweep) if sweep.nr_pages == 16 && !sweep.traffic.is_write())
    );
    assert!(matches!(&steps[2], Step::Event(Event::MeasureFrom)));
    assert!(matches!(&steps[3], Step::Points(_, rows) if rows.len() == 10));
    assert!(matches!(steps[5..], [Step::Event(Event::EndRun), Step::End]));
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
