//! Files that are shipped beside the code: licences, configurations, documentation.

use std::path::Path;

use crate::tree::{File, crates, files, read, root};

#[test]
fn both_licences_are_there() {
    assert!(read("LICENSE-MIT").starts_with("MIT License"));
    let apache = read("LICENSE-APACHE");
    assert!(apache.contains("Version 2.0, January 2004"));
    assert!(apache.contains("END OF TERMS AND CONDITIONS"));
    for name in crates() {
        assert!(
            read(&format!("crates/{name}/Cargo.toml")).contains("license.workspace = true"),
            "{name}"
        );
    }
}

#[test]
fn configurations_name_their_schema() {
    let shipped = files("configs", ".toml");
    assert!(shipped.len() > 10, "machines and workloads are shipped");
    for file in shipped {
        let first = file.text.lines().next().unwrap_or_default();
        let Some(schema) = first.strip_prefix("#:schema ") else {
            panic!("{} does not begin with `#:schema PATH`", file.path);
        };
        assert!(beside(&file.path, schema).is_file(), "{}: no schema {schema}", file.path);
    }
}

#[test]
fn schemas_are_json_and_all_in_use() {
    let configs = files("configs", ".toml");
    for schema in files("configs/schemas", ".json") {
        let name = schema.path.rsplit('/').next().unwrap_or_default();
        assert!(schema.text.trim_start().starts_with('{'), "{} is no object", schema.path);
        let used = configs.iter().any(|file| {
            file.text.lines().next().is_some_and(|line| line.ends_with(&format!("/{name}")))
        });
        assert!(used, "no shipped file names the schema {name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages() {
        for target in links(&page.text) {
            let path = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:");
            if path.is_empty() || outside {
                continue;
            }
            assert!(beside(&page.path, path).exists(), "{}: no {target}", page.path);
        }
    }
}

#[test]
fn the_index_reaches_every_page() {
    let index = read("docs/README.md");
    for page in files("docs", ".md") {
        let path = page.path.strip_prefix("docs/").expect("below docs");
        assert!(
            path == "README.md" || index.contains(&format!("({path})")),
            "docs/README.md does not link to {path}"
        );
    }
}

fn pages() -> Vec<File> {
    let mut pages = files("docs", ".md");
    pages.extend(files("traces", ".md"));
    for path in ["README.md", "CONTRIBUTING.md"] {
        pages.push(File { path: path.to_owned(), text: read(path) });
    }
    pages
}

/// Targets of Markdown links, code left out.
fn links(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for rest in line.split("](").skip(1) {
            targets.extend(rest.split(')').next());
        }
    }
    targets
}

fn beside(file: &str, target: &str) -> std::path::PathBuf {
    root().join(Path::new(file).parent().unwrap_or(Path::new(""))).join(target)
}

#[test]
fn links_are_found_outside_code() {
    let text = "see [a](b.md) and [c](d/e.md#f)\n```\n[x](y)\n```\n";
    assert_eq!(links(text), ["b.md", "d/e.md#f"]);
}
