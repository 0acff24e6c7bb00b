//! The families of designs that an experiment may name: placement on NUMA nodes, reclaim of a
//! hierarchy of memory cgroups, mapped pages.
//!
//! An entry of the two families of reclaim stands for two settings of the machine's kernel; pages are
//! then placed by first touch, as a kernel without automatic NUMA balancing places them.

use std::path::Path;

use config::{Cx, Description, Json, Problem, Problems, Spanned, Value};
use designs::DESIGNS;
use reclaim::hierarchy::HIERARCHIES;
use reclaim::mapped::MAPPED_RULES;
use reclaim::textbook::{self, POLICIES};
use serde_json::json;
use topology::{Machine, MachineFile, Reclaim};

use crate::axes::{Setting, Target};
use crate::inputs::Disk;

/// What places pages where the design decides on reclaim.
const PLACEMENT: &str = "first-touch";

/// The family of a design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Placement on NUMA nodes.
    Placement,
    /// Reclaim of a hierarchy of memory cgroups.
    Hierarchy,
    /// Pages whose accessed bits are set.
    MappedPages,
}

impl Family {
    /// The family of the design of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        all().find(|(_, about)| about.name == name).map(|(family, _)| family)
    }

    /// The placement design of an entry with its knobs, and the settings of the machine that the
    /// entry stands for.
    pub(crate) fn resolve<'a>(
        self,
        name: &'a Spanned<String>,
        knobs: &Value,
    ) -> (&'a str, Value, Vec<Setting>) {
        let set = |path: &str, value: Value| Setting {
            target: Target::Machine,
            path: Spanned::new(path.to_owned(), name.span),
            value,
        };
        let named = || Value { span: name.span, ..name.value.as_str().into() };
        let settings = match self {
            Self::Placement => return (&name.value, knobs.clone(), Vec::new()),
            Self::Hierarchy => vec![
                set("kernel.hierarchy.design", named()),
                set("kernel.hierarchy.knobs", knobs.clone()),
            ],
            Self::MappedPages => vec![set("kernel.mapped_pages", named())],
        };
        (PLACEMENT, Value::empty_table(), settings)
    }

    /// Records what a family needs of a machine and does not find.
    pub(crate) fn check(self, machine: &Machine, name: &Spanned<String>, cx: &mut Cx) {
        if self != Self::Placement && machine.kernel.reclaim == Reclaim::None {
            let message = format!(
                "design `{name}` decides on reclaim, but {} reclaims nothing",
                machine.name
            );
            let help = "set machine.kernel.reclaim to \"classic\" or \"mglru\"";
            cx.push(Problem::error(message).label(name.span, "named here").help(help));
        }
    }
}

/// The designs of all families.
fn all() -> impl Iterator<Item = (Family, &'static Description)> {
    let placement = DESIGNS.iter().map(|design| (Family::Placement, &design.about));
    let hierarchy = HIERARCHIES.iter().map(|design| (Family::Hierarchy, &design.about));
    let mapped = MAPPED_RULES.iter().map(|rule| (Family::MappedPages, &rule.about));
    placement.chain(hierarchy).chain(mapped)
}

/// Names of the designs of all families.
pub(crate) fn names() -> Vec<&'static str> {
    all().map(|(_, about)| about.name).collect()
}

/// A design that no registry has.
pub(crate) fn unknown(name: &Spanned<String>) -> Problem {
    let names = names();
    let suggestion = config::did_you_mean(name, names.iter().copied());
    let problem = Problem::error(format!("design `{name}` does not exist"));
    match suggestion {
        Some(_) => problem.label(name.span, "not known").suggest(suggestion),
        None => problem
            .label(name.span, "not known")
            .help(format!("the designs are {}", config::backticked(&names))),
    }
}

/// A setting of the kernel for which an entry's design stands already.
pub(crate) fn set_twice(name: &Spanned<String>, path: &Spanned<String>) -> Problem {
    Problem::error(format!(
        "`machine.{path}` is set, and design `{name}` stands for a setting of it"
    ))
    .label(path.span, "set here")
    .label(name.span, "and here")
    .help("leave one of them out")
}

