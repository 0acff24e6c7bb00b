//! Valgrind lackey's text (`--trace-mem=yes`, with `--trace-sched=yes` for threads).
//!
//! ```text
//! I  0401ab70,3            instruction fetch
//!  L 1ffe,8 | S 1ffe,8     load, store
//!  M 1ffe,8                a load and a store
//! ==7755== text            Valgrind's own messages
//! --7755--   SCHED[2]:  acquired lock (...)    thread 2 runs from here
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use base::{MmId, MmVec, Pages};

use super::filter::Filter;
use super::renumber::{Layout, Mapped};
use super::stage::{RawEvent, Stage};
use super::{Options, Report};
use crate::container::{Meta, Order, Source, ThreadMeta};
use crate::{Space, TraceError};

/// Longest line that can belong to the format: messages quote command lines.
const LONGEST_LINE: usize = 1 << 20;
/// Most bytes one access may touch.
const LARGEST_ACCESS: u64 = 4096;
const GRAMMAR: &str =
    "`I  ADDRESS,SIZE`, ` L ADDRESS,SIZE`, ` S ...`, ` M ...`, `==PID== ...` or `--PID-- ...`";

/// Imports a lackey log.
///
/// # Errors
/// A file that is empty or no lackey log; a line outside the grammar, with its number; lines of
/// two processes; settings that make no caches; an output that cannot be written.
pub fn lackey(input: &Path, out: &Path, options: &Options) -> Result<Report, TraceError> {
    options.check()?;
    let mut import = Lackey {
        path: input,
        options,
        line: 0,
        pid: None,
        current: 1,
        threads: BTreeMap::new(),
        stage: Stage::beside(out)?,
        report: report(),
        finished: false,
        command: String::new(),
        version: String::new(),
        kernel: 0,
        messages: 0,
    };
    let file = fs_err::File::open(input)?;
    import.read(&mut BufReader::with_capacity(1 << 20, file))?;
    import.finish(out)
}

fn report() -> Report {
    Report {
        source: "Valgrind lackey",
        threads: "Valgrind's numbers, from SCHED lines",
        mappings: "unknown: one mapping covers everything",
        time: "none; instructions are counted",
        order: "exact, but Valgrind runs one thread at a time",
        events: "threads start when they first run",
        ..Report::default()
    }
}

struct Lackey<'a> {
    path: &'a Path,
    options: &'a Options,
    line: u64,
    pid: Option<u64>,
    current: u32,
    /// By Valgrind's number: index and filter.
    threads: BTreeMap<u32, (u16, Filter)>,
    stage: Stage,
    report: Report,
    finished: bool,
    command: String,
    version: String,
    /// Accesses to the upper half of the address space.
    kernel: u64,
    messages: u64,
}

