//! The one JSON form of a comparison: what `--json` prints and `run.json` holds.
//!
//! The document is compact, its keys stand in a fixed order, and `digest` and `wall` come last.
//! `digest` is the SHA-256 of the document without them, so it can be checked with
//! `sed 's/,"digest":"[0-9a-f]*","wall":{.*$/}/' run.json | tr -d '\n' | sha256sum`.
//! Histograms and histories are not in the document, only their digests (and percentiles); they
//! have files of their own beside it.

use std::collections::BTreeMap;

use base::{Nanos, Vm, Vmstat};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::latency::{Percentiles, empty_histogram, hex, histogram_digest};
use crate::summary::summary;
use crate::verdict::verdicts;
use crate::{
    Comparison, FailedCell, History, InputDigest, Latency, Outcome, ReclaimUse, ResourceUse, Run,
    Series, SummaryRow, Task, Verdict, Wall,
};

/// Names the form of the document; another number means another meaning of a key.
const FORMAT: &str = "numalab-comparison-1";

#[derive(Serialize)]
struct Body<'a> {
    format: &'static str,
    experiment: &'a str,
    description: &'a str,
    baseline: &'a str,
    inputs: &'a [InputDigest],
    seeds: Vec<u64>,
    cells: Vec<Cell>,
    failed: &'a [FailedCell],
    summary: Vec<SummaryRow>,
    verdicts: Vec<Verdict>,
}

/// What is read back; the rest follows from it.
#[derive(Deserialize)]
struct Stored {
    format: String,
    experiment: String,
    description: String,
    baseline: String,
    inputs: Vec<InputDigest>,
    cells: Vec<Cell>,
    failed: Vec<FailedCell>,
    wall: Wall,
}

#[derive(Serialize, Deserialize)]
struct Cell {
    design: String,
    machine: String,
    workload: String,
    axes: BTreeMap<String, String>,
    seed: u64,
    elapsed_ns: Nanos,
    outcome: Outcome,
    work_done: u64,
    counters: BTreeMap<String, u64>,
    latency: Vec<LatencyDigest>,
    tasks: Vec<Task>,
    resources: Vec<ResourceUse>,
    series: Vec<SeriesForm>,
    /// Empty where there is none.
    #[serde(default)]
    history_sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reclaim: Option<ReclaimUse>,
}

#[derive(Serialize)]
struct LatencyDigest {
    class: String,
    percentiles: Percentiles,
    histogram_sha256: String,
}

/// Only the class and the digest are read back; the percentiles follow from the histogram.
impl<'de> Deserialize<'de> for LatencyDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            class: String,
            histogram_sha256: String,
        }
        let Parts { class, histogram_sha256 } = Parts::deserialize(deserializer)?;
        Ok(Self { class, percentiles: Percentiles::default(), histogram_sha256 })
    }
}

/// A missing value is `null` in JSON and NaN in memory.
#[derive(Serialize, Deserialize)]
struct SeriesForm {
    name: String,
    unit: String,
    scope: String,
    at_ns: Vec<Nanos>,
    values: Vec<Option<f64>>,
}

/// The document and its digest.
pub struct Json {
    /// The document, one line without a newline at its end.
    pub text: String,
    /// SHA-256 of the result, hexadecimal.
    pub digest: String,
}

/// Renders a comparison.
pub fn to_json(comparison: &Comparison) -> Json {
    let body = Body {
        format: FORMAT,
        experiment: &comparison.experiment,
        description: &comparison.description,
        baseline: &comparison.baseline,
        inputs: &comparison.inputs,
        seeds: comparison.seeds(),
        cells: comparison.cells.iter().map(Cell::of).collect(),
        failed: &comparison.failed,
        summary: summary(comparison),
        verdicts: verdicts(comparison),
    };
    let body = json_text(&body);
    let digest = hex(&Sha256::digest(&body));
    let open = body.strip_suffix('}').unwrap_or(&body);
    Json {
        text: format!("{open},\"digest\":\"{digest}\",\"wall\":{}}}", json_text(&comparison.wall)),
        digest,
    }
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with string keys always has a JSON form")
}

/// A document that was read back: a comparison whose histograms and histories are still empty, and
/// their digests by cell (and class).
pub(crate) struct Parsed {
    pub(crate) comparison: Comparison,
    pub(crate) histogram_digests: Vec<Vec<String>>,
    pub(crate) history_digests: Vec<String>,
}

/// Reads a document back and checks its digest.
pub(crate) fn from_json(text: &str) -> Result<Parsed, String> {
    check_digest(text)?;
    let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if stored.format != FORMAT {
        return Err(format!("its format is `{}`, this version reads `{FORMAT}`", stored.format));
    }
    let mut cells = Vec::new();
    let mut histogram_digests = Vec::new();
    let mut history_digests = Vec::new();
    for cell in stored.cells {
        histogram_digests
            .push(cell.latency.iter().map(|latency| latency.histogram_sha256.clone()).collect());
        history_digests.push(cell.history_sha256.clone());
        cells.push(cell.into_run());
    }
    let comparison = Comparison {
        experiment: stored.experiment,
        description: stored.description,
        baseline: stored.baseline,
        drawings: Vec::new(),
        inputs: stored.inputs,
        cells,
        failed: stored.failed,
        wall: stored.wall,
    };
    Ok(Parsed { comparison, histogram_digests, history_digests })
}

