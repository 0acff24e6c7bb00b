//! The described machine as the engine sees it.

use std::fmt;

use base::{Bytes, CpuId, CpuMask, CpuVec, Nanos, NodeId, NodeMask, NodeVec, Pages};
use config::{Spanned, Value, config, config_enum, in_range, positive};

use crate::summary::node_ranges;

/// A described machine with the settings of the kernel that runs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Short name, as in tables (`M-mel`).
    pub name: String,
    /// What it is and where its figures come from.
    pub description: String,
    /// Logical CPUs.
    pub cpus: CpuVec<Cpu>,
    /// Memory nodes, with or without CPUs.
    pub nodes: NodeVec<Node>,
    /// SLIT: relative distance as firmware states it, 10 for local. Not always symmetric.
    pub distances: Matrix<u8>,
    /// Latency of an idle machine in ns for a dependent load, from the first node's CPUs to the
    /// second node's memory.
    pub idle_latency_ns: Matrix<f64>,
    /// How latency grows with the utilisation of the serving node's controller.
    pub loaded_latency: LoadedLatency,
    /// Most bytes per second one core draws, from its node (first) to memory of the second, by
    /// the pattern of its accesses.
    pub core_max: [Matrix<f64>; Pattern::COUNT],
    /// Everything whose bandwidth is shared: local ports, controllers, links, groups of links.
    pub resources: Vec<BandwidthResource>,
    /// Which resources a byte crosses between CPUs of the first node and memory of the second,
    /// and how much of each it takes.
    pub routes: Matrix<Vec<Use>>,
    /// Share of a local stream against a remote one on a saturated resource; 1 is equal.
    pub local_weight: f64,
    /// Cache-line misses one core keeps in flight for independent accesses.
    pub lines_in_flight: f64,
    /// Rate of each of two busy SMT siblings, as a share of the rate alone on the core.
    pub smt_share: f64,
    /// Nanoseconds an instruction that hits the first cache takes, on average.
    pub ns_per_instruction: f64,
    /// The caches of one thread.
    pub caches: Caches,
    /// What the kernel's work costs.
    pub costs: Costs,
    /// Swap and storage devices.
    pub devices: Vec<Device>,
    /// Build and boot settings of the kernel.
    pub kernel: Kernel,
    /// The background of short wake-ups that moves tasks now and then.
    pub daemons: Daemons,
}

/// A logical CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its node.
    pub node: NodeId,
    /// Index of the core; SMT siblings share it.
    pub core: u16,
    /// Index of the last-level cache it shares.
    pub llc: u16,
    /// Index of the socket.
    pub package: u16,
}

/// A memory node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its CPUs; none for a memory-only node.
    pub cpus: CpuMask,
    /// Its zones, lowest first.
    pub zones: Vec<Zone>,
    /// Memory tier; 0 is the fastest.
    pub tier: u8,
}

/// A zone of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Which zone.
    pub kind: ZoneKind,
    /// Pages the allocator manages.
    pub managed: Pages,
}

/// The kernel's zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoneKind {
    /// Below 16 MiB.
    Dma,
    /// Below 4 GiB.
    Dma32,
    /// The rest.
    Normal,
    /// Only movable pages.
    Movable,
}

impl ZoneKind {
    /// Number of kinds.
    pub const COUNT: usize = 4;
    /// All kinds, lowest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Dma, Self::Dma32, Self::Normal, Self::Movable];

    /// As in `/proc/zoneinfo`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dma => "DMA",
            Self::Dma32 => "DMA32",
            Self::Normal => "Normal",
            Self::Movable => "Movable",
        }
    }
}

/// A square matrix over nodes, `[from][to]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T>(pub NodeVec<NodeVec<T>>);

impl<T: Clone> Matrix<T> {
    /// A matrix of `nr` x `nr` copies of `value`.
    pub fn filled(value: T, nr: usize) -> Self {
        Self(NodeVec::filled(NodeVec::filled(value, nr), nr))
    }
}

impl<T> std::ops::Index<(NodeId, NodeId)> for Matrix<T> {
    type Output = T;
    fn index(&self, (from, to): (NodeId, NodeId)) -> &T {
        &self.0[from][to]
    }
}

