//! The scan of 6.12 and 6.4 beside a slow transcription: budgets, the mapping filter, the forced
//! round, and which entries end up marked.

use std::ops::Range;

use base::{MmId, Nanos, NodeId, NodeMask, Pages, TaskId};
use mm::{AddressSpace, Mempolicy, Order, Pte, Vma};
use proptest::prelude::*;

use super::vma::VmaFilter;
use super::walk::{Progress, Walk, WalkKnobs};
use crate::testing::World;

/// Pages of the space, and of range changed in one scan at most; eight times that is walked.
const NR: u32 = 6000;
const SCAN: i64 = 600;

/// The space: mappings with whether a policy ties them, and which pages are there.
#[derive(Clone, Debug)]
struct Layout {
    vmas: Vec<(Range<u32>, bool)>,
    present: Vec<Range<u32>>,
}

fn layout() -> impl Strategy<Value = Layout> {
    let vmas = prop::collection::vec((0u32..300, 1u32..1500, prop::bool::weighted(0.15)), 1..6);
    let present = prop::collection::vec((0u32..NR, 0u32..1500), 0..6);
    (vmas, present).prop_map(|(rows, present)| {
        let (mut vmas, mut at) = (Vec::new(), 0);
        for (gap, len, tied) in rows {
            let start = at + gap;
            at = (start + len).min(NR);
            if start < at {
                vmas.push((start..at, tied));
            }
        }
        let present = present.into_iter().map(|(start, len)| start..(start + len).min(NR));
        Layout { vmas, present: present.collect() }
    })
}

/// What happens to both.
#[derive(Clone, Debug)]
enum Op {
    Wait {
        ms: u64,
    },
    Scan {
        task: usize,
    },
    /// A hint fault opens an entry again.
    Fault {
        task: usize,
        page: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (1u64..3000).prop_map(|ms| Op::Wait { ms }),
        4 => (0usize..3).prop_map(|task| Op::Scan { task }),
        3 => (0usize..3, 0..NR).prop_map(|(task, page)| Op::Fault { task, page }),
    ]
}

/// What is kept of a mapping; sequence numbers are signed, since they begin before 0.
#[derive(Clone, Debug)]
struct Seen {
    start_seq: i64,
    next: u64,
    reset: u64,
    prev_seq: i64,
    before: Vec<usize>,
    lately: Vec<usize>,
}

/// The description. Tasks 0 and 1 run on node 0, task 2 on node 1.
#[derive(Debug)]
struct Slow {
    layout: Layout,
    filter: VmaFilter,
    nr_tasks: i64,
    now: u64,
    seq: i64,
    offset: u32,
    seen: Vec<Option<Seen>>,
    present: Vec<bool>,
    open: Vec<bool>,
    node: Vec<u8>,
}

impl Slow {
    /// Whether the mapping is to be scanned by `task`; `skipped` notes that it is only not used.
    fn look(&mut self, idx: usize, task: usize, forced: bool, skipped: &mut bool) -> bool {
        if self.filter == VmaFilter::Off {
            return true;
        }
        let (seq, now, start) = (self.seq, self.now, self.layout.vmas[idx].0.start);
        let end = self.layout.vmas[idx].0.end;
        let state = self.seen[idx].get_or_insert(Seen {
            start_seq: seq,
            next: now + 1000,
            reset: now + 5000,
            prev_seq: seq - 1,
            before: Vec::new(),
            lately: Vec::new(),
        });
        if seq > 0 && now < state.next {
            return false;
        }
        let age = |state: &mut Seen| {
            if seq > 0 && now > state.reset {
                state.reset += 4000;
                state.before = std::mem::take(&mut state.lately);
            }
        };
        let used = |state: &Seen| state.before.contains(&task) || state.lately.contains(&task);
        if self.filter == VmaFilter::V6_4 {
            let scans = seq < 2 || used(state);
            if scans {
                age(state);
            }
            return scans;
        }
        age(state);
        if state.prev_seq == seq {
            self.offset = end;
            return false;
        }
        let allowed = forced
            || seq - state.start_seq < 2
            || used(state)
            || self.offset > start
            || seq > state.prev_seq + self.nr_tasks;
        *skipped |= !allowed;
        allowed
    }

    /// Marks a range; whether anything changed. A lone thread leaves out what is on its node.
    fn mark(&mut self, range: Range<u32>, node: u8) -> bool {
        let mut changed = false;
        for page in range.map(|page| page as usize) {
            let spared = self.nr_tasks == 1 && self.node[page] == node;
            if self.present[page] && self.open[page] && !spared {
                self.open[page] = false;
                changed = true;
            }
        }
        changed
    }

