//! From the values of cells to rows.

use super::file::{Basis, Metric, OrderingFile, RowFile};
use super::load::{Cell, Runnable, Table};
use super::{CellValues, NAME, Quantity};
use crate::row::{Centre, Got, Kind, Row, Verdict};

/// The rows of a table that were asked for.
pub(super) struct Plan {
    /// Cell and row.
    rows: Vec<(usize, usize)>,
    /// Ordering, and which pair of neighbours in it.
    pairs: Vec<(usize, usize)>,
}

/// Selects the rows whose id contains the filter.
pub(super) fn plan(table: &Table, filter: &str) -> Plan {
    let mut plan = Plan { rows: Vec::new(), pairs: Vec::new() };
    for (cell_idx, cell) in table.cells.iter().enumerate() {
        for (row_idx, row) in cell.rows.iter().enumerate() {
            if row_id(table, cell, row).contains(filter) {
                plan.rows.push((cell_idx, row_idx));
            }
        }
    }
    for (idx, ordering) in table.orderings.iter().enumerate() {
        for pair in 0..ordering.ascending.len() - 1 {
            if pair_id(table, ordering, pair).contains(filter) {
                plan.pairs.push((idx, pair));
            }
        }
    }
    plan
}

impl Plan {
    /// The cells that must run, in the table's order.
    pub(super) fn cells(&self, table: &Table) -> Vec<usize> {
        let mut cells: Vec<usize> = Vec::new();
        for &(cell, row) in &self.rows {
            cells.push(cell);
            let row = &table.cells[cell].rows[row];
            let others = row.plus.iter().chain(&row.minus).chain(&row.over);
            cells.extend(others.filter_map(|name| cell_named(table, &name.value)));
        }
        for &(ordering, pair) in &self.pairs {
            let names = &table.orderings[ordering].ascending[pair..=pair + 1];
            cells.extend(names.iter().filter_map(|name| cell_named(table, &name.value)));
        }
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// The rows; `values` gives what the runs of a cell gave.
    pub(super) fn judge<'v>(
        &self,
        table: &Table,
        values: &dyn Fn(usize) -> Option<&'v CellValues>,
    ) -> Vec<Row> {
        let rows = self.rows.iter().map(|&(cell, row)| judge_row(table, cell, row, values));
        let pairs =
            self.pairs.iter().map(|&(ordering, pair)| judge_pair(table, ordering, pair, values));
        rows.chain(pairs).collect()
    }
}

/// Why a row has no value.
type NoValue = (Verdict, String);

fn judge_row<'v>(
    table: &Table,
    cell_idx: usize,
    row_idx: usize,
    values: &dyn Fn(usize) -> Option<&'v CellValues>,
) -> Row {
    let cell = &table.cells[cell_idx];
    let file = &cell.rows[row_idx];
    let (low, high) = file.band();
    let row = Row {
        suite: NAME,
        id: row_id(table, cell, file),
        table: table.title.clone(),
        source: file.source.clone().unwrap_or_else(|| table.source.clone()),
        kind: match file.basis {
            Basis::Fitted => Kind::Fitted,
            Basis::Predicted => Kind::Predicted,
        },
        quantity: quantity(table, file),
        expected: file.published,
        low,
        high,
        got: None,
        verdict: Verdict::NotExpressible,
        note: file.note.clone(),
    };
    let mut cells = vec![cell_idx];
    cells.extend(file.plus.iter().filter_map(|name| cell_named(table, &name.value)));
    let base: Vec<usize> =
        file.over.iter().filter_map(|name| cell_named(table, &name.value)).collect();
    let of = Of { quantity: (file.metric, file.process), per_second: file.per_second };
    let less: Vec<usize> =
        file.minus.iter().filter_map(|name| cell_named(table, &name.value)).collect();
    let got = total_of(table, &cells, of, values).and_then(|got| {
        let got = match less.as_slice() {
            [] => got,
            less => got.less(total_of(table, less, of, values)?.centre),
        };
        if base.is_empty() {
            return Ok(got);
        }
        Ok(got.over(total_of(table, &base, of, values)?.centre))
    });
    with(row, got)
}

/// The row with its value, or with the reason that there is none.
fn with(row: Row, got: Result<Got, NoValue>) -> Row {
    match got {
        Ok(got) => row.judged(got),
        Err((verdict, why)) => row.without_value(verdict, why),
    }
}

