//! Tidy Parquet tables: one row per observation, for pandas, polars, duckdb, R.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::summary::summary;
use crate::{Case, Comparison, Run};

/// A column of a table; all columns of one have the same length.
pub(crate) struct Column {
    name: String,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i64>),
    Float(Vec<f64>),
}

/// The columns of one kind of table as it grows: what each row belongs to, then its values.
struct Table {
    axes: Vec<String>,
    keys: Vec<Vec<ByteArray>>,
    /// Empty in tables over seeds.
    seeds: Vec<i64>,
}

impl Table {
    fn new(comparison: &Comparison) -> Self {
        let mut axes: Vec<String> =
            comparison.cells.iter().flat_map(|run| run.axes.keys().cloned()).collect();
        axes.sort();
        axes.dedup();
        Self { keys: vec![Vec::new(); 3 + axes.len()], axes, seeds: Vec::new() }
    }

    /// Says what the next row belongs to. An axis that its case does not have is empty.
    fn begin_row(&mut self, case: &Case, design: &str) {
        let mut key = vec![case.machine.as_str(), &case.workload, design];
        key.extend(self.axes.iter().map(|axis| case.axes.get(axis).map_or("", String::as_str)));
        for (column, text) in self.keys.iter_mut().zip(key) {
            column.push(ByteArray::from(text));
        }
    }

    fn begin_run_row(&mut self, run: &Run) {
        self.begin_row(&Case::of(run), &run.design);
        self.seeds.push(run.seed as i64);
    }

    fn finish_runs(mut self, values: Vec<Column>) -> Vec<Column> {
        let seeds = int("seed", std::mem::take(&mut self.seeds));
        self.finish(std::iter::once(seeds).chain(values).collect())
    }

    fn finish(self, values: Vec<Column>) -> Vec<Column> {
        let axes = self.axes.into_iter().map(|axis| format!("axis_{axis}"));
        let names = ["machine", "workload", "design"].map(str::to_owned).into_iter().chain(axes);
        let mut columns: Vec<Column> = names
            .zip(self.keys)
            .map(|(name, texts)| Column { name, values: Values::Text(texts) })
            .collect();
        columns.extend(values);
        columns
    }
}

fn text(name: &str, values: Vec<ByteArray>) -> Column {
    Column { name: name.to_owned(), values: Values::Text(values) }
}

fn int(name: &str, values: Vec<i64>) -> Column {
    Column { name: name.to_owned(), values: Values::Int(values) }
}

fn float(name: &str, values: Vec<f64>) -> Column {
    Column { name: name.to_owned(), values: Values::Float(values) }
}

/// `counter`, `value` for every cell.
pub(crate) fn counters(comparison: &Comparison) -> Vec<Column> {
    let mut table = Table::new(comparison);
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for run in &comparison.cells {
        for (counter, value) in run.vmstat.iter() {
            table.begin_run_row(run);
            names.push(ByteArray::from(counter.name()));
            values.push(value as i64);
        }
    }
    table.finish_runs(vec![text("counter", names), int("value", values)])
}

