//! Nodes, their CPUs and their zones.

use base::{CpuId, CpuMask, CpuVec, MAX_NODES, NodeVec, Pages};
use config::{Cx, Problem, Spanned};

use super::{CpuFile, MachineFile, NodeFile, two_places};
use crate::machine::{Cpu, Node, Zone, ZoneKind};

/// Pages of DMA that a PC's firmware leaves: 15 of the first 16 MiB.
const DMA_PAGES: u64 = 3840;
/// Where DMA32 ends: below 4 GiB a PC has 3 GiB of memory and 1 GiB of devices.
const DMA32_END_PAGES: u64 = (3 << 30) / base::PAGE_BYTES;

/// Nodes and CPUs.
pub(super) struct Layout {
    pub(super) nodes: NodeVec<Node>,
    pub(super) cpus: CpuVec<Cpu>,
}

impl Layout {
    pub(super) fn has_cpus(&self, node: base::NodeId) -> bool {
        !self.nodes[node].cpus.is_empty()
    }

    pub(super) fn has_memory(&self, node: base::NodeId) -> bool {
        self.nodes[node].zones.iter().any(|zone| zone.managed > Pages::ZERO)
    }
}

/// Lays out nodes and CPUs; `None` where nothing else can be checked.
pub(super) fn layout(file: &MachineFile, cx: &mut Cx) -> Option<Layout> {
    if let Some(extra) = file.nodes.get(MAX_NODES) {
        let message =
            format!("a machine has at most {MAX_NODES} nodes, found {}", file.nodes.len());
        cx.error(extra.span, message, "one too many");
        return None;
    }
    if file.nodes.is_empty() {
        cx.error(file.nodes.span, "a machine needs at least one node", "no nodes");
        return None;
    }
    let mut lowmem_pages = 0;
    let nodes: Vec<Node> =
        file.nodes.iter().map(|node| compile_node(node, &mut lowmem_pages, cx)).collect();
    let cpus = compile_cpus(file, cx)?;
    if cpus.is_empty() {
        cx.error(file.nodes.span, "a machine needs at least one CPU", "no node has CPUs");
        return None;
    }
    Some(Layout { nodes: NodeVec(nodes), cpus })
}

fn compile_node(node: &Spanned<NodeFile>, lowmem_pages: &mut u64, cx: &mut Cx) -> Node {
    let cpus = node.cpus.as_ref().map_or(CpuMask::EMPTY, |cpus| cpus.iter().collect());
    let zones = match (&node.memory, &node.zones) {
        (Some(_), Some(_)) => {
            let message = "a node has `memory` or `zones`, not both";
            cx.error(node.span, message, "has both");
            Vec::new()
        }
        (Some(memory), None) => split(memory.pages_ceil().0, lowmem_pages),
        (None, Some(zones)) => {
            let sizes = [zones.dma, zones.dma32, zones.normal, zones.movable];
            let sizes = ZoneKind::ALL.into_iter().zip(sizes);
            sizes
                .filter_map(|(kind, managed)| Some(Zone { kind, managed: managed? }))
                .filter(|zone| zone.managed > Pages::ZERO)
                .collect()
        }
        (None, None) => Vec::new(),
    };
    if zones.is_empty() && cpus.is_empty() {
        let problem = Problem::error("a node needs CPUs or memory")
            .label(node.span, "has neither")
            .help("give it `cpus = \"0-7\"` or `memory = \"16GiB\"`");
        cx.push(problem);
    }
    Node { cpus, zones, tier: node.tier }
}

/// Splits a node's memory into zones; `below` counts the pages of the nodes before it, up to the
/// end of DMA32.
fn split(pages: u64, below: &mut u64) -> Vec<Zone> {
    let mut zones = Vec::new();
    let mut rest = pages;
    let ends = [
        (ZoneKind::Dma, DMA_PAGES),
        (ZoneKind::Dma32, DMA32_END_PAGES),
        (ZoneKind::Normal, u64::MAX),
    ];
    for (kind, end) in ends {
        let managed = rest.min(end.saturating_sub(*below));
        if managed > 0 {
            zones.push(Zone { kind, managed: Pages(managed) });
        }
        *below = below.saturating_add(managed);
        rest -= managed;
    }
    zones
}

/// All CPUs in order; `None` if one is missing or stands on two nodes.
fn compile_cpus(file: &MachineFile, cx: &mut Cx) -> Option<CpuVec<Cpu>> {
    let mut cpus: Vec<Option<(Cpu, config::Span)>> = Vec::new();
    let mut ok = true;
    let (mut next_core, mut next_llc, mut nr_cpu_nodes) = (0, 0, 0);
    for (idx, node) in file.nodes.iter().enumerate() {
        let Some(list) = node.cpus.as_ref().filter(|list| !list.ids.is_empty()) else { continue };
        let package = (nr_cpu_nodes / file.cpu.nodes_per_package) as u16;
        nr_cpu_nodes += 1;
        let mut ids = list.ids.clone();
        ids.sort();
        let Some(nr_cores) = nr_cores(ids.len(), &file.cpu, node, cx) else {
            ok = false;
            continue;
        };
        let cores_per_llc = file.cpu.cores_per_llc.map_or(nr_cores, |nr| nr as usize);
        for (position, id) in ids.iter().enumerate() {
            let core = position % nr_cores;
            let cpu = Cpu {
                node: base::NodeId::from_idx(idx),
                core: (next_core + core) as u16,
                llc: (next_llc + core / cores_per_llc) as u16,
                package,
            };
            ok &= claim(&mut cpus, *id, cpu, cx);
        }
        next_core += nr_cores;
        next_llc += nr_cores.div_ceil(cores_per_llc);
    }
    if let Some(missing) = cpus.iter().position(Option::is_none) {
        let last = cpus.last().and_then(Option::as_ref).map_or(file.nodes.span, |(_, span)| *span);
        let problem = Problem::error(format!("CPU {missing} belongs to no node"))
            .label(last, format!("CPUs up to {} are in use", cpus.len() - 1))
            .help("CPUs are numbered from 0 without gaps");
        cx.push(problem);
        return None;
    }
    ok.then(|| cpus.into_iter().flatten().map(|(cpu, _)| cpu).collect())
}

/// Enters a CPU; `false`, with an error, if it has a node already.
fn claim(
    cpus: &mut Vec<Option<(Cpu, config::Span)>>,
    id: Spanned<CpuId>,
    cpu: Cpu,
    cx: &mut Cx,
) -> bool {
    if cpus.len() <= id.value.idx() {
        cpus.resize(id.value.idx() + 1, None);
    }
    let slot = &mut cpus[id.value.idx()];
    if let Some((_, first)) = slot {
        let message = format!("CPU {} belongs to two nodes", id.value);
        two_places(cx, message, (id.span, "second node"), (*first, "first node"));
        return false;
    }
    *slot = Some((cpu, id.span));
    true
}

fn nr_cores(
    nr_cpus: usize,
    cpu: &Spanned<CpuFile>,
    node: &Spanned<NodeFile>,
    cx: &mut Cx,
) -> Option<usize> {
    let smt = cpu.smt as usize;
    if nr_cpus.is_multiple_of(smt) {
        return Some(nr_cpus / smt);
    }
    let message = format!("{nr_cpus} CPUs do not make whole cores of {smt}");
    two_places(cx, message, (node.span, "this node's CPUs"), (cpu.span, "`smt` is set here"));
    None
}
