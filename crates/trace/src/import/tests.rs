use std::path::{Path, PathBuf};

use base::Bytes;
use topology::{Cache, Caches};

use super::{Options, Report, lackey, npage};
use crate::container::{DEFAULT_BUDGET, SharedTrace, TraceFile};
use crate::{Advice, Event, Step, TraceError};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces/samples").join(name)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn import_text(&self, text: &[u8]) -> Result<Report, TraceError> {
        let input = self.path("log.txt");
        fs_err::write(&input, text).expect("writes");
        lackey(&input, &self.path("out.parquet"), &Options::new("test"))
    }

    /// The message of an import that must fail, and leave nothing behind.
    fn refused(&self, text: &[u8]) -> String {
        let message = self.import_text(text).expect_err("must be refused").to_string();
        assert!(!self.path("out.parquet").exists(), "{message}");
        message
    }
}

/// What each thread does, as text: `page/fills/evictions[w]` or the event.
fn steps(path: &Path) -> Vec<Vec<String>> {
    let trace = SharedTrace::open(path, DEFAULT_BUDGET).expect("opens");
    let mut threads = Vec::new();
    for mut thread in trace.workload().expect("starts").threads {
        let mut steps = Vec::new();
        loop {
            match thread.stream.next_step().expect("reads") {
                Step::End => break,
                Step::Event(event) => steps.push(format!("{event:?}")),
                Step::Sweep(sweep) => steps.push(format!("{sweep:?}")),
                Step::Points(points, rows) => steps.extend(rows.map(|at| {
                    let traffic = points.traffic[at];
                    let write = if traffic.is_write() { "w" } else { "" };
                    format!(
                        "{}/{}/{}{write}",
                        points.page[at],
                        traffic.fills(),
                        traffic.evictions()
                    )
                })),
            }
        }
        threads.push(steps);
    }
    threads
}

const HEAD: &str = "==7== Lackey, an example Valgrind tool\n==7== Using Valgrind-3.19.0 and LibVEX; x\n\
    ==7== Command: ./t\n";

