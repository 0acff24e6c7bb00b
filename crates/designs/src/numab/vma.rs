//! The filter that leaves mappings out of a task's scan which it does not use.
//!
//! `numab_state` of a mapping and `vma_is_accessed` of `kernel/sched/fair.c`: 6.4 (Raghavendra
//! K T), completed in 6.7 (Mel Gorman), relaxed for starved mappings in 6.8.

use std::collections::BTreeMap;

use base::{Nanos, TaskId};

config::config_enum! {
    /// Which filter.
    pub enum VmaFilter {
        /// None: every task scans every mapping (up to 6.3).
        Off = "off",
        /// Two free passes of the process, then only mappings the task has faulted on.
        V6_4 = "6.4",
        /// Two free passes of each mapping; each at most once a pass; what was begun is finished;
        /// starved ones are let in; one is forced when all were left out.
        V6_12 = "6.12",
    }
}

/// What is kept of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VmaState {
    /// The process's pass in which it was first seen.
    start_seq: u64,
    /// Not scanned before, except in the first pass of the process.
    next_scan: Nanos,
    /// When `pids` go out of date next.
    pids_reset: Nanos,
    /// Pass in which it was last scanned to its end, plus one.
    scanned_before: u64,
    /// Bits of tasks that faulted here: the period before and this one.
    pids: [u64; 2],
}

/// Position of a scan in the process, and who scans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) task: TaskId,
    pub(crate) now: Nanos,
    pub(crate) scan_seq: u64,
    /// Where the process's scans have come to.
    pub(crate) offset: u32,
    pub(crate) nr_tasks: u64,
    /// Only look for any candidate: the task's own faults do not matter.
    pub(crate) forced: bool,
}

/// What to do with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Scan,
    /// Not now.
    Later,
    /// Done in this pass already.
    Done,
    /// The task does not use it.
    Unused,
}

/// The mappings of a process that have been seen, by their first page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vmas(BTreeMap<u32, VmaState>);

/// The bit of a task: the kernel's multiplicative hash of its number, six bits.
fn pid_bit(task: TaskId) -> u64 {
    let number = task.idx() as u32;
    1 << (number.wrapping_mul(0x61C8_8647) >> 26)
}

impl Vmas {
    /// Looks at the mapping that starts at `start`.
    pub(crate) fn look(
        &mut self,
        start: u32,
        look: &Look,
        filter: VmaFilter,
        delay: Nanos,
    ) -> Answer {
        if filter == VmaFilter::Off {
            return Answer::Scan;
        }
        let fresh = VmaState {
            start_seq: look.scan_seq,
            next_scan: look.now + delay,
            pids_reset: look.now + delay * 5,
            scanned_before: look.scan_seq,
            pids: [0; 2],
        };
        let state = self.0.entry(start).or_insert(fresh);
        if look.scan_seq > 0 && look.now < state.next_scan {
            return Answer::Later;
        }
        match filter {
            VmaFilter::Off => Answer::Scan,
            VmaFilter::V6_4 => {
                let used = look.scan_seq < 2 || state.used_by(look.task);
                if used {
                    state.age(look, delay);
                }
                if used { Answer::Scan } else { Answer::Unused }
            }
            VmaFilter::V6_12 => {
                state.age(look, delay);
                if state.scanned_before == look.scan_seq + 1 {
                    Answer::Done
                } else if look.forced || state.is_candidate(start, look) {
                    Answer::Scan
                } else {
                    Answer::Unused
                }
            }
        }
    }

    /// A scan reached the end of a mapping.
    pub(crate) fn scanned(&mut self, start: u32, scan_seq: u64) {
        if let Some(state) = self.0.get_mut(&start) {
            state.scanned_before = scan_seq + 1;
        }
    }

    /// A task faulted in a mapping; a mapping no scan has seen keeps nothing.
    pub(crate) fn faulted(&mut self, start: u32, task: TaskId) {
        if let Some(state) = self.0.get_mut(&start) {
            state.pids[1] |= pid_bit(task);
        }
    }
}

impl VmaState {
    fn used_by(&self, task: TaskId) -> bool {
        (self.pids[0] | self.pids[1]) & pid_bit(task) != 0
    }

