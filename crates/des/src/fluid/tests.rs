//! Systems worked by hand (the expectation in words), the marks of a fair allocation, and a slow
//! twin that finds the level by bisection.

use proptest::prelude::*;

use super::*;

const GIB: f64 = (1u64 << 30) as f64;

type Use = (ResourceId, f64);

#[derive(Clone, Debug)]
struct Stream {
    own_max: f64,
    weight: f64,
    uses: Vec<Use>,
}

fn stream(own_max: f64, weight: f64, uses: &[(u16, f64)]) -> Stream {
    let uses = uses.iter().map(|&(resource, part)| (ResourceId(resource), part)).collect();
    Stream { own_max, weight, uses }
}

fn solved(capacities: &[f64], streams: &[Stream]) -> Fluid {
    let mut fluid = Fluid::new();
    fluid.reset(capacities);
    for stream in streams {
        fluid.add_stream(stream.own_max, stream.weight, &stream.uses);
    }
    fluid.solve();
    fluid
}

fn close(got: f64, expected: f64) -> bool {
    (got - expected).abs() <= 1e-7 * expected.abs().max(1e-6)
}

#[track_caller]
fn assert_rates(fluid: &Fluid, expected: &[f64]) {
    let all = fluid.rates().iter().zip(expected).all(|(&got, &expected)| close(got, expected));
    assert!(all && fluid.rates().len() == expected.len(), "{:?} {expected:?}", fluid.rates());
}

const R0: ResourceId = ResourceId(0);
const R1: ResourceId = ResourceId(1);

#[test]
fn one_link_is_shared_equally() {
    // c = 10; three streams with maxima 2, 20, 20. The small one gets its 2, the others halve
    // what is left: 4 each.
    let streams = [2.0, 20.0, 20.0].map(|own_max| stream(own_max, 1.0, &[(0, 1.0)]));
    let fluid = solved(&[10.0], &streams);
    assert_rates(&fluid, &[2.0, 4.0, 4.0]);
    assert_eq!(fluid.limit(StreamIdx(0)), Limit::OwnMaximum);
    assert_eq!(fluid.limit(StreamIdx(1)), Limit::Resource(R0));
    assert!(close(fluid.load(R0), 10.0) && close(fluid.level(R0), 4.0) && fluid.is_saturated(R0));
}

#[test]
fn an_idle_link_limits_nobody() {
    // c = 10; 2 + 3 = 5 < 10, so both have their maxima and half of the link is left.
    let streams = [2.0, 3.0].map(|own_max| stream(own_max, 1.0, &[(0, 1.0)]));
    let fluid = solved(&[10.0], &streams);
    assert_rates(&fluid, &[2.0, 3.0]);
    assert!(!fluid.is_saturated(R0) && close(fluid.utilisation(R0), 0.5));
}

#[test]
fn weights_share_in_proportion_until_a_maximum() {
    // c = 12, weights 3 and 1: 9 and 3. With a maximum of 6 the heavy one leaves 6.
    let heavy_and_light =
        |own_max| [stream(own_max, 3.0, &[(0, 1.0)]), stream(100.0, 1.0, &[(0, 1.0)])];
    assert_rates(&solved(&[12.0], &heavy_and_light(100.0)), &[9.0, 3.0]);
    assert_rates(&solved(&[12.0], &heavy_and_light(6.0)), &[6.0, 6.0]);
}

#[test]
fn dear_lines_use_more_of_a_controller() {
    // c = 13.18, a remote line costs 1.5: levels are equal, L + 1.5 L = 13.18.
    let streams = [stream(99.0, 1.0, &[(0, 1.0)]), stream(99.0, 1.0, &[(0, 1.5)])];
    assert_rates(&solved(&[13.18], &streams), &[5.272, 5.272]);
}

