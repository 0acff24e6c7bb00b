//! STREAM (John McCalpin): four kernels over three arrays.
//!
//! Bytes count as STREAM counts them: copy and scale 2, add and triad 3 times an array. The line
//! that a store fetches before it overwrites it is left out, as in STREAM's figures.

use base::{Bytes, Nanos};
use config::{config, in_range, positive};
use topology::Machine;

use crate::generate::build::{Builder, NewProcess, OpenError, Worker, part};
use crate::generate::script::{Op, PAGE_READ, PAGE_WRITE, sweep_of};
use crate::generate::synthetic::Init;
use crate::{Event, Workload};

config! {
    /// STREAM with threads that own slices of the arrays.
    pub struct Stream {
        /// The three arrays together; mmtests takes 512 MiB.
        #[check(positive)]
        pub footprint: Bytes = Bytes::from_mib(512),
        /// Threads; 0 for two a node, as mmtests does.
        #[check(in_range(0..=4096))]
        pub threads: u32 = 0,
        /// How often the four kernels run.
        #[check(positive)]
        pub iterations: u64 = 5,
        /// Who touches the arrays first: each thread its slices, which is ideal for first touch, or
        /// the main thread, which is its worst case.
        pub init: Init = Init::EachOwn,
        /// Time an element's arithmetic adds to each page of each array.
        #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
        pub think: Nanos = Nanos::ZERO,
    }
}

/// Pages of one array that a thread handles before it turns to the next array: near enough to
/// element by element, and cheap.
const BLOCK: u32 = 16;

impl Stream {
    pub(super) fn name(&self) -> String {
        "stream".to_owned()
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        let nr_threads = match self.threads {
            0 => 2 * builder.nodes_at_least(1)?.len(),
            threads => threads as usize,
        };
        let mm = builder.space("stream", self.footprint, None)?;
        let all = builder.pages_of(mm);
        let array = all.end / 3;
        let arrays = [0..array, array..2 * array, 2 * array..3 * array];
        let mut main = Vec::new();
        if self.init == Init::MainThread {
            main.push(Op::write(mm, all.clone()));
        }
        let worker = |idx| {
            let [a, b, c] = arrays.clone().map(|array| part(&array, idx, nr_threads));
            let mut programme = Vec::new();
            if self.init == Init::EachOwn {
                programme.extend([&a, &b, &c].map(|slice| Op::write(mm, slice.clone())));
            }
            let meet = || Op::event(Event::Barrier { id: 0, parties: nr_threads as u32 });
            programme.push(meet());
            programme.push(Op::event(Event::MeasureFrom));
            let kernel = |from: &[_], to: &_| {
                let mut sweeps: Vec<_> = from
                    .iter()
                    .map(|slice| sweep_of(mm, Clone::clone(*slice), PAGE_READ))
                    .collect();
                sweeps.push(sweep_of(mm, Clone::clone(to), PAGE_WRITE));
                sweeps.iter_mut().for_each(|sweep| sweep.think_ns = self.think.0 as u32);
                let bytes = sweeps.iter().map(|sweep| u64::from(sweep.nr_pages)).sum::<u64>();
                let done = Event::WorkDone(base::Pages(bytes).bytes().0);
                vec![Op::lockstep(sweeps, BLOCK), Op::event(done), meet()]
            };
            let copy = kernel(&[&a], &c);
            let scale = kernel(&[&c], &b);
            let add = kernel(&[&a, &b], &c);
            let triad = kernel(&[&b, &c], &a);
            let round = [copy, scale, add, triad].into_iter().flatten().collect();
            programme.push(Op::repeat(self.iterations, round));
            Worker::free(programme)
        };
        let workers = (0..nr_threads).map(worker).collect();
        let threads = builder.process(NewProcess::free(0, mm), main, workers);
        builder.group("stream".to_owned(), threads, mm, all);
        Ok(builder.finish(digest))
    }
}
