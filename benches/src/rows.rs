//! Sources of rows for the decode benchmark: a trace file, and generated workloads.

use std::hint::black_box;
use std::path::Path;

use base::{CpuMask, MmId, MmVec, Pages};
use trace::container::{Meta, Order, Row, Source, ThreadMeta, TraceWriter};
use trace::generate::WorkloadSpec;
use trace::{Convergence, Event, Mapping, Space, Step, TraceError, Traffic, Workload};

use crate::replay::machine;

const NR_PAGES: u64 = 1 << 18;
const NR_THREADS: u16 = 4;

fn meta() -> Meta {
    let thread = |idx: u16| ThreadMeta {
        name: format!("thread {idx}"),
        process: 0,
        mm: MmId(0),
        parent: (idx > 0).then_some(0),
        allowed: CpuMask::EMPTY,
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
///
/// # Errors
/// A path that cannot be written.
pub fn write(path: &Path, rows: u32) -> Result<(), TraceError> {
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

/// Generated workloads of 4 GiB (1 M pages), a thread each: kind, and the settings that it needs.
pub const GENERATED: [(&str, &str); 5] = [
    ("uniform", "accesses = 1000000000"),
    ("zipf", "accesses = 1000000000"),
    ("mix", "accesses = 1000000000\nshared = \"1GiB\"\nshared_share = 0.3\nexponent = 0.8"),
    ("chase", "accesses = 1000000000"),
    ("gups", "hot = \"1GiB\""),
];

/// The generated workload of a kind.
pub fn generated(kind: &str) -> Option<Workload> {
    let (kind, settings) = GENERATED.into_iter().find(|(name, _)| *name == kind)?;
    let text = format!("kind = \"{kind}\"\nthreads = 1\nfootprint = \"4GiB\"\n{settings}\n");
    let spec: WorkloadSpec = config::parse("generated.toml", &text).expect("a valid workload");
    Some(spec.open(&machine(1, 1), 1).expect("it fits the machine"))
}

/// Takes rows of all threads, one thread after the other, up to `most` of each; gives how many there
/// were.
///
/// # Errors
/// A damaged trace.
pub fn drain(workload: Workload, most: u64) -> Result<u64, TraceError> {
    let mut all = 0;
    for mut thread in workload.threads {
        let mut rows = 0;
        while rows < most {
            match thread.stream.next_step()? {
                Step::Points(points, range) => {
                    rows += range.len() as u64;
                    black_box(points);
                }
                Step::End => break,
                Step::Sweep(_) | Step::Event(_) => {}
            }
        }
        all += rows;
    }
    Ok(all)
}
