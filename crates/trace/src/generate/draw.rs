//! Accesses drawn one by one: uniform, Zipf, normal, linear, cyclic, and mixtures of them.

use std::ops::Range;

use base::{MmId, PAGE_LINES, Rng};

use crate::generate::permutation::Permutation;
use crate::generate::script::{BATCH_ROWS, Batches};
use crate::generate::zipf::FastZipf;
use crate::{Step, Traffic};

/// How a page is picked among `n`.
#[derive(Clone, Debug)]
pub(super) enum Pick {
    /// All alike.
    Uniform,
    /// By rank, and which page has a rank: in ascending order without a permutation.
    Zipf(FastZipf, Option<Permutation>),
    /// Around the middle, with this standard deviation as a share of the range; what falls outside
    /// is drawn again.
    Normal(f64),
    /// With probability falling linearly to zero at the end of the range.
    Linear,
    /// One after the other, from the given one on and around.
    Cycle(u64),
    /// The cache lines of the range in one random cycle; the number is the place in the cycle.
    Chase(u64, Permutation),
}

impl Pick {
    /// A page number below `nr_pages`, which is not 0.
    fn next(&mut self, nr_pages: u64, rng: &mut Rng) -> u64 {
        match self {
            Self::Uniform => rng.below(nr_pages),
            Self::Zipf(zipf, order) => {
                let rank = zipf.sample(rng);
                order.as_ref().map_or(rank, |order| order.at(rank))
            }
            Self::Normal(deviation) => normal(*deviation, nr_pages, rng),
            Self::Linear => {
                // The inverse of the distribution function 1 - (1 - x)^2.
                let x = 1.0 - (1.0 - rng.unit()).sqrt();
                ((x * nr_pages as f64) as u64).min(nr_pages - 1)
            }
            Self::Cycle(next) => {
                let page = *next % nr_pages;
                *next = page + 1;
                page
            }
            Self::Chase(place, order) => {
                let line = order.at(*place);
                *place = (*place + 1) % (nr_pages * PAGE_LINES);
                line / PAGE_LINES
            }
        }
    }
}

/// A sum of twelve uniform numbers less 6 has mean 0, variance 1 and a shape close enough to the
/// normal one (its tails end at 6 deviations), and needs no transcendental function.
fn normal(deviation: f64, nr_pages: u64, rng: &mut Rng) -> u64 {
    loop {
        let z = (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
        let x = 0.5 + deviation * z;
        if (0.0..1.0).contains(&x) {
            return ((x * nr_pages as f64) as u64).min(nr_pages - 1);
        }
    }
}

/// One component of a mixture.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its share of the accesses, relative to those of the others.
    pub(super) share: f64,
    /// Where it goes.
    pub(super) pages: Range<u32>,
    /// How it picks a page there.
    pub(super) pick: Pick,
}

impl Target {
    fn nr_pages(&self) -> u64 {
        u64::from(self.pages.end - self.pages.start)
    }

    fn is_uniform(&self) -> bool {
        matches!(self.pick, Pick::Uniform)
    }
}

/// What the accesses of a [`Draw`] have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Lines that an access fills.
    pub(super) lines: u16,
    /// Share of accesses that write; their lines return to memory later, so they count twice.
    pub(super) write_share: f64,
    /// Time without memory traffic before each, in ns.
    pub(super) think_ns: u32,
    /// Whether each waits for the one before.
    pub(super) dependent: bool,
}

impl Manner {
    /// Traffic of a read and of a write.
    fn traffic(&self) -> [Traffic; 2] {
        [Traffic::new(self.lines, 0, false), Traffic::new(self.lines, self.lines, true)]
    }
}

/// Draws `count` accesses from a mixture of targets; the targets' state goes on in the next round.
pub(super) struct Draw {
    mm: MmId,
    count: u64,
    left: u64,
    targets: Vec<Target>,
    manner: Manner,
    batches: Batches,
}

impl Draw {
    /// Targets without pages or with no share are left out.
    pub(super) fn new(mm: MmId, count: u64, targets: Vec<Target>, manner: Manner) -> Self {
        let real = |target: &Target| !target.pages.is_empty() && target.share > 0.0;
        let targets: Vec<Target> = targets.into_iter().filter(real).collect();
        Self { mm, count, left: count, targets, manner, batches: Batches::default() }
    }

