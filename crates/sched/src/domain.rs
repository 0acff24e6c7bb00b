//! Scheduling domains: the nested spans of CPUs over which load is balanced.
//!
//! Bottom-up: SMT siblings, last-level cache (as far as it lies on one node), package (the kernel's PKG level spans the CPUs of a
//! node), then one NUMA level per distinct distance: nodes not farther than it. A level that adds
//! no CPU to the one below is left out, as in the kernel.
//!
//! A domain is split into groups, the spans of the level below. At NUMA levels the spans of other
//! nodes may overlap; here each CPU is put into one group only, the own one first, where the kernel
//! lets groups overlap. What a CPU needs to remember between passes is in [`Balance`].

use base::{CpuId, CpuVec, Nanos, NodeId, NodeVec};
use topology::{Cpu, Matrix};

use crate::knobs::{ImbNumaNr, SchedKnobs};

/// A level of scheduling domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// SMT siblings of a core.
    Smt,
    /// CPUs that share a last-level cache.
    Llc,
    /// CPUs of a node.
    Package,
    /// CPUs of the nodes within a SLIT distance.
    Numa {
        /// The distance.
        distance: u8,
    },
}

impl Level {
    /// Whether the domain spans several nodes.
    pub fn is_numa(self) -> bool {
        matches!(self, Self::Numa { .. })
    }

    /// `cache_nice_tries`: failed rounds before cache-hot tasks are moved.
    pub(crate) fn cache_nice_tries(self) -> u32 {
        match self {
            Self::Smt => 0,
            Self::Llc | Self::Package => 1,
            Self::Numa { .. } => 2,
        }
    }
}

/// A span of CPUs that is balanced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) level: Level,
    pub(crate) span: Vec<CpuId>,
    pub(crate) groups: Vec<Vec<CpuId>>,
    pub(crate) imbalance_pct: u64,
    /// Balancing interval when nothing is known; doubles up to twice of it.
    pub(crate) min_interval: Nanos,
    pub(crate) imb_numa_nr: u32,
    /// When a running task was last pulled within this domain.
    pub(crate) last_active: Option<Nanos>,
}

impl Domain {
    /// Whether groups are evened out even by a busy CPU: where a group shares something (a core, a
    /// cache) that one task alone uses better.
    pub(crate) fn prefers_sibling(&self) -> bool {
        matches!(self.level, Level::Llc | Level::Package)
    }

    /// The index of the group that contains `cpu`.
    pub(crate) fn group_of(&self, cpu: CpuId) -> usize {
        let contains = |group: &Vec<CpuId>| group.binary_search(&cpu).is_ok();
        self.groups.iter().position(contains).unwrap_or(0)
    }
}

/// One CPU's part in a domain, and its memory of the last passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Balance {
    /// Index into [`Domains::all`].
    pub(crate) domain: usize,
    /// The group that contains the CPU.
    pub(crate) group: usize,
    pub(crate) last: Nanos,
    pub(crate) interval: Nanos,
    pub(crate) nr_failed: u32,
}

/// All domains, and each CPU's list of them bottom-up.
#[derive(Clone, Debug)]
pub(crate) struct Domains {
    pub(crate) all: Vec<Domain>,
    pub(crate) of_cpu: CpuVec<Vec<Balance>>,
}

/// What [`Domains::build`] derives spans from.
struct Facts<'a> {
    cpus: &'a CpuVec<Cpu>,
    distances: &'a Matrix<u8>,
    node_cpus: &'a NodeVec<Vec<CpuId>>,
}

impl Facts<'_> {
    /// The CPUs that belong to the domain of `cpu` at `level`, ascending.
    fn span(&self, cpu: CpuId, level: Level) -> Vec<CpuId> {
        let own = self.cpus[cpu];
        let of_node = |same: fn(&Cpu, &Cpu) -> bool| {
            let list = self.node_cpus[own.node].iter().copied();
            list.filter(|other| same(&own, &self.cpus[*other])).collect()
        };
        match level {
            Level::Smt => of_node(|a, b| a.core == b.core && a.llc == b.llc),
            Level::Llc => of_node(|a, b| a.llc == b.llc),
            Level::Package => self.node_cpus[own.node].clone(),
            Level::Numa { distance } => self.within(own.node, distance),
        }
    }

    fn within(&self, node: NodeId, distance: u8) -> Vec<CpuId> {
        let near = |other: &NodeId| *other == node || self.distances[(node, *other)] <= distance;
        let mut span: Vec<CpuId> = self
            .node_cpus
            .ids()
            .filter(near)
            .flat_map(|other| self.node_cpus[other].iter().copied())
            .collect();
        span.sort_unstable();
        span
    }

    /// SMT, LLC, package, and the distinct distances between different nodes with CPUs.
    fn levels(&self) -> Vec<Level> {
        let with_cpus: Vec<NodeId> =
            self.node_cpus.enumerate().filter(|(_, l)| !l.is_empty()).map(|(id, _)| id).collect();
        let mut distances: Vec<u8> = with_cpus
            .iter()
            .flat_map(|a| with_cpus.iter().filter(move |b| *b != a).map(move |b| (*a, *b)))
            .map(|pair| self.distances[pair])
            .collect();
        distances.sort_unstable();
        distances.dedup();
        let numa = distances.into_iter().map(|distance| Level::Numa { distance });
        [Level::Smt, Level::Llc, Level::Package].into_iter().chain(numa).collect()
    }
}

