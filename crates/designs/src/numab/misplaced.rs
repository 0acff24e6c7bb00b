//! Whether a page that a hint fault found on another node should move to the faulting CPU's.
//!
//! `should_numa_migrate_memory` (6.x) and the filter of `mpol_misplaced` with deferral (3.13).

use base::{CpuId, NodeId, TaskId};

/// Who took the last remote hint fault on a page: the word stored with its folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuPid {
    pub(crate) cpu: CpuId,
    /// Low eight bits of the task's number.
    pub(crate) pid: u8,
}

const SET: u32 = 1 << 31;

impl CpuPid {
    pub(crate) fn new(cpu: CpuId, task: TaskId) -> Self {
        Self { cpu, pid: pid_bits(task) }
    }

    pub(crate) fn word(self) -> u32 {
        SET | u32::from(self.cpu.0) << 8 | u32::from(self.pid)
    }

    /// `None` when the word was never set.
    pub(crate) fn of(word: u32) -> Option<Self> {
        let cpu = CpuId((word >> 8) as u16);
        (word & SET != 0).then_some(Self { cpu, pid: word as u8 })
    }

    /// Whether `task` may be the one; tasks 256 apart are taken for each other.
    pub(crate) fn matches(self, task: TaskId) -> bool {
        self.pid == pid_bits(task)
    }
}

fn pid_bits(task: TaskId) -> u8 {
    (task.idx() & 255) as u8
}

/// What the decision looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The task has no preferred node yet, or has seen few passes.
    pub(crate) early: bool,
    /// Node of the last remote fault's CPU, and whether the same task took it.
    pub(crate) last: Option<(NodeId, bool)>,
    /// The faulting CPU's node.
    pub(crate) here: NodeId,
    /// The group's faults by CPU and by memory, here and where the page is; `None` without group.
    pub(crate) group: Option<GroupFaults>,
}

/// Sums of a group on two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupFaults {
    pub(crate) cpu_here: u64,
    pub(crate) cpu_there: u64,
    pub(crate) mem_here: u64,
    pub(crate) mem_there: u64,
}

/// The rule of 6.x.
pub(crate) fn should_migrate(question: &Question, active_node_fraction: u64) -> bool {
    let private = question.last.is_none_or(|(_, same)| same);
    if question.early && private {
        return true;
    }
    let Some((node, same)) = question.last else {
        // An unset word passes the two-stage filter but is nobody's private page.
        return question.group.is_none_or(|group| group.migrates(active_node_fraction));
    };
    if node != question.here {
        return false;
    }
    same || question.group.is_none_or(|group| group.migrates(active_node_fraction))
}

impl GroupFaults {
    /// Memory follows use, with a quarter of hysteresis, so that a group that spans nodes spreads
    /// its pages as its CPUs are spread.
    fn migrates(&self, active_node_fraction: u64) -> bool {
        self.cpu_here > active_node_fraction * self.cpu_there
            || u128::from(self.cpu_here) * u128::from(self.mem_there) * 3
                > u128::from(self.cpu_there) * u128::from(self.mem_here) * 4
    }
}

