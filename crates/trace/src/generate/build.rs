//! Putting a workload together: spaces, processes, threads and their programmes.

use std::ops::Range;

use base::{Bytes, CpuMask, MmId, MmVec, Nanos, NodeId, NodeMask, stream};
use config::{CpuList, Cx, Span};
use sha2::{Digest, Sha256};
use thiserror::Error;
use topology::Machine;

use crate::generate::script::{Op, Script};
use crate::{Convergence, Event, Group, Mapping, Space, Thread, Workload};

/// Why a workload cannot run on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Bound variants divide the machine by nodes.
    #[error("{workload} needs at least {needed} nodes with CPUs and memory, {machine} has {nr}")]
    TooFewNodes {
        /// Which workload.
        workload: String,
        /// The machine's name.
        machine: String,
        /// Nodes it needs.
        needed: usize,
        /// Nodes there are.
        nr: usize,
    },
    /// A node was named that does not exist or has no memory.
    #[error("{workload} names node {node}, which {machine} does not have or which has no memory")]
    NoSuchNode {
        /// Which workload.
        workload: String,
        /// The machine's name.
        machine: String,
        /// The node.
        node: NodeId,
    },
    /// A CPU was named that does not exist.
    #[error("{workload} names CPU {cpu}, but {machine} has CPUs 0 to {last}")]
    NoSuchCpu {
        /// Which workload.
        workload: String,
        /// The machine's name.
        machine: String,
        /// The CPU's number.
        cpu: usize,
        /// The last CPU's number.
        last: usize,
    },
    /// The sizes do not fit what can be numbered: 2^32 pages a space, 65535 spaces and threads.
    #[error("{workload} is too large: {what}")]
    TooLarge {
        /// Which workload.
        workload: String,
        /// What is too large.
        what: String,
    },
    /// A trace is a file; the caller opens it.
    #[error("the workload is a trace, {file}: open it as one")]
    IsTrace {
        /// The file as named.
        file: String,
    },
}

/// A workload under construction.
pub(super) struct Builder<'m> {
    pub(super) machine: &'m Machine,
    name: String,
    seed: u64,
    spaces: MmVec<Space>,
    threads: Vec<Thread>,
    groups: Vec<Group>,
}

impl<'m> Builder<'m> {
    /// `name` is shown to users and names the random streams.
    pub(super) fn new(name: impl Into<String>, machine: &'m Machine, seed: u64) -> Self {
        let (spaces, threads, groups) = (MmVec::default(), Vec::new(), Vec::new());
        Self { machine, name: name.into(), seed, spaces, threads, groups }
    }

