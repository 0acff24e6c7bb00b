//! Statistics of hint faults: by node, by memory and by CPU, private and shared.
//!
//! `numa_faults` of a task and of a group in `kernel/sched/fair.c`. A pass's faults are collected
//! in buffers; at placement the old sums are halved and the buffers added.

use base::{NodeId, NodeVec};

/// Index of shared faults in a pair.
pub(crate) const SHARED: usize = 0;
/// Index of private faults in a pair.
pub(crate) const PRIVATE: usize = 1;

/// Decayed sums by node, each shared and private.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// By the node of the memory.
    pub(crate) mem: NodeVec<[u64; 2]>,
    /// By the node of the CPU, weighted by the share of time the task ran.
    pub(crate) cpu: NodeVec<[u64; 2]>,
    /// Sum of `mem`.
    pub(crate) total: u64,
}

impl Faults {
    pub(crate) fn new(nr_nodes: usize) -> Self {
        let zero = NodeVec::filled([0; 2], nr_nodes);
        Self { mem: zero.clone(), cpu: zero, total: 0 }
    }

    /// Faults on memory of a node.
    pub(crate) fn mem_of(&self, node: NodeId) -> u64 {
        self.mem[node].iter().sum()
    }

    /// Faults by CPUs of a node.
    pub(crate) fn cpu_of(&self, node: NodeId) -> u64 {
        self.cpu[node].iter().sum()
    }

    /// Sum of one kind over all nodes.
    pub(crate) fn mem_kind(&self, kind: usize) -> u64 {
        self.mem.iter().map(|pair| pair[kind]).sum()
    }

    /// Adds (or takes away) what a member contributes.
    pub(crate) fn change(&mut self, from: &Self, to: &Self) {
        let apply = |sums: &mut NodeVec<[u64; 2]>, from: &NodeVec<[u64; 2]>, to: &NodeVec<_>| {
            for node in from.ids() {
                let (from, to): (&[u64; 2], &[u64; 2]) = (&from[node], &to[node]);
                for kind in [SHARED, PRIVATE] {
                    sums[node][kind] = (sums[node][kind] + to[kind]).saturating_sub(from[kind]);
                }
            }
        };
        apply(&mut self.mem, &from.mem, &to.mem);
        apply(&mut self.cpu, &from.cpu, &to.cpu);
        self.total = (self.total + to.total).saturating_sub(from.total);
    }
}

/// A task's statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskFaults {
    /// Sums of passes before.
    pub(crate) sums: Faults,
    /// The current pass.
    mem_buf: NodeVec<[u64; 2]>,
    cpu_buf: NodeVec<[u64; 2]>,
}

impl TaskFaults {
    pub(crate) fn new(nr_nodes: usize) -> Self {
        let zero = NodeVec::filled([0; 2], nr_nodes);
        Self { sums: Faults::new(nr_nodes), mem_buf: zero.clone(), cpu_buf: zero }
    }

    /// Counts a fault on `mem` memory by a CPU of `cpu`.
    pub(crate) fn count(&mut self, mem: NodeId, cpu: NodeId, private: bool, pages: u64) {
        self.mem_buf[mem][usize::from(private)] += pages;
        self.cpu_buf[cpu][usize::from(private)] += pages;
    }

    /// Halves the sums, adds the buffers and empties them; returns the pass's faults, shared and
    /// private. `runtime` of `walltime` is the share of time the task ran since the last time,
    /// `counted` the faults it took.
    pub(crate) fn fold(&mut self, runtime: u64, walltime: u64, counted: u64) -> [u64; 2] {
        let share = (u128::from(runtime) << 16) / (u128::from(walltime) + 1);
        let weigh = |pages: u64| (share * u128::from(pages) / (u128::from(counted) + 1)) as u64;
        let mut kinds = [0; 2];
        for node in self.mem_buf.ids() {
            for kind in [SHARED, PRIVATE] {
                let mem = std::mem::take(&mut self.mem_buf[node][kind]);
                let cpu = std::mem::take(&mut self.cpu_buf[node][kind]);
                kinds[kind] += mem;
                halve_and_add(&mut self.sums.mem[node][kind], mem);
                halve_and_add(&mut self.sums.cpu[node][kind], weigh(cpu));
            }
        }
        self.sums.total = self.sums.mem.iter().flatten().sum();
        kinds
    }
}

/// The kernel subtracts half, rounded down, and so keeps the half that is rounded up.
fn halve_and_add(sum: &mut u64, new: u64) {
    *sum = *sum - *sum / 2 + new;
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    #[test]
    fn faults_decay_by_half_a_pass() {
        let mut faults = TaskFaults::new(2);
        faults.count(A, B, true, 512);
        assert_eq!(faults.sums.mem_of(A), 0, "a pass counts when it is over");
        assert_eq!(faults.fold(1, 1, 512), [0, 512]);
        assert_eq!(faults.sums.mem_of(A), 512);
        faults.count(B, B, false, 8);
        assert_eq!(faults.fold(1, 1, 8), [8, 0]);
        assert_eq!((faults.sums.mem_of(A), faults.sums.mem_of(B)), (256, 8));
        assert_eq!(faults.sums.total, 264);
    }

    #[test]
    fn cpu_faults_weigh_the_time_a_task_ran() {
        let of = |runtime| {
            let mut faults = TaskFaults::new(2);
            faults.count(A, B, true, 1000);
            faults.fold(runtime, 1_000_000, 1000);
            faults.sums.cpu_of(B)
        };
        assert!(of(1_000_000) > 65_000 && of(1_000_000) <= 65_536);
        assert!(of(500_000).abs_diff(of(1_000_000) / 2) <= 1);
    }

    #[test]
    fn a_group_is_the_sum_of_its_members() {
        let mut group = Faults::new(2);
        let mut members = [TaskFaults::new(2), TaskFaults::new(2)];
        for (idx, member) in members.iter_mut().enumerate() {
            for pass in 0..3 {
                let before = member.sums.clone();
                member.count(NodeId(idx as u8), A, pass == 1, 100 + pass);
                member.fold(1, 1, 100);
                group.change(&before, &member.sums);
            }
        }
        for node in [A, B] {
            let sum: u64 = members.iter().map(|member| member.sums.mem_of(node)).sum();
            assert_eq!(group.mem_of(node), sum);
        }
        assert_eq!(group.total, members.iter().map(|member| member.sums.total).sum::<u64>());
    }
}

#[cfg(test)]
mod twin;
