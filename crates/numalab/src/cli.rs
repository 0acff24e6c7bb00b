//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::Targets;

/// Compares designs of NUMA memory management by simulating them on described machines.
///
/// numalab replays recorded or generated page accesses on a machine described in a file, under
/// several designs, and tells which one wins, by how much, and how sure that is.
#[derive(Debug, Parser)]
#[command(
    name = "numalab",
    version,
    max_term_width = 100,
    after_help = "Begin with: numalab compare configs/experiments/main.toml --out results/main",
    after_long_help = crate::docs::exit_codes_help(),
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Colours in messages, and in what `explain` draws.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// Progress on stderr; `auto` shows it on a terminal.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) progress: ProgressChoice,
    /// Form of problems on stderr; `json` gives one object a line, for editors.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) message_format: MessageFormat,
    /// Log to stderr: targets with levels, such as `lab=info` (runs as they begin and end) or
    /// `sim=debug` (each decision that moves a task or a page).
    #[arg(long, global = true, value_name = "TARGET=LEVEL")]
    pub(crate) log: Option<Targets>,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// When progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    /// On a terminal.
    #[default]
    Auto,
    /// Also elsewhere, as plain lines.
    Always,
    Never,
}

/// Form of problems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    #[default]
    Text,
    Json,
}

