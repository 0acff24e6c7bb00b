//! The first pass: checks, threads, mappings.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::super::renumber::Mapped;
use super::meta::Recording;
use super::records::{BLOCKED, CLOCK, Call, Calls, IFETCH, RECORD_BYTES, RESULT, Records};
use crate::TraceError;

const MAP_ANONYMOUS: u64 = 0x20;
/// Where the guest's own mappings end and the emulator's begin.
const GUEST_END: u64 = 0x5000_0000_0000;

/// What the recording holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// In order of their first clocks.
    pub(super) threads: Vec<ThreadSpan>,
    pub(super) processes: Vec<Process>,
    pub(super) instructions: u64,
    /// Time threads ran, in ns of the recording.
    pub(super) running_ns: u64,
}

/// One thread's part of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct ThreadSpan {
    pub(super) pid: u32,
    pub(super) tid: u32,
    /// Index of its process.
    pub(super) process: u16,
    pub(super) bytes: Range<u64>,
    pub(super) first_ns: u64,
}

/// One process and what it ever mapped, in pages.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Whether mappings were recorded at all.
    pub(super) known: bool,
    pub(super) anonymous: Mapped,
    pub(super) files: Mapped,
    heap_end: Option<u64>,
}

/// Pages that lie at least partly in a range of bytes.
pub(super) fn pages(start: u64, length: u64) -> Range<u64> {
    start >> 12..start.saturating_add(length).saturating_add(4095) >> 12
}

impl Scan {
    pub(super) fn of(recording: &Recording) -> Result<Self, TraceError> {
        let mut scan = Self::default();
        let mut processes: BTreeMap<u32, Process> = BTreeMap::new();
        for (&(pid, tid), path) in &recording.files {
            let process =
                processes.entry(pid).or_insert_with(|| Process { pid, ..Process::default() });
            scan.file(recording, (pid, tid), path, process)?;
        }
        scan.threads.sort_by_key(|span| (span.first_ns, span.pid, span.tid));
        for process in processes.values_mut() {
            let maps = recording.beside(&format!("{}.maps", process.pid));
            if maps.exists() {
                process.read_maps(&maps)?;
            }
        }
        // Spaces are numbered in the order in which processes began.
        let mut order: Vec<u32> = Vec::new();
        for span in &mut scan.threads {
            let at = order.iter().position(|pid| *pid == span.pid).unwrap_or_else(|| {
                order.push(span.pid);
                order.len() - 1
            });
            span.process = at as u16;
        }
        if scan.threads.len() > usize::from(u16::MAX) {
            return Err(TraceError::Invalid("more than 65535 threads".to_owned()));
        }
        scan.processes = order.iter().filter_map(|pid| processes.remove(pid)).collect();
        Ok(scan)
    }

    fn file(
        &mut self,
        recording: &Recording,
        (pid, tid): (u32, u32),
        path: &Path,
        process: &mut Process,
    ) -> Result<(), TraceError> {
        let mut records = Records::open(path, 0, None)?;
        let mut calls = Calls::default();
        let mut spans: Vec<ThreadSpan> = Vec::new();
        let (mut touches, mut count) = (0_u64, 0_u64);
        let (mut last_ns, mut ended) = (None, false);
        while let Some(record) = records.next()? {
            count += 1;
            self.instructions += u64::from(record.think);
            if record.kind == CLOCK {
                if last_ns.is_some_and(|last| record.value < last) {
                    return Err(records.damaged("a clock that goes back"));
                }
                if !ended && let Some(last) = last_ns {
                    self.running_ns += record.value - last;
                }
                last_ns = Some(record.value);
            } else if spans.is_empty() || (ended && record.kind != BLOCKED) {
                // After its exit, but for the time that took, the records are those of a later
                // thread with the same id.
                let bytes = records.at() - RECORD_BYTES..records.at();
                let first_ns = last_ns.unwrap_or_default();
                spans.push(ThreadSpan { pid, tid, bytes, first_ns, process: 0 });
                calls = Calls::default();
                ended = false;
            }
            if record.is_access() && record.kind != IFETCH {
                touches += u64::from(record.count);
            }
            if record.kind == BLOCKED {
                self.running_ns = self.running_ns.saturating_sub(record.value);
            }
            let after_end = ended;
            match calls.take(&record) {
                Ok(Some((call, result))) => process.call(&call, result),
                Ok(None) => ended |= record.kind != RESULT && calls.exited(),
                Err(what) => return Err(records.damaged(what)),
            }
            if !after_end && let Some(span) = spans.last_mut() {
                span.bytes.end = records.at();
            }
        }
        if let Some(totals) = recording.totals.get(&(pid, tid))
            && spans.len() <= 1
            && totals.lost == 0
            && (totals.touches, totals.records) != (touches, count)
        {
            return Err(TraceError::damaged(
                path,
                records.at(),
                format!(
                    "{count} records with {touches} touches, but the recorder counted {} with {}",
                    totals.records, totals.touches
                ),
            ));
        }
        self.threads.append(&mut spans);
        Ok(())
    }
}

impl Process {
    fn call(&mut self, call: &Call, result: i64) {
        let [_, length, new_length, flags, ..] = call.arguments[..] else { return };
        if (-4095..0).contains(&result) {
            return;
        }
        let result = result as u64;
        match call.number {
            9 => {
                self.known = true;
                let to =
                    if flags & MAP_ANONYMOUS != 0 { &mut self.anonymous } else { &mut self.files };
                to.insert(pages(result, length));
            }
            12 => {
                self.known = true;
                if let Some(end) = self.heap_end
                    && result > end
                {
                    self.anonymous.extend(pages(end, result - end));
                }
                self.heap_end = Some(result);
            }
            25 => self.anonymous.insert(pages(result, new_length)),
            _ => {}
        }
    }

    /// The program, its loader and its stack, which no call of the guest mapped.
    fn read_maps(&mut self, path: &Path) -> Result<(), TraceError> {
        let bytes = fs_err::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        for (idx, line) in text.lines().enumerate() {
            let bad = || TraceError::Text {
                path: path.to_owned(),
                line: idx as u64 + 1,
                what: format!("{:?}", line.chars().take(60).collect::<String>()),
                expected: "START-END PERMISSIONS OFFSET DEVICE INODE [PATH]",
            };
            let mut words = line.split_ascii_whitespace();
            let range = words.next().and_then(|range| range.split_once('-')).ok_or_else(bad)?;
            let start = u64::from_str_radix(range.0, 16).map_err(|_| bad())?;
            let end = u64::from_str_radix(range.1, 16).map_err(|_| bad())?;
            if start >= end {
                return Err(bad());
            }
            if start >= GUEST_END {
                continue;
            }
            let file = words.nth(4).is_some_and(|path| path.starts_with('/'));
            let to = if file { &mut self.files } else { &mut self.anonymous };
            to.insert(pages(start, end - start));
        }
        Ok(())
    }
}
