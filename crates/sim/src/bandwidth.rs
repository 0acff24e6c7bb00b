//! From what tasks are about to do to how fast they may do it.
//!
//! Once per epoch each running task's node mix over the bytes it will cross is sampled by looking
//! ahead in its stream. Idle (or loaded) latency, lines in flight, core maxima and think time give
//! its own maximum; the shared resources on its routes give the rest, through the one solver,
//! [`des::Fluid`]. Capacities depend on mixes, never on rates just computed, so one pass suffices
//! and nothing oscillates. Copies and clears of pages are streams like any other, but for what of
//! their stores stays in the last-level cache ([`crate::llc`]).
//!
//! What sharing adds is put on the lines that cross the resource that limits the task: a thread
//! with a few remote lines behind a saturated link pays on those.

use base::{CACHE_LINE_BYTES, CpuId, NodeId, NodeVec, PAGE_BYTES, TaskId};
use des::{Fluid, Limit, Piecewise, ResourceId, StreamIdx};
use topology::{LoadedLatency, Machine, Pattern};

use crate::demand::{Demand, look_ahead};
use crate::llc::Llcs;
use crate::paths::{Paths, line_ns};
use crate::thread::{Activity, Role, huge_bytes};
use crate::world::World;

/// What a task pays per line in the current epoch, by the node of the line.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    /// At the speed of a machine that shares nothing.
    pub(crate) idle_ns: Vec<f64>,
    /// Latency of a line that waits for nobody.
    pub(crate) latency_ns: Vec<f64>,
    /// What sharing adds to the time per line on average.
    pub(crate) queue_ns: Vec<f64>,
    /// Index of the shared bandwidth that a line waits for, where it waits.
    pub(crate) waits_for: Vec<Option<u16>>,
    /// Lines in flight: a line waits this many times longer than it holds its thread up (Little's
    /// law).
    pub(crate) lines_in_flight: f64,
    /// Utilisation of what limits the task, for the shape of the waiting time.
    pub(crate) utilisation: f64,
    /// Rate of the task's stream as a whole, in bytes per second (copies and clears: bytes copied
    /// or cleared).
    pub(crate) bytes_per_s: f64,
    /// Number of the epoch they were found in; 0 before the first.
    pub(crate) epoch: u64,
    /// Place and activity they were found for.
    pub(crate) key: (CpuId, u8),
}

impl Rates {
    pub(crate) fn new(nr_nodes: usize) -> Self {
        Self {
            idle_ns: vec![0.0; nr_nodes],
            latency_ns: vec![0.0; nr_nodes],
            queue_ns: vec![0.0; nr_nodes],
            waits_for: vec![None; nr_nodes],
            lines_in_flight: 1.0,
            utilisation: 0.0,
            bytes_per_s: 0.0,
            epoch: 0,
            key: (CpuId(0), 0),
        }
    }

    /// The CPU they were found for; `cpu` before there are any.
    pub(crate) fn place(&self, cpu: CpuId) -> CpuId {
        if self.epoch == 0 { cpu } else { self.key.0 }
    }
}

/// How much slower a loaded memory answers, over its controller's utilisation.
#[derive(Clone, Debug)]
enum LoadCurve {
    Flat,
    Points(Piecewise),
    Formula { c1: f64, c2: f64, clip: f64 },
}

impl LoadCurve {
    fn new(loaded: &LoadedLatency) -> Self {
        match loaded {
            LoadedLatency::Flat => Self::Flat,
            LoadedLatency::Points(points) => {
                Piecewise::new(points.clone()).map_or(Self::Flat, Self::Points)
            }
            LoadedLatency::Curve { c1, c2, clip } => {
                Self::Formula { c1: *c1, c2: *c2, clip: *clip }
            }
        }
    }

    /// The factor on the idle latency.
    fn factor(&self, utilisation: f64) -> f64 {
        match self {
            Self::Flat => 1.0,
            Self::Points(points) => points.at(utilisation) / points.at(0.0),
            Self::Formula { clip, .. } if utilisation >= 1.0 => *clip,
            Self::Formula { c1, c2, clip } => {
                (1.0 + c1 * utilisation + c2 * utilisation / (1.0 - utilisation)).min(*clip)
            }
        }
    }
}

