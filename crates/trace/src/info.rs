//! What `numalab trace info` says about a trace.

use std::fmt;
use std::path::Path;

use base::{Bytes, Pages};
use serde::Serialize;

use crate::container::{DEFAULT_BUDGET, SharedTrace, Source, TraceFile};
use crate::{Event, Step, TraceError};

/// Facts and statistics of a trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceInfo {
    /// The trace's name.
    pub name: String,
    /// Its identity.
    pub digest: String,
    /// Whether every row was decoded and compared with the identity.
    pub verified: bool,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Accesses.
    pub accesses: u64,
    /// Events.
    pub events: u64,
    /// Bytes of the file per access or event.
    pub bytes_per_row: f64,
    /// Pages that are accessed.
    pub touched_pages: u64,
    /// Memory of those.
    pub footprint_bytes: u64,
    /// Accessed pages that two or more threads access, in per cent.
    pub shared_pages_pct: f64,
    /// Lines moved to or from pages whose first toucher is another thread, in per cent of all.
    pub lines_from_others_pct: f64,
    /// Lines read from memory.
    pub fills: u64,
    /// Lines written to memory.
    pub evictions: u64,
    /// Spaces.
    pub spaces: Vec<SpaceInfo>,
    /// Threads.
    pub threads: Vec<ThreadInfo>,
    /// Where it comes from.
    pub source: Source,
}

/// One space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpaceInfo {
    /// Process or path.
    pub name: String,
    /// Page numbers it has, touched or not.
    pub nr_pages: u64,
    /// Pages accessed.
    pub touched_pages: u64,
    /// Mappings at the start.
    pub mappings: usize,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ThreadInfo {
    /// Name.
    pub name: String,
    /// The thread that starts it.
    pub parent: Option<usize>,
    /// Accesses.
    pub accesses: u64,
    /// Of those, writes.
    pub writes: u64,
    /// Lines read from memory.
    pub fills: u64,
    /// Lines written to memory.
    pub evictions: u64,
    /// Time without memory traffic, in ns: think times and computation.
    pub think_ns: u64,
    /// Time asleep, in ns.
    pub sleep_ns: u64,
    /// Events.
    pub events: u64,
    /// Pages it touches before any other thread, by turns of the file's order within a thread and
    /// of thread starts between threads.
    pub first_touched_pages: u64,
    /// Lines it moves to or from pages that another thread touched first.
    pub lines_from_others: u64,
}

/// Marks a page that nobody touched.
const NOBODY: u16 = u16::MAX;

/// What is known of a page.
#[derive(Clone, Copy)]
struct PageUse {
    first: u16,
    shared: bool,
}

impl TraceInfo {
    /// Reads a trace through; with `verify` compares it with its digest as well.
    ///
    /// # Errors
    /// Any damage.
    pub fn of(path: &Path, verify: bool) -> Result<Self, TraceError> {
        if path.is_dir() {
            return Err(TraceError::not_a_trace(path, "a directory, expected a trace"));
        }
        let file = TraceFile::open(path)?;
        let rows = file.nr_rows();
        let trace = if verify {
            SharedTrace::verified(file, DEFAULT_BUDGET)?
        } else {
            SharedTrace::new(file, DEFAULT_BUDGET)
        };
        let walk = Walk::through(&trace)?;
        let (file, meta) = (trace.file(), trace.file().meta());
        let spaces = meta.spaces.iter().zip(&walk.pages).map(|(space, pages)| SpaceInfo {
            name: space.name.clone(),
            nr_pages: space.nr_pages.0,
            touched_pages: touched(pages),
            mappings: space.mappings.len(),
        });
        let touched_pages: u64 = walk.pages.iter().map(|pages| touched(pages)).sum();
        let shared = walk.pages.iter().flatten().filter(|page| page.shared).count() as u64;
        let sum = |of: fn(&ThreadInfo) -> u64| walk.threads.iter().map(of).sum::<u64>();
        let lines = sum(|thread| thread.fills + thread.evictions);
        Ok(Self {
            name: meta.name.clone(),
            digest: file.digest().to_owned(),
            verified: verify,
            file_bytes: file.nr_bytes(),
            accesses: sum(|thread| thread.accesses),
            events: sum(|thread| thread.events),
            bytes_per_row: file.nr_bytes() as f64 / rows.max(1) as f64,
            touched_pages,
            footprint_bytes: Pages(touched_pages).bytes().0,
            shared_pages_pct: percent(shared, touched_pages),
            lines_from_others_pct: percent(sum(|thread| thread.lines_from_others), lines),
            fills: sum(|thread| thread.fills),
            evictions: sum(|thread| thread.evictions),
            spaces: spaces.collect(),
            source: meta.source.clone(),
            threads: walk.threads,
        })
    }
}

