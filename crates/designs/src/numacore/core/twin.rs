//! The statistics of numa/core beside a slow transcription: class, settling, the choice made twice,
//! the period, and where pages go.

use base::CpuVec;
use proptest::prelude::*;

use super::*;
use crate::testing::World;
use crate::{Migration, Move, Placement, Placing};

/// What happens to both.
#[derive(Clone, Debug)]
enum Op {
    Fault {
        task: usize,
        page: usize,
        huge: bool,
        waited: bool,
        moves: bool,
    },
    /// A complete scan of the process.
    Scanned,
    Tick {
        task: usize,
        ms: u64,
    },
    Place {
        task: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let fault = (0usize..4, 0usize..6, any::<bool>(), prop::bool::weighted(0.1), any::<bool>());
    prop_oneof![
        8 => fault.prop_map(|(task, page, huge, waited, moves)| {
            Op::Fault { task, page, huge, waited, moves }
        }),
        4 => Just(Op::Scanned),
        2 => (0usize..4, 1u64..1500).prop_map(|(task, ms)| Op::Tick { task, ms }),
        3 => (0usize..4).prop_map(|task| Op::Place { task }),
    ]
}

/// What the description keeps of a task; times in milliseconds.
#[derive(Clone, Debug, Default)]
struct SlowTask {
    shared: [u64; 2],
    private: [u64; 2],
    /// Shared and private faults of the current scan, in December.
    fresh: [[u64; 2]; 2],
    class: Option<Class>,
    seen: u64,
    scans: u32,
    ideal: Option<CpuId>,
    target: Option<CpuId>,
    period: u64,
    stamp: u64,
    nodes: Vec<u8>,
}

/// The description.
#[derive(Debug)]
struct Slow {
    tasks: Vec<SlowTask>,
    scans: u64,
    next_scan: u64,
    last: [Option<(CpuId, usize)>; 6],
    back_off: bool,
    /// The rules of December: told apart by task, averaged, with hysteresis.
    december: bool,
}

impl Classes for Slow {
    fn class(&self, task: TaskId) -> Option<Class> {
        self.tasks[task.idx()].class
    }
}

impl Slow {
    fn new(back_off: bool, december: bool) -> Self {
        let task = SlowTask { period: 1000, nodes: vec![0, 1], ..SlowTask::default() };
        let tasks = vec![task; 4];
        Self { tasks, scans: 0, next_scan: 1000, last: [None; 6], back_off, december }
    }

    /// Where a page belongs: shared tasks deal theirs out, others bring it after two faults in a
    /// row from their node.
    fn belongs(
        &self,
        task: usize,
        page: usize,
        last: Option<u8>,
        here: u8,
        pages: u64,
    ) -> Option<u8> {
        let state = &self.tasks[task];
        if state.class == Some(Class::Shared) {
            let turn = (page as u64 / pages) as usize;
            return Some(state.nodes[turn % state.nodes.len()]);
        }
        if last == Some(here) { Some(here) } else { None }
    }

    fn count(&mut self, cx: &Cx<'_>, task: usize, node: u8, private: bool, pages: u64) {
        if self.tasks[task].seen != self.scans {
            self.tasks[task].seen = self.scans;
            self.after_scan(cx, task);
        }
        let state = &mut self.tasks[task];
        if self.december {
            state.fresh[usize::from(private)][usize::from(node)] += pages;
            return;
        }
        let kind = if private { &mut state.private } else { &mut state.shared };
        kind[usize::from(node)] += pages;
    }

    fn after_scan(&mut self, cx: &Cx<'_>, task: usize) {
        let id = TaskId::from_idx(task);
        let state = &mut self.tasks[task];
        if self.december {
            for node in 0..2 {
                state.shared[node] = (2 * state.shared[node] + state.fresh[0][node]) / 3;
                state.private[node] = (2 * state.private[node] + state.fresh[1][node]) / 3;
            }
            state.fresh = [[0; 2]; 2];
        }
        let (shared, private): (u64, u64) = (state.shared.iter().sum(), state.private.iter().sum());
        if !self.december {
            state.shared = state.shared.map(|count| count / 2);
            state.private = state.private.map(|count| count / 2);
        }
        state.scans += 1;
        if state.scans < 2 {
            return;
        }
        let share = shared as f64 / (private / 2) as f64;
        let class = match state.class {
            _ if self.december && state.class.is_none() => Some(Class::Private),
            class if shared == 0 && private == 0 => class,
            Some(Class::Private) if self.december && share < 1.5 => Some(Class::Private),
            Some(Class::Shared) if self.december && share > 2.0 / 3.0 => Some(Class::Shared),
            Some(Class::Shared) if self.december => Some(Class::Private),
            _ if self.december || shared >= private / 2 => Some(Class::Shared),
            _ => Some(Class::Private),
        };
        let Some(known) = class else { return };
        let ideal = if known == Class::Private { spread(cx, id) } else { gather(cx, self, id) };
        let state = &mut self.tasks[task];
        state.nodes = nodes_of_process(cx, id).iter().map(|node| node.0).collect();
        let twice = ideal.is_some() && state.ideal == ideal;
        let elsewhere = ideal.is_some_and(|cpu| cx.node_of(cpu) != cx.node_of_task(id));
        state.target = if twice && elsewhere { ideal } else { None };
        state.ideal = ideal;
        let changed = state.target.is_some() || state.class != class;
        state.class = class;
        if changed {
            (state.scans, state.period) = (0, 100);
        } else if self.back_off {
            state.period = 1600.min(2 * state.period);
        }
    }

