//! Writing what a workload's streams yield.

use std::path::Path;

use super::meta::{Meta, Source};
use super::write::{Summary, TraceWriter};
use crate::{Step, Thread, TraceError, Workload};

/// Steps a thread writes before the next thread's turn.
const TURN_STEPS: usize = 64;

/// Writes a workload to a file: its threads' steps in turn, sweeps as one row per page.
///
/// # Errors
/// More than `max_rows` rows (streams that never end need a shorter setting); steps that do not
/// fit the workload's declarations; a disk that is full.
pub fn save(
    workload: Workload,
    path: &Path,
    source: Source,
    max_rows: u64,
) -> Result<Summary, TraceError> {
    let meta = Meta::of(&workload, source);
    let mut out = Saver { writer: TraceWriter::create(path, meta)?, rows_left: max_rows, max_rows };
    let mut threads: Vec<(u16, Thread)> = Vec::new();
    for (idx, thread) in workload.threads.into_iter().enumerate() {
        let idx = u16::try_from(idx)
            .map_err(|_| TraceError::Invalid("more than 65535 threads".to_owned()))?;
        threads.push((idx, thread));
    }
    while !threads.is_empty() {
        let mut running = Vec::with_capacity(threads.len());
        for (idx, mut thread) in threads {
            if out.turn(idx, &mut thread)? {
                running.push((idx, thread));
            }
        }
        threads = running;
    }
    out.writer.finish()
}

struct Saver {
    writer: TraceWriter,
    rows_left: u64,
    max_rows: u64,
}

impl Saver {
    /// Writes some steps of a thread; whether there are more.
    fn turn(&mut self, thread: u16, from: &mut Thread) -> Result<bool, TraceError> {
        for _ in 0..TURN_STEPS {
            let step = from.stream.next_step()?;
            match &step {
                Step::Points(_, rows) => self.count(rows.len() as u64)?,
                Step::Sweep(sweep) => self.count(u64::from(sweep.nr_pages))?,
                Step::Event(_) => self.count(1)?,
                Step::End => return Ok(false),
            }
            self.writer.step(thread, step)?;
        }
        Ok(true)
    }

    fn count(&mut self, rows: u64) -> Result<(), TraceError> {
        let too_many = || {
            TraceError::Invalid(format!(
                "more than {} rows: give the generator fewer rounds or less memory",
                self.max_rows
            ))
        };
        self.rows_left = self.rows_left.checked_sub(rows).ok_or_else(too_many)?;
        Ok(())
    }
}