fn touched(pages: &[PageUse]) -> u64 {
    pages.iter().filter(|page| page.first != NOBODY).count() as u64
}

fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 * 100.0 / of as f64 }
}

struct Walk {
    threads: Vec<ThreadInfo>,
    pages: Vec<Vec<PageUse>>,
}

impl Walk {
    /// Goes through the running threads in turn, a step each; a thread joins when it is started.
    fn through(trace: &SharedTrace) -> Result<Self, TraceError> {
        let workload = trace.workload()?;
        let unused = PageUse { first: NOBODY, shared: false };
        let pages = workload.spaces.iter().map(|space| vec![unused; space.nr_pages.0 as usize]);
        let mut walk = Self { threads: Vec::new(), pages: pages.collect() };
        let mut running: Vec<usize> = Vec::new();
        let mut streams = Vec::new();
        for (idx, thread) in workload.threads.into_iter().enumerate() {
            if thread.parent.is_none() {
                running.push(idx);
            }
            let (name, parent) = (thread.name, thread.parent);
            walk.threads.push(ThreadInfo { name, parent, ..ThreadInfo::default() });
            streams.push(thread.stream);
        }
        while !running.is_empty() {
            let mut next = Vec::new();
            for idx in running {
                let step = streams[idx].next_step()?;
                if let Step::Event(Event::Spawn(child)) = step {
                    next.push(child);
                }
                if !matches!(step, Step::End) {
                    next.push(idx);
                }
                walk.step(idx, &step);
            }
            running = next;
        }
        Ok(walk)
    }

    fn step(&mut self, idx: usize, step: &Step) {
        let thread = &mut self.threads[idx];
        match step {
            Step::Points(points, rows) => {
                for at in rows.clone() {
                    let traffic = points.traffic[at];
                    thread.accesses += 1;
                    thread.writes += u64::from(traffic.is_write());
                    thread.fills += u64::from(traffic.fills());
                    thread.evictions += u64::from(traffic.evictions());
                    thread.think_ns += u64::from(points.think_ns[at]);
                    let page = &mut self.pages[points.mm.idx()][points.page[at] as usize];
                    if page.first == NOBODY {
                        page.first = idx as u16;
                        thread.first_touched_pages += 1;
                    } else if usize::from(page.first) != idx {
                        page.shared = true;
                        thread.lines_from_others += u64::from(traffic.lines());
                    }
                }
            }
            Step::Event(event) => {
                thread.events += 1;
                match event {
                    Event::Sleep(span) => thread.sleep_ns += span.0,
                    Event::Compute(span) => thread.think_ns += span.0,
                    _ => {}
                }
            }
            // Recorded traces have no sweeps: they are rows in the file.
            Step::Sweep(_) | Step::End => {}
        }
    }
}

