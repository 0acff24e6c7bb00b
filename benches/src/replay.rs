//! Streams of accesses for the replay benchmarks, and the loops they are compared with.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use base::{CpuMask, MmId, MmVec, Pages, Zipf, stream};
use mm::Pte;
use sim::{Progress, RunSpec};
use topology::Machine;
use trace::{
    Convergence, Mapping, Points, Space, Step, Sweep, Thread, ThreadStream, TraceError, Traffic,
    Workload,
};

/// Rows of one step.
const STEP_ROWS: usize = 1 << 16;

/// Zipf-distributed accesses (exponent 0.99, ranks scattered over the pages, one in eight writes) to
/// `nr_pages` warm pages, of which a share `slow` goes to pages never touched before.
pub struct Accesses {
    /// Warm pages, `0..nr_pages`.
    pub nr_pages: u32,
    /// Cold pages behind them.
    pub nr_cold: u32,
    /// The rows.
    pub points: Arc<Points>,
}

impl Accesses {
    /// `rows` accesses, the same for the same arguments.
    pub fn zipf(nr_pages: u32, rows: usize, slow: f64) -> Self {
        let zipf = Zipf::new(u64::from(nr_pages), 0.99);
        let mut rng = stream(1, "bench.replay", 0);
        let mut points = Points { mm: MmId(0), ..Points::default() };
        let mut nr_cold = 0;
        for row in 0..rows {
            let page = if rng.chance(slow) {
                nr_cold += 1;
                nr_pages + nr_cold - 1
            } else {
                (zipf.sample(&mut rng) * 2_654_435_761 % u64::from(nr_pages)) as u32
            };
            points.page.push(page);
            points.traffic.push(Traffic::new(1, 0, row % 8 == 0));
            points.think_ns.push(10);
        }
        Self { nr_pages, nr_cold, points: Arc::new(points) }
    }

    /// A workload of one thread: it touches every warm page once, then replays the rows, which the
    /// stopwatch times.
    pub fn workload(&self, stopwatch: &Arc<Stopwatch>) -> Workload {
        let end = self.nr_pages + self.nr_cold;
        let mapping = Mapping { pages: 0..end, thp: Some(false), policy: None };
        let space = Space {
            name: "bench".to_owned(),
            nr_pages: Pages(u64::from(end)),
            file: false,
            executable: false,
            mappings: vec![mapping],
        };
        let replayed = Replayed {
            nr_pages: self.nr_pages,
            points: Arc::clone(&self.points),
            at: None,
            stopwatch: Arc::clone(stopwatch),
        };
        let thread = Thread {
            name: "bench".to_owned(),
            process: 0,
            mm: MmId(0),
            parent: None,
            allowed: CpuMask::EMPTY,
            stream: Box::new(replayed),
        };
        Workload {
            name: "bench".to_owned(),
            digest: String::new(),
            spaces: MmVec(vec![space]),
            threads: vec![thread],
            stop_after: None,
            convergence: Convergence::Ignored,
            groups: Vec::new(),
            memcgs: Vec::new(),
        }
    }
}

struct Replayed {
    nr_pages: u32,
    points: Arc<Points>,
    /// Next row; `None` before the first touch.
    at: Option<usize>,
    stopwatch: Arc<Stopwatch>,
}

/// Times a part of a run.
#[derive(Debug, Default)]
pub struct Stopwatch {
    started: OnceLock<f64>,
    ended: OnceLock<f64>,
}

impl Stopwatch {
    /// Begins; only the first call counts.
    pub fn start(&self) {
        self.started.get_or_init(now_ns);
    }

    /// Ends; only the first call counts.
    pub fn stop(&self) {
        self.ended.get_or_init(now_ns);
    }

    /// Nanoseconds between both; 0 before.
    pub fn ns(&self) -> f64 {
        self.ended.get().zip(self.started.get()).map_or(0.0, |(ended, started)| ended - started)
    }
}

/// CPU time of this thread where the system tells, so that neighbours who take the CPU away do not
/// count; else the time of day.
fn now_ns() -> f64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // The kernel brings the figure up to date when it schedules; else it is as old as the last tick.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let cpu = stat.and_then(|stat| stat.split_whitespace().next()?.parse().ok());
    cpu.unwrap_or_else(|| ORIGIN.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e9)
}

impl ThreadStream for Replayed {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        let Some(at) = self.at else {
            self.at = Some(0);
            return Ok(Step::Sweep(Sweep {
                mm: MmId(0),
                page: 0,
                nr_pages: self.nr_pages,
                traffic: Traffic::new(1, 0, true),
                think_ns: 0,
                sequential: true,
            }));
        };
        self.stopwatch.start();
        let rows = self.points.page.len();
        if at == rows {
            self.stopwatch.stop();
            return Ok(Step::End);
        }
        let range: Range<usize> = at..(at + STEP_ROWS).min(rows);
        self.at = Some(range.end);
        Ok(Step::Points(Arc::clone(&self.points), range))
    }
}

/// Runs the whole engine with full accounting on one thread; returns the accesses replayed. The
/// design decides whether pages are on one node (`first-touch`) or on all (`interleave`).
pub fn engine(machine: &Arc<Machine>, design: &str, workload: Workload) -> u64 {
    let design = designs::find(design).expect("a registered design");
    let built = (design.build_default)(machine);
    let spec = RunSpec::new(Arc::clone(machine), workload, design.about.name, built, 1);
    let run = sim::run(spec, &Progress::default()).expect("the benchmark's workload runs");
    run.vmstat[base::Vm::sim_accesses]
}

/// The yardstick: a bare CLOCK hit loop over the same array of entries. It checks presence and sets
/// the reference bit; an absent page becomes present. No time, no counts by node.
pub fn bare_clock(ptes: &mut [Pte], points: &Points) -> u64 {
    let mut misses = 0;
    for page in &points.page {
        let pte = &mut ptes[*page as usize];
        if pte.has(Pte::PRESENT) {
            pte.0 |= Pte::YOUNG;
        } else {
            pte.0 = Pte::PRESENT | Pte::YOUNG;
            misses += 1;
        }
    }
    misses
}

/// A machine of `nodes` nodes, `cpus` CPUs and 512 GiB each, for benchmarks.
pub fn machine(nodes: usize, cpus: usize) -> Arc<Machine> {
    let mut text = String::from("name = \"bench\"\ndescription = \"for benchmarks\"\n");
    for node in 0..nodes {
        let (first, last) = (cpus * node, cpus * (node + 1) - 1);
        text += &format!("[[nodes]]\ncpus = \"{first}-{last}\"\nmemory = \"512GiB\"\n");
    }
    text += r#"
[latency]
local = "90ns"
remote = "140ns"
[bandwidth]
core = { local = "12GiB/s", remote = "8GiB/s" }
controller = "60GiB/s"
[[bandwidth.links]]
one_way = "20GiB/s"
both_ways = "40GiB/s"
"#;
    Arc::new(topology::parse("bench.toml", &text).expect("a valid machine"))
}
