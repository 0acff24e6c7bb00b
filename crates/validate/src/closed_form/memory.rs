//! Where pages are, how many faults that takes, and the marks of zones.

use base::{Bytes, NodeId, NodeMask, Pages, Vm, math};
use mm::{Cursor, Mempolicy};
use topology::{Machine, Watermarks};

use super::engine::{machine, run};
use super::{Value, Values};

pub(super) fn uniform_coverage() -> Values {
    let mut values = Vec::new();
    for (footprint_mib, accesses) in [(64_u64, 8_192_u64), (64, 16_384), (16, 16_384)] {
        let nr_pages = Bytes::from_mib(footprint_mib).pages_ceil().0;
        let workload = format!(
            "kind = 'uniform'\nthreads = 1\ninit = 'none'\nfootprint = '{footprint_mib}MiB'\n\
             accesses = {accesses}\n"
        );
        let run = run(machine("", "never")?, &workload, "first-touch", "")?;
        let (n, m) = (nr_pages as f64, accesses as f64);
        let missed = math::exp(m * math::ln_1p(-1.0 / n));
        // Variance of the number of empty cells, four standard deviations.
        let pair = math::exp(m * math::ln_1p(-2.0 / n));
        let variance = n * (n - 1.0) * pair + n * missed - n * n * missed * missed;
        values.push(Value::new(
            format!("{nr_pages}-pages-{accesses}-accesses"),
            n * (1.0 - missed),
            4.0 * variance.sqrt(),
            run.vmstat[Vm::pgfault] as f64,
        ));
    }
    Ok(values)
}

/// Pages of each node after `nr_pages` allocations by a task with this policy.
fn placed(policy: &Mempolicy, nr_nodes: u8, nr_pages: u64) -> Vec<u64> {
    let all: NodeMask = (0..nr_nodes).map(NodeId).collect();
    let mut cursor = Cursor::default();
    let mut pages = vec![0; usize::from(nr_nodes)];
    for offset in 0..nr_pages {
        let wanted = policy.wanted(NodeId(0), all, offset, Some(&mut cursor));
        pages[wanted.node.idx()] += 1;
    }
    pages
}

pub(super) fn interleave() -> Values {
    let mut values = Vec::new();
    for (nr_nodes, nr_pages) in [(2_u8, 1001_u64), (3, 1000), (8, 4096)] {
        let nodes: NodeMask = (0..nr_nodes).map(NodeId).collect();
        let pages = placed(&Mempolicy::Interleave(nodes), nr_nodes, nr_pages);
        let (least, most) = (pages.iter().min(), pages.iter().max());
        let fair = nr_pages / u64::from(nr_nodes);
        let rest = u64::from(nr_pages % u64::from(nr_nodes) > 0);
        let name = |end: &str| format!("{nr_pages}-over-{nr_nodes}/{end}");
        values.push(Value::exact(name("least"), fair, least.copied().unwrap_or(0)));
        values.push(Value::exact(name("most"), fair + rest, most.copied().unwrap_or(0)));
    }
    Ok(values)
}

pub(super) fn weighted_interleave() -> Values {
    let mut values = Vec::new();
    for weights in [vec![3_u8, 1], vec![5, 2, 1], vec![1, 1, 1, 1]] {
        let pairs: Vec<(NodeId, u8)> = (0_u8..).map(NodeId).zip(weights.iter().copied()).collect();
        let nr_pages = 10_000;
        let policy = Mempolicy::WeightedInterleave(pairs);
        let pages = placed(&policy, weights.len() as u8, nr_pages);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (node, weight) in weights.iter().enumerate() {
            let weight = f64::from(*weight);
            let name = format!("{weights:?}/node-{node}").replace(", ", "-");
            let expected = nr_pages as f64 * weight / total;
            values.push(Value::new(name, expected, weight, pages[node] as f64));
        }
    }
    Ok(values)
}

pub(super) fn interleave_traffic() -> Values {
    let workload = "kind = 'uniform'\nthreads = 1\nfootprint = '64MiB'\naccesses = 400000\n";
    let mut values = Vec::new();
    for (design, knobs, name) in [
        ("interleave", "", "interleave"),
        ("weighted-interleave", "weights = [1, 1]", "weights-1-1"),
    ] {
        let run = run(machine("", "never")?, workload, design, knobs)?;
        let local = run.vmstat[Vm::sim_accesses_local] as f64;
        let all = local + run.vmstat[Vm::sim_accesses_remote] as f64;
        // Four standard deviations of a binomial share.
        let tolerance = 4.0 * (0.25 / all).sqrt();
        values.push(Value::new(name, 0.5, tolerance, local / all));
    }
    Ok(values)
}

