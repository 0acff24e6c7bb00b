//! What can go wrong with results on disk.

use std::io;
use std::path::{Path, PathBuf};

/// A result that could not be written or read back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused; earlier results in the directory are still valid.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{} is damaged or not a result of numalab: {message}", path.display())]
    Format {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// The operating system's error alone: the libraries that files are written through add the path
/// that they were given, which here is that of a temporary file or the one told anyway.
fn without_other_paths(error: io::Error) -> io::Error {
    let text = error.to_string();
    let from = text.rfind(": ").filter(|_| text.starts_with("failed to ")).map_or(0, |at| at + 2);
    let to = text.find(" at path \"").unwrap_or(text.len());
    match text.get(from..to) {
        Some(cause) if cause.len() < text.len() => io::Error::new(error.kind(), cause),
        _ => error,
    }
}

impl Error {
    /// Writing to `path` failed.
    pub fn write(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Write { path: path.to_owned(), source: without_other_paths(source.into()) }
    }

    pub(crate) fn format(path: &Path, message: impl ToString) -> Self {
        Self::Format { path: path.to_owned(), message: message.to_string() }
    }
}