/// The machine's bandwidth model with its solver.
pub(crate) struct Bandwidth {
    fluid: Fluid,
    demands: Vec<Demand>,
    spare: Vec<Demand>,
    previous: Vec<Demand>,
    own_max: Vec<f64>,
    capacities: Vec<f64>,
    streams: Vec<[f64; Pattern::COUNT]>,
    /// What streams use, one after the other.
    uses: Vec<(ResourceId, f64)>,
    /// Where the uses of each stream end.
    uses_end: Vec<usize>,
    /// Rates of [`World::move_rate`] with the epoch they hold for.
    moved: Vec<(u64, f64)>,
    /// Factor on the idle latency of each node's memory in this epoch.
    load_factor: NodeVec<f64>,
    paths: Paths,
    curve: LoadCurve,
    /// Controller of each node, as an index into the machine's resources.
    controllers: NodeVec<Option<u16>>,
    /// Last-level caches, with what was cleared and copied when last solved.
    llcs: Llcs,
}

impl Bandwidth {
    pub(crate) fn new(machine: &Machine) -> Self {
        let curve = LoadCurve::new(&machine.loaded_latency);
        let controller = |node| {
            machine
                .resources
                .iter()
                .position(|r| r.kind == topology::ResourceKind::Controller(node))
                .map(|resource| resource as u16)
        };
        let mut bandwidth = Self {
            fluid: Fluid::new(),
            demands: Vec::new(),
            spare: Vec::new(),
            previous: Vec::new(),
            own_max: Vec::new(),
            capacities: Vec::new(),
            streams: Vec::new(),
            uses: Vec::new(),
            uses_end: Vec::new(),
            moved: Vec::new(),
            load_factor: NodeVec::filled(1.0, machine.nodes.len()),
            paths: Paths::new(machine),
            curve,
            controllers: machine.nodes.ids().map(controller).collect(),
            llcs: Llcs::new(machine),
        };
        bandwidth.find_capacities(machine, &[]);
        bandwidth.fluid.reset(&bandwidth.capacities);
        bandwidth.fluid.solve();
        bandwidth
    }

    /// Load and capacity of a resource as last solved, in bytes per second.
    pub(crate) fn load(&self, resource: usize) -> (f64, f64) {
        let id = ResourceId(resource as u16);
        (self.fluid.load(id), self.fluid.capacity(id))
    }

    /// Whether a resource was full when last solved.
    pub(crate) fn is_saturated(&self, resource: usize) -> bool {
        self.fluid.is_saturated(ResourceId(resource as u16))
    }

    /// Solves for all demands.
    fn solve(&mut self, machine: &Machine, demands: &[Demand]) {
        self.find_capacities(machine, demands);
        self.fluid.reset(&self.capacities);
        self.own_max.clear();
        let mut start = 0;
        for (demand, end) in demands.iter().zip(&self.uses_end) {
            let from = machine.node_of(demand.cpu);
            let own = own_max(self.paths.idle_ns(from, demand).iter().copied(), demand);
            self.fluid.add_stream(own, weight(machine, demand), &self.uses[start..*end]);
            self.own_max.push(own);
            start = *end;
        }
        self.fluid.solve();
        self.find_load_factors();
    }

    /// A task's rate in bytes per second when nothing is shared, and its fair share beside those last
    /// solved for.
    fn fair_rate(&mut self, machine: &Machine, demand: &Demand) -> (f64, f64) {
        let from = machine.node_of(demand.cpu);
        let own = own_max(self.paths.idle_ns(from, demand).iter().copied(), demand);
        self.uses.clear();
        for (node, share) in demand.traffic() {
            let route = self.paths.uses(from, node);
            self.uses.extend(route.iter().map(|one| (ResourceId(one.resource), share * one.cost)));
        }
        (own, self.fluid.fair_rate(own, weight(machine, demand), &self.uses))
    }

    /// How much slower each node's memory answers under the load just solved for. A task that the
    /// solver did not hold back runs at that latency; one that it did runs at its share, in which
    /// the waiting is contained. Rates only shrink by it, so no peak is exceeded.
    fn find_load_factors(&mut self) {
        if matches!(self.curve, LoadCurve::Flat) {
            return;
        }
        for (node, controller) in self.controllers.enumerate() {
            if let Some(controller) = controller {
                let utilisation = self.fluid.utilisation(ResourceId(*controller)).min(1.0);
                self.load_factor[node] = self.curve.factor(utilisation);
            }
        }
    }

