//! Memory policies beside a slow model: which node each page of a series comes from, until memory
//! is full.

use base::{NodeId, NodeMask};
use mm::{Cursor, Memory, Mempolicy, Order};
use proptest::prelude::*;

const NR: usize = 4;

/// Four nodes of one CPU and 2 MiB at the given distances.
fn machine(distances: [[u8; NR]; NR]) -> topology::Machine {
    let nodes: String =
        (0..NR).map(|node| format!("[[nodes]]\ncpus = \"{node}\"\nmemory = \"2MiB\"\n")).collect();
    let text = format!(
        "name = \"tiny\"\ndescription = \"four small nodes\"\ndistances = {distances:?}\n{nodes}\
         [latency]\nby_distance = {{ 10 = \"90ns\", 20 = \"150ns\", 30 = \"200ns\" }}\n\
         [bandwidth]\ncore = {{ by_distance = {{ 10 = \"10GB/s\", 20 = \"5GB/s\", 30 = \"4GB/s\" }} }}\n\
         controller = \"10GB/s\"\n\
         [[bandwidth.links]]\nwithin = [\"0-3\"]\none_way = \"4GB/s\"\n\
         [kernel]\nmin_free_kbytes = 256\n"
    );
    match topology::parse("tiny.toml", &text) {
        Ok(machine) => machine,
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// Symmetric distances of 20 and 30.
fn distances() -> impl Strategy<Value = [[u8; NR]; NR]> {
    prop::collection::vec(any::<bool>(), NR * NR).prop_map(|far| {
        let mut rows = [[10; NR]; NR];
        for a in 0..NR {
            for b in 0..a {
                let distance = if far[a * NR + b] { 30 } else { 20 };
                (rows[a][b], rows[b][a]) = (distance, distance);
            }
        }
        rows
    })
}

fn mask(bits: u64) -> NodeMask {
    NodeMask(bits)
}

fn policy() -> impl Strategy<Value = Mempolicy> {
    let nodes = || 1u64..1 << NR;
    prop_oneof![
        Just(Mempolicy::Local),
        (0..NR).prop_map(|node| Mempolicy::Preferred(NodeId::from_idx(node))),
        nodes().prop_map(|bits| Mempolicy::PreferredMany(mask(bits))),
        nodes().prop_map(|bits| Mempolicy::Bind(mask(bits))),
        nodes().prop_map(|bits| Mempolicy::Interleave(mask(bits))),
        (nodes(), prop::collection::vec(1u8..5, NR)).prop_map(|(bits, weights)| {
            let nodes = mask(bits).iter().zip(weights);
            Mempolicy::WeightedInterleave(nodes.collect())
        }),
    ]
}

/// The description, with free pages and watermarks of each node (all of one zone).
#[derive(Debug)]
struct Slow {
    free: [u64; NR],
    low: [u64; NR],
    min: [u64; NR],
    /// Nodes by distance from each.
    lists: Vec<Vec<usize>>,
}

impl Slow {
    /// The nearest of `nodes` that keeps its low watermark, else the nearest that keeps min.
    fn take(&mut self, from: usize, nodes: &[usize]) -> Option<usize> {
        for marks in [self.low, self.min] {
            for node in self.lists[from].clone() {
                if nodes.contains(&node) && self.free[node] > marks[node] {
                    self.free[node] -= 1;
                    return Some(node);
                }
            }
        }
        None
    }

    /// The `k`-th page; interleaving, by whichever counter, has come to `k` as well.
    fn page(&mut self, policy: &Mempolicy, local: usize, k: usize) -> Option<usize> {
        let all: Vec<usize> = (0..NR).collect();
        let list = |nodes: &NodeMask| nodes.iter().map(NodeId::idx).collect::<Vec<usize>>();
        match policy {
            Mempolicy::Local => self.take(local, &all),
            Mempolicy::Preferred(node) => self.take(node.idx(), &all),
            // An allocation inside the mask, then one anywhere.
            Mempolicy::PreferredMany(nodes) => {
                self.take(local, &list(nodes)).or_else(|| self.take(local, &all))
            }
            Mempolicy::Bind(nodes) => self.take(local, &list(nodes)),
            Mempolicy::Interleave(nodes) => {
                let nodes = list(nodes);
                self.take(nodes[k % nodes.len()], &all)
            }
            Mempolicy::WeightedInterleave(weights) => {
                let turns = |one: &(NodeId, u8)| vec![one.0.idx(); usize::from(one.1)];
                let round: Vec<usize> = weights.iter().flat_map(turns).collect();
                self.take(round[k % round.len()], &all)
            }
        }
    }
}

/// The lists as described: next is the unused node with the least distance, plus one if its number
/// is lower (all have CPUs), then the one that ended fewer runs of equal distance so far.
fn slow_lists(distances: &[[u8; NR]; NR]) -> Vec<Vec<usize>> {
    let mut load = [0; NR];
    let mut lists = Vec::new();
    for (local, row) in distances.iter().enumerate() {
        let mut list = vec![local];
        for _ in 1..NR {
            let mut best: Option<(usize, usize)> = None;
            for node in (0..NR).filter(|node| !list.contains(node)) {
                let cost = (usize::from(row[node]) + usize::from(node < local)) * 1024 + load[node];
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, node));
                }
            }
            let Some((_, node)) = best else { break };
            if list.last().is_none_or(|last| row[*last] != row[node]) {
                load[node] += 1;
            }
            list.push(node);
        }
        lists.push(list);
    }
    lists
}

