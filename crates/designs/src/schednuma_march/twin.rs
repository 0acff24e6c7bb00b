//! March's choice of homes beside slow transcriptions of its description.

use base::CpuMask;
use mm::Order;
use proptest::prelude::*;

use super::*;
use crate::testing::World;

/// A process: home node, CPUs of its threads, milliseconds each has run, pages on each node.
#[derive(Clone, Debug)]
struct Process {
    home: usize,
    cpus: Vec<usize>,
    ran: u64,
    pages: [u64; 3],
    /// Whether its threads may leave their own CPUs' node.
    free: bool,
}

const PER_NODE: usize = 2;
const WEIGHT: i64 = 1024;

fn processes() -> impl Strategy<Value = Vec<Process>> {
    let process = (
        0usize..3,
        prop::collection::vec(0..3 * PER_NODE, 1..4),
        prop::sample::select(vec![0u64, 500, 501, 5000]),
        [0u64..40, 0..40, 0..40],
        prop::bool::weighted(0.8),
    );
    let process =
        process.prop_map(|(home, cpus, ran, pages, free)| Process { home, cpus, ran, pages, free });
    prop::collection::vec(process, 1..6)
}

/// A state in the design and its world.
fn build(processes: &[Process], foreign: [u64; 3], max_mem: u64) -> (World, SchednumaMarch) {
    let mut world = World::new(3, PER_NODE);
    let mut design = SchednumaMarch::new(Knobs::default(), &world.machine);
    for process in processes {
        let mm = world.add_space();
        let mut page = 0;
        for (node, nr) in process.pages.iter().enumerate() {
            let wanted = Mempolicy::Preferred(NodeId::from_idx(node)).wanted(
                NodeId(0),
                base::NodeMask::first(3),
                0,
                None,
            );
            for _ in 0..*nr {
                let at = world.memory.zones.alloc(Order::Base, &wanted).expect("room");
                world.memory.map(mm, page, Order::Base, &at);
                page += 1;
            }
        }
        for cpu in &process.cpus {
            let task = world.add_task(mm, *cpu as u16);
            world.tasks[task].cpu_time = Nanos::from_ms(process.ran);
            if !process.free {
                let node = cpu / PER_NODE * PER_NODE;
                let mask: CpuMask = (node..node + PER_NODE).map(CpuId::from_idx).collect();
                world.sched.set_affinity(task, mask).expect("some CPU");
            }
            design.task_start(&mut world.cx(), task, None);
        }
    }
    for (entity, process) in design.entities.iter_mut().zip(processes) {
        entity.home = NodeId::from_idx(process.home);
    }
    for (node, count) in foreign.iter().enumerate() {
        design.foreign[NodeId::from_idx(node)] = *count;
    }
    design.max_mem = max_mem;
    (world, design)
}

/// Sums over processes whose home is each node.
fn sums(processes: &[Process], of: impl Fn(&Process) -> i64) -> [i64; 3] {
    let on = |node: usize| processes.iter().filter(move |process| process.home == node);
    [0, 1, 2].map(|node| on(node).map(&of).sum())
}

fn off_home(process: &Process) -> i64 {
    process.cpus.iter().filter(|cpu| *cpu / PER_NODE != process.home).count() as i64 * WEIGHT
}

fn pages_of_nodes(processes: &[Process]) -> [i64; 3] {
    [0, 1, 2].map(|node| processes.iter().map(|process| process.pages[node] as i64).sum())
}

/// The first node with the largest positive value, `to` aside.
fn largest(values: [i64; 3], to: usize) -> Option<usize> {
    let mut best: Option<usize> = None;
    for node in (0..3).filter(|node| *node != to && values[*node] > 0) {
        if best.is_none_or(|best| values[node] > values[best]) {
            best = Some(node);
        }
    }
    best
}

