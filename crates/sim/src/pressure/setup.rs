//! The guest that a machine and a workload ask for.

use std::collections::BTreeMap;

use base::{Bytes, CpuVec, MmId, NodeVec};
use config::Cx;
use reclaim::guest::{
    Backing, Config, Content, Costs, DirtyKnobs, Disk, Guest, Knobs, Policy, SwapDevice,
    ZoneConfig, ZswapKnobs,
};
use reclaim::hierarchy::{self, HIERARCHIES, Hierarchy};
use reclaim::mapped::{self, MAPPED_RULES, MappedPages};
use topology::{Device, DeviceKind, Kernel, Machine, Reclaim, Zone, ZoneKind};
use trace::{Memcg, Workload};

use super::{Group, Pressure};
use crate::SimError;

/// The designs of reclaim that the settings of a kernel name, freshly built; `None` means that
/// problems were recorded in `cx`, all there are.
pub fn reclaim_designs(
    kernel: &Kernel,
    cx: &mut Cx,
) -> Option<(Box<dyn Hierarchy>, Box<dyn MappedPages>)> {
    let choice = &kernel.hierarchy;
    let make = match hierarchy::find(&choice.design) {
        Some(design) => cx.within("kernel.hierarchy.knobs", |cx| (design.build)(&choice.knobs, cx)),
        None => {
            let names: Vec<&str> = HIERARCHIES.iter().map(|design| design.about.name).collect();
            cx.push(config::unknown_name("kernel.hierarchy.design", &choice.design, &names));
            None
        }
    };
    let rule = mapped::find(&kernel.mapped_pages);
    if rule.is_none() {
        let names: Vec<&str> = MAPPED_RULES.iter().map(|rule| rule.about.name).collect();
        cx.push(config::unknown_name("kernel.mapped_pages", &kernel.mapped_pages, &names));
    }
    Some((make?(), (rule?.build)()))
}

impl Pressure {
    /// A guest for the workload, where the machine's kernel reclaims.
    pub(crate) fn new(machine: &Machine, workload: &Workload) -> Result<Option<Self>, SimError> {
        if machine.kernel.reclaim == Reclaim::None {
            return Ok(None);
        }
        let mut guest = Guest::new(config_of(machine), knobs_of(machine), swap_of(machine));
        let mut cx = Cx::without_files();
        let designs = reclaim_designs(&machine.kernel, &mut cx);
        let (design, rule) = designs.ok_or_else(|| SimError::Kernel(cx.problems.render(false)))?;
        guest.set_hierarchy(design);
        guest.set_mapped_pages(rule);
        let disk = |device: &Device| {
            let depth = device.queue_depth as usize;
            Disk::new(depth, device.read, device.write, device.sequential_page)
        };
        let storage = machine.devices.iter().find(|device| device.kind == DeviceKind::Storage);
        guest.attach(machine.swap_device().map(disk), storage.map(disk));
        guest.set_dirty_knobs(dirty_knobs(machine));
        guest.set_zswap_knobs(ZswapKnobs {
            store_ns: machine.costs.zswap_store.0,
            load_ns: machine.costs.zswap_load.0,
            ..ZswapKnobs::default()
        });
        let (mut cpus, mut next) = (CpuVec::filled(0, machine.cpus.len()), 0);
        for cpu in machine.nodes.iter().flat_map(|node| node.cpus.iter()) {
            cpus[cpu] = next;
            next += 1;
        }
        let mut zones = Vec::new();
        let mut first_zone = NodeVec::default();
        for (node, parts) in machine.nodes.enumerate() {
            first_zone.push(zones.len());
            zones.extend((0..parts.zones.len()).map(|idx| (node, idx as u8)));
        }
        let mut pressure = Self {
            guest,
            cpus,
            zones,
            first_zone,
            processes: Vec::new(),
            groups: vec![Group::new("/")],
            recorded: Vec::new(),
            record_of: Vec::new(),
            kswapds: NodeVec::filled(None, machine.nodes.len()),
            oom_score_adj: Vec::new(),
            kills: Vec::new(),
            managed: machine
                .nodes
                .iter()
                .flat_map(|node| &node.zones)
                .map(|zone| zone.managed.0)
                .sum(),
            catching_up: false,
        };
        pressure.add_groups(&workload.memcgs);
        pressure.add_processes(workload, Content::Bytes(machine.kernel.zswap_page.0 as u16));
        Ok(Some(pressure))
    }

