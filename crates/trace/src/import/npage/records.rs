//! The 16-byte records and the syscalls they make up.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::TraceError;

pub(super) const RECORD_BYTES: u64 = 16;

pub(super) const LOAD: u8 = 0;
pub(super) const STORE: u8 = 1;
pub(super) const IFETCH: u8 = 2;
pub(super) const BOTH: u8 = 3;
pub(super) const CLOCK: u8 = 8;
pub(super) const SYSCALL: u8 = 9;
pub(super) const ARGUMENT: u8 = 10;
pub(super) const RESULT: u8 = 11;
pub(super) const BLOCKED: u8 = 12;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    pub(super) kind: u8,
    /// 60 bits.
    pub(super) value: u64,
    pub(super) count: u32,
    pub(super) think: u32,
}

impl Record {
    /// The full value of an argument or result.
    pub(super) fn wide(&self) -> u64 {
        u64::from(self.count) << 60 | self.value
    }

    /// Whether it stands for accesses.
    pub(super) fn is_access(&self) -> bool {
        self.kind <= BOTH
    }
}

/// Reads the records of a part of a file.
pub(super) struct Records {
    path: PathBuf,
    input: BufReader<File>,
    at: u64,
    end: u64,
}

impl Records {
    /// Records from byte `start` up to `end`, or to the end of the file.
    pub(super) fn open(path: &Path, start: u64, end: Option<u64>) -> Result<Self, TraceError> {
        let mut file = fs_err::File::open(path)?;
        let length = file.metadata()?.len();
        let rest = length % RECORD_BYTES;
        if rest != 0 {
            let what = format!("the file ends within a record of {RECORD_BYTES} bytes");
            return Err(TraceError::damaged(path, length - rest, what));
        }
        file.seek(SeekFrom::Start(start))?;
        let input = BufReader::with_capacity(1 << 16, file.into_file());
        Ok(Self { path: path.to_owned(), input, at: start, end: end.unwrap_or(length) })
    }

    /// Byte offset of the next record.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> TraceError {
        TraceError::damaged(&self.path, self.at.saturating_sub(RECORD_BYTES), what)
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, TraceError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let mut bytes = [0; RECORD_BYTES as usize];
        self.input.read_exact(&mut bytes)?;
        self.at += RECORD_BYTES;
        let word = u128::from_le_bytes(bytes);
        let key = word as u64;
        let record = Record {
            kind: (key & 15) as u8,
            value: key >> 4,
            count: (word >> 64) as u32,
            think: (word >> 96) as u32,
        };
        if record.is_access() && (record.count == 0 || record.value >= 1 << 58) {
            return Err(
                self.damaged("an access record without touches or with an impossible address")
            );
        }
        if [ARGUMENT, RESULT].contains(&record.kind) && record.count > 15 {
            return Err(self.damaged("a value of more than 64 bits"));
        }
        Ok(Some(record))
    }
}

/// A syscall with what is known of its result.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) arguments: Vec<u64>,
}

/// Puts syscalls together from their records.
#[derive(Default)]
pub(super) struct Calls {
    open: Option<Call>,
}

impl Calls {
    /// Takes a record; returns a call when its result is known.
    pub(super) fn take(&mut self, record: &Record) -> Result<Option<(Call, i64)>, &'static str> {
        match record.kind {
            SYSCALL => self.open = Some(Call { number: record.value, arguments: Vec::new() }),
            ARGUMENT => match &mut self.open {
                Some(call) if call.arguments.len() < 6 => call.arguments.push(record.wide()),
                _ => return Err("an argument without a syscall"),
            },
            // A result alone is that of a call entered in another file: a fork's child.
            RESULT => {
                let Some(call) = self.open.take() else { return Ok(None) };
                if call.arguments.len() != 6 {
                    return Err("a result before the syscall's six arguments");
                }
                return Ok(Some((call, record.wide() as i64)));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Whether the thread has ended itself: no result will come.
    pub(super) fn exited(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|call| [60, 231].contains(&call.number) && call.arguments.len() == 6)
    }
}
