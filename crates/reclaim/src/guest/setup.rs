//! Describing a guest: zones, knobs, groups, processes, regions.

use std::collections::BTreeMap;

use super::blocks::Blocks;
use super::classic::Classic;
use super::engine::Engine;
use super::kswapd::Kswapd;
use super::mglru::Mglru;
use super::page::Page;
use super::ring::Rings;
use super::stat::{NumaStats, Stats};
use super::state::{Cpu, Folios, Guest, Leaf, Memcg, NONE, NR_LISTS, Object, Process, Vma};
use super::swap::{Device, Swap};
use super::zone::Zone;
use crate::hierarchy::{self, Design, Protection};
use crate::mapped::{Answers, MappedPages, RefaultDistance};

/// A zone as the guest has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneConfig {
    /// Node.
    pub node: usize,
    /// 0 DMA, 1 DMA32, 2 Normal.
    pub class: usize,
    /// Managed pages.
    pub managed: u64,
    /// Free pages at the start.
    pub free: u64,
    /// Watermarks min, low, high, promo, in pages.
    pub marks: [u64; 4],
    /// Pages held back from ordinary allocations.
    pub reserve: u64,
    /// Pages that a per-CPU list takes at once.
    pub batch: u64,
}

/// What things cost on the guest, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// A load or store that hits.
    pub hit_ns: u64,
    /// A fault that maps a resident page.
    pub minor_ns: u64,
    /// First touch of an anonymous page.
    pub anon_ns: u64,
    /// First touch of a huge page.
    pub huge_ns: u64,
    /// A fault that reads a file's page.
    pub major_ns: u64,
    /// A fault that reads from swap, without the device.
    pub swap_in_ns: u64,
    /// read() or write() of a resident page.
    pub read_ns: u64,
    /// More if it is not resident.
    pub read_miss_ns: u64,
    /// Reclaim looks at a page and takes it.
    pub scan_ns: u64,
    /// Reclaim looks at a page that stays.
    pub keep_ns: u64,
    /// Reclaim starts the write of a page.
    pub swap_write_ns: u64,
    /// More for an accessed page that a walk of page tables meets.
    pub walk_ns: u64,
    /// The disk takes a page's data.
    pub swap_copy_ns: u64,
    /// Reclaim moves a page to a slower node.
    pub demote_ns: u64,
    /// A walk looks at a page table entry.
    pub pte_ns: u64,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Zones, lowest first within a node.
    pub zones: Vec<ZoneConfig>,
    /// CPUs by node.
    pub cpus: Vec<usize>,
    /// Distances by row.
    pub distances: Vec<Vec<u32>>,
    /// Memory tier by node, 0 the fastest.
    pub tiers: Vec<u32>,
    /// Costs.
    pub costs: Costs,
    /// When the guest's clock starts, ns.
    pub start_ns: u64,
}

/// Sysctls and other knobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// lru_gen/enabled.
    pub lru_gen: u64,
    /// read_ahead_kb of the disk that files are on, in pages; 0 for none.
    pub read_ahead_pages: u32,
    /// vm.swappiness.
    pub swappiness: u64,
    /// vm.zone_reclaim_mode.
    pub zone_reclaim_mode: u64,
    /// kernel.numa_balancing.
    pub numa_balancing: u64,
    /// numa/demotion_enabled.
    pub demotion: bool,
    /// weighted_interleave/nodeN.
    pub weights: Vec<u64>,
    /// vm.watermark_boost_factor: the most a boost may add to a zone's watermarks, in 1/10000 of its
    /// high one. `None` for the kernel's 15000; 0 for kernels before 5.0, which know no boost.
    pub watermark_boost_factor: Option<u64>,
}

/// Swap of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapDevice {
    /// Pages; 0 for no swap.
    pub pages: u64,
    /// Latency of a disk; `None` for memory.
    pub latency_ns: Option<u64>,
    /// Whether zswap is before it.
    pub zswap: bool,
    /// vm.page-cluster.
    pub page_cluster: u32,
}

/// A memory cgroup; limits in pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Path.
    pub name: String,
    /// memory.max.
    pub max: u64,
    /// memory.high.
    pub high: u64,
    /// memory.low.
    pub low: u64,
    /// memory.min.
    pub min: u64,
    /// memory.swap.max.
    pub swap_max: u64,
}

impl Group {
    fn unlimited(name: String) -> Self {
        Self { name, max: u64::MAX, high: u64::MAX, low: 0, min: 0, swap_max: u64::MAX }
    }
}

/// What is behind a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Anonymous memory.
    Anon,
    /// A tmpfs file of that path; regions with one path share it.
    Shmem(String),
    /// A file of that path.
    File(String),
}

