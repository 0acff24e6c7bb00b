//! `numalab designs`.

use std::fmt::Write as _;

use config::Knob;
use designs::DESIGNS;
use reclaim::hierarchy::HIERARCHIES;
use reclaim::mapped::MAPPED_RULES;
use reclaim::textbook::POLICIES;

use crate::cli::{Designs, DesignsCommand};
use crate::error::Error;
use crate::ui::out;

/// A design of any family, as it is shown.
pub(crate) struct Shown {
    pub(crate) family: &'static str,
    pub(crate) name: &'static str,
    pub(crate) lineage: &'static str,
    pub(crate) source: &'static str,
    pub(crate) left_out: &'static str,
    pub(crate) knobs: Vec<Knob>,
}

/// All designs of all families.
pub(crate) fn all() -> Vec<Shown> {
    let placement = DESIGNS.iter().map(|design| Shown {
        family: "NUMA placement",
        name: design.name,
        lineage: design.lineage,
        source: design.source,
        left_out: design.left_out,
        knobs: (design.knobs)(),
    });
    let hierarchy = HIERARCHIES.iter().map(|design| Shown {
        family: "Reclaim of a hierarchy of memory cgroups",
        name: design.name,
        lineage: design.lineage,
        source: design.source,
        left_out: design.left_out,
        knobs: (design.knobs)(),
    });
    let mapped = MAPPED_RULES.iter().map(|rule| Shown {
        family: "Mapped pages at the cold end",
        name: rule.name,
        lineage: rule.lineage,
        source: rule.source,
        left_out: rule.left_out,
        knobs: Vec::new(),
    });
    let textbook = POLICIES.iter().map(|policy| Shown {
        family: "Yardsticks for page replacement",
        name: policy.name,
        lineage: policy.lineage,
        source: policy.source,
        left_out: policy.left_out,
        knobs: (policy.knobs)(),
    });
    placement.chain(hierarchy).chain(mapped).chain(textbook).collect()
}

pub(super) fn designs(args: &Designs) -> Result<(), Error> {
    match &args.command {
        None | Some(DesignsCommand::List) => out(&list()),
        Some(DesignsCommand::Show { name }) => out(&show(&find(name)?)),
    }
}

fn find(name: &str) -> Result<Shown, Error> {
    let names: Vec<&str> = all().iter().map(|design| design.name).collect();
    all().into_iter().find(|design| design.name == name).ok_or_else(|| {
        let help = match config::did_you_mean(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the designs are {}", config::backticked(&names)),
        };
        Error::Usage { message: format!("design `{name}` does not exist"), help: Some(help) }
    })
}

fn list() -> String {
    let designs = all();
    let widest = designs.iter().map(|design| design.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut family = "";
    for design in &designs {
        if design.family != family {
            let gap = if family.is_empty() { "" } else { "\n" };
            family = design.family;
            let _ = writeln!(text, "{gap}{family}");
        }
        let _ = writeln!(text, "  {:<widest$}  {}", design.name, design.lineage);
    }
    text
}

fn show(design: &Shown) -> String {
    let Shown { name, lineage, source, left_out, .. } = design;
    let mut text = format!("{name}: {lineage}\n\nsource    {source}\nleft out  {left_out}\n");
    text += if design.knobs.is_empty() { "\nno knobs\n" } else { "\nknobs\n" };
    design.knobs.iter().for_each(|knob| knob_text(&mut text, knob));
    text
}

fn knob_text(text: &mut String, knob: &Knob) {
    let _ = writeln!(text, "  {} = {}  ({})", knob.name, knob.default_text(), knob.type_name);
    for line in knob.doc.lines() {
        let _ = writeln!(text, "      {line}");
    }
}
