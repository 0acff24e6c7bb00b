//! The commands, one a file.

mod compare;
mod designs;
mod import;
mod pages;
mod run;
mod trace;
mod validate;

use std::path::Path;

use config::Problems;

use crate::cli::{Cli, Command, Explain, Machine};
use crate::error::Error;
use crate::ui::{Ui, out};

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
        Command::Explain(args) => explain(&args),
        Command::Counters => out(&counters()),
        Command::Report { dir } => report(&dir),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { dir } => pages::man(&dir),
        Command::Schemas { dir } => pages::schemas(&dir),
    }
}

/// Reads a machine file; its warnings are told.
fn machine(path: &Path, ui: &Ui) -> Result<topology::Machine, Error> {
    told(topology::load(path, |path: &Path| fs_err::read_to_string(path)), ui)
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
fn report(dir: &Path) -> Result<(), Error> {
    let comparison = results::Comparison::load(dir)?;
    let page = report::html::report(&comparison).map_err(|error| Error::Bug(error.to_string()))?;
    let path = dir.join("report.html");
    results::write_file(&path, page.as_bytes())?;
    out(&format!("{}\n", path.display()))
}

/// Tells where the time of two designs of a stored result went, case by case.
fn explain(args: &Explain) -> Result<(), Error> {
    let comparison = results::Comparison::load(&args.dir)?;
    let known = comparison.designs();
    if let Some(name) = [&args.first, &args.second].into_iter().find(|name| !known.contains(name)) {
        let message = format!("the result has no design `{name}`");
        return Err(Error::Usage { message, help: Some(format!("it has {}", known.join(", "))) });
    }
    for case in comparison.cases() {
        if let Some(text) = report::explain::explain(&comparison, &case, &args.first, &args.second)
        {
            out(&format!("{}\n\n{text}\n", case.title()))?;
        }
    }
    Ok(())
}
