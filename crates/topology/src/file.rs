//! Machine files: the tables of a TOML file and their way to a [`Machine`].
//!
//! A file says things once and in the units of its source: `controller = "4.7GiB/s"`, links by
//! pairs of nodes, latencies by distance. Compiling it spells everything out by node, resource and
//! route, and checks what only the whole can tell: a CPU on two nodes, a distance matrix of the
//! wrong size, a node that cannot be reached.

mod bandwidth;
mod nodes;
mod pairs;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

use config::{
    Cx, Files, Json, NodeList, Problems, Span, Spanned, config, config_tagged, in_range, not_empty,
    positive,
};

use base::{Bytes, NodeId};

use crate::machine::{
    Cache, Caches, Costs, Daemons, Device, DeviceKind, Kernel, LoadedLatency, Machine,
};

pub use values::{ByNumber, ByPattern, Latency, PeakFile, Points, Rate};

config! {
    /// A machine: its nodes, latencies and bandwidths, with the settings of the kernel that runs
    /// on it.
    pub struct MachineFile {
        /// Short name, as in tables (`M-mel`).
        #[check(not_empty)]
        pub name: String,
        /// What it is and where its figures come from.
        pub description: String = String::new(),
        /// Memory nodes, in the order of their numbers.
        pub nodes: Spanned<Vec<Spanned<NodeFile>>>,
        /// SLIT, one row a node: relative distances as firmware states them, 10 for local. Left
        /// out: 10 and 20.
        pub distances: Option<Spanned<Vec<Spanned<Vec<Spanned<u8>>>>>> = None,
        /// How long an access takes.
        pub latency: Spanned<LatencyFile>,
        /// How much can be moved.
        pub bandwidth: Spanned<BandwidthFile>,
        /// What the cores are like.
        pub cpu: Spanned<CpuFile> = CpuFile::default().into(),
        /// The caches of one thread, first level first: they filter a recorded trace, and the last
        /// one holds pages that the kernel clears and copies. Left out, none.
        pub caches: Vec<Cache> = Vec::new(),
        /// What the kernel's work costs.
        pub costs: Costs = Costs::default(),
        /// Swap and storage devices.
        pub devices: Vec<Spanned<Device>> = Vec::new(),
        /// Build and boot settings of the kernel.
        pub kernel: Kernel = Kernel::default(),
        /// The background of short wake-ups that moves tasks now and then.
        pub daemons: Daemons = Daemons::default(),
    }
}

config! {
    /// A memory node.
    pub struct NodeFile {
        /// Its CPUs, such as `"0-5,12-17"`; left out, none.
        pub cpus: Option<config::CpuList> = None,
        /// What its zones manage together. They are split as on a PC: over all nodes, the first
        /// 15 MiB are DMA, up to 3 GiB DMA32, the rest Normal.
        #[check(config::if_some(positive))]
        pub memory: Option<Bytes> = None,
        /// What each zone manages, instead of `memory`.
        pub zones: Option<ZonesFile> = None,
        /// Memory tier; 0 is the fastest.
        pub tier: u8 = 0,
        /// What its own CPUs draw from it, if not as stated for all nodes.
        pub local_port: Option<PeakFile> = None,
        /// Its memory controller, if not as stated for all nodes.
        pub controller: Option<PeakFile> = None,
    }
}

config! {
    /// What each zone of a node manages.
    #[derive(Eq)]
    pub struct ZonesFile {
        /// Below 16 MiB.
        pub dma: Option<base::Pages> = None,
        /// Below 4 GiB.
        pub dma32: Option<base::Pages> = None,
        /// The rest.
        pub normal: Option<base::Pages> = None,
        /// Only movable pages.
        pub movable: Option<base::Pages> = None,
    }
}

config! {
    /// Latencies of an idle machine for a dependent load, given in one of three ways: `local` and
    /// `remote`, `by_distance`, or `matrix`.
    pub struct LatencyFile {
        /// To a CPU's own node.
        pub local: Option<Latency> = None,
        /// To any other node.
        pub remote: Option<Latency> = None,
        /// By SLIT distance: `{ 10 = "98ns", 16 = "150ns" }`.
        pub by_distance: Option<Spanned<ByNumber<Latency>>> = None,
        /// One row a node with CPUs' view: `[from][to]`.
        pub matrix: Option<Spanned<Vec<Spanned<Vec<Latency>>>>> = None,
        /// How latency grows with the load; left out, not at all below saturation.
        pub loaded: Option<LoadedFile> = None,
    }
}

