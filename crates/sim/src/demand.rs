//! What a task is about to ask of memory.

use base::{CACHE_LINE_BYTES, CpuId, HUGE_PAGE_PAGES, NodeId, TaskId};
use mm::{AddressSpace, Pte};
use topology::Pattern;
use trace::Step;

use crate::thread::{Thread, User};

/// What a task wants of the memory system.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Demand {
    pub(crate) task: TaskId,
    pub(crate) cpu: CpuId,
    /// Bytes per byte of progress, by node; sums to 1 for accesses and clears, 2 for copies.
    pub(crate) mix: Vec<f64>,
    pub(crate) pattern: Pattern,
    pub(crate) dependent: bool,
    /// Time without memory traffic per line.
    pub(crate) think_ns: f64,
    pub(crate) smt_busy: bool,
    /// Node whose pages the kernel writes here, and the share of these bytes that stays in the
    /// last-level cache.
    pub(crate) cached: (NodeId, f64),
}

impl Demand {
    pub(crate) fn empty() -> Self {
        Self {
            task: TaskId(0),
            cpu: CpuId(0),
            mix: Vec::new(),
            pattern: Pattern::Sequential,
            dependent: false,
            think_ns: 0.0,
            smt_busy: false,
            cached: (NodeId(0), 0.0),
        }
    }

    /// What it moves to and from memory per byte of progress, by node.
    pub(crate) fn traffic(&self) -> impl Iterator<Item = (NodeId, f64)> {
        let (to, kept) = self.cached;
        let shares = self.mix.iter().enumerate().map(move |(node, share)| {
            let node = NodeId::from_idx(node);
            (node, if node == to { share - kept } else { *share })
        });
        shares.filter(|(_, share)| *share > 0.0)
    }

    /// Turns sums over samples into shares and think time per line; false without traffic.
    fn normalise(&mut self, lines: f64, think_ns: f64) -> bool {
        if lines <= 0.0 {
            return false;
        }
        self.mix.iter_mut().for_each(|share| *share /= lines);
        self.think_ns = think_ns / lines;
        true
    }
}

/// Where pages are, 2 MiB at a time where there are huge pages.
struct Places<'a> {
    ptes: &'a [Pte],
    huge: &'a [u16],
    /// Where absent pages will be.
    local: NodeId,
}

impl Places<'_> {
    /// The node of a page, and how many pages from it on are there as well, as far as that is known at
    /// once.
    fn look(&self, page: usize) -> (NodeId, usize) {
        const HUGE: usize = HUGE_PAGE_PAGES as usize;
        match self.huge.get(page / HUGE) {
            Some(word) if *word != 0 => (Pte(u64::from(*word)).node(), HUGE - page % HUGE),
            _ => {
                let pte = self.ptes[page];
                (if pte.has(Pte::PRESENT) { pte.node() } else { self.local }, 1)
            }
        }
    }
}

/// Samples the pages that the task crosses in the coming epoch; false when its step has no traffic.
pub(crate) fn look_ahead(
    user: &User,
    thread: &Thread,
    space: &AddressSpace,
    local: NodeId,
    samples: usize,
    epoch_s: f64,
    demand: &mut Demand,
) -> bool {
    let places = Places { ptes: &space.ptes, huge: space.huge_words(), local };
    match &user.step {
        Step::Points(points, range) => {
            let rows = range.start + user.done..range.end;
            let stride = (rows.len() / samples).max(1);
            let (mut lines, mut think) = (0.0, 0.0);
            for row in rows.step_by(stride) {
                let moved = f64::from(points.traffic[row].lines());
                let (node, _) = places.look(points.page[row] as usize);
                demand.mix[node.idx()] += moved;
                lines += moved;
                think += f64::from(points.think_ns[row]);
            }
            demand.pattern = if points.sequential { Pattern::Sequential } else { Pattern::Random };
            demand.dependent = points.dependent;
            demand.normalise(lines, think)
        }
        Step::Sweep(sweep) => {
            let lines = f64::from(sweep.traffic.lines());
            let left = sweep.nr_pages as usize - user.done;
            let bytes = thread.rates.bytes_per_s * epoch_s;
            let page_bytes = lines.max(1.0) * CACHE_LINE_BYTES as f64;
            let ahead = if bytes > 0.0 {
                (bytes / page_bytes).ceil() as usize
            } else {
                HUGE_PAGE_PAGES as usize
            };
            let ahead = ahead.clamp(1, left.max(1)).min(left);
            let stride = ahead.div_ceil(samples.max(1)).max(1);
            let first = sweep.page as usize + user.done;
            let (mut page, end) = (first, first + ahead);
            while page < end {
                let (node, nr_pages) = places.look(page);
                // Numbers of lines are whole, so it does not matter how they are added up.
                let nr = nr_pages.min(end - page).div_ceil(stride);
                demand.mix[node.idx()] += nr as f64 * lines;
                page += nr * stride;
            }
            let nr = ahead.div_ceil(stride) as f64;
            demand.pattern = if sweep.sequential { Pattern::Sequential } else { Pattern::Random };
            demand.normalise(nr * lines, nr * f64::from(sweep.think_ns))
        }
        Step::Event(_) | Step::End => false,
    }
}
