//! pmbench-like paging benchmark: threads touch single words of one region by a distribution.
//!
//! Left out: its own histogram of access times (the engine keeps one for every run).

use base::{Bytes, Nanos};
use config::{config, config_enum, in_range, positive};
use topology::Machine;

use crate::generate::build::{Builder, NewProcess, OpenError, Worker, limit, must_end, part};
use crate::generate::draw::{Draw, Manner, Pick, Target};
use crate::generate::gups::counted;
use crate::generate::script::Op;
use crate::generate::synthetic::Init;
use crate::{Event, Workload};

config_enum! {
    /// How pmbench picks pages.
    pub enum Distribution {
        /// All alike.
        Uniform = "uniform",
        /// Around the middle of the region.
        Normal = "normal",
        /// Probability falls linearly to zero at the end.
        Linear = "linear",
        /// One after the other; each thread starts at its own place.
        Sequential = "sequential",
    }
}

config! {
    /// Single words of one region, by a distribution.
    pub struct Pmbench {
        /// Threads; 0 for one a CPU.
        #[check(in_range(0..=4096))]
        pub threads: u32 = 0,
        /// The region.
        #[check(positive)]
        pub footprint: Bytes,
        /// How pages are picked.
        pub distribution: Distribution = Distribution::Normal,
        /// Standard deviation of `normal`, as a share of the region.
        #[check(in_range(0.001..=10.0))]
        pub deviation: f64 = 0.125,
        /// Share of accesses that read.
        #[check(in_range(0.0..=1.0))]
        pub read_share: f64 = 0.8,
        /// Accesses of each thread; 0 until the time is over.
        pub accesses: u64 = 0,
        /// How long the measured part runs; zero for no limit.
        pub run_time: Nanos = Nanos::from_secs(60),
        /// Who touches the region first.
        pub init: Init = Init::MainThread,
        /// Time without memory traffic before each access: taking the time stamp and logging it.
        #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
        pub think: Nanos = Nanos(50),
    }
    check |pmbench, span, cx| {
        must_end(pmbench.accesses, "accesses", pmbench.run_time, span, cx);
    }
}

impl Pmbench {
    pub(super) fn name(&self) -> String {
        "pmbench".to_owned()
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        let nr_threads = builder.nr_threads(self.threads);
        let mm = builder.space("pmbench", self.footprint, None)?;
        let all = builder.pages_of(mm);
        let mut main = Vec::new();
        if self.init == Init::MainThread {
            main.push(Op::write(mm, all.clone()));
        }
        let (write_share, think_ns) = (1.0 - self.read_share, self.think.0 as u32);
        // A measured access is complete before the next one begins.
        let manner = Manner { lines: 1, write_share, think_ns, dependent: true };
        let worker = |idx| {
            let own = part(&all, idx, nr_threads);
            let mut programme = Vec::new();
            if self.init == Init::EachOwn {
                programme.push(Op::write(mm, own.clone()));
            }
            programme.push(Op::event(Event::Barrier { id: 0, parties: nr_threads as u32 }));
            programme.push(Op::event(Event::MeasureFrom));
            let pick = || match self.distribution {
                Distribution::Uniform => Pick::Uniform,
                Distribution::Normal => Pick::Normal(self.deviation),
                Distribution::Linear => Pick::Linear,
                Distribution::Sequential => Pick::Cycle(u64::from(own.start)),
            };
            let total = if self.accesses == 0 { u64::MAX } else { self.accesses };
            programme.extend(counted(total, |count| {
                let target = Target { share: 1.0, pages: all.clone(), pick: pick() };
                Draw::new(mm, count, vec![target], manner)
            }));
            Worker::free(programme)
        };
        let workers = (0..nr_threads).map(worker).collect();
        let threads = builder.process(NewProcess::free(0, mm), main, workers);
        builder.group("pmbench".to_owned(), threads, mm, all.clone());
        let mut workload = builder.finish(digest);
        workload.stop_after = limit(self.run_time);
        Ok(workload)
    }
}
