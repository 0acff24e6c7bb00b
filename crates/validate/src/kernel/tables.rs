//! The tables beside the cases: machines, what the kernel held at start, knobs, paces, expectations.

use std::collections::BTreeMap;

use super::case::CaseError;

/// A zone of a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ZoneRow {
    /// Node.
    pub node: usize,
    /// DMA, DMA32, Normal.
    pub zone: String,
    /// Pages present.
    pub present: u64,
    /// Pages managed.
    pub managed: u64,
    /// Watermarks: min, low, high, promo.
    pub marks: [u64; 4],
    /// Lowmem reserve against each class of zone.
    pub protection: Vec<u64>,
    /// Pages a per-CPU list takes at once.
    pub batch: u64,
    /// Free pages when the first process starts.
    pub free_at_start: u64,
}

/// A guest machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MachineRow {
    /// m01, ...
    pub name: String,
    /// The cases that ran on it.
    pub cases: Vec<String>,
    /// Memory and CPUs as the case's guest line has them, for cases that are not listed.
    pub shape: (usize, String, String),
    /// Zones, lowest first within a node.
    pub zones: Vec<ZoneRow>,
    /// What the kernel held at start, by name, pages.
    pub start: BTreeMap<String, u64>,
}

/// One counter that is compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ExpectedRow {
    /// Case.
    pub case: String,
    /// `a..b`, `@b`, `stepK`, `watchK`.
    pub phase: String,
    /// Counter.
    pub counter: String,
    /// The kernel's runs.
    pub runs: Vec<f64>,
    /// Their median.
    pub median: f64,
    /// Intervals in which a prediction passes.
    pub bands: Vec<(f64, f64)>,
}

impl ExpectedRow {
    /// Whether a prediction passes.
    pub(super) fn passes(&self, value: f64) -> bool {
        self.bands.iter().any(|(low, high)| (*low..=*high).contains(&value))
    }
}

/// A table with a header; fields may be quoted.
pub(super) struct Csv<'a> {
    file: &'a str,
    header: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
}

impl<'a> Csv<'a> {
    /// Splits a table.
    ///
    /// # Errors
    /// A row with another number of fields than the header.
    pub(super) fn parse(file: &'a str, text: &str) -> Result<Self, CaseError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let header = lines.next().map(|(_, line)| split(line)).unwrap_or_default();
        let rows: Vec<(usize, Vec<String>)> =
            lines.map(|(index, line)| (index + 1, split(line))).collect();
        let csv = Self { file, header, rows };
        for (line, row) in &csv.rows {
            if row.len() != csv.header.len() {
                let message =
                    format!("{} fields where the header has {}", row.len(), csv.header.len());
                return csv.fail(*line, message);
            }
        }
        Ok(csv)
    }

    fn fail<T>(&self, line: usize, message: String) -> Result<T, CaseError> {
        Err(CaseError { file: self.file.to_owned(), line, column: 1, message })
    }

    fn rows(&self) -> impl Iterator<Item = Fields<'_>> {
        self.rows.iter().map(|(line, values)| Fields { csv: self, line: *line, values })
    }
}

/// One row.
struct Fields<'a> {
    csv: &'a Csv<'a>,
    line: usize,
    values: &'a [String],
}

impl Fields<'_> {
    fn text(&self, key: &str) -> Result<&str, CaseError> {
        match self.csv.header.iter().position(|name| name == key) {
            Some(column) => Ok(&self.values[column]),
            None => self.csv.fail(1, format!("there is no column `{key}`")),
        }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, CaseError> {
        let text = self.text(key)?;
        match text.trim().parse() {
            Ok(value) => Ok(value),
            Err(_) => self.csv.fail(self.line, format!("`{text}` in column `{key}` is no number")),
        }
    }

    fn list<T: std::str::FromStr>(&self, text: &str, by: char) -> Result<Vec<T>, CaseError> {
        let parse = |part: &str| match part.trim().parse() {
            Ok(value) => Ok(value),
            Err(_) => self.csv.fail(self.line, format!("`{part}` is no number")),
        };
        text.split(by).filter(|part| !part.trim().is_empty()).map(parse).collect()
    }
}

fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(letter);
                }
            }
        }
    }
    fields
}