pub(super) fn huge_pages() -> Values {
    let workload = "kind = 'sequential'\nthreads = 1\nfootprint = '64MiB'\naccesses = 16384\n";
    let huge = run(machine("", "always")?, workload, "first-touch", "")?;
    let base = run(machine("", "never")?, workload, "first-touch", "")?;
    Ok(vec![
        Value::exact("always/thp_fault_alloc", 32, huge.vmstat[Vm::thp_fault_alloc]),
        Value::exact("always/pgfault", 32, huge.vmstat[Vm::pgfault]),
        Value::exact("always/pgalloc_normal", 16_384, huge.vmstat[Vm::pgalloc_normal]),
        Value::exact("never/thp_fault_alloc", 0, base.vmstat[Vm::thp_fault_alloc]),
        Value::exact("never/pgfault", 16_384, base.vmstat[Vm::pgfault]),
    ])
}

/// A machine of one node with these zones, huge pages off.
fn zones(zones: &str) -> Result<Machine, String> {
    let text = format!(
        "name = 'zones'\nnodes = [{{ cpus = '0', {zones} }}]\nlatency = {{ local = '100ns' }}\n\
         bandwidth = {{ controller = '100GB/s' }}\nkernel = {{ thp = 'never' }}\n"
    );
    topology::parse("zones.toml", &text).map_err(|problems| problems.render(false))
}

pub(super) fn min_free_kbytes() -> Values {
    // The formula's values, worked by hand: 1 GiB is 2^20 KiB, and the root of 16 x 2^20 is 4096.
    let cases = [
        ("512MiB", 2896),
        ("1GiB", 4096),
        ("4GiB", 8192),
        ("16GiB", 16_384),
        ("64GiB", 32_768),
        ("256GiB", 65_536),
        ("1TiB", 131_072),
        ("4TiB", 262_144),
        ("16TiB", 262_144),
    ];
    let mut values = Vec::new();
    for (size, expected) in cases {
        let machine = zones(&format!("zones = {{ normal = '{size}' }}"))?;
        values.push(Value::exact(size, expected, topology::min_free_kbytes(&machine)));
    }
    Ok(values)
}

pub(super) fn printed_watermarks() -> Values {
    // Managed pages, watermark_scale_factor, then what the guests printed.
    const PRINTED: [(u64, u32, [u64; 4]); 6] = [
        (3840, 10, [22, 27, 32, 37]),
        (115_024, 10, [660, 825, 990, 1155]),
        (50_683, 10, [286, 357, 428, 499]),
        (64_292, 10, [374, 467, 560, 653]),
        (3840, 200, [22, 98, 174, 250]),
        (115_024, 200, [660, 2960, 5260, 7560]),
    ];
    let mut values = Vec::new();
    for (managed, factor, printed) in PRINTED {
        let min = Pages(printed[0]);
        let marks = Watermarks::above(min, min, Pages(managed), factor);
        let got = [marks.min, marks.low, marks.high, marks.promo];
        for ((name, printed), got) in
            ["min", "low", "high", "promo"].into_iter().zip(printed).zip(got)
        {
            let name = format!("{managed}-pages-factor-{factor}/{name}");
            values.push(Value::exact(name, printed, got.0));
        }
    }
    Ok(values)
}

pub(super) fn reserves() -> Values {
    // `protection` of the DMA zone, by the managed pages of DMA32 above it: pages / 256.
    let mut values = Vec::new();
    for (dma32, printed) in [(115_024, 449), (50_683, 197), (179_344, 700), (243_856, 952)] {
        let machine = zones(&format!("zones = {{ dma = '3840 pages', dma32 = '{dma32} pages' }}"))?;
        let marks = topology::watermarks(&machine);
        let reserve = marks[NodeId(0)].first().map(|dma| dma.reserve[1]).unwrap_or(Pages::ZERO);
        values.push(Value::exact(format!("dma32-{dma32}"), printed, reserve.0));
    }
    Ok(values)
}
