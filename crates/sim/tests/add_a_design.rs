//! The design of `docs/how-to/add-a-design.md`: compiled, tested without an engine, and run.
//!
//! The page shows this file's code; a test compares the two.

use std::sync::Arc;

use base::{CpuMask, MmId, MmVec, NodeId, NodeMask, Vm};
use designs::Placement;
use results::Run;
use sim::{Progress, RunSpec};
use topology::Machine;
use trace::{
    Convergence, Event, Mapping, Space, Step, Sweep, Thread, ThreadStream, TraceError, Traffic,
    Workload,
};

#[expect(unreachable_pub, reason = "in crates/designs it is reachable")]
mod next_touch {
    //! Next touch: from time to time every page goes to whoever touches it next.
    //!
    //! Lee Schermerhorn's migrate-on-fault patches for Linux (2006 on) and Brice Goglin and Nathalie
    //! Furmento, "Enabling high-performance memory migration for multithreaded applications on
    //! Linux" (MTAAP 2009): a program marks memory whose users are about to change, and each page
    //! moves to the node that touches it first after that. Here nobody asks the program: the whole
    //! address space is marked once a `period`.
    //!
    //! Left out: marking by the program itself.

    use base::{MmVec, Nanos, Pages, TaskId};
    use config::Described;
    use designs::{Cx, Design, HintFault, Placement, ScanPlan, ScanRules, Verdict};
    use topology::Machine;

    config::config! {
        /// Constants of next touch.
        pub struct Knobs {
            /// Time between two markings of an address space.
            #[check(config::positive)]
            pub period: Nanos = Nanos::from_secs(1),
        }
    }

    /// State of next touch.
    #[derive(Debug)]
    pub struct NextTouch {
        knobs: Knobs,
        /// When each space is marked next.
        due: MmVec<Nanos>,
    }

    impl Placement for NextTouch {
        fn scan(&mut self, cx: &mut Cx<'_>, task: TaskId) -> Option<ScanPlan> {
            let mm = cx.tasks[task].mm?;
            // A space is due for the first time one period after its first tick.
            self.due.0.resize(cx.spaces.len(), Nanos::ZERO);
            let due = std::mem::replace(&mut self.due[mm], cx.now + self.knobs.period);
            if cx.now < due {
                self.due[mm] = due;
                return None;
            }
            (due > Nanos::ZERO).then_some(ScanPlan {
                mm,
                start: 0,
                end: u32::MAX,
                max_updated: Pages::MAX,
                max_walked: Pages::MAX,
                rules: ScanRules { skip_bound_vmas: true, ..ScanRules::default() },
            })
        }

        fn hint_fault(&mut self, cx: &mut Cx<'_>, fault: &HintFault) -> Verdict {
            let elsewhere = fault.page_node != fault.node && !fault.waited;
            let migrate = elsewhere && cx.can_take(fault.node, fault.pages);
            Verdict::new(0, migrate.then_some(fault.node))
        }
    }

    impl Described for NextTouch {
        const NAME: &'static str = "next-touch";
        const LINEAGE: &'static str =
            "migrate-on-fault (Lee Schermerhorn, 2006), next touch (Goglin and Furmento, 2009)";
        const SOURCE: &'static str = "Goglin and Furmento, MTAAP 2009, as in the header";
        const LEFT_OUT: &'static str = "marking by the program: everything is marked once a period";
        type Knobs = Knobs;
    }

    impl Design for NextTouch {
        type State = Self;

        fn new(knobs: Knobs, _machine: &Machine) -> Self {
            Self { knobs, due: MmVec(Vec::new()) }
        }
    }
}

const MACHINE: &str = r#"
name = "tiny"
[[nodes]]
cpus = "0-1"
memory = "64MiB"
[[nodes]]
cpus = "2-3"
memory = "64MiB"
[latency]
local = "50ns"
remote = "100ns"
[bandwidth]
controller = "3GB/s"
[[bandwidth.links]]
one_way = "1GB/s"
[kernel]
thp = "never"
min_free_kbytes = 256
"#;

const PAGES: u32 = 2048;

/// Steps given in advance.
struct Scripted(std::vec::IntoIter<Step>);

impl ThreadStream for Scripted {
    fn next_step(&mut self) -> Result<Step, TraceError> {
        Ok(self.0.next().unwrap_or(Step::End))
    }
}

/// One thread that touches 8 MiB on node 0, moves to node 1 and sweeps on there.
fn moving_thread() -> Workload {
    let on_node = |node| Step::Event(Event::SetNodes(NodeMask::only(NodeId(node))));
    let sweep = Step::Sweep(Sweep {
        mm: MmId(0),
        page: 0,
        nr_pages: PAGES,
        traffic: Traffic::new(64, 0, true),
        think_ns: 0,
        sequential: true,
    });
    let mut steps = vec![on_node(0), sweep.clone(), on_node(1)];
    steps.resize(steps.len() + 500, sweep);
    Workload {
        name: "a thread that moved".to_owned(),
        digest: String::new(),
        spaces: MmVec(vec![Space {
            name: "heap".to_owned(),
            nr_pages: base::Pages(u64::from(PAGES)),
            file: false,
            executable: false,
            mappings: vec![Mapping { pages: 0..PAGES, thp: None, policy: None }],
        }]),
        threads: vec![Thread {
            name: "main".to_owned(),
            process: 0,
            mm: MmId(0),
            parent: None,
            allowed: CpuMask::EMPTY,
            stream: Box::new(Scripted(steps.into_iter())),
        }],
        stop_after: None,
        convergence: Convergence::Ignored,
        groups: Vec::new(),
        memcgs: Vec::new(),
    }
}

fn run(make: impl Fn(&Machine) -> Box<dyn Placement>) -> Run {
    let machine = topology::parse("tiny.toml", MACHINE).expect("a sound machine");
    let design = make(&machine);
    let spec = RunSpec::new(Arc::new(machine), moving_thread(), "under test", design, 1);
    sim::run(spec, &Progress::default()).expect("the workload runs")
}

fn next_touch(machine: &Machine) -> Box<dyn Placement> {
    use designs::Design;
    Box::new(next_touch::NextTouch::new(next_touch::Knobs::default(), machine))
}

#[test]
fn memory_follows_a_thread_that_moved() {
    let first_touch = designs::find("first-touch").expect("the baseline is registered");
    let stayed = run(|machine| (first_touch.build_default)(machine));
    let moved = run(next_touch);
    assert_eq!(stayed.vmstat[Vm::numa_pages_migrated], 0);
    assert_eq!(moved.vmstat[Vm::numa_pages_migrated], u64::from(PAGES), "each page once");
    assert!(moved.elapsed < stayed.elapsed, "{} {}", moved.elapsed, stayed.elapsed);
    assert!(moved.vmstat[Vm::sim_lines_local] > stayed.vmstat[Vm::sim_lines_local]);
}

#[test]
fn the_page_shows_this_code() {
    let page = include_str!("../../../docs/how-to/add-a-design.md");
    let source = squeeze(include_str!("add_a_design.rs"));
    let blocks: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() >= 5, "the walk has its parts: {}", blocks.len());
    for block in blocks {
        assert!(source.contains(&squeeze(block)), "not the code that was tested:\n{block}");
    }
}

/// Without indentation and blank lines.
fn squeeze(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}
