//! kswapd of each node, and reclaim of a node in the allocator's fast path.

use super::stat::Stat;
use super::state::Guest;
use super::vmscan::{CLUSTER, ScanControl};
use super::walk::Round;

/// Runs without progress after which a node is given up.
const MAX_FAILURES: u32 = 16;
/// A nap after a run, in ns: a tenth of a second.
const NAP_NS: u64 = 100_000_000;
/// Distance up to which a node reclaims before another gives.
const RECLAIM_DISTANCE: u32 = 30;

/// kswapd of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Kswapd {
    /// Inside a run.
    pub(super) running: bool,
    /// The allocator reclaims the node itself.
    locked: bool,
    /// A run is to come.
    pending: bool,
    /// Highest class of zones that anybody asked for since a run began, whether or not it woke kswapd
    /// (`kswapd_highest_zoneidx`); the class of the last run.
    asked: Option<usize>,
    class: usize,
    failures: u32,
    nap_until: Option<u64>,
    /// Where it stands.
    run: Option<Run>,
    /// How it shares the CPU.
    pub(super) turn: super::beside::Turn,
}

impl Kswapd {
    /// Whether it has nothing to do before some later time, if ever.
    #[inline]
    pub(super) fn is_idle(&self, now: u64) -> bool {
        !self.pending && self.run.is_none() && self.nap_until.is_none_or(|due| now < due)
    }
}

#[cfg(test)]
impl Kswapd {
    /// One that was given up.
    pub(super) fn hopeless() -> Self {
        Self { failures: MAX_FAILURES, ..Self::default() }
    }

    /// Highest class of zones that anybody has asked for.
    pub(super) fn asked(&self) -> Option<usize> {
        self.asked
    }
}

/// A run of kswapd under way.
#[derive(Clone, Debug)]
struct Run {
    class: usize,
    /// What was to be freed because of boosts, and is still.
    boosts: Vec<u64>,
    boost: u64,
    total: u64,
    priority: u32,
    control: ScanControl,
    round: Option<Round>,
    /// Ended because there was no need for more.
    balanced: bool,
}

/// How far a step of a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A batch; the round goes on.
    Batch,
    /// To the end of a round.
    Round,
    /// To the end of the run.
    Run,
}

impl Guest {
    /// Wakes kswapd of every node that an allocation may use.
    pub(super) fn wake_all(&mut self, head: usize, mask: u64) {
        for place in 0..self.fallback[head].len() {
            let node = self.zones[self.fallback[head][place]].node;
            if mask >> node & 1 != 0 {
                self.wake_kswapd(node, 2);
            }
        }
    }

    /// Wakes a node's kswapd unless it is hopeless or has nothing to do. In any case it is told of the
    /// class of zones, which decides about its next run, and whether it goes on after this one.
    pub(super) fn wake_kswapd(&mut self, node: usize, class: usize) {
        let state = &mut self.nodes[node];
        state.asked = state.asked.max(Some(class));
        if state.failures >= MAX_FAILURES || state.running || state.pending {
            return;
        }
        if self.balanced(node, class) && self.boost_of(node, class) == 0 {
            return;
        }
        self.begin_turns(node);
        self.nodes[node].pending = true;
    }

    fn boost_of(&self, node: usize, class: usize) -> u64 {
        self.zones
            .iter()
            .filter(|zone| zone.node == node && zone.class <= class)
            .map(|zone| zone.boost)
            .sum()
    }

    /// Whether some zone of a class is above its high watermark (promo in tiering mode).
    fn balanced(&self, node: usize, class: usize) -> bool {
        let mark = if self.knobs.numa_balancing & 2 != 0 { 3 } else { 2 };
        self.zones
            .iter()
            .filter(|zone| zone.node == node && zone.class <= class)
            .any(|zone| zone.free > zone.marks[mark] + zone.boost + zone.held_from(class))
    }

    /// Wakes a node's kswapd whose nap ended out of balance.
    pub(super) fn end_nap(&mut self, node: usize) {
        if let Some(due) = self.nodes[node].nap_until
            && self.now >= due
        {
            self.nodes[node].nap_until = None;
            let class = self.nodes[node].class;
            if !self.balanced(node, class) && self.nodes[node].failures < MAX_FAILURES {
                self.begin_turns(node);
                self.nodes[node].pending = true;
            }
        }
    }

    /// When a node's kswapd looks again, if it naps.
    pub(super) fn nap_of(&self, node: usize) -> Option<u64> {
        self.nodes[node].nap_until
    }

    /// Whether kswapd of a node was woken or is in the middle of a run.
    #[inline]
    pub(super) fn kswapd_is_due(&self, node: usize) -> bool {
        self.nodes[node].pending || self.nodes[node].run.is_some()
    }

    /// Up to the end of a round of a node's kswapd; false when it goes to sleep, and until when it
    /// naps.
    pub(super) fn kswapd_stroke(&mut self, node: usize) -> (bool, Option<u64>) {
        self.end_nap(node);
        if !self.kswapd_is_due(node) {
            return (false, self.nodes[node].nap_until);
        }
        loop {
            match self.step_kswapd(node) {
                Step::Batch => {}
                Step::Round => return (true, None),
                Step::Run => {
                    return (self.nodes[node].pending, self.nodes[node].nap_until);
                }
            }
        }
    }

