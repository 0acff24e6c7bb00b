use base::{Nanos, NodeId, Pages};
use config::{Cx, FromToml, to_toml_text};
use proptest::prelude::*;

use super::*;
use crate::machine::{Pattern, ResourceKind, ThpMode, ZoneKind};
use crate::testing::{configs, shipped, shipped_names};

/// A sound machine of two nodes, to be spoilt.
const TWO: &str = r#"
name = "two"
distances = [[10, 20], [20, 10]]
[[nodes]]
cpus = "0-1"
memory = "4GiB"
[[nodes]]
cpus = "2-3"
memory = "4GiB"
[latency]
local = "80ns"
remote = "130ns"
[bandwidth]
controller = "10GB/s"
[[bandwidth.links]]
pairs = [[0, 1]]
one_way = "4GB/s"
"#;

/// What is said when `from` in the sound machine is replaced by `to`.
fn problems_of(from: &str, to: &str) -> String {
    assert!(TWO.contains(from), "{from}");
    problems(&TWO.replacen(from, to, 1))
}

fn problems(text: &str) -> String {
    parse("two.toml", text).unwrap_err().render(false)
}

/// The uses of a route by name of the resource.
fn route(machine: &Machine, from: u8, to: u8) -> Vec<(String, f64)> {
    let uses = machine.routes[(NodeId(from), NodeId(to))].iter();
    uses.map(|one| (machine.resources[usize::from(one.resource)].name.clone(), one.cost)).collect()
}

