//! Topology types and scores of nearby nodes beside slow transcriptions, on random machines.

use base::NodeVec;
use proptest::prelude::*;

use super::*;

type Rows = Vec<Vec<u8>>;

/// Symmetric distances of three to five nodes.
fn rows() -> impl Strategy<Value = Rows> {
    let levels = prop::sample::select(vec![vec![20u8], vec![15, 30], vec![12, 20, 40]]);
    (3usize..6, levels).prop_flat_map(|(nr, levels)| {
        prop::collection::vec(prop::sample::select(levels), nr * nr).prop_map(move |flat| {
            let distance = |a: usize, b: usize| match a.cmp(&b) {
                std::cmp::Ordering::Equal => 10,
                std::cmp::Ordering::Less => flat[a * nr + b],
                std::cmp::Ordering::Greater => flat[b * nr + a],
            };
            (0..nr).map(|a| (0..nr).map(|b| distance(a, b)).collect()).collect()
        })
    })
}

fn build(rows: &Rows) -> Distances {
    let matrix = Matrix(NodeVec(rows.iter().map(|row| NodeVec(row.clone())).collect()));
    Distances::of(matrix, NodeMask::first(rows.len()))
}

fn slow_shape(rows: &Rows) -> Shape {
    let mut levels: Vec<u8> = rows.concat();
    levels.sort_unstable();
    levels.dedup();
    if levels.len() <= 2 {
        return Shape::Direct;
    }
    let max = levels[levels.len() - 1];
    for (a, row) in rows.iter().enumerate() {
        for (b, distance) in row.iter().enumerate() {
            if *distance == max {
                let mut all = 0..rows.len();
                let is_between = |n: usize| rows[a][n] < max && rows[b][n] < max;
                return if all.any(is_between) { Shape::GluelessMesh } else { Shape::Backplane };
            }
        }
    }
    Shape::Direct
}

fn slow_score(rows: &Rows, node: usize, dist: u64, faults: &[u64]) -> u64 {
    let max = u64::from(rows.concat().into_iter().max().unwrap_or(10));
    let mut score = 0;
    for (other, count) in faults.iter().enumerate().take(rows.len()) {
        let d = u64::from(rows[node][other]);
        if other == node || d == max {
            continue;
        }
        score += match slow_shape(rows) {
            Shape::Direct => 0,
            Shape::GluelessMesh => count * (max - d) / (max - 10),
            Shape::Backplane if d < dist => *count,
            Shape::Backplane => 0,
        };
    }
    score
}

/// Into the heaviest cluster of ever closer nodes, until one is left.
fn slow_cluster(rows: &Rows, faults: &[u64]) -> Option<usize> {
    let mut nodes: Vec<usize> = (0..rows.len()).collect();
    let mut distance = rows.concat().into_iter().max().unwrap_or(10);
    while nodes.len() > 1 && distance > 10 {
        let cluster = |node: usize| -> Vec<usize> {
            nodes.iter().copied().filter(|other| rows[node][*other] < distance).collect()
        };
        let weight = |node: usize| cluster(node).iter().map(|n| faults[*n]).sum::<u64>();
        let most = nodes.iter().map(|node| weight(*node)).max().unwrap_or(0);
        if most == 0 {
            return None;
        }
        let first = nodes.iter().copied().find(|node| weight(*node) == most);
        nodes = cluster(first?);
        distance -= 1;
    }
    nodes.first().copied()
}

proptest! {
    #[test]
    fn scores_and_choices_are_as_described(
        rows in rows(), faults in prop::collection::vec(0u64..2000, 5), dist in 10u8..45,
    ) {
        let distances = build(&rows);
        prop_assert_eq!(distances.shape, slow_shape(&rows));
        let of = |node: NodeId| faults[node.idx()];
        for node in 0..rows.len() {
            let found = distances.score_nearby(NodeId::from_idx(node), dist, of);
            prop_assert_eq!(found, slow_score(&rows, node, u64::from(dist), &faults));
        }
        let most = (0..rows.len()).max_by_key(|n| (faults[*n], std::cmp::Reverse(*n)));
        let best = most.unwrap_or(0);
        let total = faults.iter().take(rows.len()).sum::<u64>();
        let expected = match slow_shape(&rows) {
            Shape::Direct => best,
            Shape::GluelessMesh => {
                let max = u64::from(rows.concat().into_iter().max().unwrap_or(10));
                let weight = |n: usize| {
                    1000 * (faults[n] + slow_score(&rows, n, max, &faults)) / total.max(1)
                };
                let mut found = 0;
                for n in 1..rows.len() {
                    if weight(n) > weight(found) {
                        found = n;
                    }
                }
                found
            }
            Shape::Backplane => slow_cluster(&rows, &faults).unwrap_or(best),
        };
        let found = distances.preferred_group_node(NodeId::from_idx(best), of);
        prop_assert_eq!(found.idx(), expected);
    }
}