/// Homes after a pass of the daemon of `to`.
fn slow_balance(processes: &[Process], foreign: [i64; 3], to: usize, max: i64) -> Vec<usize> {
    let mut homes: Vec<usize> = processes.iter().map(|process| process.home).collect();
    if foreign[to] > 0 {
        return homes;
    }
    let cpu_load = sums(processes, |process| process.cpus.len() as i64 * WEIGHT);
    let remote_cpu = sums(processes, off_home);
    let pages = pages_of_nodes(processes);
    let (by_cpu, by_mem) = (largest(remote_cpu, to), largest(foreign, to));
    let busy = match (by_cpu, by_mem) {
        (Some(cpu), Some(mem)) => {
            // So many times its average each.
            let times = |value: i64, all: [i64; 3]| value as f64 / all.iter().sum::<i64>() as f64;
            let (c, m) = (times(remote_cpu[cpu], remote_cpu), times(foreign[mem], foreign));
            if c >= m { cpu } else { mem }
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return homes,
    };
    let excess_cpu = (cpu_load[busy] - cpu_load[to]) / 2;
    let excess_mem = (pages[busy] - pages[to]) / 2;
    let (mut moved_cpu, mut moved_mem) = (0, 0);
    for (idx, process) in processes.iter().enumerate().filter(|(_, p)| p.home == busy) {
        if moved_cpu >= excess_cpu && moved_mem >= excess_mem {
            break;
        }
        let cpu = process.cpus.len() as i64 * WEIGHT;
        let mem = process.pages.iter().sum::<u64>() as i64;
        let too_large = excess_cpu - moved_cpu < cpu / 2;
        let overflows = pages[to] + moved_mem + mem > max;
        let tied = !process.free && process.cpus.iter().any(|cpu| cpu / PER_NODE != to);
        let young = process.ran * process.cpus.len() as u64 <= 1000;
        if !too_large && !overflows && !tied && !young {
            homes[idx] = to;
            moved_cpu += cpu;
            moved_mem += mem;
        }
    }
    homes
}

proptest! {
    #[test]
    fn daemons_take_over_as_described(
        processes in processes(), foreign in [0u64..3, 0..3, 0..3], to in 0usize..3,
        old_max in 0u64..600,
    ) {
        let (mut world, mut design) = build(&processes, foreign, old_max);
        let largest = pages_of_nodes(&processes).into_iter().max().unwrap_or(0);
        let max = (old_max as i64 + largest) / 2;
        let homes = slow_balance(&processes, foreign.map(|count| count as i64), to, max);
        design.balance(&world.cx(), NodeId::from_idx(to));
        for ((entity, process), home) in design.entities.iter().zip(&processes).zip(homes) {
            prop_assert_eq!(entity.home.idx(), home);
            prop_assert_eq!(entity.lazy, home != process.home, "its memory follows");
        }
        prop_assert_eq!(design.foreign[NodeId::from_idx(to)], 0, "events are counted anew");
    }

    #[test]
    fn a_new_process_chooses_as_described(
        processes in processes(), foreign in [0u64..2, 0..2, 0..2], current in 0usize..3,
    ) {
        let (mut world, design) = build(&processes, foreign, 0);
        let remote_cpu = sums(&processes, off_home);
        let load: Vec<i64> = (0..3)
            .map(|node| {
                let cpus = processes.iter().flat_map(|process| &process.cpus);
                let run = cpus.filter(|cpu| *cpu / PER_NODE == node).count() as i64;
                run * WEIGHT + remote_cpu[node]
            })
            .collect();
        let mut best: Option<usize> = None;
        for node in (0..3).filter(|node| foreign[*node] == 0) {
            if best.is_none_or(|best| load[node] < load[best]) {
                best = Some(node);
            }
        }
        // It stays where it is unless that is more loaded by a tenth.
        let expected = match best {
            Some(best) if load[current] * 100 >= load[best] * 110 && load[current] > load[best] => best,
            _ => current,
        };
        let found = design.choose_home(&world.cx(), NodeId::from_idx(current));
        prop_assert_eq!(found.idx(), expected);
    }
}