    /// A batch of a node's kswapd that is due.
    pub(super) fn step_kswapd(&mut self, node: usize) -> Step {
        let mut run = match self.nodes[node].run.take() {
            Some(run) => run,
            None => self.begin_run(node),
        };
        let step = self.step_run(node, &mut run);
        if step == Step::Run {
            self.end_run(node, &run);
            let class = self.nodes[node].asked.unwrap_or(run.class);
            self.nodes[node].class = class;
            if self.balanced(node, class) || self.nodes[node].failures >= MAX_FAILURES {
                self.nodes[node].nap_until = Some(self.now + NAP_NS);
            } else {
                self.nodes[node].pending = true;
            }
        } else {
            self.nodes[node].run = Some(run);
        }
        step
    }

    fn begin_run(&mut self, node: usize) -> Run {
        let state = &mut self.nodes[node];
        let class = state.asked.take().unwrap_or(state.class);
        (state.class, state.pending) = (class, false);
        self.vm[Stat::pageoutrun] += 1;
        self.nodes[node].running = true;
        self.nodes[node].nap_until = None;
        let boosts = self.zones.iter().map(|zone| {
            let own = zone.node == node && zone.class <= class;
            if own { zone.boost } else { 0 }
        });
        let boosts: Vec<u64> = boosts.collect();
        let boost = boosts.iter().sum();
        let control = self.kswapd_control(class, boost > 0);
        Run { class, boosts, boost, total: 0, priority: 12, control, round: None, balanced: false }
    }

    /// One batch, unless the run is over.
    fn step_run(&mut self, node: usize, run: &mut Run) -> Step {
        let mut round = match run.round.take() {
            Some(round) => round,
            None => {
                if run.priority < 1 {
                    return Step::Run;
                }
                let balanced = self.balanced(node, run.class);
                if !balanced && run.boost > 0 {
                    run.boost = 0;
                    run.control = self.kswapd_control(run.class, false);
                    run.priority = 12;
                }
                if balanced && run.boost == 0 {
                    run.balanced = true;
                    return Step::Run;
                }
                self.begin_kswapd_round(run, node)
            }
        };
        if self.step_round(&mut run.control, node, &mut round) {
            run.round = Some(round);
            return Step::Batch;
        }
        run.priority = run.control.priority;
        let freed = run.control.reclaimed;
        run.total += freed;
        let boosted = run.boost > 0;
        if boosted && freed == 0 {
            return Step::Run;
        }
        run.boost = run.boost.saturating_sub(freed);
        let raise = run.control.scanned < run.control.want && !(boosted && run.priority == 10);
        if raise || freed == 0 {
            run.priority -= 1;
        }
        Step::Round
    }

    fn end_run(&mut self, node: usize, run: &Run) {
        let state = &mut self.nodes[node];
        if run.total > 0 {
            state.failures = 0;
        } else if !run.balanced {
            state.failures += 1;
        }
        state.running = false;
        for (zone, seen) in self.zones.iter_mut().zip(&run.boosts) {
            zone.boost = zone.boost.saturating_sub(*seen);
        }
        let root = self.lruvec(0, node);
        self.lruvecs[root].refaults = self.lruvecs[root].stale.activated;
    }

    fn kswapd_control(&self, class: usize, boosted: bool) -> ScanControl {
        ScanControl {
            class,
            kswapd: true,
            may_swap: !boosted,
            may_write: !boosted,
            may_unmap: true,
            ..ScanControl::default()
        }
    }

    fn begin_kswapd_round(&mut self, run: &mut Run, node: usize) -> Round {
        let control = &mut run.control;
        let zones = self.zones.iter().filter(|zone| zone.node == node && zone.class <= run.class);
        control.want = zones.map(|zone| (zone.marks[2] + zone.boost).max(CLUSTER)).sum();
        control.priority = run.priority;
        control.scanned = 0;
        control.reclaimed = 0;
        self.finish_writes();
        self.flush_if_old();
        self.soft_reclaim(control, node);
        self.begin_round(control, node)
    }

    /// Whether reclaim of a node, tried because a zone is at its mark, made room.
    pub(super) fn node_reclaim(&mut self, zone: usize, head: usize) -> bool {
        if self.knobs.zone_reclaim_mode == 0 {
            return false;
        }
        let node = self.zones[zone].node;
        let here = self.cpus[self.cpu].node as usize;
        let far = self.config.distances[head][node] > RECLAIM_DISTANCE;
        let foreign = node != here && self.config.cpus.get(node).is_some_and(|cpus| *cpus > 0);
        if far || foreign || self.nodes[node].locked {
            return false;
        }
        let may_unmap = self.knobs.zone_reclaim_mode & 4 != 0;
        let file = self.node_list(node, 2) + self.node_list(node, 3);
        let managed: u64 =
            self.zones.iter().filter(|zone| zone.node == node).map(|zone| zone.managed).sum();
        if file <= managed / 100 {
            return false;
        }
        self.nodes[node].locked = true;
        let mut control = ScanControl {
            class: 2,
            want: CLUSTER,
            priority: 4,
            may_unmap,
            may_write: self.knobs.zone_reclaim_mode & 2 != 0,
            may_swap: true,
            ..ScanControl::default()
        };
        loop {
            self.shrink_node(&mut control, node);
            if control.reclaimed > 0 || control.priority == 0 {
                break;
            }
            control.priority -= 1;
        }
        self.nodes[node].locked = false;
        let success = control.reclaimed > 0;
        self.vm[if success { Stat::zone_reclaim_success } else { Stat::zone_reclaim_failed }] += 1;
        if success {
            self.nodes[node].failures = 0;
        }
        let zone = &self.zones[zone];
        success && zone.free > zone.marks[1] + zone.boost + zone.reserve
    }
}
