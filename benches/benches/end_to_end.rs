//! How long does a whole run take? numa02 of autonuma-benchmark on M-mel, 48 threads, under a static
//! design and under one that scans, faults and migrates; as published, or scaled down for the smoke
//! run.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use benches::{MEASUREMENT, WARM_UP, is_smoke};
use criterion::{Criterion, criterion_group, criterion_main};
use sim::{Progress, RunSpec};
use topology::Machine;
use trace::generate::WorkloadSpec;

fn machine() -> Arc<Machine> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/machines/m-mel.toml");
    let loaded = topology::load(&path, |path: &Path| std::fs::read_to_string(path));
    Arc::new(loaded.expect("the shipped machine is valid").0)
}

fn workload() -> WorkloadSpec {
    let scale = if is_smoke() { 0.01 } else { 1.0 };
    let text = format!("kind = \"autonuma-benchmark\"\nprogram = \"numa02\"\nscale = {scale}\n");
    config::parse("numa02.toml", &text).expect("a valid workload")
}

fn numa02(criterion: &mut Criterion) {
    let (machine, workload) = (machine(), workload());
    let mut group = criterion.benchmark_group("numa02");
    group.sample_size(10).warm_up_time(WARM_UP).measurement_time(MEASUREMENT);
    for name in ["first-touch", "balancenuma"] {
        let design = designs::find(name).expect("a registered design");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let workload = workload.open(&machine, 1).expect("it fits the machine");
                let built = (design.build_default)(&machine);
                let spec = RunSpec::new(Arc::clone(&machine), workload, name, built, 1);
                black_box(sim::run(spec, &Progress::default()).expect("it runs").elapsed)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, numa02);
criterion_main!(benches);
