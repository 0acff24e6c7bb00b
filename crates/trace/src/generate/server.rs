//! Server-like processes: Java virtual machines in the manner of SPECjbb2005, and guests of KVM.
//!
//! A process has a region that all its threads visit, and each thread a small one that takes a
//! share of its accesses. At the start memory lies where whichever thread came by allocated it.
//! Accesses are single lines that depend on each other, so latency decides and controllers stay
//! below saturation; work is counted in operations.

use std::ops::Range;

use base::{Bytes, HUGE_PAGE_PAGES, MmId, Nanos, stream};
use config::{Cx, Span, config, each, in_range, not_empty, positive};
use topology::Machine;

use crate::generate::build::{
    Builder, NewProcess, OpenError, Worker, limit, must_end, page_bytes, part,
};
use crate::generate::draw::{Draw, Manner, Pick, Target};
use crate::generate::gups::counted_as;
use crate::generate::perf_bench::ThpAdvice;
use crate::generate::permutation::Permutation;
use crate::generate::script::Op;
use crate::generate::zipf::FastZipf;
use crate::{Event, Traffic, Workload};

config! {
    /// Java virtual machines in the manner of SPECjbb2005: warehouses that share a heap.
    pub struct Specjbb {
        /// Virtual machines; 0 for one a node.
        #[check(in_range(0..=256))]
        pub jvms: u32 = 0,
        /// Threads (warehouses) of each; 0 shares out the machine's CPUs.
        #[check(in_range(0..=4096))]
        pub warehouses: u32 = 0,
        /// Heap of each that all its warehouses visit.
        #[check(positive)]
        pub heap: Bytes = Bytes::from_gib(8),
        /// Live data of each warehouse.
        #[check(positive)]
        pub warehouse: Bytes = Bytes::from_mib(32),
        /// Share of accesses that go to the warehouse's own data.
        #[check(in_range(0.0..=1.0))]
        pub private_share: f64 = 0.25,
        /// Zipf exponent within the warehouse's own data; 0 for uniform.
        #[check(in_range(0.0..=10.0))]
        pub private_exponent: f64 = 0.0,
        /// Share of accesses that write.
        #[check(in_range(0.0..=1.0))]
        pub write_share: f64 = 0.3,
        /// Memory accesses of an operation.
        #[check(in_range(1..=100_000))]
        pub accesses: u32 = 200,
        /// Accesses that follow each other in one page. More make a run cheaper and visits of each
        /// page rarer, at the same think time and share of local lines.
        #[check(in_range(1..=Traffic::MAX_LINES))]
        pub run_length: u16 = 1,
        /// Time without memory traffic before each access.
        #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
        pub think: Nanos = Nanos(115),
        /// Operations of a warehouse in which its own data are re-allocated once on average (the
        /// collector hands out other addresses, from whatever node its thread runs on); 0 for
        /// never.
        pub churn_operations: u64 = 0,
        /// Advice about huge pages, for a run with the kernel's setting of the other kind.
        pub thp: ThpAdvice = ThpAdvice::None,
        /// Operations of each warehouse; 0 until the time is over.
        pub operations: u64 = 0,
        /// Time at work before the measured part, as of earlier points of a series in one process.
        pub warm_up: Nanos = Nanos::ZERO,
        /// How long the measured part runs; zero for no limit.
        pub run_time: Nanos = Nanos::from_secs(240),
        /// Factor on memory and times together; see `perf-bench-numa`.
        #[check(in_range(1e-3..=1.0))]
        pub scale: f64 = 1.0,
    }
    check |jbb, span, cx| {
        whole_runs(jbb.accesses, jbb.run_length, span, cx);
        must_end(jbb.operations, "operations", jbb.run_time, span, cx);
    }
}

config! {
    /// Virtual machines as the host's kernel sees them: processes with a thread per virtual CPU.
    pub struct Kvm {
        /// The guests.
        #[check(not_empty)]
        #[check(each(|guest: &Guest| guest.check()))]
        pub guests: Vec<Guest>,
        /// Share of a virtual CPU's accesses that go to its own working set.
        #[check(in_range(0.0..=1.0))]
        pub private_share: f64 = 0.5,
        /// Zipf exponent of the other accesses over the guest's memory; 0 for uniform.
        #[check(in_range(0.0..=10.0))]
        pub exponent: f64 = 0.8,
        /// Share of accesses that write.
        #[check(in_range(0.0..=1.0))]
        pub write_share: f64 = 0.3,
        /// Accesses that follow each other in one page. More make a run cheaper and visits of each
        /// page rarer, at the same think time and share of local lines.
        #[check(in_range(1..=Traffic::MAX_LINES))]
        pub run_length: u16 = 1,
        /// Time without memory traffic before each access.
        #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
        pub think: Nanos = Nanos(115),
        /// Accesses of an operation.
        #[check(in_range(1..=100_000))]
        pub accesses: u32 = 200,
        /// Advice about huge pages, for a run with the kernel's setting of the other kind.
        pub thp: ThpAdvice = ThpAdvice::None,
        /// Operations of each virtual CPU; 0 until the time is over.
        pub operations: u64 = 0,
        /// Time at work before the measured part, as of earlier points of a series in one process.
        pub warm_up: Nanos = Nanos::ZERO,
        /// How long the measured part runs; zero for no limit.
        pub run_time: Nanos = Nanos::from_secs(60),
        /// Factor on memory and times together; see `perf-bench-numa`.
        #[check(in_range(1e-3..=1.0))]
        pub scale: f64 = 1.0,
    }
    check |kvm, span, cx| {
        whole_runs(kvm.accesses, kvm.run_length, span, cx);
        must_end(kvm.operations, "operations", kvm.run_time, span, cx);
    }
}

