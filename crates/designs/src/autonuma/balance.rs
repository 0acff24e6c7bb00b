//! sched_autonuma_balance: a running task that has most of its faults elsewhere looks for a busy
//! CPU whose task has less reason to be there.

use base::{CpuId, NodeId, TaskId};

use crate::Cx;

/// Faults of a task or a process by node, with their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) nodes: Vec<u64>,
    pub(crate) total: u64,
}

impl Counts {
    pub(crate) fn new(nr_nodes: usize) -> Self {
        Self { nodes: vec![0; nr_nodes], total: 0 }
    }

    pub(crate) fn add(&mut self, node: NodeId, pages: u64) {
        self.nodes[node.idx()] += pages;
        self.total += pages;
    }

    /// Halves every node's count.
    pub(crate) fn halve(&mut self) {
        self.nodes.iter_mut().for_each(|count| *count /= 2);
        self.total = self.nodes.iter().sum();
    }

    /// Share of a node, in 1/1000.
    fn weight(&self, node: NodeId) -> i64 {
        (self.nodes[node.idx()] * 1000 / self.total.max(1)) as i64
    }

    /// The first node with most faults.
    fn most(&self) -> NodeId {
        let largest = self.nodes.iter().copied().max().unwrap_or(0);
        NodeId::from_idx(self.nodes.iter().position(|count| *count == largest).unwrap_or(0))
    }
}

/// A task with its statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighed<'a> {
    /// Its process, by which tasks are compared.
    pub(crate) process: u32,
    pub(crate) task: &'a Counts,
    pub(crate) mm: &'a Counts,
}

/// Who runs on a CPU and might make room there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) cpu: CpuId,
    pub(crate) node: NodeId,
    pub(crate) runs: Weighed<'a>,
}

/// What a balance step decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The node the task now belongs to.
    pub(crate) node: NodeId,
    /// Where to go at once.
    pub(crate) target: Option<CpuId>,
}

