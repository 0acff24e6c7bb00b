//! The flows of reclaim: priorities, the walk over groups, and who calls.

use super::stat::Stat;
use super::state::Guest;

/// Pages wanted at least.
pub(super) const CLUSTER: u64 = 32;
/// Priority to begin with.
const DEF_PRIORITY: u32 = 12;

/// What one reclaim call may do, wants, and has done.
#[derive(Clone, Debug, Default)]
pub(super) struct ScanControl {
    pub(super) target: u16,
    pub(super) want: u64,
    pub(super) priority: u32,
    /// Highest class of zones looked at.
    pub(super) class: usize,
    pub(super) kswapd: bool,
    pub(super) may_swap: bool,
    pub(super) may_write: bool,
    pub(super) may_unmap: bool,
    pub(super) no_demotion: bool,
    pub(super) reclaimed: u64,
    pub(super) scanned: u64,
    pub(super) may_deactivate: [bool; 2],
    pub(super) force_deactivate: bool,
    pub(super) skipped_deactivate: bool,
    /// A whole run freed nothing: low protection does not count.
    pub(super) is_rerun: bool,
    pub(super) skipped_low: bool,
    /// Pages of the visited group that its lists are scanned less for: min, low.
    pub(super) protection: [u64; 2],
    pub(super) full_walk: bool,
    pub(super) cache_trim: bool,
    pub(super) no_cache_trim: bool,
    pub(super) file_is_tiny: bool,
    pub(super) cost: [u64; 2],
    pub(super) nr_dirty: u64,
    pub(super) nr_congested: u64,
    pub(super) nr_immediate: u64,
    pub(super) nr_taken: u64,
    pub(super) nr_unqueued: u64,
    pub(super) order: u32,
}

impl ScanControl {
    /// Whether the whole machine is reclaimed.
    pub(super) fn is_root(&self) -> bool {
        self.target == 0
    }

    #[inline]
    pub(super) fn note(&mut self, outcome: &super::shrink::Outcome, taken: u64) {
        self.nr_dirty += outcome.dirty;
        self.nr_congested += outcome.congested;
        self.nr_immediate += outcome.immediate;
        self.nr_taken += taken;
        self.nr_unqueued += outcome.unqueued;
    }
}

impl Guest {
    /// Counts scanned or reclaimed pages: a limit's reclaim is not in /proc/vmstat's totals.
    #[inline]
    pub(super) fn count_scan(
        &mut self,
        control: &ScanControl,
        memcg: u16,
        kswapd: Stat,
        kind: Stat,
        nr: u64,
    ) {
        if nr == 0 {
            return;
        }
        let stat = match (control.kswapd, kswapd) {
            (true, stat) => stat,
            (false, Stat::pgscan_kswapd) => Stat::pgscan_direct,
            (false, _) => Stat::pgsteal_direct,
        };
        self.count_memcg(memcg, stat, nr);
        if control.is_root() {
            self.vm[stat] += nr;
        }
        self.vm[kind] += nr;
    }

    /// Swap slots that a group may still take.
    #[inline]
    pub(super) fn swap_left(&self, memcg: u16) -> u64 {
        let mut left = self.swap.free();
        if left == 0 {
            return 0;
        }
        let mut at = Some(memcg);
        while let Some(index) = at {
            let group = &self.memcgs[index as usize];
            left = left.min(group.swap_max.saturating_sub(group.swap));
            at = group.parent;
        }
        left
    }

    /// Whether anonymous pages can go anywhere.
    #[inline]
    pub(super) fn can_reclaim_anon(&self, memcg: u16, node: usize, control: &ScanControl) -> bool {
        self.swap_left(memcg) > 0 || self.can_demote(node, control)
    }

    /// Whether aging anonymous pages makes sense at all.
    pub(super) fn can_age_anon(&self, _memcg: u16, control: &ScanControl) -> bool {
        self.swap.total() > 0
            || (!control.no_demotion && self.knobs.demotion && self.nr_nodes() > 1)
    }

    /// Reclaims from a group, for its limit or for memory.high. Gives the pages freed.
    pub(super) fn reclaim_memcg(&mut self, target: u16, nr: u64) -> u64 {
        let control = ScanControl {
            target,
            want: nr.max(CLUSTER),
            class: 2,
            may_swap: true,
            may_unmap: true,
            may_write: true,
            ..ScanControl::default()
        };
        let node = self.cpus[self.cpu].node as usize;
        let nodes = self.node_order(node, u64::MAX);
        self.try_to_free(control, &nodes)
    }

