//! The page `docs/validation.md`.

use crate::row::{Kind, Row, Verdict};
use crate::scatter;
use crate::text::{band, number, summary};

/// The rows as a page: a summary, a table and a scatter for each published table, and the misses
/// with their causes. The same rows give the same text.
pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::from("# Validation\n\n");
    out.push_str(
        "Written by `numalab validate`; do not edit. A row passes when the median over its seeds \
         (the mean, where the quantity says so) lies in its band. *Fitted* rows helped to set a \
         number of the machine's file, *predicted* ones did not; no number was set for a design.\n\n",
    );
    out.push_str(&format!("{}.\n\n", summary(rows)));
    out.push_str(&overview(rows));
    for table in tables(rows) {
        let of_table: Vec<&Row> = rows.iter().filter(|row| row.table == table).collect();
        out.push_str(&section(table, &of_table));
    }
    out.push_str(&misses(rows));
    out
}

/// Titles of the tables in the order of their first rows.
fn tables(rows: &[Row]) -> Vec<&str> {
    let mut tables: Vec<&str> = Vec::new();
    for row in rows {
        if !tables.contains(&row.table.as_str()) {
            tables.push(&row.table);
        }
    }
    tables
}

/// Rows passed and judged by table and kind.
fn overview(rows: &[Row]) -> String {
    let mut out = String::from(
        "| table | fitted | predicted | orderings | not expressible yet | excluded |\n|---|---|---|---|---|---|\n",
    );
    for table in tables(rows).into_iter().filter(|table| !table.starts_with("Closed forms")) {
        let of = |kind: Kind| {
            let rows = || rows.iter().filter(|row| row.table == table && row.kind == kind);
            let passed = rows().filter(|row| row.passed()).count();
            let judged = passed + rows().filter(|row| row.is_failure()).count();
            if judged == 0 { "-".to_owned() } else { format!("{passed} of {judged}") }
        };
        let count = |verdict: Verdict| {
            rows.iter().filter(|row| row.table == table && row.verdict == verdict).count()
        };
        out.push_str(&format!(
            "| {table} | {} | {} | {} | {} | {} |\n",
            of(Kind::Fitted),
            of(Kind::Predicted),
            of(Kind::Ordering),
            count(Verdict::NotExpressible),
            count(Verdict::Excluded),
        ));
    }
    out.push('\n');
    out
}

fn section(table: &str, rows: &[&Row]) -> String {
    let mut out = format!("## {table}\n\n");
    let mut sources: Vec<&str> = Vec::new();
    for row in rows {
        if row.kind != Kind::ClosedForm && !sources.contains(&row.source.as_str()) {
            sources.push(&row.source);
        }
    }
    sources.iter().for_each(|source| out.push_str(&format!("Source: {source}.\n\n")));
    out.push_str("| row | quantity | kind | expected | band | got | range over seeds | verdict |\n|---|---|---|---|---|---|---|---|\n");
    for row in rows {
        let got = row.got.map_or("-".to_owned(), |got| number(got.centre));
        let range = row.got.filter(|got| got.nr_seeds > 1).map_or("-".to_owned(), |got| {
            format!("{} to {} ({})", number(got.least), number(got.most), got.nr_seeds)
        });
        let quantity = if row.kind == Kind::ClosedForm { &row.source } else { &row.quantity };
        out.push_str(&format!(
            "| {} | {} | {} | {} | {} | {got} | {range} | {} |\n",
            cell(&row.id),
            cell(quantity),
            row.kind.name(),
            number(row.expected),
            band(row),
            row.verdict.name(),
        ));
    }
    out.push('\n');
    let published: Vec<&Row> = rows
        .iter()
        .copied()
        .filter(|row| matches!(row.kind, Kind::Fitted | Kind::Predicted))
        .collect();
    let drawing = scatter::svg(&published);
    if !drawing.is_empty() {
        out.push_str(&drawing);
        out.push('\n');
    }
    out
}

/// Every row that is not passed, with what is known about it.
fn misses(rows: &[Row]) -> String {
    let mut out = String::from("## Misses and their causes\n\n");
    let missed: Vec<&Row> = rows.iter().filter(|row| row.is_failure()).collect();
    if missed.is_empty() {
        out.push_str("None.\n");
        return out;
    }
    out.push_str("| row | expected | got | off | cause |\n|---|---|---|---|---|\n");
    for row in missed {
        let got = row.got.map_or("-".to_owned(), |got| number(got.centre));
        let off = row.off_pct().map_or("-".to_owned(), |pct| format!("{pct:+.1} %"));
        let cause = if row.note.is_empty() { "not known" } else { &row.note };
        let expected = number(row.expected);
        out.push_str(&format!(
            "| {} | {expected} | {got} | {off} | {} |\n",
            cell(&row.id),
            cell(cause)
        ));
    }
    out
}

/// Text that does not end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Got;

    fn row(id: &str, got: Option<f64>, note: &str) -> Row {
        let row = Row {
            suite: "published",
            id: id.to_owned(),
            table: "A table".to_owned(),
            source: "a mail".to_owned(),
            kind: Kind::Predicted,
            quantity: "elapsed_s".to_owned(),
            expected: 100.0,
            low: 90.0,
            high: 110.0,
            got: None,
            verdict: Verdict::NotExpressible,
            note: note.to_owned(),
        };
        match got {
            Some(got) => row.judged(Got::exact(got)),
            None => row,
        }
    }

    #[test]
    fn page_names_misses_with_their_cause_and_draws_what_has_a_value() {
        let rows =
            [row("in", Some(95.0), ""), row("a<b", Some(120.0), "too hot"), row("no", None, "")];
        let page = markdown(&rows);
        assert!(page.contains("| a&lt;b | 100.0 | 120.0 | +20.0 % | too hot |"), "{page}");
        assert!(page.contains("| A table | - | 1 of 2 | - | 1 | 0 |"), "{page}");
        assert_eq!(page.matches("<circle").count(), 2);
        assert!(page.contains("1 of 2 rows passed (50.0 %), 1 missed"));
    }

    #[test]
    fn json_has_the_keys_scripts_rely_on() {
        let json = crate::to_json(&[row("in", Some(95.0), ""), row("no", None, "")]);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        for key in ["suite", "id", "source", "expected", "low", "high", "got", "pass"] {
            assert!(parsed[0].get(key).is_some_and(|value| !value.is_null()), "{key}");
        }
        assert_eq!(parsed[0]["pass"], true);
        assert!(parsed[1]["got"].is_null() && parsed[1]["pass"] == false);
    }
}