/// Refuses operations that end within a run of accesses to one page.
fn whole_runs(accesses: u32, run_length: u16, span: Span, cx: &mut Cx) {
    if !accesses.is_multiple_of(run_length.into()) {
        cx.error(span, "`accesses` is no multiple of `run_length`", "in this table");
    }
}

config! {
    /// A guest.
    pub struct Guest {
        /// Virtual CPUs.
        #[check(in_range(1..=1024))]
        pub vcpus: u32,
        /// Memory.
        #[check(positive)]
        pub memory: Bytes,
        /// Working set of each virtual CPU, inside the memory.
        #[check(positive)]
        pub working_set: Bytes = Bytes::from_mib(256),
    }
}

impl Guest {
    fn check(&self) -> Result<(), String> {
        if self.working_set.0.saturating_mul(u64::from(self.vcpus)) > self.memory.0 {
            return Err("the working sets do not fit the guest's memory".to_owned());
        }
        Ok(())
    }
}

/// A process of threads with a shared and a private region each.
struct Server {
    name: String,
    nr_threads: usize,
    shared: Bytes,
    private: Bytes,
    private_share: f64,
    private_exponent: f64,
    shared_exponent: f64,
    manner: Manner,
    accesses: u32,
    operations: u64,
    churn_operations: u64,
    thp: ThpAdvice,
    warm_up: Nanos,
}

/// The heap grows by huge pages: the unit in which threads allocate it.
const CHUNK: u32 = HUGE_PAGE_PAGES as u32;

impl Server {
    fn add(
        &self,
        builder: &mut Builder<'_>,
        seed: u64,
        number: u32,
        everyone: u32,
    ) -> Result<(), OpenError> {
        let private = page_bytes(self.private, self.nr_threads as u64);
        let size = page_bytes(self.shared, 1).saturating_add(private);
        let mm = builder.space(self.name.clone(), size, self.thp.wants())?;
        let all = builder.pages_of(mm);
        let shared = 0..self.shared.pages_ceil().0 as u32;
        let private = shared.end..all.end;
        let allocations = self.allocations(&all, seed, number);
        let mut rng = stream(seed, "workload.server.order", u64::from(number));
        let hot = Permutation::new(shared.len() as u64, &mut rng);
        let workers = allocations.into_iter().enumerate().map(|(idx, chunks)| {
            let mut programme: Vec<Op> =
                chunks.into_iter().map(|pages| Op::write(mm, pages)).collect();
            programme.push(Op::event(Event::Barrier { id: 0, parties: everyone }));
            programme.push(Op::event(match self.warm_up {
                Nanos::ZERO => Event::MeasureFrom,
                span => Event::MeasureAfter(span),
            }));
            let own = part(&private, idx, self.nr_threads);
            let targets = self.targets(&shared, &hot, own);
            programme.push(self.work(mm, targets, &private));
            Worker::free(programme)
        });
        let workers = workers.collect();
        let threads = builder.process(NewProcess::free(number, mm), Vec::new(), workers);
        builder.group(self.name.clone(), threads, mm, all);
        Ok(())
    }

    /// Which thread allocates which chunk: at random, so that memory lies anywhere.
    fn allocations(&self, all: &Range<u32>, seed: u64, number: u32) -> Vec<Vec<Range<u32>>> {
        let mut rng = stream(seed, "workload.server.allocation", u64::from(number));
        let mut chunks = vec![Vec::new(); self.nr_threads];
        let mut start = all.start;
        while start < all.end {
            let end = all.end.min(start.saturating_add(CHUNK));
            chunks[rng.below(self.nr_threads as u64) as usize].push(start..end);
            start = end;
        }
        chunks
    }

