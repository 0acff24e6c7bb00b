use std::path::{Path, PathBuf};

use base::{Bytes, CpuId, CpuMask, MmId, MmVec, Nanos, NodeId, NodeMask, Pages};
use proptest::prelude::*;

use super::*;
use crate::{
    Advice, Convergence, Event, Mapping, Mempolicy, Space, Step, TraceError, Traffic, Workload,
};

fn space(name: &str, nr_pages: u64) -> Space {
    let mapping = Mapping { pages: 0..nr_pages as u32, thp: None, policy: None };
    Space {
        name: name.to_owned(),
        nr_pages: Pages(nr_pages),
        file: false,
        executable: false,
        mappings: vec![mapping],
    }
}

pub(crate) fn meta() -> Meta {
    let thread = |name: &str, parent| ThreadMeta {
        name: name.to_owned(),
        process: 0,
        mm: MmId(0),
        parent,
        allowed: [3, 900].map(CpuId).into_iter().collect(),
        tid: 7,
    };
    Meta {
        name: "test".to_owned(),
        spaces: MmVec(vec![space("program", 3000), space("file", 40)]),
        threads: vec![thread("main", None), thread("worker", Some(0))],
        order: Order::Concurrent,
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        source: Source { tool: "a test".to_owned(), ..Source::default() },
    }
}

/// What a thread does, one access or event at a time, so that chunk borders do not matter.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Row(Row),
    Event(Event),
}

fn item() -> impl Strategy<Value = Item> {
    let traffic = (0_u16..128, 0_u16..128, any::<bool>()).prop_map(|t| Traffic::new(t.0, t.1, t.2));
    let row = (0_u32..3000, any::<bool>(), traffic, any::<u32>(), any::<bool>(), any::<bool>())
        .prop_map(|(page, file, traffic, think_ns, sequential, dependent)| {
            let (mm, page) = if file { (MmId(1), page % 40) } else { (MmId(0), page) };
            Item::Row(Row { thread: 0, mm, page, traffic, think_ns, sequential, dependent })
        });
    let nodes = any::<u64>().prop_map(NodeMask);
    let event = prop_oneof![
        any::<u64>().prop_map(|ns| Event::Sleep(Nanos(ns))),
        any::<u64>().prop_map(|ns| Event::Compute(Nanos(ns))),
        any::<u64>().prop_map(Event::WorkDone),
        Just(Event::MeasureFrom),
        Just(Event::EndRun),
        Just(Event::RemoveCgroup("/a/b".to_owned())),
        (0_u32..40).prop_map(|end| Event::Read(MmId(1), 0..end)),
        (0u64..1_000_000).prop_map(|ns| Event::MeasureAfter(base::Nanos(ns))),
        nodes.clone().prop_map(Event::SetNodes),
        nodes.prop_map(|nodes| Event::Mbind(MmId(0), 5..70, Mempolicy::Interleave(nodes))),
        (0_u32..40).prop_map(|end| Event::Madvise(MmId(1), 0..end, Advice::DontNeed)),
        (0_u16..1024).prop_map(|cpu| Event::SetAffinity([CpuId(cpu)].into_iter().collect())),
        Just(Event::SetMempolicy(Mempolicy::WeightedInterleave(vec![(NodeId(1), 3)]))),
    ]
    .prop_map(Item::Event);
    prop_oneof![9 => row, 1 => event]
}

fn write(path: &Path, items: &[(u16, Item)], group_rows: usize) -> Result<Summary, TraceError> {
    let mut writer = TraceWriter::create(path, meta())?.group_rows(group_rows);
    writer.event(0, Event::Spawn(1))?;
    for (thread, item) in items {
        match item {
            Item::Row(row) => writer.push(&Row { thread: *thread, ..*row })?,
            Item::Event(event) => writer.event(*thread, event.clone())?,
        }
    }
    writer.finish()
}