/// Form of a comparison on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// Everything, one document; see docs/reference/results.md.
    Json,
    /// The summary with its intervals.
    Csv,
    /// The table in Markdown.
    Md,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an experiment: all its designs with all its seeds, side by side
    #[command(
        after_help = "Example:\n  numalab compare configs/experiments/numa02.toml --seeds 3 --out results/numa02"
    )]
    Compare(Compare),
    /// Run one design once and print its counters as /proc/vmstat would
    #[command(
        after_help = "Example:\n  numalab run --machine configs/machines/quad.toml --workload configs/workloads/mix.toml \\\n    --design balancenuma --set workload.accesses=100000"
    )]
    Run(Run),
    /// List the designs, or show one with its knobs
    #[command(after_help = "Example:\n  numalab designs show balancenuma")]
    Designs(Designs),
    /// Look at machine files
    #[command(
        subcommand,
        after_help = "Example:\n  numalab machine show configs/machines/quad.toml"
    )]
    Machine(Machine),
    /// Look at recorded traces, or write generated ones
    #[command(
        subcommand,
        after_help = "Example:\n  numalab trace generate configs/workloads/loop.toml \\\n    --machine configs/machines/quad.toml --out loop.parquet"
    )]
    Trace(Trace),
    /// Make a trace from another program's recording
    #[command(
        subcommand,
        after_help = "Example:\n  numalab import lackey log.txt --out program.parquet --caches configs/machines/quad.toml"
    )]
    Import(Import),
    /// Hold the program against closed forms, other programs, published tables and the real kernel
    #[command(after_help = "Example:\n  numalab validate --suite published --filter m-sri2 --json")]
    Validate(Validate),
    /// Tell why one design is faster: where time went, where threads and memory were, what moved them
    #[command(after_help = "Example:\n  numalab explain results/main first-touch bind")]
    Explain(Explain),
    /// List the counters with their meaning
    #[command(after_help = "Example:\n  numalab counters | grep numa_")]
    Counters,
    /// Write the report of a result anew
    #[command(after_help = "Example:\n  numalab report results/numa02 --pair first-touch bind")]
    Report {
        /// Directory that `compare --out` wrote.
        dir: PathBuf,
        /// Labels of the two designs to show side by side; left out, the baseline and the winner.
        #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
        pair: Option<Vec<String>>,
    },
    /// Print a shell's completions
    #[command(
        after_help = "Example:\n  numalab completions bash > ~/.local/share/bash-completion/completions/numalab"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    #[command(after_help = "Example:\n  numalab man ~/.local/share/man/man1")]
    Man {
        /// Directory for them.
        dir: PathBuf,
    },
    /// Write the JSON Schemas of machine, workload and experiment files
    #[command(after_help = "Example:\n  numalab schemas configs/schemas")]
    Schemas {
        /// Directory for them.
        dir: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// The experiment's file.
    pub(crate) file: PathBuf,
    /// Runs side by side; 0 for as many as there are CPUs. Does not change the result.
    #[arg(long, short, default_value_t = 0, value_name = "N")]
    pub(crate) jobs: usize,
    /// Run with seeds 1 to N instead of the file's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) seeds: Option<u64>,
    /// Form of the result on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Short for `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Write the result with its report into this directory; without it no file is written.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Only designs whose label contains TEXT, and the baseline; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter_design: Vec<String>,
    /// Textbook policies instead of the file's `yardsticks`: what they, and Belady's optimum, would
    /// have missed on each run's own page accesses; `all`, or names as `numalab designs` lists them.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) yardsticks: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Validate {
    /// Only this suite; may be repeated. One of closed-form, libcachesim, reclaim-2012, published, kernel, kernel-own.
    #[arg(long, value_name = "NAME")]
    pub(crate) suite: Vec<String>,
    /// Only rows whose id contains TEXT.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) filter: String,
    /// The published size with all seeds, instead of what ends within minutes.
    #[arg(long)]
    pub(crate) full: bool,
    /// Print all rows as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Runs side by side; 0 for as many as there are CPUs. Does not change the result.
    #[arg(long, short, default_value_t = 0, value_name = "N")]
    pub(crate) jobs: usize,
    /// Write tables, scatter plots and the list of misses as Markdown, as docs/validation.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// The kernel suite's cases, a folder laid out like configs/validate/kernel.
    #[arg(long, value_name = "DIR")]
    pub(crate) cases: Option<PathBuf>,
    /// Write all counters that the kernel suite predicts: case,phase,counter,value.
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
    /// The folder of shipped machines, workloads and tables.
    #[arg(long, default_value = "configs", value_name = "DIR")]
    pub(crate) configs: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Directory that `compare --out` wrote.
    pub(crate) dir: PathBuf,
    /// A design's label; left out, the baseline is held against the winner.
    #[arg(requires = "second")]
    pub(crate) first: Option<String>,
    /// Another one's.
    pub(crate) second: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The machine's file.
    #[arg(long, value_name = "FILE")]
    pub(crate) machine: PathBuf,
    /// A workload's file, or a recorded trace.
    #[arg(long, value_name = "FILE")]
    pub(crate) workload: PathBuf,
    /// The design, as `numalab designs` lists it.
    #[arg(long, value_name = "NAME")]
    pub(crate) design: String,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// A setting laid over the files, such as `machine.kernel.thp=never`, `engine.epoch=1ms` or
    /// `designs.balancenuma.two_stage=false`; may be repeated. What is no value of TOML is a string.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Also print what these textbook policies, and Belady's optimum, would have missed on the run's
    /// page accesses; `all`, or names as `numalab designs` lists them.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) yardsticks: Vec<String>,
    /// Print everything as JSON, as `compare --json` does.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Designs {
    #[command(subcommand)]
    pub(crate) command: Option<DesignsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DesignsCommand {
    /// List the designs
    List,
    /// Show a design: who, where described, what is left out, its knobs
    #[command(after_help = "Example:\n  numalab designs show balancenuma")]
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Machine {
    /// Draw a machine as text, or as SVG
    #[command(
        after_help = "Example:\n  numalab machine show configs/machines/quad.toml --svg > quad.svg"
    )]
    Show {
        /// The machine's file.
        file: PathBuf,
        /// Print an SVG document instead of text.
        #[arg(long)]
        svg: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Trace {
    /// Show what traces hold and where they come from
    #[command(after_help = "Example:\n  numalab trace info traces/*.parquet --verify")]
    Info {
        /// The traces.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Decode everything and compare it with the digest.
        #[arg(long)]
        verify: bool,
        /// Print JSON, one object a line for each trace.
        #[arg(long)]
        json: bool,
    },
    /// Write what a generated workload does to a file
    #[command(
        after_help = "Example:\n  numalab trace generate configs/workloads/loop.toml \\\n    --machine configs/machines/quad.toml --limit 100000 --out loop.parquet"
    )]
    Generate {
        /// The workload's file.
        workload: PathBuf,
        /// The machine it runs on: its CPUs decide the number of threads.
        #[arg(long, value_name = "FILE")]
        machine: PathBuf,
        /// The trace to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Page accesses at most.
        #[arg(long, default_value_t = 100_000_000, value_name = "N")]
        limit: u64,
        /// Seed of the generator.
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// A log of Valgrind's lackey: --trace-mem=yes, with --trace-sched=yes for threads
    #[command(
        after_help = "Example:\n  valgrind --tool=lackey --trace-mem=yes --trace-sched=yes --log-file=log.txt PROGRAM\n  numalab import lackey log.txt --out program.parquet --caches configs/machines/quad.toml"
    )]
    Lackey(ImportArgs),
    /// A recording of the QEMU plugin in traces/capture
    #[command(
        after_help = "Example:\n  numalab import npage run --out program.parquet --caches configs/machines/quad.toml"
    )]
    Npage(ImportArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The recording.
    pub(crate) input: PathBuf,
    /// The trace to write.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Machine file whose caches stand between the program and memory; `none` makes every access
    /// traffic.
    #[arg(long, default_value = "none", value_name = "FILE|none")]
    pub(crate) caches: PathBuf,
    /// Name of the trace; left out, the recording's.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Terms under which the trace may be used.
    #[arg(long, default_value = "")]
    pub(crate) licence: String,
}