#[test]
fn lackey_lines_become_rows_of_the_thread_that_runs() {
    let folder = Folder::new();
    let text = format!(
        "{HEAD}--7--   SCHED[1]:  acquired lock (x)\nI  04000000,3\n L 00001ffc,8\n\
         --7--   SCHED[1]: releasing lock (x) -> VgTs_Yielding\n\
         --7--   SCHED[2]:  acquired lock (x)\n S 00009000,4\n M 00009040,4\n\
         --7--   SCHED[1]:  acquired lock (x)\nI  04000003,1\n==7== Exit code: 0\n"
    );
    let report = folder.import_text(text.as_bytes()).expect("imports");
    // Pages 1 and 2 (one access that crosses), 9 twice; one fill for each touched line.
    let expected = [vec!["0/1/0", "1/1/0", "Spawn(1)"], vec!["2/2/0w"]];
    assert_eq!(steps(&folder.path("out.parquet")), expected);
    assert_eq!((report.instructions, report.kept, report.accesses), (2, 3, 4));
    assert_eq!((report.fills, report.pages, report.nr_threads), (4, 3, 2));
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn lackey_think_time_is_instructions() {
    let folder = Folder::new();
    let mut text = HEAD.to_owned();
    for _ in 0..10 {
        text += "I  04000000,3\n";
    }
    text += " L 00001000,8\n";
    for _ in 0..20 {
        text += "I  04000000,3\n";
    }
    folder.import_text(text.as_bytes()).expect("imports");
    let trace = SharedTrace::open(&folder.path("out.parquet"), DEFAULT_BUDGET).expect("opens");
    let mut workload = trace.workload().expect("starts");
    let stream = &mut workload.threads[0].stream;
    let Ok(Step::Points(points, _)) = stream.next_step() else { panic!("rows come first") };
    assert_eq!(points.think_ns, [3]);
    let Ok(Step::Event(rest)) = stream.next_step() else { panic!("the rest is computation") };
    assert_eq!(rest, Event::Compute(base::Nanos(6)));
}

#[test]
fn lackey_oddities_are_read_and_counted() {
    let folder = Folder::new();
    let crlf = HEAD.replace('\n', "\r\n") + " L 00001000,8\r\n==7== Exit code: 0\r\n";
    assert_eq!(folder.import_text(crlf.as_bytes()).expect("CRLF").kept, 1);

    let cut = format!("{HEAD} L 00001000,8\n S 0000200");
    let report = folder.import_text(cut.as_bytes()).expect("a cut last line");
    assert_eq!((report.kept, report.dropped), (1, 1));
    assert!(report.notes.iter().any(|note| note.contains("line 5 is cut off")));
    assert!(report.notes.iter().any(|note| note.contains("no exit code")));

    let warning = format!(
        "{HEAD} L 00001000,8\n==7== Warning: set address range perms: large range\n L 00002000,8\n"
    );
    let report = folder.import_text(warning.as_bytes()).expect("a warning inside");
    assert_eq!(report.kept, 2);
    assert!(report.notes.iter().any(|note| note.starts_with("1 warnings")));

    let kernel = format!("{HEAD} L 00001000,8\n L ffffffff81000000,8\n");
    let report = folder.import_text(kernel.as_bytes()).expect("an address above 2^63");
    assert_eq!((report.kept, report.dropped, report.pages), (1, 1, 1));
}

#[test]
fn lackey_damage_is_refused_with_the_line() {
    let folder = Folder::new();
    for (text, hints) in [
        ("", &["empty"][..]),
        ("<!DOCTYPE html>\n<html>\n", &["log.txt:1:", "HTML"]),
        ("==7== Lackey\n L 0000 L 00001000,8\n", &["log.txt:2:", "hexadecimal address"]),
        (" L 001000,8\n", &["log.txt:1:", "at least 8 digits"]),
        ("==7== Lackey\n L 00001000,8\n0,8\n", &["log.txt:3:", "`I  ADDRESS,SIZE`"]),
        ("==7== Lackey\n L 00001000,8\n==8== Command: ls\n", &["log.txt:3:", "%p"]),
        ("==7== Lackey\n L fffffffffffffffff,8\n", &["log.txt:2:", "hexadecimal"]),
        ("==7== Lackey\n L ffffffffffffffff,8\n", &["log.txt:2:"]),
        ("==7== Lackey\n L 00001000,0\n", &["log.txt:2:", "1 to 4096"]),
        ("==7== Lackey\n L 00001000,99999999999999999999\n", &["log.txt:2:"]),
        ("==7== Lackey\n L +0001000,8\n", &["log.txt:2:"]),
        ("==7= Lackey\n", &["log.txt:1:", "==PID=="]),
        ("==x== Lackey\n", &["log.txt:1:", "process number"]),
        ("==7== Lackey\n--7--   SCHED[x]:  acquired lock\n", &["log.txt:2:", "SCHED"]),
        ("==7== Lackey\n==7== Exit code: 0\n", &["no memory access", "--trace-mem=yes"]),
        ("==7== Lackey\nstart 7\n", &["log.txt:2:", "start 7"]),
    ] {
        let message = folder.refused(text.as_bytes());
        for hint in hints {
            assert!(message.contains(hint), "{text:?}: {message}");
        }
    }
    assert!(folder.refused(b"\xff\xfe= \x00\n").contains("log.txt:1:"));
}

#[test]
fn the_lackey_samples_import() {
    let folder = Folder::new();
    let out = folder.path("t.parquet");
    let report =
        lackey(&sample("lackey-threads-sched.txt"), &out, &Options::new("t")).expect("imports");
    let text = fs_err::read_to_string(sample("lackey-threads-sched.txt")).expect("reads");
    let lines = |mark: &str| text.lines().filter(|line| line.starts_with(mark)).count() as u64;
    let (loads, stores, both) = (lines(" L "), lines(" S "), lines(" M "));
    assert_eq!(report.kept, loads + stores + both);
    assert_eq!(report.accesses, loads + stores + 2 * both);
    assert_eq!((report.instructions, report.nr_threads), (lines("I  "), 3));
    let file = TraceFile::open(&out).expect("opens");
    assert_eq!(file.verify().expect("verifies").rows, report.rows + report.nr_events);

    let mut cached = Options::new("true");
    let level = |kib: u64, ways| Cache { size: Bytes(kib << 10), ways };
    cached.caches = Caches { levels: vec![level(32, 8), level(1024, 16)] };
    let with = lackey(&sample("lackey-true.txt"), &out, &cached).expect("imports");
    let without = lackey(&sample("lackey-true.txt"), &out, &Options::new("true")).expect("imports");
    // So short a run misses each line once.
    assert!(with.fills * 4 < without.fills && with.pages == without.pages);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = Folder::new();
    let out = folder.path("out.parquet");
    for change in [
        |options: &mut Options| options.ns_per_instruction = f64::NAN,
        |options: &mut Options| options.ns_per_instruction = -1.0,
        |options: &mut Options| options.caches.levels.push(Cache { size: Bytes(100), ways: 3 }),
    ] {
        let mut options = Options::new("test");
        change(&mut options);
        let result = lackey(&sample("lackey-true.txt"), &out, &options);
        assert!(matches!(result, Err(TraceError::Invalid(_))));
    }
}

/// Bytes of a record of the recorder.
fn record(kind: u8, value: u64, count: u32, think: u32) -> Vec<u8> {
    let mut bytes = (value << 4 | u64::from(kind)).to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(think.to_le_bytes());
    bytes
}

fn call(clock: u64, number: u64, arguments: [u64; 6], result: i64) -> Vec<u8> {
    let wide = |kind, value: u64| record(kind, value & ((1 << 60) - 1), (value >> 60) as u32, 0);
    let mut bytes = record(8, clock, 0, 0);
    bytes.extend(record(9, number, 0, 0));
    bytes.extend(arguments.into_iter().flat_map(|argument| wide(10, argument)));
    bytes.extend(wide(11, result as u64));
    bytes
}

fn touch(kind: u8, page: u64, line: u64) -> Vec<u8> {
    record(kind, page << 6 | line, 1, 0)
}

const META: &str = "npage=2\nunit_shift=6\nwindow=0\nqemu=7.2\ncpu=max\nprogram=/bin/prog\n\
    process=10 parent=1 clock_ns=5 command=qemu-x86_64 -cpu max -plugin a.so,out=r /bin/prog -x 1\n";

/// A process of two threads: main maps a page at 4 GiB and starts the other, which uses it, frees it and
/// uses it again; a third thread then takes over the second one's id.
fn record_two_threads(folder: &Folder) {
    let (map, end) = (1_u64 << 32, u64::MAX);
    let mut main = record(8, 100, 0, 0);
    main.extend(call(110, 9, [0, 4 << 20, 3, 0x22, end, 0], map as i64));
    main.extend(touch(1, map >> 12, 0));
    main.extend(call(120, 56, [0x100, 0, 0, 0, 0, 0], 12));
    main.extend(call(800, 56, [0x100, 0, 0, 0, 0, 0], 12));
    main.extend(call(810, 56, [0x100, 0, 0, 0, 0, 0], -11));
    let mut other = record(8, 200, 0, 0);
    other.extend(touch(0, map >> 12, 1));
    other.extend(touch(0, map >> 12, 1));
    other.extend(call(300, 11, [map, 4096, 0, 0, 0, 0], 0));
    other.extend(touch(3, map >> 12, 1));
    let mut exit = call(400, 60, [0; 6], 0);
    exit.truncate(exit.len() - 16);
    other.extend(exit);
    other.extend(record(8, 410, 0, 0));
    other.extend(record(8, 900, 0, 0));
    other.extend(touch(0, (map >> 12) + 600, 3));
    other.extend(record(8, 910, 0, 0));
    fs_err::write(folder.path("r.10.10.bin"), main).expect("writes");
    fs_err::write(folder.path("r.10.12.bin"), other).expect("writes");
    fs_err::write(folder.path("r.meta"), META).expect("writes");
}

#[test]
fn npage_syscalls_become_events_and_ids_are_told_apart() {
    let folder = Folder::new();
    record_two_threads(&folder);
    let mut options = Options::new("two");
    options.caches = Caches { levels: vec![Cache { size: Bytes(4096), ways: 4 }] };
    let out = folder.path("out.parquet");
    let report = npage(&folder.path("r"), &out, &options).expect("imports");
    let page = "Madvise(MmId(0), 0..1, DontNeed)";
    assert_eq!(
        steps(&out),
        [
            vec!["0/1/0w", "Spawn(1)", "Spawn(2)"],
            // The second touch of line 1 hits; after the unmapping it misses again.
            vec!["0/1/0", page, "0/1/0w"],
            vec!["600/1/0"],
        ]
    );
    let file = TraceFile::open(&out).expect("opens");
    let threads = &file.meta().threads;
    assert_eq!(threads.iter().map(|t| t.parent).collect::<Vec<_>>(), [None, Some(0), Some(0)]);
    // Both 2 MiB blocks were mapped whole, so all their pages exist and stay aligned.
    let space = &file.meta().spaces.0[0];
    assert_eq!((space.name.as_str(), space.nr_pages.0), ("prog", 1024));
    assert_eq!(space.mappings.len(), 1);
    assert_eq!(space.mappings[0].pages, 0..1024);
    assert_eq!(file.meta().source.command, "/bin/prog -x 1");
    assert_eq!((report.pages, report.nr_threads, report.fills), (2, 3, 4));
    assert!(file.events().contains(&Event::Madvise(base::MmId(0), 0..1, Advice::DontNeed)));
}

#[test]
fn npage_damage_is_refused_with_the_byte() {
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        let folder = Folder::new();
        record_two_threads(&folder);
        let path = folder.path("r.10.12.bin");
        let mut bytes = fs_err::read(&path).expect("reads");
        change(&mut bytes);
        fs_err::write(&path, bytes).expect("writes");
        let result = npage(&folder.path("r"), &folder.path("out.parquet"), &Options::new("x"));
        assert!(!folder.path("out.parquet").exists());
        result.expect_err("damaged").to_string()
    };
    let cut = damage(&|bytes| bytes.truncate(37));
    assert!(cut.contains("r.10.12.bin: damaged at byte 32"), "{cut}");
    let empty_touch = damage(&|bytes| bytes[24] = 0);
    assert!(empty_touch.contains("byte 16: an access record without touches"), "{empty_touch}");
    let clock = damage(&|bytes| bytes.extend(record(8, 5, 0, 0)));
    assert!(clock.contains("goes back"), "{clock}");
    let argument = damage(&|bytes| bytes.extend(record(10, 5, 0, 0)));
    assert!(argument.contains("an argument without a syscall"), "{argument}");
}