/// Decides for `own`, which runs on `here`. `None` while there are no statistics.
pub(crate) fn decide(
    own: &Weighed<'_>,
    here: NodeId,
    others: &[Candidate<'_>],
) -> Option<Decision> {
    if own.task.total == 0 || own.mm.total == 0 {
        return None;
    }
    let stay = Decision { node: here, target: None };
    if own.task.most() == here && own.mm.most() == here {
        return Some(stay);
    }
    let mut best = 0;
    let mut decision = stay;
    for other in others.iter().filter(|other| other.node != here) {
        // Threads of one process are compared by their own faults, others by their processes'.
        let (mine, theirs) = if other.runs.process == own.process {
            (own.task, other.runs.task)
        } else {
            (own.mm, other.runs.mm)
        };
        if other.runs.task.total == 0 || other.runs.mm.total == 0 {
            continue;
        }
        let there = mine.weight(other.node);
        let gain_here = there - mine.weight(here);
        let gain_over = there - theirs.weight(other.node);
        if gain_here > 0 && gain_over > 0 && gain_here + gain_over > best {
            best = gain_here + gain_over;
            decision = Decision { node: other.node, target: Some(other.cpu) };
        }
    }
    Some(decision)
}

/// CPUs of other nodes that run a user task which `task` could displace.
pub(crate) fn busy_cpus<'a>(
    cx: &'a Cx<'_>,
    task: TaskId,
    here: NodeId,
) -> impl Iterator<Item = (CpuId, TaskId)> + 'a {
    let cpus = cx.machine.cpus.ids().filter(move |cpu| cx.node_of(*cpu) != here);
    cpus.filter(move |cpu| cx.tasks[task].allowed.contains(*cpu)).filter_map(|cpu| {
        let runs = cx.sched.current(cpu)?;
        cx.tasks[runs].mm.is_some().then_some((cpu, runs))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(nodes: &[u64]) -> Counts {
        Counts { nodes: nodes.to_vec(), total: nodes.iter().sum() }
    }

    #[test]
    fn a_converged_task_stays() {
        let (task, mm) = (counts(&[9, 1]), counts(&[60, 40]));
        let own = Weighed { process: 0, task: &task, mm: &mm };
        let stay = Decision { node: NodeId(0), target: None };
        assert_eq!(decide(&own, NodeId(0), &[]), Some(stay));
        let none = counts(&[0, 0]);
        assert_eq!(decide(&Weighed { task: &none, ..own }, NodeId(0), &[]), None);
    }

    #[test]
    fn idle_cpus_are_no_targets_and_a_weaker_claim_is() {
        let (task, mm) = (counts(&[1, 9]), counts(&[50, 50]));
        let (weak, strong) = (counts(&[5, 5]), counts(&[0, 10]));
        let own = Weighed { process: 0, task: &task, mm: &mm };
        let on = |cpu, task| Candidate {
            cpu: CpuId(cpu),
            node: NodeId(1),
            runs: Weighed { process: 0, task, mm: &mm },
        };
        assert_eq!(decide(&own, NodeId(0), &[]).and_then(|d| d.target), None);
        assert_eq!(decide(&own, NodeId(0), &[on(2, &strong)]).and_then(|d| d.target), None);
        let found = decide(&own, NodeId(0), &[on(2, &strong), on(3, &weak)]);
        assert_eq!(found, Some(Decision { node: NodeId(1), target: Some(CpuId(3)) }));
    }

    /// The loop over nodes and CPUs as the description has it.
    fn transcription(own: &Weighed<'_>, here: usize, others: &[Candidate<'_>]) -> Option<CpuId> {
        let w = |counts: &Counts, n: usize| counts.nodes[n] as i64 * 1000 / counts.total as i64;
        let nr_nodes = own.task.nodes.len();
        let argmax = |counts: &Counts| {
            let mut best = 0;
            for n in 1..nr_nodes {
                if counts.nodes[n] > counts.nodes[best] {
                    best = n;
                }
            }
            best
        };
        if own.mm.total == 0 || own.task.total == 0 {
            return None;
        }
        if argmax(own.task) == argmax(own.mm) && argmax(own.task) == here {
            return None;
        }
        let (mut best, mut target) = (0, None);
        for q in others {
            let n = q.node.idx();
            if n == here || q.runs.task.total == 0 || q.runs.mm.total == 0 {
                continue;
            }
            let (w_nid, w_here, w_other) = if q.runs.process == own.process {
                (w(own.task, n), w(own.task, here), w(q.runs.task, n))
            } else {
                (w(own.mm, n), w(own.mm, here), w(q.runs.mm, n))
            };
            if w_nid > w_other && w_nid > w_here {
                let delta = (w_nid - w_other) + (w_nid - w_here);
                if delta > best {
                    (best, target) = (delta, Some(q.cpu));
                }
            }
        }
        target
    }

    proptest! {
        #[test]
        fn the_choice_is_as_described(
            rows in prop::collection::vec((0u8..3, 0u32..2, [0u64..9, 0..9, 0..9], [0u64..9, 0..9, 0..9]), 1..8),
        ) {
            let stats: Vec<(Counts, Counts)> =
                rows.iter().map(|row| (counts(&row.2), counts(&row.3))).collect();
            let weighed = |idx: usize| Weighed {
                process: rows[idx].1, task: &stats[idx].0, mm: &stats[idx].1,
            };
            let others: Vec<Candidate<'_>> = (1..rows.len())
                .map(|idx| Candidate {
                    cpu: CpuId(idx as u16), node: NodeId(rows[idx].0), runs: weighed(idx),
                })
                .collect();
            let found = decide(&weighed(0), NodeId(rows[0].0), &others);
            prop_assert_eq!(
                found.and_then(|found| found.target),
                transcription(&weighed(0), rows[0].0.into(), &others)
            );
        }
    }
}