/// Two nodes, all memory on node 0, as the machine called M-sri2: local port 11.42, controller
/// 15.6, link 6.31 one way and 12.62 both ways; a core draws 3.16 locally and 1.77 remotely.
fn two_nodes(nr_local: usize, nr_remote: usize) -> Fluid {
    let local = stream(3.16 * GIB, 1.0, &[(0, 1.0), (1, 1.0)]);
    let remote = stream(1.77 * GIB, 1.0, &[(1, 1.0), (2, 1.0), (3, 1.0)]);
    let mut streams = vec![local; nr_local];
    streams.resize(nr_local + nr_remote, remote);
    solved(&[11.42, 15.6, 6.31, 12.62].map(|c| c * GIB), &streams)
}

fn sums_gib(fluid: &Fluid, nr_local: usize) -> (f64, f64) {
    let (local, remote) = fluid.rates().split_at(nr_local);
    (local.iter().sum::<f64>() / GIB, remote.iter().sum::<f64>() / GIB)
}

#[test]
fn six_local_and_six_remote_threads() {
    // The link fills first, at 6.31 / 6 = 1.05 (the controller would at 15.6 / 12 = 1.3); the
    // local threads take what it leaves of the controller, 15.6 - 6.31 = 9.29, which is below
    // the local port's 11.42.
    let fluid = two_nodes(6, 6);
    let (local, remote) = sums_gib(&fluid, 6);
    assert!(close(remote, 6.31) && close(local, 15.6 - 6.31), "{local} {remote}");
    assert_eq!(fluid.limit(StreamIdx(0)), Limit::Resource(ResourceId(1)));
    assert_eq!(fluid.limit(StreamIdx(6)), Limit::Resource(ResourceId(2)));
    assert!(!fluid.is_saturated(ResourceId(0)) && !fluid.is_saturated(ResourceId(3)));
}

#[test]
fn the_local_port_caps_local_threads() {
    // Alone, six local threads would draw 18.96; the port gives 11.42 and the controller idles.
    // One remote thread takes its own 1.77; 15.6 - 1.77 = 13.83 is left, still above the port.
    for nr_remote in [0, 1] {
        let fluid = two_nodes(6, nr_remote);
        let (local, remote) = sums_gib(&fluid, 6);
        assert!(close(local, 11.42) && close(remote, 1.77 * nr_remote as f64), "{local} {remote}");
        assert_eq!(fluid.limit(StreamIdx(0)), Limit::Resource(ResourceId(0)));
    }
    // With three remote threads the controller fills first, at 15.6 / 9 = 1.733 for each of the
    // nine: below a remote core's 1.77 and the port's 11.42 / 6 = 1.903.
    let (local, remote) = sums_gib(&two_nodes(6, 3), 6);
    assert!(close(remote, 5.2) && close(local, 10.4), "{local} {remote}");
}

#[test]
fn a_link_both_ways_is_one_resource_more() {
    // One way 7.371, both ways 12.144: alone a direction reaches 7.371, together 6.072 each.
    let east = stream(9.0, 1.0, &[(0, 1.0), (2, 1.0)]);
    let west = stream(9.0, 1.0, &[(1, 1.0), (2, 1.0)]);
    let capacities = [7.371, 7.371, 12.144];
    assert_rates(&solved(&capacities, std::slice::from_ref(&east)), &[7.371]);
    let both = solved(&capacities, &[east, west]);
    assert_rates(&both, &[6.072, 6.072]);
    assert_eq!(both.limit(StreamIdx(0)), Limit::Resource(ResourceId(2)));
}

#[test]
fn a_group_of_links_limits_their_sum() {
    // A chassis fabric carries 2.6 in total and each of 32 threads sends 3/4 of its lines through
    // it: the threads together get 2.6 / 0.75.
    let threads = vec![stream(0.6, 1.0, &[(0, 0.75), (1, 0.25)]); 32];
    let fluid = solved(&[2.6, 6.5], &threads);
    assert!(close(fluid.rates().iter().sum(), 2.6 / 0.75));
    assert!(close(fluid.load(R1), 2.6 / 3.0) && !fluid.is_saturated(R1));
}

