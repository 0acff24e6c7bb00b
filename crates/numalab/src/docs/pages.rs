//! The pages under `docs/reference` that follow from declarations, and the tests that they are
//! fresh: `UPDATE=1 cargo test -p numalab docs` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory;
use config::{Config, FromToml, Knob};

use crate::cli::Cli;
use crate::cmd;
use crate::cmd::designs::Shown;
use crate::error::EXIT_CODES;

const NOTE: &str =
    "<!-- Made from the declarations by `UPDATE=1 cargo test -p numalab docs`. -->\n";

/// Tables nested deeper than this are left out; no file needs them.
const DEPTH_MAX: usize = 5;

fn page(title: &str, lead: &str) -> String {
    format!("# {title}\n\n{NOTE}\n{lead}\n")
}

fn cli() -> String {
    let mut text = page(
        "Command line",
        "stdout carries the result only; progress, log and problems go to stderr.",
    );
    text += "\n## Exit codes\n\n| code | meaning |\n| ---: | --- |\n";
    for code in EXIT_CODES {
        let _ = writeln!(text, "| {} | {} |", code.code, code.meaning);
    }
    let mut root = Cli::command().term_width(100);
    root.build();
    commands(&mut text, &root, "numalab");
    text
}

fn commands(text: &mut String, command: &clap::Command, path: &str) {
    // Global options stand in the page once, at the outermost command.
    let mut shown = command.clone();
    if path != "numalab" {
        for id in ["color", "progress", "message_format", "log"] {
            shown = shown.mut_arg(id, |arg| arg.hide(true).hide_short_help(true));
        }
    }
    let help = shown.term_width(100).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        commands(text, inner, &format!("{path} {}", inner.get_name()));
    }
}

fn designs() -> String {
    let mut text = page(
        "Designs",
        "What an experiment's `[[designs]]`, and `yardsticks`, may name, with the `knobs` that each design takes.",
    );
    let mut family = "";
    for Shown { family: own, about } in cmd::designs::all() {
        if own != family {
            family = own;
            let _ = write!(text, "\n## {family}\n");
        }
        let _ = write!(
            text,
            "\n### {}\n\n{}\n\n- Source: {}\n- Left out: {}\n",
            about.name, about.lineage, about.source, about.left_out
        );
        table(&mut text, &(about.knobs)());
    }
    text
}

fn counters() -> String {
    let lead =
        "Spelled as in `/proc/vmstat`; those that begin with `sim_` are the simulator's own.";
    let mut text = page("Counters", lead);
    text += "\n| counter | counts |\n| --- | --- |\n";
    for counter in base::Vm::ALL {
        let _ = writeln!(text, "| `{}` | {} |", counter.name(), cell(&counter.doc()));
    }
    text
}

fn file<T: Config>(title: &str, lead: &str) -> String {
    let mut text = page(title, &format!("{}\n\n{lead}", T::doc()));
    table(&mut text, &T::knobs());
    sections(&mut text, "", &T::knobs(), 0);
    text
}

const UNITS: &str = "Quantities are strings with a unit: `\"8GiB\"`, `\"250us\"`, `\"12.8GB/s\"`. A file \
may begin with `extends = \"other.toml\"` and is then laid over the other one.";

fn workload() -> String {
    let lead = format!("What runs. The key `kind` decides which other keys there are. {UNITS}");
    let mut text = page("Workload files", &lead);
    for kind in trace::generate::WorkloadSpec::nested_knobs() {
        let _ = write!(text, "\n## kind = {}\n\n{}\n", kind.type_name, kind.doc);
        let knobs = (kind.nested)();
        table(&mut text, &knobs);
        sections(&mut text, "", &knobs, 1);
    }
    text += "\n## `[memcg.\"/PATH\"]`\n\nMemory cgroups, beside the keys of any kind; the machine's \
             `kernel.reclaim` must not be `none`. A limit is an axis of an experiment as \
             `\"workload.memcg./PATH.max\"`.\n";
    table(&mut text, &trace::MemcgSettings::knobs());
    text
}

fn experiment() -> String {
    let lead = format!(
        "{UNITS}\n\nPaths in `set` and `axes` lead into the files that the experiment names: \
         `machine.KEY`, `workload.KEY`, `engine.KEY`, `designs.LABEL.KNOB`."
    );
    let mut text = file::<lab::ExperimentFile>("Experiment files", &lead);
    text += "\n## `[engine]`\n";
    table(&mut text, &sim::EngineKnobs::knobs());
    text
}

/// A section for each key that holds a table.
fn sections(text: &mut String, path: &str, knobs: &[Knob], depth: usize) {
    for knob in knobs {
        let nested = (knob.nested)();
        if nested.is_empty() || depth > DEPTH_MAX {
            continue;
        }
        let path =
            if path.is_empty() { knob.name.to_owned() } else { format!("{path}.{}", knob.name) };
        let _ = write!(text, "\n## `{path}`\n\n{}\n", knob.doc);
        table(text, &nested);
        sections(text, &path, &nested, depth + 1);
    }
}

fn table(text: &mut String, knobs: &[Knob]) {
    if knobs.is_empty() {
        *text += "\nNo keys.\n";
        return;
    }
    *text += "\n| key | what | default | meaning |\n| --- | --- | --- | --- |\n";
    for knob in knobs {
        let default = if knob.default.is_some() {
            format!("`{}`", cell(&knob.default_text()))
        } else {
            knob.default_text()
        };
        let (what, doc) = (cell(&knob.type_name), cell(&knob.doc));
        let _ = writeln!(text, "| `{}` | {what} | {default} | {doc} |", knob.name);
    }
}

/// Text that fits a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn fresh(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE").is_some() {
        results::write_file(&path, text.as_bytes()).unwrap();
    }
    let committed = fs_err::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{}: run UPDATE=1 cargo test -p numalab docs", path.display());
}

#[test]
fn docs_of_the_command_line_are_fresh() {
    fresh("docs/reference/cli.md", &cli());
}

#[test]
fn docs_of_designs_and_counters_are_fresh() {
    fresh("docs/reference/designs.md", &designs());
    fresh("docs/reference/counters.md", &counters());
}

#[test]
fn docs_of_files_are_fresh() {
    fresh("docs/reference/machine-file.md", &file::<topology::MachineFile>("Machine files", UNITS));
    fresh("docs/reference/workload-file.md", &workload());
    fresh("docs/reference/experiment-file.md", &experiment());
}

#[test]
fn docs_schemas_are_fresh() {
    fresh("configs/schemas/experiment.json", &format!("{:#}\n", lab::schema()));
    fresh("configs/schemas/machine.json", &format!("{:#}\n", lab::machine_schema()));
}

#[test]
fn every_command_teaches_by_an_example() {
    Cli::command().debug_assert();
    for command in Cli::command().get_subcommands() {
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.contains("numalab "), "{} has no example", command.get_name());
    }
}
