//! The guest under memory pressure, and the bare loop of the same lists.

use reclaim::guest::{Backing, Config, Costs, Group, Guest, Knobs, Policy, SwapDevice, ZoneConfig};
use reclaim::list::{List, Lists};

/// Accesses of the bare lists that are warmed at once.
const BLOCK: usize = 64;

/// The kernel's two engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Active and inactive lists.
    Classic,
    /// Generations.
    Mglru,
}

/// What the pages of a replay are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A mapped file: what is evicted is clean.
    File,
    /// Anonymous memory with swap in memory: each eviction is written.
    Anon,
}

/// A guest of one node whose one group may hold `capacity` pages of a region of `nr_pages`, with the
/// region.
pub fn guest(nr_pages: u32, capacity: u32, kind: Kind, engine: Engine) -> (Guest, u32) {
    let managed = u64::from(nr_pages) + u64::from(capacity) + (1 << 16);
    let zone = ZoneConfig {
        class: 2,
        managed,
        free: managed,
        marks: [1000, 1250, 1500, 1750],
        batch: 63,
        ..ZoneConfig::default()
    };
    let costs = Costs {
        hit_ns: 100,
        minor_ns: 500,
        anon_ns: 1000,
        major_ns: 10_000,
        swap_in_ns: 3000,
        scan_ns: 100,
        swap_write_ns: 3000,
        ..Costs::default()
    };
    let config = Config {
        zones: vec![zone],
        cpus: vec![1],
        distances: vec![vec![10]],
        tiers: vec![0],
        costs,
        start_ns: 0,
    };
    let pages = if kind == Kind::Anon { u64::from(nr_pages) + 2 } else { 0 };
    let swap = SwapDevice { pages, ..SwapDevice::default() };
    let lru_gen = if engine == Engine::Mglru { 7 } else { 0 };
    let knobs = Knobs { swappiness: 60, lru_gen, ..Knobs::default() };
    let mut guest = Guest::new(config, knobs, swap);
    let max = u64::from(capacity);
    let group = Group {
        name: String::from("bench"),
        max,
        high: u64::MAX,
        low: 0,
        min: 0,
        swap_max: u64::MAX,
    };
    let group = guest.add_group(&group);
    let process = guest.add_process(group);
    let backing = match kind {
        Kind::File => Backing::File(String::from("bench")),
        Kind::Anon => Backing::Anon,
    };
    let region = guest.add_region(process, &backing, nr_pages, Policy::Default, 0, false);
    (guest, region)
}

/// Replays accesses on a guest; gives the page faults.
pub fn replay(guest: &mut Guest, region: u32, requests: &[u32], kind: Kind) -> u64 {
    let write = kind == Kind::Anon;
    let before = guest.vmstat()[reclaim::guest::Stat::pgfault];
    guest.touch_all(0, region, requests, write);
    guest.vmstat()[reclaim::guest::Stat::pgfault] - before
}

/// The yardstick: an active and an inactive list with accessed bits, and nothing else. A page comes
/// in on the inactive list; one found accessed is marked at the first look and activated at the
/// second; active pages go to the inactive list, oldest first, while that is the shorter one.
pub struct TwoLists {
    lists: Lists,
    state: Vec<u8>,
    capacity: u32,
}

const INACTIVE: List = List(0);
const ACTIVE: List = List(1);
const RESIDENT: u8 = 1;
const YOUNG: u8 = 2;
const REFERENCED: u8 = 4;

impl TwoLists {
    /// Nothing is resident.
    pub fn new(nr_pages: u32, capacity: u32) -> Self {
        let state = vec![0; nr_pages as usize];
        Self { lists: Lists::new(2, nr_pages), state, capacity }
    }

    /// Replays accesses; gives those to pages that were not resident.
    pub fn replay(&mut self, requests: &[u32]) -> u64 {
        let mut misses = 0;
        for block in requests.chunks(BLOCK) {
            let warmed = block.iter().fold(0, |seen, page| seen ^ self.state[*page as usize]);
            std::hint::black_box(warmed);
            for page in block {
                let state = &mut self.state[*page as usize];
                if *state & RESIDENT != 0 {
                    *state |= YOUNG;
                } else {
                    misses += 1;
                    self.miss(*page);
                }
            }
        }
        misses
    }

    fn miss(&mut self, page: u32) {
        if self.lists.len(INACTIVE) + self.lists.len(ACTIVE) >= self.capacity {
            self.evict();
        }
        self.state[page as usize] = RESIDENT | YOUNG;
        self.lists.push_front(INACTIVE, page);
    }

    fn evict(&mut self) {
        loop {
            if self.lists.len(INACTIVE) < self.lists.len(ACTIVE)
                && let Some(page) = self.lists.back(ACTIVE)
            {
                self.state[page as usize] &= !YOUNG;
                self.lists.move_front(ACTIVE, INACTIVE, page);
            }
            let Some(page) = self.lists.back(INACTIVE) else { return };
            let state = &mut self.state[page as usize];
            match *state & (YOUNG | REFERENCED) {
                0 | REFERENCED => {
                    *state = 0;
                    self.lists.del(INACTIVE, page);
                    return;
                }
                YOUNG => {
                    *state = RESIDENT | REFERENCED;
                    self.lists.rotate(INACTIVE, page);
                }
                _ => {
                    *state = RESIDENT;
                    self.lists.move_front(INACTIVE, ACTIVE, page);
                }
            }
        }
    }
}
