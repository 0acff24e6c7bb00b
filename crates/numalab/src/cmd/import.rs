//! `numalab import`.

use std::path::Path;

use trace::TraceError;
use trace::import::{self, Options, Report};

use super::machine;
use crate::cli::{Import, ImportArgs};
use crate::error::Error;
use crate::ui::{Ui, note, out};

/// An importer: recording, trace, settings.
type Importer = fn(&Path, &Path, &Options) -> Result<Report, TraceError>;

pub(super) fn import(command: &Import, ui: &Ui) -> Result<(), Error> {
    let (args, importer): (&ImportArgs, Importer) = match command {
        Import::Lackey(args) => (args, import::lackey),
        Import::Npage(args) => (args, import::npage),
    };
    let stem = args.input.file_stem().unwrap_or(args.input.as_os_str()).to_string_lossy();
    let mut options = Options::new(args.name.clone().unwrap_or_else(|| stem.into_owned()));
    options.licence.clone_from(&args.licence);
    if args.caches != Path::new("none") {
        let machine = machine(&args.caches, ui)?;
        options.caches = machine.caches;
        options.ns_per_instruction = machine.ns_per_instruction;
    }
    fs_err::File::open(&args.input).map_err(|error| Error::Input(error.to_string()))?;
    let made = results::MadeDirs::for_file(&args.out)?;
    let report = importer(&args.input, &args.out, &options)
        .map_err(|error| Error::writing_trace(&args.out, error))?;
    made.keep();
    note(&report.to_string());
    out(&format!("{}\n", args.out.display()))
}
