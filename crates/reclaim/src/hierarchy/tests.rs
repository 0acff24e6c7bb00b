//! What the designs answer, without an engine.

use super::*;

#[derive(Clone, Debug, Default)]
struct Group {
    parent: Option<u16>,
    children: Vec<u16>,
    subtree: Vec<u16>,
    usage: u64,
    soft: Option<u64>,
    low: u64,
    min: u64,
    lists: ListState,
}

#[derive(Clone, Debug, Default)]
struct Tree(Vec<Group>);

impl Groups for Tree {
    fn parent(&self, group: u16) -> Option<u16> {
        self.0[group as usize].parent
    }
    fn children(&self, group: u16) -> &[u16] {
        &self.0[group as usize].children
    }
    fn subtree(&self, group: u16) -> &[u16] {
        &self.0[group as usize].subtree
    }
    fn usage(&self, group: u16) -> u64 {
        self.0[group as usize].usage
    }
    fn soft_limit(&self, group: u16) -> Option<u64> {
        self.0[group as usize].soft
    }
    fn min(&self, group: u16) -> u64 {
        self.0[group as usize].min
    }
    fn low(&self, group: u16) -> u64 {
        self.0[group as usize].low
    }
    fn lists(&self, group: u16, _node: usize) -> ListState {
        self.0[group as usize].lists
    }
}

impl Tree {
    /// The root and groups of a parent, a usage and a limit each, which is set as soft limit and as
    /// memory.low.
    fn of(groups: &[(u16, u64, Option<u64>)]) -> Self {
        let mut tree = Self(vec![Group { subtree: vec![0], ..Group::default() }]);
        for (parent, usage, limit) in groups.iter().copied() {
            let group = tree.0.len() as u16;
            let low = limit.unwrap_or(0);
            tree.0.push(Group {
                parent: Some(parent),
                usage,
                soft: limit,
                low,
                subtree: vec![group],
                ..Group::default()
            });
            tree.0[parent as usize].children.push(group);
            let mut at = Some(parent);
            while let Some(above) = at {
                tree.0[above as usize].subtree.push(group);
                at = tree.0[above as usize].parent;
            }
            if parent == 0 {
                tree.0[0].usage += usage;
            }
        }
        tree
    }
}

fn call(priority: u32) -> Call {
    Call { root: ROOT, node: 0, priority, pass: 0, is_rerun: false }
}

/// The groups below the root that a design takes from in a global round, and how much harder.
fn taken(design: &mut dyn Hierarchy, tree: &Tree, call: &Call) -> Vec<(u16, u32)> {
    let mut shrunk = Vec::new();
    for group in 1..tree.0.len() as u16 {
        if let Visit::Shrink(pressure) = design.visit(tree, call, group) {
            shrunk.push((group, pressure.harder));
        }
    }
    shrunk
}

fn with_defaults<D: Design>() -> D {
    D::new(D::Knobs::default())
}

/// Y. Han's example: A(soft 15, use 16) > {A1(5, 4), A2(10, 12)}, B(10, 16).
fn han() -> Tree {
    Tree::of(&[(0, 16, Some(15)), (1, 4, Some(5)), (1, 12, Some(10)), (0, 16, Some(10))])
}