config_tagged! {
    /// How latency grows with the utilisation of the serving controller.
    pub enum LoadedFile by "shape" {
        /// Points of utilisation and factor.
        Points(LoadedPoints) = "points",
        /// Points as a loaded-latency tool prints them.
        Measured(LoadedMeasured) = "measured",
        /// `1 + c1 u + c2 u / (1 - u)`.
        Curve(LoadedCurve) = "curve",
    }
}

config! {
    /// Points of utilisation and factor.
    pub struct LoadedPoints {
        /// Ascending `[utilisation, factor on the idle latency]`, linear between them.
        #[check(not_empty)]
        pub points: Spanned<Vec<Spanned<[f64; 2]>>>,
    }
}

config! {
    /// Points as a loaded-latency tool prints them.
    pub struct LoadedMeasured {
        /// Bandwidth that counts as utilisation 1.
        pub peak: Rate,
        /// Latency without load.
        pub idle: Latency,
        /// The points, by ascending rate but for the tool's own jitter.
        #[check(not_empty)]
        pub points: Spanned<Vec<LoadedPoint>>,
    }
}

config! {
    /// A measured point.
    pub struct LoadedPoint {
        /// Bandwidth moved.
        pub rate: Rate,
        /// Latency at that bandwidth.
        pub latency: Latency,
    }
}

config! {
    /// The three-parameter form, `1 + c1 u + c2 u / (1 - u)`, at most `clip`.
    pub struct LoadedCurve {
        /// Linear growth.
        #[check(in_range(0.0..=100.0))]
        pub c1: f64,
        /// Weight of the pole at saturation.
        #[check(in_range(0.0..=100.0))]
        pub c2: f64,
        /// Largest factor.
        #[check(in_range(1.0..=1000.0))]
        pub clip: f64 = 3.4,
    }
}

config! {
    /// How much can be moved. Capacities are a single value, values by the number of streams
    /// (`{ 6 = "11.4GiB/s", 12 = "10.9GiB/s" }`, linear between them), or either of these by
    /// pattern (`{ sequential = .., random = .. }`).
    pub struct BandwidthFile {
        /// Most that one core draws; left out, its lines in flight over the idle latency.
        pub core: Option<CoreFile> = None,
        /// What a node's own CPUs draw from their own memory; left out, no limit of its own.
        pub local_port: Option<PeakFile> = None,
        /// A node's memory controller, local and remote together.
        pub controller: Option<PeakFile> = None,
        /// What a byte for another node takes of a controller; 1 for a local one.
        #[check(in_range(0.01..=100.0))]
        pub remote_cost: f64 = 1.0,
        /// Share of a local stream against a remote one on a saturated resource; 1 is equal.
        #[check(in_range(0.01..=100.0))]
        pub local_weight: f64 = 1.0,
        /// Links between nodes.
        pub links: Vec<Spanned<LinkFile>> = Vec::new(),
        /// Ways through other nodes, where the shortest through links is not the one taken.
        pub routes: Vec<Spanned<RouteFile>> = Vec::new(),
        /// Groups of nodes whose remote traffic shares a limit.
        pub fabrics: Vec<Spanned<FabricFile>> = Vec::new(),
        /// Pairs of groups whose traffic shares a limit.
        pub groups: Vec<Spanned<GroupsFile>> = Vec::new(),
    }
}

config! {
    /// Most that one core draws, given in one of three ways: `local` and `remote`, `by_distance`,
    /// or `matrix`.
    pub struct CoreFile {
        /// From its own node.
        pub local: Option<ByPattern<Rate>> = None,
        /// From any other node.
        pub remote: Option<ByPattern<Rate>> = None,
        /// By SLIT distance.
        pub by_distance: Option<Spanned<ByNumber<ByPattern<Rate>>>> = None,
        /// `[from][to]`.
        pub matrix: Option<Spanned<Vec<Spanned<Vec<ByPattern<Rate>>>>>> = None,
    }
}