impl<T> std::ops::IndexMut<(NodeId, NodeId)> for Matrix<T> {
    fn index_mut(&mut self, (from, to): (NodeId, NodeId)) -> &mut T {
        &mut self.0[from][to]
    }
}

/// How a stream walks through memory; it decides the peaks that hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Sweeps that the prefetchers follow.
    Sequential,
    /// Blocks or lines in random order.
    Random,
}

impl Pattern {
    /// Number of patterns.
    pub const COUNT: usize = 2;
    /// All patterns, in the order in which they index arrays.
    pub const ALL: [Self; Self::COUNT] = [Self::Sequential, Self::Random];

    /// As in machine files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
        }
    }
}

/// A shared bandwidth.
#[derive(Clone, Debug, PartialEq)]
pub struct BandwidthResource {
    /// As shown to users: `controller 0`, `link 0>1`.
    pub name: String,
    /// What it stands for.
    pub kind: ResourceKind,
    /// Its capacity.
    pub peak: Peak,
}

/// What a shared bandwidth stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// What a node's own CPUs draw from their own memory.
    LocalPort(NodeId),
    /// A node's memory controller, local and remote together.
    Controller(NodeId),
    /// A link in the direction from the requesting to the serving node.
    LinkOneWay(NodeId, NodeId),
    /// A link, both directions together.
    LinkBothWays(NodeId, NodeId),
    /// All remote traffic that touches a group of nodes (a chassis fabric).
    Fabric(NodeMask),
    /// Traffic from the first group of nodes to the second.
    GroupOneWay(NodeMask, NodeMask),
    /// Traffic between two groups of nodes, both directions together.
    GroupBothWays(NodeMask, NodeMask),
}

impl fmt::Display for ResourceKind {
    /// As shown to users: `controller 0`, `link 0>1`, `fabric 0-3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalPort(node) => write!(f, "local port {node}"),
            Self::Controller(node) => write!(f, "controller {node}"),
            Self::LinkOneWay(from, to) => write!(f, "link {from}>{to}"),
            Self::LinkBothWays(a, b) => write!(f, "link {a}-{b}"),
            Self::Fabric(nodes) => write!(f, "fabric {}", node_ranges(*nodes)),
            Self::GroupOneWay(from, to) => {
                write!(f, "groups {}>{}", node_ranges(*from), node_ranges(*to))
            }
            Self::GroupBothWays(a, b) => {
                write!(f, "groups {}/{}", node_ranges(*a), node_ranges(*b))
            }
        }
    }
}

/// Capacity in bytes per second, by pattern, as points over the number of streams that hit it:
/// linear between points, constant outside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Peak {
    /// `[pattern]` -> ascending (streams, bytes per second).
    pub points: [Vec<(f64, f64)>; Pattern::COUNT],
}

impl Peak {
    /// The same capacity whatever hits it.
    pub fn constant(bytes_per_s: f64) -> Self {
        Self { points: std::array::from_fn(|_| vec![(1.0, bytes_per_s)]) }
    }

    /// Capacity for `nr_streams` streams (a sum of shares) of `pattern`.
    pub fn at(&self, nr_streams: f64, pattern: Pattern) -> f64 {
        let points = &self.points[pattern as usize];
        let Some(after) = points.iter().position(|(nr, _)| *nr >= nr_streams) else {
            return points.last().map_or(0.0, |(_, peak)| *peak);
        };
        if after == 0 {
            return points[0].1;
        }
        let ((nr0, peak0), (nr1, peak1)) = (points[after - 1], points[after]);
        peak0 + (peak1 - peak0) * (nr_streams - nr0) / (nr1 - nr0)
    }
}

/// One resource on a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use {
    /// Index into [`Machine::resources`].
    pub resource: u16,
    /// Bytes of it taken per byte moved (a remote line may cost a controller more than 1).
    pub cost: f64,
}

/// Latency under load, as a factor on the idle latency over the controller's utilisation.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadedLatency {
    /// No growth below saturation.
    Flat,
    /// Measured points: ascending (utilisation 0..1, factor), linear between them.
    Points(Vec<(f64, f64)>),
    /// `1 + c1 u + c2 u / (1 - u)`, at most `clip`.
    Curve {
        /// Linear growth.
        c1: f64,
        /// Weight of the pole at saturation.
        c2: f64,
        /// Largest factor.
        clip: f64,
    },
}

