//! A fault on base pages that were marked by 2 MiB, beside a slow description of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base::{CpuMask, MmId, MmVec, Nanos, NodeId, Pages, TaskId, Vm};
use designs::{Cx, HintFault, Placement, Regions, ScanPlan, ScanRules, Verdict};
use proptest::prelude::*;
use sim::{Progress, RunSpec};
use trace::{
    Convergence, Mapping, Space, Step, Sweep, Thread, ThreadStream, TraceError, Traffic, Workload,
};

/// Pages that are marked, and behind them some that keep the thread busy.
const NR_PAGES: u32 = 1300;
const SPARE: u32 = 1536;
const NR_SPARE: u32 = 512;
const REGION: u32 = 512;

const MACHINE: &str = r#"
name = "tiny"
description = "two nodes"
[[nodes]]
cpus = "0"
memory = "64MiB"
[[nodes]]
cpus = "1"
memory = "64MiB"
[latency]
local = "50ns"
remote = "100ns"
[bandwidth]
core = { local = "1GB/s", remote = "0.5GB/s" }
controller = "3GB/s"
[[bandwidth.links]]
one_way = "1GB/s"
[kernel]
thp = "never"
min_free_kbytes = 256
"#;

/// Marks everything once, after 50 ms, and notes who asked; every third page goes to the other node.
struct MarkOnce {
    done: bool,
    asked: Arc<Mutex<Vec<u32>>>,
}

impl Placement for MarkOnce {
    fn scan(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<ScanPlan> {
        if self.done || cx.tasks[task].cpu_time < Nanos::from_ms(50) {
            return None;
        }
        self.done = true;
        Some(ScanPlan {
            mm: MmId(0),
            start: 0,
            end: NR_PAGES,
            max_updated: Pages::MAX,
            max_walked: Pages::MAX,
            rules: ScanRules { regions: Regions::Always, ..ScanRules::default() },
        })
    }

    fn hint_fault(&mut self, _cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        assert_eq!((fault.pages, fault.waited), (Pages(1), false));
        self.asked.lock().expect("no panic before").push(fault.page);
        let other = NodeId(1 - fault.page_node.0);
        Verdict::new(0, fault.page.is_multiple_of(3).then_some(other))
    }
}

struct Scripted(std::vec::IntoIter<Step>);

impl ThreadStream for Scripted {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        Ok(self.0.next().unwrap_or(Step::End))
    }
}

fn sweep(page: u32, nr_pages: u32) -> Step {
    let traffic = Traffic::new(64, 0, true);
    Step::Sweep(Sweep { mm: MmId(0), page, nr_pages, traffic, think_ns: 0, sequential: true })
}

fn workload(steps: Vec<Step>) -> Workload {
    let mapping = Mapping { pages: 0..SPARE + NR_SPARE, thp: None, policy: None };
    let space = Space {
        name: "p".to_owned(),
        nr_pages: Pages(u64::from(SPARE + NR_SPARE)),
        file: false,
        executable: false,
        mappings: vec![mapping],
    };
    let thread = Thread {
        name: "t".to_owned(),
        process: 0,
        mm: MmId(0),
        parent: None,
        allowed: CpuMask::EMPTY,
        stream: Box::new(Scripted(steps.into_iter())),
    };
    Workload {
        name: "scripted".to_owned(),
        digest: String::new(),
        spaces: MmVec(vec![space]),
        threads: vec![thread],
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        memcgs: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_fault_is_for_all_marked_pages_of_its_region(
        before in prop::collection::vec(0..NR_PAGES, 1..60),
        after in prop::collection::vec(0..NR_PAGES, 1..60),
    ) {
        // Each sweep takes 2 ms.
        let busy = vec![sweep(SPARE, NR_SPARE); 50];
        let touch = |page: &u32| sweep(*page, 1);
        let steps = before.iter().map(touch).chain(busy).chain(after.iter().map(touch)).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let machine = topology::parse("tiny.toml", MACHINE).expect("a machine");
        let design = Box::new(MarkOnce { done: false, asked: Arc::clone(&asked) });
        let spec = RunSpec::new(Arc::new(machine), workload(steps), "mark-once", design, 1);
        let run = sim::run(spec, &Progress::default()).expect("it runs");

        let mut marked: BTreeSet<u32> = before.iter().copied().collect();
        let touched: BTreeSet<u32> = before.iter().chain(&after).copied().collect();
        let (mut expected, mut faults) = (Vec::new(), touched.len() as u64 + u64::from(NR_SPARE));
        for page in after {
            if marked.contains(&page) {
                faults += 1;
                let region = page / REGION;
                expected.extend(marked.iter().copied().filter(|one| one / REGION == region));
                marked.retain(|one| one / REGION != region);
            }
        }
        let vmstat = &run.vmstat;
        prop_assert_eq!(vmstat[Vm::pgfault], faults, "first touches, and one a region");
        prop_assert_eq!(vmstat[Vm::numa_hint_faults], expected.len() as u64);
        let moved = expected.iter().filter(|page| page.is_multiple_of(3)).count() as u64;
        prop_assert_eq!(vmstat[Vm::numa_pages_migrated], moved);
        prop_assert_eq!(&*asked.lock().expect("no panic before"), &expected);
    }
}
