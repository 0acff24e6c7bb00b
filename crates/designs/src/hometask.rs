//! Home nodes and how running tasks get to them: what the scheduler of sched/numa adds.
//!
//! The features NUMA_PULL, NUMA_PULL_BIAS and NUMA_HOT of the 2012 postings, in our words: where
//! load is even, a task off its home goes home when a CPU idles there, or in exchange for a task
//! that does not belong there either.

use base::{CpuId, NodeId, TaskId};
use sched::Permit;

use crate::{Cx, Move};

/// Whether the load balancer may take a task with this home to `to`.
pub(crate) fn permit(cx: &Cx<'_>, task: TaskId, home: Option<NodeId>, to: CpuId) -> Permit {
    let (from, node) = (cx.node_of_task(task), cx.node_of(to));
    let Some(home) = home.filter(|_| from != node) else { return Permit::Default };
    let distance = |node| cx.machine.distances[(node, home)];
    match distance(node).cmp(&distance(from)) {
        std::cmp::Ordering::Less => Permit::Encourage,
        _ if cx.sched.is_idle(to) => Permit::Default,
        _ => Permit::Resist,
    }
}

/// The way home of a running task, if there is one: an idle CPU, or a partner whose own home is
/// not there.
pub(crate) fn way_home(
    cx: &Cx<'_>,
    task: TaskId,
    home: NodeId,
    home_of: impl Fn(TaskId) -> Option<NodeId>,
) -> Option<Move> {
    let here = cx.node_of_task(task);
    if here == home {
        return None;
    }
    let cpus = || {
        let cpus = cx.sched.node_cpus(home).iter().copied();
        cpus.filter(|cpu| cx.sched.allowed(task, *cpu))
    };
    if let Some(idle) = cpus().find(|cpu| cx.sched.is_idle(*cpu)) {
        return Some(Move::To(idle));
    }
    let partners = || {
        let running = cpus().filter_map(|cpu| cx.sched.current(cpu));
        running.filter(|other| {
            cx.tasks[*other].mm.is_some() && cx.sched.allowed(*other, cx.sched.cpu_of(task))
        })
    };
    // Best is one that comes home too; one without home loses nothing.
    let wants = |other: TaskId, here: Option<NodeId>| home_of(other) == here;
    let elsewhere = |other: TaskId| home_of(other).is_some_and(|other| other != home);
    let found = partners()
        .find(|other| wants(*other, Some(here)))
        .or_else(|| partners().find(|other| elsewhere(*other)))
        .or_else(|| partners().find(|other| wants(*other, None)));
    found.map(Move::Swap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn home_by_an_idle_cpu_or_a_trade() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let task = world.add_task(mm, 0);
        let settled = world.add_task(mm, 2);
        let home = NodeId(1);
        let none = |_: TaskId| None;
        assert_eq!(way_home(&world.cx(), task, home, none), Some(Move::To(CpuId(3))));
        let stranger = world.add_task(mm, 3);
        let homes = |task: TaskId| Some(if task == settled { NodeId(1) } else { NodeId(0) });
        assert_eq!(way_home(&world.cx(), task, home, homes), Some(Move::Swap(stranger)));
        assert_eq!(way_home(&world.cx(), task, home, |_| Some(NodeId(1))), None);
        assert_eq!(way_home(&world.cx(), settled, home, homes), None, "it is there");
    }

    #[test]
    fn the_balancer_is_drawn_homewards() {
        let mut world = World::new(2, 2);
        let mm = world.add_space();
        let task = world.add_task(mm, 0);
        world.add_task(mm, 2);
        let cx = world.cx();
        assert_eq!(permit(&cx, task, Some(NodeId(1)), CpuId(2)), Permit::Encourage);
        assert_eq!(permit(&cx, task, Some(NodeId(0)), CpuId(2)), Permit::Resist);
        assert_eq!(permit(&cx, task, Some(NodeId(0)), CpuId(3)), Permit::Default);
        assert_eq!(permit(&cx, task, None, CpuId(2)), Permit::Default);
    }
}

#[cfg(test)]
mod twin;
