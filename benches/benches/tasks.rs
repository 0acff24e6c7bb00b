//! How much machine time does a second of wall time simulate where nobody accesses memory? 256 CPUs
//! in 8 nodes, 1,000 tasks that compute and sleep by turns: scheduling, load balancing, ticks and
//! epochs, under plain Linux and under a design that asks at each tick.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::sync::Arc;
use std::time::Instant;

use base::{Nanos, Vm};
use benches::is_smoke;
use benches::replay::machine;
use benches::tasks::tasks;
use sim::{Progress, RunSpec};

fn main() {
    let (nodes, cpus, nr, span) = match is_smoke() {
        true => (8, 4, 125, Nanos::from_ms(20)),
        false => (8, 32, 1000, Nanos::from_secs(2)),
    };
    let machine = machine(nodes, cpus);
    for name in ["first-touch", "numa-balancing-6.12"] {
        let design = designs::find(name).expect("a registered design");
        let built = (design.build_default)(&machine);
        let spec = RunSpec::new(Arc::clone(&machine), tasks(nr, span), name, built, 1);
        let started = Instant::now();
        let run = sim::run(spec, &Progress::default()).expect("the benchmark's workload runs");
        let wall_s = started.elapsed().as_secs_f64();
        assert_eq!(run.elapsed, span);
        let switches = run.vmstat[Vm::sim_context_switches];
        assert!(switches > nr as u64, "tasks sleep and run again: {switches} switches");
        // A smoke run is too short to measure anything; it only shows that the benchmark works.
        if !is_smoke() {
            let rate = run.elapsed.as_secs_f64() / wall_s;
            println!(
                "{name}: {rate:.2} s of {} CPUs with {nr} tasks in a second, {:.2} million switches",
                nodes * cpus,
                switches as f64 / 1e6
            );
        }
    }
}