fn drain(workload: Workload) -> Result<Vec<Vec<Item>>, TraceError> {
    let mut threads = Vec::new();
    for (idx, mut thread) in workload.threads.into_iter().enumerate() {
        let mut items = Vec::new();
        loop {
            match thread.stream.next_step()? {
                Step::End => break,
                Step::Event(event) => items.push(Item::Event(event)),
                Step::Points(points, rows) => items.extend(rows.map(|at| {
                    Item::Row(Row {
                        thread: idx as u16,
                        mm: points.mm,
                        page: points.page[at],
                        traffic: points.traffic[at],
                        think_ns: points.think_ns[at],
                        sequential: points.sequential,
                        dependent: points.dependent,
                    })
                })),
                Step::Sweep(_) => unreachable!("recorded traces have none"),
            }
        }
        threads.push(items);
    }
    Ok(threads)
}

fn read(path: &Path) -> Result<Vec<Vec<Item>>, TraceError> {
    drain(SharedTrace::open(path, DEFAULT_BUDGET)?.workload()?)
}

fn expected(items: &[(u16, Item)]) -> Vec<Vec<Item>> {
    let mut threads = vec![vec![Item::Event(Event::Spawn(1))], Vec::new()];
    for (thread, item) in items {
        threads[usize::from(*thread)].push(match item {
            Item::Row(row) => Item::Row(Row { thread: *thread, ..*row }),
            other => other.clone(),
        });
    }
    threads
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("t.parquet");
    (directory, path)
}

