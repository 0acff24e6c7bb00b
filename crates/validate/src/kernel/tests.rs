//! The language, the generators against an independent implementation, the rule, the suite itself.

use std::path::PathBuf;

use super::case::{Pattern, Step, Touch};
use super::generate::Pages;
use super::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/validate/kernel")
}

fn options(filter: &str) -> Options {
    let source = String::from("the recorded kernel");
    Options { suite: NAME, source, folder: folder(), filter: filter.into() }
}

fn first(touch: &Touch, pages: u64) -> Vec<u64> {
    let mut generator = Pages::new(touch, pages);
    (0..6).map(|_| generator.next_page()).collect()
}

/// The numbers are those that `gen.py` beside the cases prints.
#[test]
fn sequences_equal_those_of_the_python_reference() {
    let zipf = |theta| Touch { pattern: Pattern::Zipf(theta), seed: 9, ..Touch::default() };
    let classic = Touch { pattern: Pattern::Zipf(4), seed: 100, ..Touch::default() };
    assert_eq!(first(&classic, 16_384), [0, 0, 13_622, 14_581, 1849, 10_392]);
    assert_eq!(first(&zipf(3), 1000), [0, 937, 44, 677, 316, 136]);
    let part = Touch { first: 100, span: 500, ..zipf(2) };
    assert_eq!(first(&part, 1000), [100, 257, 232, 114, 286, 463]);
    let mix = Touch { pattern: Pattern::ScanMix, hot: 10, seed: 3, first: 5, ..Touch::default() };
    assert_eq!(first(&mix, 1000), [11, 15, 11, 16, 7, 17]);
    let uniform = Touch { pattern: Pattern::Uniform, seed: 61, ..Touch::default() };
    assert_eq!(first(&uniform, 8192), [8060, 4181, 6339, 2194, 4624, 4916]);
}

#[test]
fn errors_name_the_place() {
    let text = "# guest: nodes=1 mib=512 cpus=1\nproc p\n region f kind=tape pages=4\nend\n";
    let error = parse("x", text).unwrap_err();
    assert_eq!((error.line, error.column), (3, 2));
    assert_eq!(error.to_string(), "x.case:3:2: unknown kind `tape`");
    let error = parse("x", "# guest: nodes=1\nswap many\n").unwrap_err();
    assert_eq!(error.to_string(), "x.case:2:6: `many` is no whole number");
    let error = parse("x", "# guest: nodes=1\nproc p\n").unwrap_err();
    assert!(error.message.contains("`end` is missing"));
    let outside = "# guest: nodes=1\nproc p\n region f pages=4\n thread\n  touch f first=4 count=1\n end\nend\n";
    assert!(parse("x", outside).unwrap_err().message.contains("lies outside"));
}

