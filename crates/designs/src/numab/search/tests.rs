use proptest::prelude::*;

use super::*;
use crate::testing::World;

mod idle;
mod v3_13;

const V6: SearchKnobs = SearchKnobs { search: Search::V6, imbalance_pct: 108, small_imp: 30 };
const V3_13: SearchKnobs = SearchKnobs { search: Search::V3_13, imbalance_pct: 112, small_imp: 0 };

/// Weights as a table: by task and node.
#[derive(Clone, Debug, Default)]
struct Table {
    groups: Vec<Option<usize>>,
    preferred: Vec<Option<NodeId>>,
    own: Vec<[i64; 3]>,
    grouped: Vec<[i64; 3]>,
    active: u32,
}

impl Weigh for Table {
    fn group(&self, task: TaskId) -> Option<usize> {
        self.groups[task.idx()]
    }
    fn preferred(&self, task: TaskId) -> Option<NodeId> {
        self.preferred[task.idx()]
    }
    fn task_weight(&self, task: TaskId, node: NodeId, _dist: u8) -> i64 {
        self.own[task.idx()][node.idx()]
    }
    fn group_weight(&self, task: TaskId, node: NodeId, _dist: u8) -> i64 {
        if self.groups[task.idx()].is_none() { 0 } else { self.grouped[task.idx()][node.idx()] }
    }
    fn active_nodes(&self, _task: TaskId) -> u32 {
        self.active
    }
}

/// A world with one task on each CPU that is listed, and their own weights.
fn world(nr_nodes: usize, rows: &[(u16, [i64; 3])]) -> (World, Table) {
    let mut world = World::new(nr_nodes, 2);
    let mm = world.add_space();
    let mut table = Table { active: 1, ..Table::default() };
    for (cpu, own) in rows {
        world.add_task(mm, *cpu);
        table.groups.push(None);
        table.preferred.push(None);
        table.own.push(*own);
        table.grouped.push([0; 3]);
    }
    (world, table)
}

fn task(idx: usize) -> TaskId {
    TaskId::from_idx(idx)
}

#[test]
fn an_idle_cpu_of_the_preferred_node_is_taken() {
    let (mut world, table) = world(2, &[(0, [100, 900, 0]), (1, [500, 500, 0])]);
    let found = find_place(&world.cx(), &table, &V6, task(0), NodeId(1));
    assert_eq!(found, Some(FoundPlace { node: NodeId(1), how: Move::To(CpuId(2)) }));
}

#[test]
fn a_full_machine_swaps_with_the_one_that_gains_most() {
    let rows = [(0, [100, 900, 0]), (1, [900, 100, 0]), (2, [400, 600, 0]), (3, [800, 200, 0])];
    let (mut world, table) = world(2, &rows);
    for knobs in [V6, V3_13] {
        let found = find_place(&world.cx(), &table, &knobs, task(0), NodeId(1));
        assert_eq!(found.map(|found| found.how), Some(Move::Swap(task(3))));
    }
}

#[test]
fn small_gains_are_not_worth_a_swap_in_6() {
    let rows = [(0, [490, 510, 0]), (1, [0, 0, 0]), (2, [500, 500, 0]), (3, [0, 1000, 0])];
    let (mut world, table) = world(2, &rows);
    assert_eq!(find_place(&world.cx(), &table, &V6, task(0), NodeId(1)), None);
    let found = find_place(&world.cx(), &table, &V3_13, task(0), NodeId(1));
    assert_eq!(found.map(|found| found.how), Some(Move::Swap(task(2))), "any gain did in 3.13");
}

#[test]
fn a_partner_that_comes_home_is_preferred_to_a_larger_gain() {
    let rows = [(0, [0, 1000, 0]), (1, [0, 0, 0]), (2, [900, 100, 0]), (3, [600, 400, 0])];
    let (mut world, mut table) = world(2, &rows);
    table.preferred[3] = Some(NodeId(0));
    let found = find_place(&world.cx(), &table, &V6, task(0), NodeId(1));
    assert_eq!(found.map(|found| found.how), Some(Move::Swap(task(3))));
}

