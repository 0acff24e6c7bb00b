//! What can be wrong with a trace.

use std::path::PathBuf;

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
    /// The file could not be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
