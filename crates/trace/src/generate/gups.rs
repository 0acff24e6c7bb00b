//! GUPS: random updates with a hot set, as HeMem (SOSP 2021) and Colloid (SOSP 2024) use it.
//!
//! Each thread owns a part of the region. An operation reads and writes one slot, with a given
//! probability in the hot part, else anywhere in the rest (Colloid; HeMem draws the cold ones from
//! all of it, which differs by the hot part's share of the region). Colloid's threads have a
//! mapping each; here they share an address space.

use std::ops::Range;

use base::{Bytes, Nanos};
use config::{config, config_enum, in_range, positive};
use topology::Machine;

use crate::generate::build::{Builder, NewProcess, OpenError, Worker, limit, must_end, part};
use crate::generate::draw::{Draw, Manner, Pick, Target};
use crate::generate::script::{BATCH_ROWS, Op};
use crate::{Event, Workload};

config_enum! {
    /// Which end of a thread's part is hot.
    pub enum HotAt {
        /// The start: touched first (HeMem).
        Start = "start",
        /// The end: touched last, so first touch puts it into the slow tier once the fast one is
        /// full (Colloid).
        End = "end",
    }
}

config! {
    /// Random updates with a hot set.
    pub struct Gups {
        /// Threads; 0 for one a CPU.
        #[check(in_range(0..=4096))]
        pub threads: u32 = 0,
        /// The region, divided among the threads.
        #[check(positive)]
        pub footprint: Bytes,
        /// The hot parts together.
        pub hot: Bytes,
        /// Share of operations that go there.
        #[check(in_range(0.0..=1.0))]
        pub hot_share: f64 = 0.9,
        /// Where it is in each thread's part.
        pub hot_at: HotAt = HotAt::Start,
        /// Bytes of a slot, which an operation reads.
        #[check(in_range(Bytes(1)..=Bytes(4096)))]
        pub slot: Bytes = Bytes(64),
        /// Share of operations that write it too.
        #[check(in_range(0.0..=1.0))]
        pub write_share: f64 = 1.0,
        /// Operations of each thread; 0 until the time is over.
        pub operations: u64 = 0,
        /// How long the measured part runs; zero for no limit.
        pub run_time: Nanos = Nanos::from_secs(60),
        /// Operations of each thread after which the hot set moves to the other end, once; 0 for
        /// never.
        pub move_after: u64 = 0,
        /// Time without memory traffic of each operation.
        #[check(in_range(Nanos(0)..=Nanos(u32::MAX as u64)))]
        pub think: Nanos = Nanos(5),
    }
    check |gups, span, cx| {
        if gups.hot > gups.footprint {
            cx.error(span, "`hot` is larger than `footprint`", "in this table");
        }
        must_end(gups.operations, "operations", gups.run_time, span, cx);
    }
}

impl Gups {
    pub(super) fn name(&self) -> String {
        "gups".to_owned()
    }

    pub(super) fn open(
        &self,
        machine: &Machine,
        seed: u64,
        digest: &str,
    ) -> Result<Workload, OpenError> {
        let mut builder = Builder::new(self.name(), machine, seed);
        let nr_threads = builder.nr_threads(self.threads);
        let mm = builder.space("gups", self.footprint, None)?;
        let all = builder.pages_of(mm);
        let worker = |idx| {
            let own = part(&all, idx, nr_threads);
            let mut programme = vec![
                Op::write(mm, own.clone()),
                Op::event(Event::Barrier { id: 0, parties: nr_threads as u32 }),
                Op::event(Event::MeasureFrom),
            ];
            let draw = |count, hot_at| {
                let (hot, cold) = self.parts(&own, nr_threads as u64, hot_at);
                let target = |share, pages| Target { share, pages, pick: Pick::Uniform };
                let targets = vec![target(self.hot_share, hot), target(1.0 - self.hot_share, cold)];
                Draw::new(mm, count, targets, self.manner())
            };
            let total = if self.operations == 0 { u64::MAX } else { self.operations };
            let before = if self.move_after == 0 { total } else { self.move_after.min(total) };
            let after = match self.hot_at {
                HotAt::Start => HotAt::End,
                HotAt::End => HotAt::Start,
            };
            programme.extend(counted(before, |count| draw(count, self.hot_at)));
            programme.extend(counted(total - before, |count| draw(count, after)));
            Worker::free(programme)
        };
        let workers = (0..nr_threads).map(worker).collect();
        let threads = builder.process(NewProcess::free(0, mm), Vec::new(), workers);
        builder.group("gups".to_owned(), threads, mm, all.clone());
        let mut workload = builder.finish(digest);
        workload.stop_after = limit(self.run_time);
        Ok(workload)
    }

    fn manner(&self) -> Manner {
        let lines = self.slot.lines_ceil() as u16;
        let (write_share, think_ns) = (self.write_share, self.think.0 as u32);
        Manner { lines, write_share, think_ns, dependent: false }
    }

    /// Hot and cold pages of a thread's part.
    fn parts(&self, own: &Range<u32>, nr_threads: u64, at: HotAt) -> (Range<u32>, Range<u32>) {
        let hot = Bytes(self.hot.0 / nr_threads).pages_ceil().0.min(own.len() as u64) as u32;
        match at {
            HotAt::Start => (own.start..own.start + hot, own.start + hot..own.end),
            HotAt::End => (own.end - hot..own.end, own.start..own.end - hot),
        }
    }
}

/// `total` accesses in batches, each followed by a report of as many units of work.
pub(super) fn counted(total: u64, draw: impl Fn(u64) -> Draw) -> Vec<Op> {
    let batch = BATCH_ROWS as u64;
    let mut ops = vec![Op::repeat(total / batch, counted_as(draw(batch), batch))];
    ops.extend(counted_as(draw(total % batch), total % batch));
    ops
}

/// A draw followed by a report of work; nothing if it has no accesses, since work that takes no
/// time would be reported without end.
pub(super) fn counted_as(draw: Draw, work: u64) -> Vec<Op> {
    if draw.is_idle() {
        return Vec::new();
    }
    vec![Op::Draw(Box::new(draw)), Op::event(Event::WorkDone(work))]
}
