//! One function a parser: it must refuse or accept any bytes, and never panic. The fuzzer calls
//! them with bytes of its own; a test of `lab` replays the corpus.

use std::path::Path;

/// A target: a name, which is also that of its corpus folder, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("machine", machine),
    ("workload", workload),
    ("experiment", experiment),
    ("trace", container),
    ("lackey", lackey),
    ("npage", npage),
];

/// A machine file; what is accepted must print and read back as the same machine.
pub fn machine(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match topology::parse("fuzz.toml", text) {
        Ok(machine) => {
            let _ = topology::show(&machine);
            let _ = topology::svg(&machine);
        }
        Err(problems) => assert!(!problems.render(false).is_empty(), "refused without a word"),
    }
}

/// A workload file.
pub fn workload(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match config::parse::<trace::generate::WorkloadFile>("fuzz.toml", text) {
        Ok(spec) => {
            let printed = config::to_toml_text(&spec);
            let again = config::parse::<trace::generate::WorkloadFile>("printed.toml", &printed);
            assert_eq!(again.expect("what is printed can be read"), spec);
        }
        Err(problems) => assert!(!problems.render(false).is_empty(), "refused without a word"),
    }
}

/// An experiment file.
pub fn experiment(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(problems) = config::parse::<lab::ExperimentFile>("fuzz.toml", text) {
        assert!(!problems.render(false).is_empty(), "refused without a word");
    }
}

/// A trace: opened, verified, and read to its end.
pub fn container(bytes: &[u8]) {
    with_file("fuzz.parquet", bytes, |path| {
        let Ok(file) = trace::container::TraceFile::open(path) else { return };
        if file.verify().is_err() {
            return;
        }
        let shared = trace::container::SharedTrace::new(file, base::Bytes::from_mib(64));
        let Ok(workload) = shared.workload() else { return };
        for mut thread in workload.threads {
            while let Ok(step) = thread.stream.next_step() {
                if matches!(step, trace::Step::End) {
                    break;
                }
            }
        }
    });
}

/// A Valgrind lackey log.
pub fn lackey(bytes: &[u8]) {
    with_file("lackey.txt", bytes, |path| {
        let out = path.with_extension("parquet");
        let _ = trace::import::lackey(path, &out, &trace::import::Options::new("fuzz"));
    });
}

/// A recording of the QEMU plugin: the first byte says how long its meta file is (in 16 bytes), then
/// come the meta file and one thread's records.
pub fn npage(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (meta, records) = rest.split_at(rest.len().min(usize::from(*length) * 16));
    with_file("rec.meta", meta, |path| {
        let folder = path.parent().unwrap_or(path);
        if std::fs::write(folder.join("rec.10.10.bin"), records).is_ok() {
            let out = folder.join("out.parquet");
            let _ = trace::import::npage(
                &folder.join("rec"),
                &out,
                &trace::import::Options::new("fuzz"),
            );
        }
    });
}

/// Calls `then` with a file that holds the bytes.
fn with_file(name: &str, bytes: &[u8], then: impl FnOnce(&Path)) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_ok() {
        then(&path);
    }
}
