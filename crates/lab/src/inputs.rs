//! Files an experiment is made from, with their digests.

use std::cell::RefCell;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use config::Files;
use results::InputDigest;
use sha2::{Digest, Sha256};

/// The files read so far, in the order of reading, each once.
#[derive(Clone, Default)]
pub(crate) struct Inputs(Rc<RefCell<Vec<(PathBuf, String)>>>);

impl Inputs {
    /// Notes the digest of a file that somebody else reads.
    pub(crate) fn hash(&self, path: &Path) -> io::Result<()> {
        let mut hasher = Sha256::new();
        io::copy(&mut fs_err::File::open(path)?, &mut HashWriter(&mut hasher))?;
        self.note(path, hex(&hasher.finalize()));
        Ok(())
    }

    fn note(&self, path: &Path, sha256: String) {
        let mut files = self.0.borrow_mut();
        if files.iter().all(|(known, _)| known != path) {
            files.push((path.to_owned(), sha256));
        }
    }

    /// The digests. Paths are relative to `folder`, so that a result does not depend on the
    /// directory in which the command was typed.
    pub(crate) fn digests(&self, folder: &Path) -> Vec<InputDigest> {
        let digest = |(path, sha256): &(PathBuf, String)| InputDigest {
            path: relative(path, folder).display().to_string(),
            sha256: sha256.clone(),
        };
        self.0.borrow().iter().map(digest).collect()
    }
}

impl Files for Inputs {
    /// Reads a text file and notes its digest.
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = Disk.read(path)?;
        self.note(path, hex(&Sha256::digest(&text)));
        Ok(text)
    }

    fn beside(&self, path: &Path) -> Vec<String> {
        Disk.beside(path)
    }
}

/// The files of the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn beside(&self, path: &Path) -> Vec<String> {
        let Some(folder) = path.parent() else { return Vec::new() };
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `path` as seen from `folder`, told without looking at the disk.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let parts = |path: &Path| {
        let mut parts: Vec<PathBuf> = Vec::new();
        for part in path.components() {
            match (part, parts.last()) {
                (Component::CurDir, _) => {}
                (Component::ParentDir, Some(last)) if last != Path::new("..") => {
                    parts.pop();
                }
                _ => parts.push(PathBuf::from(part.as_os_str())),
            }
        }
        parts
    };
    if path.is_absolute() != folder.is_absolute() {
        return path.to_owned();
    }
    let (path, folder) = (parts(path), parts(folder));
    let common = path.iter().zip(&folder).take_while(|(a, b)| a == b).count();
    if folder[common..].iter().any(|part| part == Path::new("..")) {
        return path.iter().collect();
    }
    let ups = folder[common..].iter().map(|_| PathBuf::from(".."));
    ups.chain(path[common..].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_experiment() {
        let seen = |path: &str, folder: &str| relative(Path::new(path), Path::new(folder));
        assert_eq!(seen("configs/m/a.toml", "configs/e"), Path::new("../m/a.toml"));
        assert_eq!(seen("/r/configs/m/a.toml", "/r/configs/e"), Path::new("../m/a.toml"));
        assert_eq!(seen("a.toml", ""), Path::new("a.toml"));
        assert_eq!(seen("./e/a.toml", "e"), Path::new("a.toml"));
        assert_eq!(seen("/m/a.toml", "e"), Path::new("/m/a.toml"));
        assert_eq!(seen("../m/a.toml", "../e"), Path::new("../m/a.toml"));
        assert_eq!(seen("/r/m/a.toml", "/r/x/../e"), Path::new("../m/a.toml"));
        assert_eq!(seen("../../m/a.toml", "../e"), Path::new("../../m/a.toml"));
        // What the folder above is called, only the disk knows: the path stays as it is.
        assert_eq!(seen("m/a.toml", ".."), Path::new("m/a.toml"));
    }

    #[test]
    fn files_are_noted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let inputs = Inputs::default();
        inputs.read(&path).unwrap();
        inputs.hash(&path).unwrap();
        let digests = inputs.digests(dir.path());
        // FIPS 180-2, example B.1.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digests, [InputDigest { path: "a".to_owned(), sha256: sha256.to_owned() }]);
    }
}
