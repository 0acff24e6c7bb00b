//! The directory a comparison is written to.

use std::io;
use std::path::{Path, PathBuf};

use results::{Comparison, Error, MadeDirs};

/// A directory that was found to be writable before the runs began.
pub struct Directory {
    path: PathBuf,
    made: MadeDirs,
}

impl Directory {
    /// Makes the directory if it does not exist, and sees whether a file can be written there, so
    /// that nobody waits for a result that then has no place.
    ///
    /// # Errors
    /// It cannot be made, or is not writable.
    pub fn prepare(path: &Path) -> Result<Self, Error> {
        let mut made = MadeDirs::default();
        made.make(path)?;
        tempfile::tempfile_in(path).map_err(|error| Error::write(path, error))?;
        Ok(Self { path: path.to_owned(), made })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a comparison with its report, by rename; returns the report's path. An earlier
    /// result stays valid until the last moment, and what was made for a result that could not be
    /// written is removed.
    ///
    /// # Errors
    /// The disk is full, or the file system refuses.
    pub fn save(self, comparison: &Comparison) -> Result<PathBuf, Error> {
        let page = report::html::report(comparison, None)
            .map_err(|error| Error::write(&self.path.join(REPORT), io::Error::other(error)))?;
        comparison.save(&self.path, &[(REPORT, page.as_bytes())])?;
        self.made.keep();
        Ok(self.path.join(REPORT))
    }

    /// Gives the directory up: what was made for it is removed if nothing is in it.
    pub fn forget(self) {
        drop(self.made);
    }
}

/// Name of the page.
const REPORT: &str = "report.html";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_given_up_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let directory = Directory::prepare(&path).unwrap();
        assert!(path.is_dir());
        directory.forget();
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn a_place_that_is_a_file_is_refused_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = Directory::prepare(&path.join("inside")).err().unwrap();
        assert!(error.to_string().contains("inside"), "{error}");
    }

    #[test]
    fn a_result_that_cannot_be_written_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let directory = Directory::prepare(&path).unwrap();
        // The page's place is taken by a directory, so it cannot be renamed there.
        std::fs::create_dir_all(path.join(REPORT)).unwrap();
        assert!(directory.save(&Comparison::default()).is_err());
        let left: Vec<_> = std::fs::read_dir(&path).unwrap().flatten().collect();
        assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".tmp")));
        assert!(!path.join("run.json").exists() && !path.join("latency").exists());
    }

    #[test]
    fn a_directory_that_was_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        Directory::prepare(dir.path()).unwrap().forget();
        assert!(dir.path().is_dir());
    }
}
