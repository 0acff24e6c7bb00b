//! Every policy against its slow twin, and what holds for all of them.

use proptest::prelude::*;

use super::slow::{self, Slow};
use super::*;

const NR_PAGES: u32 = 24;

/// Streams with some order in them: pages of a small hot set, of all, and short runs.
fn requests() -> impl Strategy<Value = Vec<u32>> {
    let run = (0..NR_PAGES, 1..12u32).prop_map(|(start, len)| (start..start + len).collect());
    let part = prop_oneof![
        prop::collection::vec(0..NR_PAGES / 4, 1..12),
        prop::collection::vec(0..NR_PAGES, 1..12),
        run,
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts: Vec<Vec<u32>>| {
        parts.concat().into_iter().map(|page| page % NR_PAGES).collect()
    })
}

fn setting(capacity: u32, future: &[u32]) -> Setting<'_> {
    Setting { nr_pages: NR_PAGES, capacity, future }
}

/// Drives both, access by access, and compares hits and victims.
fn compare(policy: &mut dyn Replacement, mut slow: Slow, requests: &[u32]) {
    for (at, page) in requests.iter().enumerate() {
        let hit = policy.is_resident(*page);
        let mut victim = None;
        if hit {
            policy.hit(*page);
        } else {
            policy.fault(*page);
            if policy.nr_resident() >= policy.capacity() {
                victim = policy.evict();
            }
            policy.insert(*page);
        }
        assert_eq!((hit, victim), slow(*page), "access {at} to page {page}");
        policy.validate();
    }
}

fn clock(bits: u8, setting: &Setting<'_>) -> Clock {
    Clock::new(knobs::Clock { bits }, setting)
}