/// The caches of one thread: a recorded trace is filtered through them, and the last one holds pages
/// that the kernel clears and copies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Caches {
    /// From the first level to the last; empty for none.
    pub levels: Vec<Cache>,
}

config! {
    /// One set-associative cache as one thread sees it.
    #[derive(Copy, Eq)]
    pub struct Cache {
        /// Capacity (for the last level, the share of one thread).
        #[check(positive)]
        pub size: Bytes,
        /// Associativity.
        #[check(positive)]
        pub ways: u32,
    }
}

config! {
    /// What the kernel's work costs. Copying and clearing are streams that the bandwidth model
    /// times; the figures here leave them out.
    #[derive(Eq)]
    pub struct Costs {
        /// Minor fault on a base page, without the clearing.
        // 0.6 us with clearing: least of 100 runs of a page-fault latency experiment on Linux 6.6
        // (0.575 us); clearing estimated at 0.15 us.
        pub minor_fault: Nanos = Nanos(450),
        /// Minor fault that maps a page of the page cache.
        // Estimated, range 0.25 to 0.6 us.
        pub file_fault: Nanos = Nanos(350),
        /// Minor fault on a huge page, without the clearing.
        // Estimated: a base page's fault and the preparation of a compound page.
        pub huge_fault: Nanos = Nanos(1_000),
        /// Hint fault, all of it but the migration.
        // Estimated, range 1.0 to 1.5 us.
        pub hint_fault: Nanos = Nanos(1_200),
        /// Visiting a PTE while scanning.
        // Estimated: sequential loads of PTEs.
        pub pte_scan: Nanos = Nanos(1),
        /// Making a PTE inaccessible.
        // mmtests weighs a PTE update 7/5000 of a hint fault: 1.7 ns.
        pub pte_update: Nanos = Nanos(2),
        /// Moving a base page: unmap, allocate, remap, one at a time, without copy and flush.
        // 9.8 us a page unbatched, of which batching saved 74.5 % (Ying Huang, "migrate_pages():
        // batch TLB flushing", 2023): 2.5 us; a copy of 4 KiB taken as 0.5 us.
        pub migrate_page: Nanos = Nanos(2_000),
        /// The same when up to 512 pages are moved in a batch.
        // As above: what is saved is the flush, which is charged by itself.
        pub migrate_page_batched: Nanos = Nanos(2_000),
        /// A migration that fails on an extra reference.
        // Estimated, range 1 to 3 us.
        pub migrate_fail: Nanos = Nanos(2_000),
        /// Reclaim looks at a page at the cold end of a list; unmapping and flushing are extra.
        // Estimated, range 0.05 to 0.15 us.
        pub reclaim_scan: Nanos = Nanos(100),
        /// CPU time of handing a page to a swap device or of getting one.
        // Estimated: a request through the block layer.
        pub swap_io: Nanos = Nanos(2_000),
        /// Compressing a page for zswap.
        // lz4 or lzo, range 3 to 5 us.
        pub zswap_store: Nanos = Nanos(4_000),
        /// Decompressing a page of zswap.
        // lz4 1.7 us, lzo-rle 2.2 us.
        pub zswap_load: Nanos = Nanos(2_000),
        /// Unmapping and freeing a base page.
        // Estimated, range 0.08 to 0.15 us.
        pub unmap_page: Nanos = Nanos(100),
        /// TLB shootdown: fixed part at the initiator.
        // This and the next four: fitted to the shootdown times of LATR (ASPLOS 2018) on 16 and
        // 120 cores, about 5.6 and 82.6 us.
        pub tlb_flush: Nanos = Nanos(1_000),
        /// ... for each target CPU on the same node.
        pub tlb_flush_same_node: Nanos = Nanos(200),
        /// ... for each target one hop away.
        pub tlb_flush_one_hop: Nanos = Nanos(400),
        /// ... for each target farther away.
        pub tlb_flush_far: Nanos = Nanos(750),
        /// What each target loses.
        // Range 0.4 to 1.5 us.
        pub tlb_flush_target: Nanos = Nanos(700),
        /// Context switch.
        // Estimated.
        pub context_switch: Nanos = Nanos(1_500),
        /// Lock hand-off between CPUs of one node.
        // Intel MLC, cache-to-cache transfers on a two-socket Skylake-class machine.
        pub lock_handoff_same_node: Nanos = Nanos(50),
        /// Lock hand-off between nodes.
        // The same measurement.
        pub lock_handoff_remote: Nanos = Nanos(110),
        /// Work of a page-migrating task that moves to another CPU: refilling its caches.
        // Estimated: 256 KiB at 10 GB/s.
        pub task_migration: Nanos = Nanos(25_000),
    }
}