#[test]
fn npage_totals_and_metadata_are_checked() {
    let folder = Folder::new();
    record_two_threads(&folder);
    let import = |meta: String| {
        fs_err::write(folder.path("r.meta"), meta).expect("writes");
        npage(&folder.path("r"), &folder.path("out.parquet"), &Options::new("x"))
    };
    let thread = "thread=10.10 loads=7 stores=1 splits=0 fetches=0 instructions=0 records=5 lost=0 name=a b\n";
    let message = import(format!("{META}{thread}")).expect_err("wrong totals").to_string();
    assert!(message.contains("r.10.10.bin") && message.contains("counted 5 with 8"), "{message}");
    for (line, hint) in [
        ("unit_shift=7\n", "unit_shift=6"),
        ("npage=9\n", "npage=2"),
        ("nonsense\n", "key=value"),
        ("thread=1.2 loads=x\n", "thread=PID.TID"),
    ] {
        let message = import(format!("{META}{line}")).expect_err("bad metadata").to_string();
        assert!(message.contains("r.meta:8:") && message.contains(hint), "{message}");
    }
    let missing = npage(&folder.path("none"), &folder.path("out.parquet"), &Options::new("x"));
    assert!(missing.expect_err("no files").to_string().contains("none.PID.TID.bin"));
}
