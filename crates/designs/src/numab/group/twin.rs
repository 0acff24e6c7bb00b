//! Groups beside a slow model: who joins whom, and sums kept by recounting all members.

use base::NodeVec;
use proptest::prelude::*;

use super::*;

/// The rule, for sizes and creation times: the pair (members, created) of both groups, whether both
/// are of one process, and whether the other task is the one that the page names and has a group.
fn slow(mine: (u64, usize), theirs: Option<(u64, usize)>, one_process: bool) -> Join {
    let Some(theirs) = theirs else { return Join::Stay };
    // The same group, a smaller one, or an equal one created before: no.
    if theirs.1 == mine.1 || theirs.0 < mine.0 || theirs.0 == mine.0 && theirs.1 < mine.1 {
        return Join::Stay;
    }
    if one_process { Join::To(theirs.1) } else { Join::FalseMatch }
}

fn faults(cpu: [u64; 3]) -> Faults {
    let mut faults = Faults::new(3);
    faults.cpu = NodeVec(cpu.iter().map(|count| [*count / 2, *count - *count / 2]).collect());
    faults
}

proptest! {
    #[test]
    fn groups_join_as_described(
        sizes in prop::collection::vec(1u64..4, 1..5), mine in 0usize..5,
        theirs in prop::option::of(0usize..5), one_process: bool, grouped: bool,
    ) {
        let groups: Vec<Group> = sizes
            .iter()
            .map(|nr_tasks| Group { nr_tasks: *nr_tasks, ..Group::of_one(Faults::new(3)) })
            .collect();
        let mine = mine % sizes.len();
        let own = Member { group: Some(mine), mm: Some(MmId(0)) };
        let theirs = theirs.map(|idx| idx % sizes.len());
        let mm = Some(MmId(u16::from(!one_process)));
        let other = theirs.map(|idx| Member { group: grouped.then_some(idx), mm });
        let expected = slow(
            (sizes[mine], mine),
            theirs.filter(|_| grouped).map(|idx| (sizes[idx], idx)),
            one_process,
        );
        prop_assert_eq!(join(&groups, own, other), expected);
    }

    #[test]
    fn active_nodes_are_counted_as_described(cpu in [0u64..40, 0..40, 0..40], fraction in 1u64..5) {
        let mut group = Group::of_one(faults(cpu));
        group.count_active_nodes(fraction);
        let max = cpu.into_iter().max().unwrap_or(0);
        let active = cpu.iter().filter(|count| **count * fraction > max).count();
        prop_assert_eq!(group.active_nodes as usize, active);
        for (node, count) in cpu.iter().enumerate() {
            let node = NodeId::from_idx(node);
            prop_assert_eq!(group.is_active(node, fraction), count * fraction > max);
        }
    }
}