impl fmt::Display for TraceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verified = if self.verified { ", verified" } else { "" };
        writeln!(f, "{}  sha256 {}{verified}", self.name, self.digest)?;
        writeln!(
            f,
            "file        {} bytes, {} accesses, {} events, {:.2} bytes a row",
            self.file_bytes, self.accesses, self.events, self.bytes_per_row
        )?;
        writeln!(
            f,
            "footprint   {} pages ({}), {:.1} % of them used by two or more threads",
            self.touched_pages,
            Bytes(self.footprint_bytes),
            self.shared_pages_pct
        )?;
        writeln!(
            f,
            "lines       {} filled, {} written back; {:.1} % on pages that another thread touched first",
            self.fills, self.evictions, self.lines_from_others_pct
        )?;
        for (idx, space) in self.spaces.iter().enumerate() {
            writeln!(
                f,
                "space {idx:<5} {}: {} pages touched of {}, {} mappings",
                space.name, space.touched_pages, space.nr_pages, space.mappings
            )?;
        }
        writeln!(
            f,
            "{:>6} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}  name",
            "thread",
            "parent",
            "accesses",
            "fills",
            "evicted",
            "think ms",
            "sleep ms",
            "first pgs",
            "others %"
        )?;
        for (idx, thread) in self.threads.iter().enumerate() {
            writeln!(
                f,
                "{idx:>6} {:>6} {:>9} {:>9} {:>9} {:>9.1} {:>9.1} {:>9} {:>8.1}  {}",
                thread.parent.map_or("-".to_owned(), |parent| parent.to_string()),
                thread.accesses,
                thread.fills,
                thread.evictions,
                thread.think_ns as f64 / 1e6,
                thread.sleep_ns as f64 / 1e6,
                thread.first_touched_pages,
                percent(thread.lines_from_others, thread.fills + thread.evictions),
                thread.name
            )?;
        }
        let Source { tool, command, date, licence, notes } = &self.source;
        fact(f, "recorded", &format!("{tool} {date}"))?;
        fact(f, "command", command)?;
        fact(f, "licence", licence)?;
        notes.iter().try_for_each(|note| fact(f, "note", note))
    }
}

/// What is not known is left out; what has several lines, as the settings of a generator have,
/// stays in its column.
fn fact(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    let mut name = name;
    for line in text.trim().lines() {
        writeln!(f, "{name:<12}{}", line.trim_end())?;
        name = "";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base::{MmId, Nanos};

    use super::*;
    use crate::Traffic;
    use crate::container::{Row, TraceWriter, tests::meta};

    #[test]
    fn sharing_and_first_touch_are_counted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("t.parquet");
        let mut writer = TraceWriter::create(&path, meta()).expect("creates");
        let row = |thread, page| Row {
            thread,
            page,
            mm: MmId(0),
            traffic: Traffic::new(3, 1, thread == 1),
            think_ns: 10,
            ..Row::default()
        };
        writer.push(&row(0, 5)).expect("pushes");
        writer.push(&row(0, 6)).expect("pushes");
        writer.event(0, Event::Spawn(1)).expect("an event");
        writer.push(&row(1, 6)).expect("pushes");
        writer.push(&row(1, 7)).expect("pushes");
        writer.event(1, Event::Sleep(Nanos(500))).expect("an event");
        writer.finish().expect("finishes");
        let info = TraceInfo::of(&path, true).expect("reads");
        assert_eq!((info.accesses, info.events, info.touched_pages), (4, 2, 3));
        assert_eq!((info.fills, info.evictions), (12, 4));
        assert_eq!(info.threads[0].first_touched_pages, 2);
        let worker = &info.threads[1];
        assert_eq!((worker.first_touched_pages, worker.lines_from_others), (1, 4));
        assert_eq!((worker.writes, worker.think_ns, worker.sleep_ns), (2, 20, 500));
        assert!((info.shared_pages_pct - 100.0 / 3.0).abs() < 1e-9);
        assert!((info.lines_from_others_pct - 25.0).abs() < 1e-9);
        assert!(info.to_string().contains("33.3 % of them used by two or more"), "{info}");
        assert!(serde_json::to_string(&info).expect("JSON").contains("\"shared_pages_pct\":33.3"));
    }
}
