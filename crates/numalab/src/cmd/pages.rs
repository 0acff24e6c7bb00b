//! Files derived from the declarations: completions, manual pages, schemas.

use std::path::Path;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::error::Error;
use crate::ui::out;

/// Prints a shell's completions.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Error> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "numalab", &mut text);
    out(&String::from_utf8_lossy(&text))
}

/// Writes a manual page for the command and for each subcommand.
pub(super) fn man(dir: &Path) -> Result<(), Error> {
    let mut made = results::MadeDirs::default();
    made.make(dir)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| Error::write(dir, error))?;
    made.keep();
    Ok(())
}

/// Writes the schemas of all kinds of files.
pub(super) fn schemas(dir: &Path) -> Result<(), Error> {
    for (name, schema) in [
        ("machine.json", lab::machine_schema()),
        ("workload.json", trace::generate::WorkloadFile::json_schema()),
        ("experiment.json", lab::schema()),
    ] {
        results::write_file(&dir.join(name), format!("{schema:#}\n").as_bytes())?;
    }
    Ok(())
}
