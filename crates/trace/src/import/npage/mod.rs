//! Recordings of the QEMU plugin; `traces/capture/README.md` describes their format.
//!
//! Two passes: [`scan`] checks every file, finds the threads (an id may be used again) and what was
//! ever mapped; [`replay`] runs the threads' windows in order of their clocks through their caches.
//!
//! Mappings are taken for present from the start, and an unmapping for `MADV_DONTNEED`: it frees
//! the pages. The recording does not say how threads waited for each other, so in a replay one
//! thread could reach a page before another one's `mmap`, and would find nothing there.

mod meta;
mod records;
mod replay;
mod scan;

use std::collections::BTreeMap;
use std::path::Path;

use base::{MmId, MmVec, Pages};

use super::renumber::Layout;
use super::stage::Stage;
use super::{Options, Report};
use crate::container::{Meta, Order, Source, ThreadMeta};
use crate::{Space, TraceError};
use meta::Recording;
use scan::{Scan, ThreadSpan};

/// Imports a recording: the files `PREFIX.meta`, `PREFIX.PID.maps` and `PREFIX.PID.TID.bin`.
///
/// # Errors
/// No such files; records cut or inconsistent with the recorder's totals, with the byte; settings
/// that make no caches; an output that cannot be written.
pub fn npage(prefix: &Path, out: &Path, options: &Options) -> Result<Report, TraceError> {
    options.check()?;
    let recording = Recording::open(prefix)?;
    let scan = Scan::of(&recording)?;
    let mut report = Report {
        source: "npage, the QEMU plugin",
        threads: "thread ids",
        mappings: "from mmap, brk and the process's maps, present from the start",
        time: "clock per window; instructions are counted",
        order: if recording.window == 0 {
            "exact within a thread; threads by the clock"
        } else {
            "within a thread by windows, in which counts are exact; threads by the clock"
        },
        events: "thread starts, freed ranges, advice, waits",
        ..Report::default()
    };
    if recording.unit_shift == 12 {
        report.notes.push(
            "the unit is a page: no cache model, each record moves at most 64 lines".to_owned(),
        );
    }
    let mut stage = Stage::beside(out)?;
    let parents = replay::run(&recording, &scan, options, &mut stage, &mut report)?;
    let touched = stage.take_touched();
    let mut layouts = Vec::new();
    let mut spaces = MmVec::default();
    for (idx, process) in scan.processes.iter().enumerate() {
        let none = super::renumber::Touched::default();
        let touched = touched.get(idx).unwrap_or(&none);
        let known = process.known.then_some(&process.anonymous);
        let layout = Layout::new(touched, known)?;
        report.pages += touched.count();
        spaces.push(Space {
            name: recording.process_name(process.pid),
            nr_pages: Pages(layout.nr_pages.into()),
            file: false,
            executable: false,
            mappings: layout.mappings(touched, known, &process.files),
        });
        layouts.push(layout);
    }
    report.nr_threads = scan.threads.len();
    notes(&recording, &scan, &parents, &mut report);
    let meta = Meta {
        name: options.name.clone(),
        spaces,
        threads: threads(&recording, &scan, &parents),
        order: Order::Concurrent,
        stop_after: None,
        convergence: crate::Convergence::Ignored,
        groups: Vec::new(),
        source: source(&recording, options),
    };
    report.written(stage.write(out, meta, &layouts)?);
    Ok(report)
}

fn threads(
    recording: &Recording,
    scan: &Scan,
    parents: &BTreeMap<usize, usize>,
) -> Vec<ThreadMeta> {
    let thread = |(idx, span): (usize, &ThreadSpan)| ThreadMeta {
        name: recording.thread_name(span.pid, span.tid),
        process: u32::from(span.process),
        mm: MmId(span.process),
        parent: parents.get(&idx).copied(),
        allowed: base::CpuMask::EMPTY,
        tid: span.tid,
    };
    scan.threads.iter().enumerate().map(thread).collect()
}

fn notes(
    recording: &Recording,
    scan: &Scan,
    parents: &BTreeMap<usize, usize>,
    report: &mut Report,
) {
    let orphans = scan.threads.len() - parents.len();
    if orphans > 1 {
        report.notes.push(format!("{orphans} threads have no recorded parent and start at time 0"));
    }
    let lost: u64 = recording.totals.values().map(|totals| totals.lost).sum();
    if lost > 0 {
        report.notes.push(format!("the recorder could not write {lost} records"));
    }
    let cut = scan.threads.iter().filter(|span| {
        !recording.totals.is_empty() && !recording.totals.contains_key(&(span.pid, span.tid))
    });
    let cut = cut.count();
    if cut > 0 {
        report.notes.push(format!("{cut} threads were killed: their last records are missing"));
    }
}

fn source(recording: &Recording, options: &Options) -> Source {
    let value = |key: &str| recording.value(key).unwrap_or_default().to_owned();
    let mut notes = vec![format!(
        "recorded with window {}, {} filter entries, unit {} bytes, on {} cores",
        recording.window,
        value("entries"),
        1_u64 << recording.unit_shift,
        value("cores"),
    )];
    notes.extend(settings(options));
    Source {
        tool: format!("npage, {} -cpu {}", value("qemu"), value("cpu")),
        command: recording.command(),
        date: value("date"),
        licence: options.licence.clone(),
        notes,
    }
}

/// The importer's own settings, as notes.
pub(super) fn settings(options: &Options) -> Vec<String> {
    let level = |cache: &topology::Cache| format!("{} bytes in {} ways", cache.size.0, cache.ways);
    let levels: Vec<String> = options.caches.levels.iter().map(level).collect();
    let caches = if levels.is_empty() { "none".to_owned() } else { levels.join(", ") };
    vec![
        format!("caches of a thread: {caches}"),
        format!("{} ns per instruction", options.ns_per_instruction),
    ]
}
