//! Where a task of numa/core ideally runs: private tasks spread, shared tasks of a process gather.

use base::{CpuId, NodeId, NodeMask, TaskId};

use crate::Cx;

/// What a task is, once there are statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Mostly its own pages.
    Private,
    /// Pages of others too.
    Shared,
}

impl Class {
    /// From faults of both kinds; `None` before any.
    pub(crate) fn of(shared: u64, private: u64) -> Option<Self> {
        if shared + private == 0 {
            return None;
        }
        Some(if shared >= private / 2 { Self::Shared } else { Self::Private })
    }

    /// From the class before as well: private at first, and it takes 3/2 of the shared (or of half
    /// the private) faults to change.
    pub(crate) fn after(before: Option<Self>, shared: u64, private: u64) -> Self {
        let half = private / 2;
        match before {
            None => Self::Private,
            Some(class) if shared + private == 0 => class,
            Some(Self::Private) if shared * 2 >= half * 3 => Self::Shared,
            Some(Self::Shared) if shared * 3 <= half * 2 => Self::Private,
            Some(class) => class,
        }
    }
}

/// What is known of other tasks.
pub(crate) trait Classes {
    fn class(&self, task: TaskId) -> Option<Class>;
}

/// A private task's place: an idle CPU of the node with most idle CPUs, if that has clearly more
/// than its own.
pub(crate) fn spread(cx: &Cx<'_>, task: TaskId) -> Option<CpuId> {
    let here = cx.node_of_task(task);
    let idle = |node: NodeId| cx.sched.node_nr_idle(node);
    let nodes = cx.machine.cpu_nodes();
    let best = nodes.iter().max_by_key(|node| (idle(*node), std::cmp::Reverse(*node)))?;
    if idle(best) <= idle(here) + 1 {
        return None;
    }
    cx.sched.idle_cpus(best).find(|cpu| cx.sched.allowed(task, *cpu))
}

/// Running threads of the task's process on `node`, itself included.
fn buddies(cx: &Cx<'_>, task: TaskId, node: NodeId) -> usize {
    let running = cx.sched.node_cpus(node).iter().filter_map(|cpu| cx.sched.current(*cpu));
    running.filter(|other| cx.tasks[*other].mm == cx.tasks[task].mm).count()
}

/// Nodes with running threads of the task's process.
pub(crate) fn nodes_of_process(cx: &Cx<'_>, task: TaskId) -> NodeMask {
    cx.machine.cpu_nodes().iter().filter(|node| buddies(cx, task, *node) > 0).collect()
}

/// A shared task's place. After "sched: Introduce directed NUMA convergence", linux-mm 2012-12-02,
/// part of the unified tree: first groups spread, else they compress. Left out: relief of
/// overloaded nodes (the balancer does that), groups beyond one process.
pub(crate) fn gather(cx: &Cx<'_>, classes: &impl Classes, task: TaskId) -> Option<CpuId> {
    spread_group(cx, classes, task).or_else(|| compress(cx, classes, task))
}

/// An idle CPU of the idlest node, if the task's group is the smallest on its node and the two
/// nodes' loads of shared tasks come closer when all of it moves there.
fn spread_group(cx: &Cx<'_>, classes: &impl Classes, task: TaskId) -> Option<CpuId> {
    let here = cx.node_of_task(task);
    let shared_on = |node: NodeId| {
        let running = cx.sched.node_cpus(node).iter().filter_map(|cpu| cx.sched.current(*cpu));
        running.filter(|other| classes.class(*other) == Some(Class::Shared))
    };
    let ours = buddies(cx, task, here);
    if shared_on(here).any(|other| buddies(cx, other, here) < ours) {
        return None;
    }
    let nodes = cx.machine.cpu_nodes();
    let idle = |node: &NodeId| (cx.sched.node_nr_idle(*node), std::cmp::Reverse(*node));
    let idlest = nodes.iter().max_by_key(idle).filter(|node| *node != here)?;
    let (from, to) = (shared_on(here).count(), shared_on(idlest).count());
    let after = from.saturating_sub(ours).abs_diff(to + ours);
    if after + 1 > from.abs_diff(to) {
        return None;
    }
    cx.sched.idle_cpus(idlest).find(|cpu| cx.sched.allowed(task, *cpu))
}

/// A CPU on the node with most running threads of the process where somebody gives way (nobody does
/// on a node that is full of them); on its own node its own CPU. Among equals the first node, so that all threads
/// of an evenly spread process agree on one.
fn compress(cx: &Cx<'_>, classes: &impl Classes, task: TaskId) -> Option<CpuId> {
    let own_cpu = cx.sched.cpu_of(task);
    let here = cx.node_of(own_cpu);
    let nodes = cx.machine.cpu_nodes();
    let mut nodes: Vec<_> = nodes.iter().map(|node| (buddies(cx, task, node), node)).collect();
    nodes.sort_by_key(|(nr, node)| (std::cmp::Reverse(*nr), *node));
    nodes.into_iter().find_map(|(nr, node)| match node == here {
        true => Some(own_cpu),
        false => target_on(cx, classes, task, node, nr),
    })
}

