//! Groups of tasks that share memory, found from whose faults follow whose.
//!
//! `task_numa_group` of `kernel/sched/fair.c`. A group that was created later counts as the one at
//! the higher address, which decides ties.

use base::{MmId, NodeId};

use super::misplaced::GroupFaults;
use super::period::GroupShare;
use super::stats::{Faults, PRIVATE, SHARED};

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) nr_tasks: u64,
    /// Sums over the members.
    pub(crate) faults: Faults,
    /// Nodes it is active on, as of the last placement of a member.
    pub(crate) active_nodes: u32,
    /// Most faults by the CPUs of one node.
    pub(crate) max_faults_cpu: u64,
}

/// Why a fault on another task's page did, or did not, join two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Move to this group.
    To(usize),
    /// Stay; the fault is shared.
    Stay,
    /// Stay; the pid bits matched by chance, and the fault counts as private.
    FalseMatch,
}

impl Group {
    /// The group of one task that brings its statistics.
    pub(crate) fn of_one(faults: Faults) -> Self {
        Self { nr_tasks: 1, faults, active_nodes: 1, max_faults_cpu: 0 }
    }

    pub(crate) fn share(&self) -> GroupShare {
        GroupShare {
            nr_tasks: self.nr_tasks,
            shared: self.faults.mem_kind(SHARED),
            private: self.faults.mem_kind(PRIVATE),
        }
    }

    /// Whether the group's CPUs on a node cause a good part of what its busiest node causes.
    pub(crate) fn is_active(&self, node: NodeId, fraction: u64) -> bool {
        self.faults.cpu_of(node) * fraction > self.max_faults_cpu
    }

    pub(crate) fn count_active_nodes(&mut self, fraction: u64) {
        let nodes = || self.faults.cpu.ids();
        self.max_faults_cpu = nodes().map(|node| self.faults.cpu_of(node)).max().unwrap_or(0);
        self.active_nodes = nodes().filter(|node| self.is_active(*node, fraction)).count() as u32;
    }

    pub(crate) fn between(&self, here: NodeId, there: NodeId) -> GroupFaults {
        GroupFaults {
            cpu_here: self.faults.cpu_of(here),
            cpu_there: self.faults.cpu_of(there),
            mem_here: self.faults.mem_of(here),
            mem_there: self.faults.mem_of(there),
        }
    }
}

/// A task for [`join`]: its group and address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) group: Option<usize>,
    pub(crate) mm: Option<MmId>,
}

/// Whether `own`, which is in a group, moves to the group of `other`, the task that now runs where
/// the page was used last (`None`: its pid bits do not match).
pub(crate) fn join(groups: &[Group], own: Member, other: Option<Member>) -> Join {
    let (Some(mine), Some((theirs, other))) =
        (own.group, other.and_then(|other| Some((other.group?, other))))
    else {
        return Join::Stay;
    };
    let order = (groups[mine].nr_tasks, mine).cmp(&(groups[theirs].nr_tasks, theirs));
    if mine == theirs || order.is_gt() {
        return Join::Stay;
    }
    if other.mm == own.mm { Join::To(theirs) } else { Join::FalseMatch }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(nr_tasks: u64) -> Group {
        Group { nr_tasks, ..Group::of_one(Faults::new(2)) }
    }

    fn member(group: Option<usize>, mm: u16) -> Member {
        Member { group, mm: Some(MmId(mm)) }
    }

    #[test]
    fn the_smaller_group_joins_the_larger_and_ties_go_to_the_later() {
        let groups = [group(1), group(3), group(3)];
        let ask =
            |mine, theirs| join(&groups, member(Some(mine), 0), Some(member(Some(theirs), 0)));
        assert_eq!(ask(0, 1), Join::To(1));
        assert_eq!(ask(1, 0), Join::Stay);
        assert_eq!(ask(1, 2), Join::To(2));
        assert_eq!(ask(2, 1), Join::Stay);
        assert_eq!(ask(1, 1), Join::Stay);
    }

    #[test]
    fn another_process_is_a_false_match() {
        let groups = [group(1), group(2)];
        let own = member(Some(0), 0);
        assert_eq!(join(&groups, own, Some(member(Some(1), 1))), Join::FalseMatch);
        assert_eq!(join(&groups, own, Some(member(None, 1))), Join::Stay);
        assert_eq!(join(&groups, own, None), Join::Stay);
    }

    #[test]
    fn nodes_with_a_third_of_the_busiest_are_active() {
        let mut group = group(2);
        group.faults.cpu[NodeId(0)] = [300, 0];
        group.faults.cpu[NodeId(1)] = [50, 50];
        group.count_active_nodes(3);
        assert_eq!(group.active_nodes, 1, "exactly a third is not enough");
        group.faults.cpu[NodeId(1)] = [51, 50];
        group.count_active_nodes(3);
        assert_eq!(group.active_nodes, 2);
    }
}

#[cfg(test)]
mod twin;
