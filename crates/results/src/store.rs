//! A comparison as a directory, and back.
//!
//! | file | holds |
//! | --- | --- |
//! | `run.json` | everything but histograms and histories: manifest, cells, summary, verdicts, digest |
//! | `counters.parquet`, `series.parquet`, `tasks.parquet`, `summary.parquet` | tidy tables |
//! | `latency/*.hlog` | HdrHistogram V2 interval logs, one per cell |
//! | `history/*.json` | where threads and memory were and what moved them, one file per cell |
//! | `machine-*.svg` | drawings of the machines |
//!
//! Every file is written beside its place first; only when all are complete do they take their
//! places, `run.json` last. So a full disk leaves an earlier result in the directory valid.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::hlog::{from_hlog, to_hlog};
use crate::json::{from_json, to_json};
use crate::latency::histogram_digest;
use crate::{Comparison, Drawing, Error, History, Run, tables};

/// The file that makes a directory a result.
pub const MANIFEST: &str = "run.json";
const LOGS: &str = "latency";
const HISTORIES: &str = "history";

/// Directories that were made for an output. They go again, as far as they are empty, unless they
/// are kept.
#[derive(Default)]
pub struct MadeDirs {
    /// A directory comes before those it is in.
    innermost_first: Vec<PathBuf>,
}

impl MadeDirs {
    /// Makes the directories that a file at `path` will be in.
    ///
    /// # Errors
    /// As of [`Self::make`]; `path` is a directory itself.
    pub fn for_file(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let what = "it is a directory; name a file";
            let source = std::io::Error::new(std::io::ErrorKind::IsADirectory, what);
            return Err(Error::write(path, source));
        }
        let mut made = Self::default();
        made.make(path.parent().unwrap_or(Path::new("")))?;
        Ok(made)
    }

    /// Makes the directory at `path` and those around it, where they do not exist.
    ///
    /// # Errors
    /// Something on the way is no directory, or the file system refuses.
    pub fn make(&mut self, path: &Path) -> Result<(), Error> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let ancestors = || path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty());
        if let Some(file) = ancestors().find(|ancestor| ancestor.exists())
            && !file.is_dir()
        {
            let what = match file == path {
                true => "a file of this name is there; name another directory, or remove the file",
                false => "on the way to it is a file, not a directory",
            };
            let source = std::io::Error::new(std::io::ErrorKind::NotADirectory, what);
            return Err(Error::write(path, source));
        }
        let missing = ancestors().take_while(|ancestor| !ancestor.exists()).map(Path::to_owned);
        let missing: Vec<PathBuf> = missing.collect();
        self.innermost_first.splice(0..0, missing);
        std::fs::create_dir_all(path).map_err(|error| Error::write(path, error))
    }

    /// Lets them stay.
    pub fn keep(mut self) {
        self.innermost_first.clear();
    }
}

impl Drop for MadeDirs {
    fn drop(&mut self) {
        // One that is not empty stays, and so do those around it.
        self.innermost_first.iter().for_each(|made| drop(std::fs::remove_dir(made)));
    }
}

/// Files that are complete but not yet in their places. Without [`Self::commit`] nothing of them
/// is left.
#[derive(Default)]
pub struct Staged {
    // Dropped in this order: the files, then the directories that hold them.
    files: Vec<(NamedTempFile, PathBuf)>,
    dirs: MadeDirs,
}

impl Staged {
    /// Writes one more file beside its place with `fill`, down to the disk.
    pub fn add<E: Into<std::io::Error>>(
        &mut self,
        path: &Path,
        fill: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> Result<(), E>,
    ) -> Result<(), Error> {
        let place = path.parent().unwrap_or(Path::new(""));
        self.dirs.make(place)?;
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        let failed = |error: std::io::Error| Error::write(path, error);
        let mut file = NamedTempFile::new_in(place).map_err(failed)?;
        let mut writer = BufWriter::new(&mut file);
        fill(&mut writer).map_err(|error| failed(error.into()))?;
        writer.flush().map_err(failed)?;
        drop(writer);
        readable(&file).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        self.files.push((file, path.to_owned()));
        Ok(())
    }