fn names(route: &[(String, f64)]) -> Vec<&str> {
    route.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn every_shipped_machine_compiles_and_names_its_schema() {
    let names = shipped_names();
    assert!(names.len() >= 11, "{names:?}");
    for name in names {
        let machine = shipped(&name);
        assert!(machine.cpus.len() >= 4, "{name}");
        let text = std::fs::read_to_string(configs().join("machines").join(&name)).unwrap();
        assert!(text.starts_with("#:schema ../schemas/machine.json\n"), "{name}");
    }
}

#[test]
fn m_sri2_has_the_numbers_of_its_calibration() {
    let machine = shipped("m-sri2.toml");
    let gib = (1u64 << 30) as f64;
    assert_eq!((machine.cpus.len(), machine.nodes.len()), (12, 2));
    assert_eq!(machine.core_max[0][(NodeId(0), NodeId(1))], 1.77 * gib);
    assert_eq!(names(&route(&machine, 0, 0)), ["local port 0", "controller 0"]);
    assert_eq!(names(&route(&machine, 0, 1)), ["controller 1", "link 0>1", "link 0-1"]);
    let port = &machine.resources[0].peak;
    // Between 6 and 12 streams: 11.42 and 10.9.
    assert!((port.at(9.0, Pattern::Random) - 11.16 * gib).abs() < 1.0);
    assert_eq!(port.at(30.0, Pattern::Sequential), 10.9 * gib);
    assert_eq!(machine.kernel.thp, ThpMode::Always);
    let threads = shipped("m-sri2-ht.toml");
    assert_eq!(threads.cpus.len(), 24);
    assert_eq!(threads.resources, machine.resources);
    let (one, sibling) = (threads.cpus[base::CpuId(7)], threads.cpus[base::CpuId(19)]);
    assert_eq!(one, sibling);
    assert_eq!(shipped("m-dan.toml").kernel.thp, ThpMode::Never);
}

#[test]
fn m_sri8_sends_what_crosses_the_chassis_over_fabrics_and_one_link() {
    let machine = shipped("m-sri8.toml");
    let crossing = route(&machine, 1, 6);
    assert_eq!(
        names(&crossing),
        [
            "controller 6",
            "link 1>6",
            "link 1-6",
            "fabric 0-3",
            "fabric 4-7",
            "groups 0-3>4-7",
            "groups 0-3/4-7"
        ]
    );
    let inside = route(&machine, 5, 6);
    assert_eq!(names(&inside), ["controller 6", "link 5>6", "link 5-6", "fabric 4-7"]);
    assert_eq!(names(&route(&machine, 6, 6)), ["local port 6", "controller 6"]);
}

#[test]
fn m_ingo_charges_its_controllers_more_for_remote_lines() {
    let machine = shipped("m-ingo.toml");
    assert_eq!(route(&machine, 2, 0)[0], ("controller 0".to_owned(), 1.6));
    assert_eq!(route(&machine, 0, 0)[1], ("controller 0".to_owned(), 1.0));
    let random = machine.core_max[Pattern::Random as usize][(NodeId(1), NodeId(1))];
    assert_eq!(random, 4.95e9);
}

#[test]
fn magny_cours_goes_over_the_shortest_links() {
    let machine = shipped("magny-cours.toml");
    // 0 and 3 are two hops apart; 2 is the lowest node between.
    let two_hops = route(&machine, 0, 3);
    assert_eq!(names(&two_hops), ["controller 3", "link 0>2", "link 0-2", "link 2>3", "link 2-3"]);
    let hops = |from: NodeId, to: NodeId| {
        let uses = machine.routes[(from, to)].iter();
        let kinds = uses.map(|one| machine.resources[usize::from(one.resource)].kind);
        kinds.filter(|kind| matches!(kind, ResourceKind::LinkOneWay(..))).count()
    };
    for from in machine.nodes.ids() {
        for to in machine.nodes.ids() {
            let expected = match machine.distances[(from, to)] {
                10 => 0,
                16 => 1,
                _ => 2,
            };
            assert_eq!(hops(from, to), expected, "{from} to {to}");
        }
    }
}

#[test]
fn cxl_nodes_have_no_cpus_and_are_reached_through_sockets() {
    let machine = shipped("spr-cxl.toml");
    assert_eq!(machine.cpu_nodes().len(), 2);
    assert_eq!(machine.memory_nodes().len(), 4);
    let far = route(&machine, 0, 3);
    assert_eq!(names(&far), ["controller 3", "link 0>1", "link 0-1", "link 1>3", "groups 0>3"]);
    // Nothing starts at a node without CPUs.
    let starts = |kind| match kind {
        ResourceKind::LinkOneWay(from, _) => Some(from),
        _ => None,
    };
    let froms = machine.resources.iter().filter_map(|resource| starts(resource.kind));
    assert!(froms.into_iter().all(|from| from.0 < 2));
    assert_eq!(machine.idle_latency_ns[(NodeId(1), NodeId(2))], 440.0);
}

#[test]
fn memory_is_split_into_zones_from_the_bottom_of_the_machine() {
    let machine = shipped("m-sri2.toml");
    let zones = |node| machine.nodes[NodeId(node)].zones.iter().map(|z| (z.kind, z.managed));
    // 12 GiB: 15 MiB, up to 3 GiB, 9 GiB.
    assert_eq!(
        zones(0).collect::<Vec<_>>(),
        [
            (ZoneKind::Dma, Pages(3840)),
            (ZoneKind::Dma32, Pages(786_432 - 3840)),
            (ZoneKind::Normal, Pages(2_359_296))
        ]
    );
    assert_eq!(zones(1).collect::<Vec<_>>(), [(ZoneKind::Normal, Pages(3_145_728))]);
    let small = parse("two.toml", &TWO.replace("4GiB", "256MiB")).unwrap();
    let kinds = small.nodes.iter().map(|node| node.zones.iter().map(|z| z.kind).collect());
    let kinds: Vec<Vec<ZoneKind>> = kinds.collect();
    assert_eq!(kinds, [vec![ZoneKind::Dma, ZoneKind::Dma32], vec![ZoneKind::Dma32]]);
}

#[test]
fn what_is_left_out_has_defaults() {
    let machine = parse("two.toml", TWO).unwrap();
    // 10 lines of 64 bytes in 80 ns: 8 GB/s.
    assert!((machine.core_max[0][(NodeId(0), NodeId(0))] - 8e9).abs() < 1.0);
    assert_eq!(machine.loaded_latency, LoadedLatency::Flat);
    assert_eq!(machine.costs.hint_fault, Nanos(1200));
    assert_eq!(machine.kernel.lowmem_reserve_ratio, [256, 256, 32, 0]);
}

#[test]
fn a_declared_route_replaces_the_shortest_one() {
    let text = TWO.replace("[latency]", "[[nodes]]\nmemory = \"1GiB\"\n[latency]");
    let text = text.replace("[[10, 20], [20, 10]]", "[[10, 20, 20], [20, 10, 20], [20, 20, 10]]");
    let text = text.replace("[[0, 1]]", "[[0, 1], [1, 2], [0, 2]]");
    let direct = parse("three.toml", &text).unwrap();
    assert_eq!(names(&route(&direct, 0, 2)), ["controller 2", "link 0>2"]);
    let detour = format!("{text}[[bandwidth.routes]]\nfrom = 0\nto = 2\nvia = [1]\n");
    let detour = parse("three.toml", &detour).unwrap();
    assert_eq!(names(&route(&detour, 0, 2)), ["controller 2", "link 0>1", "link 1>2"]);
}

#[test]
fn a_cpu_on_two_nodes_is_shown_in_both_places() {
    insta::assert_snapshot!(problems_of("cpus = \"2-3\"", "cpus = \"1-3\""));
}

#[test]
fn a_missing_cpu_is_refused() {
    insta::assert_snapshot!(problems_of("cpus = \"2-3\"", "cpus = \"3-4\""));
}

#[test]
fn distances_must_fit_the_nodes() {
    insta::assert_snapshot!(problems_of("[[10, 20], [20, 10]]", "[[10, 20]]"));
    insta::assert_snapshot!(problems_of("[[10, 20], [20, 10]]", "[[10, 20], [20, 10, 30]]"));
}

#[test]
fn a_node_must_be_nearest_to_itself() {
    insta::assert_snapshot!(problems_of("[[10, 20], [20, 10]]", "[[10, 20], [10, 10]]"));
}

#[test]
fn bandwidths_must_be_positive() {
    insta::assert_snapshot!(problems_of("controller = \"10GB/s\"", "controller = \"0GB/s\""));
    insta::assert_snapshot!(problems_of("one_way = \"4GB/s\"", "one_way = \"-4GB/s\""));
    insta::assert_snapshot!(problems_of(
        "one_way = \"4GB/s\"",
        "one_way = { 6 = \"4GB/s\", x = \"0GB/s\" }"
    ));
}

#[test]
fn links_join_known_nodes_once() {
    insta::assert_snapshot!(problems_of(
        "pairs = [[0, 1]]",
        "pairs = [[0, 1], [1, 0], [1, 1], [1, 7]]"
    ));
}

#[test]
fn memory_must_be_reachable() {
    insta::assert_snapshot!(problems_of(
        "[[bandwidth.links]]\npairs = [[0, 1]]\none_way = \"4GB/s\"\n",
        ""
    ));
}

#[test]
fn a_node_needs_cpus_or_memory() {
    insta::assert_snapshot!(problems_of("cpus = \"2-3\"\nmemory = \"4GiB\"", "tier = 1"));
}

#[test]
fn a_machine_has_at_most_64_nodes_and_1024_cpus() {
    let nodes = "[[nodes]]\nmemory = \"1GiB\"\n".repeat(64);
    let text = TWO.replace("[latency]", &format!("{nodes}[latency]"));
    insta::assert_snapshot!(problems(&text));
    insta::assert_snapshot!(problems_of("cpus = \"2-3\"", "cpus = \"2-1024\""));
}

#[test]
fn a_value_for_each_pair_is_given_in_one_way() {
    insta::assert_snapshot!(problems_of("remote = \"130ns\"", "by_distance = { 10 = \"80ns\" }"));
    insta::assert_snapshot!(problems_of(
        "local = \"80ns\"\nremote = \"130ns\"",
        "by_distance = { 10 = \"80ns\" }"
    ));
}

#[test]
fn several_mistakes_are_shown_at_once() {
    let text = TWO
        .replace("memory = \"4GiB\"", "memmory = \"4GB/s\"")
        .replace("local = \"80ns\"", "local = 80");
    insta::assert_snapshot!(problems(&text));
}

fn rates() -> impl Strategy<Value = Rate> {
    (1e3..1e12).prop_map(Rate)
}

fn points() -> impl Strategy<Value = Points> {
    let table = prop::collection::btree_map(0u32..2000, rates(), 1..4);
    table.prop_map(|table| Points(ByNumber(table.into_iter().collect())))
}

fn peaks() -> impl Strategy<Value = PeakFile> {
    [points(), points()].prop_map(ByPattern)
}

fn latencies() -> impl Strategy<Value = Latency> {
    (0.01..1e5).prop_map(Latency)
}

prop_compose! {
    fn files()(
        nr_nodes in 1usize..5,
        nr_cpus in 1u16..9,
        memory in 1u64..1 << 40,
        controller in peaks(),
        port in prop::option::of(peaks()),
        one_way in peaks(),
        both_ways in prop::option::of(peaks()),
        latency in (latencies(), latencies()),
        core in prop::option::of((rates(), rates(), rates())),
        remote_cost in 0.5..3.0,
        loaded in prop::option::of((0.0..1.0, 0.0..1.0, 1.0..5.0)),
        wakeups in 0.0..100.0,
        fault in 0u64..1 << 40,
    ) -> MachineFile {
        let node = |idx: usize| {
            let first = idx as u16 * nr_cpus;
            let cpus = (first..first + nr_cpus).map(base::CpuId).collect();
            let empty = NodeFile {
                cpus: Some(cpus), memory: Some(Bytes(memory)), zones: None, tier: idx as u8,
                local_port: port.clone(), controller: None,
            };
            Spanned::from(empty)
        };
        let core = core.map(|(local, sequential, random)| CoreFile {
            local: Some(ByPattern([local; 2])),
            remote: Some(ByPattern([sequential, random])),
            by_distance: None,
            matrix: None,
        });
        let link = LinkFile {
            pairs: None, within: None, across: None, one_way: Some(one_way), both_ways,
        };
        MachineFile {
            name: "generated \"machine\"".to_owned(),
            description: String::new(),
            nodes: (0..nr_nodes).map(node).collect::<Vec<_>>().into(),
            distances: None,
            latency: LatencyFile {
                local: Some(latency.0), remote: Some(latency.1), by_distance: None, matrix: None,
                loaded: loaded.map(|(c1, c2, clip)| LoadedFile::Curve(LoadedCurve { c1, c2, clip })),
            }.into(),
            bandwidth: BandwidthFile {
                core, local_port: None, controller: Some(controller), remote_cost, local_weight: 1.0,
                links: vec![link.into()], routes: vec![], fabrics: vec![], groups: vec![],
            }.into(),
            cpu: CpuFile::default().into(),
            caches: vec![],
            costs: Costs { minor_fault: Nanos(fault), ..Costs::default() },
            devices: vec![],
            kernel: Kernel::default(),
            daemons: Daemons { wakeups_per_s: wakeups, ..Daemons::default() },
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_and_compiles(file in files()) {
        let mut cx = Cx::without_files();
        let text = to_toml_text(&file);
        let read = cx.parse::<MachineFile>("printed.toml", &text);
        prop_assert!(cx.problems.is_empty(), "{}\n{}", cx.problems, text);
        prop_assert_eq!(read.as_ref(), Some(&file));
        let compiled = file.machine(&mut cx);
        prop_assert!(compiled.is_some(), "{}", cx.problems);
        prop_assert_eq!(compiled, read.and_then(|read| read.machine(&mut cx)));
    }

    #[test]
    fn damaged_files_are_refused_without_panic(at in 0..TWO.len(), byte in 32u8..127) {
        let mut text = TWO.as_bytes().to_vec();
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        if let Err(problems) = parse("damaged.toml", &text) {
            prop_assert!(problems.has_errors());
        }
    }
}

#[test]
fn latencies_need_a_unit() {
    let mut cx = Cx::without_files();
    assert_eq!(Latency::from_toml(&"1.5us".into(), &mut cx), Some(Latency(1500.0)));
    for wrong in ["80", "-3ns", "0ns", "infns", "1e3ns"] {
        assert_eq!(Latency::from_toml(&wrong.into(), &mut cx), None, "{wrong}");
    }
}
