//! The way home beside a slow transcription, on small random machines.

use base::CpuMask;
use proptest::prelude::*;

use super::*;
use crate::testing::World;

const PER_NODE: usize = 2;

/// Who runs on a CPU: the home node, if any.
type Runs = Option<Option<u8>>;

/// Best an idle CPU at home; else who wants to come here; else who belongs elsewhere too; else one
/// without a home. `may` says which CPUs the task itself may use, `may_come` which tasks may run
/// on its CPU.
fn slow(cpus: &[Runs], own: usize, home: u8, may: &[bool], may_come: &[bool]) -> Option<usize> {
    let here = (own / PER_NODE) as u8;
    if here == home {
        return None;
    }
    let at_home = || (0..cpus.len()).filter(|cpu| (cpu / PER_NODE) as u8 == home && may[*cpu]);
    let kinds: [&dyn Fn(usize) -> bool; 4] = [
        &|cpu| cpus[cpu].is_none(),
        &|cpu| may_come[cpu] && cpus[cpu] == Some(Some(here)),
        &|cpu| may_come[cpu] && matches!(cpus[cpu], Some(Some(other)) if other != home),
        &|cpu| may_come[cpu] && cpus[cpu] == Some(None),
    ];
    kinds.iter().find_map(|kind| at_home().find(|cpu| kind(*cpu)))
}

proptest! {
    #[test]
    fn tasks_get_home_as_described(
        mut cpus in prop::collection::vec(prop::option::of(prop::option::of(0u8..3)), 3 * PER_NODE),
        own in 0..3 * PER_NODE,
        home in 0u8..3,
        mut may in prop::collection::vec(prop::bool::weighted(0.8), 3 * PER_NODE),
        mut may_come in prop::collection::vec(prop::bool::weighted(0.8), 3 * PER_NODE),
        to in 0..3 * PER_NODE,
    ) {
        cpus[own] = Some(Some(home));
        may[own] = true;
        may_come[own] = true;
        let mut world = World::new(3, PER_NODE);
        let mm = world.add_space();
        let (mut tasks, mut homes) = (vec![None; cpus.len()], Vec::new());
        for (cpu, runs) in cpus.iter().enumerate() {
            if let Some(home) = runs {
                tasks[cpu] = Some(world.add_task(mm, cpu as u16));
                homes.push(home.map(NodeId));
            }
        }
        for (cpu, task) in tasks.iter().enumerate() {
            let Some(task) = task else { continue };
            let allows = |other: &usize| match cpu == own {
                true => may[*other],
                false => *other == cpu || *other != own || may_come[cpu],
            };
            let mask: CpuMask = (0..cpus.len()).filter(allows).map(CpuId::from_idx).collect();
            world.sched.set_affinity(*task, mask).expect("some CPU");
        }
        let task = tasks[own].expect("it runs");
        let cx = world.cx();
        let found = way_home(&cx, task, NodeId(home), |task| homes[task.idx()]);
        let expected = slow(&cpus, own, home, &may, &may_come).map(|cpu| match tasks[cpu] {
            Some(other) => Move::Swap(other),
            None => Move::To(CpuId::from_idx(cpu)),
        });
        prop_assert_eq!(found, expected);
        // NUMA_HOT: nearer to home is welcome; other moves are resisted while the CPU is busy.
        let (here, there) = (own / PER_NODE, to / PER_NODE);
        let permitted = permit(&cx, task, Some(NodeId(home)), CpuId::from_idx(to));
        let expected = if here == there {
            Permit::Default
        } else if there == usize::from(home) {
            Permit::Encourage
        } else if cpus[to].is_none() {
            Permit::Default
        } else {
            Permit::Resist
        };
        prop_assert_eq!(permitted, expected);
    }
}