    /// Capacities for the streams that are about to hit each resource; notes what each stream uses.
    fn find_capacities(&mut self, machine: &Machine, demands: &[Demand]) {
        self.streams.clear();
        self.streams.resize(machine.resources.len(), [0.0; Pattern::COUNT]);
        self.uses.clear();
        self.uses_end.clear();
        for demand in demands {
            let from = machine.node_of(demand.cpu);
            for (node, share) in demand.traffic() {
                for one in self.paths.uses(from, node) {
                    self.streams[usize::from(one.resource)][demand.pattern as usize] += share;
                    self.uses.push((ResourceId(one.resource), share * one.cost));
                }
            }
            self.uses_end.push(self.uses.len());
        }
        self.capacities.clear();
        for (resource, by_pattern) in machine.resources.iter().zip(&self.streams) {
            let nr: f64 = by_pattern.iter().sum();
            let random = if nr > 0.0 { by_pattern[Pattern::Random as usize] / nr } else { 0.0 };
            let peak = |pattern| resource.peak.at(nr.max(1.0), pattern);
            self.capacities
                .push(peak(Pattern::Sequential) * (1.0 - random) + peak(Pattern::Random) * random);
        }
    }
}

/// Rate of a task's progress, in bytes per second, when nothing is shared; a thread is serial, so
/// times add up. `line_ns` are the times of a line, by node.
fn own_max(line_ns: impl Iterator<Item = f64>, demand: &Demand) -> f64 {
    let shares = demand.mix.iter().zip(line_ns).filter(|(share, _)| **share > 0.0);
    let moving: f64 = shares.map(|(share, line_ns)| share * line_ns).sum();
    CACHE_LINE_BYTES as f64 * 1e9 / (moving + demand.think_ns)
}

/// A task whose lines are local gets the machine's weight on saturated resources, a remote one 1. What
/// stays in a cache has no part in it.
fn weight(machine: &Machine, demand: &Demand) -> f64 {
    let here = machine.node_of(demand.cpu);
    let (mut local, mut total) = (0.0, 0.0);
    for (node, share) in demand.traffic() {
        total += share;
        local += if node == here { share } else { 0.0 };
    }
    if total > 0.0 { 1.0 + (machine.local_weight - 1.0) * (local / total) } else { 1.0 }
}

impl World {
    /// Finds the rates of all running tasks for the epoch that begins now.
    pub(crate) fn solve_bandwidth(&mut self) {
        std::mem::swap(&mut self.bandwidth.demands, &mut self.bandwidth.previous);
        let mut old = std::mem::take(&mut self.bandwidth.demands);
        self.bandwidth.spare.append(&mut old);
        self.bandwidth.demands = old;
        self.count_moving();
        for cpu in self.machine.cpus.ids() {
            if let Some(task) = self.sched.current(cpu)
                && let Some(demand) = self.demand(task, cpu)
            {
                self.bandwidth.demands.push(demand);
            }
        }
        if self.bandwidth.demands == self.bandwidth.previous {
            self.keep_rates();
            return;
        }
        let demands = std::mem::take(&mut self.bandwidth.demands);
        self.bandwidth.solve(&self.machine, &demands);
        for (idx, demand) in demands.iter().enumerate() {
            let stream = StreamIdx(idx as u32);
            let solved = Solved {
                own_max: self.bandwidth.own_max[idx],
                rate: self.bandwidth.fluid.rate(stream),
                limit: self.bandwidth.fluid.limit(stream),
            };
            self.set_rates(demand, &solved);
        }
        self.bandwidth.demands = demands;
    }

    /// Sums what is being cleared and copied under each last-level cache.
    fn count_moving(&mut self) {
        self.bandwidth.llcs.reset();
        for (cpu, info) in self.machine.cpus.enumerate() {
            let Some(task) = self.sched.current(cpu) else { continue };
            let bytes = match &self.threads[task].activity {
                Activity::Clear(_) => huge_bytes(),
                Activity::Copy(_) => 2.0 * huge_bytes(),
                Activity::Replay
                | Activity::Compute(_)
                | Activity::Busy(_)
                | Activity::Batch(_) => continue,
            };
            self.bandwidth.llcs.add(info.llc, bytes);
        }
    }

