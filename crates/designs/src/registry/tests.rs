use base::{CpuId, MmId, Nanos, NodeId, Pages, TaskId};
use mm::ScanOutcome;
use proptest::prelude::*;

use super::*;
use crate::testing::World;
use crate::{AllocRequest, KthreadWork, Migration, Move, Placing};

#[test]
fn names_are_unique_and_found() {
    for (idx, Registered { about, .. }) in DESIGNS.iter().enumerate() {
        let first = DESIGNS.iter().position(|other| other.about.name == about.name);
        assert_eq!(first, Some(idx), "{} is there twice", about.name);
        assert!(find(about.name).is_some());
        for text in [about.lineage, about.source, about.left_out] {
            assert!(!text.is_empty(), "{} says too little", about.name);
        }
    }
    assert!(find("no such design").is_none());
}

/// A question to a design.
#[derive(Clone, Debug)]
enum Ask {
    Fault { task: usize, page_node: u8, waited: bool, again: bool },
    Tick { task: usize, ms: u64 },
    Kthread { idx: usize },
    Permit { task: usize, cpu: u16 },
    Alloc { task: usize },
    Exit { task: usize },
}

fn ask() -> impl Strategy<Value = Ask> {
    let fault = (0usize..4, 0u8..2, any::<bool>(), any::<bool>())
        .prop_map(|(task, page_node, waited, again)| Ask::Fault { task, page_node, waited, again });
    prop_oneof![
        6 => fault,
        6 => (0usize..4, 1u64..4000).prop_map(|(task, ms)| Ask::Tick { task, ms }),
        3 => (0usize..8).prop_map(|idx| Ask::Kthread { idx }),
        1 => (0usize..4, 0u16..4).prop_map(|(task, cpu)| Ask::Permit { task, cpu }),
        1 => (0usize..4).prop_map(|task| Ask::Alloc { task }),
        1 => (0usize..4).prop_map(|task| Ask::Exit { task }),
    ]
}

/// Puts one question, checks that the answer names what exists, and does what it asks for.
fn put(world: &mut World, design: &mut dyn Placement, words: &mut [u32; 4], ask: &Ask) {
    let id = TaskId::from_idx;
    match *ask {
        Ask::Fault { task, page_node, waited, again } => {
            let word = if again { words[task] } else { 0 };
            let fault = crate::HintFault { waited, ..world.fault(id(task), page_node, word) };
            let verdict = design.hint_fault(&mut world.cx(), &fault);
            words[task] = verdict.word;
            if let Some(to) = verdict.migrate_to {
                assert!(to.idx() < 2 && !waited, "{verdict:?} for {fault:?}");
                let from = NodeId(page_node);
                let migration =
                    Migration { task: id(task), from, to, pages: Pages(1), moved: again };
                design.migration_done(&mut world.cx(), &migration);
            }
            place(world, design, id(task), Placing::HintFault);
        }
        Ask::Tick { task, ms } => {
            world.now += Nanos::from_ms(ms);
            world.tasks[id(task)].cpu_time += Nanos::from_ms(ms);
            let plan = design.scan(&mut world.cx(), id(task));
            let why = if plan.is_some() { Placing::ScanDone } else { Placing::Tick };
            walk(world, design, id(task), plan);
            place(world, design, id(task), why);
        }
        Ask::Kthread { idx } if idx < design.kthreads().len() => {
            if let KthreadWork::Scan(plan) = design.kthread(&mut world.cx(), idx) {
                walk(world, design, id(0), Some(plan));
            }
        }
        Ask::Kthread { .. } => {}
        Ask::Permit { task, cpu } => {
            design.can_migrate_task(&mut world.cx(), id(task), CpuId(cpu));
        }
        Ask::Alloc { task } => {
            let request = AllocRequest {
                task: id(task),
                cpu: CpuId(0),
                node: NodeId(0),
                mm: MmId(0),
                page: 1,
                pages: Pages(1),
            };
            design.alloc_policy(&mut world.cx(), &request);
        }
        Ask::Exit { task } => design.task_exit(&mut world.cx(), id(task)),
    }
}

/// Walks as long as the design asks; it must come to an end.
fn walk(
    world: &mut World,
    design: &mut dyn Placement,
    task: TaskId,
    plan: Option<crate::ScanPlan>,
) {
    let mut next = plan;
    for _ in 0..20 {
        let Some(plan) = next else { return };
        assert!(plan.mm.idx() < world.spaces.len() && plan.start <= plan.end);
        let outcome: ScanOutcome = world.memory.scan(&plan);
        next = design.scan_done(&mut world.cx(), task, &outcome, Nanos::from_us(10));
    }
    panic!("a scan without end");
}

fn place(world: &mut World, design: &mut dyn Placement, task: TaskId, why: Placing) {
    match design.place_task(&mut world.cx(), task, why) {
        Some(Move::To(cpu)) => assert!(cpu.idx() < 4),
        Some(Move::Swap(other)) => assert!(other != task && other.idx() < 4),
        None => {}
    }
}

proptest! {
    /// Whatever is asked in whatever order, every design answers with nodes, CPUs and tasks that
    /// exist, and its scans end.
    #[test]
    fn every_design_answers_every_question(asks in prop::collection::vec(ask(), 1..80)) {
        for registered in DESIGNS {
            let mut world = World::new(2, 2);
            let spaces = [world.add_space(), world.add_space()];
            let mut design = (registered.build_default)(&world.machine);
            for cpu in 0..4u16 {
                let task = world.add_task(spaces[usize::from(cpu / 2)], cpu);
                let parent = (cpu % 2 == 1).then(|| TaskId::from_idx(task.idx() - 1));
                design.task_start(&mut world.cx(), task, parent);
            }
            let mut words = [0; 4];
            for ask in &asks {
                put(&mut world, design.as_mut(), &mut words, ask);
            }
        }
    }
}