    /// Lets all files take their places, in the order in which they were added.
    pub fn commit(self) -> Result<(), Error> {
        for (file, path) in self.files {
            file.persist(&path).map_err(|error| Error::write(&path, error.error))?;
        }
        self.dirs.keep();
        Ok(())
    }
}

/// Temporary files are private to their owner; results are as readable as other files.
#[cfg(unix)]
fn readable(file: &NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &NamedTempFile) -> std::io::Result<()> {
    Ok(())
}

/// Writes one file by rename.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut staged = Staged::default();
    staged.add(path, |file| file.write_all(content))?;
    staged.commit()
}

impl Comparison {
    /// Writes the directory; `others` are further files in it (name, content), such as the report.
    pub fn save(&self, dir: &Path, others: &[(&str, &[u8])]) -> Result<(), Error> {
        let mut staged = Staged::default();
        for (name, columns) in [
            ("counters.parquet", tables::counters(self)),
            ("series.parquet", tables::series(self)),
            ("tasks.parquet", tables::tasks(self)),
            ("summary.parquet", tables::summary_table(self)),
        ] {
            staged.add(&dir.join(name), |file| {
                tables::write(&columns, file).map_err(parquet_cause)
            })?;
        }
        for (index, run) in self.cells.iter().enumerate() {
            let path = dir.join(log_name(index, run));
            let log = to_hlog(run)
                .map_err(|message| Error::write(&path, std::io::Error::other(message)))?;
            staged.add(&path, |file| file.write_all(&log))?;
            if !run.history.is_empty() {
                let json = run.history.to_json();
                staged.add(&dir.join(history_name(index, run)), |file| writeln!(file, "{json}"))?;
            }
        }
        for drawing in &self.drawings {
            staged.add(&dir.join(drawing_name(&drawing.machine)), |file| {
                file.write_all(drawing.svg.as_bytes())
            })?;
        }
        for (name, content) in others {
            staged.add(&dir.join(name), |file| file.write_all(content))?;
        }
        let json = to_json(self).text;
        staged.add(&dir.join(MANIFEST), |file| writeln!(file, "{json}"))?;
        staged.commit()?;
        self.remove_stale(dir, LOGS, "hlog", log_name)?;
        self.remove_stale(dir, HISTORIES, "json", history_name)
    }

    /// Removes the files of an earlier result's other cells from `folder`, so that whoever reads all
    /// of them reads this result. Files of other names are not touched.
    fn remove_stale(
        &self,
        dir: &Path,
        folder: &str,
        kind: &str,
        name: fn(usize, &Run) -> PathBuf,
    ) -> Result<(), Error> {
        let folder = dir.join(folder);
        if !folder.is_dir() {
            return Ok(());
        }
        let cells = self.cells.iter().enumerate();
        let current: Vec<PathBuf> = cells.map(|(index, run)| dir.join(name(index, run))).collect();
        for entry in fs_err::read_dir(&folder).map_err(|error| Error::write(&folder, error))? {
            let path = entry.map_err(|error| Error::write(&folder, error))?.path();
            if is_cell_name(&path, kind) && !current.contains(&path) {
                fs_err::remove_file(&path).map_err(|error| Error::write(&path, error))?;
            }
        }
        Ok(())
    }

    /// Reads a directory that [`Self::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(MANIFEST);
        let text = fs_err::read_to_string(&path)
            .map_err(|source| Error::Read { path: path.clone(), source })?;
        let parsed = from_json(&text).map_err(|message| Error::format(&path, message))?;
        let mut comparison = parsed.comparison;
        for (index, (run, digests)) in
            comparison.cells.iter_mut().zip(&parsed.histogram_digests).enumerate()
        {
            let path = dir.join(log_name(index, run));
            load_histograms(&path, run, digests)?;
        }
        for (index, (run, digest)) in
            comparison.cells.iter_mut().zip(&parsed.history_digests).enumerate()
        {
            if !digest.is_empty() {
                run.history = load_history(&dir.join(history_name(index, run)), digest)?;
            }
        }
        comparison.drawings = load_drawings(dir, &comparison)?;
        Ok(comparison)
    }
}