#[test]
fn other_nodes_are_tried_when_the_preferred_one_gives_nothing() {
    let rows = [
        (0, [100, 500, 400]),
        (1, [0, 0, 0]),
        (2, [0, 1000, 0]),
        (3, [0, 1000, 0]),
        (4, [500, 0, 500]),
        (5, [0, 0, 1000]),
    ];
    let (mut world, table) = world(3, &rows);
    let found = find_place(&world.cx(), &table, &V6, task(0), NodeId(1));
    assert_eq!(found, Some(FoundPlace { node: NodeId(2), how: Move::Swap(task(4)) }));
}

/// The search of 6.x for a machine on which every CPU runs one task of equal weight (so that no
/// node has spare CPUs, plain moves make loads worse, and swaps keep them): the list of rules in
/// the order in which they are described.
fn transcription(world: &mut World, t: &Table, p: usize, preferred: usize) -> Option<usize> {
    let cx = world.cx();
    let nr_nodes = cx.machine.nodes.len();
    let node = |q: usize| cx.node_of_task(task(q)).idx();
    let src = node(p);
    let mut best: Option<(usize, i64)> = None;
    let mut nodes = vec![preferred];
    nodes.extend((0..nr_nodes).filter(|n| *n != preferred && *n != src));
    for (turn, dst) in nodes.into_iter().enumerate() {
        if turn > 0 {
            let spread = t.groups[p].is_some() && t.active > 1;
            if turn == 1 && best.is_some() && !spread {
                break;
            }
            let gain = |weights: &[i64; 3]| weights[dst] - weights[src];
            let group_gain = if t.groups[p].is_some() { gain(&t.grouped[p]) } else { 0 };
            if gain(&t.own[p]) < 0 && group_gain < 0 {
                continue;
            }
        }
        let taskimp = t.own[p][dst] - t.own[p][src];
        let groupimp =
            if t.groups[p].is_some() { t.grouped[p][dst] - t.grouped[p][src] } else { 0 };
        for q in (0..t.own.len()).filter(|q| node(*q) == dst) {
            let home = |q: usize| t.preferred[q] == Some(NodeId(src as u8));
            let best_home = best.is_some_and(|(b, _)| home(b));
            if best_home && !home(q) {
                continue;
            }
            let mut imp;
            if t.groups[q] == t.groups[p] {
                imp = taskimp + t.own[q][src] - t.own[q][dst];
                if t.groups[q].is_some() {
                    imp -= imp / 16;
                }
            } else {
                imp = if t.groups[p].is_some() { groupimp } else { taskimp };
                imp += if t.groups[q].is_some() && t.groups[p].is_some() {
                    t.grouped[q][src] - t.grouped[q][dst]
                } else {
                    t.own[q][src] - t.own[q][dst]
                };
            }
            if t.preferred[q] == Some(NodeId(dst as u8)) {
                imp -= imp / 16;
            }
            if home(q) {
                imp += imp / 8;
            }
            let instead = best.is_some() && home(q) && !best_home;
            if !instead && (imp < 30 || imp <= best.map_or(0, |(_, imp)| imp) + 15) {
                continue;
            }
            best = Some((q, imp));
            if home(q) {
                break;
            }
        }
    }
    best.map(|(q, _)| q)
}

proptest! {
    #[test]
    fn swaps_are_chosen_as_described(
        own in prop::collection::vec([0i64..1000, 0..1000, 0..1000], 6),
        grouped in prop::collection::vec([0i64..1000, 0..1000, 0..1000], 6),
        groups in prop::collection::vec(prop::option::of(0usize..2), 6),
        preferred in prop::collection::vec(prop::option::of(0u8..3), 6),
        wanted in 1u8..3,
        active in 1u32..3,
    ) {
        let rows: Vec<(u16, [i64; 3])> =
            own.iter().enumerate().map(|(cpu, own)| (cpu as u16, *own)).collect();
        let (mut world, mut table) = world(3, &rows);
        table.groups = groups;
        table.grouped = grouped;
        table.preferred = preferred.iter().map(|node| node.map(NodeId)).collect();
        table.active = active;
        let found = find_place(&world.cx(), &table, &V6, task(0), NodeId(wanted));
        let expected = transcription(&mut world, &table, 0, usize::from(wanted));
        prop_assert_eq!(found.map(|found| found.how), expected.map(|q| Move::Swap(task(q))));
    }
}