    fn scan(&mut self, task: usize) {
        let node = u8::from(task == 2);
        let (mut pages, mut virtual_pages) = (SCAN, 8 * SCAN);
        let (mut forced, mut skipped) = (false, false);
        loop {
            let mut start = self.offset;
            if start > 0 && self.layout.vmas.iter().all(|(range, _)| range.end <= start) {
                self.seq += 1;
                (self.offset, start) = (0, 0);
            }
            for idx in 0..self.layout.vmas.len() {
                let (range, tied) = self.layout.vmas[idx].clone();
                if range.end <= start || tied || !self.look(idx, task, forced, &mut skipped) {
                    continue;
                }
                let mut from = range.start.max(start);
                while from < range.end {
                    let end = (i64::from(from) + pages).div_euclid(512) * 512;
                    let end = if end < i64::from(from) + pages { end + 512 } else { end };
                    let end = range.end.min(end as u32);
                    if self.mark(from..end, node) {
                        pages -= i64::from(end - from);
                    }
                    virtual_pages -= i64::from(end - from);
                    from = end;
                    if pages <= 0 || virtual_pages <= 0 {
                        self.offset = end;
                        return;
                    }
                }
                if let Some(state) = &mut self.seen[idx] {
                    state.prev_seq = self.seq;
                }
                if forced {
                    self.offset = range.end;
                    return;
                }
            }
            if forced || !skipped || self.filter != VmaFilter::V6_12 {
                break;
            }
            forced = true;
        }
        self.seq += 1;
        self.offset = 0;
    }
}

fn build(layout: &Layout, nr_tasks: usize, filter: VmaFilter) -> (World, Slow, MmId) {
    let mut world = World::new(2, 2);
    let mm = world.add_space();
    let mut space = AddressSpace::new("test", false, Pages(u64::from(NR)));
    for (pages, tied) in &layout.vmas {
        let policy = tied.then(|| Mempolicy::Bind(NodeMask::first(1)));
        space.map(Vma { pages: pages.clone(), thp: None, policy });
    }
    world.memory.spaces[mm] = space;
    let mut slow = Slow {
        layout: layout.clone(),
        filter,
        nr_tasks: nr_tasks as i64,
        now: 0,
        seq: 0,
        offset: 0,
        seen: vec![None; layout.vmas.len()],
        present: vec![false; NR as usize],
        open: vec![true; NR as usize],
        node: (0..NR).map(|page| u8::from(page % 3 == 0)).collect(),
    };
    for page in 0..NR {
        let there = layout.present.iter().any(|range| range.contains(&page));
        if there && world.memory.spaces[mm].vma(page).is_some() {
            let node = NodeId(slow.node[page as usize]);
            let wanted = Mempolicy::Preferred(node).wanted(NodeId(0), NodeMask::first(2), 0, None);
            let at = world.memory.zones.alloc(Order::Base, &wanted).expect("room");
            world.memory.map(mm, page, Order::Base, &at);
            slow.present[page as usize] = true;
        }
    }
    for cpu in [0u16, 1, 2].into_iter().take(nr_tasks) {
        world.add_task(mm, cpu);
    }
    (world, slow, mm)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn scans_are_as_described(
        layout in layout(), ops in prop::collection::vec(op(), 1..40), nr_tasks in 1usize..4,
        filter in prop::sample::select(vec![VmaFilter::V6_12, VmaFilter::V6_12, VmaFilter::V6_4, VmaFilter::Off]),
    ) {
        let (mut world, mut slow, mm) = build(&layout, nr_tasks, filter);
        let knobs = WalkKnobs {
            regions: mm::Regions::Never,
            filter,
            scan_delay: Nanos::from_ms(1000),
            scan_size: Pages(SCAN as u64),
            virt_size: Pages(8 * SCAN as u64),
            skip_local_if_single: true,
            skip_nodes: NodeMask::EMPTY,
            stamp_nodes: NodeMask::EMPTY,
        };
        let mut progress = Progress::default();
        for op in ops {
            match op {
                Op::Wait { ms } => {
                    world.now += Nanos::from_ms(ms);
                    slow.now += ms;
                }
                Op::Scan { task } => {
                    let task = task % nr_tasks;
                    let mut walk = Walk::begin(TaskId::from_idx(task), mm, &progress, &knobs);
                    let mut plan = walk.next_plan(&world.cx(), &mut progress, &knobs);
                    while let Some(next) = plan {
                        let outcome = world.memory.scan(&next);
                        let goes_on = walk.walked(&outcome, &mut progress);
                        plan = None;
                        if goes_on {
                            plan = walk.next_plan(&world.cx(), &mut progress, &knobs);
                        }
                    }
                    slow.scan(task);
                }
                Op::Fault { task, page } => {
                    let task = task % nr_tasks;
                    let idx = layout.vmas.iter().position(|(range, _)| range.contains(&page));
                    let Some(idx) = idx.filter(|_| slow.present[page as usize]) else { continue };
                    if slow.open[page as usize] {
                        continue;
                    }
                    world.memory.open(world.memory.pte(mm, page).folio());
                    progress.vmas.faulted(layout.vmas[idx].0.start, TaskId::from_idx(task));
                    slow.open[page as usize] = true;
                    if let Some(state) = &mut slow.seen[idx] {
                        state.lately.push(task);
                    }
                }
            }
            prop_assert_eq!(progress.scan_seq as i64, slow.seq);
            prop_assert_eq!(progress.offset, slow.offset);
            for page in (0..NR).filter(|page| slow.present[*page as usize]) {
                let open = world.memory.pte(mm, page).has(Pte::OPEN);
                prop_assert_eq!(open, slow.open[page as usize], "page {}", page);
            }
        }
    }
}
