//! Source files: length, words, headers.

use crate::tree::{File, crates, files, read};

/// Lines of code a file may have.
const LINES_MAX: usize = 500;

/// Lines from a function's name to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, with the reason.
const LONGER: &[(&str, &str)] = &[];

/// Words that must not be in the sources: unfinished work, and lint attributes that outlive their
/// reason. Put together here so that this file does not contain them.
const WORDS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("#[al", "low("),
    concat!("#![al", "low("),
    concat!("dbg", "!("),
];

/// Types whose order is random; clippy forbids them as well, but not in macros.
const RANDOM_ORDER: &[&str] = &[concat!("Hash", "Map"), concat!("Hash", "Set")];

/// Where the project was written is nobody's business.
const PLACES: &[&str] = &[concat!("/wo", "rk/"), concat!("issues", " show"), concat!("/ro", "ot/")];

/// Lines of code with their numbers: no comments, no blanks, nothing from `#[cfg(test)] mod` on.
pub(crate) fn product(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module = |idx: usize| {
        let next = lines.get(idx + 1).map_or("", |line| line.trim_start());
        lines[idx].trim() == "#[cfg(test)]"
            && (next.starts_with("mod ") || next.starts_with("pub(crate) mod "))
            && next.ends_with('{')
    };
    let end = (0..lines.len()).find(|idx| is_test_module(*idx)).unwrap_or(lines.len());
    let code = lines[..end].iter().enumerate().map(|(idx, line)| (idx + 1, *line));
    code.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
        .collect()
}

fn sources() -> Vec<File> {
    [files("crates", ".rs"), files("benches", ".rs")].into_iter().flatten().collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("tests.rs")
        || path.contains("/tidy/")
        || path.contains("/fuzz_targets/")
}

#[test]
fn files_are_short() {
    for file in sources() {
        let nr = product(&file.text).len();
        let reason = LONGER.iter().find(|(path, _)| *path == file.path);
        match reason {
            None => assert!(nr <= LINES_MAX, "{} has {nr} lines of code", file.path),
            Some(_) => assert!(nr > LINES_MAX, "{} is short now: take it off the list", file.path),
        }
    }
}

#[test]
fn functions_fit_a_screen() {
    for file in sources() {
        for (line, nr) in functions(&file.text) {
            assert!(nr <= FUNCTION_LINES_MAX, "{}:{line}: a function of {nr} lines", file.path);
        }
    }
}

/// Functions of formatted code: line of the name, number of lines. rustfmt puts the closing brace
/// where the line with the name begins.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (idx, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let before_name = code.split("fn ").next().unwrap_or_default();
        let words = ["pub", "pub(crate)", "pub(super)", "const", "async", "extern"];
        let is_function = code.contains("fn ")
            && before_name.split_whitespace().all(|word| words.contains(&word));
        if !is_function {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let ends = |other: &&str| {
            let rest = other.strip_prefix(indent).filter(|rest| !rest.starts_with(' '));
            rest.is_some_and(|rest| rest == "}" || rest.ends_with(';') || rest.ends_with(" }"))
        };
        let end = lines[idx..].iter().position(ends).unwrap_or(0);
        found.push((idx + 1, end + 1));
    }
    found
}

#[test]
fn functions_are_measured_to_their_brace() {
    let text = "pub fn a() {\n    if b {\n        c();\n    }\n}\n\nfn d();\nfn e() -> u8 { 1 }\n";
    assert_eq!(functions(text), [(1, 5), (7, 1), (8, 1)]);
}

#[test]
fn nothing_is_left_unfinished() {
    for file in sources() {
        for word in WORDS {
            let line = file.text.lines().position(|line| line.contains(word));
            assert!(line.is_none(), "{}:{}: {word}", file.path, line.unwrap_or(0) + 1);
        }
    }
}

#[test]
fn no_order_is_random() {
    for file in sources().iter().filter(|file| !is_test(&file.path)) {
        for word in RANDOM_ORDER {
            let found = product(&file.text).into_iter().find(|(_, line)| line.contains(word));
            assert!(found.is_none(), "{}: {found:?}", file.path);
        }
    }
}

#[test]
fn nothing_says_where_it_was_written() {
    let texts = [".rs", ".md", ".toml", ".sh", ".c", ".html", ".json", ".snap", "run"];
    for folder in ["crates", "benches", "configs", "docs", "traces", ".ci"] {
        for file in texts.iter().flat_map(|ending| files(folder, ending)) {
            for place in PLACES {
                let line = file.text.lines().position(|line| line.contains(place));
                assert!(line.is_none(), "{}:{}: {place}", file.path, line.unwrap_or(0) + 1);
            }
        }
    }
    for path in ["README.md", "CONTRIBUTING.md", "Cargo.toml", "clippy.toml"] {
        let text = read(path);
        assert!(!PLACES.iter().any(|place| text.contains(place)), "{path}");
    }
}

#[test]
fn every_crate_and_module_says_what_it_is_for() {
    for name in crates() {
        let is_crate = files(&format!("crates/{name}/src"), ".rs")
            .into_iter()
            .any(|file| file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs"));
        assert!(is_crate, "{name} has neither src/lib.rs nor src/main.rs");
    }
    for file in sources().iter().filter(|file| !is_test(&file.path)) {
        let first = file.text.lines().next().unwrap_or_default();
        let says = first.starts_with("//! ") && first.len() > "//! A word.".len();
        assert!(says, "{} does not begin with what it is for", file.path);
    }
}
