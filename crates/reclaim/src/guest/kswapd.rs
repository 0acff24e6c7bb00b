//! kswapd of each node, and reclaim of a node in the allocator's fast path.

use super::stat::Stat;
use super::state::Guest;
use super::vmscan::{CLUSTER, ScanControl};
use super::zone::Zone;

/// Runs without progress after which a node is given up.
const MAX_FAILURES: u32 = 16;
/// A nap after a run, in ns: a tenth of a second.
const NAP_NS: u64 = 100_000_000;
/// Distance up to which a node reclaims before another gives.
const RECLAIM_DISTANCE: u32 = 30;

/// kswapd of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Kswapd {
    pub(super) running: bool,
    pending: Option<usize>,
    failures: u32,
    nap_until: Option<u64>,
    /// Where it stands, while a simulator lets it run round by round.
    run: Option<Run>,
}

/// A run of kswapd under way.
#[derive(Clone, Debug)]
struct Run {
    class: usize,
    boost: u64,
    total: u64,
    priority: u32,
    control: ScanControl,
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

    /// Wakes a node's kswapd unless it is hopeless or has nothing to do.
    pub(super) fn wake_kswapd(&mut self, node: usize, class: usize) {
        let state = &self.nodes[node];
        if state.running || state.failures >= MAX_FAILURES {
            return;
        }
        let boosted = self.boost_of(node, class) > 0;
        if self.balanced(node, class) && !boosted {
            return;
        }
        let pending = &mut self.nodes[node].pending;
        *pending = Some(pending.map_or(class, |other| other.max(class)));
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
        self.zones.iter().filter(|zone| zone.node == node && zone.class <= class).any(|zone| {
            let reserve = if class > zone.class { zone.reserve } else { 0 };
            zone.free > zone.marks[mark] + zone.boost + reserve
        })
    }

    /// Runs every kswapd that was woken, or whose nap ended out of balance; a simulator does that
    /// itself.
    pub(super) fn run_kswapds(&mut self) {
        if self.outside.attached {
            return;
        }
        for node in 0..self.nr_nodes() {
            let Kswapd { pending, nap_until, .. } = &self.nodes[node];
            if pending.is_none() && nap_until.is_none_or(|due| self.now < due) {
                continue;
            }
            self.end_nap(node);
            if let Some(class) = self.nodes[node].pending.take() {
                let in_fault = std::mem::replace(&mut self.in_fault, false);
                let mut run = self.begin_run(node, class);
                while self.continue_run(node, &mut run) {}
                self.end_run(node, &run);
                self.in_fault = in_fault;
                self.nodes[node].nap_until = Some(self.now + NAP_NS);
            }
        }
    }

    fn end_nap(&mut self, node: usize) {
        if let Some(due) = self.nodes[node].nap_until
            && self.now >= due
        {
            self.nodes[node].nap_until = None;
            if !self.balanced(node, 2) && self.nodes[node].failures < MAX_FAILURES {
                self.nodes[node].pending.get_or_insert(2);
            }
        }
    }

    /// Whether kswapd of a node was woken or is in the middle of a run.
    pub(super) fn kswapd_is_due(&self, node: usize) -> bool {
        self.nodes[node].pending.is_some() || self.nodes[node].run.is_some()
    }

    /// One round of a node's kswapd; false when it goes to sleep, and until when it naps.
    pub(super) fn kswapd_stroke(&mut self, node: usize) -> (bool, Option<u64>) {
        self.end_nap(node);
        let mut run = match (self.nodes[node].run.take(), self.nodes[node].pending) {
            (Some(run), _) => run,
            (None, Some(class)) => {
                self.nodes[node].pending = None;
                self.begin_run(node, class)
            }
            (None, None) => return (false, self.nodes[node].nap_until),
        };
        if self.continue_run(node, &mut run) {
            self.nodes[node].run = Some(run);
            return (true, None);
        }
        self.end_run(node, &run);
        self.nodes[node].nap_until = Some(self.now + NAP_NS);
        (self.nodes[node].pending.is_some(), self.nodes[node].nap_until)
    }

    fn begin_run(&mut self, node: usize, class: usize) -> Run {
        self.vm[Stat::pageoutrun] += 1;
        self.nodes[node].running = true;
        let boost = self.boost_of(node, class);
        let control = self.kswapd_control(class, boost > 0);
        Run { class, boost, total: 0, priority: 12, control }
    }

    /// One round, unless the run is over.
    fn continue_run(&mut self, node: usize, run: &mut Run) -> bool {
        if run.priority < 1 {
            return false;
        }
        let balanced = self.balanced(node, run.class);
        if !balanced && run.boost > 0 {
            run.boost = 0;
            run.control = self.kswapd_control(run.class, false);
            run.priority = 12;
        }
        if balanced && run.boost == 0 {
            return false;
        }
        let boosted = run.boost > 0;
        let (freed, raise) = self.kswapd_round(&mut run.control, node, &mut run.priority, boosted);
        run.total += freed;
        if boosted && freed == 0 {
            return false;
        }
        run.boost = run.boost.saturating_sub(freed);
        if raise || freed == 0 {
            run.priority -= 1;
        }
        true
    }

    fn end_run(&mut self, node: usize, run: &Run) {
        let state = &mut self.nodes[node];
        state.failures = if run.total == 0 { state.failures + 1 } else { 0 };
        state.running = false;
        let own = |zone: &&mut Zone| zone.node == node && zone.class <= run.class;
        self.zones.iter_mut().filter(own).for_each(|zone| zone.boost = 0);
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

    /// One round; gives the pages freed and whether the priority goes up.
    fn kswapd_round(
        &mut self,
        control: &mut ScanControl,
        node: usize,
        priority: &mut u32,
        boosted: bool,
    ) -> (u64, bool) {
        let class = control.class;
        let zones = self.zones.iter().filter(|zone| zone.node == node && zone.class <= class);
        control.want = zones.map(|zone| (zone.marks[2] + zone.boost).max(CLUSTER)).sum();
        control.priority = *priority;
        control.scanned = 0;
        control.reclaimed = 0;
        self.finish_writes();
        self.flush_if_old();
        self.soft_reclaim(control, node);
        self.shrink_node(control, node);
        *priority = control.priority;
        let mut raise = control.scanned < control.want;
        if boosted && *priority == 10 {
            raise = false;
        }
        (control.reclaimed, raise)
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
        if far || foreign || self.nodes[node].running {
            return false;
        }
        let may_unmap = self.knobs.zone_reclaim_mode & 4 != 0;
        let file = self.node_list(node, 2) + self.node_list(node, 3);
        let managed: u64 =
            self.zones.iter().filter(|zone| zone.node == node).map(|zone| zone.managed).sum();
        if file <= managed / 100 {
            return false;
        }
        self.nodes[node].running = true;
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
        self.nodes[node].running = false;
        let success = control.reclaimed > 0;
        self.vm[if success { Stat::zone_reclaim_success } else { Stat::zone_reclaim_failed }] += 1;
        if success {
            self.nodes[node].failures = 0;
        }
        let zone = &self.zones[zone];
        success && zone.free > zone.marks[1] + zone.boost + zone.reserve
    }
}