#[test]
fn a_full_link_leaves_room_elsewhere() {
    // a: links 0 and 1; b: link 0; c: link 1. c0 = 2, c1 = 10. Link 0 halves: a = b = 1. Then c
    // has the rest of link 1.
    let streams = [
        stream(99.0, 1.0, &[(0, 1.0), (1, 1.0)]),
        stream(99.0, 1.0, &[(0, 1.0)]),
        stream(99.0, 1.0, &[(1, 1.0)]),
    ];
    let fluid = solved(&[2.0, 10.0], &streams);
    assert_rates(&fluid, &[1.0, 1.0, 9.0]);
    assert!(close(fluid.level(R0), 1.0) && close(fluid.level(R1), 9.0));
}

#[test]
fn blocked_streams_are_left_out() {
    let streams = [0.0, 5.0, 0.0].map(|own_max| stream(own_max, 1.0, &[(0, 1.0)]));
    let mut fluid = solved(&[4.0], &streams);
    assert_rates(&fluid, &[0.0, 4.0, 0.0]);
    assert_eq!(fluid.limit(StreamIdx(0)), Limit::OwnMaximum);
    // Woken up, it takes its half; blocked altogether, nothing moves.
    fluid.set_own_max(StreamIdx(0), 5.0);
    fluid.solve();
    assert_rates(&fluid, &[2.0, 2.0, 0.0]);
    (0..3).for_each(|at| fluid.set_own_max(StreamIdx(at), 0.0));
    fluid.solve();
    assert_rates(&fluid, &[0.0; 3]);
    assert!(!fluid.is_saturated(R0));
}

#[test]
fn a_resource_that_is_down_carries_nothing() {
    let streams = [stream(5.0, 1.0, &[(0, 0.5), (1, 0.5)]), stream(5.0, 1.0, &[(1, 1.0)])];
    let fluid = solved(&[0.0, f64::INFINITY], &streams);
    assert_rates(&fluid, &[0.0, 5.0]);
    assert!(fluid.is_saturated(R0) && !fluid.is_saturated(R1));
}

#[test]
fn a_maximum_reached_just_when_the_link_is_full_is_the_limit() {
    // 4 + 4 = 8 = c: each has its maximum and the link is full at level 4.
    let fluid = solved(&[8.0], &vec![stream(4.0, 1.0, &[(0, 1.0)]); 2]);
    assert_eq!(fluid.limit(StreamIdx(1)), Limit::OwnMaximum);
    assert!(fluid.is_saturated(R0) && close(fluid.level(R0), 4.0));
}

#[test]
fn a_tiny_share_behind_a_huge_one_is_still_exact() {
    // The heavy stream stops at its maximum 5; the light one, with 1e-13 of its weight and use,
    // gets all that is left, 5.
    let streams = [stream(5.0, 1.0, &[(0, 1.0)]), stream(1e30, 1.0, &[(0, 1e-13)])];
    let fluid = solved(&[10.0], &streams);
    assert!(close(fluid.rate(StreamIdx(1)) * 1e-13, 5.0), "{:?}", fluid.rates());
}

#[test]
fn a_newcomer_is_promised_what_it_gets() {
    let link = [(R0, 1.0)];
    // A full link shared by many: one more hardly changes the level.
    let many = vec![stream(9.0, 1.0, &[(0, 1.0)]); 100];
    assert!(close(solved(&[10.0], &many).fair_rate(9.0, 2.0, &link), 0.2));
    // Half of the link is left, and that is what it gets; or its own maximum.
    let half = solved(&[10.0], &[stream(5.0, 1.0, &[(0, 1.0)])]);
    assert!(close(half.fair_rate(9.0, 1.0, &link), 5.0));
    assert!(close(half.fair_rate(3.0, 1.0, &link), 3.0));
    // 1 of 10 is left by one stream at 9, which would have to make room: 5 each.
    let nearly = solved(&[10.0], &[stream(9.0, 1.0, &[(0, 1.0)])]);
    assert!(close(nearly.fair_rate(9.0, 1.0, &link), 5.0));
}

