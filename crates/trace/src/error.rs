//! What can be wrong with a trace.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A trace that cannot be used.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file's bytes are not what its writer wrote.
    #[error("{path}: damaged at byte {offset}: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file is something else than what was asked for.
    #[error("{path}: {what}", path = path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// What it is instead, or lacks, and what helps.
        what: String,
    },
    /// A line of a text format that does not follow its grammar.
    #[error("{path}:{line}: {what}, expected {expected}", path = path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What stands there.
        what: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// Settings or rows handed in by the caller that make no trace.
    #[error("{0}")]
    Invalid(String),
    /// The file could not be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl TraceError {
    pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }

    pub(crate) fn not_a_trace(path: &Path, what: impl Into<String>) -> Self {
        Self::NotATrace { path: path.to_owned(), what: what.into() }
    }
}
