//! "Did you mean".

use std::ffi::OsStr;
use std::path::Path;

/// The candidate that `name` is probably a misspelling of: at most a third of its letters wrong
/// (transpositions count once), the closest first.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&name, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The file that `path` is probably a misspelling of: one that lies in the same folder, as it
/// would be written in the place of `path`. This looks at the disk.
pub fn nearest_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent()?;
    let listed = if folder == Path::new("") { Path::new(".") } else { folder };
    let mut beside: Vec<String> = std::fs::read_dir(listed)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|other| Path::new(other).extension() == path.extension())
        .collect();
    // The order of a folder is the file system's, and the first of equals is suggested.
    beside.sort();
    let stem = |name: &str| Path::new(name).file_stem().and_then(OsStr::to_str).map(str::to_owned);
    let stems: Vec<String> = beside.iter().filter_map(|other| stem(other)).collect();
    let nearest = did_you_mean(&stem(name)?, stems.iter().map(String::as_str))?;
    let idx = stems.iter().position(|stem| stem == nearest)?;
    Some(folder.join(beside.get(idx)?).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_suggested_by_its_neighbours() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let near = |name: &str| nearest_file(&folder.join(name));
        let expected = folder.join("suggest.rs").display().to_string();
        assert_eq!(near("sugest.rs"), Some(expected));
        assert_eq!(near("sugest.toml"), None, "another kind of file");
        assert_eq!(near("elsewhere.rs"), None);
        assert_eq!(nearest_file(&folder.join("no-such-folder/suggest.rs")), None);
    }

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["memory", "cpus", "distance"];
        assert_eq!(did_you_mean("memmory", names), Some("memory"));
        assert_eq!(did_you_mean("Cpu", names), Some("cpus"));
        assert_eq!(did_you_mean("bandwidth", names), None);
    }
}