proptest! {
    #[test]
    fn policies_do_as_their_slow_twins(requests in requests(), capacity in 1..NR_PAGES) {
        let (setting, c) = (setting(capacity, &requests), capacity as usize);
        let twins: [(&str, Slow); 7] = [
            ("lru", slow::lru(c)),
            ("fifo", slow::fifo(c)),
            ("2q", slow::two_q(c, c / 4, c / 2)),
            ("arc", slow::arc(c)),
            ("s3-fifo", slow::s3_fifo(c, c / 10, c * 9 / 10)),
            ("sieve", slow::sieve(c)),
            ("lfu", slow::lfu(c)),
        ];
        for (name, slow) in twins {
            let policy = find(name).expect("a registered policy");
            compare(&mut *(policy.build_default)(&setting), slow, &requests);
        }
        for bits in 1..4 {
            compare(&mut clock(bits, &setting), slow::clock(c, (1 << bits) - 1), &requests);
        }
    }

    /// Shares that leave the small queue and the memories long enough to matter at this size.
    #[test]
    fn queues_of_any_share_do_as_their_slow_twins(
        requests in requests(),
        capacity in 1..NR_PAGES,
        part in 0.0..1.0f64,
        memory in 0.0..2.0f64,
    ) {
        let (setting, c) = (setting(capacity, &requests), capacity as usize);
        let (part_size, memory_size) = (setting.share(part) as usize, setting.share(memory) as usize);
        let knobs = knobs::TwoQ { a1in_ratio: part, a1out_ratio: memory };
        compare(&mut TwoQ::new(knobs, &setting), slow::two_q(c, part_size, memory_size), &requests);
        let knobs = knobs::S3Fifo { small_ratio: part, ghost_ratio: memory, move_to_main_threshold: 2 };
        compare(&mut S3Fifo::new(knobs, &setting), slow::s3_fifo(c, part_size, memory_size), &requests);
    }

    #[test]
    fn never_more_than_the_capacity_and_a_hit_is_what_was_resident(requests in requests(), capacity in 0..NR_PAGES) {
        for policy in POLICIES {
            let mut policy = (policy.build_default)(&setting(capacity, &requests));
            let mut misses = 0;
            for page in &requests {
                let resident = policy.is_resident(*page);
                prop_assert_eq!(policy.access(*page), resident);
                misses += u64::from(!resident);
                prop_assert!(policy.is_resident(*page) && policy.nr_resident() <= capacity.max(1));
                let count = (0..NR_PAGES).filter(|page| policy.is_resident(*page)).count();
                prop_assert_eq!(count, policy.nr_resident() as usize);
            }
            policy.validate();
            let evicted = std::iter::from_fn(|| policy.evict()).count();
            prop_assert_eq!(policy.nr_resident(), 0);
            prop_assert!(evicted <= capacity.max(1) as usize && evicted as u64 <= misses);
        }
    }

    #[test]
    fn replaying_counts_the_same_misses(requests in requests(), capacity in 1..NR_PAGES) {
        for policy in POLICIES {
            let mut one_by_one = (policy.build_default)(&setting(capacity, &requests));
            let misses = requests.iter().filter(|page| !one_by_one.access(**page)).count();
            prop_assert_eq!(simulate(policy, capacity, &requests), misses as u64, "{}", policy.about.name);
        }
    }

    #[test]
    fn no_policy_beats_belady(requests in requests(), capacity in 1..NR_PAGES) {
        let misses = |policy| simulate(policy, capacity, &requests);
        let bound = misses(find("belady").expect("a registered policy"));
        for policy in POLICIES {
            prop_assert!(bound <= misses(policy), "{}", policy.about.name);
        }
    }

    #[test]
    fn belady_is_the_best_of_all_choices(requests in prop::collection::vec(0..5u32, 0..12), capacity in 1..4u32) {
        let belady = Belady::new(config::NoKnobs {}, &Setting::of(&requests, capacity)).replay(&requests);
        prop_assert_eq!(belady, slow::fewest_misses(capacity as usize, &[], &requests));
    }

    #[test]
    fn lru_misses_are_the_long_stack_distances(requests in requests()) {
        let distances = slow::stack_distances(&requests);
        for capacity in 1..NR_PAGES {
            let far = |distance: &&Option<usize>| distance.is_none_or(|depth| depth >= capacity as usize);
            let misses = Lru::new(config::NoKnobs {}, &setting(capacity, &[])).replay(&requests);
            prop_assert_eq!(misses, distances.iter().filter(far).count() as u64);
        }
    }

    #[test]
    fn a_larger_lru_holds_all_of_a_smaller(requests in requests(), capacity in 1..NR_PAGES) {
        let mut small = Lru::new(config::NoKnobs {}, &setting(capacity, &[]));
        let mut large = Lru::new(config::NoKnobs {}, &setting(capacity + 1, &[]));
        for page in requests {
            small.access(page);
            large.access(page);
            prop_assert!(small.iter().eq(large.iter().take(capacity as usize)));
        }
    }

    #[test]
    fn forgotten_pages_are_gone(requests in requests(), capacity in 1..NR_PAGES, range in (0..NR_PAGES, 0..NR_PAGES)) {
        let freed = range.0.min(range.1)..range.0.max(range.1);
        for policy in POLICIES {
            let twice = requests.repeat(2);
            let mut policy = (policy.build_default)(&setting(capacity, &twice));
            policy.replay(&requests);
            let kept: Vec<u32> = (0..NR_PAGES).filter(|page| policy.is_resident(*page) && !freed.contains(page)).collect();
            policy.forget(freed.clone());
            policy.validate();
            prop_assert!((0..NR_PAGES).filter(|page| policy.is_resident(*page)).eq(kept));
            policy.replay(&requests);
            policy.validate();
        }
    }
}

#[test]
fn clock_gives_a_second_chance() {
    let mut clock = clock(1, &setting(3, &[]));
    assert_eq!(clock.replay(&[0, 1, 2, 0, 3]), 4);
    assert!(clock.is_resident(0) && !clock.is_resident(1));
}

#[test]
fn a_loop_just_larger_than_memory_defeats_lru_but_not_the_optimum() {
    let requests: Vec<u32> = (0..5).cycle().take(100).collect();
    let misses = |name| simulate(find(name).expect("a registered policy"), 4, &requests);
    assert_eq!((misses("lru"), misses("fifo"), misses("clock")), (100, 100, 100));
    // All five come in; then of each four accesses one misses.
    assert_eq!(misses("belady"), 5 + 95 / 4);
}

#[test]
fn the_registry_is_complete() {
    let mut names: Vec<_> = POLICIES.iter().map(|policy| policy.about.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), POLICIES.len(), "a name twice");
    for Registered { about, .. } in POLICIES {
        assert!(![about.lineage, about.source, about.left_out].contains(&""), "{}", about.name);
        assert!((about.knobs)().iter().all(|knob| !knob.doc.is_empty()), "{}", about.name);
    }
    let offline: Vec<_> = POLICIES.iter().filter(|policy| policy.is_offline).collect();
    assert!(matches!(offline[..], [belady] if belady.about.name == "belady"));
}
