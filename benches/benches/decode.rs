//! How many rows a second a trace decodes: read, checksum, Parquet, checks, regrouping by thread.
//! Each iteration opens the file anew, so nothing is shared. `ahead` has a second thread decode as
//! well, as a single run on two cores does; `verified` also compares the rows with the digest first,
//! as every run does, and then finds them decoded. Beside it, what rows cost that are generated.

use std::path::Path;

use benches::rows::{GENERATED, drain, generated, write};
use benches::{MEASUREMENT, WARM_UP, is_smoke};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trace::TraceError;
use trace::container::{DEFAULT_BUDGET, SharedTrace, TraceFile};

type Open = fn(&Path) -> Result<SharedTrace, TraceError>;

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
            let decode = || open(path).and_then(|trace| drain(trace.workload()?, u64::MAX));
            b.iter(|| assert_eq!(decode().expect("the trace is sound"), u64::from(rows)));
        });
    }
    for (kind, _) in GENERATED {
        let make = || generated(kind).expect("a kind that is listed");
        group.bench_function(BenchmarkId::new(kind, rows), |b| {
            let draw = |workload| drain(workload, rows.into()).expect("nothing is read");
            b.iter_batched(make, draw, BatchSize::PerIteration);
        });
    }
    group.finish();
    std::fs::remove_file(&path).expect("the file is ours");
}

criterion_group!(decode_rate, bench);
criterion_main!(decode_rate);
