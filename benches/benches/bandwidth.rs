//! What does it cost to share the bandwidth once? A machine of 4 or 8 nodes with a local port and
//! a controller each and links in both directions between all pairs, and threads whose pages are
//! spread over four nodes, each thread differently or as their neighbours'.

use base::stream;
use benches::{MEASUREMENT, WARM_UP, is_smoke};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use des::{Fluid, ResourceId};

const GB: f64 = 1e9;

struct Machine {
    nr_nodes: usize,
}

impl Machine {
    fn capacities(&self) -> Vec<f64> {
        let n = self.nr_nodes;
        let mut capacities = vec![11.4 * GB; n];
        capacities.resize(2 * n, 15.6 * GB);
        capacities.resize(2 * n + n * n, 6.3 * GB);
        capacities.resize(2 * n + 2 * n * n, 12.6 * GB);
        capacities
    }

    /// What a thread on `home` uses when `mix` of its lines comes from each node.
    fn uses(&self, home: usize, mix: &[f64]) -> Vec<(ResourceId, f64)> {
        let n = self.nr_nodes;
        let mut uses = Vec::new();
        for (node, &part) in mix.iter().enumerate().filter(|&(_, &part)| part > 0.0) {
            uses.push((n + node, part));
            if node == home {
                uses.push((node, part));
            } else {
                uses.push((2 * n + node * n + home, part));
                uses.push((2 * n + n * n + node.min(home) * n + node.max(home), part));
            }
        }
        uses.into_iter().map(|(resource, part)| (ResourceId(resource as u16), part)).collect()
    }
}

/// (own maximum, weight, uses) of each thread.
type Threads = Vec<(f64, f64, Vec<(ResourceId, f64)>)>;

fn threads(machine: &Machine, nr_threads: usize, alike: bool) -> Threads {
    let mut rng = stream(1, "bench.mixes", nr_threads as u64);
    let n = machine.nr_nodes;
    let mut one = |home: usize| {
        let mut mix = vec![0.0; n];
        mix[home] = 0.2 + rng.unit();
        (1..4).for_each(|step| mix[(home + step) % n] = 0.05 + rng.unit());
        let sum: f64 = mix.iter().sum();
        mix.iter_mut().for_each(|part| *part /= sum);
        let own_max = (1.77 + (3.16 - 1.77) * mix[home]) * GB;
        (own_max, 1.0 + mix[home], machine.uses(home, &mix))
    };
    let firsts: Threads = (0..n).map(&mut one).collect();
    let home = |thread: usize| thread * n / nr_threads;
    (0..nr_threads)
        .map(|thread| if alike { firsts[home(thread)].clone() } else { one(home(thread)) })
        .collect()
}

fn build_and_solve(fluid: &mut Fluid, capacities: &[f64], threads: &Threads) {
    fluid.reset(capacities);
    for (own_max, weight, uses) in threads {
        fluid.add_stream(*own_max, *weight, uses);
    }
    fluid.solve();
}

fn share(c: &mut Criterion) {
    let sizes: &[(usize, usize)] =
        if is_smoke() { &[(4, 8)] } else { &[(4, 64), (8, 64), (8, 256)] };
    let mut group = c.benchmark_group("bandwidth");
    for &(nr_nodes, nr_threads) in sizes {
        let machine = Machine { nr_nodes };
        let capacities = machine.capacities();
        for (kind, alike) in [("alike", true), ("differ", false)] {
            let threads = threads(&machine, nr_threads, alike);
            let size = format!("{nr_nodes} nodes, {nr_threads} threads, {kind}");
            let mut fluid = Fluid::new();
            build_and_solve(&mut fluid, &capacities, &threads);
            let first = fluid.rates().to_vec();
            group.bench_function(BenchmarkId::new("solve", &size), |b| b.iter(|| fluid.solve()));
            group.bench_function(BenchmarkId::new("build and solve", &size), |b| {
                b.iter(|| build_and_solve(&mut fluid, &capacities, &threads));
            });
            assert_eq!(fluid.rates(), &first[..], "solving again gives other rates");
        }
    }
    group.finish();
}

criterion_group! {
    name = bandwidth;
    config = Criterion::default().warm_up_time(WARM_UP).measurement_time(MEASUREMENT).sample_size(30);
    targets = share
}
criterion_main!(bandwidth);