fn check_digest(text: &str) -> Result<(), String> {
    const KEY: &str = ",\"digest\":\"";
    let (body, rest) = text.rsplit_once(KEY).ok_or("it has no digest")?;
    let stored = rest.split('"').next().unwrap_or_default();
    let mut hasher = Sha256::new();
    hasher.update(body);
    hasher.update("}");
    let computed = hex(&hasher.finalize());
    if computed == stored {
        Ok(())
    } else {
        Err(format!("its digest is {stored}, its content gives {computed}"))
    }
}

impl Cell {
    fn of(run: &Run) -> Self {
        Self {
            design: run.design.clone(),
            machine: run.machine.clone(),
            workload: run.workload.clone(),
            axes: run.axes.clone(),
            seed: run.seed,
            elapsed_ns: run.elapsed,
            outcome: run.outcome.clone(),
            work_done: run.work_done,
            counters: run
                .vmstat
                .iter()
                .map(|(counter, value)| (counter.name().to_owned(), value))
                .collect(),
            latency: run.latency.iter().map(LatencyDigest::of).collect(),
            tasks: run.tasks.clone(),
            resources: run.resources.clone(),
            series: run.series.iter().map(SeriesForm::of).collect(),
            history_sha256: run.history.digest(),
            reclaim: run.reclaim.clone(),
        }
    }

    /// Counters that this version does not know are passed over.
    fn into_run(self) -> Run {
        let mut vmstat = Vmstat::default();
        for (name, value) in &self.counters {
            if let Some(counter) = Vm::from_name(name) {
                vmstat[counter] = *value;
            }
        }
        let empty =
            |latency: LatencyDigest| Latency { class: latency.class, histogram: empty_histogram() };
        Run {
            design: self.design,
            machine: self.machine,
            workload: self.workload,
            axes: self.axes,
            seed: self.seed,
            elapsed: self.elapsed_ns,
            vmstat,
            tasks: self.tasks,
            latency: self.latency.into_iter().map(empty).collect(),
            series: self.series.into_iter().map(SeriesForm::into_series).collect(),
            resources: self.resources,
            reclaim: self.reclaim,
            work_done: self.work_done,
            outcome: self.outcome,
            history: History::default(),
        }
    }
}

impl LatencyDigest {
    fn of(latency: &Latency) -> Self {
        Self {
            class: latency.class.clone(),
            percentiles: Percentiles::of(&latency.histogram),
            histogram_sha256: histogram_digest(&latency.histogram),
        }
    }
}

impl SeriesForm {
    fn of(series: &Series) -> Self {
        Self {
            name: series.name.clone(),
            unit: series.unit.clone(),
            scope: series.scope.clone(),
            at_ns: series.at.clone(),
            values: series.values.iter().map(|value| value.is_finite().then_some(*value)).collect(),
        }
    }

    fn into_series(self) -> Series {
        let values = self.values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        Series { name: self.name, unit: self.unit, scope: self.scope, at: self.at_ns, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn reading_back_gives_the_same_document() {
        let comparison = sample::comparison();
        let text = to_json(&comparison).text;
        let mut parsed = from_json(&text).unwrap();
        for (read, written) in parsed.comparison.cells.iter_mut().zip(&comparison.cells) {
            read.latency = written.latency.clone();
            read.history = written.history.clone();
        }
        assert!(to_json(&parsed.comparison).text == text);
    }

    #[test]
    fn only_wall_depends_on_the_occasion() {
        let mut comparison = sample::comparison();
        let first = to_json(&comparison);
        comparison.wall.command = "numalab compare other --jobs 2".to_owned();
        comparison.wall.elapsed_s += 1.0;
        let second = to_json(&comparison);
        assert_eq!(first.digest, second.digest);
        let without = |text: &str| {
            let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
            value.as_object_mut().unwrap().remove("wall").unwrap();
            value
        };
        assert_ne!(first.text, second.text);
        assert_eq!(without(&first.text), without(&second.text));
    }

    #[test]
    fn any_changed_figure_is_noticed() {
        let text = to_json(&sample::comparison()).text;
        let changed = text.replacen("\"seed\":1", "\"seed\":7", 1);
        assert!(from_json(&changed).err().unwrap().contains("digest"));
        assert!(from_json(&text[..text.len() / 2]).is_err());
        assert!(from_json("{}").is_err());
    }

    #[test]
    fn scripts_find_the_promised_keys() {
        let value: serde_json::Value = serde_json::from_str(
            &to_json(&sample::elapsed(&[("base", &[10, 11]), ("fast", &[5, 6])])).text,
        )
        .unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&value["summary"][1]).unwrap());
        insta::assert_snapshot!(serde_json::to_string_pretty(&value["verdicts"][0]).unwrap());
        let cell = &value["cells"][3];
        assert_eq!((cell["design"].as_str(), cell["seed"].as_u64()), (Some("fast"), Some(2)));
        assert_eq!(cell["elapsed_ns"].as_u64(), Some(6_000_000_000));
        assert!(cell["axes"].is_object() && cell["counters"]["numa_hint_faults"].is_u64());
        assert_eq!(value["digest"].as_str().map(str::len), Some(64));
    }
}
