//! Many touches at once come to the same as one after the other.

use super::*;

#[derive(Clone, Debug)]
enum Load {
    Touches { cpu: usize, region: usize, pages: Vec<u32>, write: bool },
    Sleep { ms: u64 },
    Random(usize),
}

fn loads() -> impl Strategy<Value = Vec<Load>> {
    // Hot pages and cold ones, so that some stay and some come back.
    let page = prop_oneof![2 => 0..60u32, 3 => 0..700u32];
    let pages = prop::collection::vec(page, 1..200);
    let load = prop_oneof![
        20 => (0..2usize, 0..4usize, pages, prop::bool::weighted(0.1))
            .prop_map(|(cpu, region, pages, write)| Load::Touches { cpu, region, pages, write }),
        2 => (0..3_000u64).prop_map(|ms| Load::Sleep { ms }),
        1 => (0..4usize).prop_map(Load::Random),
    ];
    prop::collection::vec(load, 1..60)
}

/// What a guest is made with.
#[derive(Clone, Copy, Debug)]
struct Setup {
    lru_gen: u64,
    read_ahead_pages: u32,
    max: u64,
    high: u64,
    zone: u64,
    design: usize,
}

fn setup() -> impl Strategy<Value = Setup> {
    let engine = prop_oneof![Just(0), Just(7)];
    let ahead = prop_oneof![Just(0), Just(8)];
    let (max, high) = (150..600u64, prop_oneof![3 => Just(u64::MAX), 1 => 150..600u64]);
    let zone = prop_oneof![3 => Just(9000), 1 => 700..2000u64];
    let design = prop_oneof![3 => Just(0), 1 => 0..crate::hierarchy::HIERARCHIES.len()];
    (engine, ahead, max, high, zone, design).prop_map(
        |(lru_gen, read_ahead_pages, max, high, zone, design)| Setup {
            lru_gen,
            read_ahead_pages,
            max,
            high,
            zone,
            design,
        },
    )
}

/// Two groups below one, a file that both map, one of each of them or the root, and anonymous memory.
fn rig(setup: Setup) -> (Guest, Vec<u32>) {
    let Setup { lru_gen, read_ahead_pages, max, high, zone, design } = setup;
    let knobs = Knobs { lru_gen, read_ahead_pages, swappiness: 60, ..Knobs::default() };
    let swap = SwapDevice { pages: 2000, ..SwapDevice::default() };
    let mut guest = Guest::new(config(&[2], &[(0, 1, zone)]), knobs, swap);
    guest.set_hierarchy((crate::hierarchy::HIERARCHIES[design].build_default)());
    guest.add_group(&group("p", max));
    let one = guest.add_group(&Group { high, ..group("p/one", u64::MAX) });
    let two = guest.add_group(&group("p/two", max / 2));
    let processes = [one, two, 0].map(|group| guest.add_process(group));
    let file = |name: &str| Backing::File(name.into());
    let regions = [
        (processes[0], file("shared")),
        (processes[1], file("shared")),
        (processes[2], file("root's")),
        (processes[1], Backing::Anon),
    ];
    let regions = regions
        .map(|(process, backing)| {
            guest.add_region(process, &backing, 700, Policy::Default, 0, false)
        })
        .to_vec();
    (guest, regions)
}

/// All there is of a guest but what only the other engine asks for.
fn state_of(guest: &mut Guest) -> String {
    if !guest.is_mglru {
        guest.vmas.iter_mut().for_each(|vma| vma.region_young.fill(false));
    }
    format!("{guest:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn many_touches_at_once_come_to_the_same_as_one_after_the_other(
        loads in loads(),
        setup in setup(),
    ) {
        let (mut at_once, regions) = rig(setup);
        let (mut one_by_one, _) = rig(setup);
        for load in &loads {
            for guest in [&mut at_once, &mut one_by_one] {
                match load {
                    Load::Sleep { ms } => guest.advance(guest.now() + ms * 1_000_000),
                    Load::Random(region) => guest.advise(0, regions[*region], Advice::Random),
                    Load::Touches { .. } => {}
                }
            }
            if let Load::Touches { cpu, region, pages, write } = load {
                at_once.touch_all(*cpu, regions[*region], pages, *write);
                for page in pages {
                    one_by_one.touch(*cpu, regions[*region], *page, *write);
                }
            }
            prop_assert_eq!(at_once.now(), one_by_one.now(), "{:?}", load);
            prop_assert_eq!(at_once.vmstat(), one_by_one.vmstat(), "{:?}", load);
        }
        at_once.validate();
        prop_assert!(state_of(&mut at_once) == state_of(&mut one_by_one), "they differ");
    }

    #[test]
    fn what_goes_in_batches_goes_as_folio_by_folio(loads in loads(), setup in setup()) {
        // A design that counts charges sees each page. Without soft limits it changes nothing else.
        let designs = ["memory-protection", "soft-limit-tree"].map(|name| {
            crate::hierarchy::HIERARCHIES.iter().position(|design| design.about.name == name)
        });
        let guests = designs.map(|design| {
            let design = design.expect("a registered design");
            let (mut guest, regions) = rig(Setup { design, ..setup });
            for load in &loads {
                match load {
                    Load::Sleep { ms } => guest.advance(guest.now() + ms * 1_000_000),
                    Load::Random(region) => guest.advise(0, regions[*region], Advice::Random),
                    Load::Touches { cpu, region, pages, write } => {
                        guest.touch_all(*cpu, regions[*region], pages, *write);
                    }
                }
            }
            guest.validate();
            guest
        });
        let [batches, one_by_one] = &guests;
        prop_assert!(!batches.is_watched() && one_by_one.is_watched());
        prop_assert_eq!(batches.now(), one_by_one.now());
        prop_assert_eq!(batches.vmstat(), one_by_one.vmstat());
        for group in 0..4 {
            prop_assert_eq!(batches.group_stats(group), one_by_one.group_stats(group));
        }
        prop_assert_eq!(format!("{:?}", batches.lruvecs), format!("{:?}", one_by_one.lruvecs));
        prop_assert_eq!(format!("{:?}", batches.swap), format!("{:?}", one_by_one.swap));
    }
}

#[test]
fn touches_of_a_process_that_was_killed_do_nothing() {
    let plain =
        Setup { lru_gen: 0, read_ahead_pages: 0, max: 500, high: u64::MAX, zone: 9000, design: 0 };
    let (mut guest, regions) = rig(plain);
    guest.touch_all(0, regions[3], &[1, 2, 3], true);
    guest.end(1);
    guest.touch_all(0, regions[3], &[1, 2, 4], true);
    assert!(guest.is_dead(1));
    guest.validate();
}