config! {
    /// A swap or storage device.
    #[derive(Eq)]
    pub struct Device {
        /// As experiments name it.
        pub name: String,
        /// What it is for.
        pub kind: DeviceKind,
        /// Requests it serves at a time.
        #[check(positive)]
        pub queue_depth: u32 = 1,
        /// Reading a page at random.
        pub read: Nanos,
        /// Writing a page at random.
        pub write: Nanos,
        /// Each further page of a sequential request.
        pub sequential_page: Nanos,
        /// Capacity in pages.
        #[check(positive)]
        pub capacity: Pages,
    }
}

config_enum! {
    /// What a device is for.
    pub enum DeviceKind {
        /// Swap space.
        Swap = "swap",
        /// Files.
        Storage = "storage",
    }
}

config_enum! {
    /// When a fault maps a huge page.
    pub enum ThpMode {
        /// Wherever it fits.
        Always = "always",
        /// Where the program asked for it.
        Madvise = "madvise",
        /// Never.
        Never = "never",
    }
}

config_enum! {
    /// What reclaims memory when it runs short.
    pub enum Reclaim {
        /// Nothing: a run ends when memory does, and memory cgroups limit nothing. Placement
        /// experiments whose memory suffices are cheapest so.
        None = "none",
        /// Active and inactive lists (`lru_gen/enabled` 0).
        Classic = "classic",
        /// The multi-generational LRU, with the bits of `lru_gen_enabled`.
        Mglru = "mglru",
    }
}

config! {
    /// A design for reclaim of a hierarchy of memory cgroups, with its settings.
    pub struct HierarchyChoice {
        /// Its name, as `numalab designs` lists it.
        pub design: Spanned<String> = Spanned::from("memory-protection".to_owned()),
        /// Its settings, as `numalab designs show NAME` lists them.
        pub knobs: Value = Value::empty_table(),
    }
}

/// Refuses bits of `lru_gen/enabled` without the first, which turns it on.
fn lru_gen_runs(bits: &u32) -> Result<(), String> {
    match bits {
        1 | 3 | 5 | 7 => Ok(()),
        _ => Err("must be 1, 3, 5 or 7".to_owned()),
    }
}

