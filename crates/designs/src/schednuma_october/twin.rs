//! October's homes and pages beside a slow transcription of their description.

use proptest::prelude::*;

use super::*;
use crate::testing::World;

/// What happens to both.
#[derive(Clone, Debug)]
enum Op {
    Fault { task: usize, page: usize, huge: bool, waited: bool, moves: bool },
    Tick { task: usize, ms: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let fault = (0usize..2, 0usize..4, any::<bool>(), prop::bool::weighted(0.1), any::<bool>());
    prop_oneof![
        3 => fault.prop_map(|(task, page, huge, waited, moves)| {
            Op::Fault { task, page, huge, waited, moves }
        }),
        2 => (0usize..2, 1000u64..12_000).prop_map(|(task, ms)| Op::Tick { task, ms }),
    ]
}

/// The description; times in milliseconds. Task 0 runs on node 0, task 1 on node 1.
#[derive(Debug)]
struct Slow {
    now: u64,
    cpu_time: [u64; 2],
    stamp: [u64; 2],
    period: [u64; 2],
    next_scan: u64,
    scans: u64,
    seen: [u64; 2],
    faults: [[u64; 2]; 2],
    home: [Option<usize>; 2],
    /// Scans still to come in which the home stays.
    stays: [u32; 2],
    last_nid: [Option<usize>; 4],
}

impl Slow {
    fn new() -> Self {
        Self {
            now: 0,
            cpu_time: [0; 2],
            stamp: [0; 2],
            period: [5000; 2],
            next_scan: 0,
            scans: 0,
            seen: [0; 2],
            faults: [[0; 2]; 2],
            home: [None; 2],
            stays: [0; 2],
            last_nid: [None; 4],
        }
    }

    fn tick(&mut self, task: usize, ms: u64) -> bool {
        self.now += ms;
        self.cpu_time[task] += ms;
        if self.cpu_time[task] - self.stamp[task] < self.period[task] {
            return false;
        }
        self.stamp[task] = self.cpu_time[task];
        let due = self.now >= self.next_scan;
        if due {
            self.next_scan = self.now + 2 * 5000;
            self.scans += 1;
        }
        due
    }

    fn count(&mut self, task: usize, node: usize, pages: u64) {
        if self.seen[task] != self.scans {
            self.seen[task] = self.scans;
            let [a, b] = self.faults[task];
            self.faults[task] = [a / 2, b / 2];
            let most = if b > a { 1 } else { 0 };
            if self.stays[task] > 0 {
                self.stays[task] -= 1;
            } else if a + b > 0 && self.home[task] == Some(most) {
                self.period[task] = (2 * self.period[task]).min(80_000);
            } else if a + b > 0 {
                self.home[task] = Some(most);
                self.period[task] = 5000;
                self.stays[task] = 2;
            }
        }
        self.faults[task][node] += pages;
    }
}

proptest! {
    #[test]
    fn it_decides_as_described(ops in prop::collection::vec(op(), 1..150)) {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let mut design = SchednumaOctober::new(Knobs::default(), &world.machine);
        for cpu in [0, 2] {
            let id = world.add_task(mm, cpu);
            design.task_start(&mut world.cx(), id, None);
        }
        let mut slow = Slow::new();
        let (mut words, mut page_nodes) = ([0; 4], [0usize; 4]);
        for op in ops {
            match op {
                Op::Tick { task, ms } => {
                    let id = TaskId::from_idx(task);
                    world.now += Nanos::from_ms(ms);
                    world.tasks[id].cpu_time += Nanos::from_ms(ms);
                    let plan = design.scan(&mut world.cx(), id);
                    prop_assert_eq!(plan.is_some(), slow.tick(task, ms));
                    if plan.is_some() {
                        let all = ScanOutcome { wrapped: true, ..ScanOutcome::default() };
                        design.scan_done(&mut world.cx(), id, &all, Nanos::ZERO);
                    }
                }
                Op::Fault { task: this, page, huge, waited, moves } => {
                    let id = TaskId::from_idx(this);
                    let pages = if huge { 512 } else { 1 };
                    let fault = world.fault(id, page_nodes[page] as u8, words[page]);
                    let fault = HintFault { pages: Pages(pages), waited, ..fault };
                    let verdict = design.hint_fault(&mut world.cx(), &fault);
                    words[page] = verdict.word;
                    let twice = slow.last_nid[page].replace(this) == Some(this);
                    let goes = twice && page_nodes[page] != this && !waited;
                    prop_assert_eq!(verdict.migrate_to, goes.then_some(fault.node));
                    if goes {
                        let (from, to) = (fault.page_node, fault.node);
                        let migration =
                            Migration { task: id, from, to, pages: Pages(pages), moved: moves };
                        design.migration_done(&mut world.cx(), &migration);
                        page_nodes[page] = if moves { this } else { page_nodes[page] };
                    }
                    slow.count(this, page_nodes[page], pages);
                }
            }
            for task in 0..2 {
                let state = &design.tasks[TaskId::from_idx(task)];
                prop_assert_eq!(state.home.map(NodeId::idx), slow.home[task]);
                prop_assert_eq!(state.period.as_ms(), slow.period[task]);
                prop_assert_eq!(&state.faults, &slow.faults[task].to_vec());
            }
        }
    }
}
