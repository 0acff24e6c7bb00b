//! "Did you mean".

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["memory", "cpus", "distance"];
        assert_eq!(did_you_mean("memmory", names), Some("memory"));
        assert_eq!(did_you_mean("Cpu", names), Some("cpus"));
        assert_eq!(did_you_mean("bandwidth", names), None);
    }
}