    /// Groups in the order of their paths, so that parents come first; those that nobody declared
    /// have no limits.
    fn add_groups(&mut self, declared: &[Memcg]) {
        let mut paths: BTreeMap<String, Option<&Memcg>> = BTreeMap::new();
        for memcg in declared {
            let path = inner(&memcg.path);
            for (cut, _) in path.match_indices('/') {
                paths.entry(path[..cut].to_owned()).or_default();
            }
            paths.insert(path.to_owned(), Some(memcg));
        }
        for (path, memcg) in paths {
            let pages = |bytes: Option<Bytes>| bytes.map_or(u64::MAX, |bytes| bytes.pages_ceil().0);
            let low = |bytes: Option<Bytes>| bytes.unwrap_or_default().pages_ceil().0;
            let group = self.guest.add_group(&reclaim::guest::Group {
                name: path.clone(),
                max: pages(memcg.and_then(|memcg| memcg.settings.max)),
                high: pages(memcg.and_then(|memcg| memcg.settings.high)),
                low: low(memcg.map(|memcg| memcg.settings.low)),
                min: low(memcg.map(|memcg| memcg.settings.min)),
                swap_max: pages(memcg.and_then(|memcg| memcg.settings.swap_max)),
            });
            if let Some(limit) = memcg.and_then(|memcg| memcg.settings.soft_limit) {
                self.guest.set_soft_limit(group, limit.pages_ceil().0);
            }
            self.groups.push(Group::new(&format!("/{path}")));
        }
    }

    fn add_processes(&mut self, workload: &Workload, content: Content) {
        let named = |process: u32| {
            let memcgs = &workload.memcgs;
            let by_number = memcgs.iter().find(|memcg| memcg.settings.processes.contains(&process));
            by_number.or_else(|| memcgs.iter().find(|memcg| memcg.settings.others))
        };
        let (mut numbers, mut owners) = (BTreeMap::new(), BTreeMap::new());
        for thread in &workload.threads {
            let number = *numbers.entry(thread.process).or_insert_with(|| {
                let memcg = named(thread.process);
                let group = memcg.and_then(|memcg| self.find_group(&memcg.path)).unwrap_or(0);
                self.add_process(group, memcg.map_or(0, |memcg| memcg.settings.oom_score_adj))
            });
            owners.entry(thread.mm).or_insert(number);
        }
        if numbers.is_empty() {
            self.add_process(0, 0);
        }
        self.processes = numbers.into_iter().collect();
        for (mm, space) in workload.spaces.enumerate() {
            let backing = match space.file {
                true => Backing::File(mm.idx().to_string()),
                false => Backing::Anon,
            };
            let (owner, pages) = (owners.get(&mm).copied().unwrap_or(0), space.nr_pages.0 as u32);
            let region = self.guest.add_region(owner, &backing, pages, Policy::Local, 0, false);
            self.guest.set_content(region, content);
            if space.executable {
                self.guest.set_executable(region);
            }
            debug_assert_eq!(MmId::from_idx(region as usize), mm, "a mapping a space");
        }
    }

    fn add_process(&mut self, group: u16, oom_score_adj: i32) -> u16 {
        let number = self.guest.add_process(group);
        self.oom_score_adj.push(oom_score_adj);
        self.record_of.push(0);
        self.record_in(number, group);
        number
    }

