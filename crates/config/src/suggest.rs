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

/// The file that `path` is probably a misspelling of: one of `beside`, the names in its folder, of
/// the same kind, as it would be written in the place of `path`.
pub(crate) fn nearest_file(path: &Path, beside: &[String]) -> Option<String> {
    let missing = path.file_name()?.to_str()?;
    // A file that is there was meant, whatever kept it from being read.
    if beside.iter().any(|other| other == missing) {
        return None;
    }
    let stem = |name: &str| Path::new(name).file_stem().and_then(OsStr::to_str).map(str::to_owned);
    let mut alike: Vec<(String, &String)> = beside
        .iter()
        .filter(|other| Path::new(other).extension() == path.extension())
        .filter_map(|other| Some((stem(other)?, other)))
        .collect();
    // The order of a folder is the file system's, and the first of equals is suggested.
    alike.sort();
    let stems = alike.iter().map(|(stem, _)| stem.as_str());
    let nearest = did_you_mean(&stem(missing)?, stems)?;
    let (_, name) = alike.iter().find(|(stem, _)| stem == nearest)?;
    Some(path.with_file_name(name).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_suggested_by_its_neighbours() {
        let beside = ["suggest.rs", "source.rs", "suggest.md"].map(str::to_owned);
        let near = |path: &str| nearest_file(Path::new(path), &beside);
        assert_eq!(near("src/sugest.rs").as_deref(), Some("src/suggest.rs"));
        assert_eq!(near("sugest.toml"), None, "another kind of file");
        assert_eq!(near("elsewhere.rs"), None);
        assert_eq!(near(".."), None);
        assert_eq!(near("src/suggest.rs"), None, "it is there, but cannot be read");
    }

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["memory", "cpus", "distance"];
        assert_eq!(did_you_mean("memmory", names), Some("memory"));
        assert_eq!(did_you_mean("Cpu", names), Some("cpus"));
        assert_eq!(did_you_mean("bandwidth", names), None);
    }
}