/// `name`, `unit`, `scope`, `at_ns`, `value` for every sample of every cell.
pub(crate) fn series(comparison: &Comparison) -> Vec<Column> {
    let mut table = Table::new(comparison);
    let (mut names, mut units, mut scopes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for run in &comparison.cells {
        for series in &run.series {
            for (at, value) in series.at.iter().zip(&series.values) {
                table.begin_run_row(run);
                names.push(ByteArray::from(series.name.as_str()));
                units.push(ByteArray::from(series.unit.as_str()));
                scopes.push(ByteArray::from(series.scope.as_str()));
                times.push(at.0 as i64);
                values.push(*value);
            }
        }
    }
    let columns = vec![text("name", names), text("unit", units), text("scope", scopes)];
    table.finish_runs(
        columns.into_iter().chain([int("at_ns", times), float("value", values)]).collect(),
    )
}

/// `task`, `process`, `part`, `ns` for every part of every task's time.
pub(crate) fn tasks(comparison: &Comparison) -> Vec<Column> {
    let mut table = Table::new(comparison);
    let (mut names, mut processes, mut parts, mut times) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in &comparison.cells {
        for task in &run.tasks {
            for (part, time) in task.time.parts() {
                table.begin_run_row(run);
                names.push(ByteArray::from(task.name.as_str()));
                processes.push(i64::from(task.process));
                parts.push(ByteArray::from(part));
                times.push(time.0 as i64);
            }
        }
    }
    table.finish_runs(vec![
        text("task", names),
        int("process", processes),
        text("part", parts),
        int("ns", times),
    ])
}

/// `metric`, `mean`, `low`, `high`, `median`, `q1`, `q3` for every design and case. Latency
/// percentiles are single figures over all seeds: the six columns are equal.
pub(crate) fn summary_table(comparison: &Comparison) -> Vec<Column> {
    let mut table = Table::new(comparison);
    let mut metrics = Vec::new();
    let mut figures: [(&str, Vec<f64>); 6] =
        ["mean", "low", "high", "median", "q1", "q3"].map(|name| (name, Vec::new()));
    for row in summary(comparison) {
        let case = row.case();
        let estimates = row
            .estimates()
            .map(|(metric, e)| (metric, [e.mean, e.low, e.high, e.median, e.q1, e.q3]));
        let p = row.latency;
        let percentiles = [
            ("latency_p50_ns", p.p50_ns),
            ("latency_p90_ns", p.p90_ns),
            ("latency_p99_ns", p.p99_ns),
            ("latency_p99.9_ns", p.p99_9_ns),
            ("latency_p99.99_ns", p.p99_99_ns),
        ];
        let percentiles = percentiles.map(|(metric, ns)| (metric, [ns as f64; 6]));
        for (metric, values) in estimates.into_iter().chain(percentiles) {
            table.begin_row(&case, &row.design);
            metrics.push(ByteArray::from(metric));
            for ((_, column), figure) in figures.iter_mut().zip(values) {
                column.push(figure);
            }
        }
    }
    let mut columns = vec![text("metric", metrics)];
    columns.extend(figures.map(|(name, values)| float(name, values)));
    table.finish(columns)
}

/// Writes a table as one row group, ZSTD 1.
pub(crate) fn write(columns: &[Column], sink: impl Write + Send) -> Result<()> {
    let fields =
        columns.iter().map(|column| column.field().map(Arc::new)).collect::<Result<Vec<_>>>()?;
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build()?);
    let compression = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut file = SerializedFileWriter::new(sink, schema, properties)?;
    let mut group = file.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else { break };
        column.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

impl Column {
    fn field(&self) -> Result<Type> {
        let physical = match self.values {
            Values::Text(_) => Physical::BYTE_ARRAY,
            Values::Int(_) => Physical::INT64,
            Values::Float(_) => Physical::DOUBLE,
        };
        let builder = Type::primitive_type_builder(&self.name, physical)
            .with_repetition(Repetition::REQUIRED);
        match self.values {
            Values::Text(_) => builder.with_converted_type(ConvertedType::UTF8).build(),
            Values::Int(_) | Values::Float(_) => builder.build(),
        }
    }

    fn write(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        match &self.values {
            Values::Text(values) => {
                writer.typed::<ByteArrayType>().write_batch(values, None, None)?
            }
            Values::Int(values) => writer.typed::<Int64Type>().write_batch(values, None, None)?,
            Values::Float(values) => {
                writer.typed::<DoubleType>().write_batch(values, None, None)?
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::sample;

    /// Rows of a written table as the reader shows them.
    fn rows(columns: &[Column]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        write(columns, &mut file).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
    }

    #[test]
    fn tables_are_tidy_and_complete() {
        let mut comparison = sample::elapsed(&[("base", &[10, 20])]);
        comparison.cells[0].axes.insert("threads".to_owned(), "8".to_owned());
        let counters = rows(&counters(&comparison));
        assert_eq!(counters.len(), 2 * base::Vm::ALL.len());
        assert_eq!(
            counters[0],
            r#"{machine: "m", workload: "w", design: "base", axis_threads: "8", seed: 1, counter: "pgfault", value: 0}"#
        );
        let summary = rows(&summary_table(&comparison));
        assert_eq!(summary.len(), 2 * 11, "two cases, eleven metrics");
        assert!(summary[0].contains(r#"metric: "elapsed_s", mean: 10"#), "{}", summary[0]);
    }

    #[test]
    fn reference_page_names_every_column_and_key() {
        let page = include_str!("../../../docs/reference/results.md");
        let comparison = sample::comparison();
        let tables = [
            counters(&comparison),
            series(&comparison),
            tasks(&comparison),
            summary_table(&comparison),
        ];
        let json: serde_json::Value =
            serde_json::from_str(&crate::to_json(&comparison).text).unwrap();
        let objects = [
            &json,
            &json["cells"][0],
            &json["summary"][0],
            &json["summary"][0]["latency"],
            &json["wall"],
        ];
        let keys = objects.iter().flat_map(|object| object.as_object().unwrap().keys().cloned());
        for name in tables.iter().flatten().map(|column| column.name.clone()).chain(keys) {
            assert!(
                page.contains(&format!("`{name}`")),
                "{name} is not in docs/reference/results.md"
            );
        }
    }

    #[test]
    fn empty_tables_have_their_columns() {
        let comparison = Comparison::default();
        for columns in [
            counters(&comparison),
            series(&comparison),
            tasks(&comparison),
            summary_table(&comparison),
        ] {
            assert!(rows(&columns).is_empty());
            assert!(columns.iter().any(|column| column.name == "design"));
        }
    }

    #[test]
    fn every_sample_and_part_has_a_row() {
        let comparison = sample::comparison();
        let samples: usize =
            comparison.cells.iter().flat_map(|run| &run.series).map(|series| series.at.len()).sum();
        assert_eq!(rows(&series(&comparison)).len(), samples);
        let nr_tasks: usize = comparison.cells.iter().map(|run| run.tasks.len()).sum();
        assert_eq!(rows(&tasks(&comparison)).len(), nr_tasks * crate::TimeSplit::NR_PARTS);
    }
}