impl Domains {
    pub(crate) fn build(
        cpus: &CpuVec<Cpu>,
        distances: &Matrix<u8>,
        node_cpus: &NodeVec<Vec<CpuId>>,
        knobs: &SchedKnobs,
    ) -> Self {
        let facts = Facts { cpus, distances, node_cpus };
        let mut domains = Self { all: Vec::new(), of_cpu: CpuVec::filled(Vec::new(), cpus.len()) };
        let levels = facts.levels();
        for cpu in cpus.ids() {
            let mut below = vec![cpu];
            let mut below_level = None;
            for level in levels.iter().copied() {
                let span = facts.span(cpu, level);
                if span.len() == below.len() {
                    continue;
                }
                let domain = domains.find_or_add(&facts, level, &span, &below, below_level, knobs);
                domains.join(cpu, domain);
                below = span;
                below_level = Some(level);
            }
        }
        domains
    }

    /// CPUs with the same span and the same own group at a level share the domain.
    fn find_or_add(
        &mut self,
        facts: &Facts<'_>,
        level: Level,
        span: &[CpuId],
        below: &[CpuId],
        below_level: Option<Level>,
        knobs: &SchedKnobs,
    ) -> usize {
        let same = |domain: &Domain| {
            domain.level == level
                && domain.span == span
                && domain.groups[domain.group_of(below[0])] == below
        };
        if let Some(found) = self.all.iter().position(same) {
            return found;
        }
        let groups = split(facts, span, below, below_level);
        let nr_cpus = span.len() as u64;
        let pct = if level == Level::Smt { knobs.imbalance_pct_smt } else { knobs.imbalance_pct };
        self.all.push(Domain {
            level,
            imbalance_pct: u64::from(pct),
            min_interval: Nanos::from_ms(nr_cpus).max(knobs.tick),
            imb_numa_nr: imb_numa_nr(facts, level, span, knobs),
            span: span.to_vec(),
            groups,
            last_active: None,
        });
        self.all.len() - 1
    }

    fn join(&mut self, cpu: CpuId, domain: usize) {
        let group = self.all[domain].group_of(cpu);
        let interval = self.all[domain].min_interval;
        let balance = Balance { domain, group, last: Nanos::ZERO, interval, nr_failed: 0 };
        self.of_cpu[cpu].push(balance);
    }
}

/// The groups of a span: the own one, then the spans of the level below around each CPU that is
/// not in a group yet.
fn split(
    facts: &Facts<'_>,
    span: &[CpuId],
    below: &[CpuId],
    below_level: Option<Level>,
) -> Vec<Vec<CpuId>> {
    let mut groups = vec![below.to_vec()];
    let mut left: Vec<CpuId> = span.iter().copied().filter(|cpu| !below.contains(cpu)).collect();
    while let Some(first) = left.first().copied() {
        let around = below_level.map_or_else(|| vec![first], |level| facts.span(first, level));
        let (group, rest) = left.into_iter().partition(|cpu| around.contains(cpu));
        groups.push(group);
        left = rest;
    }
    groups.sort_unstable();
    groups
}