config! {
    /// Links that are alike, between the pairs named in one of three ways; left out, between
    /// every two nodes.
    pub struct LinkFile {
        /// Pairs of nodes: `[[0, 1], [1, 2]]`.
        pub pairs: Option<Vec<Spanned<[Spanned<NodeId>; 2]>>> = None,
        /// Every two nodes of each of these groups.
        pub within: Option<Vec<Spanned<NodeList>>> = None,
        /// Every node of the first group with every one of the second.
        pub across: Option<Spanned<[Spanned<NodeList>; 2]>> = None,
        /// Capacity of each direction.
        pub one_way: Option<PeakFile> = None,
        /// Capacity of both directions together.
        pub both_ways: Option<PeakFile> = None,
    }
}

config! {
    /// The way from the CPUs of a node to the memory of another.
    pub struct RouteFile {
        /// The requesting node.
        pub from: Spanned<NodeId>,
        /// The serving node.
        pub to: Spanned<NodeId>,
        /// The nodes between, in order.
        #[check(not_empty)]
        pub via: Spanned<Vec<Spanned<NodeId>>>,
    }
}

config! {
    /// A group of nodes whose remote traffic, among them and with others, shares a limit.
    pub struct FabricFile {
        /// The nodes.
        #[check(not_empty)]
        pub nodes: Spanned<NodeList>,
        /// Capacity.
        pub peak: PeakFile,
    }
}

config! {
    /// Two groups of nodes whose traffic with each other shares a limit.
    pub struct GroupsFile {
        /// The groups.
        pub between: [Spanned<NodeList>; 2],
        /// Capacity of each direction.
        pub one_way: Option<PeakFile> = None,
        /// Capacity of both directions together.
        pub both_ways: Option<PeakFile> = None,
    }
}

config! {
    /// What the cores are like.
    pub struct CpuFile {
        /// Logical CPUs of a core. Siblings stand half a node's list apart (for 2), as Linux
        /// numbers them: of `"0-5,12-17"`, 0 and 12 share a core.
        #[check(in_range(1..=8))]
        pub smt: u32 = 1,
        /// Rate of each of two busy siblings, as a share of the rate alone on the core.
        #[check(in_range(0.1..=1.0))]
        pub smt_share: f64 = 0.6,
        /// Cores that share a last-level cache; left out, all of a node.
        #[check(config::if_some(positive))]
        pub cores_per_llc: Option<u32> = None,
        /// Nodes with CPUs in a socket.
        #[check(positive)]
        pub nodes_per_package: u32 = 1,
        /// Cache-line misses a core keeps in flight for independent accesses.
        #[check(in_range(1.0..=1000.0))]
        pub lines_in_flight: f64 = 10.0,
        /// Nanoseconds an instruction that hits the first cache takes, on average.
        #[check(in_range(0.001..=1000.0))]
        pub ns_per_instruction: f64 = 0.25,
    }
}

impl MachineFile {
    /// Compiles the file. `None` means that problems were recorded in `cx`, all there are.
    pub fn machine(&self, cx: &mut Cx) -> Option<Machine> {
        let errors_before = cx.problems.nr_errors();
        // What does not need the others is looked at first, so that all that is wrong is told at once.
        let layout = nodes::layout(self, cx);
        let distances = pairs::distances(self, cx);
        let loaded_latency = self.loaded_latency(cx);
        self.check_devices(cx);
        let shared = layout.as_ref().and_then(|layout| bandwidth::shared(self, layout, cx));
        let (layout, distances) = (layout?, distances?);
        let idle_latency_ns = pairs::idle_latency(self, &layout, &distances, cx);
        let core_max = idle_latency_ns
            .as_ref()
            .and_then(|idle| pairs::core_max(self, &layout, &distances, idle, cx));
        let (idle_latency_ns, core_max, shared) = (idle_latency_ns?, core_max?, shared?);
        if cx.problems.nr_errors() > errors_before {
            return None;
        }
        Some(Machine {
            name: self.name.clone(),
            description: self.description.clone(),
            cpus: layout.cpus,
            nodes: layout.nodes,
            distances,
            idle_latency_ns,
            loaded_latency,
            core_max,
            resources: shared.resources,
            routes: shared.routes,
            local_weight: self.bandwidth.local_weight,
            lines_in_flight: self.cpu.lines_in_flight,
            smt_share: self.cpu.smt_share,
            ns_per_instruction: self.cpu.ns_per_instruction,
            caches: Caches { levels: self.caches.clone() },
            costs: self.costs.clone(),
            devices: self.devices.iter().map(|device| device.value.clone()).collect(),
            kernel: self.kernel.clone(),
            daemons: self.daemons.clone(),
        })
    }

