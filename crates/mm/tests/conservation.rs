//! Memory conserves pages under any sequence of operations.

use base::{FolioId, MmId, NodeId, NodeMask, Pages};
use mm::{AddressSpace, Memory, Mempolicy, Order, Pte, Regions, ScanPlan, ScanRules, Vma};
use proptest::prelude::*;

/// One operation on a small machine.
#[derive(Clone, Debug)]
enum Op {
    Fault { mm: u16, page: u32, node: u8, huge: bool },
    Free { mm: u16, start: u32, len: u32 },
    Migrate { pick: usize, to: u8, fails: bool },
    Scan { mm: u16, start: u32, max: u64, regions: usize },
    Open { pick: usize },
    Split { pick: usize },
}

const NR_PAGES: u32 = 2048;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u16..2, 0..NR_PAGES, 0u8..2, any::<bool>()).prop_map(|(mm, page, node, huge)| Op::Fault { mm, page, node, huge }),
        1 => (0u16..2, 0..NR_PAGES, 0u32..700).prop_map(|(mm, start, len)| Op::Free { mm, start, len }),
        2 => (any::<usize>(), 0u8..2, any::<bool>()).prop_map(|(pick, to, fails)| Op::Migrate { pick, to, fails }),
        1 => (0u16..2, 0..NR_PAGES, 1u64..2000, 0usize..3).prop_map(|(mm, start, max, regions)| Op::Scan { mm, start, max, regions }),
        2 => any::<usize>().prop_map(|pick| Op::Open { pick }),
        1 => any::<usize>().prop_map(|pick| Op::Split { pick }),
    ]
}

fn pick(memory: &Memory, pick: usize) -> Option<FolioId> {
    let live: Vec<FolioId> = memory.folios.live().collect();
    (!live.is_empty()).then(|| live[pick % live.len()])
}

fn apply(memory: &mut Memory, op: &Op) {
    match *op {
        Op::Fault { mm, page, node, huge } => {
            let mm = MmId(mm);
            if memory.pte(mm, page).has(Pte::PRESENT) {
                return;
            }
            let Some(vma) = memory.spaces[mm].vma(page).cloned() else { return };
            let order = if huge && memory.spaces[mm].huge_fits(page, &vma) {
                Order::Huge
            } else {
                Order::Base
            };
            let wanted =
                Mempolicy::Preferred(NodeId(node)).wanted(NodeId(0), NodeMask::first(2), 0, None);
            if let Ok(at) = memory.zones.alloc(order, &wanted) {
                memory.map(mm, page, order, &at);
            }
        }
        Op::Free { mm, start, len } => {
            memory.free_range(MmId(mm), start..(start + len).min(NR_PAGES));
        }
        Op::Migrate { pick: idx, to, fails } => {
            let Some(folio) = pick(memory, idx) else { return };
            if let Ok(zone) = memory.begin_migration(folio, NodeId(to)) {
                if fails {
                    memory.abort_migration(folio, NodeId(to), zone);
                } else {
                    memory.finish_migration(folio, NodeId(to), zone);
                }
            }
        }
        Op::Scan { mm, start, max, regions } => {
            let regions = [Regions::Never, Regions::Always, Regions::OneNode][regions];
            let rules = ScanRules { regions, ..ScanRules::default() };
            let plan = ScanPlan {
                mm: MmId(mm),
                start,
                end: u32::MAX,
                max_updated: Pages(max),
                max_walked: Pages::MAX,
                rules,
            };
            let out = memory.scan(&plan);
            assert!(out.updated_pages().0 < max + 512, "budget overshot by more than a step");
        }
        Op::Open { pick: idx } => {
            if let Some(folio) = pick(memory, idx) {
                memory.open(folio);
            }
        }
        Op::Split { pick: idx } => {
            if let Some(folio) =
                pick(memory, idx).filter(|folio| memory.folios.order(*folio) == Order::Huge)
            {
                memory.split(folio);
            }
        }
    }
}

/// Two nodes of 4096 pages, the first with two zones.
fn machine() -> topology::Machine {
    let text = r#"
name = "tiny"
description = "two small nodes"
[[nodes]]
cpus = "0"
memory = "16MiB"
[[nodes]]
cpus = "1"
memory = "16MiB"
[latency]
by_distance = { 10 = "90ns", 20 = "150ns" }
[bandwidth]
core = { by_distance = { 10 = "10GB/s", 20 = "5GB/s" } }
controller = "10GB/s"
[[bandwidth.links]]
within = ["0-1"]
one_way = "4GB/s"
"#;
    topology::parse("tiny.toml", text).expect("a valid machine")
}

proptest! {
    #[test]
    fn pages_are_conserved(ops in prop::collection::vec(op(), 1..120)) {
        let machine = machine();
        let mut memory = Memory::new(&machine);
        for name in ["a", "b"] {
            let mut space = AddressSpace::new(name, false, Pages(u64::from(NR_PAGES)));
            space.map(Vma { pages: 0..NR_PAGES, thp: None, policy: None });
            memory.add_space(space);
        }
        for op in &ops {
            apply(&mut memory, op);
            memory.validate(&[]);
        }
        for mm in [MmId(0), MmId(1)] {
            memory.free_range(mm, 0..NR_PAGES);
        }
        memory.validate(&[]);
        prop_assert_eq!(memory.folios.nr_live(), 0);
        for node in machine.nodes.ids() {
            prop_assert_eq!(memory.zones.free(node), memory.zones.managed(node));
        }
    }
}
