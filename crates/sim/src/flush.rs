//! TLB shootdowns.

use base::{CpuId, MmId, MmVec, Nanos, NodeId, TaskId};
use sched::Sched;

use crate::world::World;

/// The CPUs that run each address space, as they were when the scheduler last switched: shootdowns are more
/// frequent than switches.
#[derive(Default)]
pub(crate) struct Runners {
    by_space: MmVec<Vec<(CpuId, NodeId)>>,
    /// [`Sched::nr_switches`] when they were found.
    as_of: Option<u64>,
}

impl Runners {
    /// Finds them anew if need be.
    fn renew(
        &mut self,
        sched: &Sched,
        (nr_spaces, nr_nodes): (usize, usize),
        mm_of: impl Fn(TaskId) -> Option<MmId>,
    ) {
        if self.as_of == Some(sched.nr_switches()) {
            return;
        }
        self.as_of = Some(sched.nr_switches());
        self.by_space.0.resize_with(nr_spaces, Vec::new);
        self.by_space.iter_mut().for_each(Vec::clear);
        for node in (0..nr_nodes).map(NodeId::from_idx) {
            for cpu in sched.node_cpus(node) {
                if let Some(mm) = sched.current(*cpu).and_then(&mm_of) {
                    self.by_space[mm].push((*cpu, node));
                }
            }
        }
    }
}

impl World {
    /// A TLB shootdown of everyone who runs the space: the initiator's cost; targets pay theirs when
    /// they run next.
    pub(crate) fn tlb_flush(&mut self, mm: MmId, cpu: CpuId) -> Nanos {
        let home = self.machine.node_of(cpu);
        let costs = &self.machine.costs;
        let sizes = (self.spaces.len(), self.machine.nodes.len());
        self.runners.renew(&self.sched, sizes, |task| self.tasks[task].mm);
        debug_assert!(self.runs_on(mm, &self.runners.by_space[mm]), "a switch was not counted");
        let mut total = costs.tlb_flush;
        for (other, node) in self.runners.by_space[mm].iter().filter(|(other, _)| *other != cpu) {
            total += match self.machine.distances[(home, *node)] {
                _ if *node == home => costs.tlb_flush_same_node,
                0..=20 => costs.tlb_flush_one_hop,
                _ => costs.tlb_flush_far,
            };
            self.cpus[*other].stolen += costs.tlb_flush_target;
        }
        total
    }

    /// Whether those, and no others, run the space.
    fn runs_on(&self, mm: MmId, cpus: &[(CpuId, NodeId)]) -> bool {
        let runs =
            |cpu| self.sched.current(cpu).is_some_and(|task| self.tasks[task].mm == Some(mm));
        let listed = |cpu| cpus.contains(&(cpu, self.machine.node_of(cpu)));
        self.machine.cpus.ids().all(|cpu| runs(cpu) == listed(cpu))
    }

    /// As many shootdowns.
    pub(crate) fn tlb_flushes(&mut self, mm: MmId, cpu: CpuId, nr: u64) -> Nanos {
        (0..nr).map(|_| self.tlb_flush(mm, cpu)).sum()
    }
}
