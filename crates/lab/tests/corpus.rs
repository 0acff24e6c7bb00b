//! Replays the fuzzer's corpus: no parser panics on any of it.

#[path = "../../fuzz/src/targets.rs"]
#[expect(unreachable_pub, reason = "a library's module there, a private one here")]
mod targets;

#[test]
fn no_parser_panics_on_the_corpus() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let folder = format!("{corpus}/{name}");
        let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut nr = 0;
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            nr += 1;
        }
        assert!(nr > 0, "the corpus of {name} is empty");
    }
}
