//! What holds for every generator: it ends, it repeats, it stays inside, it does the work stated.

use config::parse;

use super::{lines, machine, measured, steps, touched, transcript};
use crate::generate::{OpenError, WorkloadSpec};
use crate::{Advice, Event, Step, Traffic};

/// A small bounded workload of each kind, and the page accesses of a thread's measured part.
const SMALL: &[(&str, u64)] = &[
    ("kind = 'uniform'\nfootprint = '4MiB'\naccesses = 3000\nwrite_share = 0.5", 3000),
    ("kind = 'zipf'\nfootprint = '4MiB'\naccesses = 3000\nprocesses = 2", 3000),
    ("kind = 'sequential'\nfootprint = '4MiB'\naccesses = 3001", 3001),
    ("kind = 'sequential'\nfootprint = '4MiB'\naccesses = 50001\nwrite_share = 0.3", 50001),
    ("kind = 'loop'\nfootprint = '4MiB'\nworking_set = '128KiB'\naccesses = 3001", 3001),
    ("kind = 'chase'\nfootprint = '4MiB'\naccesses = 3000\ninit = 'each-own'", 3000),
    (
        "kind = 'phases'\nfootprint = '4MiB'\nworking_set = '1MiB'\nevery = 700\naccesses = 3000",
        3000,
    ),
    ("kind = 'mix'\nfootprint = '4MiB'\nshared = '1MiB'\naccesses = 3000\ninit = 'each-own'", 3000),
    ("kind = 'mix'\nfootprint = '4MiB'\nshared = '1MiB'\naccesses = 3000\nexponent = 0.9", 3000),
    // 20 operations' worth: 256 pages of each array, by 2 x 2 threads, 10 arrays a round.
    ("kind = 'stream'\nfootprint = '3MiB'\niterations = 2", 64 * 10 * 2),
    ("kind = 'gups'\nfootprint = '4MiB'\nhot = '1MiB'\noperations = 3000\nmove_after = 1000", 3000),
    ("kind = 'pmbench'\nfootprint = '4MiB'\naccesses = 3000", 3000),
    (
        "kind = 'kvm'\noperations = 5\naccesses = 100\nguests = [\
         { vcpus = 2, memory = '8MiB', working_set = '1MiB' }, \
         { vcpus = 1, memory = '4MiB', working_set = '1MiB' }]",
        500,
    ),
    ("kind = 'specjbb'\nheap = '8MiB'\nwarehouse = '1MiB'\noperations = 7\naccesses = 100", 700),
];