    /// Nothing has changed since the last epoch: rates stay.
    fn keep_rates(&mut self) {
        for demand in &self.bandwidth.demands {
            self.threads[demand.task].rates.epoch = self.epoch.nr;
        }
    }

    /// Finds the rates of one task that started running within an epoch, or does something else
    /// now: its fair share beside those that were solved for.
    pub(crate) fn estimate_rates(&mut self, task: TaskId, cpu: CpuId) {
        let key = (cpu, self.threads[task].activity.kind());
        let rates = &self.threads[task].rates;
        if rates.epoch == self.epoch.nr && rates.key == key {
            return;
        }
        let Some(demand) = self.demand(task, cpu) else { return };
        let (own_max, rate) = self.bandwidth.fair_rate(&self.machine, &demand);
        let tightest = self.bandwidth.tightest();
        self.set_rates(&demand, &Solved { own_max, rate, limit: tightest });
        self.bandwidth.spare.push(demand);
    }

    /// Rate at which `cpu` clears pages of a node (`from` is `None`) or copies between two nodes
    /// right now, in bytes per second. The same all through an epoch.
    pub(crate) fn move_rate(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        from: Option<NodeId>,
        to: NodeId,
    ) -> f64 {
        let nr = self.machine.nodes.len();
        let source = from.map_or(nr, NodeId::idx);
        let slot = (cpu.idx() * (nr + 1) + source) * nr + to.idx();
        if let Some((epoch, rate)) = self.bandwidth.moved.get(slot)
            && *epoch == self.epoch.nr
        {
            return *rate;
        }
        let demand = self.moving(task, cpu, from, to, page_bytes(1));
        let bandwidth = &mut self.bandwidth;
        let (_, rate) = bandwidth.fair_rate(&self.machine, &demand);
        bandwidth.spare.push(demand);
        if bandwidth.moved.len() <= slot {
            bandwidth.moved.resize(slot + 1, (0, 0.0));
        }
        bandwidth.moved[slot] = (self.epoch.nr, rate);
        rate
    }

    fn set_rates(&mut self, demand: &Demand, solved: &Solved) {
        self.record_lines(demand.task, demand.cpu);
        let Bandwidth { paths, controllers, load_factor: factors, .. } = &self.bandwidth;
        let from = self.machine.node_of(demand.cpu);
        let limit = match solved.limit {
            Limit::Resource(id) => Some(id),
            Limit::OwnMaximum => None,
        };
        let thread = &mut self.threads[demand.task];
        let kind = thread.activity.kind();
        let rates = &mut thread.rates;
        let idle_ns = paths.idle_ns(from, demand);
        rates.idle_ns.copy_from_slice(idle_ns);
        match limit {
            // A task that is held back by a resource waits there; another one by the load.
            Some(id) => {
                let extra = (line_ns(solved.rate) - line_ns(solved.own_max)).max(0.0);
                let costs = paths.costs(id.idx(), from);
                let crossing: f64 =
                    demand.mix.iter().zip(costs).map(|(share, cost)| share * cost).sum();
                rates.latency_ns.copy_from_slice(paths.latency_ns(from));
                rates.waits_for.fill(Some(id.0));
                for (queue_ns, cost) in rates.queue_ns.iter_mut().zip(costs) {
                    *queue_ns = if crossing > 0.0 { extra * cost / crossing } else { extra };
                }
                rates.utilisation = self.bandwidth.fluid.utilisation(id);
                rates.bytes_per_s = solved.rate;
            }
            None => {
                let latencies = paths.latency_ns(from).iter().zip(factors);
                let loaded = latencies.map(|(idle, factor)| idle * factor);
                rates.latency_ns.iter_mut().zip(loaded).for_each(|(ns, loaded)| *ns = loaded);
                rates.waits_for.copy_from_slice(&controllers.0);
                let loaded = || paths.loaded_ns(from, demand, factors);
                let queues = rates.queue_ns.iter_mut().zip(loaded()).zip(idle_ns);
                queues.for_each(|((queue_ns, loaded), idle)| *queue_ns = loaded - idle);
                rates.utilisation = 0.0;
                rates.bytes_per_s = own_max(loaded(), demand);
            }
        }
        rates.lines_in_flight = if demand.dependent { 1.0 } else { self.machine.lines_in_flight };
        rates.epoch = self.epoch.nr;
        rates.key = (demand.cpu, kind);
    }

