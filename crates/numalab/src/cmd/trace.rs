//! `numalab trace`.

use std::path::{Path, PathBuf};

use config::{Problem, Problems};
use trace::container::{Meta, Source, Summary, TraceWriter};
use trace::generate::{WorkloadFile, rows};
use trace::{Event, Step, TraceError, TraceInfo, Workload};

use super::{machine, told};
use crate::cli::Trace;
use crate::error::Error;
use crate::ui::{Ui, note, out};

pub(super) fn trace(command: &Trace, ui: &Ui) -> Result<(), Error> {
    match command {
        Trace::Info { files, verify, json } => info(files, *verify, *json),
        Trace::Generate { workload, machine: on, out: path, limit, seed } => {
            let made = results::MadeDirs::for_file(path)?;
            let machine = machine(on, ui);
            let file = told(WorkloadFile::load(workload), ui)?;
            let opened = file
                .spec
                .open(&machine?, *seed)
                .map_err(|error| Error::Input(format!("{}: {error}", workload.display())))?;
            let source = Source {
                tool: format!("numalab {}", env!("CARGO_PKG_VERSION")),
                command: config::to_toml_text(&file.spec),
                notes: vec![format!("generated with seed {seed}")],
                ..Source::default()
            };
            let summary = write(opened, path, source, *limit)
                .map_err(|error| Error::writing_trace(path, error))?;
            made.keep();
            if summary.accesses >= *limit {
                note(&format!("note: the workload goes on after {limit} accesses\n"));
            }
            out(&format!("{}\n", path.display()))
        }
    }
}

/// Shows each trace. What is wrong with one does not hide the others: it is told at the end.
fn info(files: &[PathBuf], verify: bool, json: bool) -> Result<(), Error> {
    let mut damaged = Problems::default();
    let mut shown = 0;
    for file in files {
        match TraceInfo::of(file, verify) {
            Err(error) => damaged.push(Problem::error(error.to_string())),
            Ok(info) if json => {
                let text = serde_json::to_string(&info);
                out(&(text.map_err(|error| Error::Bug(error.to_string()))? + "\n"))?;
            }
            Ok(info) => {
                let gap = if shown > 0 { "\n" } else { "" };
                out(&format!("{gap}{info}"))?;
                shown += 1;
            }
        }
    }
    if damaged.is_empty() { Ok(()) } else { Err(damaged.into()) }
}

/// Writes the threads' steps in turn, up to `limit` accesses. Threads that the limit keeps from
/// being started are started at the end and do nothing, so that the trace is complete.
fn write(
    workload: Workload,
    path: &Path,
    source: Source,
    limit: u64,
) -> Result<Summary, TraceError> {
    let mut writer = TraceWriter::create(path, Meta::of(&workload, source))?;
    let parents: Vec<Option<usize>> = workload.threads.iter().map(|thread| thread.parent).collect();
    let mut started: Vec<bool> = parents.iter().map(Option::is_none).collect();
    for step in rows(workload, limit) {
        let (thread, step) = step?;
        if let Step::Event(Event::Spawn(child)) = step
            && let Some(started) = started.get_mut(child)
        {
            *started = true;
        }
        writer.step(number(thread)?, step)?;
    }
    for (child, (parent, started)) in parents.into_iter().zip(started).enumerate() {
        if let (Some(parent), false) = (parent, started) {
            writer.event(number(parent)?, Event::Spawn(child))?;
        }
    }
    writer.finish()
}

fn number(thread: usize) -> Result<u16, TraceError> {
    u16::try_from(thread).map_err(|_| TraceError::Invalid("more than 65535 threads".to_owned()))
}
