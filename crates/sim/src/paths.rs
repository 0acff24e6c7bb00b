//! What the machine's paths between nodes are like while nothing is shared: worked out once, since rates are
//! found for all running tasks in every epoch.

use base::{CACHE_LINE_BYTES, NodeId, NodeVec};
use topology::{Machine, Pattern, Use};

use crate::demand::Demand;

/// Nanoseconds per line for a rate in bytes per second.
pub(crate) fn line_ns(bytes_per_s: f64) -> f64 {
    CACHE_LINE_BYTES as f64 / bytes_per_s * 1e9
}

/// Manners of access that differ in the time of a line: pattern, dependence, a busy sibling.
const MANNERS: usize = Pattern::COUNT * 4;

/// Constants of the paths from each node to each.
pub(crate) struct Paths {
    nr_nodes: usize,
    /// Time per line at the cores' measured maximum, ns, by pattern.
    core_ns: [Square; Pattern::COUNT],
    latency_ns: Square,
    /// Time per line with idle memory, ns, by manner.
    idle_ns: Vec<Square>,
    /// By resource, what a line costs it.
    costs: Vec<Square>,
    /// Resources on each path, one path after the other.
    uses: Vec<Use>,
    /// Where those of a path end.
    uses_end: Vec<u32>,
    lines_in_flight: f64,
    smt_share: f64,
}

/// A number for each path.
struct Square(Vec<f64>);

impl Square {
    fn new(nr_nodes: usize, of: impl Fn(NodeId, NodeId) -> f64) -> Self {
        let ids = || (0..nr_nodes).map(NodeId::from_idx);
        Self(
            ids().flat_map(|from| ids().map(move |to| (from, to))).map(|(a, b)| of(a, b)).collect(),
        )
    }
}

impl Paths {
    pub(crate) fn new(machine: &Machine) -> Self {
        let nr_nodes = machine.nodes.len();
        let core = |pattern: usize| {
            Square::new(nr_nodes, |from, to| line_ns(machine.core_max[pattern][(from, to)]))
        };
        let cost = |resource: usize| {
            Square::new(nr_nodes, |from, to| {
                let route = &machine.routes[(from, to)];
                let crossing = route.iter().filter(|one| usize::from(one.resource) == resource);
                crossing.map(|one| one.cost).sum::<f64>()
            })
        };
        let mut paths = Self {
            nr_nodes,
            core_ns: std::array::from_fn(core),
            latency_ns: Square::new(nr_nodes, |from, to| machine.idle_latency_ns[(from, to)]),
            idle_ns: Vec::new(),
            costs: (0..machine.resources.len()).map(cost).collect(),
            uses: Vec::new(),
            uses_end: Vec::new(),
            lines_in_flight: machine.lines_in_flight,
            smt_share: machine.smt_share,
        };
        for from in machine.nodes.ids() {
            for to in machine.nodes.ids() {
                paths.uses.extend_from_slice(&machine.routes[(from, to)]);
                paths.uses_end.push(paths.uses.len() as u32);
            }
        }
        let of_manner = |manner| {
            Square::new(nr_nodes, |from, to| paths.line_time_ns(manner, paths.at(from, to), 1.0))
        };
        paths.idle_ns = (0..MANNERS).map(Manner).map(of_manner).collect();
        paths
    }

    fn at(&self, from: NodeId, to: NodeId) -> usize {
        from.idx() * self.nr_nodes + to.idx()
    }

    fn row<'p>(&self, square: &'p Square, from: NodeId) -> &'p [f64] {
        &square.0[from.idx() * self.nr_nodes..][..self.nr_nodes]
    }

    /// Resources on the path, with what a line costs each.
    pub(crate) fn uses(&self, from: NodeId, to: NodeId) -> &[Use] {
        let at = self.at(from, to);
        let start = at.checked_sub(1).map_or(0, |before| self.uses_end[before]);
        &self.uses[start as usize..self.uses_end[at] as usize]
    }

    /// Latency of idle memory, ns, by node.
    pub(crate) fn latency_ns(&self, from: NodeId) -> &[f64] {
        self.row(&self.latency_ns, from)
    }

    /// What a line of each node costs a resource.
    pub(crate) fn costs(&self, resource: usize, from: NodeId) -> &[f64] {
        self.row(&self.costs[resource], from)
    }

    /// Time per line of each node, ns, when nothing is shared and memory is idle.
    pub(crate) fn idle_ns(&self, from: NodeId, demand: &Demand) -> &[f64] {
        self.row(&self.idle_ns[Manner::of(demand).0], from)
    }

    /// The same with memory that answers as many times slower as `factors` say.
    pub(crate) fn loaded_ns(
        &self,
        from: NodeId,
        demand: &Demand,
        factors: &NodeVec<f64>,
    ) -> impl Iterator<Item = f64> {
        let manner = Manner::of(demand);
        let first = self.at(from, NodeId(0));
        factors
            .iter()
            .enumerate()
            .map(move |(to, factor)| self.line_time_ns(manner, first + to, *factor))
    }

    /// Time per line on a path when nothing is shared, with memory that answers `factor` times slower
    /// than when idle.
    ///
    /// What prefetchers follow runs at the core's measured maximum, whatever the latency; a chain of
    /// dependent lines runs at the latency; independent lines in random order keep the core's lines in
    /// flight, and run no faster than its measured maximum.
    fn line_time_ns(&self, manner: Manner, path: usize, factor: f64) -> f64 {
        let latency = self.latency_ns.0[path] * factor;
        let core = self.core_ns[manner.pattern() as usize].0[path];
        let alone = match (manner.is_dependent(), manner.pattern()) {
            (true, _) => core.max(latency),
            (false, Pattern::Sequential) => core,
            (false, Pattern::Random) => core.max(latency / self.lines_in_flight),
        };
        if manner.is_smt_busy() { alone / self.smt_share } else { alone }
    }
}

/// What the time of a line depends on besides its path, as a number below [`MANNERS`].
#[derive(Clone, Copy)]
struct Manner(usize);

impl Manner {
    fn of(demand: &Demand) -> Self {
        let flags = usize::from(demand.dependent) << 1 | usize::from(demand.smt_busy);
        Self((demand.pattern as usize) << 2 | flags)
    }

    fn pattern(self) -> Pattern {
        Pattern::ALL[self.0 >> 2]
    }

    fn is_dependent(self) -> bool {
        self.0 & 2 != 0
    }

    fn is_smt_busy(self) -> bool {
        self.0 & 1 != 0
    }
}
