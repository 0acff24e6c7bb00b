//! Importers: other programs' recordings into the native container.
//!
//! Each streams its input through every thread's caches ([`crate::cache`]), so that the trace's rows
//! are what reaches memory, and keeps what it produces on disk until all pages are known and can be
//! numbered densely. What a source cannot say is stated in the [`Report`].

mod filter;
mod lackey;
mod npage;
mod renumber;
mod stage;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;
use topology::Caches;

pub use lackey::lackey;
pub use npage::npage;

use crate::container::Summary;

/// Settings of an import.
#[derive(Clone, Debug)]
pub struct Options {
    /// Caches of one thread; without levels every access is traffic.
    pub caches: Caches,
    /// Time an instruction takes without memory traffic, in ns.
    pub ns_per_instruction: f64,
    /// The trace's name.
    pub name: String,
    /// Terms under which it may be used.
    pub licence: String,
    /// Whether instruction fetches go through the caches as well.
    pub ifetch: bool,
    /// Whether waits of the recording become sleeps, scaled to the modelled speed.
    pub waits: bool,
}

impl Options {
    /// No caches, 0.3 ns an instruction (about 3 instructions a nanosecond), data only, waits kept.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            caches: Caches { levels: Vec::new() },
            ns_per_instruction: 0.3,
            name: name.into(),
            licence: String::new(),
            ifetch: false,
            waits: true,
        }
    }

    /// Picoseconds of an instruction.
    fn ps_per_instruction(&self) -> Result<u64, crate::TraceError> {
        let ns = self.ns_per_instruction;
        if !(0.0..=1e6).contains(&ns) {
            let what = format!("{ns} ns per instruction, expected 0 to 1000000");
            return Err(crate::TraceError::Invalid(what));
        }
        Ok((ns * 1000.0).round_ties_even() as u64)
    }

    fn check(&self) -> Result<(), crate::TraceError> {
        self.ps_per_instruction()?;
        crate::cache::Hierarchy::new(&self.caches).map_err(crate::TraceError::Invalid)?;
        Ok(())
    }
}

/// What the source could say, and what became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The kind of source.
    pub source: &'static str,
    /// How threads are told apart.
    pub threads: &'static str,
    /// What is known of mappings.
    pub mappings: &'static str,
    /// What is known of time.
    pub time: &'static str,
    /// What the order of accesses means.
    pub order: &'static str,
    /// Which events there are.
    pub events: &'static str,
    /// Lines or records read.
    pub read: u64,
    /// Of those, accesses that were used.
    pub kept: u64,
    /// Of those, dropped on purpose; `notes` say why.
    pub dropped: u64,
    /// Single accesses the kept ones stand for.
    pub accesses: u64,
    /// Instructions seen.
    pub instructions: u64,
    /// Lines that came from memory.
    pub fills: u64,
    /// Dirty lines that went to memory.
    pub evictions: u64,
    /// Pages touched.
    pub pages: u64,
    /// Threads found.
    pub nr_threads: usize,
    /// Rows of accesses written.
    pub rows: u64,
    /// Events written.
    pub nr_events: u64,
    /// Bytes of the trace.
    pub bytes: u64,
    /// The trace's identity.
    pub digest: String,
    /// What the user should know, one sentence each.
    pub notes: Vec<String>,
}

impl Report {
    fn written(&mut self, summary: Summary) {
        self.rows = summary.accesses;
        self.nr_events = summary.events;
        self.bytes = summary.bytes;
        self.digest = summary.digest;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "source      {}", self.source)?;
        writeln!(f, "threads     {} ({})", self.nr_threads, self.threads)?;
        writeln!(f, "mappings    {}", self.mappings)?;
        writeln!(f, "time        {}", self.time)?;
        writeln!(f, "order       {}", self.order)?;
        writeln!(f, "events      {} ({})", self.nr_events, self.events)?;
        writeln!(f, "read        {}, kept {}, dropped {}", self.read, self.kept, self.dropped)?;
        writeln!(f, "accesses    {}, instructions {}", self.accesses, self.instructions)?;
        writeln!(f, "lines       {} filled, {} written back", self.fills, self.evictions)?;
        writeln!(f, "trace       {} rows, {} pages, {} bytes", self.rows, self.pages, self.bytes)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note        {note}"))
    }
}
