//! The places of numa/core beside slow transcriptions, on small random machines.

use base::CpuMask;
use proptest::prelude::*;

use super::*;
use crate::testing::World;

const PER_NODE: usize = 3;

/// Who runs on a CPU: process and class.
type Runs = Option<(usize, Option<Class>)>;

struct Known(Vec<Option<Class>>);

impl Classes for Known {
    fn class(&self, task: TaskId) -> Option<Class> {
        self.0[task.idx()]
    }
}

/// A machine as a list of CPUs.
#[derive(Clone, Debug)]
struct Slow {
    cpus: Vec<Runs>,
    /// The CPU of the task that looks for a place, and where it may run.
    own: usize,
    allowed: Vec<bool>,
}

impl Slow {
    fn nr_nodes(&self) -> usize {
        self.cpus.len() / PER_NODE
    }

    fn here(&self) -> usize {
        self.own / PER_NODE
    }

    fn mm(&self) -> usize {
        self.cpus[self.own].expect("somebody runs there").0
    }

    fn on(&self, node: usize) -> Vec<(usize, Runs)> {
        let range = node * PER_NODE..(node + 1) * PER_NODE;
        range.map(|cpu| (cpu, self.cpus[cpu])).collect()
    }

    fn idle(&self, node: usize) -> usize {
        self.on(node).iter().filter(|(_, runs)| runs.is_none()).count()
    }

    /// Threads of a process that run on a node.
    fn group(&self, mm: usize, node: usize) -> usize {
        self.on(node).iter().filter(|(_, runs)| runs.is_some_and(|runs| runs.0 == mm)).count()
    }

    fn shared(&self, node: usize) -> Vec<usize> {
        let on = self.on(node).into_iter().filter_map(|(_, runs)| runs);
        on.filter(|runs| runs.1 == Some(Class::Shared)).map(|runs| runs.0).collect()
    }

    fn idlest(&self) -> usize {
        let mut best = 0;
        for node in 1..self.nr_nodes() {
            if self.idle(node) > self.idle(best) {
                best = node;
            }
        }
        best
    }

    fn idle_cpu(&self, node: usize) -> Option<usize> {
        let free = |(cpu, runs): &(usize, Runs)| runs.is_none() && self.allowed[*cpu];
        self.on(node).into_iter().find(free).map(|(cpu, _)| cpu)
    }

    fn spread(&self) -> Option<usize> {
        let best = self.idlest();
        if self.idle(best) > self.idle(self.here()) + 1 { self.idle_cpu(best) } else { None }
    }

    /// First a whole group leaves for an idler node, if that evens out the shared tasks.
    fn spread_group(&self) -> Option<usize> {
        let (here, to) = (self.here(), self.idlest());
        let ours = self.group(self.mm(), here);
        let smallest = self.shared(here).iter().all(|mm| self.group(*mm, here) >= ours);
        if to == here || !smallest {
            return None;
        }
        let (from_now, to_now) = (self.shared(here).len() as i64, self.shared(to).len() as i64);
        let from_then = (from_now - ours as i64).max(0);
        let to_then = to_now + ours as i64;
        let evener = (from_then - to_then).abs() < (from_now - to_now).abs();
        if evener { self.idle_cpu(to) } else { None }
    }

    /// Else it goes where most of its process is and somebody gives way.
    fn compress(&self) -> usize {
        let mm = self.mm();
        for most in (0..=PER_NODE).rev() {
            for node in (0..self.nr_nodes()).filter(|node| self.group(mm, *node) == most) {
                if node == self.here() {
                    return self.own;
                }
                if let Some(cpu) = self.target_on(node, most).filter(|_| most < PER_NODE) {
                    return cpu;
                }
            }
        }
        unreachable!("its own node is among them")
    }

    fn target_on(&self, node: usize, most: usize) -> Option<usize> {
        let on = || self.on(node).into_iter().filter(|(cpu, _)| self.allowed[*cpu]);
        if let Some((cpu, _)) = on().find(|(_, runs)| runs.is_none()) {
            return Some(cpu);
        }
        let others = || on().filter_map(|(cpu, runs)| runs.map(|runs| (cpu, runs)));
        let others = || others().filter(|(_, runs)| runs.0 != self.mm());
        if let Some((cpu, _)) = others().find(|(_, runs)| runs.1 == Some(Class::Private)) {
            return Some(cpu);
        }
        for size in 1..=most {
            let yields = |(_, runs): &(usize, (usize, Option<Class>))| {
                runs.1 == Some(Class::Shared) && self.group(runs.0, node) == size
            };
            if let Some((cpu, _)) = others().find(yields) {
                return Some(cpu);
            }
        }
        None
    }
}

fn runs() -> impl Strategy<Value = Runs> {
    let class = prop_oneof![
        2 => Just(Some(Class::Shared)),
        1 => Just(Some(Class::Private)),
        1 => Just(None),
    ];
    prop::option::weighted(0.7, (0usize..3, class))
}

/// Machines on which somebody runs on `own`, who may run at least there.
fn slow() -> impl Strategy<Value = Slow> {
    let machine = |nr_nodes: usize| {
        let nr = nr_nodes * PER_NODE;
        let cpus = prop::collection::vec(runs(), nr);
        let allowed = prop::collection::vec(prop::bool::weighted(0.9), nr);
        (cpus, allowed, 0..nr, 0usize..3)
    };
    (2usize..4).prop_flat_map(machine).prop_map(|(mut cpus, mut allowed, own, mm)| {
        cpus[own].get_or_insert((mm, Some(Class::Shared)));
        allowed[own] = true;
        Slow { cpus, own, allowed }
    })
}

proptest! {
    #[test]
    fn tasks_spread_and_gather_as_described(slow in slow()) {
        let mut world = World::new(slow.nr_nodes(), PER_NODE);
        let spaces: Vec<_> = (0..3).map(|_| world.add_space()).collect();
        let (mut classes, mut task) = (Vec::new(), None);
        for (cpu, runs) in slow.cpus.iter().enumerate() {
            let Some((mm, class)) = runs else { continue };
            let id = world.add_task(spaces[*mm], cpu as u16);
            classes.push(*class);
            if cpu == slow.own {
                task = Some(id);
            }
        }
        let task = task.expect("somebody runs there");
        let mask: CpuMask = (0..slow.cpus.len())
            .filter(|cpu| slow.allowed[*cpu])
            .map(CpuId::from_idx)
            .collect();
        world.sched.set_affinity(task, mask).expect("some CPU");
        let known = Known(classes);
        let cpu = |cpu: Option<usize>| cpu.map(CpuId::from_idx);
        prop_assert_eq!(spread(&world.cx(), task), cpu(slow.spread()));
        let place = slow.spread_group().unwrap_or_else(|| slow.compress());
        prop_assert_eq!(gather(&world.cx(), &known, task), cpu(Some(place)));
        let nodes = nodes_of_process(&world.cx(), task);
        let expected: NodeMask = (0..slow.nr_nodes())
            .filter(|node| slow.group(slow.mm(), *node) > 0)
            .map(NodeId::from_idx)
            .collect();
        prop_assert_eq!(nodes, expected);
    }
}
