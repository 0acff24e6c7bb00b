//! Invented comparisons for tests: plausible shapes, no engine behind them.

use base::{Nanos, Rng, Vm, Vmstat, math, stream};

use crate::latency::empty_histogram;
use crate::{
    Comparison, DecisionCounts, Drawing, HintFaults, History, InputDigest, Latency, MemoryHistory,
    MoveCount, MoveReason, NodeMove, Outcome, PageFlow, Queueing, ResourceUse, Run, Scans, Series,
    Task, ThreadHistory, TimeSplit, Wall,
};

/// Runs that differ by design, seed (1, 2, ...) and elapsed time in seconds only; the first
/// design is the baseline.
pub fn elapsed(designs: &[(&str, &[u64])]) -> Comparison {
    let mut comparison = Comparison {
        experiment: "times".to_owned(),
        baseline: designs.first().map_or("", |(design, _)| design).to_owned(),
        ..Comparison::default()
    };
    for (design, times) in designs {
        for (seed, seconds) in (1..).zip(*times) {
            comparison.cells.push(Run {
                design: (*design).to_owned(),
                machine: "m".to_owned(),
                workload: "w".to_owned(),
                axes: Default::default(),
                seed,
                elapsed: Nanos::from_secs(*seconds),
                vmstat: Vmstat::default(),
                tasks: Vec::new(),
                latency: Vec::new(),
                series: Vec::new(),
                resources: Vec::new(),
                reclaim: None,
                work_done: 0,
                outcome: Outcome::Finished,
                history: History::default(),
            });
        }
    }
    comparison
}

/// How an invented design behaves.
struct Shape {
    design: &'static str,
    /// Local share at the start and at the end.
    local: (f64, f64),
    /// Time constant of the change, s.
    settle_s: f64,
    hint_faults: f64,
    pages_migrated: f64,
    /// System time as a share of CPU time.
    system: f64,
}

const SHAPES: [Shape; 6] = [
    Shape {
        design: "first-touch",
        local: (0.41, 0.38),
        settle_s: 9.0,
        hint_faults: 0.0,
        pages_migrated: 0.0,
        system: 0.004,
    },
    Shape {
        design: "interleave",
        local: (0.25, 0.25),
        settle_s: 1.0,
        hint_faults: 0.0,
        pages_migrated: 0.0,
        system: 0.004,
    },
    Shape {
        design: "weighted-interleave",
        local: (0.28, 0.29),
        settle_s: 1.0,
        hint_faults: 0.0,
        pages_migrated: 0.0,
        system: 0.004,
    },
    Shape {
        design: "bind",
        local: (0.97, 0.98),
        settle_s: 1.0,
        hint_faults: 0.0,
        pages_migrated: 0.0,
        system: 0.003,
    },
    Shape {
        design: "balancenuma",
        local: (0.40, 0.86),
        settle_s: 5.0,
        hint_faults: 1.8e6,
        pages_migrated: 4.1e5,
        system: 0.061,
    },
    Shape {
        design: "autonuma",
        local: (0.40, 0.93),
        settle_s: 2.5,
        hint_faults: 2.6e6,
        pages_migrated: 5.6e5,
        system: 0.043,
    },
];

const NODES: usize = 4;
const SAMPLES: u64 = 120;

/// Six designs, five seeds, one machine of four nodes.
pub fn comparison() -> Comparison {
    let mut comparison = Comparison {
        experiment: "sample".to_owned(),
        description:
            "Six designs on an invented recording of a key-value store with eight threads."
                .to_owned(),
        baseline: "first-touch".to_owned(),
        drawings: vec![Drawing { machine: "four-node".to_owned(), svg: drawing() }],
        inputs: vec![
            InputDigest {
                path: "configs/experiments/sample.toml".to_owned(),
                sha256: "0a".repeat(32),
            },
            InputDigest { path: "traces/kv-store.parquet".to_owned(), sha256: "5c".repeat(32) },
        ],
        wall: Wall {
            version: "0.1.0".to_owned(),
            command:
                "numalab compare configs/experiments/sample.toml --seeds 5 --out results/sample"
                    .to_owned(),
            jobs: 2,
            started_unix_s: 1_700_000_000,
            elapsed_s: 31.5,
            accesses_per_s: 41.0e6,
        },
        ..Comparison::default()
    };
    for shape in &SHAPES {
        for seed in 1..=5 {
            comparison.cells.push(run(shape, seed));
        }
    }
    comparison
}

