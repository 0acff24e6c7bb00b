//! The four programs of autonuma-benchmark with their bound variants.
//!
//! Written by Andrea Arcangeli in 2012; each was built plain, with HARD_BIND (the placement an
//! administrator would choose) and with INVERSE_BIND (meant as the worst one). All accesses are
//! streaming writes. Nothing is left out but `exec`, and the main threads' waiting in `join`.

use std::ops::Range;

use base::{Bytes, CpuMask, MmId, NodeId, NodeMask, stream};
use config::{config, config_enum, in_range, positive};
use topology::Machine;

use crate::generate::build::{Builder, NewProcess, OpenError, Worker, part};
use crate::generate::script::Op;
use crate::{Event, Mempolicy, Workload};

config_enum! {
    /// Which program of autonuma-benchmark.
    pub enum AutonumaProgram {
        /// Two processes of half the CPUs each; every thread sweeps all of its process's 3 GiB 50
        /// times.
        Numa01 = "numa01",
        /// As numa01, but each thread sweeps a slice of its own 1000 times.
        Numa01ThreadAlloc = "numa01_THREAD_ALLOC",
        /// One process with a thread per CPU; each sweeps its own slice of 1 GiB 800 times.
        Numa02 = "numa02",
        /// As numa02, with half as many threads as CPUs.
        Numa02Smt = "numa02_SMT",
    }
}

config_enum! {
    /// How a program of autonuma-benchmark is bound.
    pub enum Variant {
        /// Not bound: the kernel places threads and memory. The first sweep of numa01 and
        /// numa01_THREAD_ALLOC is forced to one node, the same for both processes, as the program
        /// is built since July 2012 (`NO_BIND_FORCE_SAME_NODE`).
        Base = "base",
        /// Not bound, and no node forced: what numa01 without any option was before July 2012.
        /// numa02 is the same as in `base`.
        Unforced = "unforced",
        /// HARD_BIND: threads and memory side by side.
        Hard = "HARD",
        /// INVERSE_BIND: threads and memory apart, as far as the programs do that.
        Inverse = "INV",
    }
}

config! {
    /// A program of autonuma-benchmark.
    pub struct Autonuma {
        /// Which program.
        pub program: AutonumaProgram,
        /// How it is bound.
        pub variant: Variant = Variant::Base,
        /// Factor on the number of sweeps of the main loop (at least one sweep remains). The first
        /// touch is not shortened, so its share grows as this shrinks.
        #[check(positive)]
        pub scale: f64 = 1.0,
        /// Factor on the memory. Less memory is scanned and migrated faster at the same rate of
        /// sweeps, so designs look quicker to converge.
        #[check(in_range(1e-3..=1e3))]
        pub memory_scale: f64 = 1.0,
        /// Sweeps relative to the published source: the form of March 2012 did twice the work.
        #[check(positive)]
        pub work: u64 = 1,
        /// `-m`: as many threads as on a machine with two CPUs a node.
        pub two_per_node: bool = false,
        /// Node on which numa01 and numa01_THREAD_ALLOC start as variant `base`: 0 or 1. Unset, the seed
        /// decides, as the second of the clock did in the program.
        #[check(config::if_some(in_range(0..=1)))]
        pub start_node: Option<u8> = None,
    }
}

const NUMA01_MEMORY: Bytes = Bytes::from_gib(3);
const NUMA02_MEMORY: Bytes = Bytes::from_gib(1);

impl Autonuma {
    pub(super) fn name(&self) -> String {
        match self.variant {
            Variant::Base => self.program.name().to_owned(),
            bound => format!("{}.{bound}", self.program),
        }
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        match self.program {
            AutonumaProgram::Numa01 | AutonumaProgram::Numa01ThreadAlloc => {
                self.numa01(&mut builder, seed)?;
            }
            AutonumaProgram::Numa02 | AutonumaProgram::Numa02Smt => self.numa02(&mut builder)?,
        }
        Ok(builder.finish(digest))
    }

    /// Sweeps of the main loop.
    pub(super) fn sweeps(&self) -> u64 {
        let published = match self.program {
            AutonumaProgram::Numa01 => 50,
            AutonumaProgram::Numa01ThreadAlloc => 1000,
            AutonumaProgram::Numa02 | AutonumaProgram::Numa02Smt => 800,
        };
        (published as f64 * self.work as f64 * self.scale).round().max(1.0) as u64
    }

    fn memory(&self, published: Bytes) -> Bytes {
        Bytes((published.0 as f64 * self.memory_scale).round() as u64)
    }

    /// C, or with `-m` 2 x N.
    fn cpus(&self, builder: &Builder<'_>) -> usize {
        if self.two_per_node { 2 * builder.nodes().len() } else { builder.nr_cpus() }
    }

    fn is_bound(&self) -> bool {
        matches!(self.variant, Variant::Hard | Variant::Inverse)
    }

    /// Nodes, refused if bound to fewer than two.
    fn nodes(&self, builder: &Builder<'_>) -> Result<Vec<NodeId>, OpenError> {
        builder.nodes_at_least(if self.is_bound() { 2 } else { 1 })
    }