/// A memory policy; masks have bit n for node n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The CPU's node first.
    #[default]
    Default,
    /// The CPU's node first.
    Local,
    /// That node first.
    Preferred(u32),
    /// Only those nodes.
    Bind(u64),
    /// Round robin.
    Interleave(u64),
    /// Those nodes first, then any.
    Many(u64),
    /// Round robin by the weights of the knobs.
    Weighted(u64),
    /// What somebody else made of a policy: nodes by distance from `node`, those of `first` before
    /// the other ones of `allowed`.
    Within {
        /// Whose list of nodes is walked.
        node: u32,
        /// Nodes tried first; none for no such wish.
        first: u64,
        /// Nodes it may be on.
        allowed: u64,
    },
}

static CLASSIC: Classic = Classic;
static MGLRU: Mglru = Mglru;

impl Guest {
    /// A machine without groups and processes.
    pub fn new(config: Config, knobs: Knobs, swap: SwapDevice) -> Self {
        let nr_nodes = config.cpus.len().max(1);
        let nr_cpus: usize = config.cpus.iter().sum::<usize>().max(1);
        let cpus = build_cpus(&config.cpus);
        let zones = config
            .zones
            .iter()
            .map(|zone| build_zone(zone, &knobs, nr_cpus, &config.cpus))
            .collect();
        let engine: &'static dyn Engine = if knobs.lru_gen & 1 != 0 { &MGLRU } else { &CLASSIC };
        let device = match (swap.pages, swap.latency_ns) {
            (0, _) => Device::None,
            (_, None) => Device::Synchronous,
            (_, Some(latency_ns)) => Device::Disk { latency_ns },
        };
        let distances = config.distances.clone();
        let per_node = config.cpus.clone();
        let mut guest = Self {
            now: config.start_ns,
            next_flush: config.start_ns + 2_000_000_000,
            last_flush: config.start_ns,
            config,
            knobs,
            engine,
            is_mglru: engine.is_mglru(),
            hierarchy: Box::new(Protection::new(hierarchy::knobs::Protection::default())),
            counts_charges: false,
            leaf_room: 0,
            mapped_pages: Answers::of(&RefaultDistance),
            folios: Folios::default(),
            batch: Vec::new(),
            lists: Rings::default(),
            lruvecs: Vec::new(),
            node_size: vec![[0; 5]; nr_nodes],
            memcgs: Vec::new(),
            subtrees: Vec::new(),
            zones,
            fallback: Vec::new(),
            nodes: vec![Kswapd::default(); nr_nodes],
            kswapd_runs: false,
            numa: vec![NumaStats::default(); nr_nodes],
            cpus,
            objects: Vec::new(),
            vmas: Vec::new(),
            procs: Vec::new(),
            swap: Swap::new(device, &swap),
            dirty: super::writeback::Dirty::default(),
            vm: Stats::default(),
            in_fault: false,
            walk_exists: false,
            nr_regions: 0,
            writes: BTreeMap::new(),
            write_seq: 0,
            plug: super::plug::Plug::default(),
            paths: BTreeMap::new(),
            cpu: 0,
            task: 0,
            current_proc: 0,
            reads_cache: false,
            over_high: 0,
            oom: false,
            outside: super::outside::Outside::default(),
        };
        guest.build_fallback(&distances, &per_node);
        guest.add_group(&Group::unlimited(String::new()));
        guest
    }

    /// Adds a group below the one that its path names; gives its number. All groups come before
    /// the first page.
    pub fn add_group(&mut self, group: &Group) -> u16 {
        let parent_name = group.name.rsplit_once('/').map_or("", |(parent, _)| parent);
        let parent = self.memcgs.iter().position(|memcg| memcg.name == parent_name);
        let memcg = Memcg {
            name: group.name.clone(),
            parent: if self.memcgs.is_empty() { None } else { Some(parent.unwrap_or(0) as u16) },
            max: group.max,
            high: group.high,
            low: group.low,
            min: group.min,
            swap_max: group.swap_max,
            zswap_max: u64::MAX,
            ..Memcg::default()
        };
        self.push_memcg(memcg);
        self.lists = Rings::new(self.lruvecs.len() * NR_LISTS);
        self.memcgs.len() as u16 - 1
    }

    /// Adds a process in a group.
    pub fn add_process(&mut self, group: u16) -> u16 {
        self.procs.push(Process { memcg: group, fresh: true, ..Process::default() });
        self.procs.len() as u16 - 1
    }

    /// Moves a process to another group; its pages stay charged where they are.
    pub fn join(&mut self, process: u16, group: u16) {
        self.procs[process as usize].memcg = group;
        for vma in &self.procs[process as usize].vmas {
            self.vmas[*vma as usize].memcg = group;
        }
        self.procs[process as usize].fresh = true;
    }