    fn targets(&self, shared: &Range<u32>, hot: &Permutation, own: Range<u32>) -> Vec<Target> {
        let pick = |exponent: f64, pages: &Range<u32>, order: Option<Permutation>| {
            if exponent > 0.0 {
                Pick::Zipf(FastZipf::new(pages.len().max(1) as u64, exponent), order)
            } else {
                Pick::Uniform
            }
        };
        let shared_pick = pick(self.shared_exponent, shared, Some(hot.clone()));
        let own_pick = pick(self.private_exponent, &own, None);
        vec![
            Target { share: 1.0 - self.private_share, pages: shared.clone(), pick: shared_pick },
            Target { share: self.private_share, pages: own, pick: own_pick },
        ]
    }

    /// Operations without end or the given number, with churn in between. A thread re-allocates
    /// chunks of any thread's private data, as a collector's thread does: the page then lies where
    /// that thread runs. All threads together replace all private data once per
    /// `churn_operations`, so each does it for a share equal to its own data.
    fn work(&self, mm: MmId, targets: Vec<Target>, private: &Range<u32>) -> Op {
        let total = if self.operations == 0 { u64::MAX } else { self.operations };
        let operation = || {
            let draw = Draw::new(mm, self.accesses.into(), targets.clone(), self.manner);
            counted_as(draw, 1)
        };
        let chunk = CHUNK.min(private.len() as u32).max(1);
        let own_chunks = (private.len() as u64 / u64::from(chunk) / self.nr_threads as u64).max(1);
        if self.churn_operations == 0 {
            return Op::repeat(total, operation());
        }
        let between = (self.churn_operations / own_chunks).clamp(1, total);
        let round = vec![Op::repeat(between, operation()), Op::recycle(mm, private.clone(), chunk)];
        let whole = Op::repeat(total / between, round);
        Op::repeat(1, vec![whole, Op::repeat(total % between, operation())])
    }
}

impl Specjbb {
    pub(super) fn name(&self) -> String {
        if self.jvms == 1 { "specjbb-single" } else { "specjbb-multi" }.to_owned()
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        let jvms = match self.jvms {
            0 => builder.nodes_at_least(1)?.len() as u32,
            jvms => jvms,
        };
        let nr_threads = match self.warehouses {
            0 => (builder.nr_cpus() / jvms as usize).max(1),
            warehouses => warehouses as usize,
        };
        builder.admit(u64::from(jvms) * (1 + nr_threads as u64))?;
        let scaled = |value: u64| (value as f64 * self.scale).round() as u64;
        for number in 0..jvms {
            let server = Server {
                name: format!("jvm {number}"),
                nr_threads,
                shared: Bytes(scaled(self.heap.0)),
                private: Bytes(scaled(self.warehouse.0)),
                private_share: self.private_share,
                private_exponent: self.private_exponent,
                shared_exponent: 0.0,
                manner: manner(self.write_share, self.think, self.run_length),
                accesses: self.accesses / u32::from(self.run_length),
                operations: self.operations,
                churn_operations: scaled(self.churn_operations),
                thp: self.thp,
                warm_up: Nanos(scaled(self.warm_up.0)),
            };
            server.add(&mut builder, seed, number, jvms * nr_threads as u32)?;
        }
        let mut workload = builder.finish(digest);
        workload.stop_after = limit(Nanos(scaled(self.run_time.0)));
        Ok(workload)
    }
}

impl Kvm {
    pub(super) fn name(&self) -> String {
        "kvm".to_owned()
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        let vcpus: u64 = self.guests.iter().map(|guest| u64::from(guest.vcpus)).sum();
        builder.admit(self.guests.len() as u64 + vcpus)?;
        let scaled = |value: u64| (value as f64 * self.scale).round() as u64;
        for (number, guest) in self.guests.iter().enumerate() {
            let own = guest.working_set.0 * u64::from(guest.vcpus);
            let server = Server {
                name: format!("guest {number}"),
                nr_threads: guest.vcpus as usize,
                shared: Bytes(scaled(guest.memory.0.saturating_sub(own))),
                private: Bytes(scaled(guest.working_set.0)),
                private_share: self.private_share,
                private_exponent: 0.0,
                shared_exponent: self.exponent,
                manner: manner(self.write_share, self.think, self.run_length),
                accesses: self.accesses / u32::from(self.run_length),
                operations: self.operations,
                churn_operations: 0,
                thp: self.thp,
                warm_up: Nanos(scaled(self.warm_up.0)),
            };
            server.add(&mut builder, seed, number as u32, vcpus as u32)?;
        }
        let mut workload = builder.finish(digest);
        workload.stop_after = limit(Nanos(scaled(self.run_time.0)));
        Ok(workload)
    }
}

fn manner(write_share: f64, think: Nanos, lines: u16) -> Manner {
    let think_ns = think.0.saturating_mul(u64::from(lines)).try_into().unwrap_or(u32::MAX);
    Manner { lines, write_share, think_ns, dependent: true }
}
