//! The commands, one a file.

mod compare;
pub(crate) mod designs;
mod import;
mod pages;
mod run;
mod trace;
mod validate;

use std::path::Path;

use config::Problems;
use report::{Strips, default_pair};

use crate::cli::{Cli, Command, Explain, Machine};
use crate::error::Error;
use crate::ui::{Ui, out, width};

/// Does what was typed.
pub(crate) fn run(cli: Cli, ui: &Ui) -> Result<(), Error> {
    match cli.command {
        Command::Compare(args) => compare::compare(&args, ui),
        Command::Run(args) => run::run(&args, ui),
        Command::Designs(args) => designs::designs(&args),
        Command::Machine(Machine::Show { file, svg }) => {
            let machine = machine(&file, ui)?;
            out(&if svg { topology::svg(&machine) } else { topology::show(&machine) })
        }
        Command::Trace(command) => trace::trace(&command, ui),
        Command::Import(command) => import::import(&command, ui),
        Command::Validate(args) => validate::validate(&args, ui),
        Command::Explain(args) => explain(&args, ui),
        Command::Counters => out(&counters()),
        Command::Report { dir, pair } => report(&dir, pair.as_deref()),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { dir } => pages::man(&dir),
        Command::Schemas { dir } => pages::schemas(&dir),
    }
}

/// Reads a machine file; its warnings are told.
fn machine(path: &Path, ui: &Ui) -> Result<topology::Machine, Error> {
    told(lab::load_machine(path), ui)
}

/// The value; warnings are told, errors end the command.
fn told<T>(loaded: Result<(T, Problems), Problems>, ui: &Ui) -> Result<T, Error> {
    let (value, warnings) = loaded?;
    ui.tell(&warnings);
    Ok(value)
}

/// Counters and their meaning in two columns.
fn counters() -> String {
    let widest = base::Vm::ALL.iter().map(|counter| counter.name().len()).max().unwrap_or(0);
    let line = |counter: &base::Vm| format!("{:<widest$}  {}\n", counter.name(), counter.doc());
    base::Vm::ALL.iter().map(line).collect()
}

/// Writes the report of a stored result anew.
fn report(dir: &Path, pair: Option<&[String]>) -> Result<(), Error> {
    let comparison = stored(dir)?;
    let pair = match pair {
        Some([first, second]) => Some([first.as_str(), second.as_str()]),
        _ => None,
    };
    known(&comparison, pair.iter().flatten())?;
    let page =
        report::html::report(&comparison, pair).map_err(|error| Error::Bug(error.to_string()))?;
    let path = dir.join("report.html");
    results::write_file(&path, page.as_bytes())?;
    out(&format!("{}\n", path.display()))
}

/// Tells why two designs of a stored result differ, case by case.
fn explain(args: &Explain, ui: &Ui) -> Result<(), Error> {
    let comparison = stored(&args.dir)?;
    known(&comparison, args.first.iter().chain(&args.second))?;
    let how = Strips { width: width(), color: ui.output_color };
    for case in comparison.cases() {
        let chosen = args.first.clone().zip(args.second.clone()).map(<[String; 2]>::from);
        let Some([first, second]) = chosen.or_else(|| default_pair(&comparison, &case)) else {
            continue;
        };
        if let Some(text) = report::explain::explain(&comparison, &case, [&first, &second], how) {
            out(&format!("{}\n\n{text}\n", case.title()))?;
        }
    }
    Ok(())
}

/// Reads a result.
fn stored(dir: &Path) -> Result<results::Comparison, Error> {
    results::Comparison::load(dir).map_err(|error| match error {
        results::Error::Read { .. } if !dir.join(results::MANIFEST).exists() => Error::Usage {
            message: format!("no result in {}: it has no {}", dir.display(), results::MANIFEST),
            help: Some("name a directory that `numalab compare --out` wrote".to_owned()),
        },
        error => error.into(),
    })
}

/// Refuses labels that the result does not have.
fn known<'a, T: AsRef<str> + ?Sized + 'a>(
    comparison: &results::Comparison,
    labels: impl IntoIterator<Item = &'a T>,
) -> Result<(), Error> {
    let known = comparison.designs();
    let has = |label: &&T| known.iter().any(|known| known == label.as_ref());
    match labels.into_iter().find(|label| !has(label)) {
        None => Ok(()),
        Some(label) => {
            let message = format!("the result has no design `{}`", label.as_ref());
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let help = match config::did_you_mean(label.as_ref(), names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", config::backticked(&names)),
            };
            Err(Error::Usage { message, help: Some(help) })
        }
    }
}
