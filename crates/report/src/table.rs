//! The comparison as text: for a terminal, Markdown, CSV.

use results::{Case, Estimate, SummaryRow};

use crate::figures::{compact, decimals, plain};

/// Whether lines may be drawn: for a terminal, but not for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A rule below the heads.
    Ruled,
    /// Text only.
    Plain,
}

/// A column of a table.
pub(crate) struct Column<R> {
    /// Two lines.
    pub(crate) head: [&'static str; 2],
    pub(crate) cell: fn(&R) -> String,
    /// Columns with the highest number go first where there is no room.
    pub(crate) dispensable: u8,
}

/// Columns of the comparison's table.
pub(crate) const COLUMNS: [Column<SummaryRow>; 10] = [
    Column { head: ["", "design"], cell: |row| row.design.clone(), dispensable: 0 },
    Column { head: ["elapsed", "s"], cell: elapsed, dispensable: 0 },
    Column { head: ["speed", "x base"], cell: |row| plain(row.speedup.mean, 3), dispensable: 1 },
    Column {
        head: ["local", "%"],
        cell: |row| plain(row.local_access_pct.mean, 1),
        dispensable: 3,
    },
    Column {
        head: ["pages", "moved"],
        cell: |row| compact(row.pages_migrated.mean),
        dispensable: 4,
    },
    Column { head: ["hint", "faults"], cell: |row| compact(row.hint_faults.mean), dispensable: 6 },
    Column { head: ["sys", "%"], cell: |row| plain(row.system_pct.mean, 1), dispensable: 5 },
    Column { head: ["p50", "ns"], cell: |row| compact(row.latency.p50_ns as f64), dispensable: 8 },
    Column { head: ["p99", "ns"], cell: |row| compact(row.latency.p99_ns as f64), dispensable: 2 },
    Column {
        head: ["p99.9", "ns"],
        cell: |row| compact(row.latency.p99_9_ns as f64),
        dispensable: 7,
    },
];

/// `21.64 ±0.12`: mean and half of its 95 % interval, where there are several seeds.
fn elapsed(row: &SummaryRow) -> String {
    let Estimate { mean, .. } = row.elapsed_s;
    if row.nr_seeds == 0 {
        return "no memory".to_owned();
    }
    let digits = decimals(mean, 4);
    let out_of_memory = if row.nr_out_of_memory > 0 { " (some no memory)" } else { "" };
    let killed = match row.nr_killed {
        0 => "",
        nr if nr == row.nr_seeds => " (killed)",
        _ => " (some killed)",
    };
    // One seed has no interval, which is not an interval of 0.
    let interval = match row.nr_seeds {
        1 => String::new(),
        _ => format!(" ±{:.digits$}", row.elapsed_s.half_width()),
    };
    format!("{mean:.digits$}{interval}{out_of_memory}{killed}")
}

/// A table in at most `width` columns, without the most dispensable ones where there is no room.
pub(crate) fn fitted<R>(
    mut columns: Vec<&Column<R>>,
    rows: &[&R],
    width: usize,
    frame: Frame,
) -> String {
    let mut lines = render(&columns, rows);
    while lines.iter().any(|line| line.chars().count() > width) && drop_one(&mut columns) {
        lines = render(&columns, rows);
    }
    ruled(lines, frame)
}

/// Aligned lines as text; a rule below the two that are heads, where one may be drawn.
pub(crate) fn ruled(mut lines: Vec<String>, frame: Frame) -> String {
    if frame == Frame::Ruled {
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        lines.insert(2, "─".repeat(longest));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Rows of each case, in order.
pub(crate) fn group(rows: &[SummaryRow]) -> Vec<(Case, Vec<&SummaryRow>)> {
    grouped(rows, SummaryRow::case)
}

/// Rows that have a key in common, in the order in which keys appear.
pub(crate) fn grouped<'a, R, K: PartialEq>(
    rows: &'a [R],
    key: impl Fn(&'a R) -> K,
) -> Vec<(K, Vec<&'a R>)> {
    let mut groups: Vec<(K, Vec<&R>)> = Vec::new();
    for row in rows {
        let key = key(row);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups
}

/// Leaves out the most dispensable column; false where all that is left is needed.
fn drop_one<R>(columns: &mut Vec<&Column<R>>) -> bool {
    let most = columns.iter().map(|column| column.dispensable).max().unwrap_or(0);
    columns.retain(|column| column.dispensable != most || most == 0);
    most > 0
}

fn render<R>(columns: &[&Column<R>], rows: &[&R]) -> Vec<String> {
    let heads =
        [0, 1].map(|line| columns.iter().map(|column| column.head[line].to_owned()).collect());
    let cells = rows.iter().map(|row| columns.iter().map(|column| (column.cell)(row)).collect());
    align(&heads.into_iter().chain(cells).collect::<Vec<_>>())
}

/// Lines of cells below each other: the first column to the left, the others to the right.
pub(crate) fn align(lines: &[Vec<String>]) -> Vec<String> {
    let nr_columns = lines.first().map_or(0, Vec::len);
    let widest =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..nr_columns).map(widest).collect();
    let pad = |(column, cell): (usize, &String)| match column {
        0 => format!("{cell:<width$}", width = widths[0]),
        _ => format!("{cell:>width$}", width = widths[column]),
    };
    lines
        .iter()
        .map(|line| {
            line.iter().enumerate().map(pad).collect::<Vec<_>>().join(" ").trim_end().to_owned()
        })
        .collect()
}

/// The comparison table in Markdown, all columns.
pub fn markdown(rows: &[SummaryRow]) -> String {
    let mut text = String::new();
    let cases = group(rows);
    for (case, rows) in &cases {
        if cases.len() > 1 {
            text += &format!("{}**{}**\n\n", if text.is_empty() { "" } else { "\n" }, case.title());
        }
        let heads: Vec<String> =
            COLUMNS.iter().map(|column| column.head.join(" ").trim().to_owned()).collect();
        text +=
            &format!("| {} |\n| --- |{}\n", heads.join(" | "), " ---: |".repeat(COLUMNS.len() - 1));
        for row in rows {
            let cells: Vec<String> =
                COLUMNS.iter().map(|column| (column.cell)(row).replace('|', "\\|")).collect();
            text += &format!("| {} |\n", cells.join(" | "));
        }
    }
    text
}

/// The summary as CSV (RFC 4180), unrounded: what a row belongs to, then each estimate with the
/// ends of its interval, then the latency percentiles.
pub fn csv(rows: &[SummaryRow]) -> String {
    let mut axes: Vec<&String> = rows.iter().flat_map(|row| row.axes.keys()).collect();
    axes.sort();
    axes.dedup();
    let mut head: Vec<String> = ["machine", "workload"].map(str::to_owned).to_vec();
    head.extend(axes.iter().map(|axis| format!("axis_{axis}")));
    head.extend(["design", "seeds"].map(str::to_owned));
    let names = rows.first().map(SummaryRow::estimates).into_iter().flatten().map(|(name, _)| name);
    head.extend(
        names.flat_map(|name| [name.to_owned(), format!("{name}_low"), format!("{name}_high")]),
    );
    head.extend(["p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "p99.99_ns"].map(str::to_owned));
    let mut lines = vec![head];
    for row in rows {
        let mut line = vec![row.machine.clone(), row.workload.clone()];
        line.extend(axes.iter().map(|axis| row.axes.get(*axis).cloned().unwrap_or_default()));
        line.extend([row.design.clone(), row.nr_seeds.to_string()]);
        line.extend(
            row.estimates()
                .into_iter()
                .flat_map(|(_, e)| [e.mean, e.low, e.high].map(|value| value.to_string())),
        );
        let p = row.latency;
        line.extend(
            [p.p50_ns, p.p90_ns, p.p99_ns, p.p99_9_ns, p.p99_99_ns].map(|ns| ns.to_string()),
        );
        lines.push(line);
    }
    lines
        .iter()
        .map(|line| line.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n")
        .collect()
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use results::{sample, summary};

    use super::*;

    #[test]
    fn other_forms() {
        let rows = summary(&sample::elapsed(&[("base", &[10, 10]), ("fast, \"new\"", &[5, 5])]));
        insta::assert_snapshot!(markdown(&rows));
        insta::assert_snapshot!(csv(&rows));
    }
}
