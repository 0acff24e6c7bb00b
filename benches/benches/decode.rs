//! How many rows a second a trace decodes: read, checksum, Parquet, checks, regrouping by thread.
//! Each iteration opens the file anew, so nothing is shared. `ahead` has a second thread decode as
//! well, as a single run on two cores does; `verified` also compares the rows with the digest first,
//! as every run does, and then finds them decoded.

use std::hint::black_box;

use base::{MmId, MmVec, Pages};
use benches::{MEASUREMENT, WARM_UP, is_smoke};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trace::container::{
    DEFAULT_BUDGET, Meta, Order, Row, SharedTrace, Source, ThreadMeta, TraceFile, TraceWriter,
};
use trace::{Convergence, Event, Mapping, Space, Step, TraceError, Traffic};

const NR_PAGES: u64 = 1 << 18;
const NR_THREADS: u16 = 4;

fn meta() -> Meta {
    let thread = |idx: u16| ThreadMeta {
        name: format!("thread {idx}"),
        process: 0,
        mm: MmId(0),
        parent: (idx > 0).then_some(0),
        allowed: base::CpuMask::EMPTY,
        tid: 0,
    };
    let all = Mapping { pages: 0..NR_PAGES as u32, thp: None, policy: None };
    let mappings = vec![all];
    let space = Space {
        name: "all".to_owned(),
        nr_pages: Pages(NR_PAGES),
        file: false,
        executable: false,
        mappings,
    };
    Meta {
        name: "decode".to_owned(),
        spaces: MmVec(vec![space]),
        threads: (0..NR_THREADS).map(thread).collect(),
        order: Order::Concurrent,
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        source: Source::default(),
    }
}

/// Rows that look like a recording: turns of some hundred rows, mostly near pages, some far.
fn write(path: &std::path::Path, rows: u32) -> Result<(), TraceError> {
    let mut writer = TraceWriter::create(path, meta())?;
    for child in 1..NR_THREADS {
        writer.event(0, Event::Spawn(child.into()))?;
    }
    let mut random = base::stream(1, "bench.decode", 0);
    let mut page = 0;
    for row in 0..rows {
        let draw = random.next_u64();
        page = if draw.is_multiple_of(8) { (draw >> 32) % NR_PAGES } else { (page + 1) % NR_PAGES };
        writer.push(&Row {
            thread: (row / 300 % u32::from(NR_THREADS)) as u16,
            page: page as u32,
            traffic: Traffic::new(
                (draw >> 8 & 63) as u16,
                (draw >> 14 & 15) as u16,
                draw >> 20 & 3 == 0,
            ),
            think_ns: (draw >> 24 & 1023) as u32,
            ..Row::default()
        })?;
    }
    writer.finish()?;
    Ok(())
}

/// Drains all threads; returns the accesses.
fn drain(trace: &SharedTrace) -> Result<u64, TraceError> {
    let mut rows = 0;
    for mut thread in trace.workload()?.threads {
        loop {
            match thread.stream.next_step()? {
                Step::Points(points, range) => {
                    rows += range.len() as u64;
                    black_box(points);
                }
                Step::End => break,
                Step::Sweep(_) | Step::Event(_) => {}
            }
        }
    }
    Ok(rows)
}

type Open = fn(&std::path::Path) -> Result<SharedTrace, TraceError>;

/// Ways to open a trace.
const WAYS: [(&str, Open); 3] = [
    ("alone", |path| SharedTrace::open(path, DEFAULT_BUDGET)),
    ("ahead", |path| {
        let trace = SharedTrace::open(path, DEFAULT_BUDGET)?;
        trace.decode_ahead(1);
        Ok(trace)
    }),
    ("verified", |path| SharedTrace::verified(TraceFile::open(path)?, DEFAULT_BUDGET)),
];

fn bench(c: &mut Criterion) {
    let rows: u32 = if is_smoke() { 10_000 } else { 4 << 20 };
    let path = std::env::temp_dir().join(format!("numalab-decode-{}.parquet", std::process::id()));
    write(&path, rows).expect("the temporary directory can be written");
    let mut group = c.benchmark_group("decode");
    group.warm_up_time(WARM_UP).measurement_time(MEASUREMENT).sample_size(10);
    group.throughput(Throughput::Elements(rows.into()));
    for (name, open) in WAYS {
        group.bench_with_input(BenchmarkId::new(name, rows), &path, |b, path| {
            let decode = || open(path).and_then(|trace| drain(&trace));
            b.iter(|| assert_eq!(decode().expect("the trace is sound"), u64::from(rows)));
        });
    }
    group.finish();
    std::fs::remove_file(&path).expect("the file is ours");
}

criterion_group!(decode_rate, bench);
criterion_main!(decode_rate);
