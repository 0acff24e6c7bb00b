//! Queues in front of [`des::Server`]s.

use base::{Nanos, Rng, stream};
use des::Server;

use super::{Value, Values};

/// Requests of a run.
const NR_REQUESTS: u64 = 2_000_000;
/// Mean service time; long, so that rounding to whole nanoseconds does not matter.
const SERVICE_NS: f64 = 10_000.0;
/// Loads, from light to heavy.
const LOADS: [f64; 3] = [0.3, 0.6, 0.8];
/// Bound on the relative error of the mean wait. At load 0.8 the mean of so many waits has a
/// standard error of about 0.7 %.
const WITHIN: f64 = 0.03;

/// Feeds servers with Poisson arrivals.
fn fed(name: &str, nr_servers: usize, load: f64, service: impl Fn(&mut Rng) -> f64) -> Server {
    let mut arrivals = stream(1, name, 0);
    let mut services = stream(1, name, 1);
    let mut server = Server::new(nr_servers);
    let mean_gap = SERVICE_NS / (load * nr_servers as f64);
    let mut at = 0.0;
    for _ in 0..NR_REQUESTS {
        at += arrivals.exponential(mean_gap);
        server.serve(Nanos::from_f64(at), Nanos::from_f64(service(&mut services)));
    }
    server
}

fn waits(
    nr_servers: usize,
    service: impl Fn(&mut Rng) -> f64,
    expected: impl Fn(f64) -> f64,
) -> Values {
    let wait = |load: f64| {
        let server = fed("validate.queue", nr_servers, load, &service);
        let name = format!("load-{load}");
        Value::within(name, expected(load), WITHIN, server.stats().mean_wait_ns())
    };
    Ok(LOADS.map(wait).into())
}

pub(super) fn mm1_wait() -> Values {
    waits(1, |rng| rng.exponential(SERVICE_NS), |rho| rho / (1.0 - rho) * SERVICE_NS)
}

pub(super) fn md1_wait() -> Values {
    waits(1, |_| SERVICE_NS, |rho| rho / (2.0 * (1.0 - rho)) * SERVICE_NS)
}

pub(super) fn mm2_wait() -> Values {
    waits(2, |rng| rng.exponential(SERVICE_NS), |rho| rho * rho / (1.0 - rho * rho) * SERVICE_NS)
}

pub(super) fn busy() -> Values {
    let value = |load: f64| {
        let server = fed("validate.busy", 1, load, |_| SERVICE_NS);
        let end = server.free_at();
        Value::within(format!("load-{load}"), load, 0.005, server.utilisation(end))
    };
    Ok(LOADS.map(value).into())
}