    /// What a task on `cpu` is about to ask of memory; `None` when nothing.
    fn demand(&mut self, task: TaskId, cpu: CpuId) -> Option<Demand> {
        let local = self.machine.node_of(cpu);
        match &self.threads[task].activity {
            Activity::Copy(copy) => {
                let (from, to) = (copy.from, copy.to);
                Some(self.moving(task, cpu, Some(from), to, huge_bytes()))
            }
            Activity::Clear(clear) => {
                let to = clear.at.node;
                Some(self.moving(task, cpu, None, to, huge_bytes()))
            }
            // A batch is mostly shorter than what is left of the epoch for the accesses behind it.
            Activity::Replay | Activity::Batch(_) => {
                let mut demand = self.blank(task, cpu);
                let samples = self.knobs.look_ahead_samples as usize;
                let epoch_s = self.knobs.epoch.as_secs_f64();
                let thread = &self.threads[task];
                let Role::User(user) = &thread.role else { return None };
                look_ahead(
                    user,
                    thread,
                    &self.memory.spaces[user.mm],
                    local,
                    samples,
                    epoch_s,
                    &mut demand,
                )
                .then_some(demand)
            }
            Activity::Compute(_) | Activity::Busy(_) => None,
        }
    }

    /// The demand of clearing a page of `to` that has so many bytes, or of copying one there from
    /// another node.
    fn moving(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        from: Option<NodeId>,
        to: NodeId,
        bytes: f64,
    ) -> Demand {
        let mut demand = self.blank(task, cpu);
        from.into_iter().chain([to]).for_each(|node| demand.mix[node.idx()] += 1.0);
        let room = if from.is_some() { 2.0 * bytes } else { bytes };
        demand.cached = (to, self.bandwidth.llcs.kept(self.machine.cpus[cpu].llc, room));
        demand
    }

    fn blank(&mut self, task: TaskId, cpu: CpuId) -> Demand {
        let mut demand = self.bandwidth.spare.pop().unwrap_or_else(Demand::empty);
        demand.task = task;
        demand.cpu = cpu;
        demand.mix.clear();
        demand.mix.resize(self.machine.nodes.len(), 0.0);
        demand.pattern = Pattern::Sequential;
        demand.dependent = false;
        demand.think_ns = 0.0;
        demand.cached = (NodeId(0), 0.0);
        demand.smt_busy =
            self.siblings[cpu].iter().any(|other| self.sched.current(*other).is_some());
        demand
    }
}

struct Solved {
    own_max: f64,
    rate: f64,
    limit: Limit,
}

impl Bandwidth {
    /// The saturated resource with the lowest level among those just collected.
    fn tightest(&self) -> Limit {
        let saturated =
            self.uses.iter().map(|(id, _)| *id).filter(|id| self.fluid.is_saturated(*id));
        let lowest = saturated.min_by(|a, b| self.fluid.level(*a).total_cmp(&self.fluid.level(*b)));
        lowest.map_or(Limit::OwnMaximum, Limit::Resource)
    }
}

impl Activity {
    /// A number for the kind of activity; rates found for one do not hold for another.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Replay | Self::Batch(_) => 0,
            Self::Compute(_) => 1,
            Self::Copy(_) => 2,
            Self::Clear(_) => 3,
            Self::Busy(_) => 4,
        }
    }
}

/// Bytes of `pages` base pages.
pub(crate) fn page_bytes(pages: u64) -> f64 {
    (pages * PAGE_BYTES) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_clip_bounds_the_load_factor() {
        for clip in [1.5, 9.0] {
            let curve = LoadCurve::new(&LoadedLatency::Curve { c1: 0.3, c2: 0.1, clip });
            assert_eq!(curve.factor(1.0), clip);
            // 1 + 0.3 x 0.5 + 0.1 x 0.5 / 0.5
            assert!((curve.factor(0.5) - 1.25).abs() < 1e-12);
            // 1 + 0.3 x 0.98 + 0.1 x 0.98 / 0.02 = 6.194
            assert!((curve.factor(0.98) - 6.194_f64.min(clip)).abs() < 1e-9);
        }
    }
}