/// Reads machines.csv and start.csv.
///
/// # Errors
/// A missing column or a field that is no number.
pub(super) fn machines(machines: &str, start: &str) -> Result<Vec<MachineRow>, CaseError> {
    let csv = Csv::parse("machines.csv", machines)?;
    let mut found: Vec<MachineRow> = Vec::new();
    for row in csv.rows() {
        let name = row.text("machine")?;
        if found.last().is_none_or(|machine| machine.name != name) {
            let shape =
                (row.number("nodes")?, row.text("mib")?.to_owned(), row.text("cpus")?.to_owned());
            found.push(MachineRow { name: name.to_owned(), shape, ..MachineRow::default() });
        }
        let Some(machine) = found.last_mut() else { continue };
        machine.cases.extend(row.text("cases")?.split_whitespace().map(str::to_owned));
        machine.zones.push(ZoneRow {
            node: row.number("node")?,
            zone: row.text("zone")?.to_owned(),
            present: row.number("present")?,
            managed: row.number("managed")?,
            marks: [
                row.number("min")?,
                row.number("low")?,
                row.number("high")?,
                row.number("promo")?,
            ],
            protection: row.list(row.text("protection")?, ' ')?,
            batch: row.number("pcp_batch")?,
            free_at_start: row.number("free_at_start_median")?,
        });
    }
    let csv = Csv::parse("start.csv", start)?;
    for row in csv.rows() {
        let name = row.text("machine")?;
        if let Some(machine) = found.iter_mut().find(|machine| machine.name == name) {
            for key in csv.header.iter().skip(1) {
                machine.start.insert(key.clone(), row.number(key)?);
            }
        }
    }
    Ok(found)
}

/// Reads knobs.csv: path and value.
///
/// # Errors
/// A missing column.
pub(super) fn knobs(text: &str) -> Result<Vec<(String, String)>, CaseError> {
    let csv = Csv::parse("knobs.csv", text)?;
    csv.rows()
        .map(|row| {
            Ok((
                row.text("knob")?.to_owned(),
                row.text("value_unless_the_case_sets_it")?.to_owned(),
            ))
        })
        .collect()
}

/// Reads expected.csv.
///
/// # Errors
/// A missing column, a field that is no number, an unknown rule.
pub(super) fn expected(text: &str) -> Result<Vec<ExpectedRow>, CaseError> {
    let csv = Csv::parse("expected.csv", text)?;
    let mut rows = Vec::new();
    for row in csv.rows() {
        let (min, max): (f64, f64) = (row.number("min")?, row.number("max")?);
        let tolerance = row.text("tolerance")?;
        let bands = match row.text("rule")? {
            "range" => {
                let tolerance: f64 = row.number("tolerance")?;
                vec![(min - tolerance, max + tolerance)]
            }
            "modes" => {
                let mut bands = Vec::new();
                for band in tolerance.split('|') {
                    match row.list::<f64>(band, ':')?.as_slice() {
                        [low, high] => bands.push((*low, *high)),
                        _ => return csv.fail(row.line, format!("`{band}` is no interval")),
                    }
                }
                bands
            }
            other => return csv.fail(row.line, format!("unknown rule `{other}`")),
        };
        rows.push(ExpectedRow {
            case: row.text("case")?.to_owned(),
            phase: row.text("phase")?.to_owned(),
            counter: row.text("counter")?.to_owned(),
            runs: row.list(row.text("runs")?, ';')?,
            median: row.number("median")?,
            bands,
        });
    }
    Ok(rows)
}

/// Why rows miss: the first row whose patterns fit tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CauseRow {
    /// Case, `*` for any letters.
    case: String,
    /// Phase and counter as `phase/counter`, `*` for any letters.
    counter: String,
    /// A short sentence.
    pub cause: String,
}

impl CauseRow {
    /// Whether it tells of a row.
    pub(super) fn tells_of(&self, row: &ExpectedRow) -> bool {
        fits(&self.case, &row.case)
            && fits(&self.counter, &format!("{}/{}", row.phase, row.counter))
    }
}

/// Whether a text is what a pattern says, in which `*` stands for any letters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).any(|at| text.get(at..).is_some_and(|text| fits(rest, text)))
}

/// Reads causes.csv.
///
/// # Errors
/// A missing column.
pub(super) fn causes(text: &str) -> Result<Vec<CauseRow>, CaseError> {
    let csv = Csv::parse("causes.csv", text)?;
    csv.rows()
        .map(|row| {
            let text = |key| row.text(key).map(str::to_owned);
            Ok(CauseRow { case: text("case")?, counter: text("counter")?, cause: text("cause")? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_and_the_first_cause_is_taken() {
        assert!(fits("e-*-stream*", "e-classic-stream-zr0") && !fits("e-*", "f-e-x"));
        assert!(fits("*", "") && fits("*.pgscan", "a..b/cg:a.pgscan"));
        assert!(!fits("*.pgscan", "a..b/cg:a.pgscan_anon"));
        let text = "case,counter,cause\nw-*,*dirty*,one\nw-*,*,\"two, or more\"\n";
        let causes = causes(text).unwrap();
        let tell = |counter: &str| {
            let row = ExpectedRow {
                case: String::from("w-x"),
                counter: counter.to_owned(),
                ..ExpectedRow::default()
            };
            causes.iter().find(|cause| cause.tells_of(&row)).map(|cause| cause.cause.clone())
        };
        assert_eq!(tell("cg:a.file_dirty").as_deref(), Some("one"));
        assert_eq!(tell("pgscan").as_deref(), Some("two, or more"));
    }
}