#[test]
fn damaged_cases_and_tables_are_refused_or_read_but_never_panic() {
    let folder = folder();
    let text = std::fs::read_to_string(folder.join("cases/b-classic-mixed-sw60.case")).unwrap();
    let tables = std::fs::read_to_string(folder.join("machines.csv")).unwrap();
    let mut random = base::stream(1, "validate.kernel.damage", 0);
    for _ in 0..2000 {
        let damage = |text: &str, random: &mut base::Rng| {
            let mut bytes: Vec<u8> = text.bytes().collect();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(3) {
                    0 => bytes[at] = b" =,:9-a\n\""[random.below(9) as usize],
                    1 if bytes.len() > 16 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(16)),
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let _ = parse("x", &damage(&text, &mut random)).is_ok();
        let _ = tables::machines(&damage(&tables, &mut random), "machine\n").is_ok();
    }
}

#[test]
fn every_given_case_is_read_and_has_its_machine() {
    let folder = folder();
    let tables = load_tables(&folder).unwrap();
    let cases = load_cases(&folder, "").unwrap();
    assert_eq!(cases.len(), 88);
    for case in &cases {
        assert_ne!(setup::machine_of(case, &tables.machines).name, "built", "{}", case.name);
    }
    let hot = cases.iter().find(|case| case.name == "a-classic-hot").unwrap();
    assert_eq!(hot.procs[0].threads[0].steps[1], Step::Sleep { ms: 4100 });
}

#[test]
fn every_case_recorded_here_is_read_has_its_machine_and_rows() {
    let folder = folder().with_file_name("kernel-own");
    let tables = load_tables(&folder).unwrap();
    let cases = load_cases(&folder, "").unwrap();
    assert!(cases.len() >= 20);
    for case in &cases {
        assert_ne!(setup::machine_of(case, &tables.machines).name, "built", "{}", case.name);
        assert!(tables.expected.iter().any(|row| row.case == case.name), "{}", case.name);
    }
}

/// A case without a machine of its own gets one of its shape; its knobs move the watermarks as the
/// recorded guests' did.
#[test]
fn watermarks_follow_the_knobs_of_a_case() {
    let tables = load_tables(&folder()).unwrap();
    let marks = |text: &str| {
        let case = parse("made-up", text).unwrap();
        setup::machine_of(&case, &tables.machines).zones.iter().map(|zone| zone.marks).collect()
    };
    let recorded: Vec<[u64; 4]> = vec![[22, 98, 174, 250], [660, 2960, 5260, 7560]];
    let scaled: Vec<[u64; 4]> =
        marks("# guest: nodes=1 mib=512 cpus=1\nsys /proc/sys/vm/watermark_scale_factor 200\n");
    assert_eq!(scaled, recorded);
    let plain: Vec<[u64; 4]> = marks("# guest: nodes=1 mib=512 cpus=1\n");
    assert_eq!(plain, [[22, 27, 32, 37], [660, 825, 990, 1155]]);
    let more: Vec<[u64; 4]> =
        marks("# guest: nodes=1 mib=512 cpus=1\nsys /proc/sys/vm/min_free_kbytes 40000\n");
    assert_eq!(more[1], [9676, 12_095, 14_514, 16_933]);
    // Two guests of one shape; on one of them the case turned huge pages on.
    let huge: Vec<[u64; 4]> = marks(
        "# guest: nodes=2 mib=256 cpus=2 shift=3\n\
         sys /sys/kernel/mm/transparent_hugepage/enabled always\n",
    );
    assert_eq!(huge.iter().map(|marks| marks[0]).collect::<Vec<_>>(), [190, 2512, 3186]);
    let absurd: Vec<[u64; 4]> = marks(&format!(
        "# guest: nodes=1 mib=512 cpus=1\nsys /proc/sys/vm/min_free_kbytes {}\n",
        u64::MAX
    ));
    assert!(absurd[1][0] > more[1][0] && absurd[1][0] < absurd[1][3]);
}

#[test]
fn rows_pass_within_their_range_or_in_one_of_their_modes() {
    let text = "case,phase,counter,runs,median,min,max,rule,tolerance\n\
                x,a..b,n,10;12,11,10,12,range,2\n\
                x,a..b,m,1;50,25,1,50,modes,0:3|45:55\n";
    let rows = tables::expected(text).unwrap();
    assert!(rows[0].passes(8.0) && rows[0].passes(14.0) && !rows[0].passes(14.1));
    assert!(rows[1].passes(3.0) && rows[1].passes(45.0) && !rows[1].passes(20.0));
    assert!(tables::expected(&text.replace("modes", "guess")).is_err());
}

/// The kernel's own counters are the reference here; the share that has to hold is the suite's.
#[test]
fn nine_tenths_of_the_memcg_lru_family_agree_with_the_kernel() {
    for engine in ["a-classic", "a-mglru"] {
        let outcome = run(&options(engine)).unwrap();
        let rows: Vec<&Row> = outcome.rows.iter().filter(|row| row.id.starts_with("a-")).collect();
        let passed = rows.iter().filter(|row| row.passed()).count();
        assert!(
            rows.len() > 90 && passed * 10 >= rows.len() * 9,
            "{engine}: {passed} of {}",
            rows.len()
        );
    }
}

/// The design of the main engine decides here, on the guest.
#[test]
fn four_fifths_of_the_numa_balancing_family_agree_with_the_kernel() {
    let mut rows = Vec::new();
    for filter in ["c-bind", "c-interleave", "c-move", "c-private4", "c-shared2"] {
        rows.extend(run(&options(filter)).unwrap().rows);
    }
    let passed = rows.iter().filter(|row| row.passed()).count();
    assert!(rows.len() == 50 && passed >= 40, "{passed} of {}", rows.len());
}

#[test]
fn predictions_are_written_as_the_scorer_reads_them_and_are_the_same_again() {
    let options = options("p-fork");
    let outcome = run(&options).unwrap();
    let text = predictions_csv(&outcome.predictions);
    assert!(text.starts_with("case,phase,counter,value\np-fork,start..warm,pgfault,"));
    assert!(text.lines().all(|line| line.split(',').count() == 4));
    assert_eq!(text, predictions_csv(&run(&options).unwrap().predictions));
}

/// A scan that a tick brings into a first touch marks the page just brought; its access is repeated
/// and is the hint fault that wakes kswapd of the fast node.
#[test]
fn demotion_begins_while_memory_is_first_touched() {
    let text = "# guest: nodes=2 mib=192,384 cpus=1,0 dist=20 shift=3 hmat=1\n\
        sys /sys/kernel/mm/lru_gen/enabled 0\n\
        sys /sys/kernel/mm/numa/demotion_enabled 1\n\
        sys /proc/sys/kernel/numa_balancing 2\n\
        proc p\n region m kind=anon pages=50000\n thread cpu=0\n  touch m pat=seq op=w count=50000\n  snap placed\n end\nend\n";
    let case = parse("made-up", text).unwrap();
    let tables = load_tables(&folder()).unwrap();
    let predictions = predict(&case, &tables);
    let value = |counter: &str| {
        let found = predictions.iter().find(|row| row.counter == counter);
        found.unwrap_or_else(|| panic!("no {counter}")).value
    };
    assert_eq!(value("pgpromote_candidate"), 1.0);
    assert!(value("pgdemote_kswapd") > 1000.0, "{} demoted", value("pgdemote_kswapd"));
    assert_eq!(value("pgdemote_kswapd"), value("pgsteal_kswapd"));
}

/// Half of the machine goes to the system's own work for its first three seconds, but not where the
/// recorder has waited for its end.
#[test]
fn first_touches_take_longer_while_the_system_is_still_busy_with_itself() {
    let text = "# guest: nodes=2 mib=192,384 cpus=1,0 dist=20 shift=3 hmat=1\n\
        sys /proc/sys/kernel/numa_balancing 2\n\
        proc p\n region m kind=anon pages=20000\n thread cpu=0\n  touch m pat=seq op=w count=20000\n  snap placed\n end\nend\n";
    let case = parse("made-up", text).unwrap();
    let mut tables = load_tables(&folder()).unwrap();
    let ms = |tables: &Tables| value(&predict(&case, tables), "step1", "step:m.ms");
    let busy = ms(&tables);
    tables.knobs.push((String::from("recorder/rest_ms"), String::from("3000")));
    let rested = ms(&tables);
    assert!(rested > 1200.0 && (1.8..2.1).contains(&(busy / rested)), "{busy} and {rested} ms");
}

fn predicted(text: &str) -> Vec<Prediction> {
    let case = parse("made-up", text).unwrap();
    predict(&case, &load_tables(&folder()).unwrap())
}

fn value(predictions: &[Prediction], phase: &str, counter: &str) -> f64 {
    let found = predictions.iter().find(|row| row.phase == phase && row.counter == counter);
    found.unwrap_or_else(|| panic!("no {phase} {counter}")).value
}

#[test]
fn a_case_that_is_killed_before_its_first_snapshot_still_has_an_end() {
    let rows = predicted(
        "# guest: nodes=1 mib=512 cpus=1\ncgroup a max=4194304\nproc p cgroup=a\n \
         region m kind=anon pages=2048\n thread cpu=0\n  touch m op=w count=2048\n  snap done\n end\nend\n",
    );
    assert_eq!(value(&rows, "start..end", "cg:a.events.oom_kill"), 1.0);
    assert_eq!(value(&rows, "start..end", "oom_kill"), 1.0);
    assert_eq!(value(&rows, "@end", "cg:a.anon"), 0.0);
    assert!(rows.iter().all(|row| !row.phase.contains("done")));
}

#[test]
fn a_process_begins_when_the_one_before_it_has_ended_and_given_its_memory_back() {
    let proc = |name: &str, after: &str| {
        format!(
            "proc {name} cgroup=a {after}\n region m kind=anon pages=700\n thread cpu=0\n  \
             touch m op=w count=700\n  snap {name}\n end\nend\n"
        )
    };
    let (first, second) = (proc("p", ""), proc("q", "after=p"));
    let rows = predicted(&format!(
        "# guest: nodes=1 mib=512 cpus=1\ncgroup a max=4194304\n{second}{first}"
    ));
    assert_eq!(value(&rows, "start..end", "cg:a.events.max"), 0.0);
    assert_eq!(value(&rows, "@q", "cg:a.anon"), 708.0);
    assert_eq!(value(&rows, "p..q", "cg:a.pgfault"), 708.0);
    assert!(parse("x", &format!("# guest: nodes=1\ncgroup a\n{second}")).is_err());
}

/// Every statement and option of the language, small, on both engines and with NUMA balancing.
#[test]
fn every_statement_of_the_language_is_replayed() {
    let swaps = ["", "swap 64\n", "zram 64\n", "nulldisk s mib=64 lat=50000 mem=1 swap=1\n"];
    let disks = ["fs 256 ra=64\n", "nulldisk d mib=256 mbps=20 qd=4 fs=1 ra=0\n"];
    for (number, swap) in swaps.iter().enumerate() {
        let head = format!(
            "# guest: nodes=2 mib=256,128 cpus=2,0 dist=20 shift=3 hmat=1\n\
             sys /sys/kernel/mm/lru_gen/enabled {}\nsys /proc/sys/kernel/numa_balancing {}\n\
             sys /proc/sys/vm/swappiness {}\n{swap}{}tmpfs\nsample 300\n",
            [0, 7][number % 2],
            [0, 0, 2, 1][number],
            [0, 60, 100, 200][number],
            disks[number % 2]
        );
        let body = "cgroup a max=6291456 high=6000000 swapmax=8388608\ncgroup a/b low=1048576 min=524288\n\
            proc p cgroup=a/b thp=1 tlbflush=512\n region m kind=anon pages=1500\n region s kind=shmem pages=300 path=/shm/s\n \
            region f kind=file pages=900 path=/data/f policy=interleave:3\n region i kind=io pages=900 path=/data/f\n \
            thread cpu=0\n  touch m pat=seq op=w count=1500 pace=100:500\n  touch f pat=zipf theta=0.75 seed=3 op=r count=2000 watch=64\n  \
            touch i pat=scanmix hot=100 op=w ms=20\n  barrier 1 2\n  snap one\n  lock s\n  unlock s\n  advise m cold\n  advise m free\n  \
            touch m pat=uniform op=w count=500 first=100 span=700\n  advise m pageout\n  advise m willneed\n  advise f random\n  \
            advise f dontneed\n  advise m nohuge\n  touch f pat=loop op=w count=1000\n  policy m bind:1\n  fork kid m pat=seq op=w count=300\n  \
            fork reader i pat=seq op=r ms=5\n  fork shared s pat=seq op=w count=100\n  negdentry /data/d count=500 first=10\n  \
            files /data/e count=300\n  statfiles /data/e count=300\n  join a\n  where m\n  advise m dontneed\n  snap two\n end\n \
            thread cpu=any\n  sleep 50\n  cpu 0-1\n  barrier 1 2\n  touch s pat=seq op=w count=300\n end\nend\n\
            proc q after=p\n region f kind=file pages=900 path=/data/f policy=many:2\n thread cpu=1\n  touch f op=r count=900\n  snap three\n end\nend\n";
        // Without swap all has to fit; with it, dirty file pages must not be all that can go.
        let body =
            if swap.is_empty() { body.replace("6291456", "25165824") } else { body.to_owned() };
        let rows = predicted(&format!("{head}{body}"));
        for label in ["one", "two", "kid", "reader", "shared", "three", "end"] {
            assert!(rows.iter().any(|row| row.phase == format!("@{label}")), "{number}: {label}");
        }
        assert!(rows.iter().all(|row| row.value.is_finite()));
    }
}