    /// Who faulted is forgotten after one to two periods of four delays.
    fn age(&mut self, look: &Look, delay: Nanos) {
        if look.scan_seq > 0 && look.now > self.pids_reset {
            self.pids_reset += delay * 4;
            self.pids = [self.pids[1], 0];
        }
    }

    fn is_candidate(&self, start: u32, look: &Look) -> bool {
        // `scanned_before` is a pass ahead of the kernel's `prev_scan_seq`.
        look.scan_seq - self.start_seq < 2
            || self.used_by(look.task)
            || look.offset > start
            || look.scan_seq + 1 > self.scanned_before + look.nr_tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Nanos = Nanos::from_ms(1000);

    fn look(scan_seq: u64, ms: u64) -> Look {
        Look {
            task: TaskId::from_idx(7),
            now: Nanos::from_ms(ms),
            scan_seq,
            offset: 0,
            nr_tasks: 100,
            forced: false,
        }
    }

    fn ask(vmas: &mut Vmas, look: &Look) -> Answer {
        vmas.look(100, look, VmaFilter::V6_12, DELAY)
    }

    #[test]
    fn new_mappings_wait_but_not_in_the_first_pass() {
        let mut vmas = Vmas::default();
        assert_eq!(ask(&mut vmas, &look(0, 0)), Answer::Scan);
        assert_eq!(vmas.look(900, &look(3, 5000), VmaFilter::V6_12, DELAY), Answer::Later);
        assert_eq!(vmas.look(900, &look(3, 6000), VmaFilter::V6_12, DELAY), Answer::Scan);
    }

    #[test]
    fn after_two_passes_only_who_faulted_scans() {
        let mut vmas = Vmas::default();
        assert_eq!(ask(&mut vmas, &look(0, 0)), Answer::Scan);
        assert_eq!(ask(&mut vmas, &look(1, 2000)), Answer::Scan);
        assert_eq!(ask(&mut vmas, &look(2, 3000)), Answer::Unused);
        vmas.faulted(100, TaskId::from_idx(7));
        assert_eq!(ask(&mut vmas, &look(2, 3000)), Answer::Scan);
    }

    #[test]
    fn faults_are_forgotten_in_the_second_reset_after_them() {
        let mut vmas = Vmas::default();
        ask(&mut vmas, &look(0, 0));
        vmas.faulted(100, TaskId::from_idx(7));
        assert_eq!(ask(&mut vmas, &look(2, 4999)), Answer::Scan, "before any reset");
        assert_eq!(ask(&mut vmas, &look(2, 5001)), Answer::Scan, "the period before counts");
        assert_eq!(ask(&mut vmas, &look(2, 9001)), Answer::Unused);
    }

    #[test]
    fn a_mapping_is_scanned_once_a_pass_even_when_forced() {
        let mut vmas = Vmas::default();
        ask(&mut vmas, &look(0, 0));
        vmas.scanned(100, 0);
        assert_eq!(ask(&mut vmas, &Look { forced: true, ..look(0, 500) }), Answer::Done);
        assert_eq!(ask(&mut vmas, &look(1, 1500)), Answer::Scan);
    }

    #[test]
    fn what_is_begun_starved_or_forced_is_scanned() {
        let mut vmas = Vmas::default();
        ask(&mut vmas, &look(0, 0));
        vmas.scanned(100, 0);
        assert_eq!(ask(&mut vmas, &look(3, 2000)), Answer::Unused);
        assert_eq!(ask(&mut vmas, &Look { offset: 101, ..look(3, 2000) }), Answer::Scan);
        assert_eq!(ask(&mut vmas, &Look { forced: true, ..look(3, 2000) }), Answer::Scan);
        assert_eq!(ask(&mut vmas, &Look { nr_tasks: 3, ..look(3, 2000) }), Answer::Unused);
        assert_eq!(ask(&mut vmas, &Look { nr_tasks: 2, ..look(3, 2000) }), Answer::Scan);
    }

    #[test]
    fn the_first_filter_never_comes_back_to_an_unused_mapping() {
        let mut vmas = Vmas::default();
        let mut ask = |look: &Look| vmas.look(100, look, VmaFilter::V6_4, DELAY);
        assert_eq!(ask(&look(1, 0)), Answer::Later);
        assert_eq!(ask(&look(1, 1000)), Answer::Scan);
        assert_eq!(ask(&Look { offset: 500, nr_tasks: 1, ..look(50, 90_000) }), Answer::Unused);
    }
}
