//! Shares of bandwidth, worked by hand, against runs of bound sweeps.
//!
//! Each run has threads bound to CPUs, each with memory bound to a node, that sweep it for ten
//! seconds. CPUs 0 and 1 are node 0, CPUs 2 and 3 node 1.

use super::engine::{machine, rate_of, run};
use super::{Value, Values};

/// In the epoch in which the others start, rates are estimates: 5 ms of the 10 s, in which a rate may
/// be several times too high.
const WITHIN: f64 = 0.005;

/// Rates of sweeping processes in GB/s: process `i` runs on `cpus[i]` with memory on `nodes[i]`,
/// where the nodes go round.
fn rates(bandwidth: &str, cpus: &[u32], nodes: &[u32]) -> Result<Vec<f64>, String> {
    let workload = format!(
        "kind = 'perf-bench-numa'\nprocesses = {}\nprocess = '64MiB'\nrun_time = '10s'\n\
         random_walk = false\ninit_cpu0 = false\ncpus = {cpus:?}\nnodes = {nodes:?}\n",
        cpus.len()
    );
    let run = run(machine(bandwidth, "never")?, &workload, "first-touch", "")?;
    // Each process has a main thread, which zeroes the memory, and one that sweeps.
    let sweepers = run.tasks.chunks(2).filter_map(|process| process.last());
    Ok(sweepers.map(|task| rate_of(task) / 1e9).collect())
}

fn compare(
    bandwidth: &str,
    cpus: &[u32],
    nodes: &[u32],
    expected: &[f64],
) -> Result<Vec<(f64, f64)>, String> {
    let got = rates(bandwidth, cpus, nodes)?;
    if got.len() != expected.len() {
        return Err(format!("{} sweeping tasks instead of {}", got.len(), expected.len()));
    }
    Ok(expected.iter().copied().zip(got).collect())
}

/// One value for each sweeping process.
fn values(name: &str, bandwidth: &str, cpus: &[u32], nodes: &[u32], expected: &[f64]) -> Values {
    let pairs = compare(bandwidth, cpus, nodes, expected)?;
    let value = |(idx, (expected, got)): (usize, (f64, f64))| {
        Value::within(format!("{name}/process-{idx}"), expected, WITHIN, got)
    };
    Ok(pairs.into_iter().enumerate().map(value).collect())
}

fn all<const N: usize>(parts: [Values; N]) -> Values {
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

pub(super) fn own_maximum() -> Values {
    // Alone, a core gets its maximum: 4 GB/s at home, 2 GB/s abroad; 10 lines over 100 ns are
    // 6.4 GB/s, over 250 ns 2.56 GB/s, so that latency does not limit.
    let bandwidth = "core = { local = '4GB/s', remote = '2GB/s' }";
    all([
        values("local", bandwidth, &[0], &[0], &[4.0]),
        values("remote", bandwidth, &[0], &[1], &[2.0]),
        values("both", bandwidth, &[0, 2], &[0], &[4.0, 2.0]),
    ])
}

pub(super) fn local_port() -> Values {
    let bandwidth = "core = { local = '4GB/s', remote = '2GB/s' }, local_port = '5GB/s'";
    all([
        values("one", bandwidth, &[0], &[0], &[4.0]),
        values("two", bandwidth, &[0, 1], &[0], &[2.5, 2.5]),
        // Remote streams do not use the port.
        values("remote", bandwidth, &[0, 1, 2], &[0], &[2.5, 2.5, 2.0]),
    ])
}

pub(super) fn weights() -> Values {
    let bandwidth =
        "core = { local = '4GB/s', remote = '2.4GB/s' }, controller = '3GB/s', local_weight = ";
    let weighted = |weight: &str| format!("{bandwidth}{weight}");
    all([
        values("equal", &weighted("1.0"), &[0, 2], &[0], &[1.5, 1.5]),
        values("local-2", &weighted("2.0"), &[0, 2], &[0], &[2.0, 1.0]),
        // Three of four parts, below the core's maximum.
        values("local-3", &weighted("3.0"), &[0, 2], &[0], &[2.25, 0.75]),
        // Two local ones of weight 3 and a remote one: 3/7, 3/7, 1/7 of 3 GB/s.
        values("two-local", &weighted("3.0"), &[0, 1, 2], &[0], &[9.0 / 7.0, 9.0 / 7.0, 3.0 / 7.0]),
    ])
}

pub(super) fn max_min() -> Values {
    // The remote stream is held at 0.8 GB/s by its link; the two local ones share what it leaves
    // of the controller: (5 - 0.8) / 2.
    let linked = "core = { local = '4GB/s', remote = '2GB/s' }, controller = '5GB/s', \
                  links = [{ one_way = '0.8GB/s' }]";
    // The two remote ones are held at 1 GB/s each by their cores; of 5 GB/s 3 are left to the
    // local one.
    let cores = "core = { local = '4GB/s', remote = '1GB/s' }, controller = '5GB/s'";
    all([
        values("link", linked, &[0, 1, 2], &[0], &[2.1, 2.1, 0.8]),
        values("core", cores, &[0, 2, 3], &[0], &[3.0, 1.0, 1.0]),
    ])
}

pub(super) fn links() -> Values {
    let bandwidth = "core = { local = '4GB/s', remote = '2GB/s' }, \
                     links = [{ one_way = '3GB/s', both_ways = '3.5GB/s' }]";
    all([
        values("one-way", bandwidth, &[0, 1], &[1], &[1.5, 1.5]),
        values("both-ways", bandwidth, &[0, 2], &[1, 0], &[1.75, 1.75]),
    ])
}

pub(super) fn remote_cost() -> Values {
    let bandwidth = "core = { local = '4GB/s', remote = '2GB/s' }, controller = '3GB/s', \
                     remote_cost = 1.5";
    all([
        values("remote", bandwidth, &[2, 3], &[0], &[1.0, 1.0]),
        // L + 1.5 r = 3 with L = r.
        values("mixed", bandwidth, &[0, 2], &[0], &[1.2, 1.2]),
    ])
}

pub(super) fn never_above_a_peak() -> Values {
    let bandwidth = "core = { local = '4GB/s', remote = '2GB/s' }, local_port = '5GB/s', \
                     controller = '5.5GB/s', local_weight = 2.0, \
                     links = [{ one_way = '1.5GB/s', both_ways = '2.5GB/s' }]";
    let workload = "kind = 'uniform'\nprocesses = 2\nthreads = 2\nfootprint = '64MiB'\n\
                    accesses = 200000\nlines = 64\n";
    let run = run(machine(bandwidth, "never")?, workload, "interleave", "")?;
    let peak = run.resources.iter().map(|used| used.peak_utilisation).fold(0.0, f64::max);
    // Every core could draw more than is there, so that something must be full all the time that
    // all four run.
    let full = run.resources.iter().map(|used| used.saturated).fold(0.0, f64::max);
    Ok(vec![
        Value::new("highest-utilisation", 1.0, 1e-6, peak),
        Value::new("share-of-time-saturated", 0.9, 0.1, full),
    ])
}