config! {
    /// Settings of the kernel: build, boot and sysctl.
    pub struct Kernel {
        /// Timer ticks per second.
        #[check(in_range(1..=10_000))]
        pub hz: u32 = 250,
        /// `transparent_hugepage/enabled`.
        pub thp: ThpMode = ThpMode::Always,
        /// `vm.min_free_kbytes`; left out, the kernel's own choice from the memory's size.
        pub min_free_kbytes: Option<u64> = None,
        /// `vm.watermark_scale_factor`, in 1/10000 of a zone.
        #[check(in_range(1..=3_000))]
        pub watermark_scale_factor: u32 = 10,
        /// `vm.watermark_boost_factor`: the most that allocations which split other kinds' blocks
        /// may raise a zone's watermarks, in 1/10000 of the high one. 0 for kernels before 5.0.
        pub watermark_boost_factor: u32 = 15_000,
        /// `vm.lowmem_reserve_ratio` for DMA, DMA32, Normal, Movable.
        pub lowmem_reserve_ratio: [u32; 4] = [256, 256, 32, 0],
        /// `vm.zone_reclaim_mode`.
        #[check(in_range(0..=7))]
        pub zone_reclaim_mode: u32 = 0,
        /// `vm.swappiness`.
        #[check(in_range(0..=200))]
        pub swappiness: u32 = 60,
        /// What reclaims memory when it runs short.
        pub reclaim: Reclaim = Reclaim::None,
        /// `lru_gen/enabled`, where `reclaim` is `mglru`: 1, and 2 to walk page tables, and 4 to clear
        /// accessed bits of page-table pages.
        #[check(lru_gen_runs)]
        pub lru_gen_enabled: u32 = 7,
        /// Whose memory goes when several memory cgroups have some to give.
        pub hierarchy: HierarchyChoice = HierarchyChoice::default(),
        /// What becomes of a page at the cold end whose accessed bit is set: the name of a rule, as
        /// `numalab designs` lists it.
        pub mapped_pages: Spanned<String> = Spanned::from("refault-distance".to_owned()),
        /// `vm.dirty_background_ratio`: per cent of memory from which dirty file pages are written.
        #[check(in_range(0..=100))]
        pub dirty_background_ratio: u32 = 10,
        /// `vm.dirty_ratio`: per cent of memory at which those who dirty file pages wait.
        #[check(in_range(0..=100))]
        pub dirty_ratio: u32 = 20,
        /// `vm.dirty_expire_centisecs`: age from which dirty file pages are written.
        #[check(in_range(1..=1_000_000))]
        pub dirty_expire_centisecs: u32 = 3000,
        /// `vm.dirty_writeback_centisecs`: how often the flusher looks.
        #[check(in_range(1..=1_000_000))]
        pub dirty_writeback_centisecs: u32 = 500,
        /// Name of the device that swap is on; left out, the first one of kind `swap`, or none.
        pub swap: Option<Spanned<String>> = None,
        /// Size of swap; left out, the device's capacity. 0 for no swap.
        pub swap_size: Option<Bytes> = None,
        /// `vm.page-cluster`: swap is read ahead in clusters of up to 2 to this power.
        #[check(in_range(0..=5))]
        pub page_cluster: u32 = 3,
        /// Whether zswap is in front of the swap device; its pool takes a fifth of the memory at most.
        pub zswap: bool = false,
        /// What a page takes in zswap, on average.
        // A third: the median ratio at scale (Lagar-Cavilla et al., "Software-Defined Far Memory in
        // Warehouse-Scale Computers", ASPLOS 2019).
        #[check(in_range(Bytes(1)..=Bytes(4096)))]
        pub zswap_page: Bytes = Bytes(1365),
    }
}

config! {
    /// Short-lived wake-ups of background daemons.
    pub struct Daemons {
        /// Wake-ups per second on the whole machine.
        #[check(in_range(0.0..=1e6))]
        pub wakeups_per_s: f64 = 0.0,
        /// How long one runs.
        #[check(positive)]
        pub run: Nanos = Nanos::from_ms(1),
        /// Whether one that wakes up on a busy CPU goes to an idle one of the same last-level cache, as
        /// the kernel's wake-up does where there is one; then it displaces nobody.
        pub seek_idle: bool = true,
    }
}

impl Machine {
    /// The node of a CPU.
    pub fn node_of(&self, cpu: CpuId) -> NodeId {
        self.cpus[cpu].node
    }

    /// The device that swap is on.
    pub fn swap_device(&self) -> Option<&Device> {
        let is_swap = |device: &&Device| device.kind == DeviceKind::Swap;
        let named = |device: &&Device| match &self.kernel.swap {
            Some(name) => device.name == name.value,
            None => true,
        };
        self.devices.iter().filter(is_swap).find(named)
    }

    /// Nodes with CPUs.
    pub fn cpu_nodes(&self) -> NodeMask {
        self.nodes.enumerate().filter(|(_, node)| !node.cpus.is_empty()).map(|(id, _)| id).collect()
    }

    /// Nodes with memory.
    pub fn memory_nodes(&self) -> NodeMask {
        let has_memory = |node: &Node| node.zones.iter().any(|zone| zone.managed > Pages::ZERO);
        self.nodes.enumerate().filter(|(_, node)| has_memory(node)).map(|(id, _)| id).collect()
    }
}
