//! Printing and reading, the description of knobs, and text that means harm.

use base::{Bytes, CpuId, Nanos, NodeId, Pages};
use config::{
    BytesPerSec, Config, Cx, FromToml, Knob, Named, Spanned, Value, json_schema, to_toml_text,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use crate::{Machine, Mix, Node, Scan, Thp, Uniform, Workload, Zipf};

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    // CPUs are dealt out, since no CPU may belong to two nodes.
    let node = (btree_set(0..16u16, 0..16), any::<u64>(), 1e-3..1e15f64);
    vec(node, 0..4).prop_map(|nodes| {
        let node = |(idx, (cpus, memory, bandwidth)): (
            usize,
            (std::collections::BTreeSet<u16>, u64, f64),
        )| {
            let cpus = cpus.into_iter().map(|cpu| CpuId(idx as u16 * 16 + cpu));
            Node {
                cpus: Spanned::from(cpus.collect::<config::CpuList>()),
                memory: Bytes(memory.max(1)),
                bandwidth: BytesPerSec(bandwidth),
            }
        };
        nodes.into_iter().enumerate().map(node).collect()
    })
}

fn scan() -> impl Strategy<Value = Scan> {
    (any::<u64>(), any::<u64>(), 0.0..=100.0f64, any::<u8>(), any::<bool>()).prop_map(
        |(period, size, cpu_pct, nr_threads, files)| Scan {
            period: Nanos(period),
            size: Pages(size),
            cpu_pct,
            nr_threads,
            files,
        },
    )
}

fn workload() -> impl Strategy<Value = Workload> {
    let finite = any::<f64>().prop_filter("finite", |number| number.is_finite());
    let zipf = finite.prop_map(|exponent| Workload::Zipf(Zipf { exponent }));
    let leaf = prop_oneof![Just(Workload::Uniform(Uniform {})), zipf];
    leaf.prop_recursive(3, 8, 3, |inner| {
        vec(inner, 1..3).prop_map(|parts| Workload::Mix(Mix { parts }))
    })
}

fn machine() -> impl Strategy<Value = Machine> {
    let named = btree_map(any::<String>(), workload(), 0..3).prop_map(|map| {
        Named(map.into_iter().map(|(key, value)| (Spanned::from(key), value)).collect())
    });
    let prefer = proptest::option::of(btree_set(0..64u8, 0..4));
    let curve = vec([-1e9..1e9f64, -1e9..1e9f64], 0..3);
    let thp = proptest::sample::select(Thp::ALL);
    (any::<String>(), nodes(), prefer, thp, scan(), curve, named, any::<u64>()).prop_map(
        |(name, nodes, prefer, thp, scan, curve, workloads, seed)| Machine {
            name,
            nodes,
            prefer: prefer.map(|ids| ids.into_iter().map(NodeId).collect()),
            thp,
            scan,
            curve,
            workloads,
            seed,
        },
    )
}

/// Pieces of configurations in any order: far more likely to get past the parser than noise.
fn fragments() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "nodes",
        "cpus",
        "memory",
        "scan",
        "period",
        "workloads",
        "kind",
        "extends",
        "parts",
        "a",
        " = ",
        "=",
        ".",
        ",",
        "\n",
        "\r\n",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "\"0-3\"",
        "\"8GiB\"",
        "\"zipf\"",
        "\"é\"",
        "1",
        "-1",
        "0x1g",
        "1.5",
        "1e400",
        "inf",
        "nan",
        "true",
        "1979-05-27",
        "#",
        "\\u00",
        "\u{feff}",
        "\u{0}",
        "99999999999999999999999",
    ]);
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Reads a text in every way a user could ask for; nothing may panic.
fn survive(text: &str) {
    if let Err(problems) = config::parse::<Machine>("any.toml", text) {
        assert!(problems.has_errors());
        assert!(!problems.render(false).is_empty());
        assert!(!problems.render(true).is_empty());
        assert!(problems.to_json().is_array());
    }
    if let Ok(value) = config::parse::<Value>("any.toml", text) {
        let printed = to_toml_text(&value);
        let again = config::parse::<Value>("printed.toml", &printed);
        assert!(again.is_ok(), "{printed}");
    }
}

