//! Early AutoNUMA's queues beside a slow transcription of their description.

use proptest::prelude::*;

use super::*;
use crate::testing::World;

/// What happens to both.
#[derive(Clone, Debug)]
enum Op {
    Fault {
        task: usize,
        page: usize,
    },
    Enter,
    /// The migrating thread of a node is asked what it does next.
    Migrated {
        node: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..3, 0usize..5).prop_map(|(task, page)| Op::Fault { task, page }),
        1 => Just(Op::Enter),
        4 => (0usize..3).prop_map(|node| Op::Migrated { node }),
    ]
}

/// Pages a migrating thread takes between two sleeps in these tests.
const BATCH: u64 = 2;

/// The description. Each of the three tasks runs on the node of its number.
#[derive(Debug, Default)]
struct Slow {
    page_nid: [usize; 5],
    last_nid: [Option<usize>; 5],
    /// Pages on the way: page, from, to; the oldest first.
    waiting: Vec<(usize, usize, usize)>,
    fault: [[u64; 3]; 3],
    passes: u64,
    halved: [u64; 3],
    /// By destination: the source served last, and what was taken since the last sleep.
    served: [Option<usize>; 3],
    taken: [u64; 3],
}

impl Slow {
    fn fault(&mut self, this: usize, page: usize) {
        let from = self.page_nid[page];
        let queued = self.waiting.iter().position(|one| one.0 == page);
        let confirmed = self.last_nid[page].replace(this) == Some(this);
        let wanted = (page, from, this);
        if !confirmed || this == from {
            self.waiting.retain(|one| one.0 != page);
        } else if queued.is_none_or(|idx| self.waiting[idx] != wanted) {
            self.waiting.retain(|one| one.0 != page);
            self.waiting.push(wanted);
        }
        if self.halved[this] != self.passes {
            self.halved[this] = self.passes;
            self.fault[this] = self.fault[this].map(|count| count / 2);
        }
        let to = self.waiting.iter().find(|one| one.0 == page).map(|one| one.2);
        self.fault[this][to.unwrap_or(from)] += 1;
    }

    /// The page that the thread of `to` takes; `None`: it sleeps.
    fn take(&mut self, to: usize) -> Option<usize> {
        let mut found = None;
        if self.taken[to] < BATCH {
            // Sources take turns, from the one after the last.
            let first = self.served[to].map_or(0, |source| source + 1);
            for from in (first..first + 3).map(|source| source % 3) {
                let oldest = self.waiting.iter().position(|one| (one.1, one.2) == (from, to));
                if let Some(idx) = oldest {
                    found = Some(self.waiting.remove(idx).0);
                    self.served[to] = Some(from);
                    break;
                }
            }
        }
        if found.is_some() {
            self.taken[to] += 1;
        } else {
            self.taken[to] = 0;
        }
        found
    }
}

proptest! {
    #[test]
    fn pages_wait_and_go_as_described(ops in prop::collection::vec(op(), 1..150)) {
        let mut world = World::new(3, 1);
        let mm = world.add_space();
        let knobs = Knobs { pages_to_migrate: Bytes(BATCH * 4096), ..Knobs::default() };
        let mut design = AutonumaAlpha::new(knobs, &world.machine);
        for cpu in 0..3 {
            let id = world.add_task(mm, cpu);
            design.task_start(&mut world.cx(), id, None);
        }
        let mut slow = Slow::default();
        let mut words = [0; 5];
        for op in ops {
            match op {
                Op::Enter => {
                    slow.passes += 1;
                    design.state.enter(mm);
                }
                Op::Fault { task, page } => {
                    let id = TaskId::from_idx(task);
                    let fault = world.fault(id, slow.page_nid[page] as u8, words[page]);
                    let fault = HintFault { page: page as u32, ..fault };
                    let verdict = design.hint_fault(&mut world.cx(), &fault);
                    prop_assert_eq!(verdict.migrate_to, None);
                    words[page] = verdict.word;
                    slow.fault(task, page);
                }
                Op::Migrated { node } => {
                    let work = design.kthread(&mut world.cx(), node + 1);
                    let expected = match slow.take(node) {
                        Some(page) => {
                            slow.page_nid[page] = node;
                            let to = NodeId::from_idx(node);
                            KthreadWork::Migrate(PageMove { mm, page: page as u32, to })
                        }
                        None => KthreadWork::Sleep(Nanos::from_ms(100)),
                    };
                    prop_assert_eq!(work, expected);
                }
            }
            for page in 0..5 {
                let to = slow.waiting.iter().find(|one| one.0 == page);
                let to = to.map(|one| NodeId::from_idx(one.2));
                prop_assert_eq!(design.queues.destination((mm, page as u32)), to);
            }
            for (task, fault) in slow.fault.iter().enumerate() {
                let counts = &design.state.tasks[TaskId::from_idx(task)].counts;
                prop_assert_eq!(&counts.nodes, &fault.to_vec());
            }
        }
    }
}
