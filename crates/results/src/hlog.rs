//! HdrHistogram V2 interval logs: one per cell, one interval per class of access.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::Run;

/// The log of a run: an interval from 0 to the elapsed time for each class, tagged with it.
///
/// Start and base time are zero, since readers drop intervals before the start without a word.
/// Values are in ns; times have the log's milliseconds only.
pub fn to_hlog(run: &Run) -> Result<Vec<u8>, String> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(&format!(
            "numalab access latency in ns: {}, seed {}, {}",
            run.design, run.seed, run.workload
        ))
        .with_start_time(SystemTime::UNIX_EPOCH)
        .with_base_time(SystemTime::UNIX_EPOCH);
    let mut writer =
        builder.begin_log_with(&mut log, &mut serializer).map_err(|error| error.to_string())?;
    let length = Duration::from_nanos(run.elapsed.0);
    for latency in &run.latency {
        let tag = tag(&latency.class);
        let tag = Tag::new(&tag).ok_or("a class cannot be written as a tag")?;
        writer
            .write_histogram(&latency.histogram, Duration::ZERO, length, Some(tag))
            .map_err(|error| error.to_string())?;
    }
    Ok(log)
}

/// A class in a form that the logs allow: no blank, no comma.
fn tag(class: &str) -> String {
    class
        .chars()
        .map(|letter| if letter.is_whitespace() || letter == ',' { '_' } else { letter })
        .collect()
}

/// Histograms of a log in its order.
pub(crate) fn from_hlog(log: &[u8]) -> Result<Vec<Histogram<u64>>, String> {
    let mut histograms = Vec::new();
    for entry in IntervalLogIterator::new(log) {
        match entry.map_err(|error| format!("{error:?}"))? {
            LogEntry::Interval(interval) => histograms.push(decode(interval.encoded_histogram())?),
            LogEntry::StartTime(_) | LogEntry::BaseTime(_) => {}
        }
    }
    Ok(histograms)
}

fn decode(encoded: &str) -> Result<Histogram<u64>, String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|error| error.to_string())?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::histogram_digest;
    use crate::sample;

    #[test]
    fn histograms_survive_the_log() {
        let run = sample::comparison().cells.remove(0);
        let read = from_hlog(&to_hlog(&run).unwrap()).unwrap();
        assert_eq!(read.len(), run.latency.len());
        for (read, written) in read.iter().zip(&run.latency) {
            assert_eq!(
                histogram_digest(read),
                histogram_digest(&written.histogram),
                "{}",
                written.class
            );
        }
    }

    #[test]
    fn log_begins_as_other_readers_need_it() {
        let run = sample::comparison().cells.remove(0);
        let log = String::from_utf8(to_hlog(&run).unwrap()).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[1], "#[StartTime: 0.000 (seconds since epoch)]");
        assert_eq!(lines[2], "#[BaseTime: 0.000 (seconds since epoch)]");
        assert!(lines[3].starts_with("Tag=local_read,0.000,"), "{}", lines[3]);
        assert!(lines[3].contains(",HISTF"));
    }

    #[test]
    fn damage_is_refused() {
        let run = sample::comparison().cells.remove(0);
        let log = to_hlog(&run).unwrap();
        assert!(from_hlog(&log[..log.len() - 40]).is_err());
        assert!(from_hlog(b"Tag=x,0.0,1.0,2.0,!!!!\n").is_err());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn changed_bytes_never_panic(place in 0usize..4000, byte: u8) {
            let run = sample::elapsed(&[("base", &[1])]).cells.remove(0);
            let mut histogram = crate::empty_histogram();
            (1..2_000).for_each(|ns| histogram.record(ns).unwrap());
            let latency = vec![crate::Latency { class: "read".to_owned(), histogram }];
            let mut log = to_hlog(&Run { latency, ..run }).unwrap();
            let place = place % log.len();
            log[place] = byte;
            let _ = from_hlog(&log);
        }
    }
}