#[test]
#[should_panic(expected = "unknown ResourceId(1)")]
fn an_unknown_resource_is_refused() {
    solved(&[1.0], &[stream(1.0, 1.0, &[(1, 1.0)])]);
}

// ------------------------------------------------------------------------------------------------

/// Finds the common level by bisection, freezes whoever cannot grow any more, and starts again.
fn slow_rates(capacities: &[f64], streams: &[Stream]) -> Vec<f64> {
    let load = |rates: &[f64], resource: usize| -> f64 {
        let of_stream = |(stream, rate): (&Stream, &f64)| -> f64 {
            let used = stream.uses.iter().filter(|used| used.0.idx() == resource);
            used.map(|used| used.1 * rate).sum()
        };
        streams.iter().zip(rates).map(of_stream).sum()
    };
    let mut frozen: Vec<Option<f64>> =
        streams.iter().map(|stream| (stream.own_max == 0.0).then_some(0.0)).collect();
    while frozen.iter().any(Option::is_none) {
        let rates_at = |level: f64| -> Vec<f64> {
            let rate = |(stream, frozen): (&Stream, &Option<f64>)| {
                frozen.unwrap_or((level * stream.weight).min(stream.own_max))
            };
            streams.iter().zip(&frozen).map(rate).collect()
        };
        let fits = |level: f64| {
            let rates = rates_at(level);
            (0..capacities.len()).all(|r| load(&rates, r) <= capacities[r] * (1.0 + 1e-13))
        };
        let (mut low, mut high) = (0.0, 1e6);
        for _ in 0..120 {
            let middle = (low + high) / 2.0;
            if fits(middle) { low = middle } else { high = middle }
        }
        let rates = rates_at(low);
        let full: Vec<bool> = (0..capacities.len())
            .map(|r| load(&rates, r) >= capacities[r] * (1.0 - 1e-10))
            .collect();
        for (at, stream) in streams.iter().enumerate() {
            let stuck = stream.uses.iter().any(|used| used.1 > 0.0 && full[used.0.idx()]);
            if frozen[at].is_none() && (stuck || rates[at] >= stream.own_max) {
                frozen[at] = Some(rates[at]);
            }
        }
    }
    frozen.into_iter().flatten().collect()
}

prop_compose! {
    fn any_stream(nr_resources: u16)(
        own_max in prop_oneof![Just(0.0), Just(2.0), 0.01f64..20.0],
        weight in prop_oneof![Just(1.0), Just(3.0), 0.01f64..10.0],
        uses in prop::collection::vec((0..nr_resources, prop_oneof![Just(0.0), Just(1.0), 0.001f64..2.0]), 0..5),
    ) -> Stream {
        stream(own_max, weight, &uses)
    }
}

fn any_system() -> impl Strategy<Value = (Vec<f64>, Vec<Stream>)> {
    // Up to 70 resources, so that a set of them takes more than one word.
    prop_oneof![1u16..6, 60u16..70].prop_flat_map(|nr_resources| {
        let capacity = prop_oneof![Just(4.0), 0.01f64..20.0];
        (
            prop::collection::vec(capacity, usize::from(nr_resources)),
            prop::collection::vec(any_stream(nr_resources), 0..12),
        )
    })
}

