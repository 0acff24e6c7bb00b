//! The recording's files and what `PREFIX.meta` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::TraceError;

/// The files of a recording and its facts.
#[derive(Debug)]
pub(super) struct Recording {
    /// By (pid, tid).
    pub(super) files: BTreeMap<(u32, u32), PathBuf>,
    pub(super) prefix: PathBuf,
    pub(super) unit_shift: u32,
    /// Touches after which the filter was emptied, 0 for exact order.
    pub(super) window: u32,
    pub(super) totals: BTreeMap<(u32, u32), Totals>,
    processes: BTreeMap<u32, String>,
    names: BTreeMap<(u32, u32), String>,
    values: BTreeMap<String, String>,
}

/// A thread's exact totals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Loads, stores and their splits.
    pub(super) touches: u64,
    pub(super) records: u64,
    pub(super) lost: u64,
}

impl Recording {
    pub(super) fn open(prefix: &Path) -> Result<Self, TraceError> {
        let directory = match prefix.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let stem = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
        let mut files = BTreeMap::new();
        for entry in fs_err::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ids = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(".bin"));
            if let Some((pid, tid)) = ids.and_then(|ids| ids.split_once('.'))
                && let (Ok(pid), Ok(tid)) = (pid.parse(), tid.parse())
            {
                files.insert((pid, tid), entry.path());
            }
        }
        if files.is_empty() {
            let what = format!("no recording here: expected files {stem}PID.TID.bin");
            return Err(TraceError::not_a_trace(prefix, what));
        }
        let mut recording = Self {
            files,
            prefix: prefix.to_owned(),
            unit_shift: 12,
            window: 65536,
            totals: BTreeMap::new(),
            processes: BTreeMap::new(),
            names: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        let path = recording.beside("meta");
        if path.exists() {
            recording.read(&path)?;
        }
        Ok(recording)
    }

    /// `PREFIX.SUFFIX`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.prefix.clone().into_os_string();
        path.push(format!(".{suffix}"));
        path.into()
    }

    fn read(&mut self, path: &Path) -> Result<(), TraceError> {
        let bytes = fs_err::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        for (idx, line) in text.lines().enumerate() {
            let bad = |expected| TraceError::Text {
                path: path.to_owned(),
                line: idx as u64 + 1,
                what: format!("{:?}", line.chars().take(60).collect::<String>()),
                expected,
            };
            let Some((key, value)) = line.split_once('=') else {
                return Err(bad("key=value"));
            };
            match key {
                "npage" if value != "2" => {
                    return Err(bad("npage=2, the version this program reads"));
                }
                "unit_shift" => {
                    let shift = value.parse().ok().filter(|shift| [6, 12].contains(shift));
                    self.unit_shift = shift.ok_or_else(|| bad("unit_shift=6 or unit_shift=12"))?;
                }
                "window" => self.window = value.parse().map_err(|_| bad("window=NUMBER"))?,
                "process" => {
                    let pid = value.split(' ').next().and_then(|pid| pid.parse().ok());
                    let command = field(value, "command").unwrap_or_default();
                    self.processes
                        .insert(pid.ok_or_else(|| bad("process=PID ..."))?, command.to_owned());
                }
                "thread" => {
                    self.thread(value).ok_or_else(|| bad("thread=PID.TID loads=N stores=N ..."))?
                }
                _ => {
                    self.values.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        Ok(())
    }

    fn thread(&mut self, value: &str) -> Option<()> {
        let (pid, tid) = value.split(' ').next()?.split_once('.')?;
        let id = (pid.parse().ok()?, tid.parse().ok()?);
        let number = |name| -> Option<u64> { field(value, name)?.split(' ').next()?.parse().ok() };
        let touches = number("loads")?.checked_add(number("stores")?)?;
        let totals = Totals {
            touches: touches.checked_add(number("splits")?)?,
            records: number("records")?,
            lost: number("lost")?,
        };
        self.totals.insert(id, totals);
        self.names.insert(id, field(value, "name").unwrap_or_default().to_owned());
        Some(())
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The first process's command line, without the emulator's part.
    pub(super) fn command(&self) -> String {
        let line = self.processes.values().next().map(String::as_str).unwrap_or_default();
        let guest = line.split_once(" -plugin ").and_then(|(_, rest)| rest.split_once(' '));
        guest.map_or(line, |(_, guest)| guest).to_owned()
    }

    pub(super) fn thread_name(&self, pid: u32, tid: u32) -> String {
        match self.names.get(&(pid, tid)) {
            // The emulator's own name says nothing.
            Some(name) if !name.is_empty() && !name.starts_with("qemu-") => name.clone(),
            _ => format!("tid {tid}"),
        }
    }

    pub(super) fn process_name(&self, pid: u32) -> String {
        let program = self.value("program").and_then(|program| program.split(' ').next());
        match program {
            Some(path) => path.rsplit('/').next().unwrap_or(path).to_owned(),
            None => format!("pid {pid}"),
        }
    }
}

/// The value behind ` name=`; the caller cuts it where another one follows.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!(" {name}="))? + name.len() + 2;
    line.get(start..)
}