    /// Whether it gives nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.count == 0 || self.targets.is_empty()
    }

    /// The next batch; `None` at the end of the round.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Option<Step> {
        if self.left == 0 || self.targets.is_empty() {
            self.left = self.count;
            return None;
        }
        let nr_rows = self.left.min(BATCH_ROWS as u64);
        self.left -= nr_rows;
        let Self { mm, targets, manner, batches, .. } = self;
        let Manner { think_ns, dependent, .. } = *manner;
        let step = batches.step(|points| {
            (points.mm, points.sequential, points.dependent) = (*mm, false, dependent);
            points.page.resize(nr_rows as usize, 0);
            points.traffic.resize(nr_rows as usize, Traffic::default());
            points.think_ns.resize(nr_rows as usize, think_ns);
            let rows = points.page.iter_mut().zip(&mut points.traffic);
            match &targets[..] {
                [one] if one.is_uniform() => uniform(rows, [one; 2], false, manner, rng),
                [first, second] if first.is_uniform() && second.is_uniform() => {
                    uniform(rows, [first, second], true, manner, rng);
                }
                _ => mixed(rows, targets, manner, rng),
            }
        });
        Some(step)
    }
}

/// Draws rows from any mixture.
fn mixed<'p>(
    rows: impl Iterator<Item = (&'p mut u32, &'p mut Traffic)>,
    targets: &mut [Target],
    manner: &Manner,
    rng: &mut Rng,
) {
    let kinds = manner.traffic();
    let total: f64 = targets.iter().map(|target| target.share).sum();
    for (page, traffic) in rows {
        let target = choose(targets, total, rng);
        *page = target.pages.start + target.pick.next(target.nr_pages(), rng) as u32;
        let writes = manner.write_share > 0.0 && rng.chance(manner.write_share);
        *traffic = kinds[usize::from(writes)];
    }
}

/// The same from one or two targets of which each picks uniformly, without a branch on what is drawn: it
/// would be mispredicted.
fn uniform<'p>(
    rows: impl Iterator<Item = (&'p mut u32, &'p mut Traffic)>,
    targets: [&Target; 2],
    chooses: bool,
    manner: &Manner,
    rng: &mut Rng,
) {
    let kinds = manner.traffic();
    let [first, second] = targets;
    let total = first.share + second.share;
    let starts = targets.map(|target| target.pages.start);
    let nr_pages = targets.map(Target::nr_pages);
    // A copy stays in registers.
    let mut own = rng.clone();
    for (page, traffic) in rows {
        let idx = usize::from(chooses && own.unit() * total >= first.share);
        *page = starts[idx] + own.below(nr_pages[idx]) as u32;
        let writes = manner.write_share > 0.0 && own.chance(manner.write_share);
        *traffic = kinds[usize::from(writes)];
    }
    *rng = own;
}

/// A target by its share; a single one costs no random number.
fn choose<'t>(targets: &'t mut [Target], total: f64, rng: &mut Rng) -> &'t mut Target {
    let last = targets.len() - 1;
    let mut idx = 0;
    if last > 0 {
        let mut rest = rng.unit() * total;
        while idx < last && rest >= targets[idx].share {
            rest -= targets[idx].share;
            idx += 1;
        }
    }
    &mut targets[idx]
}

#[cfg(test)]
mod tests {
    use base::math;

    use super::*;

    const MANNER: Manner = Manner { lines: 1, write_share: 0.25, think_ns: 7, dependent: false };

    fn pages(mut draw: Draw) -> Vec<u32> {
        let mut rng = base::stream(11, "test.draw", 0);
        let mut pages = Vec::new();
        while let Some(Step::Points(points, rows)) = draw.next(&mut rng) {
            pages.extend_from_slice(&points.page[rows]);
        }
        pages
    }

    fn one(pick: Pick, pages: Range<u32>, count: u64) -> Draw {
        Draw::new(MmId(0), count, vec![Target { share: 1.0, pages, pick }], MANNER)
    }

    fn count(pages: &[u32], nr: usize) -> Vec<u64> {
        let mut counts = vec![0; nr];
        pages.iter().for_each(|page| counts[*page as usize] += 1);
        counts
    }

