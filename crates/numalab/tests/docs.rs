//! The commands that README, tutorial, how-to pages and some explanations show: run, and what they print compared.
//!
//! Fenced `console` blocks are run by trycmd; fenced `toml` blocks whose first line is a comment
//! with a file's name are written to that file first. `TRYCMD=overwrite cargo test -p numalab
//! --test docs` writes the output into the pages.
#![cfg(unix)]

use std::path::{Path, PathBuf};

/// Pages with commands.
const PAGES: [&str; 10] = [
    "README.md",
    "docs/tutorial/first-comparison.md",
    // Explains what the tutorial has run.
    "docs/how-to/explain-a-difference.md",
    "docs/how-to/capture-and-import-a-trace.md",
    "docs/how-to/describe-a-machine.md",
    "docs/how-to/reproduce-a-published-row.md",
    // These say what the rows mean that they show.
    "docs/explanation/memory-pressure.md",
    "docs/explanation/hierarchical-reclaim-2012.md",
    "docs/explanation/mapped-pages-2012.md",
    "docs/explanation/numa-scheduling-2012.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root exists")
}

/// Files that a page asks its reader to write: name and text.
fn files(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let named = |block: &&str| block.lines().next().is_some_and(|line| line.ends_with(".toml"));
    blocks
        .filter(named)
        .filter_map(|block| {
            let name = block.lines().next()?.strip_prefix("# ")?;
            (!name.contains(['/', ' '])).then_some((name, block))
        })
        .collect()
}

#[test]
fn pages_show_what_the_commands_print() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for shipped in ["configs", "traces"] {
        std::os::unix::fs::symlink(root().join(shipped), dir.path().join(shipped))
            .expect("a link in a fresh folder");
    }
    // trycmd runs commands where the test runs; this binary has one test.
    std::env::set_current_dir(dir.path()).expect("the folder exists");
    for page in PAGES {
        let path = root().join(page);
        let text = fs_err::read_to_string(&path).expect("the page exists");
        assert!(text.contains("\n```console\n$ numalab "), "{page} shows no command");
        for (name, block) in files(&text) {
            fs_err::write(dir.path().join(name), block).expect("the folder can be written to");
        }
        let cases = trycmd::TestCases::new();
        cases.register_bin("numalab", Path::new(env!("CARGO_BIN_EXE_numalab")));
        cases.case(&path);
        cases.run();
    }
}
