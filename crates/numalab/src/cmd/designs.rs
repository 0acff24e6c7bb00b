//! `numalab designs`.

use std::fmt::Write as _;

use config::{Description, Knob};
use designs::DESIGNS;
use reclaim::hierarchy::HIERARCHIES;
use reclaim::mapped::MAPPED_RULES;
use reclaim::textbook::POLICIES;

use crate::cli::{Designs, DesignsCommand};
use crate::error::Error;
use crate::ui::out;

/// A design of any family.
pub(crate) struct Shown {
    pub(crate) family: &'static str,
    pub(crate) about: &'static Description,
}

/// All designs of all families.
pub(crate) fn all() -> Vec<Shown> {
    let mut all = Vec::new();
    let mut add = |family, designs: Vec<&'static Description>| {
        all.extend(designs.into_iter().map(|about| Shown { family, about }));
    };
    add("NUMA placement", DESIGNS.iter().map(|design| &design.about).collect());
    add(
        "Reclaim of a hierarchy of memory cgroups",
        HIERARCHIES.iter().map(|design| &design.about).collect(),
    );
    add("Mapped pages at the cold end", MAPPED_RULES.iter().map(|rule| &rule.about).collect());
    add("Yardsticks for page replacement", POLICIES.iter().map(|policy| &policy.about).collect());
    all
}

pub(super) fn designs(args: &Designs) -> Result<(), Error> {
    match &args.command {
        None | Some(DesignsCommand::List) => out(&list()),
        Some(DesignsCommand::Show { name }) => out(&show(find(name)?)),
    }
}

fn find(name: &str) -> Result<&'static Description, Error> {
    let designs = all();
    let found = designs.iter().find(|design| design.about.name == name);
    found.map(|design| design.about).ok_or_else(|| {
        let names: Vec<&str> = designs.iter().map(|design| design.about.name).collect();
        let help = match config::did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the designs are {}", config::backticked(&names)),
        };
        Error::Usage { message: format!("design `{name}` does not exist"), help: Some(help) }
    })
}

fn list() -> String {
    let designs = all();
    let widest = designs.iter().map(|design| design.about.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut family = "";
    for design in &designs {
        if design.family != family {
            let gap = if family.is_empty() { "" } else { "\n" };
            family = design.family;
            let _ = writeln!(text, "{gap}{family}");
        }
        let _ = writeln!(text, "  {:<widest$}  {}", design.about.name, design.about.lineage);
    }
    text
}

fn show(about: &Description) -> String {
    let Description { name, lineage, source, left_out, .. } = about;
    let mut text = format!("{name}: {lineage}\n\nsource    {source}\nleft out  {left_out}\n");
    let knobs = (about.knobs)();
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
