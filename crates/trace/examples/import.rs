//! Imports a recording, or verifies and describes a trace; for the scripts in `traces/capture`.
//! `import npage|lackey INPUT OUT NAME LICENCE [BYTES/WAYS ...]`, `import info FILE`.

use std::path::Path;

use base::Bytes;
use topology::{Cache, Caches};
use trace::TraceInfo;
use trace::import::{self, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, file] = &arguments[..]
        && kind == "info"
    {
        let info = TraceInfo::of(Path::new(file), true)?;
        std::io::Write::write_all(&mut std::io::stdout(), info.to_string().as_bytes())?;
        return Ok(());
    }
    let [kind, input, out, name, licence, levels @ ..] = &arguments[..] else {
        return Err("import npage|lackey INPUT OUT NAME LICENCE [BYTES/WAYS ...]".into());
    };
    let mut options = Options::new(name.clone());
    options.licence.clone_from(licence);
    let mut caches = Vec::new();
    for level in levels {
        let (size, ways) = level.split_once('/').ok_or("a level is BYTES/WAYS")?;
        caches.push(Cache { size: Bytes(size.parse()?), ways: ways.parse()? });
    }
    options.caches = Caches { levels: caches };
    let run = if kind == "npage" { import::npage } else { import::lackey };
    let report = run(Path::new(input), Path::new(out), &options)?;
    std::io::Write::write_all(&mut std::io::stdout(), report.to_string().as_bytes())?;
    Ok(())
}