    #[test]
    fn zipf_ranks_are_as_frequent_as_the_law_says_scrambled_or_not() {
        let (nr, draws, exponent) = (512u32, 400_000, 0.99);
        let total: f64 = (1..=nr).map(|k| math::pow(f64::from(k), -exponent)).sum();
        let order = Permutation::new(u64::from(nr), &mut base::stream(5, "test.order", 0));
        for scramble in [None, Some(order)] {
            let zipf = FastZipf::new(u64::from(nr), exponent);
            let counts =
                count(&pages(one(Pick::Zipf(zipf, scramble.clone()), 0..nr, draws)), nr as usize);
            for rank in [0u64, 1, 9, 99] {
                let page = scramble.as_ref().map_or(rank, |order| order.at(rank));
                let expected = draws as f64 * math::pow(rank as f64 + 1.0, -exponent) / total;
                let off = (counts[page as usize] as f64 - expected).abs();
                assert!(off < 5.0 * expected.sqrt(), "rank {rank}: off by {off} of {expected}");
            }
        }
    }

    #[test]
    fn normal_and_linear_have_their_moments() {
        let mean = |pages: &[u32]| pages.iter().map(|p| f64::from(*p)).sum::<f64>() / 1e5;
        let drawn = pages(one(Pick::Normal(0.1), 0..1000, 100_000));
        let centre = mean(&drawn);
        let spread = drawn.iter().map(|p| (f64::from(*p) - centre) * (f64::from(*p) - centre));
        let deviation = (spread.sum::<f64>() / 1e5).sqrt();
        assert!((centre - 499.5).abs() < 2.0 && (deviation - 100.0).abs() < 2.0);
        // The density 2 (1 - x) has its mean at a third.
        let linear = mean(&pages(one(Pick::Linear, 0..1000, 100_000)));
        assert!((linear - 333.0).abs() < 4.0, "{linear}");
    }

    #[test]
    fn a_chase_visits_every_line_once_a_cycle() {
        let nr = 37u32;
        let order =
            Permutation::new(u64::from(nr) * PAGE_LINES, &mut base::stream(5, "test.order", 1));
        let visited = pages(one(Pick::Chase(0, order), 0..nr, u64::from(nr) * PAGE_LINES * 2));
        assert!(count(&visited, nr as usize).iter().all(|nr| *nr == 2 * PAGE_LINES));
        let (first, second) = visited.split_at(visited.len() / 2);
        assert_eq!(first, second);
        assert!(first.windows(2).filter(|pair| pair[0] == pair[1]).count() < first.len() / 10);
    }

    /// The loop for uniform targets draws what the one for all does.
    #[test]
    fn uniform_targets_are_drawn_as_in_any_mixture() {
        let target = |share, pages| Target { share, pages, pick: Pick::Uniform };
        let all = [target(3.0, 4..10), target(1.7, 10..900)];
        for (targets, write_share) in [(&all[..1], 0.3), (&all[..], 0.3), (&all[..], 0.0)] {
            let manner = Manner { write_share, ..MANNER };
            let drawn = [false, true].map(|any| {
                let (mut page, mut traffic) = ([0; 300], [Traffic::default(); 300]);
                let mut rng = base::stream(11, "test.draw", 2);
                let rows = page.iter_mut().zip(&mut traffic);
                if any {
                    mixed(rows, &mut targets.to_vec(), &manner, &mut rng);
                } else {
                    let pair = [&targets[0], &targets[targets.len() - 1]];
                    uniform(rows, pair, targets.len() > 1, &manner, &mut rng);
                }
                (page, traffic, rng.next_u64())
            });
            assert!(drawn[0] == drawn[1]);
        }
    }

    #[test]
    fn mixtures_and_writes_keep_their_shares() {
        let target = |share, pages| Target { share, pages, pick: Pick::Uniform };
        let targets = vec![target(3.0, 0..10), target(0.0, 50..60), target(1.0, 10..20)];
        let mut draw = Draw::new(MmId(2), 100_000, targets, MANNER);
        let mut rng = base::stream(11, "test.draw", 1);
        let (mut low, mut writes) = (0, 0);
        while let Some(Step::Points(points, rows)) = draw.next(&mut rng) {
            assert_eq!((points.mm, points.think_ns[0]), (MmId(2), 7));
            low += points.page[rows.clone()].iter().filter(|page| **page < 10).count();
            writes += points.traffic[rows].iter().filter(|traffic| traffic.is_write()).count();
        }
        // Five standard deviations of a binomial count are below 700.
        assert!((low as i64 - 75_000).abs() < 700 && (writes as i64 - 25_000).abs() < 700);
    }
}
