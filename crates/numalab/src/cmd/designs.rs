//! `numalab designs`.

use std::fmt::Write as _;

use config::Knob;
use designs::{DESIGNS, Registered};

use crate::cli::{Designs, DesignsCommand};
use crate::error::Error;
use crate::ui::out;

pub(super) fn designs(args: &Designs) -> Result<(), Error> {
    match &args.command {
        None | Some(DesignsCommand::List) => out(&list()),
        Some(DesignsCommand::Show { name }) => out(&show(find(name)?)),
    }
}

fn find(name: &str) -> Result<&'static Registered, Error> {
    designs::find(name).ok_or_else(|| {
        let names: Vec<&str> = DESIGNS.iter().map(|design| design.name).collect();
        let help = match config::did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the designs are {}", config::backticked(&names)),
        };
        Error::Usage { message: format!("design `{name}` does not exist"), help: Some(help) }
    })
}

fn list() -> String {
    let widest = DESIGNS.iter().map(|design| design.name.len()).max().unwrap_or(0);
    DESIGNS.iter().map(|design| format!("{:<widest$}  {}\n", design.name, design.lineage)).collect()
}

fn show(design: &Registered) -> String {
    let Registered { name, lineage, source, left_out, .. } = design;
    let mut text = format!("{name}: {lineage}\n\nsource    {source}\nleft out  {left_out}\n");
    let knobs = (design.knobs)();
    text += if knobs.is_empty() { "\nno knobs\n" } else { "\nknobs\n" };
    knobs.iter().for_each(|knob| knob_text(&mut text, knob));
    text
}

fn knob_text(text: &mut String, knob: &Knob) {
    let _ = writeln!(text, "  {} = {}  ({})", knob.name, knob.default_text(), knob.type_name);
    for line in knob.doc.lines() {
        let _ = writeln!(text, "      {line}");
    }
}