fn run(shape: &Shape, seed: u64) -> Run {
    let mut rng = stream(seed, shape.design, 0);
    let noise = 1.0 + 0.02 * (rng.unit() - 0.5);
    let mean_local = shape.local.1 - (shape.local.1 - shape.local.0) * shape.settle_s / 25.0;
    let seconds = noise * (14.0 + 13.0 * (1.0 - mean_local)) / (1.0 - shape.system);
    let nr_lines = 8.0e8;
    let mut vmstat = Vmstat::default();
    for (counter, value) in [
        (Vm::pgfault, 2.6e6 + shape.hint_faults * noise),
        (Vm::pgalloc_normal, 2.6e6),
        (Vm::numa_hint_faults, shape.hint_faults * noise),
        (Vm::numa_hint_faults_local, shape.hint_faults * noise * mean_local),
        (Vm::numa_pte_updates, shape.hint_faults * noise * 1.2),
        (Vm::numa_pages_migrated, shape.pages_migrated * noise),
        (Vm::pgmigrate_success, shape.pages_migrated * noise),
        (Vm::sim_accesses, nr_lines),
        (Vm::sim_lines_local, nr_lines * mean_local),
        (Vm::sim_lines_remote, nr_lines * (1.0 - mean_local)),
        (Vm::sim_user_ns, 8e9 * seconds * (1.0 - shape.system)),
        (Vm::sim_system_ns, 8e9 * seconds * shape.system),
    ] {
        vmstat[counter] = value as u64;
    }
    Run {
        design: shape.design.to_owned(),
        machine: "four-node".to_owned(),
        workload: "kv-store".to_owned(),
        axes: Default::default(),
        seed,
        elapsed: Nanos::from_secs_f64(seconds),
        vmstat,
        tasks: (0..8).map(|thread| task(thread, seconds, mean_local, shape)).collect(),
        latency: latency(shape, mean_local, &mut rng),
        series: series(shape, seconds, &mut rng),
        resources: resources(mean_local, seconds),
        reclaim: None,
        work_done: 24_000,
        outcome: Outcome::Finished,
        history: history(shape, seconds, seed),
    }
}

fn task(thread: u32, seconds: f64, local: f64, shape: &Shape) -> Task {
    // Threads far from their memory have less of it near.
    let near = 1.0 - 0.06 * f64::from(thread % 4);
    let part = |share: f64| Nanos::from_secs_f64(seconds * share);
    let mut time = TimeSplit {
        compute: part(0.30),
        local: part(0.22 * local),
        remote: part(0.34 * (1.0 - local)),
        queueing: part(0.20 * (1.0 - local)),
        fault: part(0.02),
        hint_fault: part(shape.system * 0.5),
        migration: part(shape.system * 0.4),
        scan: part(shape.system * 0.1),
        migration_wait: part(shape.system * 0.2),
        runqueue: part(0.03),
        ..TimeSplit::default()
    };
    time.sleep = Nanos::from_secs_f64(seconds).saturating_sub(time.total());
    Task {
        name: format!("worker {thread}"),
        process: 1,
        end: Nanos::from_secs_f64(seconds),
        time,
        lines_local: (1e8 * local * near) as u64,
        lines_remote: (1e8 * (1.0 - local * near)) as u64,
        cpu_migrations: 12,
        node_migrations: 3,
        ..Task::default()
    }
}

