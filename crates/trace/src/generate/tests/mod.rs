//! Generated workloads against the figures their authors state.

mod autonuma;
mod files;
mod perf_bench;
mod rows;
mod streams;

use std::ops::Range;

use base::{CpuId, CpuMask, CpuVec, MmId, NodeId, NodeVec, Pages};
use topology::{
    Caches, Costs, Cpu, Daemons, Kernel, LoadedLatency, Machine, Matrix, Node, Zone, ZoneKind,
};

use crate::{Event, Step, Thread, Workload};

/// A machine of equal nodes, CPUs numbered node by node, with 16 GiB a node.
pub(super) fn machine(nr_nodes: usize, cpus_per_node: usize) -> Machine {
    let node_cpus = |node: usize| -> CpuMask {
        (node * cpus_per_node..(node + 1) * cpus_per_node).map(CpuId::from_idx).collect()
    };
    let zones = vec![Zone { kind: ZoneKind::Normal, managed: Pages(4 << 20) }];
    let node = |idx| Node { cpus: node_cpus(idx), zones: zones.clone(), tier: 0 };
    let cpu = |idx: usize| {
        let node = NodeId::from_idx(idx / cpus_per_node);
        Cpu { node, core: idx as u16, llc: node.0.into(), package: node.0.into() }
    };
    Machine {
        name: format!("{nr_nodes} x {cpus_per_node}"),
        description: String::new(),
        cpus: (0..nr_nodes * cpus_per_node).map(cpu).collect::<CpuVec<_>>(),
        nodes: (0..nr_nodes).map(node).collect(),
        distances: Matrix::filled(20, nr_nodes),
        idle_latency_ns: Matrix::filled(100.0, nr_nodes),
        loaded_latency: LoadedLatency::Flat,
        core_max: [Matrix::filled(1e9, nr_nodes), Matrix::filled(1e9, nr_nodes)],
        resources: Vec::new(),
        routes: Matrix(NodeVec::filled(NodeVec::filled(Vec::new(), nr_nodes), nr_nodes)),
        local_weight: 1.0,
        lines_in_flight: 10.0,
        smt_share: 0.6,
        ns_per_instruction: 0.25,
        caches: Caches::default(),
        costs: Costs::default(),
        devices: Vec::new(),
        kernel: Kernel::default(),
        daemons: Daemons::default(),
    }
}

/// CPUs of nodes `nodes` of such a machine.
pub(super) fn cpus_of(nodes: Range<usize>, cpus_per_node: usize) -> CpuMask {
    (nodes.start * cpus_per_node..nodes.end * cpus_per_node).map(CpuId::from_idx).collect()
}

/// The rest of a thread's steps, at most `limit`; `None` when it has not ended by then.
pub(super) fn steps(thread: &mut Thread, limit: usize) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while steps.len() < limit {
        match thread.stream.next_step().unwrap() {
            Step::End => {
                assert!(matches!(thread.stream.next_step(), Ok(Step::End)), "came back to life");
                return Some(steps);
            }
            step => steps.push(step),
        }
    }
    None
}

/// What a step touches: its space and page ranges.
pub(super) fn touched(step: &Step) -> Vec<(MmId, Range<u32>)> {
    match step {
        Step::Sweep(sweep) => vec![(sweep.mm, sweep.page..sweep.page + sweep.nr_pages)],
        Step::Points(points, rows) => {
            points.page[rows.clone()].iter().map(|page| (points.mm, *page..page + 1)).collect()
        }
        Step::Event(_) | Step::End => Vec::new(),
    }
}

/// Lines filled by a step.
pub(super) fn lines(step: &Step) -> u64 {
    match step {
        Step::Sweep(sweep) => u64::from(sweep.nr_pages) * u64::from(sweep.traffic.fills()),
        Step::Points(points, rows) => {
            points.traffic[rows.clone()].iter().map(|traffic| u64::from(traffic.fills())).sum()
        }
        Step::Event(_) | Step::End => 0,
    }
}

/// Bytes that all threads move into the caches until they end.
pub(super) fn total_bytes(workload: &mut Workload) -> u64 {
    let mut total = 0;
    for thread in &mut workload.threads {
        let steps = steps(thread, 1 << 20).unwrap();
        total += steps.iter().map(lines).sum::<u64>() * 64;
    }
    total
}

/// Steps after the last start signal: a barrier or the beginning of the measured part.
pub(super) fn measured(steps: &[Step]) -> &[Step] {
    let set_up = |step: &Step| matches!(step, Step::Event(Event::MeasureFrom));
    let start = steps.iter().position(set_up).map_or(0, |idx| idx + 1);
    &steps[start..]
}

/// Everything about a workload's streams as text, to compare two of them.
pub(super) fn transcript(workload: &mut Workload, limit: usize) -> String {
    let mut text = format!("{:?}\n", workload.spaces);
    for thread in &mut workload.threads {
        text += &format!("{} {} {:?} ", thread.name, thread.process, thread.parent);
        for _ in 0..limit {
            match thread.stream.next_step().unwrap() {
                Step::End => break,
                step => text += &format!("{step:?}"),
            }
        }
    }
    text
}