thread_local! {
    static MACHINE_SCHEMA: jsonschema::Validator =
        jsonschema::validator_for(&json_schema::<Machine>()).expect("a valid schema");
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(machine in machine()) {
        let text = to_toml_text(&machine);
        let again = config::parse::<Machine>("printed.toml", &text);
        match again {
            Ok(again) => {
                prop_assert_eq!(again, machine);
                let value = config::parse::<Value>("printed.toml", &text).map(|v| v.to_json());
                let valid = MACHINE_SCHEMA.with(|schema| schema.is_valid(&value.unwrap()));
                prop_assert!(valid, "{text}");
            }
            Err(problems) => prop_assert!(false, "{problems}\n{text}"),
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn any_mixture_of_fragments_is_survived(text in fragments()) {
        survive(&text);
    }
}

#[test]
fn deep_nesting_is_refused_instead_of_overflowing() {
    let deep = 10_000;
    survive(&format!("a = {}", "[".repeat(deep)));
    survive(&format!("a = {}1", "{ a = ".repeat(deep)));
    survive(&format!("{}a = 1", "a.".repeat(deep)));
    survive(&format!("[{}a]", "a.".repeat(deep)));
    survive(&format!("x = {{ {}a = 1 }}", "a.".repeat(deep)));
    // The parser bounds brackets and dots separately; together they still go far.
    let dots = "a.".repeat(70);
    survive(&format!("{}1{}", format!("{dots}a = {{ ").repeat(70), "}".repeat(70)));
}

#[test]
fn an_empty_table_gives_the_defaults() {
    let mut cx = Cx::without_files();
    assert_eq!(cx.decode::<Scan>(&Value::empty_table()), Some(Scan::default()));
}

#[test]
fn an_axis_sets_a_value_deep_inside() {
    let mut cx = Cx::without_files();
    let mut value = cx.parse_value("m.toml", "nodes = []\n[scan]\nnr_threads = 2\n").unwrap();
    if let config::Kind::Table(table) = &mut value.kind {
        table.set_path(&"scan.period".to_owned().into(), "9s".into());
        table.set_path(&"workloads.a.kind".to_owned().into(), "zipf".into());
    }
    let machine: Machine = cx.decode(&value).unwrap();
    assert_eq!((machine.scan.period, machine.scan.nr_threads), (Nanos::from_secs(9), 2));
    assert_eq!(machine.workloads.get("a").map(Workload::kind), Some("zipf"));
}

/// Knobs as lines of text, two levels deep.
fn lines(knobs: &[Knob], indent: &str, levels: usize) -> String {
    let line = |knob: &Knob| {
        let inner = if levels == 0 { Vec::new() } else { (knob.nested)() };
        format!(
            "{indent}{}: {} = {} -- {}\n{}",
            knob.name,
            knob.type_name,
            knob.default_text(),
            knob.doc,
            lines(&inner, "    ", levels.saturating_sub(1)),
        )
    };
    knobs.iter().map(line).collect()
}

#[test]
fn knobs_tell_name_type_default_and_doc() {
    insta::assert_snapshot!(lines(&Machine::knobs(), "", 1));
}

#[test]
fn the_schema_refuses_what_the_decoder_refuses() {
    let node = "[[nodes]]\ncpus = \"0-3\"\nmemory = \"8GiB\"\n";
    let cases = [
        ("", false),
        ("nodes = []", true),
        ("nodes = []\nnode = []", false),
        ("nodes = []\nseed = -1", false),
        ("nodes = []\nthp = \"sometimes\"", false),
        ("nodes = []\ncurve = [[1, 2.5]]", true),
        ("nodes = []\ncurve = [[1]]", false),
        ("nodes = []\nprefer = \"0-1,3\"", true),
        ("nodes = []\nprefer = [64]", false),
        ("nodes = []\nprefer = \"a\"", false),
        ("nodes = []\nscan.period = 5", false),
        ("nodes = []\nscan.period = \"5 us\"", true),
        ("nodes = []\nscan.period = \"5 GB\"", false),
        ("nodes = []\nworkloads.a.kind = \"uniform\"", true),
        ("nodes = []\nworkloads.a = { kind = \"uniform\", exponent = 1 }", false),
        ("nodes = []\nworkloads.a = { exponent = 1 }", false),
        (node, true),
    ];
    for (text, right) in cases {
        let json = config::parse::<Value>("case.toml", text).unwrap().to_json();
        let by_schema = MACHINE_SCHEMA.with(|schema| schema.is_valid(&json));
        let by_decoder = config::parse::<Machine>("case.toml", text).is_ok();
        assert_eq!((by_schema, by_decoder), (right, right), "{text}");
    }
}

#[test]
fn a_file_that_extends_another_may_lack_keys() {
    let value = Value::from(config::Kind::from("base.toml")).to_json();
    let child = serde_json::json!({ "extends": value, "seed": 3 });
    assert!(MACHINE_SCHEMA.with(|schema| schema.is_valid(&child)));
}

#[test]
fn the_schema_follows_the_declaration() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&json_schema::<Machine>()).unwrap());
}

#[test]
fn printing_puts_tables_behind_plain_keys() {
    let text = "nodes = [{ cpus = \"0-3\", memory = \"8GiB\" }]\nscan = { period = \"2s\" }\n\
                [workloads.\"my mix\"]\nkind = \"mix\"\nparts = [{ kind = \"zipf\" }]\n";
    let machine: Machine = config::parse("m.toml", text).unwrap();
    insta::assert_snapshot!(to_toml_text(&machine));
}

#[test]
fn enums_know_their_names_and_docs() {
    assert_eq!(Thp::from_name("never"), Some(Thp::Never));
    assert_eq!(
        (Thp::Always.to_string(), Thp::Never.doc()),
        ("always".into(), "Not at all.".into())
    );
    assert_eq!(Thp::type_name(), "\"always\" | \"madvise\" | \"never\"");
}
