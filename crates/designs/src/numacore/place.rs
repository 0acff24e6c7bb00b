//! Where a task of numa/core ideally runs: private tasks spread, shared tasks of a process gather.

use base::{CpuId, NodeId, TaskId};

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
}

/// What is known of other tasks.
pub(crate) trait Classes {
    fn class(&self, task: TaskId) -> Option<Class>;
    /// Whether a task is on its own ideal node.
    fn is_ideal(&self, cx: &Cx<'_>, task: TaskId) -> bool;
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

/// A shared task's place: a CPU on the node with most running threads of its process that still
/// has room for one; its own CPU when that is its own node.
pub(crate) fn gather(cx: &Cx<'_>, classes: &impl Classes, task: TaskId) -> Option<CpuId> {
    let own_cpu = cx.sched.cpu_of(task);
    let here = cx.node_of(own_cpu);
    let buddies = |node: NodeId| {
        let running = cx.sched.node_cpus(node).iter().filter_map(|cpu| cx.sched.current(*cpu));
        running.filter(|other| cx.tasks[*other].mm == cx.tasks[task].mm).count()
    };
    let mut best: Option<(usize, CpuId)> = None;
    let own_first = std::iter::once(here);
    for node in own_first.chain(cx.machine.cpu_nodes().iter().filter(|node| *node != here)) {
        let nr = buddies(node);
        let is_full = nr >= cx.sched.node_cpus(node).len();
        if is_full && node != here || best.is_some_and(|(most, _)| nr <= most) {
            continue;
        }
        let target = if node == here { Some(own_cpu) } else { target_on(cx, classes, task, node) };
        best = target.map(|cpu| (nr, cpu)).or(best);
    }
    best.map(|(_, cpu)| cpu)
}

/// A CPU of `node` that a shared task may take: idle, or with a private task, or with a shared
/// one of another process that is not ideally placed.
fn target_on(cx: &Cx<'_>, classes: &impl Classes, task: TaskId, node: NodeId) -> Option<CpuId> {
    let cpus = || {
        let cpus = cx.sched.node_cpus(node).iter().copied();
        cpus.filter(|cpu| cx.sched.allowed(task, *cpu))
    };
    let gives_way = |cpu: &CpuId| {
        cx.sched.current(*cpu).is_some_and(|other| match classes.class(other) {
            _ if cx.tasks[other].mm == cx.tasks[task].mm => false,
            Some(Class::Shared) => !classes.is_ideal(cx, other),
            Some(Class::Private) => true,
            None => false,
        })
    };
    cpus().find(|cpu| cx.sched.is_idle(*cpu)).or_else(|| cpus().find(gives_way))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    /// Tasks by class; those in the list are ideally placed.
    struct Known(Vec<Option<Class>>, Vec<usize>);

    impl Classes for Known {
        fn class(&self, task: TaskId) -> Option<Class> {
            self.0[task.idx()]
        }
        fn is_ideal(&self, _cx: &Cx<'_>, task: TaskId) -> bool {
            self.1.contains(&task.idx())
        }
    }

    #[test]
    fn a_task_is_shared_from_half_as_many_shared_faults() {
        assert_eq!(Class::of(0, 0), None);
        assert_eq!(Class::of(49, 100), Some(Class::Private));
        assert_eq!(Class::of(50, 100), Some(Class::Shared));
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
        let mut known = Known(vec![shared; 4], vec![]);
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(5)), "a misplaced one yields");
        known.1 = vec![stranger.idx()];
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(0)), "nobody there gives way");
        known.0[stranger.idx()] = Some(Class::Private);
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(5)));
        known.0[stranger.idx()] = None;
        assert_eq!(gather(&world.cx(), &known, task), Some(CpuId(0)), "not managed: left alone");
    }
}