#[test]
fn fallback_lists_are_those_of_the_kernel() {
    let order = |distances| -> Vec<Vec<u8>> {
        let lists = machine(distances).fallback_lists();
        lists.iter().map(|list| list.iter().map(|node| node.0).collect()).collect()
    };
    let even = [[10, 20, 20, 20], [20, 10, 20, 20], [20, 20, 10, 20], [20, 20, 20, 10]];
    assert_eq!(order(even), [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]);
    // A neighbour goes before the far pair.
    let pairs = [[10, 20, 30, 30], [20, 10, 30, 30], [30, 30, 10, 20], [30, 30, 20, 10]];
    assert_eq!(order(pairs)[0][..2], [0, 1]);
    assert_eq!(order(pairs)[3][..2], [3, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pages_come_from_the_described_nodes(
        distances in distances(), policy in policy(), local in 0..NR, by_offset: bool,
        taken in prop::collection::vec(0usize..600, NR),
    ) {
        let machine = machine(distances);
        let mut memory = Memory::new(&machine);
        for (node, nr) in taken.iter().enumerate() {
            for _ in 0..*nr {
                memory.zones.alloc_on(Order::Base, NodeId::from_idx(node), mm::Watermark::Min);
            }
        }
        let marks = topology::watermarks(&machine);
        let mut slow = Slow {
            free: [0, 1, 2, 3].map(|node| memory.zones.free(NodeId::from_idx(node)).0),
            low: [0; NR],
            min: [0; NR],
            lists: slow_lists(&distances),
        };
        for node in 0..NR {
            let zones = &marks[NodeId::from_idx(node)];
            prop_assert_eq!(zones.len(), 1, "one zone a node");
            (slow.low[node], slow.min[node]) = (zones[0].low.0, zones[0].min.0);
        }
        let mut cursor = Cursor::default();
        for k in 0..2200 {
            let cursor = (!by_offset).then_some(&mut cursor);
            let wanted =
                policy.wanted(NodeId::from_idx(local), NodeMask::first(NR), k, cursor);
            let found = memory.zones.alloc(Order::Base, &wanted).ok();
            let expected = slow.page(&policy, local, k as usize);
            prop_assert_eq!(found.map(|at| at.node.idx()), expected, "page {}", k);
            if expected.is_none() {
                break;
            }
        }
    }
}

#[test]
fn preferred_nodes_are_taken_down_to_min_before_others() {
    let machine = machine([[10, 20, 20, 20], [20, 10, 20, 20], [20, 20, 10, 20], [20, 20, 20, 10]]);
    let mut memory = Memory::new(&machine);
    let many = Mempolicy::PreferredMany(mask(0b0110));
    let wanted = many.wanted(NodeId(0), NodeMask::first(NR), 0, None);
    let free = |memory: &Memory, node| memory.zones.free(NodeId(node)).0;
    let full = free(&memory, 0);
    while free(&memory, 0) == full {
        memory.zones.alloc(Order::Base, &wanted).expect("there is room elsewhere");
    }
    let marks = topology::watermarks(&machine);
    for node in [1, 2] {
        assert_eq!(free(&memory, node), marks[NodeId(node)][0].min.0, "node {node}");
    }
}