/// The rule of 3.13: no other node's fault between (an unset word is nobody's); after another task's
/// fault from another node, the next `defer` shared faults of this task move nothing either. It is
/// asked at local faults too, for what it remembers.
pub(crate) fn should_migrate_3_13(question: &Question, deferred: &mut u32, defer: u32) -> bool {
    let same = question.last.is_some_and(|(_, same)| same);
    if question.last.is_some_and(|(node, _)| node != question.here) {
        if !same {
            *deferred = defer;
        }
        return false;
    }
    if !same && *deferred > 0 {
        *deferred -= 1;
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: NodeId = NodeId(1);
    const THERE: NodeId = NodeId(0);

    fn question(last: Option<(NodeId, bool)>) -> Question {
        Question { early: false, last, here: HERE, group: None }
    }

    #[test]
    fn words_round_trip_and_zero_is_unset() {
        let cpupid = CpuPid::new(CpuId(300), TaskId::from_idx(513));
        assert_eq!(CpuPid::of(cpupid.word()), Some(cpupid));
        assert!(cpupid.matches(TaskId::from_idx(1)) && !cpupid.matches(TaskId::from_idx(2)));
        assert_eq!(CpuPid::of(0), None);
    }

    #[test]
    fn the_first_remote_fault_moves_a_page_of_a_task_without_group() {
        assert!(should_migrate(&question(None), 3));
    }

    #[test]
    fn a_page_another_node_touched_last_needs_a_second_fault() {
        assert!(!should_migrate(&question(Some((THERE, true))), 3));
        assert!(should_migrate(&question(Some((HERE, false))), 3));
    }

    #[test]
    fn early_faults_of_the_same_task_ignore_the_filter() {
        let early = |last| Question { early: true, ..question(last) };
        assert!(should_migrate(&early(Some((THERE, true))), 3));
        assert!(!should_migrate(&early(Some((THERE, false))), 3));
    }

    #[test]
    fn a_group_keeps_memory_where_its_cpus_are() {
        let group = |cpu_here, cpu_there, mem_here, mem_there| Question {
            group: Some(GroupFaults { cpu_here, cpu_there, mem_here, mem_there }),
            ..question(Some((HERE, false)))
        };
        assert!(should_migrate(&group(31, 10, 100, 1), 3), "three times the use");
        assert!(!should_migrate(&group(10, 10, 100, 100), 3), "balanced");
        assert!(!should_migrate(&group(10, 10, 75, 100), 3), "within the hysteresis");
        assert!(should_migrate(&group(10, 10, 74, 100), 3), "too little memory here");
    }

    #[test]
    fn a_refused_shared_page_defers_later_ones_in_3_13() {
        let mut deferred = 0;
        assert!(!should_migrate_3_13(&question(Some((THERE, false))), &mut deferred, 2));
        let shared = question(Some((HERE, false)));
        let answers: Vec<bool> =
            (0..4).map(|_| should_migrate_3_13(&shared, &mut deferred, 2)).collect();
        assert_eq!(answers, [false, false, true, true]);
        assert!(!should_migrate_3_13(&question(Some((THERE, true))), &mut deferred, 2));
        assert_eq!(deferred, 0, "a private page defers nothing");
    }

    /// The six steps of the description, one after the other.
    fn transcription(q: &Question) -> bool {
        let unset = q.last.is_none();
        let pid_matches = matches!(q.last, Some((_, true)));
        if q.early && (unset || pid_matches) {
            return true;
        }
        if let Some((node, _)) = q.last
            && node != q.here
        {
            return false;
        }
        if pid_matches {
            return true;
        }
        let Some(g) = q.group else { return true };
        if g.cpu_here > 3 * g.cpu_there {
            return true;
        }
        g.cpu_here * g.mem_there * 3 > g.cpu_there * g.mem_here * 4
    }

    /// 3.13 for one task and a page each: faults from here, of which each sees who was before it.
    /// `until` is how many shared faults are still to be refused.
    fn transcription_3_13(last: Option<(u8, bool)>, until: &mut i64, defer: i64) -> bool {
        let other_task = !matches!(last, Some((_, true)));
        match last {
            Some((node, _)) if node != HERE.0 && other_task => {
                *until = defer;
                false
            }
            Some((node, _)) if node != HERE.0 => false,
            _ if other_task && *until > 0 => {
                *until -= 1;
                false
            }
            _ => true,
        }
    }

    proptest! {
        #[test]
        fn faults_are_deferred_as_described_in_3_13(
            faults in prop::collection::vec(
                prop::option::weighted(0.8, (0u8..3, prop::bool::weighted(0.3))), 1..60),
            defer in 0u32..5,
        ) {
            let (mut deferred, mut until) = (0, 0);
            for last in faults {
                let question = question(last.map(|(node, same)| (NodeId(node), same)));
                let got = should_migrate_3_13(&question, &mut deferred, defer);
                prop_assert_eq!(got, transcription_3_13(last, &mut until, i64::from(defer)));
                prop_assert_eq!(i64::from(deferred), until);
            }
        }

        #[test]
        fn the_decision_is_as_described(
            early: bool, last in prop::option::of((0u8..3, any::<bool>())),
            group in prop::option::of([0u64..20, 0..20, 0..20, 0..20]),
        ) {
            let last = last.map(|(node, same)| (NodeId(node), same));
            let group = group.map(|[cpu_here, cpu_there, mem_here, mem_there]| GroupFaults {
                cpu_here, cpu_there, mem_here, mem_there,
            });
            let question = Question { early, last, here: HERE, group };
            prop_assert_eq!(should_migrate(&question, 3), transcription(&question));
        }
    }
}