    /// Maps something into a process; `offset` is the page number that counts for interleaving.
    pub fn add_region(
        &mut self,
        process: u16,
        backing: &Backing,
        pages: u32,
        policy: Policy,
        offset: u64,
        huge: bool,
    ) -> u32 {
        let object = self.object_of(backing, pages);
        self.map_object(process, object, pages, policy, offset, huge)
    }

    /// Maps an object into a process.
    pub(super) fn map_object(
        &mut self,
        process: u16,
        object: u32,
        pages: u32,
        policy: Policy,
        offset: u64,
        huge: bool,
    ) -> u32 {
        let vma = self.vmas.len() as u32;
        let regions = pages.div_ceil(512);
        self.objects[object as usize].vmas.push(vma);
        self.vmas.push(Vma {
            object,
            memcg: self.procs[process as usize].memcg,
            proc: process,
            ptes: vec![0; pages as usize],
            region_young: vec![false; regions as usize],
            has_table: vec![false; regions as usize],
            first_region: self.nr_regions,
            policy,
            offset,
            huge,
            locked: false,
            random: false,
            readahead: None,
            file_readahead: super::readahead::FileReadahead::default(),
        });
        self.nr_regions += regions;
        self.procs[process as usize].vmas.push(vma);
        vma
    }

    fn object_of(&mut self, backing: &Backing, pages: u32) -> u32 {
        let path = match backing {
            Backing::Anon => None,
            Backing::Shmem(path) | Backing::File(path) => Some(path.clone()),
        };
        if let Some(found) = path.as_ref().and_then(|path| self.paths.get(path)).copied() {
            self.resize_object(found, pages);
            return found;
        }
        let object = self.objects.len() as u32;
        let swapbacked = !matches!(backing, Backing::File(_));
        self.objects.push(Object {
            shmem: matches!(backing, Backing::Shmem(_)),
            last_read: NONE,
            swapbacked,
            ..Object::default()
        });
        self.resize_object(object, pages);
        if let Some(path) = path {
            self.paths.insert(path, object);
        }
        object
    }

    fn resize_object(&mut self, object: u32, pages: u32) {
        let object = &mut self.objects[object as usize];
        let pages = object.pages.len().max(pages as usize);
        object.pages.resize(pages, Page::EMPTY);
        if !object.swapbacked {
            object.leaves.resize(pages.div_ceil(64), Leaf::default());
        }
    }

    /// Sets the rule for pages whose accessed bits are set; before the first page.
    pub fn set_mapped_pages(&mut self, rule: Box<dyn MappedPages>) {
        self.mapped_pages = Answers::of(&*rule);
    }

    /// Makes a region executable, and with it all that is mapped of its file.
    pub fn set_executable(&mut self, region: u32) {
        let object = self.vmas[region as usize].object;
        self.objects[object as usize].executable = true;
    }

    /// Changes the policy of a region; nothing moves.
    pub fn set_policy(&mut self, region: u32, policy: Policy) {
        self.vmas[region as usize].policy = policy;
    }

    /// Kernel memory of a process that its group pays for until the process is gone. What the group has no
    /// room for, since nothing can be freed, it does not pay for.
    pub fn charge_kernel(&mut self, process: u16, pages: u64) {
        let memcg = self.procs[process as usize].memcg;
        if !self.charge(memcg, pages) {
            return;
        }
        match self.procs[process as usize].kernel_memory.last_mut() {
            Some((payer, paid)) if *payer == memcg => *paid += pages,
            _ => self.procs[process as usize].kernel_memory.push((memcg, pages)),
        }
    }
}

fn build_cpus(by_node: &[usize]) -> Vec<Cpu> {
    let of_node = |(node, nr): (usize, &usize)| {
        std::iter::repeat_n(Cpu { node: node as u8, ..Cpu::default() }, *nr)
    };
    let mut cpus: Vec<Cpu> = by_node.iter().enumerate().flat_map(of_node).collect();
    if cpus.is_empty() {
        cpus.push(Cpu::default());
    }
    cpus
}

pub(super) fn build_zone(
    config: &ZoneConfig,
    knobs: &Knobs,
    nr_cpus: usize,
    cpus: &[usize],
) -> Zone {
    let mut zone = Zone {
        node: config.node,
        class: config.class.min(2),
        managed: config.managed,
        free: config.free,
        marks: config.marks,
        reserve: config.reserve,
        batch: config.batch.max(1),
        boost_factor: knobs.watermark_boost_factor.unwrap_or(15_000),
        blocks: Blocks::at_start(config.class, config.managed),
        ..Zone::default()
    };
    zone.setup_lists(nr_cpus, cpus.get(config.node).copied().unwrap_or(0));
    zone
}
