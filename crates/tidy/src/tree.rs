//! Reading the tree.

use std::path::{Path, PathBuf};

/// The project's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/tidy lies two folders below the root").to_owned()
}

/// A file of the project with its text.
pub(crate) struct File {
    /// Path from the root, with slashes.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// All files below `folder` whose name ends with `ending`, in order. What git ignores is left out,
/// as are files that are no text.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<File> {
    let mut found = Vec::new();
    walk(&root().join(folder), ending, &mut found);
    found
}

/// One file of the project.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the folders in `crates/` that are crates of the workspace.
pub(crate) fn crates() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("crates")).expect("the folder of crates");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a readable entry"))
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        // Fuzz targets are a workspace of their own.
        .filter(|name| name != "fuzz")
        .collect();
    names.sort();
    names
}

fn walk(folder: &Path, ending: &str, found: &mut Vec<File>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let ignored = path.parent() == Some(&root()) && name == "results";
            if !ignored && !["target", "artifacts", ".git"].contains(&&*name) {
                walk(&path, ending, found);
            }
        } else if name.ends_with(ending)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).expect("inside the root");
            found.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
}
