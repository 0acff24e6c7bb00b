//! From files to what is run: machines compiled, designs configured, every name resolved.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Cx, Problem, Problems, Value};
use designs::Placement;
use topology::Machine;
use trace::generate::WorkloadSpec;

use super::file::{CellFile, OrderingFile, RowFile, TableFile};
use crate::row::Centre;

/// Designs that published tables name and this program does not have yet. A name that is neither
/// here nor registered is a mistake in the file.
pub const AWAITED_DESIGNS: &[&str] = &[
    "autonuma-28",
    "autonuma-alpha",
    "numacore-15",
    "numacore-unified-3",
    "schednuma-march",
    "schednuma-october",
    "numa-balancing-3.13",
    "numa-balancing-6.12",
];

/// A published table, ready to be run.
pub struct Table {
    /// File name without its ending.
    pub name: String,
    /// As reports show it.
    pub title: String,
    /// Where it was published.
    pub source: String,
    /// What readers should know.
    pub note: String,
    /// The machine.
    pub machine: Arc<Machine>,
    /// Its file.
    pub machine_path: PathBuf,
    /// What stands for several seeds.
    pub centre: Centre,
    /// What is run.
    pub cells: Vec<Cell>,
    /// In which order values come.
    pub orderings: Vec<OrderingFile>,
}

/// A workload under a design.
pub struct Cell {
    /// Unique within the table.
    pub id: String,
    /// The workload at its published size.
    pub workload: WorkloadSpec,
    /// The workload of a quick run.
    pub quick_workload: WorkloadSpec,
    /// The design's name.
    pub design: String,
    /// Whether constants of the design differ from the published defaults.
    pub has_knobs: bool,
    /// Makes the design.
    pub maker: Runnable,
    /// Seeds of a full run.
    pub seeds: u32,
    /// Seeds of a quick run.
    pub quick_seeds: u32,
    /// Why it is listed and not judged.
    pub excluded: Option<String>,
    /// What was published of it.
    pub rows: Vec<RowFile>,
}

/// Makes a fresh instance of a configured design.
pub type Maker = Arc<dyn Fn(&Machine) -> Box<dyn Placement> + Send + Sync>;

/// Whether a cell can be run.
#[derive(Clone)]
pub enum Runnable {
    /// With this design.
    With(Maker),
    /// Not before something exists.
    Needs(String),
}

/// Reads all tables below `folder`, in the order of their names.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn load(folder: &Path) -> Result<Vec<Table>, Problems> {
    let mut cx = Cx::new(|path: &Path| -> io::Result<String> { std::fs::read_to_string(path) });
    let mut tables = Vec::new();
    match table_paths(folder) {
        Ok(paths) => {
            for path in paths {
                let table = load_table(&path, &mut cx);
                tables.extend(table);
            }
        }
        Err(error) => {
            let message = format!("failed to list `{}`: {error}", folder.display());
            let help = "`--configs DIR` names the folder `configs` of the project";
            cx.push(Problem::error(message).help(help));
        }
    }
    cx.finish(Some(tables)).map(|(tables, _)| tables)
}

/// The tables' files, sorted.
fn table_paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn load_table(path: &Path, cx: &mut Cx) -> Option<Table> {
    let file: TableFile = cx.load(path)?;
    let machine = Arc::new(topology::load_named(cx, &file.machine)?);
    let cells: Vec<Option<Cell>> =
        file.cells.iter().map(|cell| load_cell(cell, &file, cx)).collect();
    let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
    Some(Table {
        name: name.unwrap_or_default(),
        title: file.title,
        source: file.source,
        note: file.note,
        machine,
        machine_path: path.with_file_name(&file.machine.value),
        centre: file.centre,
        cells: cells.into_iter().collect::<Option<Vec<_>>>()?,
        orderings: file.orderings,
    })
}

fn load_cell(cell: &CellFile, file: &TableFile, cx: &mut Cx) -> Option<Cell> {
    let workload = file.workloads.get(&cell.workload.value)?.clone();
    let quick = cell.quick_workload.as_ref().and_then(|name| file.workloads.get(&name.value));
    let quick_workload = quick.unwrap_or(&workload).clone();
    let maker = match &cell.needs {
        Some(needs) => Runnable::Needs(needs.clone()),
        None => design(cell, cx)?,
    };
    Some(Cell {
        id: cell.id.value.clone(),
        workload,
        quick_workload,
        design: cell.design.value.clone(),
        has_knobs: cell.knobs.is_some(),
        maker,
        seeds: cell.seeds,
        quick_seeds: cell.quick_seeds.min(cell.seeds),
        excluded: cell.excluded.clone(),
        rows: cell.rows.clone(),
    })
}

/// The configured design, or that it does not exist yet.
fn design(cell: &CellFile, cx: &mut Cx) -> Option<Runnable> {
    let name = &cell.design;
    if let Some(registered) = designs::find(&name.value) {
        let empty = Value::from(config::Table { entries: Vec::new() });
        let maker = (registered.build)(cell.knobs.as_ref().unwrap_or(&empty), cx)?;
        return Some(Runnable::With(maker));
    }
    if AWAITED_DESIGNS.contains(&name.value.as_str()) {
        return Some(Runnable::Needs(format!("the design `{}`", name.value)));
    }
    let known: Vec<&str> = designs::DESIGNS.iter().map(|design| design.about.name).collect();
    cx.push(config::unknown_name("design", name, &known));
    None
}