fn some_items(nr: u32) -> Vec<(u16, Item)> {
    let row = |i: u32| Row {
        page: i * 37 % 3000,
        traffic: Traffic::new((i % 65) as u16, (i % 3) as u16, i.is_multiple_of(2)),
        think_ns: i % 100,
        ..Row::default()
    };
    (0..nr).map(|i| ((i / 16 % 2) as u16, Item::Row(row(i)))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_read_is_what_was_written(
        items in prop::collection::vec((0_u16..2, item()), 0..300),
        group_rows in 1_usize..200,
    ) {
        let (_directory, path) = temporary();
        let summary = write(&path, &items, group_rows).expect("writes");
        prop_assert_eq!(read(&path).expect("reads"), expected(&items));
        let file = TraceFile::open(&path).expect("opens");
        prop_assert_eq!(file.verify().expect("verifies").rows, summary.accesses + summary.events);
        prop_assert_eq!(file.digest(), summary.digest);
        prop_assert_eq!(file.meta(), &meta());
    }

    #[test]
    fn damage_is_refused_or_harmless(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let (_directory, path) = temporary();
        let items = some_items(300);
        write(&path, &items, 128).expect("writes");
        let mut bytes = fs_err::read(&path).expect("reads");
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs_err::write(&path, &bytes).expect("writes");
        prop_assert!(read(&path).is_err(), "byte {at} ^ {flip} went unnoticed");
        bytes[at] ^= flip;
        fs_err::write(&path, &bytes[..at]).expect("writes");
        prop_assert!(read(&path).is_err(), "a cut at {at} went unnoticed");
    }
}

#[test]
fn damage_is_reported_with_row_group_and_offset() {
    let (_directory, path) = temporary();
    write(&path, &some_items(300), 128).expect("writes");
    let mut bytes = fs_err::read(&path).expect("reads");
    bytes[40] ^= 4;
    fs_err::write(&path, &bytes).expect("writes");
    let error = TraceFile::open(&path).expect("the footer is sound").verify().expect_err("damaged");
    let text = error.to_string();
    assert!(text.contains("damaged at byte 4: row group 0 (bytes 4.."), "{text}");
    assert!(text.contains("t.parquet") && text.ends_with("the checksum is wrong"), "{text}");
}

#[test]
fn rows_outside_the_declared_trace_are_refused_with_their_place() {
    let (_directory, path) = temporary();
    let access = row::Cells::access(&Row { page: 7, ..Row::default() });
    for (cells, problem) in [
        (row::Cells { thread: 2, ..access }, "row 5000: thread 2, expected one of 2"),
        (row::Cells { space: 2, ..access }, "row 5000: space 2, expected one of 2"),
        (row::Cells { op: 8, ..access }, "row 5000: op 8 is unknown"),
        (row::Cells { op: 20, ..access }, "row 5000: op 20 is unknown"),
        (row::Cells { op: 16, ..access }, "row 5000: event 7, expected one of 1"),
        (row::Cells { page: 3000, ..access }, "page 3000 at or after it, expected less than 3000"),
        (row::Cells { page: u32::MAX, ..access }, "page 4294967295 at or after it"),
        (row::Cells { space: 1, page: 40, ..access }, "row 5000: page 40 at or after it"),
        (row::Cells { fills: 128, ..access }, "\"fills\": value 128, expected less than 128"),
        (row::Cells { thread: u16::MAX, ..access }, "\"thread\": value 65535, expected less"),
    ] {
        let mut writer = TraceWriter::create(&path, meta()).expect("creates");
        writer.event(0, Event::Spawn(1)).expect("writes");
        for row in 1..10_000 {
            writer.cells(if row == 5000 { cells } else { access }).expect("writes");
        }
        writer.finish().expect("finishes");
        let file = TraceFile::open(&path).expect("its footer is sound");
        let text = file.verify().expect_err("a bad row").to_string();
        assert!(text.contains("row group 0 (bytes 4..") && text.contains(problem), "{text}");
        assert!(read(&path).is_err());
    }
}

#[test]
fn other_files_are_refused_with_what_they_are() {
    let (_directory, path) = temporary();
    for (content, hint) in [
        (&b""[..], "empty"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"==12== Lackey", "Valgrind"),
        (b"PAR1", "ends before"),
        (b"PAR1 some text that is longer than forty bytes PAR1", "does not fit"),
    ] {
        fs_err::write(&path, content).expect("writes");
        let text = TraceFile::open(&path).expect_err("not a trace").to_string();
        assert!(text.contains(hint), "{text}");
    }
    let foreign =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/samples/foreign.parquet"));
    let text = TraceFile::open(foreign).expect_err("another schema").to_string();
    assert!(text.contains("numalab did not write"), "{text}");
}

#[test]
fn nothing_appears_before_the_trace_is_finished() {
    let (directory, path) = temporary();
    let mut writer = TraceWriter::create(&path, meta()).expect("creates");
    writer.push(&Row::default()).expect("pushes");
    drop(writer);
    assert_eq!(fs_err::read_dir(directory.path()).expect("lists").count(), 0);
}

#[test]
fn contradictions_are_refused() {
    let (_directory, path) = temporary();
    let refused = |change: &dyn Fn(&mut Meta)| {
        let mut changed = meta();
        change(&mut changed);
        TraceWriter::create(&path, changed).err().map(|e| e.to_string())
    };
    assert_eq!(refused(&|_| ()), None);
    assert!(refused(&|m| m.threads[0].mm = MmId(9)).is_some());
    assert!(refused(&|m| m.threads[0].parent = Some(1)).is_some());
    assert!(refused(&|m| m.threads[1].parent = Some(8)).is_some());
    assert!(refused(&|m| m.spaces.0[1].nr_pages = Pages(3)).is_some());
    let mut writer = TraceWriter::create(&path, meta()).expect("creates");
    assert!(writer.push(&Row { page: 3000, ..Row::default() }).is_err());
    assert!(writer.push(&Row { thread: 2, ..Row::default() }).is_err());
    assert!(writer.event(0, Event::Spawn(0)).is_err());
    assert!(writer.event(0, Event::Munmap(MmId(1), 30..41)).is_err());
    assert!(writer.event(0, Event::Read(MmId(1), 30..41)).is_err());
    assert!(writer.finish().expect_err("a child is never started").to_string().contains("started"));
}

#[test]
fn runs_share_chunks_and_a_small_budget_only_costs_time() {
    let (_directory, path) = temporary();
    let items = some_items(1000);
    write(&path, &items, 100).expect("writes");
    let roomy = SharedTrace::open(&path, DEFAULT_BUDGET).expect("opens");
    let points = |trace: &SharedTrace| {
        let mut workload = trace.workload().expect("starts");
        workload.threads.iter_mut().find_map(|t| match t.stream.next_step() {
            Ok(Step::Points(points, _)) => Some(points),
            _ => None,
        })
    };
    let (first, second) = (points(&roomy).expect("rows"), points(&roomy).expect("rows"));
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    let tight = SharedTrace::open(&path, Bytes(1)).expect("opens");
    for _ in 0..2 {
        let workload = tight.workload().expect("starts");
        assert_eq!(drain(workload).expect("reads"), expected(&items));
    }
}

#[test]
fn arrays_of_dropped_chunks_are_used_again_and_change_no_row() {
    let (_directory, path) = temporary();
    let row = |i: u32| Row { page: i * 37 % 3000, think_ns: i, ..Row::default() };
    // One thread's pieces have almost the same length in each row group.
    let items: Vec<(u16, Item)> =
        (0..200_000).map(|i| ((i % 83 / 70) as u16, Item::Row(row(i)))).collect();
    write(&path, &items, 50_000).expect("writes");
    let tight = SharedTrace::open(&path, Bytes(1)).expect("opens");
    for _ in 0..2 {
        assert!(drain(tight.workload().expect("starts")).expect("reads") == expected(&items));
    }
    let file = TraceFile::open(&path).expect("opens");
    let mut spare = chunk::Spare::default();
    let mut decode = |group| {
        let chunk = chunk::Chunk::new(&file, group, &mut spare, |_, _, _| ()).expect("decodes");
        let Some(chunk::Piece::Points(points)) = chunk.piece(0, usize::from(group == 0)) else {
            panic!("the main thread has rows");
        };
        let places = [points.page.as_ptr(), points.think_ns.as_ptr()];
        spare.keep(chunk);
        places
    };
    let first = decode(0);
    for group in 1..3 {
        assert!(decode(group).iter().all(|place| first.contains(place)));
    }
}

#[test]
fn decoding_ahead_changes_no_row() {
    let (_directory, path) = temporary();
    let items = some_items(1000);
    write(&path, &items, 20).expect("writes");
    for (decoders, budget) in
        [(1, DEFAULT_BUDGET), (3, DEFAULT_BUDGET), (100, Bytes(600)), (3, Bytes(1))]
    {
        let trace = SharedTrace::open(&path, budget).expect("opens");
        trace.decode_ahead(decoders);
        for _ in 0..2 {
            let workload = trace.workload().expect("starts");
            assert_eq!(drain(workload).expect("reads"), expected(&items), "{decoders} {budget:?}");
        }
    }
}

#[test]
fn damage_met_ahead_is_reported_in_its_place() {
    let (_directory, path) = temporary();
    write(&path, &some_items(1000), 100).expect("writes");
    let mut bytes = fs_err::read(&path).expect("reads");
    let sound = TraceFile::open(&path).expect("opens");
    let TraceError::Damaged { offset, .. } = sound.damaged(6, "") else { unreachable!() };
    bytes[offset as usize] ^= 4;
    fs_err::write(&path, &bytes).expect("writes");
    let steps = |decoders| {
        let trace = SharedTrace::open(&path, DEFAULT_BUDGET).expect("opens");
        trace.decode_ahead(decoders);
        let mut thread = trace.workload().expect("the first chunk is sound").threads.remove(0);
        for steps in 0.. {
            match thread.stream.next_step() {
                Ok(Step::End) => panic!("the damage went unnoticed"),
                Ok(_) => {}
                Err(error) => return (steps, error.to_string()),
            }
        }
        unreachable!("it ends")
    };
    let alone = steps(0);
    assert!(alone.0 > 0 && alone.1.ends_with("the checksum is wrong"), "{alone:?}");
    assert_eq!(steps(1), alone);
    assert_eq!(steps(20), alone);
}

#[test]
fn what_was_decoded_to_verify_it_is_not_decoded_again() {
    let (_directory, path) = temporary();
    let items = some_items(300);
    write(&path, &items, 64).expect("writes");
    let verified = |budget| {
        let file = TraceFile::open(&path).expect("opens");
        SharedTrace::verified(file, budget).expect("is sound")
    };
    let (roomy, tight) = (verified(DEFAULT_BUDGET), verified(Bytes(1)));
    assert_eq!(drain(tight.workload().expect("starts")).expect("reads"), expected(&items));
    fs_err::remove_file(&path).expect("removes");
    assert_eq!(drain(roomy.workload().expect("starts")).expect("reads"), expected(&items));
    assert!(tight.workload().is_err());
}

#[test]
fn started_threads_go_through_their_rows_as_often_as_asked() {
    let (_directory, path) = temporary();
    write(&path, &some_items(500), 64).expect("writes");
    let trace = SharedTrace::open(&path, DEFAULT_BUDGET).expect("opens");
    let rows = |trace: &SharedTrace| -> Vec<(bool, usize)> {
        let threads = trace.workload().expect("starts").threads;
        let count = |mut thread: crate::Thread| {
            let mut rows = 0;
            loop {
                match thread.stream.next_step().expect("reads") {
                    Step::Points(_, range) => rows += range.len(),
                    Step::End => return (thread.parent.is_some(), rows),
                    _ => {}
                }
            }
        };
        threads.into_iter().map(count).collect()
    };
    let once = rows(&trace);
    assert!(once.iter().any(|(started, nr)| *started && *nr > 0), "the sample has such a thread");
    for ((started, first), (_, third)) in once.into_iter().zip(rows(&trace.with_passes(3))) {
        assert_eq!(third, if started { 3 * first } else { first });
    }
}

#[test]
fn a_saved_workload_reads_back() {
    let (directory, path) = temporary();
    let items = some_items(500);
    let first = write(&path, &items, 64).expect("writes");
    let again = directory.path().join("again.parquet");
    let trace = SharedTrace::open(&path, DEFAULT_BUDGET).expect("opens");
    let source = Source::default();
    save(trace.workload().expect("starts"), &again, source.clone(), 501).expect("saves");
    assert_eq!(read(&again).expect("reads"), expected(&items));
    let error = save(trace.workload().expect("starts"), &again, source, 400);
    assert!(error.expect_err("too long").to_string().contains("400 rows"));
    assert_eq!(first.accesses, 500);
}

#[test]
fn the_digest_is_of_the_rows_and_not_of_their_packing() {
    let (_directory, path) = temporary();
    let items = some_items(200);
    let whole = write(&path, &items, 1000).expect("writes").digest;
    assert_eq!(write(&path, &items, 7).expect("writes").digest, whole);
    assert_ne!(write(&path, &items[1..], 7).expect("writes").digest, whole);
}

#[test]
fn masks_outside_the_machine_are_refused() {
    assert!(serde_json::from_str::<NodeMask>("[64]").is_err());
    assert!(serde_json::from_str::<CpuMask>("[1024]").is_err());
    assert_eq!(serde_json::from_str::<NodeMask>("[0,63]").ok(), Some(NodeMask(1 | 1 << 63)));
}

#[test]
fn pages_that_compress_little_are_stored_as_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace.parquet");
    let mut random = base::stream(1, "test.compress", 0);
    let items: Vec<(u16, Item)> = (0..20_000)
        .map(|_| {
            // Differences of up to 99 either way take 8 bits, and 7.4 if the small ones, of which there are
            // more, take fewer: 8 % could be gained. Of `fills` it is more.
            let think_ns = (random.next_u64() % 100) as u32;
            let fills = (random.next_u64() % 40).saturating_sub(31) as u16;
            let traffic = Traffic::new(fills, 0, false);
            (0, Item::Row(Row { think_ns, traffic, ..Row::default() }))
        })
        .collect();
    write(&path, &items, 1 << 20).expect("writes");
    let file = TraceFile::open(&path).expect("opens");
    let column = |idx: usize| file.parquet().row_group(0).column(idx);
    let [fills, think] = [4, 6].map(column);
    assert_eq!(think.compressed_size(), think.uncompressed_size());
    assert!(fills.compressed_size() < fills.uncompressed_size() * 9 / 10);
    file.verify().expect("sound");
}