fn judge_pair<'v>(
    table: &Table,
    ordering_idx: usize,
    pair: usize,
    values: &dyn Fn(usize) -> Option<&'v CellValues>,
) -> Row {
    let ordering = &table.orderings[ordering_idx];
    let high = 1.0 + (ordering.slack_pct - ordering.gap_pct) / 100.0;
    let row = Row {
        suite: NAME,
        id: pair_id(table, ordering, pair),
        table: table.title.clone(),
        source: ordering.source.clone().unwrap_or_else(|| table.source.clone()),
        kind: Kind::Ordering,
        quantity: format!("ratio of {}{}", mean_of(table), ordering.metric),
        expected: high,
        low: 0.0,
        high,
        got: None,
        verdict: Verdict::NotExpressible,
        note: ordering.note.clone(),
    };
    let value = |name: &str| {
        let missing = (Verdict::Failed, format!("no cell {name}"));
        let cell = cell_named(table, name).ok_or(missing)?;
        let of = Of { quantity: (ordering.metric, None), per_second: false };
        total_of(table, &[cell], of, values)
    };
    let [smaller, larger] = [pair, pair + 1].map(|idx| value(&ordering.ascending[idx].value));
    let got = smaller.and_then(|smaller| Ok(smaller.over(larger?.centre)));
    with(row, got)
}

/// What is added up.
#[derive(Clone, Copy)]
struct Of {
    quantity: Quantity,
    /// Whether the sum is divided by the seconds the runs took.
    per_second: bool,
}

/// The values of several cells added up seed by seed; a share is taken of the totals, a rate of the
/// total time.
fn total_of<'v>(
    table: &Table,
    cells: &[usize],
    of: Of,
    values: &dyn Fn(usize) -> Option<&'v CellValues>,
) -> Result<Got, NoValue> {
    let sums = |quantity: Quantity| {
        let mut sums: Option<Vec<f64>> = None;
        for &cell in cells {
            let seeds = seeds_of(table, cell, quantity, values)?;
            sums = Some(match sums {
                None => seeds.to_vec(),
                Some(sums) => sums.iter().zip(seeds).map(|(sum, value)| sum + value).collect(),
            });
        }
        Ok::<_, NoValue>(sums.unwrap_or_default())
    };
    let ratio = |part: Metric, whole: Metric, factor: f64| {
        let (part, whole) = (sums((part, None))?, sums((whole, None))?);
        Ok::<_, NoValue>(part.iter().zip(&whole).map(|(a, b)| a / b * factor).collect::<Vec<_>>())
    };
    let (metric, _) = of.quantity;
    let totals = match metric {
        Metric::HintLocal => ratio(Metric::HintFaultsLocal, Metric::HintFaults, 100.0)?,
        _ if of.per_second => ratio(metric, Metric::Elapsed, 1.0)?,
        _ => sums(of.quantity)?,
    };
    Got::of(&totals, table.centre)
        .ok_or_else(|| (Verdict::Failed, format!("the runs have no {metric}")))
}

fn seeds_of<'v>(
    table: &Table,
    cell_idx: usize,
    quantity: Quantity,
    values: &dyn Fn(usize) -> Option<&'v CellValues>,
) -> Result<&'v [f64], NoValue> {
    let cell = &table.cells[cell_idx];
    if let Some(why) = &cell.excluded {
        return Err((Verdict::Excluded, why.clone()));
    }
    if let Runnable::Needs(what) = &cell.maker {
        return Err((Verdict::NotExpressible, format!("needs {what}")));
    }
    match values(cell_idx) {
        Some(Ok(by_quantity)) => Ok(by_quantity.get(&quantity).map_or(&[], Vec::as_slice)),
        Some(Err(error)) => Err((Verdict::Failed, error.clone())),
        None => Err((Verdict::Failed, "not run".to_owned())),
    }
}

fn mean_of(table: &Table) -> &'static str {
    match table.centre {
        Centre::Median => "",
        Centre::Mean => "mean ",
    }
}

/// What is compared, and `mean` where that stands for the seeds.
fn quantity(table: &Table, row: &RowFile) -> String {
    let total = if row.plus.is_empty() { "" } else { "total " };
    let rate = if row.per_second { " per s" } else { "" };
    let process = row.process.map_or_else(String::new, |process| format!(" of process {process}"));
    let mean = mean_of(table);
    let what = format!("{mean}{total}{}{rate}{process}", row.metric);
    match row.over.first() {
        Some(base) => format!("{what} over {}", base.value),
        None => what,
    }
}

fn row_id(table: &Table, cell: &Cell, row: &RowFile) -> String {
    let mut id = format!("{}/{}/{}", table.name, cell.id, row.metric);
    if let Some(process) = row.process {
        id = format!("{id}/process-{process}");
    }
    if row.per_second {
        id.push_str("/per-s");
    }
    if !row.plus.is_empty() {
        id.push_str("/total");
    }
    if let Some(base) = row.over.first() {
        id = format!("{id}/over-{}", base.value.replace('/', "-"));
    }
    if !row.minus.is_empty() {
        id.push_str("/net");
    }
    if !row.label.is_empty() {
        id = format!("{id}/{}", row.label);
    }
    id
}

fn pair_id(table: &Table, ordering: &OrderingFile, pair: usize) -> String {
    let [a, b] = [pair, pair + 1].map(|idx| &ordering.ascending[idx].value);
    format!("{}/order/{}/{a}<{b}", table.name, ordering.id.value)
}

fn cell_named(table: &Table, name: &str) -> Option<usize> {
    table.cells.iter().position(|cell| cell.id == name)
}