#[test]
fn a_child_within_its_limit_is_safe_only_where_parents_do_not_count() {
    let of = |design: &mut dyn Hierarchy| taken(design, &han(), &call(12));
    assert_eq!(of(&mut with_defaults::<SoftOwn>()), [(1, 0), (3, 0), (4, 0)]);
    let all = [(1, 0), (2, 0), (3, 0), (4, 0)];
    assert_eq!(of(&mut with_defaults::<SoftAncestors>()), all);
    assert_eq!(of(&mut with_defaults::<TwoPass>()), all);
    assert_eq!(of(&mut with_defaults::<SoftNaturalised>()), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(of(&mut with_defaults::<LowLimit>()), [(1, 0), (3, 0), (4, 0)]);
}

#[test]
fn low_limits_shield_those_below_a_shielded_group() {
    // M. Hocko's example: A(low 80, use 90) > {B(0, 50), C(50, 40) > D(0, 30)}.
    let tree = Tree::of(&[(0, 90, Some(80)), (1, 50, None), (1, 40, Some(50)), (3, 30, None)]);
    let mut design = with_defaults::<LowLimit>();
    assert_eq!(taken(&mut design, &tree, &call(12)), [(1, 0), (2, 0)]);
}

#[test]
fn skipping_ends_where_the_priority_is_low() {
    let tree = Tree::of(&[(0, 5, Some(10)), (0, 20, Some(10))]);
    let count = |design: &mut dyn Hierarchy, priority| taken(design, &tree, &call(priority)).len();
    let mut own = with_defaults::<SoftOwn>();
    assert_eq!([12, 10, 9].map(|priority| count(&mut own, priority)), [1, 1, 2]);
    let mut ancestors = with_defaults::<SoftAncestors>();
    assert_eq!([12, 11].map(|priority| count(&mut ancestors, priority)), [1, 2]);
}

#[test]
fn soft_limits_of_groups_without_one_are_zero_in_the_rework_and_endless_before() {
    let tree = Tree::of(&[(0, 5, None)]);
    assert_eq!(taken(&mut with_defaults::<SoftOwn>(), &tree, &call(12)).len(), 1);
    assert_eq!(taken(&mut with_defaults::<SoftAncestors>(), &tree, &call(12)).len(), 1);
    assert_eq!(taken(&mut with_defaults::<TwoPass>(), &tree, &call(12)).len(), 0);
    assert_eq!(taken(&mut with_defaults::<SoftNaturalised>(), &tree, &call(12)), [(1, 0)]);
}

#[test]
fn two_passes_take_from_all_only_when_nobody_over_was_met() {
    let (over, within) = (han(), Tree::of(&[(0, 4, Some(5))]));
    let design = with_defaults::<TwoPass>();
    let nothing = Walked::default();
    assert!(design.again(&within, &call(12), &nothing));
    assert!(!design.again(&over, &call(12), &nothing), "the walk missed them");
    assert!(design.again(&over, &call(12), &Walked { shrunk: 1, scanned: 0 }));
    assert!(!design.again(&over, &call(12), &Walked { shrunk: 1, scanned: 1 }));
    let second = Call { pass: 1, ..call(12) };
    assert!(!design.again(&within, &second, &nothing));
}

#[test]
fn the_tree_strikes_the_largest_excess_first_and_knows_it_by_old_counts() {
    let mut tree = Tree::of(&[(0, 2000, Some(1000)), (0, 3000, Some(1000))]);
    let mut design = with_defaults::<SoftTree>();
    assert_eq!(design.strike(&tree, 0), None, "nobody was charged yet");
    design.charged(&tree, 1, 0, 1024);
    design.charged(&tree, 2, 0, 1023);
    let first = design.strike(&tree, 0).expect("the first group is in the tree");
    assert_eq!((first.group, first.priority, first.down_to, first.enough), (1, 0, 1000, 250));
    design.struck(&tree, 0, 1);
    design.charged(&tree, 2, 0, 1);
    assert_eq!(design.strike(&tree, 0).map(|strike| strike.group), Some(2));
    design.struck(&tree, 0, 2);
    // The order is by the excess when it was put in, and a group that is within now is left out.
    tree.0[2].usage = 900;
    assert_eq!(design.strike(&tree, 0).map(|strike| strike.group), Some(1));
    assert_eq!(design.strike(&tree, 0), None);
}

#[test]
fn a_streaming_groups_lists_score_above_those_in_use() {
    let mut tree = Tree::of(&[(0, 1000, None), (0, 1000, None)]);
    let recent = |rotated| Recent { scanned: [0, 200], rotated: [0, rotated], pressure: [0, 100] };
    tree.0[1].lists = ListState { size: [0, 1000], recent: recent(0) };
    tree.0[2].lists = ListState { size: [0, 1000], recent: recent(190) };
    let design = with_defaults::<Score>();
    let (stream, in_use) = (design.score(&tree, &call(12), 1), design.score(&tree, &call(12), 2));
    assert!(stream > 100.0 * in_use, "{stream} against {in_use}");
    tree.0[2].soft = Some(10);
    assert!(design.score(&tree, &call(12), 2) > stream, "a group over its soft limit goes first");
}

#[test]
fn protection_scales_where_its_first_form_had_a_step() {
    let tree = Tree::of(&[(0, 120, Some(100)), (0, 90, Some(100))]);
    let mut today = with_defaults::<Protection>();
    let partly = Pressure { low: 100, ..Pressure::default() };
    assert_eq!(today.visit(&tree, &call(12), 1), Visit::Shrink(partly));
    assert_eq!(today.visit(&tree, &call(12), 2), Visit::SkipForNow);
    let mut first = with_defaults::<MemoryLowV1>();
    assert_eq!(first.visit(&tree, &call(12), 1), Visit::Shrink(Pressure::default()));
    assert_eq!(first.visit(&tree, &call(12), 2), Visit::SkipForNow);
    let rerun = Call { is_rerun: true, ..call(12) };
    let broken = Pressure { breaks_low: true, ..Pressure::default() };
    assert_eq!(first.visit(&tree, &rerun, 2), Visit::Shrink(broken));
}

#[test]
fn names_are_distinct_and_defaults_build() {
    let names: std::collections::BTreeSet<&str> =
        HIERARCHIES.iter().map(|design| design.about.name).collect();
    assert_eq!(names.len(), HIERARCHIES.len());
    for design in HIERARCHIES {
        let _built = (design.build_default)();
        assert!(find(design.about.name).is_some());
        assert!(!(design.about.knobs)().iter().any(|knob| knob.doc.is_empty()));
    }
}