    /// Nodes that have both CPUs and memory, ascending.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        let memory = self.machine.memory_nodes();
        self.machine.cpu_nodes().iter().filter(|node| memory.contains(*node)).collect()
    }

    /// The same, refused if there are fewer than `needed`.
    pub(super) fn nodes_at_least(&self, needed: usize) -> Result<Vec<NodeId>, OpenError> {
        let nodes = self.nodes();
        if nodes.len() >= needed {
            return Ok(nodes);
        }
        let (workload, machine) = (self.name.clone(), self.machine.name.clone());
        Err(OpenError::TooFewNodes { workload, machine, needed, nr: nodes.len() })
    }

    /// CPUs of these nodes.
    pub(super) fn cpus_of(&self, nodes: &[NodeId]) -> CpuMask {
        nodes.iter().flat_map(|node| self.machine.nodes[*node].cpus.iter()).collect()
    }

    /// Number of CPUs of the machine.
    pub(super) fn nr_cpus(&self) -> usize {
        self.machine.cpus.len()
    }

    /// The threads asked for; 0 stands for one a CPU.
    pub(super) fn nr_threads(&self, asked: u32) -> usize {
        if asked == 0 { self.nr_cpus() } else { asked as usize }
    }

    /// A node by number, if it has memory.
    pub(super) fn memory_node(&self, node: NodeId) -> Result<NodeMask, OpenError> {
        if self.machine.memory_nodes().contains(node) {
            return Ok(NodeMask::only(node));
        }
        let (workload, machine) = (self.name.clone(), self.machine.name.clone());
        Err(OpenError::NoSuchNode { workload, machine, node })
    }

    /// The `idx`-th CPU of a list that is used in turn, as a mask; all CPUs if the list is empty.
    pub(super) fn cpu_in_turn(&self, cpus: &CpuList, idx: usize) -> Result<CpuMask, OpenError> {
        let nr = cpus.iter().len();
        let Some(cpu) = cpus.iter().nth(idx.checked_rem(nr).unwrap_or(0)) else {
            return Ok(CpuMask::EMPTY);
        };
        if cpu.idx() < self.nr_cpus() {
            return Ok([cpu].into_iter().collect());
        }
        Err(OpenError::NoSuchCpu {
            workload: self.name.clone(),
            machine: self.machine.name.clone(),
            cpu: cpu.idx(),
            last: self.nr_cpus().saturating_sub(1),
        })
    }

    /// An address space of `size`, mapped as one piece. `thp` is the program's own advice.
    pub(super) fn space(
        &mut self,
        name: impl Into<String>,
        size: Bytes,
        thp: Option<bool>,
    ) -> Result<MmId, OpenError> {
        let too_large = |what: String| OpenError::TooLarge { workload: self.name.clone(), what };
        let nr_pages = size.pages_ceil();
        let end = u32::try_from(nr_pages.0)
            .map_err(|_| too_large(format!("an address space of {size}, 16TiB is the limit")))?;
        if self.spaces.len() >= usize::from(u16::MAX) {
            return Err(too_large("more than 65535 address spaces".to_owned()));
        }
        let whole = Mapping { pages: 0..end, thp, policy: None };
        let mappings = if end > 0 { vec![whole] } else { Vec::new() };
        Ok(self.spaces.push(Space {
            name: name.into(),
            nr_pages,
            file: false,
            executable: false,
            mappings,
        }))
    }

    /// A file of `size`, mapped as one piece.
    pub(super) fn file(
        &mut self,
        name: &str,
        size: Bytes,
        executable: bool,
    ) -> Result<MmId, OpenError> {
        let mm = self.space(name, size, None)?;
        (self.spaces[mm].file, self.spaces[mm].executable) = (true, executable);
        Ok(mm)
    }

    /// All pages of a space.
    pub(super) fn pages_of(&self, mm: MmId) -> Range<u32> {
        // `space` refused what does not fit.
        0..self.spaces[mm].nr_pages.0 as u32
    }

    /// The index that the next thread will have.
    pub(super) fn next_thread(&self) -> usize {
        self.threads.len()
    }

    /// Refuses more threads than a trace can number; to be asked before they are made.
    pub(super) fn admit(&self, nr_threads: u64) -> Result<(), OpenError> {
        if nr_threads <= u64::from(u16::MAX) {
            return Ok(());
        }
        let what = format!("{nr_threads} threads, 65535 are the limit");
        Err(OpenError::TooLarge { workload: self.name.clone(), what })
    }

    /// Adds a thread; its random stream is named after the workload and numbered by the thread.
    pub(super) fn thread(&mut self, thread: NewThread, programme: Vec<Op>) -> usize {
        let idx = self.threads.len();
        let rng = stream(self.seed, &format!("workload.{}", self.name), idx as u64);
        let NewThread { name, process, mm, parent, allowed } = thread;
        let stream = Box::new(Script::new(programme, rng));
        self.threads.push(Thread { name, process, mm, parent, allowed, stream });
        idx
    }

    /// Adds a process: a main thread that does `main`, forks other processes, binds itself, starts the
    /// workers and ends (the program then waits in `join`), and the workers. Gives the workers'
    /// indices.
    pub(super) fn process(
        &mut self,
        process: NewProcess,
        mut main: Vec<Op>,
        workers: Vec<Worker>,
    ) -> Range<usize> {
        let NewProcess { number, mm, parent, allowed, children, then_bound } = process;
        let main_idx = self.next_thread();
        let workers_at = main_idx + 1..main_idx + 1 + workers.len();
        main.extend(children.into_iter().map(|child| Op::event(Event::Spawn(child))));
        if !then_bound.is_empty() {
            main.push(Op::event(Event::SetAffinity(then_bound)));
        }
        main.extend(workers_at.clone().map(|idx| Op::event(Event::Spawn(idx))));
        let name = format!("p{number}");
        self.thread(NewThread { name, process: number, mm, parent, allowed }, main);
        for (idx, worker) in workers.into_iter().enumerate() {
            let name = format!("p{number}.t{idx}");
            let parent = Some(main_idx);
            let Worker { allowed, programme } = worker;
            self.thread(NewThread { name, process: number, mm, parent, allowed }, programme);
        }
        workers_at
    }

    /// Declares that threads belong together and share memory.
    pub(super) fn group(
        &mut self,
        name: String,
        threads: Range<usize>,
        mm: MmId,
        pages: Range<u32>,
    ) {
        self.groups.push(Group { name, threads: threads.collect(), memory: (mm, pages) });
    }

    /// The finished workload; `spec_digest` stands for the settings.
    pub(super) fn finish(self, spec_digest: &str) -> Workload {
        let mut hash = Sha256::new();
        hash.update(spec_digest);
        hash.update(self.seed.to_le_bytes());
        for node in self.machine.nodes.iter() {
            node.cpus.iter().for_each(|cpu| hash.update(cpu.0.to_le_bytes()));
            let memory: u64 = node.zones.iter().map(|zone| zone.managed.0).sum();
            hash.update([0xff, 0xff, u8::from(memory > 0)]);
        }
        let digest = hex(&hash.finalize());
        let Self { name, spaces, threads, groups, .. } = self;
        let (stop_after, convergence) = (None, Convergence::Ignored);
        let memcgs = Vec::new();
        Workload { name, digest, spaces, threads, stop_after, convergence, groups, memcgs }
    }
}

