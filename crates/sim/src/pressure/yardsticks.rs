//! What the textbook policies would have missed on the run's own stream of accesses.
//!
//! Who runs short are the groups with a limit, and the machine where kswapd had to reclaim or no group
//! has one. Policies may hold as many pages as the group held at most: nothing that the engine did needed
//! more, so Belady's optimum at that size bounds it.

use std::ops::Range;

use base::{MmId, MmVec};
use reclaim::guest::{Gauge, Guest, Stat, Stats};
use reclaim::textbook::{OPTIMUM, Registered};
use reclaim::yardstick::Recording;
use results::{PolicyMisses, YardstickUse};
use trace::{Memcg, Space};

use super::Pressure;

/// Records accesses for the policies that the experiment names.
pub(crate) struct Yardsticks {
    recording: Recording,
    policies: Vec<&'static Registered>,
    scopes: Vec<Scope>,
}

/// A group that may run short of memory.
struct Scope {
    group: u16,
    /// Most pages it held.
    held: u64,
}

impl Yardsticks {
    /// `None` where no policy is named or nothing reclaims.
    pub(crate) fn new(
        policies: &[&'static Registered],
        most: u64,
        pressure: Option<&Pressure>,
        spaces: &MmVec<Space>,
        memcgs: &[Memcg],
    ) -> Option<Box<Self>> {
        let pressure = pressure.filter(|_| !policies.is_empty())?;
        let is_limited = |memcg: &&Memcg| memcg.settings.max.or(memcg.settings.high).is_some();
        let limited = memcgs.iter().filter(is_limited);
        let limited = limited.filter_map(|memcg| pressure.find_group(&memcg.path));
        let scope = |group| Scope { group, held: 0 };
        let sizes = spaces.iter().map(|space| space.nr_pages.0 as u32);
        Some(Box::new(Self {
            recording: Recording::new(sizes, usize::try_from(most).unwrap_or(usize::MAX)),
            policies: policies.to_vec(),
            scopes: std::iter::once(0).chain(limited).map(scope).collect(),
        }))
    }

    /// A process accessed pages, which were there.
    #[inline(never)]
    pub(crate) fn access(
        &mut self,
        pressure: Option<&Pressure>,
        process: u32,
        mm: MmId,
        pages: impl ExactSizeIterator<Item = u32>,
    ) {
        let group = pressure.map_or(0, |pressure| pressure.group_of(process));
        self.recording.access(group, mm.idx(), pages);
    }

    /// A process is about to ask the guest for pages: notes those that are not in memory.
    pub(super) fn note_absent(
        &mut self,
        pressure: &Pressure,
        process: u32,
        mm: MmId,
        pages: Range<u32>,
    ) {
        let group = pressure.group_of(process);
        for page in pages.filter(|page| !pressure.guest.holds(u32::from(mm.0), *page)) {
            self.recording.absent(group, mm.idx(), page);
        }
    }

    /// The guest has served a fault or a read.
    pub(super) fn note_held(&mut self, guest: &Guest) {
        for scope in self.scopes.iter_mut().filter(|_| !self.recording.has_stopped()) {
            let of = |gauge| guest.gauge(scope.group, gauge);
            scope.held = scope.held.max(of(Gauge::Anon) + of(Gauge::File));
        }
    }

    /// The owner of pages freed them.
    pub(super) fn free(&mut self, mm: MmId, pages: Range<u32>) {
        self.recording.free(mm.idx(), pages);
    }

    /// Replays the stream of each group that ran short.
    pub(super) fn finish(self, pressure: &Pressure) -> Vec<YardstickUse> {
        let guest = &pressure.guest;
        let no_limits = self.scopes.len() == 1;
        let ran_short = |scope: &&Scope| {
            let events = events(guest, scope.group);
            let direct = events[Stat::pgsteal_direct];
            // What groups reclaim for their own limits is no shortage of the machine's.
            let counts_direct = scope.group != 0 || no_limits;
            events[Stat::pgsteal_kswapd] + if counts_direct { direct } else { 0 } > 0
        };
        let used = |scope: &Scope| {
            let stream = self.recording.stream(|group| guest.is_below(group, scope.group));
            let capacity = u32::try_from(scope.held).unwrap_or(u32::MAX);
            let misses = |policy: &&'static Registered| PolicyMisses {
                policy: policy.about.name.to_owned(),
                misses: stream.misses(policy, capacity),
            };
            let others =
                self.policies.iter().filter(|policy| policy.about.name != OPTIMUM.about.name);
            YardstickUse {
                path: pressure.groups[usize::from(scope.group)].path.clone(),
                capacity_pages: scope.held,
                accesses: stream.nr_accesses(),
                pages: stream.nr_pages(),
                left_out: self.recording.left_out(),
                misses: stream.missed(),
                best: stream.misses(OPTIMUM, capacity),
                policies: others.map(misses).collect(),
            }
        };
        self.scopes.iter().filter(ran_short).map(used).collect()
    }
}

/// Events of a group, or of the machine.
fn events(guest: &Guest, group: u16) -> Stats {
    if group == 0 { guest.vmstat().clone() } else { guest.group_stats(group) }
}