proptest! {
    #[test]
    fn equals_the_slow_twin((capacities, streams) in any_system()) {
        let fluid = solved(&capacities, &streams);
        let slow = slow_rates(&capacities, &streams);
        for (fast, slow) in fluid.rates().iter().zip(&slow) {
            prop_assert!((fast - slow).abs() <= 1e-6 * slow.max(1e-3), "{:?} {slow:?}", fluid.rates());
        }
    }

    #[test]
    fn bears_the_marks_of_fairness((capacities, streams) in any_system()) {
        let fluid = solved(&capacities, &streams);
        let mut load = vec![0.0; capacities.len()];
        let mut top = vec![0.0_f64; capacities.len()];
        for (stream, rate) in streams.iter().zip(fluid.rates()) {
            prop_assert!((0.0..=stream.own_max * (1.0 + 1e-8)).contains(rate));
            for used in stream.uses.iter().filter(|used| used.1 > 0.0) {
                load[used.0.idx()] += used.1 * rate;
                top[used.0.idx()] = top[used.0.idx()].max(rate / stream.weight);
            }
        }
        for (resource, (&load, &capacity)) in load.iter().zip(&capacities).enumerate() {
            let id = ResourceId(resource as u16);
            prop_assert!(load <= capacity * (1.0 + 1e-8), "{id:?} carries {load} of {capacity}");
            prop_assert!(close(fluid.load(id), load));
            prop_assert_eq!(fluid.is_saturated(id), load >= capacity * (1.0 - 1e-8));
            if fluid.is_saturated(id) {
                prop_assert!(close(fluid.level(id), top[resource]));
            }
        }
        for (at, stream) in streams.iter().enumerate() {
            let rate = fluid.rates()[at];
            match fluid.limit(StreamIdx(at as u32)) {
                Limit::OwnMaximum => prop_assert_eq!(rate, stream.own_max),
                Limit::Resource(id) => {
                    prop_assert!(stream.uses.iter().any(|used| used.0 == id && used.1 > 0.0));
                    prop_assert!(fluid.is_saturated(id));
                    prop_assert!(close(rate / stream.weight, top[id.idx()]), "not the largest");
                }
            }
        }
    }

    #[test]
    fn units_and_order_do_not_matter((capacities, streams) in any_system()) {
        let fluid = solved(&capacities, &streams);
        // Powers of two are exact, so every rate must be the same to the last bit.
        let scaled: Vec<Stream> = streams.iter().map(|stream| Stream {
            own_max: stream.own_max * 1024.0,
            weight: stream.weight / 8.0,
            uses: stream.uses.clone(),
        }).collect();
        let larger: Vec<f64> = capacities.iter().map(|capacity| capacity * 1024.0).collect();
        let expected: Vec<f64> = fluid.rates().iter().map(|rate| rate * 1024.0).collect();
        let larger = solved(&larger, &scaled);
        prop_assert_eq!(larger.rates(), &expected[..]);

        let backwards: Vec<Stream> = streams.iter().rev().cloned().collect();
        let turned = solved(&capacities, &backwards);
        for (rate, turned) in fluid.rates().iter().zip(turned.rates().iter().rev()) {
            prop_assert!(close(*rate, *turned));
        }
    }

    #[test]
    fn a_used_workspace_solves_like_a_new_one(first in any_system(), second in any_system()) {
        let mut used = solved(&first.0, &first.1);
        used.reset(&second.0);
        for stream in &second.1 {
            used.add_stream(stream.own_max, stream.weight, &stream.uses);
        }
        used.solve();
        let new = solved(&second.0, &second.1);
        prop_assert_eq!(used.rates(), new.rates());
    }

    #[test]
    fn a_newcomer_gets_no_less_than_an_idle_estimate((capacities, streams) in any_system()) {
        // On resources that are not saturated the estimate is a promise.
        let fluid = solved(&capacities, &streams);
        let Some((newcomer, others)) = streams.split_first() else { return Ok(()) };
        let before = solved(&capacities, others);
        let idle = |used: &&Use| used.1 == 0.0 || !before.is_saturated(used.0);
        let mut resources: Vec<ResourceId> = newcomer.uses.iter().map(|used| used.0).collect();
        resources.sort_unstable();
        resources.dedup();
        if newcomer.uses.iter().filter(idle).count() == newcomer.uses.len() && resources.len() == newcomer.uses.len() {
            let promised = before.fair_rate(newcomer.own_max, newcomer.weight, &newcomer.uses);
            prop_assert!(fluid.rate(StreamIdx(0)) >= promised * (1.0 - 1e-7));
        }
    }
}
