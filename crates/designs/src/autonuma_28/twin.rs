//! Late AutoNUMA's hint fault beside a slow transcription of its description.

use base::NodeId;
use proptest::prelude::*;

use super::*;
use crate::testing::World;

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
    /// The scanner enters a process.
    Enter {
        mm: usize,
    },
    Wait {
        ms: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let fault = (0usize..3, 0usize..4, any::<bool>(), prop::bool::weighted(0.1), any::<bool>());
    prop_oneof![
        8 => fault.prop_map(|(task, page, huge, waited, moves)| {
            Op::Fault { task, page, huge, waited, moves }
        }),
        2 => (0usize..2).prop_map(|mm| Op::Enter { mm }),
        1 => (1u64..150).prop_map(|ms| Op::Wait { ms }),
    ]
}

/// Pages that may go to a node per window in these tests.
const LIMIT: u64 = 1024;

/// A vector of faults by node, with the pass it was halved in.
#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    fault: [u64; 2],
    pass: u64,
    false_sharing: bool,
}

/// The description.
#[derive(Debug, Default)]
struct Slow {
    now: u64,
    task: [Stats; 3],
    mm: [Stats; 2],
    /// Passes begun by process.
    passes: [u64; 2],
    last_nid: [Option<u8>; 4],
    /// By node: end of the window, and what went there in it.
    window: [(u64, u64); 2],
}

fn process(task: usize) -> usize {
    usize::from(task == 2)
}

impl Slow {
    /// First half of a fault: whether the page is to go to `this`.
    fn memory_follows(&mut self, task: usize, page: usize, nodes: [u8; 2], first: bool) -> bool {
        let [this, page_nid] = nodes;
        let mut ok = true;
        if self.last_nid[page] != Some(this) {
            if self.last_nid[page].is_some() || !first {
                ok = false;
                self.task[task].false_sharing = true;
            }
            self.last_nid[page] = Some(this);
        }
        ok && !self.task[task].false_sharing && this != page_nid
    }

    /// Whether the window of a node has room for a migration, which then is in it.
    fn window_has_room(&mut self, node: u8, pages: u64) -> bool {
        let (end, moved) = &mut self.window[usize::from(node)];
        if self.now >= *end {
            (*end, *moved) = (self.now + 100, 0);
        }
        let room = *moved + pages <= LIMIT;
        *moved += if room { pages } else { 0 };
        room
    }

    /// Second half: the page was found, or has been brought, to `access`.
    fn cpu_follows(&mut self, task: usize, access: u8, pages: u64) {
        let mm = process(task);
        if self.task[task].pass != self.passes[mm] {
            self.task[task].pass = self.passes[mm];
            self.task[task].fault = self.task[task].fault.map(|count| count / 2);
            self.task[task].false_sharing = false;
            if self.mm[mm].pass != self.passes[mm] {
                self.mm[mm].pass = self.passes[mm];
                self.mm[mm].fault = self.mm[mm].fault.map(|count| count / 2);
            }
        }
        self.task[task].fault[usize::from(access)] += pages;
        self.mm[mm].fault[usize::from(access)] += pages;
    }
}

proptest! {
    #[test]
    fn it_decides_as_described(
        ops in prop::collection::vec(op(), 1..120), first: bool, full: bool,
    ) {
        let mut world = World::new(2, 2);
        let spaces = [world.add_space(), world.add_space()];
        let knobs = Knobs {
            pages_to_migrate: Bytes::from_mib(4),
            migrate_allow_first_fault: first,
            ..Knobs::default()
        };
        let mut design = Autonuma28::new(knobs, &world.machine);
        for (task, cpu) in [0, 2, 3].into_iter().enumerate() {
            let id = world.add_task(spaces[process(task)], cpu);
            design.task_start(&mut world.cx(), id, None);
        }
        if full {
            world.fill(1);
        }
        let mut slow = Slow::default();
        let (mut words, mut page_nodes) = ([0; 4], [0u8, 1, 0, 1]);
        for op in ops {
            match op {
                Op::Wait { ms } => {
                    slow.now += ms;
                    world.now += Nanos::from_ms(ms);
                }
                Op::Enter { mm } => {
                    slow.passes[mm] += 1;
                    design.state.enter(spaces[mm]);
                }
                Op::Fault { task, page, huge, waited, moves } => {
                    let id = TaskId::from_idx(task);
                    let pages = if huge { 512 } else { 1 };
                    let fault = world.fault(id, page_nodes[page], words[page]);
                    let fault = HintFault { pages: Pages(pages), waited, ..fault };
                    let verdict = design.hint_fault(&mut world.cx(), &fault);
                    words[page] = verdict.word;
                    let (this, page_nid) = (fault.node.0, fault.page_node.0);
                    let expected = slow.memory_follows(task, page, [this, page_nid], first)
                        && !waited
                        && !(full && this == 1)
                        && slow.window_has_room(this, pages);
                    prop_assert_eq!(verdict.migrate_to, expected.then_some(NodeId(this)));
                    if expected {
                        let (from, to) = (NodeId(page_nid), NodeId(this));
                        let migration =
                            Migration { task: id, from, to, pages: Pages(pages), moved: moves };
                        design.migration_done(&mut world.cx(), &migration);
                        page_nodes[page] = if moves { this } else { page_nid };
                    }
                    slow.cpu_follows(task, page_nodes[page], pages);
                }
            }
            for (task, stats) in slow.task.iter().enumerate() {
                let state = &design.state.tasks[TaskId::from_idx(task)];
                prop_assert_eq!(&state.counts.nodes, &stats.fault.to_vec());
                prop_assert_eq!(state.counts.total, stats.fault.iter().sum::<u64>());
                prop_assert_eq!(state.false_sharing, stats.false_sharing);
            }
            for (mm, stats) in spaces.iter().zip(&slow.mm) {
                prop_assert_eq!(&design.state.spaces[*mm].counts.nodes, &stats.fault.to_vec());
            }
        }
    }
}
