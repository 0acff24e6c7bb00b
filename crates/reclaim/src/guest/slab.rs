//! Shrinkers: the arithmetic, leaves of shadows, and dentries.

use super::stat::Stat;
use super::state::Guest;
use super::vmscan::ScanControl;

/// Objects scanned at once.
const BATCH: u64 = 128;
/// The same of a file system's dentries and inodes.
const SUPER_BATCH: u64 = 1024;
/// Bytes of a dentry and its owner's pointer.
pub(super) const DENTRY_BYTES: u64 = 200;

/// Unused dentries of a group, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Dentries {
    pub(super) nr: u64,
}

/// How much of a shrinker's objects to scan: batches, and the work to defer.
fn plan(count: u64, batch: u64, seeks: u64, priority: u32, deferred: u64) -> (Vec<u64>, u64) {
    let delta = ((count >> priority) * 4).checked_div(seeks).unwrap_or(count / 2);
    let mut total = ((deferred >> priority) + delta).min(2 * count);
    let mut scans = Vec::new();
    let mut scanned = 0;
    while total >= batch || total >= count {
        let nr = batch.min(total);
        if nr == 0 {
            break;
        }
        scans.push(nr);
        scanned += nr;
        total -= nr;
    }
    (scans, (deferred + delta).saturating_sub(scanned).min(2 * count))
}

impl Guest {
    /// Names are looked up that do not exist, or files made: each leaves a dentry that the group
    /// of the process pays for.
    pub fn add_dentries(&mut self, cpu: usize, process: u16, nr: u64) {
        self.cpu = cpu;
        let memcg = self.procs[process as usize].memcg;
        self.task = memcg;
        for _ in 0..nr {
            self.now += self.config.costs.minor_ns;
            self.charge_slab(memcg, DENTRY_BYTES, true);
            self.memcgs[memcg as usize].dentries.nr += 1;
        }
    }

    /// Dentries of all groups.
    pub fn nr_dentries(&self) -> u64 {
        self.memcgs.iter().map(|memcg| memcg.dentries.nr).sum()
    }

    /// Offers a share of a group's slab objects to their shrinkers.
    pub(super) fn shrink_slab(&mut self, control: &ScanControl, memcg: u16, node: usize) {
        let lruvec = self.lruvec(memcg, node);
        let leaves = self.count_shadow_leaves(lruvec);
        if leaves > 0 {
            let deferred = self.lruvecs[lruvec].deferred[0];
            let (scans, left) = plan(leaves, BATCH, 0, control.priority, deferred);
            self.lruvecs[lruvec].deferred[0] = left;
            for nr in scans {
                self.vm[Stat::slabs_scanned] += nr;
                self.scan_shadow_leaves(lruvec, nr);
            }
        }
        let dentries = self.memcgs[memcg as usize].dentries.nr;
        if dentries > 0 && node == 0 {
            let deferred = self.lruvecs[lruvec].deferred[1];
            let (scans, left) = plan(dentries, SUPER_BATCH, 2, control.priority, deferred);
            self.lruvecs[lruvec].deferred[1] = left;
            for nr in scans {
                self.vm[Stat::slabs_scanned] += nr;
                let freed = nr.min(self.memcgs[memcg as usize].dentries.nr);
                self.memcgs[memcg as usize].dentries.nr -= freed;
                self.uncharge_slab(memcg, freed * DENTRY_BYTES, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group full of dentries whose other pages give too little: every priority runs.
    #[test]
    fn a_failing_reclaim_call_empties_the_dentry_cache() {
        let (mut left, mut deferred, mut scanned) = (40_935, 0, Vec::new());
        for priority in (0..=12).rev() {
            let (scans, later) = plan(left, SUPER_BATCH, 2, priority, deferred);
            deferred = later;
            let nr: u64 = scans.iter().sum();
            scanned.push(nr);
            left -= nr.min(left);
            if left == 0 {
                break;
            }
        }
        assert_eq!(scanned[..6], [0; 6]);
        assert_eq!(scanned[6..12], [1024, 2048, 4096, 8192, 13_312, 13_312][..scanned.len() - 6]);
    }

    #[test]
    fn shadow_leaves_go_by_halves_of_the_excess() {
        // 200 in excess: half of them is less than a batch, and the rest is deferred.
        assert_eq!(plan(200, BATCH, 0, 12, 0), (Vec::new(), 100));
        assert_eq!(plan(256, BATCH, 0, 12, 0), (vec![128], 0));
    }
}