    fn loaded_latency(&self, cx: &mut Cx) -> LoadedLatency {
        match &self.latency.loaded {
            None => LoadedLatency::Flat,
            Some(LoadedFile::Curve(LoadedCurve { c1, c2, clip })) => {
                LoadedLatency::Curve { c1: *c1, c2: *c2, clip: *clip }
            }
            Some(LoadedFile::Points(LoadedPoints { points })) => {
                let mut before = 0.0;
                for point in &points.value {
                    let [utilisation, factor] = point.value;
                    if !(before..=1.0).contains(&utilisation) {
                        let label = format!("expected a utilisation from {before} to 1");
                        cx.error(point.span, "points of a loaded latency must ascend", label);
                    }
                    if factor <= 0.0 {
                        cx.error(point.span, "a latency must be greater than 0", "factor");
                    }
                    before = utilisation;
                }
                LoadedLatency::Points(points.iter().map(|p| (p.value[0], p.value[1])).collect())
            }
            Some(LoadedFile::Measured(LoadedMeasured { peak, idle, points })) => {
                let mut points: Vec<(f64, f64)> =
                    points.iter().map(|p| (p.rate.0 / peak.0, p.latency.0 / idle.0)).collect();
                // At saturation a tool's rates jitter, so that they do not ascend strictly.
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                LoadedLatency::Points(points)
            }
        }
    }

    fn check_devices(&self, cx: &mut Cx) {
        for (idx, device) in self.devices.iter().enumerate() {
            let first = self.devices[..idx].iter().find(|other| other.name == device.name);
            if let Some(first) = first {
                let message = format!("two devices are named `{}`", device.name);
                two_places(cx, message, (device.span, "second"), (first.span, "first"));
            }
        }
        if let Some(name) = &self.kernel.swap {
            let swap = self.devices.iter().filter(|device| device.kind == DeviceKind::Swap);
            let names: Vec<&str> = swap.map(|device| device.name.as_str()).collect();
            if !names.contains(&name.value.as_str()) {
                cx.push(config::unknown_name("swap", name, &names));
            }
        }
    }
}

/// Records an error that lies in two places.
fn two_places(cx: &mut Cx, message: String, here: (Span, &str), there: (Span, &str)) {
    let problem = config::Problem::error(message);
    cx.push(problem.label(here.0, here.1).label(there.0, there.1));
}

/// Reads and compiles a machine file, following `extends`. Warnings come with the machine.
///
/// # Errors
/// Everything that is wrong with the file and with those it extends.
pub fn load(path: &Path, files: impl Files + 'static) -> Result<(Machine, Problems), Problems> {
    let mut cx = Cx::new(files);
    let file = cx.load::<MachineFile>(path);
    let machine = file.and_then(|file| file.machine(&mut cx));
    cx.finish(machine)
}

/// Compiles a machine from text that stands alone; `name` stands for the file in messages.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(name: &str, text: &str) -> Result<Machine, Problems> {
    let mut cx = Cx::without_files();
    let file = cx.parse::<MachineFile>(name, text);
    let machine = file.and_then(|file| file.machine(&mut cx));
    cx.finish(machine).map(|(machine, _)| machine)
}

/// Reads and compiles the machine file that another file names, relative to that file. `None`
/// means that problems were recorded.
pub fn load_named(cx: &mut Cx, name: &Spanned<String>) -> Option<Machine> {
    let file = cx.load_named::<MachineFile>(name)?;
    file.machine(cx)
}

/// JSON Schema of machine files.
pub fn schema() -> Json {
    config::json_schema::<MachineFile>()
}