    /// Reclaims for an allocation that found no page. Gives the pages freed.
    pub(super) fn direct_reclaim(&mut self, head: usize, mask: u64) -> u64 {
        let control = ScanControl {
            target: 0,
            want: CLUSTER,
            class: 2,
            may_swap: true,
            may_unmap: true,
            may_write: true,
            ..ScanControl::default()
        };
        let nodes = self.node_order(head, mask);
        self.try_to_free(control, &nodes)
    }

    fn node_order(&self, head: usize, mask: u64) -> Vec<usize> {
        let mut nodes = Vec::new();
        for zone in &self.fallback[head] {
            let node = self.zones[*zone].node;
            if mask >> node & 1 != 0 && !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }

    fn try_to_free(&mut self, mut control: ScanControl, nodes: &[usize]) -> u64 {
        let in_fault = std::mem::replace(&mut self.in_fault, false);
        let (began, outermost) = (self.now, self.outside.begin_stall());
        self.flush_if_old();
        let freed = loop {
            control.priority = DEF_PRIORITY;
            loop {
                self.finish_writes();
                control.scanned = 0;
                for node in nodes {
                    self.soft_reclaim(&mut control, *node);
                    self.shrink_node(&mut control, *node);
                }
                if control.reclaimed >= control.want {
                    break;
                }
                self.stall_for_writes(&mut control);
                if control.priority == 0 {
                    break;
                }
                control.priority -= 1;
            }
            for node in nodes {
                let lruvec = self.lruvec(control.target, *node);
                self.lruvecs[lruvec].refaults = self.lruvecs[lruvec].stale.activated;
            }
            if control.reclaimed > 0 {
                break control.reclaimed;
            }
            if !control.full_walk && !control.is_root() {
                control.full_walk = true;
            } else if control.skipped_deactivate {
                control.force_deactivate = true;
                control.skipped_deactivate = false;
            } else if control.skipped_low {
                control.is_rerun = true;
                control.skipped_low = false;
                control.force_deactivate = false;
            } else {
                break 0;
            }
        };
        self.in_fault = in_fault;
        if outermost {
            self.outside.end_stall(self.now - began);
        }
        freed
    }

    /// Sleeps until writes end when nothing but pages under writeback is left to take.
    fn stall_for_writes(&mut self, control: &mut ScanControl) {
        if control.nr_unqueued > 0 && control.nr_unqueued == control.nr_taken {
            self.wake_flusher();
        }
        let all_congested = control.nr_congested > 0 && control.nr_congested == control.nr_dirty;
        let stuck = control.priority <= 1 && control.reclaimed == 0 && self.has_writes();
        if (all_congested && control.nr_taken > 0) || stuck {
            self.sleep_in_reclaim(4_000_000);
        }
        (control.nr_dirty, control.nr_congested, control.nr_taken) = (0, 0, 0);
        (control.nr_immediate, control.nr_unqueued) = (0, 0);
    }

    /// Time passes while the task waits inside the kernel.
    pub(super) fn sleep_in_reclaim(&mut self, ns: u64) {
        self.sleep(ns);
        self.flush_if_due();
        self.finish_writes();
        if self.outside.attached {
            // Others run on the CPU meanwhile, and their faults empty its batches: pages whose
            // write has ended must not stay out of sight.
            self.drain_all();
        }
    }

    /// Time passes while the task is off its CPU.
    pub(super) fn sleep(&mut self, ns: u64) {
        self.idle_until(self.now + ns);
        self.outside.note_wait(ns);
    }

    /// What is decided once a node and round, by the reclaimed group's statistics.
    pub(super) fn prepare(&mut self, control: &mut ScanControl, node: usize) {
        let lruvec = self.lruvec(control.target, node);
        let target = &self.lruvecs[lruvec];
        control.cost = target.cost;
        let (stale, refaults) = (target.stale, target.refaults);
        control.may_deactivate = [0, 1].map(|kind: usize| {
            control.force_deactivate
                || stale.activated[kind] != refaults[kind]
                || self.inactive_is_low(lruvec, kind)
        });
        control.cache_trim = stale.size[2] >> control.priority > 0
            && !control.may_deactivate[1]
            && !control.no_cache_trim;
        control.file_is_tiny = false;
        if control.is_root() {
            let file = self.node_list(node, 2) + self.node_list(node, 3);
            let zones = self.zones.iter().filter(|zone| zone.node == node);
            let (free, high) =
                zones.fold((0, 0), |(free, high), zone| (free + zone.free, high + zone.marks[2]));
            let anon = stale.size[0] >> control.priority;
            control.file_is_tiny = file + free <= high && !control.may_deactivate[0] && anon > 0;
        }
    }
}
