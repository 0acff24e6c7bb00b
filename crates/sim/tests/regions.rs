//! A fault on base pages that were marked by 2 MiB, beside a slow description of it.

#[path = "common/machine.rs"]
mod machine;
#[path = "common/process.rs"]
mod process;
#[path = "common/steps.rs"]
mod steps;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base::{MmId, Nanos, NodeId, Pages, TaskId, Vm};
use designs::{Cx, HintFault, Placement, Regions, ScanPlan, ScanRules, Verdict};
use proptest::prelude::*;
use sim::{Progress, RunSpec};
use trace::{Step, Sweep, Traffic};

use machine::two_nodes;
use process::one_process;

/// Pages that are marked, and behind them some that keep the thread busy.
const NR_PAGES: u32 = 1300;
const SPARE: u32 = 1536;
const NR_SPARE: u32 = 512;
const REGION: u32 = 512;

/// Two nodes of a CPU.
fn machine_text() -> String {
    let rest = "[kernel]\nthp = \"never\"\nmin_free_kbytes = 256\n";
    two_nodes(["0", "1"], "64MiB", rest)
}

/// What a design was asked about: whose fault, on which page, and whether for the whole region.
type Asked = Arc<Mutex<Vec<(TaskId, u32, bool)>>>;

/// Marks everything once, after 50 ms, and notes who asked; every third page goes to the other node.
struct MarkOnce {
    done: bool,
    regions: Regions,
    asked: Asked,
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
            rules: ScanRules { regions: self.regions, ..ScanRules::default() },
        })
    }

    fn hint_fault(&mut self, _cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
        assert_eq!((fault.pages, fault.waited), (Pages(1), false));
        self.asked.lock().expect("no panic before").push((fault.task, fault.page, fault.batch));
        let other = NodeId(1 - fault.page_node.0);
        Verdict::new(0, fault.page.is_multiple_of(3).then_some(other))
    }
}

fn sweep(page: u32, nr_pages: u32) -> Step {
    let traffic = Traffic::new(64, 0, true);
    Step::Sweep(Sweep { mm: MmId(0), page, nr_pages, traffic, think_ns: 0, sequential: true })
}

/// Runs threads under [`MarkOnce`] and returns what it was asked as well.
fn run(
    machine: &str,
    regions: Regions,
    threads: Vec<Vec<Step>>,
) -> (results::Run, Vec<(TaskId, u32, bool)>) {
    let asked = Asked::default();
    let machine = topology::parse("tiny.toml", machine).expect("a machine");
    let design = Box::new(MarkOnce { done: false, regions, asked: Arc::clone(&asked) });
    let spec = RunSpec::new(
        Arc::new(machine),
        one_process((SPARE + NR_SPARE).into(), threads),
        "mark-once",
        design,
        1,
    );
    let run = sim::run(spec, &Progress::default()).expect("it runs");
    let asked = asked.lock().expect("no panic before").clone();
    (run, asked)
}

/// Two threads sweep the same region, in some ms each time, and a fault on all of it takes 20 ms.
fn asked_of_two_threads(regions: Regions) -> Vec<(TaskId, u32, bool)> {
    let machine = machine_text() + "[costs]\nmigrate_page = \"100us\"\n";
    let steps = || vec![sweep(0, REGION); 100];
    run(&machine, regions, vec![steps(), steps()]).1
}

#[test]
fn others_have_faults_of_their_own_on_pages_of_a_batch_that_are_still_marked() {
    let mut asked = asked_of_two_threads(Regions::OneNode);
    let first = asked[0].0;
    assert!(asked[0].2 && asked.iter().all(|(task, _, batch)| *batch == (*task == first)));
    assert!(asked.iter().any(|(task, ..)| *task != first), "the other one met none");
    asked.sort_by_key(|(_, page, _)| *page);
    let pages: Vec<u32> = asked.iter().map(|(_, page, _)| *page).collect();
    assert_eq!(pages, (0..REGION).collect::<Vec<_>>(), "each page once");
}

#[test]
fn nobody_else_has_a_fault_on_pages_that_only_their_region_marked() {
    let asked = asked_of_two_threads(Regions::Always);
    assert_eq!(asked.len(), REGION as usize);
    assert!(asked.iter().all(|(task, _, batch)| *batch && *task == asked[0].0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_fault_is_for_all_marked_pages_of_its_region(
        before in prop::collection::vec(0..NR_PAGES, 1..60),
        after in prop::collection::vec(0..NR_PAGES, 1..60),
        regions in prop::sample::select(vec![Regions::Always, Regions::OneNode]),
    ) {
        // Each sweep takes 2 ms.
        let busy = vec![sweep(SPARE, NR_SPARE); 50];
        let touch = |page: &u32| sweep(*page, 1);
        let steps = before.iter().map(touch).chain(busy).chain(after.iter().map(touch)).collect();
        let (run, asked) = run(&machine_text(), regions, vec![steps]);

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
        let asked: Vec<u32> = asked.into_iter().map(|(_, page, _)| page).collect();
        prop_assert_eq!(asked, expected);
    }
}