    fn tick(&mut self, task: usize, now: u64, cpu_time: u64) -> bool {
        let state = &mut self.tasks[task];
        if cpu_time - state.stamp < state.period {
            return false;
        }
        if state.stamp == 0 {
            state.period = 100;
        }
        state.stamp = cpu_time;
        let due = now >= self.next_scan;
        if due {
            self.next_scan = now + state.period;
        }
        due
    }

    /// Private faults go along to the new node at once.
    fn place(&mut self, task: usize, from: u8, node_of: &CpuVec<u8>) -> bool {
        let state = &mut self.tasks[task];
        let Some(target) = state.target.take() else { return false };
        let to = node_of[target];
        if to == from {
            return false;
        }
        state.private[usize::from(to)] += state.private[usize::from(from)];
        state.private[usize::from(from)] = 0;
        true
    }
}

fn rules(back_off: bool, december: bool) -> Rules {
    Rules {
        scan_delay: Nanos::from_ms(1000),
        period_min: Nanos::from_ms(100),
        period_max: Nanos::from_ms(1600),
        size_min: Pages(8192),
        size_max: Pages(131_072),
        rss_threshold: Pages::ZERO,
        settle_count: 2,
        back_off,
        statistics: match december {
            false => Statistics::ByCpu,
            true => Statistics::ByCpuPid { fault_weight: 3 },
        },
    }
}

/// A fault in both; returns the nodes that the design and the description send the page to.
fn fault(
    world: &mut World,
    core: &mut Core,
    slow: &mut Slow,
    fault: &HintFault,
    moves: bool,
) -> (Option<NodeId>, Option<NodeId>, u32) {
    let (page, pages) = (fault.page as usize, fault.pages.0);
    let verdict = core.hint_fault(&mut world.cx(), fault);
    let task = fault.task.idx();
    let last = slow.last[page].replace((fault.cpu, task));
    let last_node = last.map(|(cpu, _)| world.cx().node_of(cpu).0);
    let to = slow
        .belongs(task, page, last_node, fault.node.0, pages)
        .filter(|to| *to != fault.page_node.0 && !fault.waited)
        .map(NodeId);
    let mut at = fault.page_node;
    if let Some(to) = to {
        let from = fault.page_node;
        let migration = Migration { task: fault.task, from, to, pages: fault.pages, moved: moves };
        core.migration_done(&mut world.cx(), &migration);
        at = if moves { to } else { from };
    }
    let private = match last {
        Some((_, before)) if slow.december => before == task,
        Some((cpu, _)) => cpu == fault.cpu,
        None => slow.december,
    };
    let at = if slow.december && last.is_none() { fault.node } else { at };
    slow.count(&world.cx(), task, at.0, private, pages);
    (verdict.migrate_to, to, verdict.word)
}

proptest! {
    #[test]
    fn it_decides_as_described(
        ops in prop::collection::vec(op(), 1..150), back_off: bool, december: bool,
    ) {
        let mut world = World::new(2, 4);
        let mm = world.add_space();
        let mut core = Core::new(rules(back_off, december), &world.machine);
        for cpu in 0..4 {
            // Three of four threads on node 0, the last on node 1.
            let id = world.add_task(mm, if cpu == 3 { 4 } else { cpu });
            core.task_start(&mut world.cx(), id, None);
        }
        let mut slow = Slow::new(back_off, december);
        let node_of: CpuVec<u8> =
            world.machine.cpus.ids().map(|cpu| world.machine.node_of(cpu).0).collect();
        let (mut words, mut page_nodes) = ([0; 6], [NodeId(0); 6]);
        for op in ops {
            match op {
                Op::Scanned => {
                    slow.scans += 1;
                    core.spaces[mm].scan_seq += 1;
                }
                Op::Fault { task, page, huge, waited, moves } => {
                    let id = TaskId::from_idx(task);
                    let asked = HintFault {
                        page: page as u32,
                        pages: Pages(if huge { 512 } else { 1 }),
                        waited,
                        ..world.fault(id, page_nodes[page].0, words[page])
                    };
                    let (found, expected, word) =
                        fault(&mut world, &mut core, &mut slow, &asked, moves);
                    prop_assert_eq!(found, expected);
                    words[page] = word;
                    page_nodes[page] = expected.filter(|_| moves).unwrap_or(page_nodes[page]);
                }
                Op::Tick { task, ms } => {
                    let id = TaskId::from_idx(task);
                    world.now += Nanos::from_ms(ms);
                    world.tasks[id].cpu_time += Nanos::from_ms(ms);
                    let found = core.scan(&mut world.cx(), id).is_some();
                    let cpu_time = world.tasks[id].cpu_time.as_ms();
                    prop_assert_eq!(found, slow.tick(task, world.now.as_ms(), cpu_time));
                }
                Op::Place { task } => {
                    let id = TaskId::from_idx(task);
                    let from = world.cx().node_of_task(id).0;
                    let found = core.place_task(&mut world.cx(), id, Placing::Tick);
                    prop_assert_eq!(found.is_some(), slow.place(task, from, &node_of));
                    if let Some(Move::To(cpu)) = found {
                        world.go(id, cpu.0);
                    }
                }
            }
            for (task, expected) in slow.tasks.iter().enumerate() {
                let state = &core.tasks[TaskId::from_idx(task)];
                for node in 0..2 {
                    let pair = [expected.shared[node], expected.private[node]];
                    prop_assert_eq!(state.faults[node], pair);
                }
                let found = (state.class, state.ideal, state.target, state.period.as_ms());
                let expected =
                    (expected.class, expected.ideal, expected.target, expected.period);
                prop_assert_eq!(found, expected);
            }
        }
    }
}
