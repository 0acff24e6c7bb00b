//! Small runs of the whole engine on machines whose times can be worked by hand.

use std::sync::Arc;

use base::{CACHE_LINE_BYTES, Nanos, Vm};
use results::Run;
use sim::{Progress, RunSpec};
use topology::Machine;
use trace::generate::WorkloadSpec;

use super::{Value, Values};

/// Two nodes of two CPUs with flat latencies. What `bandwidth` leaves out of controllers and links
/// is so wide that it never limits.
pub(super) fn machine(bandwidth: &str, thp: &str) -> Result<Machine, String> {
    let wide = [("controller", "'100GB/s'"), ("links", "[{ one_way = '100GB/s' }]")];
    let left_out = wide.iter().filter(|(key, _)| !bandwidth.contains(&format!("{key} =")));
    let added: Vec<String> = left_out.map(|(key, value)| format!("{key} = {value}")).collect();
    let given = Some(bandwidth).filter(|given| !given.is_empty());
    let bandwidth = given.into_iter().chain(added.iter().map(String::as_str));
    let bandwidth = bandwidth.collect::<Vec<_>>().join(", ");
    let text = format!(
        r#"
        name = "by hand"
        nodes = [{{ cpus = "0-1", memory = "1GiB" }}, {{ cpus = "2-3", memory = "1GiB" }}]
        latency = {{ local = "100ns", remote = "250ns" }}
        bandwidth = {{ {bandwidth} }}
        cpu = {{ lines_in_flight = 10 }}
        kernel = {{ thp = "{thp}" }}
        "#
    );
    topology::parse("by-hand.toml", &text).map_err(|problems| problems.render(false))
}

/// Runs a workload given as TOML under a registered design with a knobs table given as TOML.
pub(super) fn run(
    machine: Machine,
    workload: &str,
    design: &str,
    knobs: &str,
) -> Result<Run, String> {
    let spec: WorkloadSpec =
        config::parse("workload.toml", workload).map_err(|problems| problems.render(false))?;
    let workload = spec.open(&machine, 1).map_err(|error| error.to_string())?;
    let registered = designs::find(design).ok_or_else(|| format!("no design {design}"))?;
    let mut cx = config::Cx::without_files();
    let maker =
        cx.parse_value("knobs.toml", knobs).and_then(|table| (registered.build)(&table, &mut cx));
    let (maker, _) = cx.finish(maker).map_err(|problems| problems.render(false))?;
    let built = maker(&machine);
    let spec = RunSpec::new(Arc::new(machine), workload, design, built, 1);
    sim::run(spec, &Progress::default()).map_err(|error| error.to_string())
}

/// One thread that reads single lines at random from memory of which `weights` of node 0 and node 1
/// hold their parts. The seed decides where the thread runs, so the shares are read off the run;
/// their values are checked by `memory/interleave-traffic`.
fn mixed(weights: [u8; 2], kind: &str) -> Result<Run, String> {
    let workload =
        format!("kind = '{kind}'\nthreads = 1\nfootprint = '64MiB'\naccesses = 2000000\n");
    let knobs = format!("weights = [{}, {}]", weights[0], weights[1]);
    run(machine("", "never")?, &workload, "weighted-interleave", &knobs)
}

/// Shares of lines on the own and the other node.
fn shares(run: &Run) -> (f64, f64) {
    let (local, remote) =
        (run.vmstat[Vm::sim_lines_local] as f64, run.vmstat[Vm::sim_lines_remote] as f64);
    (local / (local + remote), remote / (local + remote))
}

/// Mean of the recorded latencies of lines, in ns, and their number.
fn recorded(run: &Run) -> (f64, f64) {
    let lines = run.latency.iter().filter(|latency| {
        latency.class.starts_with("local ") || latency.class.starts_with("remote ")
    });
    let (sum, count) = lines.fold((0.0, 0.0), |(sum, count), latency| {
        let nr = latency.histogram.len() as f64;
        (sum + latency.histogram.mean() * nr, count + nr)
    });
    (sum / count, count)
}

pub(super) fn mix_mean() -> Values {
    let mut values = Vec::new();
    for weights in [[3, 1], [1, 1], [1, 3]] {
        let run = mixed(weights, "uniform")?;
        let (local, remote) = shares(&run);
        // Histograms keep three digits.
        let expected = local * 100.0 + remote * 250.0;
        let name = format!("weights-{}-{}", weights[0], weights[1]);
        values.push(Value::within(name, expected, 0.002, recorded(&run).0));
    }
    Ok(values)
}

pub(super) fn chase_time() -> Values {
    let run = mixed([1, 1], "chase")?;
    let chaser = run.tasks.last().ok_or("the run has no tasks")?;
    let moving = chaser.time.local + chaser.time.remote;
    let expected = chaser.lines_local as f64 * 100.0 + chaser.lines_remote as f64 * 250.0;
    Ok(vec![Value::within("ns", expected, 1e-3, moving.0 as f64)])
}

pub(super) fn little() -> Values {
    let mut values = Vec::new();
    for (kind, in_flight) in [("uniform", 10.0), ("chase", 1.0)] {
        let run = mixed([1, 1], kind)?;
        let reader = run.tasks.last().ok_or("the run has no tasks")?;
        let time = reader.time.local + reader.time.remote + reader.time.queueing;
        let lines = (reader.lines_local + reader.lines_remote) as f64;
        let (mean_ns, count) = recorded(&run);
        // The main thread zeroes the memory; its lines are recorded as well.
        let all: u64 = run.tasks.iter().map(|task| task.lines_local + task.lines_remote).sum();
        values.push(Value::within(format!("{kind}/recorded-lines"), all as f64, 1e-9, count));
        if kind == "uniform" {
            let rate = lines / time.0 as f64;
            values.push(Value::within(
                format!("{kind}/in-flight"),
                in_flight,
                0.01,
                rate * mean_ns,
            ));
        }
    }
    Ok(values)
}

pub(super) fn conservation() -> Values {
    let bandwidth = "core = { local = '4GB/s', remote = '2GB/s' }, controller = '5GB/s', \
                     links = [{ one_way = '3GB/s' }]";
    let workload =
        "kind = 'autonuma-benchmark'\nprogram = 'numa01'\nscale = 0.1\nmemory_scale = 0.05";
    let mut values = Vec::new();
    for (design, thp) in
        [("first-touch", "never"), ("balancenuma", "always"), ("balancenuma", "never")]
    {
        let run = run(machine(bandwidth, thp)?, workload, design, "")?;
        let off = |task: &results::Task| {
            let lifetime = task.end.saturating_sub(task.start);
            task.time.total().0.abs_diff(lifetime.0) as f64 / lifetime.0.max(1) as f64
        };
        let worst = run.tasks.iter().map(off).fold(0.0, f64::max);
        values.push(Value::new(format!("{design}-thp-{thp}/worst-task"), 0.0, 1e-6, worst));
        let ran: u64 = run.tasks.iter().map(|task| (task.end.saturating_sub(task.start)).0).sum();
        values.push(Value::exact(format!("{design}-thp-{thp}/tasks-ran"), 1, u64::from(ran > 0)));
    }
    Ok(values)
}

/// Mean rate of a task while it moved lines, in bytes per second.
pub(super) fn rate_of(task: &results::Task) -> f64 {
    let time: Nanos = task.time.local + task.time.remote + task.time.queueing;
    (task.lines_local + task.lines_remote) as f64 * CACHE_LINE_BYTES as f64 / time.as_secs_f64()
}