/// A rule for mapped pages has no settings.
pub(crate) fn refuse_knobs(name: &Spanned<String>, knobs: &Value, cx: &mut Cx) {
    let first = knobs.as_table().and_then(|table| table.entries.first());
    if let Some(first) = first {
        let message = format!("design `{name}` has no knobs");
        cx.error(first.key.span, message, "unknown key");
    }
}

/// Stands for all textbook policies.
const ALL: &str = "all";

/// What may be named as a yardstick.
pub(crate) fn yardstick_names() -> Vec<&'static str> {
    POLICIES.iter().map(|policy| policy.about.name).chain([ALL]).collect()
}

/// What is wrong with the name of a yardstick.
pub(crate) fn check_yardstick(name: &Spanned<String>) -> Option<Problem> {
    let known = yardstick_names();
    let is_known = known.contains(&name.as_str());
    (!is_known).then(|| config::unknown_name("yardsticks", name, &known))
}

/// The textbook policies of those names, each once, in the registry's order.
pub(crate) fn yardsticks(names: &[&str]) -> Vec<&'static textbook::Registered> {
    let is_named =
        |policy: &&textbook::Registered| names.contains(&policy.about.name) || names.contains(&ALL);
    POLICIES.iter().filter(is_named).collect()
}

/// Adds the designs of a family, or of all, to the definition of a schema that has the keys
/// `design` and `knobs`.
pub(crate) fn add_to(schema: &mut Json, definition: &str, family: Option<Family>) {
    let mut definitions = serde_json::Map::new();
    let (mut names, mut choices) = (Vec::new(), Vec::new());
    for (_, about) in all().filter(|(own, _)| family.is_none_or(|family| family == *own)) {
        let (name, mut knobs) = (about.name, (about.schema)());
        if let Some(table) = knobs.as_object_mut() {
            table.remove("$schema");
            // Only whole files may extend others; a design's knobs all have defaults.
            table.remove("anyOf");
            if let Some(keys) = table.get_mut("properties").and_then(Json::as_object_mut) {
                keys.remove("extends");
            }
            // What it refers to is named by its own root; that moves to the file's.
            if let Some(Json::Object(own)) = table.remove("definitions") {
                definitions.extend(own);
            }
        }
        choices.push(json!({
            "if": { "properties": { "design": { "const": name } }, "required": ["design"] },
            "then": { "properties": { "knobs": knobs } },
        }));
        names.push(name);
    }
    if let Some(own) = schema.pointer_mut("/definitions").and_then(Json::as_object_mut) {
        own.extend(definitions);
    }
    if let Some(entry) = schema.pointer_mut(&format!("/definitions/{definition}")) {
        entry["properties"]["design"]["enum"] = names.into();
        entry["allOf"] = choices.into();
    }
}

/// Reads and compiles a machine file, the designs of reclaim that it names included.
///
/// # Errors
/// Everything that is wrong with the file and those it extends; with a machine come its warnings.
pub fn load_machine(path: &Path) -> Result<(Machine, Problems), Problems> {
    let mut cx = Cx::new(Disk);
    let file = cx.load::<MachineFile>(path);
    let machine = file.and_then(|file| file.machine(&mut cx));
    let machine =
        machine.filter(|machine| sim::reclaim_designs(&machine.kernel, &mut cx).is_some());
    cx.finish(machine)
}

/// JSON Schema of machine files: designs of reclaim and their settings are known to it.
pub fn machine_schema() -> Json {
    let mut schema = topology::schema();
    add_to(&mut schema, "HierarchyChoice", Some(Family::Hierarchy));
    if let Some(rule) = schema.pointer_mut("/definitions/Kernel/properties/mapped_pages") {
        let names: Vec<&str> = MAPPED_RULES.iter().map(|rule| rule.about.name).collect();
        rule["enum"] = names.into();
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_design() {
        let names = names();
        for (idx, name) in names.iter().enumerate() {
            assert!(!names[..idx].contains(name), "{name} twice");
            assert!(Family::of(name).is_some());
        }
    }
}
