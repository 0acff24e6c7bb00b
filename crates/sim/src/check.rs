//! What must hold whenever an epoch has ended, recounted from scratch. Debug builds only: it costs
//! as much as there are tasks.

use base::{NodeId, TaskId};
use sched::TaskState;

use crate::world::World;

impl World {
    /// Recounts run queues and bandwidth; panics on a contradiction.
    pub(crate) fn check_epoch(&self) {
        self.check_run_queues();
        for (idx, resource) in self.machine.resources.iter().enumerate() {
            let (load, capacity) = self.bandwidth.load(idx);
            let fits = load <= capacity * (1.0 + 1e-9);
            assert!(fits, "{}: {load} of {capacity} bytes/s", resource.name);
        }
    }

    /// Every runnable task is on the queue of its own CPU and on no other, every other one on none;
    /// loads are the sums of weights.
    fn check_run_queues(&self) {
        let sched = &self.sched;
        let mut seen = vec![0u32; sched.nr_tasks()];
        for node in self.machine.nodes.ids() {
            let (mut load, mut nr_running) = (0, 0);
            for cpu in sched.node_cpus(node) {
                let mut of_cpu = (0, 0);
                for task in sched.tasks_on(*cpu) {
                    assert_eq!(sched.cpu_of(task), *cpu, "{task} is on a queue of another CPU");
                    seen[task.idx()] += 1;
                    of_cpu = (of_cpu.0 + u64::from(sched.weight(task)), of_cpu.1 + 1);
                }
                assert_eq!(of_cpu, (sched.load(*cpu), sched.nr_running(*cpu)), "CPU {cpu}");
                (load, nr_running) = (load + of_cpu.0, nr_running + of_cpu.1);
            }
            self.check_node(node, load, nr_running);
        }
        for (idx, nr) in seen.into_iter().enumerate() {
            let task = TaskId::from_idx(idx);
            let state = sched.state(task);
            let runnable = matches!(state, TaskState::Queued | TaskState::Running);
            assert_eq!(nr, u32::from(runnable), "{task} is {state:?} and on {nr} queues");
        }
    }

    fn check_node(&self, node: NodeId, load: u64, nr_running: u32) {
        let kept = (self.sched.node_load(node), self.sched.node_nr_running(node));
        assert_eq!((load, nr_running), kept, "node {node}");
    }
}