fn load_histograms(path: &Path, run: &mut Run, digests: &[String]) -> Result<(), Error> {
    let log = fs_err::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let histograms = from_hlog(&log).map_err(|message| Error::format(path, message))?;
    if histograms.len() != run.latency.len() {
        let message = format!(
            "it has {} intervals, {MANIFEST} names {}",
            histograms.len(),
            run.latency.len()
        );
        return Err(Error::format(path, message));
    }
    for ((latency, histogram), digest) in run.latency.iter_mut().zip(histograms).zip(digests) {
        if histogram_digest(&histogram) != *digest {
            return Err(Error::format(
                path,
                format!("`{}` is not the histogram of {MANIFEST}", latency.class),
            ));
        }
        latency.histogram = histogram;
    }
    Ok(())
}

fn load_history(path: &Path, digest: &str) -> Result<History, Error> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let history = History::from_json(&text).map_err(|message| Error::format(path, message))?;
    if history.digest() != digest {
        return Err(Error::format(path, format!("it is not the history of {MANIFEST}")));
    }
    Ok(history)
}

/// Drawings that are there; a result is complete without them.
fn load_drawings(dir: &Path, comparison: &Comparison) -> Result<Vec<Drawing>, Error> {
    let mut drawings: Vec<Drawing> = Vec::new();
    for case in comparison.cases() {
        let path = dir.join(drawing_name(&case.machine));
        if path.exists() && drawings.iter().all(|drawing| drawing.machine != case.machine) {
            let svg = fs_err::read_to_string(&path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            drawings.push(Drawing { machine: case.machine, svg });
        }
    }
    Ok(drawings)
}

/// Log of the cell at `index`: `latency/0003-balancenuma-seed4.hlog`.
fn log_name(index: usize, run: &Run) -> PathBuf {
    Path::new(LOGS).join(cell_name(index, run, "hlog"))
}

/// History of the cell at `index`: `history/0003-balancenuma-seed4.json`.
fn history_name(index: usize, run: &Run) -> PathBuf {
    Path::new(HISTORIES).join(cell_name(index, run, "json"))
}

fn cell_name(index: usize, run: &Run, kind: &str) -> String {
    format!("{index:04}-{}-seed{}.{kind}", file_word(&run.design), run.seed)
}

/// Whether [`cell_name`] gives names like this.
fn is_cell_name(path: &Path, kind: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let index = name.split('-').next().unwrap_or_default();
    let seed = name.strip_suffix(kind).and_then(|stem| stem.strip_suffix('.'));
    let seed = seed.and_then(|stem| stem.rsplit_once("-seed"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    index.len() >= 4 && digits(index) && seed.is_some_and(|(_, seed)| digits(seed))
}

fn drawing_name(machine: &str) -> String {
    format!("machine-{}.svg", file_word(machine))
}

/// A name with nothing in it that a file system could take for more than a letter.
fn file_word(name: &str) -> String {
    name.chars()
        .map(
            |letter| {
                if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' }
            },
        )
        .collect()
}

/// The I/O error inside a Parquet error, so that a full disk reads as one.
fn parquet_cause(error: parquet::errors::ParquetError) -> std::io::Error {
    match error {
        parquet::errors::ParquetError::External(cause) => {
            match cause.downcast::<std::io::Error>() {
                Ok(cause) => *cause,
                Err(cause) => std::io::Error::other(cause),
            }
        }
        other => std::io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn directory_reads_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let comparison = sample::comparison();
        comparison.save(dir.path(), &[("report.html", b"<!doctype html>")]).unwrap();
        let read = Comparison::load(dir.path()).unwrap();
        assert!(to_json(&read).text == to_json(&comparison).text);
        assert_eq!(read.drawings, comparison.drawings);
        assert_eq!(fs_err::read(dir.path().join("report.html")).unwrap(), b"<!doctype html>");
        assert!(leftovers(dir.path()).is_empty());
    }

    #[test]
    fn failure_leaves_the_earlier_result_valid() {
        let dir = tempfile::tempdir().unwrap();
        let old = sample::elapsed(&[("base", &[10])]);
        old.save(dir.path(), &[]).unwrap();
        // A name that is a directory cannot be replaced by a file; it fails before run.json moves.
        fs_err::create_dir_all(dir.path().join("report.html/in-the-way")).unwrap();
        let new = sample::elapsed(&[("base", &[99])]);
        let error = new.save(dir.path(), &[("report.html", b"new")]).unwrap_err();
        assert!(
            matches!(&error, Error::Write { path, .. } if path.ends_with("report.html")),
            "{error}"
        );
        assert_eq!(to_json(&Comparison::load(dir.path()).unwrap()).text, to_json(&old).text);
        assert!(leftovers(dir.path()).is_empty());
    }

    #[test]
    fn logs_of_earlier_cells_go_and_foreign_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        sample::elapsed(&[("old", &[10, 11, 12])]).save(dir.path(), &[]).unwrap();
        let logs = dir.path().join(LOGS);
        write_file(&logs.join("mine.hlog"), b"note").unwrap();
        sample::elapsed(&[("new", &[10])]).save(dir.path(), &[]).unwrap();
        let mut names: Vec<String> = fs_err::read_dir(&logs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["0000-new-seed1.hlog", "mine.hlog"]);
        Comparison::load(dir.path()).unwrap();
    }

    #[test]
    fn full_disk_is_an_error_with_the_path_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        write_file(&path, b"old").unwrap();
        let full = |_: &mut BufWriter<&mut NamedTempFile>| {
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        };
        let error = Staged::default().add(&path, full).unwrap_err();
        assert!(error.to_string().contains("run.json"), "{error}");
        assert_eq!(fs_err::read(&path).unwrap(), b"old");
        assert!(leftovers(dir.path()).is_empty());
    }

    #[test]
    fn foreign_or_missing_histograms_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut comparison = sample::comparison();
        comparison.cells.truncate(2);
        comparison.save(dir.path(), &[]).unwrap();
        let log = |index: usize| dir.path().join(log_name(index, &comparison.cells[index]));
        fs_err::copy(log(0), log(1)).unwrap();
        let error = Comparison::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("is not the histogram"), "{error}");
        fs_err::remove_file(log(1)).unwrap();
        assert!(matches!(Comparison::load(dir.path()), Err(Error::Read { .. })));
    }

    #[test]
    fn histories_are_read_back_checked_and_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut comparison = sample::comparison();
        comparison.cells.truncate(2);
        comparison.save(dir.path(), &[]).unwrap();
        let read = Comparison::load(dir.path()).unwrap();
        assert!(!read.cells[1].history.is_empty());
        assert_eq!(read.cells[1].history, comparison.cells[1].history);
        let path = |index: usize| dir.path().join(history_name(index, &comparison.cells[index]));
        let other = fs_err::read_to_string(path(0)).unwrap().replacen("worker 3", "worker 9", 1);
        write_file(&path(0), other.as_bytes()).unwrap();
        let error = Comparison::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("not the history"), "{error}");
        sample::elapsed(&[("base", &[10])]).save(dir.path(), &[]).unwrap();
        assert!(!path(0).exists() && !path(1).exists());
        Comparison::load(dir.path()).unwrap();
    }

    fn leftovers(dir: &Path) -> Vec<PathBuf> {
        let files = fs_err::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".tmp"))
            .collect()
    }
}