/// Log-normal-like latencies around idle values with tails that grow with remote traffic.
fn latency(shape: &Shape, local: f64, rng: &mut Rng) -> Vec<Latency> {
    let mut classes = vec![
        ("local read", 90.0, 0.10, 0.8 * local),
        ("local write", 95.0, 0.12, 0.2 * local),
        ("remote read", 150.0, 0.18 + 0.3 * (1.0 - local), 0.8 * (1.0 - local)),
        ("remote write", 165.0, 0.2 + 0.3 * (1.0 - local), 0.2 * (1.0 - local)),
        ("page fault", 2_600.0, 0.35, 2e-3),
    ];
    if shape.hint_faults > 0.0 {
        classes.push(("hint fault", 1_500.0, 0.3, 1.4e-3));
        classes.push(("hint fault, migrating", 9_000.0, 0.6, 3e-4));
    }
    classes
        .into_iter()
        .map(|(class, median, spread, share)| {
            let mut histogram = empty_histogram();
            for _ in 0..2_000 {
                // The sum of twelve uniform numbers is close to normal with variance one.
                let normal = (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
                let ns = median * math::exp(spread * normal);
                histogram
                    .record_n(ns as u64, (share * 4e5) as u64 / 2 + 1)
                    .expect("a resizing histogram takes every value");
            }
            Latency { class: class.to_owned(), histogram }
        })
        .collect()
}

fn series(shape: &Shape, seconds: f64, rng: &mut Rng) -> Vec<Series> {
    let at: Vec<Nanos> =
        (1..=SAMPLES).map(|i| Nanos::from_secs_f64(seconds * i as f64 / SAMPLES as f64)).collect();
    let decay: Vec<f64> =
        at.iter().map(|at| math::exp(-at.as_secs_f64() / shape.settle_s)).collect();
    let mut over = |name: &str, unit: &str, scope: String, value: &dyn Fn(f64) -> f64| {
        let values =
            decay.iter().map(|decay| value(*decay) * (1.0 + 0.05 * (rng.unit() - 0.5))).collect();
        Series { name: name.to_owned(), unit: unit.to_owned(), scope, at: at.clone(), values }
    };
    let local = |decay: f64| shape.local.1 + (shape.local.0 - shape.local.1) * decay;
    let rate = shape.pages_migrated / shape.settle_s;
    let mut all = vec![
        over("local", "%", String::new(), &|decay| 100.0 * local(decay)),
        over("migrations", "pages/s", String::new(), &|decay| rate * decay),
    ];
    for node in 0..NODES {
        let skew = if node == 0 { 2.2 } else { 0.6 };
        let load = move |decay: f64| 6.0e9 * (1.0 + (skew - 1.0) * (1.0 - local(decay)));
        all.push(over("bandwidth", "bytes/s", format!("node {node}"), &load));
    }
    all
}

fn resources(local: f64, seconds: f64) -> Vec<ResourceUse> {
    (0..NODES)
        .map(|node| {
            let load = if node == 0 { 1.0 } else { 0.5 } * (1.3 - local);
            ResourceUse {
                name: format!("node {node} controller"),
                bytes: 9e9 * seconds * load,
                saturated: (load - 0.4).clamp(0.0, 1.0),
                peak_utilisation: (0.4 + load).min(1.0),
                queueing: Nanos::from_secs_f64(8.0 * seconds * 0.05 * (1.0 - local) * load),
            }
        })
        .collect()
}

/// Eight threads that wander, fewer and fewer under designs that migrate, and a heap that follows.
fn history(shape: &Shape, seconds: f64, seed: u64) -> History {
    let mut rng = stream(seed, "history", 0);
    let at: Vec<Nanos> =
        (1..=SAMPLES).map(|i| Nanos::from_secs_f64(seconds * i as f64 / SAMPLES as f64)).collect();
    let decay: Vec<f64> =
        at.iter().map(|at| math::exp(-at.as_secs_f64() / shape.settle_s)).collect();
    let threads = (0..8).map(|number| wanderer(number, shape, &at, &decay, &mut rng)).collect();
    let pages = (0..NODES).map(|node| heap(node, shape, &decay)).collect();
    let (faults, moved) = (shape.hint_faults as u64, shape.pages_migrated as u64);
    let migrations = (1..NODES as u8).map(|to| PageFlow {
        rule: "numa_misplaced".to_owned(),
        from: 0,
        to,
        folios: moved / 3,
        pages: moved / 3,
        failed: 3,
    });
    let scans = Scans {
        space: "kv-store".to_owned(),
        count: 40,
        first: Nanos::from_secs(1),
        last: Nanos::from_secs(12),
        shortest: Nanos::from_ms(100),
        longest: Nanos::from_secs(2),
    };
    let counts = decay.iter().map(|decay| (shape.pages_migrated / 40.0 * decay) as u64).collect();
    let moves = shape.hint_faults > 0.0;
    History {
        at,
        kept_one_in: 4,
        threads,
        memory: vec![MemoryHistory { name: "kv-store".to_owned(), pages }],
        decisions: vec![DecisionCounts { kind: "numa_misplaced".to_owned(), counts }],
        migrations: migrations.filter(|_| moves).collect(),
        hint_faults: HintFaults {
            local: faults / 2,
            left: faults / 4,
            sent: faults / 4,
            waited: 0,
        },
        scans: std::iter::once(scans).filter(|_| moves).collect(),
    }
}

fn wanderer(
    number: usize,
    shape: &Shape,
    at: &[Nanos],
    decay: &[f64],
    rng: &mut Rng,
) -> ThreadHistory {
    let moves = shape.hint_faults > 0.0;
    let mut node = if moves { rng.below(NODES as u64) as u8 } else { (number % NODES) as u8 };
    let mut first_moves = Vec::new();
    let mut nodes = Vec::new();
    for (at, decay) in at.iter().zip(decay) {
        if moves && rng.unit() < 0.15 * decay {
            let from = std::mem::replace(&mut node, rng.below(NODES as u64) as u8);
            if node != from {
                let why = "preferred node".to_owned();
                let reason = MoveReason::SchedMoveNuma;
                first_moves.push(NodeMove { at: *at, from, to: node, reason, why });
            }
        }
        nodes.push(node as i8);
    }
    let node = first_moves.len() as u64;
    ThreadHistory {
        name: format!("worker {number}"),
        nodes,
        moves: vec![
            MoveCount { reason: MoveReason::LoadBalance, cpu: 9, node: 0 },
            MoveCount { reason: MoveReason::SchedMoveNuma, cpu: node, node },
        ],
        first_moves,
        queueing: vec![Queueing {
            resource: "node 0 controller".to_owned(),
            time: at.last().map_or(Nanos::ZERO, |end| Nanos(end.0 / 20)),
        }],
    }
}

/// Pages of the heap on a node: from node 0 three quarters go to the others where a design migrates.
fn heap(node: usize, shape: &Shape, decay: &[f64]) -> Vec<u64> {
    let spread = if shape.hint_faults > 0.0 { 0.75 } else { 0.0 };
    let share = |away: f64| if node == 0 { 1.0 - away } else { away / 3.0 };
    decay.iter().map(|decay| (share(spread * (1.0 - decay)) * 262_144.0) as u64).collect()
}

fn drawing() -> String {
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 360 200\" font-family=\"sans-serif\" font-size=\"12\">".to_owned();
    svg += "<path d=\"M90 50H270V150H90Z\" fill=\"none\" stroke=\"#666\" stroke-width=\"2\"/>";
    for (node, (x, y)) in [(90, 50), (270, 50), (270, 150), (90, 150)].into_iter().enumerate() {
        svg +=
            &format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"34\" fill=\"#dde7f3\" stroke=\"#245\"/>");
        svg += &format!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#123\">node {node}</text>",
            y + 4
        );
    }
    svg + "</svg>\n"
}