    /// The group of a path.
    pub(super) fn find_group(&self, path: &str) -> Option<u16> {
        let path = format!("/{}", inner(path));
        self.groups
            .iter()
            .position(|group| group.path == path && !group.removed)
            .map(|group| group as u16)
    }
}

/// A path as the guest has it, without slashes at its ends.
fn inner(path: &str) -> &str {
    path.trim_matches('/')
}

fn config_of(machine: &Machine) -> Config {
    let marks = topology::watermarks(machine);
    let mut zones = Vec::new();
    for (id, node) in machine.nodes.enumerate() {
        for (zone, marks) in node.zones.iter().zip(&marks[id]) {
            zones.push(ZoneConfig {
                node: id.idx(),
                class: (zone.kind as usize).min(ZoneKind::Normal as usize),
                managed: zone.managed.0,
                free: zone.managed.0,
                marks: [marks.min.0, marks.low.0, marks.high.0, marks.promo.0],
                reserve: marks.reserve[ZoneKind::Movable as usize].0,
                batch: batch_of(zone),
            });
        }
    }
    let costs = &machine.costs;
    let nodes = || machine.nodes.ids();
    Config {
        zones,
        cpus: machine.nodes.iter().map(|node| node.cpus.iter().count()).collect(),
        distances: nodes()
            .map(|a| nodes().map(|b| u32::from(machine.distances[(a, b)])).collect())
            .collect(),
        tiers: machine.nodes.iter().map(|node| u32::from(node.tier)).collect(),
        // What a fault and its clearing cost is charged by the caller.
        costs: Costs {
            swap_in_ns: costs.swap_io.0,
            scan_ns: costs.reclaim_scan.0,
            keep_ns: costs.reclaim_scan.0,
            swap_write_ns: costs.swap_io.0,
            pte_ns: costs.pte_scan.0,
            ..Costs::default()
        },
        start_ns: 0,
    }
}

/// Pages that a CPU's list takes at once, as `zone_batchsize` has it: a 1024th of the zone up to
/// 1 MiB, of that a quarter, one less than a power of two.
fn batch_of(zone: &Zone) -> u64 {
    let quarter = ((zone.managed.0 / 1024).min(256) / 4).max(1);
    let around = quarter + quarter / 2;
    ((1 << around.ilog2()) - 1).max(1)
}

fn knobs_of(machine: &Machine) -> Knobs {
    let kernel = &machine.kernel;
    Knobs {
        lru_gen: if kernel.reclaim == Reclaim::Mglru { kernel.lru_gen_enabled.into() } else { 0 },
        swappiness: kernel.swappiness.into(),
        zone_reclaim_mode: kernel.zone_reclaim_mode.into(),
        watermark_boost_factor: Some(kernel.watermark_boost_factor.into()),
        ..Knobs::default()
    }
}

fn swap_of(machine: &Machine) -> SwapDevice {
    let kernel = &machine.kernel;
    let Some(device) = machine.swap_device() else { return SwapDevice::default() };
    let size = kernel.swap_size.map(Bytes::pages_ceil);
    SwapDevice {
        pages: size.unwrap_or(device.capacity).0,
        latency_ns: Some(device.read.0),
        zswap: kernel.zswap,
        page_cluster: kernel.page_cluster,
    }
}

/// What is written is on the device at once.
fn dirty_knobs(machine: &Machine) -> DirtyKnobs {
    const NS_PER_CENTISEC: u64 = 10_000_000;
    let kernel = &machine.kernel;
    DirtyKnobs {
        background_ratio: kernel.dirty_background_ratio.into(),
        ratio: kernel.dirty_ratio.into(),
        expire_ns: u64::from(kernel.dirty_expire_centisecs) * NS_PER_CENTISEC,
        interval_ns: u64::from(kernel.dirty_writeback_centisecs) * NS_PER_CENTISEC,
        disk_depth: 128,
        ..DirtyKnobs::default()
    }
}