/// A CPU of `node` that a shared task may take: idle, else with a private task, else with one of
/// the smallest group there, unless that is larger than its own group there, `ours`.
fn target_on(
    cx: &Cx<'_>,
    classes: &impl Classes,
    task: TaskId,
    node: NodeId,
    ours: usize,
) -> Option<CpuId> {
    let rank = |cpu: CpuId| {
        let Some(other) = cx.sched.current(cpu) else { return Some(0) };
        match classes.class(other) {
            _ if cx.tasks[other].mm == cx.tasks[task].mm => None,
            Some(Class::Private) => Some(1),
            Some(Class::Shared) => Some(1 + buddies(cx, other, node)).filter(|nr| *nr <= 1 + ours),
            None => None,
        }
    };
    let cpus = cx.sched.node_cpus(node).iter().copied();
    let allowed = cpus.filter(|cpu| cx.sched.allowed(task, *cpu));
    allowed.filter_map(|cpu| Some((rank(cpu)?, cpu))).min().map(|(_, cpu)| cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    /// Tasks by class.
    struct Known(Vec<Option<Class>>);

    impl Classes for Known {
        fn class(&self, task: TaskId) -> Option<Class> {
            self.0[task.idx()]
        }
    }

    #[test]
    fn a_task_is_shared_from_half_as_many_shared_faults() {
        assert_eq!(Class::of(0, 0), None);
        assert_eq!(Class::of(49, 100), Some(Class::Private));
        assert_eq!(Class::of(50, 100), Some(Class::Shared));
    }

    #[test]
    fn a_class_has_hysteresis_in_december() {
        let (private, shared) = (Some(Class::Private), Some(Class::Shared));
        assert_eq!(Class::after(None, 100, 0), Class::Private, "at first, whatever it did");
        assert_eq!(Class::after(private, 74, 100), Class::Private);
        assert_eq!(Class::after(private, 75, 100), Class::Shared);
        assert_eq!(Class::after(shared, 34, 100), Class::Shared);
        assert_eq!(Class::after(shared, 33, 100), Class::Private);
        assert_eq!(Class::after(shared, 0, 0), Class::Shared, "nothing was learnt");
        assert_eq!(Class::after(private, 0, 0), Class::Private);
    }

    #[test]
    fn private_tasks_spread_to_clearly_emptier_nodes() {
        let mut world = World::new(2, 3);
        let mm = world.add_space();
        let task = world.add_task(mm, 0);
        assert_eq!(spread(&world.cx(), task), None, "one more idle CPU is not enough");
        world.add_task(mm, 1);
        assert_eq!(spread(&world.cx(), task), Some(CpuId(3)));
    }

    #[test]
    fn shared_tasks_gather_where_most_of_their_process_run() {
        let mut world = World::new(3, 3);
        let (own, other) = (world.add_space(), world.add_space());
        let task = world.add_task(own, 0);
        world.add_task(own, 3);
        world.add_task(own, 4);
        let stranger = world.add_task(other, 5);
        let shared = Some(Class::Shared);
        let mut known = Known(vec![shared; 4]);
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(5)), "a smaller group yields");
        known.0[stranger.idx()] = Some(Class::Private);
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(5)));
        known.0[stranger.idx()] = None;
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(0)), "not managed: left alone");
    }

    #[test]
    fn a_larger_group_keeps_its_node() {
        let mut world = World::new(2, 5);
        let (own, other) = (world.add_space(), world.add_space());
        let task = world.add_task(own, 0);
        for cpu in [5, 6] {
            world.add_task(own, cpu);
        }
        for cpu in [7, 8, 9] {
            world.add_task(other, cpu);
        }
        let known = Known(vec![Some(Class::Shared); 6]);
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(0)));
    }

    /// Node 1 has two threads of the process and a stranger that stays, node 2 one and an idle CPU.
    #[test]
    fn a_node_where_nobody_gives_way_is_passed_over() {
        let mut world = World::new(3, 3);
        let (own, other) = (world.add_space(), world.add_space());
        let task = world.add_task(own, 6);
        for cpu in [3, 4, 0, 1] {
            world.add_task(own, cpu);
        }
        world.add_task(other, 5);
        let mut known = Known(vec![Some(Class::Shared); 6]);
        known.0[5] = None;
        assert_eq!(compress(&world.cx(), &known, task), Some(CpuId(2)));
    }

    #[test]
    fn the_smallest_group_leaves_a_node_for_an_idle_one() {
        let mut world = World::new(2, 6);
        let (small, large) = (world.add_space(), world.add_space());
        let of_small = world.add_task(small, 0);
        world.add_task(small, 1);
        let of_large = world.add_task(large, 2);
        for cpu in [3, 4] {
            world.add_task(large, cpu);
        }
        let known = Known(vec![Some(Class::Shared); 5]);
        assert_eq!(gather(&world.cx(), &known, of_small), Some(CpuId(6)));
        assert_eq!(gather(&world.cx(), &known, of_large), Some(CpuId(2)));
    }
}

#[cfg(test)]
mod twin;