fn spec(text: &str) -> WorkloadSpec {
    parse("test", text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

#[test]
fn each_kind_ends_after_the_stated_accesses_and_stays_inside() {
    for (text, accesses) in SMALL {
        let mut workload = spec(text).open(&machine(2, 4), 5).unwrap();
        for thread in &mut workload.threads {
            let steps = steps(thread, 1 << 16).unwrap();
            for (mm, pages) in steps.iter().flat_map(touched) {
                assert!(u64::from(pages.end) <= workload.spaces[mm].nr_pages.0, "{text}");
                assert!(mm == thread.mm && !pages.is_empty(), "{text}");
            }
            if thread.parent.is_some() {
                let ranges = measured(&steps).iter().flat_map(touched);
                assert_eq!(
                    ranges.map(|(_, pages)| pages.len() as u64).sum::<u64>(),
                    *accesses,
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_streams_and_another_seed_others() {
    for (text, _) in SMALL {
        let open = |seed| spec(text).open(&machine(2, 4), seed).unwrap();
        let first = transcript(&mut open(5), 100);
        assert_eq!(first, transcript(&mut open(5), 100), "{text}");
        let random = !["'sequential'", "'loop'", "'stream'"].iter().any(|kind| text.contains(kind));
        assert_eq!(first != transcript(&mut open(6), 100), random, "{text}");
        assert_eq!(open(5).digest, open(5).digest);
        assert_ne!(open(5).digest, open(6).digest);
        assert_ne!(open(5).digest, spec(text).open(&machine(4, 2), 5).unwrap().digest);
    }
}

#[test]
fn digests_cover_settings_that_are_left_out() {
    let plain = "kind = 'uniform'\nfootprint = '4MiB'";
    assert_eq!(spec(plain).digest(), spec(&format!("{plain}\nlines = 1")).digest());
    assert_ne!(spec(plain).digest(), spec(&format!("{plain}\nlines = 2")).digest());
}

/// Threads and barriers: every barrier is met by as many threads as it waits for, equally often.
#[test]
fn barriers_have_their_parties() {
    for (text, _) in SMALL {
        let mut workload = spec(text).open(&machine(2, 4), 5).unwrap();
        let mut arrivals = std::collections::BTreeMap::new();
        for thread in &mut workload.threads {
            for step in steps(thread, 1 << 16).unwrap() {
                if let Step::Event(Event::Barrier { id, parties }) = step {
                    *arrivals.entry((id, parties)).or_insert(0) += 1;
                }
            }
        }
        for ((id, parties), nr) in arrivals {
            assert_eq!(nr % parties, 0, "{text}: barrier {id} of {parties} met {nr} times");
        }
    }
}

#[test]
fn churn_replaces_all_private_memory_once_per_period() {
    // 8 warehouses of 8 MiB are 4 chunks each: a chunk every 25 operations.
    let text = "kind = 'specjbb'\njvms = 1\nheap = '8MiB'\nwarehouse = '8MiB'\n\
                operations = 1000\naccesses = 2\nchurn_operations = 100";
    let mut workload = spec(text).open(&machine(2, 4), 5).unwrap();
    let mut freed = 0;
    for thread in &mut workload.threads {
        for step in steps(thread, 1 << 16).unwrap() {
            if let Step::Event(Event::Madvise(_, pages, Advice::DontNeed)) = step {
                assert!(pages.start >= 8 << 8, "the shared heap is left alone");
                freed += pages.len();
            }
        }
    }
    assert_eq!(freed, 10 * 8 * (8 << 8));
}

#[test]
fn sweeps_write_the_stated_share() {
    let text = "kind = 'sequential'\nfootprint = '16KiB'\nthreads = 1\n\
                accesses = 4000\nwrite_share = 0.37";
    let mut workload = spec(text).open(&machine(1, 1), 5).unwrap();
    let steps = steps(&mut workload.threads[1], 5000).unwrap();
    let written = steps.iter().map(|step| match step {
        Step::Sweep(sweep) if sweep.traffic == Traffic::new(64, 0, true) => sweep.nr_pages,
        _ => 0,
    });
    assert_eq!(written.sum::<u32>(), 4000 * 37 / 100);
}

#[test]
fn the_gups_hot_set_moves_once() {
    let text = "kind = 'gups'\nfootprint = '4MiB'\nhot = '1MiB'\nhot_share = 1.0\n\
                threads = 1\noperations = 2000\nmove_after = 1000";
    let mut workload = spec(text).open(&machine(1, 1), 5).unwrap();
    let steps = steps(&mut workload.threads[1], 5000).unwrap();
    let pages: Vec<u32> =
        measured(&steps).iter().flat_map(touched).map(|(_, pages)| pages.start).collect();
    assert!(
        pages[..1000].iter().all(|page| *page < 256)
            && pages[1000..].iter().all(|page| *page >= 768)
    );
}

/// Work that takes no time, reported without end, would stop the engine's clock.
#[test]
fn threads_without_memory_end_at_once() {
    for text in [
        "kind = 'gups'\nfootprint = '16KiB'\nhot = '4KiB'\nthreads = 64",
        "kind = 'gups'\nfootprint = '1MiB'\nhot = '0B'\nhot_share = 1.0",
        "kind = 'perf-bench-numa'\nrun_time = '5s'",
    ] {
        let mut workload = spec(text).open(&machine(2, 4), 5).unwrap();
        let idle = workload.threads.iter_mut().filter_map(|thread| steps(thread, 1000));
        assert!(idle.count() >= 2, "{text}");
    }
}

#[test]
fn more_threads_than_can_be_numbered_are_refused() {
    for text in [
        "kind = 'uniform'\nfootprint = '1MiB'\nprocesses = 4096\nthreads = 16",
        "kind = 'perf-bench-numa'\nprocesses = 4096\nthreads = 4096\nloops = 1",
        "kind = 'specjbb'\njvms = 256\nwarehouses = 4096",
        "kind = 'perf-bench-numa'\nthread = '17592186044415MiB'\nthreads = 4096\nloops = 1",
    ] {
        let refused = spec(text).open(&machine(2, 4), 5);
        assert!(matches!(refused, Err(OpenError::TooLarge { .. })), "{text}");
    }
}

/// Runs of accesses in a page keep what decides a result: lines, think time per line, operations.
#[test]
fn runs_of_accesses_move_the_same_lines_in_fewer_visits() {
    let text = "kind = 'specjbb'\njvms = 1\nwarehouses = 1\nheap = '8MiB'\nwarehouse = '1MiB'\n\
                operations = 7\naccesses = 100\nthink = '30ns'\nwrite_share = 0.0\n";
    let totals = |more: &str| {
        let mut workload = spec(&format!("{text}{more}")).open(&machine(1, 2), 1).unwrap();
        let steps = steps(&mut workload.threads[1], 1 << 20).unwrap();
        let (mut visits, mut all_lines, mut think) = (0, 0, 0);
        for step in measured(&steps) {
            if let Step::Points(points, rows) = step {
                visits += rows.len();
                think += points.think_ns[rows.clone()].iter().map(|ns| u64::from(*ns)).sum::<u64>();
            }
            all_lines += lines(step);
        }
        (visits, all_lines, think)
    };
    assert_eq!(totals(""), (700, 700, 21_000));
    assert_eq!(totals("run_length = 50"), (14, 700, 21_000));
}