    /// CPUs of a process of numa01 and the nodes it is to allocate from, none for any; the second
    /// is kept for the whole run if it is bound, else for the first sweep only.
    fn halves(
        &self,
        builder: &Builder<'_>,
        seed: u64,
    ) -> Result<[(CpuMask, NodeMask); 2], OpenError> {
        let nodes = self.nodes(builder)?;
        let (lower, upper) = nodes.split_at(nodes.len() / 2);
        let mask = |nodes: &[NodeId]| nodes.iter().copied().collect::<NodeMask>();
        let (cpus, upper) = ([builder.cpus_of(lower), builder.cpus_of(upper)], mask(upper));
        Ok(match self.variant {
            Variant::Base => {
                let node = self.start_node.unwrap_or_else(|| {
                    stream(seed, "workload.numa01.start_node", 0).below(2) as u8
                });
                let start = NodeMask::only(nodes[usize::from(node).min(nodes.len() - 1)]);
                [(CpuMask::EMPTY, start), (CpuMask::EMPTY, start)]
            }
            Variant::Unforced => [(CpuMask::EMPTY, NodeMask::EMPTY); 2],
            Variant::Hard => [(cpus[1], upper), (cpus[0], mask(lower))],
            // The program tests for the first mask twice, so that the first process, which should
            // get the lower nodes, keeps the upper ones.
            Variant::Inverse => [(cpus[1], upper), (cpus[0], upper)],
        })
    }

    fn numa01(&self, builder: &mut Builder<'_>, seed: u64) -> Result<(), OpenError> {
        let halves = self.halves(builder, seed)?;
        let nr_threads = (self.cpus(builder) / 2).max(1);
        let size = self.memory(NUMA01_MEMORY);
        let mms = [builder.space("numa01 a", size, None)?, builder.space("numa01 b", size, None)?];
        // The first process forks the second; both then bind themselves and start their threads.
        let second_main = builder.next_thread() + 1 + nr_threads;
        for (number, (mm, (allowed, memory))) in mms.into_iter().zip(halves).enumerate() {
            let pages = builder.pages_of(mm);
            let worker = |idx| Worker {
                allowed,
                programme: self.numa01_thread(mm, &pages, memory, idx, nr_threads),
            };
            let workers = (0..nr_threads).map(worker).collect();
            let first = number == 0;
            let process = NewProcess {
                number: number as u32,
                mm,
                parent: (!first).then_some(0),
                allowed: CpuMask::EMPTY,
                then_bound: allowed,
                children: if first { vec![second_main] } else { Vec::new() },
            };
            let threads = builder.process(process, Vec::new(), workers);
            builder.group(format!("process {number}"), threads, mm, pages);
        }
        Ok(())
    }

    fn numa01_thread(
        &self,
        mm: MmId,
        pages: &Range<u32>,
        memory: NodeMask,
        idx: usize,
        nr_threads: usize,
    ) -> Vec<Op> {
        let shared = self.program == AutonumaProgram::Numa01;
        let own = if shared { pages.clone() } else { part(pages, idx, nr_threads) };
        let mut programme = Vec::new();
        if !memory.is_empty() {
            programme.push(Op::event(Event::SetMempolicy(Mempolicy::Bind(memory))));
        }
        programme.push(Op::write(mm, pages.clone()));
        if self.variant == Variant::Base {
            programme.push(Op::event(Event::SetMempolicy(Mempolicy::Local)));
        }
        programme.push(Op::event(Event::MeasureFrom));
        programme.push(Op::repeat(
            self.sweeps(),
            vec![Op::write(mm, own), Op::event(Event::WorkDone(1))],
        ));
        programme
    }

    fn numa02(&self, builder: &mut Builder<'_>) -> Result<(), OpenError> {
        let nodes = self.nodes(builder)?;
        let cpus = self.cpus(builder);
        let smt = self.program == AutonumaProgram::Numa02Smt;
        let nr_threads = if smt { (cpus / 2).max(1) } else { cpus };
        let mm = builder.space("numa02", self.memory(NUMA02_MEMORY), None)?;
        let pages = builder.pages_of(mm);
        let mut main = Vec::new();
        for (idx, node) in nodes.iter().enumerate() {
            let data = part(&pages, idx, nodes.len());
            if self.is_bound() {
                let bind = Mempolicy::Bind(NodeMask::only(*node));
                main.push(Op::event(Event::Mbind(mm, data.clone(), bind)));
            }
            main.push(Op::write(mm, data));
        }
        main.push(Op::event(Event::MeasureFrom));
        let node_of = |idx: usize| nodes[idx * nodes.len() / nr_threads];
        let worker = |idx: usize| {
            let allowed = match self.variant {
                Variant::Base | Variant::Unforced => CpuMask::EMPTY,
                Variant::Hard => builder.cpus_of(&[node_of(idx)]),
                Variant::Inverse => builder.cpus_of(&[node_of(nr_threads - 1 - idx)]),
            };
            let own = part(&pages, idx, nr_threads);
            let round = vec![Op::write(mm, own), Op::event(Event::WorkDone(1))];
            Worker { allowed, programme: vec![Op::repeat(self.sweeps(), round)] }
        };
        let workers = (0..nr_threads).map(worker).collect();
        let threads = builder.process(NewProcess::free(0, mm), main, workers);
        for idx in 0..nr_threads {
            let thread = threads.start + idx;
            let own = part(&pages, idx, nr_threads);
            builder.group(format!("thread {idx}"), thread..thread + 1, mm, own);
        }
        Ok(())
    }
}