/// Allowed imbalance between the groups of a NUMA domain, in tasks.
fn imb_numa_nr(facts: &Facts<'_>, level: Level, span: &[CpuId], knobs: &SchedKnobs) -> u32 {
    let Level::Numa { .. } = level else { return 0 };
    match knobs.imb_numa_nr {
        ImbNumaNr::Fixed(nr) => nr,
        ImbNumaNr::Derived => {
            let node = &facts.node_cpus[facts.cpus[span[0]].node];
            let mut llcs: Vec<u16> = node.iter().map(|cpu| facts.cpus[*cpu].llc).collect();
            llcs.sort_unstable();
            llcs.dedup();
            let base = if llcs.len() == 1 { node.len() / 8 } else { llcs.len() }.max(1);
            let lowest = facts.levels().into_iter().find(|level| level.is_numa());
            let lowest_span = lowest.map_or(span.len(), |level| facts.span(span[0], level).len());
            (base * (span.len() / lowest_span).max(1)) as u32
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(cpus: CpuVec<Cpu>, distances: &Matrix<u8>, knobs: &SchedKnobs) -> Domains {
        let mut node_cpus = NodeVec::filled(Vec::new(), distances.0.len());
        cpus.enumerate().for_each(|(id, cpu)| node_cpus[cpu.node].push(id));
        Domains::build(&cpus, distances, &node_cpus, knobs)
    }

    /// `nr_nodes` nodes of `cores` cores of two threads, `llcs` caches a node.
    fn smt_machine(nr_nodes: usize, cores: usize, llcs: usize) -> CpuVec<Cpu> {
        let nr_cores = nr_nodes * cores;
        let cpu = |idx: usize| {
            let core = idx % nr_cores;
            let node = NodeId::from_idx(core / cores);
            Cpu { node, core: core as u16, llc: (core * llcs / cores) as u16, package: 0 }
        };
        (0..2 * nr_cores).map(cpu).collect()
    }

    fn levels_of(domains: &Domains, cpu: u16) -> Vec<(Level, usize, usize)> {
        domains.of_cpu[CpuId(cpu)]
            .iter()
            .map(|balance| &domains.all[balance.domain])
            .map(|domain| (domain.level, domain.span.len(), domain.groups.len()))
            .collect()
    }

    fn matrix(rows: &[&[u8]]) -> Matrix<u8> {
        Matrix(rows.iter().map(|row| row.iter().copied().collect()).collect())
    }

    #[test]
    fn levels_that_add_no_cpu_are_left_out() {
        let two_nodes = matrix(&[&[10, 20], &[20, 10]]);
        let numa = Level::Numa { distance: 20 };
        let one_llc = build(smt_machine(2, 6, 1), &two_nodes, &SchedKnobs::default());
        assert_eq!(
            levels_of(&one_llc, 0),
            [(Level::Smt, 2, 2), (Level::Llc, 12, 6), (numa, 24, 2)]
        );
        let many_llcs = build(smt_machine(2, 6, 3), &two_nodes, &SchedKnobs::default());
        let package = (Level::Package, 12, 3);
        let llc = (Level::Llc, 4, 2);
        assert_eq!(levels_of(&many_llcs, 23), [(Level::Smt, 2, 2), llc, package, (numa, 24, 2)]);
        let single = build(
            CpuVec::filled(Cpu { node: NodeId(0), core: 0, llc: 0, package: 0 }, 1),
            &matrix(&[&[10]]),
            &SchedKnobs::default(),
        );
        assert_eq!(levels_of(&single, 0), []);
    }

    #[test]
    fn each_distance_is_a_level() {
        // Two pairs of near nodes.
        let rows =
            matrix(&[&[10, 16, 22, 22], &[16, 10, 22, 22], &[22, 22, 10, 16], &[22, 22, 16, 10]]);
        let domains = build(smt_machine(4, 1, 1), &rows, &SchedKnobs::default());
        let (near, far) = (Level::Numa { distance: 16 }, Level::Numa { distance: 22 });
        assert_eq!(levels_of(&domains, 0), [(Level::Smt, 2, 2), (near, 4, 2), (far, 8, 2)]);
    }

    /// Whatever the distances say (also when they are not symmetric and spans overlap), a
    /// domain's groups are a partition of its span, and each CPU's own group is the span below.
    #[test]
    fn groups_partition_their_span() {
        let ring =
            matrix(&[&[10, 16, 22, 16], &[16, 10, 16, 22], &[22, 16, 10, 16], &[16, 22, 16, 10]]);
        let skewed =
            matrix(&[&[10, 16, 22, 30], &[20, 10, 16, 21], &[22, 40, 10, 16], &[16, 22, 17, 10]]);
        for distances in [ring, skewed] {
            let domains = build(smt_machine(4, 2, 1), &distances, &SchedKnobs::default());
            for cpu in domains.of_cpu.ids() {
                let mut below = vec![cpu];
                for balance in &domains.of_cpu[cpu] {
                    let domain = &domains.all[balance.domain];
                    let mut members = domain.groups.concat();
                    members.sort_unstable();
                    assert_eq!(members, domain.span);
                    assert_eq!(domain.groups[balance.group], below);
                    below.clone_from(&domain.span);
                }
                assert_eq!(below.len(), 16, "the top domain spans the machine");
            }
        }
    }

    #[test]
    fn allowed_numa_imbalance_follows_the_nodes_caches() {
        let knobs = SchedKnobs { imb_numa_nr: ImbNumaNr::Derived, ..SchedKnobs::default() };
        let two_nodes = matrix(&[&[10, 20], &[20, 10]]);
        let top = |cores, llcs| {
            let domains = build(smt_machine(2, cores, llcs), &two_nodes, &knobs);
            domains
                .all
                .iter()
                .find(|domain| domain.level.is_numa())
                .map(|domain| domain.imb_numa_nr)
        };
        // 32 CPUs a node, one cache: an eighth; four caches: four; 4 CPUs: at least one.
        assert_eq!((top(16, 1), top(16, 4), top(2, 1)), (Some(4), Some(4), Some(1)));
        assert_eq!(top(24, 1), Some(6));
    }
}