impl Lackey<'_> {
    fn bad(&self, line: &[u8], expected: &'static str) -> TraceError {
        let shown: String = String::from_utf8_lossy(line).chars().take(60).collect();
        let what = if line.first() == Some(&b'<') {
            format!("{shown:?} looks like HTML or XML")
        } else {
            format!("{shown:?}")
        };
        TraceError::Text { path: self.path.to_owned(), line: self.line, what, expected }
    }

    fn read(&mut self, input: &mut impl BufRead) -> Result<(), TraceError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = LONGEST_LINE as u64;
            let read = std::io::Read::take(&mut *input, limit).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            self.line += 1;
            if line.last() != Some(&b'\n') {
                if read == LONGEST_LINE {
                    return Err(self.bad(&line, "shorter lines"));
                }
                // A line without its end may have lost digits that cannot be seen.
                self.cut_line(&line)?;
                break;
            }
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.one_line(&line)?;
        }
        if self.line == 0 {
            return Err(TraceError::not_a_trace(self.path, "the file is empty"));
        }
        if self.report.kept == 0 {
            let what = "no memory access in it: record with --tool=lackey --trace-mem=yes";
            return Err(TraceError::not_a_trace(self.path, what));
        }
        Ok(())
    }

    fn cut_line(&mut self, line: &[u8]) -> Result<(), TraceError> {
        if self.line == 1 || !b"I LSM=-".contains(line.first().unwrap_or(&b'?')) {
            return Err(self.bad(line, GRAMMAR));
        }
        self.report.dropped += 1;
        self.report.notes.push(format!("line {} is cut off and was dropped", self.line));
        Ok(())
    }

    fn one_line(&mut self, line: &[u8]) -> Result<(), TraceError> {
        self.report.read += 1;
        match line {
            [b'I', b' ', b' ', rest @ ..] => {
                let (address, size) = self.operands(line, rest)?;
                self.report.instructions += 1;
                let ifetch = self.options.ifetch;
                self.filter()?.1.instructions(1);
                if ifetch {
                    self.report.kept += 1;
                    self.access(address, size, false)?;
                }
                Ok(())
            }
            [b' ', kind @ (b'L' | b'S' | b'M'), b' ', rest @ ..] => {
                let (address, size) = self.operands(line, rest)?;
                self.report.kept += 1;
                self.access(address, size, *kind != b'L')?;
                // The load of an M line has already brought the line in.
                self.report.accesses += u64::from(*kind == b'M');
                Ok(())
            }
            [b'=', b'=', ..] | [b'-', b'-', ..] => self.message(line),
            [] => Ok(()),
            _ => Err(self.bad(line, GRAMMAR)),
        }
    }

    fn operands(&self, line: &[u8], rest: &[u8]) -> Result<(u64, u64), TraceError> {
        const EXPECTED: &str =
            "a hexadecimal address of at least 8 digits, a comma and a size of 1 to 4096 bytes";
        let parse = || {
            let comma = rest.iter().position(|byte| *byte == b',')?;
            let (address, size) = (&rest[..comma], &rest[comma + 1..]);
            let plain = |text: &[u8]| text.iter().all(u8::is_ascii_alphanumeric);
            if !plain(address) || !plain(size) || address.len() < 8 {
                return None;
            }
            let address = u64::from_str_radix(std::str::from_utf8(address).ok()?, 16).ok()?;
            let size: u64 = std::str::from_utf8(size).ok()?.parse().ok()?;
            address.checked_add(size)?;
            (1..=LARGEST_ACCESS).contains(&size).then_some((address, size))
        };
        parse().ok_or_else(|| self.bad(line, EXPECTED))
    }

    fn access(&mut self, address: u64, size: u64, write: bool) -> Result<(), TraceError> {
        self.report.accesses += 1;
        if address >> 63 == 1 {
            self.kernel += 1;
            self.report.kept -= 1;
            self.report.dropped += 1;
            return Ok(());
        }
        self.filter()?;
        if let Some((_, filter)) = self.threads.get_mut(&self.current) {
            for line in address >> 6..=(address + size - 1) >> 6 {
                filter.access(line, write, &mut self.stage)?;
            }
        }
        Ok(())
    }

    /// The filter of the thread that runs; a thread is started when it first runs.
    fn filter(&mut self) -> Result<&mut (u16, Filter), TraceError> {
        if !self.threads.contains_key(&self.current) {
            let idx = u16::try_from(self.threads.len())
                .map_err(|_| TraceError::Invalid("more than 65535 threads".to_owned()))?;
            if idx > 0
                && let Some((_, first)) = self.threads.values_mut().find(|t| t.0 == 0)
            {
                first.settle(&mut self.stage)?;
                self.stage.event(0, RawEvent::Spawn(usize::from(idx)))?;
            }
            let ps = self.options.ps_per_instruction()?;
            let filter = Filter::new(idx, 0, &self.options.caches, ps)?;
            self.threads.insert(self.current, (idx, filter));
        }
        self.threads
            .get_mut(&self.current)
            .ok_or_else(|| TraceError::Invalid("a thread was lost".to_owned()))
    }

    fn message(&mut self, line: &[u8]) -> Result<(), TraceError> {
        let text = String::from_utf8_lossy(line);
        let mark = &text[..2];
        let Some((pid, rest)) = text[2..].split_once(mark) else {
            return Err(self.bad(line, "`==PID==` or `--PID--`"));
        };
        let pid = pid.parse().map_err(|_| self.bad(line, "a process number between the marks"))?;
        if *self.pid.get_or_insert(pid) != pid {
            let what = "one process: record with --log-file=NAME.%p so that each has its own log";
            return Err(self.bad(line, what));
        }
        let rest = rest.trim();
        if let Some(sched) = rest.strip_prefix("SCHED[") {
            if let Some((number, what)) = sched.split_once("]:")
                && what.trim_start().starts_with("acquired lock")
            {
                self.current =
                    number.parse().map_err(|_| self.bad(line, "a thread number in SCHED[]"))?;
            }
        } else if let Some(command) = rest.strip_prefix("Command: ") {
            self.command = command.to_owned();
        } else if let Some(version) = rest.strip_prefix("Using ") {
            self.version = version.split(';').next().unwrap_or_default().to_owned();
        } else if rest.starts_with("Exit code:") {
            self.finished = true;
        } else if rest.starts_with("Warning:") {
            self.messages += 1;
        }
        Ok(())
    }

    fn finish(mut self, out: &Path) -> Result<Report, TraceError> {
        for (_, filter) in self.threads.values_mut() {
            filter.settle(&mut self.stage)?;
            self.report.fills += filter.counts.fills;
            self.report.evictions += filter.counts.evictions;
        }
        self.notes();
        let touched = self.stage.take_touched();
        let touched = touched.into_iter().next().unwrap_or_default();
        let layout = Layout::new(&touched, None)?;
        self.report.pages = touched.count();
        self.report.nr_threads = self.threads.len();
        let space = Space {
            name: self.command.split(' ').next().unwrap_or_default().to_owned(),
            nr_pages: Pages(layout.nr_pages.into()),
            file: false,
            executable: false,
            mappings: layout.mappings(&touched, None, &Mapped::default()),
        };
        let mut threads: Vec<(u16, ThreadMeta)> = Vec::new();
        for (number, (idx, _)) in &self.threads {
            let thread = ThreadMeta {
                name: format!("thread {number}"),
                process: 0,
                mm: MmId(0),
                parent: (*idx > 0).then_some(0),
                allowed: base::CpuMask::EMPTY,
                tid: *number,
            };
            threads.push((*idx, thread));
        }
        threads.sort_by_key(|(idx, _)| *idx);
        let meta = Meta {
            name: self.options.name.clone(),
            spaces: MmVec(vec![space]),
            threads: threads.into_iter().map(|(_, thread)| thread).collect(),
            order: Order::Serialised,
            stop_after: None,
            convergence: crate::Convergence::Ignored,
            groups: Vec::new(),
            source: Source {
                tool: format!("{} lackey", self.version),
                command: self.command,
                date: String::new(),
                licence: self.options.licence.clone(),
                notes: super::npage::settings(self.options),
            },
        };
        self.report.written(self.stage.write(out, meta, &[layout])?);
        Ok(self.report)
    }

    fn notes(&mut self) {
        let notes = &mut self.report.notes;
        if self.kernel > 0 {
            notes.push(format!("{} accesses to kernel addresses were dropped", self.kernel));
        }
        if self.messages > 0 {
            notes.push(format!("{} warnings of Valgrind were skipped", self.messages));
        }
        if !self.finished {
            notes.push("no exit code at the end: the program or its log was cut short".to_owned());
        }
        if self.threads.len() == 1 {
            notes
                .push("one thread: record with --trace-sched=yes to tell threads apart".to_owned());
        }
    }
}
