//! balancenuma beside a slow transcription of its description.

use proptest::prelude::*;

use super::*;
use crate::testing::World;

/// What happens to both.
#[derive(Clone, Debug)]
enum Op {
    /// A tick hits a task that has run for some milliseconds.
    Tick { task: usize, ms: u64 },
    /// A hint fault; when the page is to move, `moves` says whether it does.
    Fault { task: usize, page: usize, kind: Kind, waited: bool, moves: bool },
    /// The scheduler puts a task on a CPU.
    Go { task: usize, cpu: u16 },
}

/// What the fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Base,
    /// A base page among others.
    Batch,
    Huge,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(Kind::Base), Just(Kind::Batch), Just(Kind::Huge)];
    let fault = (0usize..3, 0usize..3, kind, prop::bool::weighted(0.1), any::<bool>());
    prop_oneof![
        4 => (0usize..3, 1u64..900).prop_map(|(task, ms)| Op::Tick { task, ms }),
        1 => (0usize..3, 20_000u64..70_000).prop_map(|(task, ms)| Op::Tick { task, ms }),
        8 => fault.prop_map(|(task, page, kind, waited, moves)| {
            Op::Fault { task, page, kind, waited, moves }
        }),
        1 => (0usize..3, 0u16..4).prop_map(|(task, cpu)| Op::Go { task, cpu }),
    ]
}

/// Pages that may go to a node per window in these tests.
const LIMIT: u64 = 1024;

/// The description, all times in milliseconds.
#[derive(Debug)]
struct Slow {
    now: u64,
    /// What a fault that moved nothing costs.
    penalty: u64,
    cpu_time: [u64; 3],
    /// CPU time of the last expiry, and the period.
    stamp: [u64; 3],
    period: [u64; 3],
    /// By process: next scan, next reset, node of the first scanner, whether it may be scanned.
    next_scan: [u64; 2],
    next_reset: [u64; 2],
    first: [Option<u8>; 2],
    may_scan: [bool; 2],
    /// By page: node of the last fault.
    last: [Option<u8>; 3],
    /// By node: end of the last window, and what moved in it.
    window: [(u64, u64); 2],
}

fn process(task: usize) -> usize {
    usize::from(task == 2)
}

impl Slow {
    fn new(penalty: u64) -> Self {
        Self {
            now: 0,
            penalty,
            cpu_time: [0; 3],
            stamp: [0; 3],
            period: [1000; 3],
            next_scan: [1000; 2],
            next_reset: [60_000; 2],
            first: [None; 2],
            may_scan: [false; 2],
            last: [None; 3],
            window: [(0, 0); 2],
        }
    }

    /// Whether the tick ends in a scan.
    fn tick(&mut self, task: usize, ms: u64, node: u8) -> bool {
        let mm = process(task);
        self.now += ms;
        self.cpu_time[task] += ms;
        // The task's own clock decides when it is asked.
        if self.cpu_time[task] - self.stamp[task] < self.period[task] {
            return false;
        }
        if self.stamp[task] == 0 {
            self.period[task] = 100;
        }
        self.stamp[task] = self.cpu_time[task];
        // Nothing until some thread runs elsewhere than the first that came here.
        if !self.may_scan[mm] {
            let first = *self.first[mm].get_or_insert(node);
            if first == node {
                return false;
            }
            self.may_scan[mm] = true;
        }
        // Only the thread that notices goes back to the shortest period, even if it may not scan.
        if self.now >= self.next_reset[mm] {
            self.next_reset[mm] = self.now + 60_000;
            self.period[task] = 100;
        }
        if self.now < self.next_scan[mm] {
            return false;
        }
        self.next_scan[mm] = self.now + self.period[task];
        let (end, moved) = self.window[usize::from(node)];
        let limited = moved > LIMIT && self.now < end + 1000;
        !limited
    }

    fn slow_down(&mut self, task: usize) {
        self.period[task] = 5000.min(self.period[task] + self.penalty);
    }

    /// Whether the page is to move to the faulting node.
    fn fault(
        &mut self,
        task: usize,
        page: usize,
        nodes: [u8; 2],
        kind: Kind,
        [waited, full]: [bool; 2],
    ) -> bool {
        let [here, there] = nodes;
        let pages = if kind == Kind::Huge { 512 } else { 1 };
        let twice_from_here = self.last[page] == Some(here);
        self.last[page] = Some(here);
        let misplaced = twice_from_here && here != there && !waited;
        if kind == Kind::Batch && !misplaced {
            // The handler goes on to the next page.
            return false;
        }
        let mut moves = misplaced && !full;
        if moves {
            let (end, moved) = &mut self.window[usize::from(here)];
            if self.now >= *end {
                (*end, *moved) = (self.now + 100, 0);
            }
            moves = *moved <= LIMIT;
            *moved += if moves { pages } else { 0 };
        }
        if !moves {
            self.slow_down(task);
        }
        moves
    }
}

proptest! {
    #[test]
    fn it_decides_as_described(ops in prop::collection::vec(op(), 1..120), full: bool) {
        let mut world = World::new(2, 2);
        let spaces = [world.add_space(), world.add_space()];
        let knobs = Knobs { ratelimit: Bytes::from_mib(4), ..Knobs::default() };
        let mut design = BalanceNuma::new(knobs, &world.machine);
        let mut slow = Slow::new(10_000 / u64::from(world.machine.kernel.hz));
        for (task, cpu) in [0, 1, 2].into_iter().enumerate() {
            let id = world.add_task(spaces[process(task)], cpu);
            design.task_start(&mut world.cx(), id, None);
        }
        if full {
            world.fill(1);
        }
        let (mut words, mut page_nodes) = ([0; 3], [0u8; 3]);
        for op in ops {
            match op {
                Op::Go { task, cpu } => world.go(TaskId::from_idx(task), cpu),
                Op::Tick { task, ms } => {
                    let id = TaskId::from_idx(task);
                    world.now += Nanos::from_ms(ms);
                    world.tasks[id].cpu_time += Nanos::from_ms(ms);
                    let node = world.cx().node_of_task(id).0;
                    let plan = design.scan(&mut world.cx(), id);
                    prop_assert_eq!(plan.is_some(), slow.tick(task, ms, node));
                    if let Some(plan) = plan {
                        prop_assert_eq!((plan.mm, plan.max_updated), (spaces[process(task)], Pages(65_536)));
                    }
                }
                Op::Fault { task, page, kind, waited, moves } => {
                    let id = TaskId::from_idx(task);
                    let pages = if kind == Kind::Huge { 512 } else { 1 };
                    let fault = world.fault(id, page_nodes[page], words[page]);
                    let batch = kind == Kind::Batch;
                    let fault = HintFault { pages: Pages(pages), waited, batch, ..fault };
                    let verdict = design.hint_fault(&mut world.cx(), &fault);
                    words[page] = verdict.word;
                    let (from, to) = (fault.page_node, fault.node);
                    let no_room = full && to.0 == 1;
                    let expected =
                        slow.fault(task, page, [to.0, from.0], kind, [waited, no_room]);
                    prop_assert_eq!(verdict.migrate_to, expected.then_some(to));
                    if expected {
                        let migration =
                            Migration { task: id, from, to, pages: Pages(pages), moved: moves };
                        design.migration_done(&mut world.cx(), &migration);
                        if moves {
                            page_nodes[page] = to.0;
                        } else {
                            slow.slow_down(task);
                        }
                    }
                }
            }
            for task in 0..3 {
                let state = design.tasks[TaskId::from_idx(task)];
                prop_assert_eq!(state.period.as_ms(), slow.period[task]);
            }
        }
    }
}