/// A thread to be added.
pub(super) struct NewThread {
    pub(super) name: String,
    pub(super) process: u32,
    pub(super) mm: MmId,
    pub(super) parent: Option<usize>,
    pub(super) allowed: CpuMask,
}

/// A process to be added.
pub(super) struct NewProcess {
    pub(super) number: u32,
    pub(super) mm: MmId,
    pub(super) parent: Option<usize>,
    /// Where its main thread may run from its start.
    pub(super) allowed: CpuMask,
    /// Threads, usually of processes it forks, that its main thread starts before its workers.
    pub(super) children: Vec<usize>,
    /// What its main thread binds itself to after that; empty for nothing new.
    pub(super) then_bound: CpuMask,
}

impl NewProcess {
    /// A process that starts at time zero and may run anywhere.
    pub(super) fn free(number: u32, mm: MmId) -> Self {
        Self {
            number,
            mm,
            parent: None,
            allowed: CpuMask::EMPTY,
            children: Vec::new(),
            then_bound: CpuMask::EMPTY,
        }
    }
}

/// A worker thread to be added.
pub(super) struct Worker {
    pub(super) allowed: CpuMask,
    pub(super) programme: Vec<Op>,
}

impl Worker {
    /// A worker that may run anywhere.
    pub(super) fn free(programme: Vec<Op>) -> Self {
        Self { allowed: CpuMask::EMPTY, programme }
    }
}

/// Part `idx` of `nr` of a range of pages; the parts are disjoint, cover the range and differ by
/// at most one page.
pub(super) fn part(pages: &Range<u32>, idx: usize, nr: usize) -> Range<u32> {
    let length = u64::from(pages.end - pages.start);
    let at = |idx: usize| pages.start + (length * idx as u64 / nr.max(1) as u64) as u32;
    at(idx)..at(idx + 1)
}

/// Bytes of the whole pages that hold each of `nr` pieces of `size`; the largest number when they
/// cannot be counted, which [`Builder::space`] then refuses.
pub(super) fn page_bytes(size: Bytes, nr: u64) -> Bytes {
    let one = size.0.div_ceil(base::PAGE_BYTES).saturating_mul(base::PAGE_BYTES);
    Bytes(one.saturating_mul(nr))
}

/// Refuses settings that end neither after a count (`name` is its key, 0 for none) nor after a time.
pub(super) fn must_end(count: u64, name: &str, run_time: Nanos, span: Span, cx: &mut Cx) {
    if count == 0 && run_time == Nanos::ZERO {
        cx.error(span, format!("neither `{name}` nor `run_time` ends this"), "in this table");
    }
}

/// A run time as a limit; zero means none.
pub(super) fn limit(time: Nanos) -> Option<Nanos> {
    (time > Nanos::ZERO).then_some(time)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_cover_a_range_without_overlap(start in 0u32..1000, length in 0u32..5000, nr in 1usize..70) {
            let pages = start..start + length;
            let parts: Vec<_> = (0..nr).map(|idx| part(&pages, idx, nr)).collect();
            let joined: Vec<u32> = parts.iter().cloned().flatten().collect();
            prop_assert_eq!(joined, pages.collect::<Vec<_>>());
            let sizes = || parts.iter().map(ExactSizeIterator::len);
            prop_assert!(sizes().max().unwrap_or(0) - sizes().min().unwrap_or(0) <= 1);
        }
    }

    #[test]
    fn sizes_that_cannot_be_counted_become_the_largest() {
        assert_eq!(page_bytes(Bytes(1), 3), Bytes(3 * 4096));
        assert_eq!(page_bytes(Bytes(u64::MAX), 1), Bytes::MAX);
        assert_eq!(page_bytes(Bytes(1 << 60), 64), Bytes::MAX);
    }
}
