//! Replaying a case: its threads take turns on one stream of instructions, as on the emulator.

use std::collections::BTreeMap;

use base::TaskId;
use reclaim::guest::{Advice, Backing, Group, Guest, Policy};

use super::balancing::Balancing;
use super::case::{Case, Kind, NameVerb, Step, Touch};
use super::generate::Pages;
use super::recording::{GAUGES, Recording, Snapshot, Watch};
use super::setup;
use super::tables::MachineRow;

/// A thread's turn on the emulator, ns.
pub(super) const SLICE_NS: u64 = 4_000_000;
/// Pages of the program itself that its group pays for at start, and with the first snapshot.
pub(super) const PROGRAM_PAGES: u32 = 5;
pub(super) const SNAPSHOT_PAGES: u32 = 3;
/// The most that a heap grows to here, pages: 32 MiB, above which malloc always maps.
const HEAP_PAGES: u32 = 8192;
/// Bytes from which on malloc maps at first.
const MAP_THRESHOLD: u64 = 128 << 10;
/// Blocks of a fresh ext4 that stay in use.
const METADATA_PAGES: u32 = 19;
/// Dentries of the running system.
const KERNEL_DENTRIES: u64 = 504;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its process has not begun.
    Unborn,
    Ready,
    Until(u64),
    Barrier(u64),
    Done,
}

/// A touch step under way.
struct Running {
    pages: Pages,
    left: Option<u64>,
    done: u64,
    started: u64,
    /// Memory of its table that is given back at the end.
    mapped: Option<(u32, u32)>,
    watch: Watch,
}

pub(super) struct ThreadState {
    pub(super) proc: usize,
    index: usize,
    step: usize,
    pub(super) cpu: usize,
    pub(super) state: State,
    /// Its stack, where NUMA balancing sees it.
    pub(super) stack: Option<u32>,
    running: Option<Running>,
    /// The access whose fault the tick came in: it is repeated after what the tick gave to do.
    pub(super) interrupted: Option<(u32, u32, bool)>,
    /// Ran since it last was chosen, for turns.
    turn: u64,
}

#[derive(Default)]
pub(super) struct ProcState {
    pub(super) id: u16,
    pub(super) regions: BTreeMap<String, (u32, Kind, u64)>,
    pub(super) program: u32,
    pub(super) heap: Option<u32>,
    /// From how many bytes on malloc maps, once something was freed that had been mapped.
    pub(super) map_threshold: Option<u64>,
    pub(super) snapped: bool,
    pub(super) life: Life,
}

impl ThreadState {
    pub(super) fn new(proc: usize, index: usize, cpu: usize) -> Self {
        Self {
            proc,
            index,
            step: 0,
            cpu,
            state: State::Unborn,
            stack: None,
            running: None,
            interrupted: None,
            turn: 0,
        }
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// It waits for another one to end.
    #[default]
    Unborn,
    Alive,
    Gone,
}

/// A case on a guest.
pub(super) struct Replay<'a> {
    pub(super) case: &'a Case,
    pub(super) guest: Guest,
    pub(super) procs: Vec<ProcState>,
    pub(super) threads: Vec<ThreadState>,
    pub(super) groups: BTreeMap<String, u16>,
    waiting: BTreeMap<u64, Vec<usize>>,
    out: Recording,
    turns: u64,
    /// NUMA balancing, where it is on.
    pub(super) balancing: Option<Box<Balancing>>,
    /// Who prints the samples: when next, and what is left to print.
    pub(super) observer: (u64, u64),
    observer_turn: u64,
    /// What is left of the system's own work after boot, ns.
    pub(super) boot_ns: u64,
    /// What printing all counters takes.
    pub(super) snapshot_ns: u64,
}

impl<'a> Replay<'a> {
    /// Builds the guest with its groups and processes.
    pub(super) fn new(case: &'a Case, machine: &MachineRow, knobs: &[(String, String)]) -> Self {
        let config = setup::config_of(case, machine);
        let mut guest =
            Guest::new(config, setup::knobs_of(case, knobs), setup::swap_of(case, knobs));
        guest.set_dirty_knobs(setup::dirty_of(case, knobs));
        let mut groups = BTreeMap::new();
        groups.insert(String::new(), 0);
        for group in &case.cgroups {
            let pages = |bytes: Option<u64>| bytes.map_or(u64::MAX, |bytes| bytes / 4096);
            let id = guest.add_group(&Group {
                name: group.name.clone(),
                max: pages(group.max),
                high: pages(group.high),
                low: group.low / 4096,
                min: group.min / 4096,
                swap_max: pages(group.swap_max),
            });
            groups.insert(group.name.clone(), id);
        }
        let zones =
            machine.zones.iter().map(|zone| format!("{}.{}", zone.node, zone.zone)).collect();
        let mut replay = Self {
            case,
            guest,
            procs: Vec::new(),
            threads: Vec::new(),
            groups,
            waiting: BTreeMap::new(),
            out: Recording { zones, ..Recording::default() },
            turns: 0,
            balancing: None,
            observer: (u64::MAX, 0),
            observer_turn: 0,
            boot_ns: setup::boot_ns(case, knobs),
            snapshot_ns: setup::snapshot_ns(case, knobs),
        };
        replay.snapshot("start");
        replay.read_metadata();
        for index in 0..case.procs.len() {
            replay.declare_process(index);
        }
        replay.begin_processes();
        let mode = setup::number_of(case, knobs, "kernel/numa_balancing", 0);
        replay.start_balancing(mode);
        replay
    }

    /// Mounting and the first names read a file system's own blocks, often enough to be active.
    fn read_metadata(&mut self) {
        if self.case.fs_ra_kib.is_none() && !self.case.disks.iter().any(|disk| disk.fs) {
            return;
        }
        let system = self.guest.add_process(0);
        let backing = Backing::File(String::from("metadata"));
        let blocks =
            self.guest.add_region(system, &backing, METADATA_PAGES, Policy::Default, 0, false);
        for _ in 0..2 {
            for page in 0..METADATA_PAGES {
                self.guest.file_io(0, blocks, page, false);
            }
        }
        self.guest.drain_all();
    }

    pub(super) fn nr_cpus(&self) -> usize {
        self.case.guest.cpus.iter().sum::<usize>().max(1)
    }

    /// Runs to the end, where whoever started the processes prints all counters once more.
    pub(super) fn run(mut self) -> Recording {
        if self.balancing.is_some() {
            self.run_on_cpus();
        } else {
            self.take_turns();
        }
        if self.case.labels().all(|label| label != "end") {
            self.snapshot("end");
        }
        self.out
    }

    fn take_turns(&mut self) {
        if let Some(ms) = self.case.sample_ms {
            self.observer.0 = self.guest.now() + ms * 1_000_000;
        }
        loop {
            self.wake();
            let ready =
                self.threads.iter().enumerate().filter(|(_, thread)| thread.state == State::Ready);
            let first = ready.min_by_key(|(_, thread)| thread.turn);
            let (index, turn) =
                first.map_or((None, u64::MAX), |(i, thread)| (Some(i), thread.turn));
            self.turns += 1;
            if self.observer.1 > 0 && self.observer_turn < turn {
                self.observer_turn = self.turns;
                self.print_sample(self.nr_cpus() - 1);
            } else if let Some(index) = index {
                self.threads[index].turn = self.turns;
                self.slice(index);
                self.reap();
            } else {
                match self.next_due() {
                    Some(due) => self.guest.advance(due),
                    None => return,
                }
            }
        }
    }

    /// Lets a thread run for its turn.
    fn slice(&mut self, index: usize) {
        self.slice_until(index, self.end_of_turn());
    }

    /// When a turn that begins now ends: at the tick, if a kswapd waits there for the CPU. A task that
    /// takes no faults can lose its CPU nowhere else.
    pub(super) fn end_of_turn(&self) -> u64 {
        let now = self.guest.now();
        let begun = if self.guest.kswapd_is_awake() { now - now % SLICE_NS } else { now };
        begun + SLICE_NS
    }

    /// Lets a thread run up to a time, or until it waits.
    pub(super) fn slice_until(&mut self, index: usize, end: u64) {
        let cpu = self.threads[index].cpu;
        self.guest.begin_turn(cpu);
        while self.guest.now() < end && self.threads[index].state == State::Ready {
            let (proc, thread) = (self.threads[index].proc, self.threads[index].index);
            if self.guest.is_dead(self.procs[proc].id) {
                self.threads[index].state = State::Done;
                return;
            }
            let steps = &self.case.procs[proc].threads[thread].steps;
            let Some(step) = steps.get(self.threads[index].step) else {
                self.threads[index].state = State::Done;
                return;
            };
            if self.step(index, step, end) {
                self.threads[index].step += 1;
            }
        }
    }

    /// Does a step, or a part of it; true when it is done.
    fn step(&mut self, index: usize, step: &Step, end: u64) -> bool {
        let proc = self.threads[index].proc;
        match step {
            Step::Touch(touch) => return self.touch(index, touch, end),
            Step::Cpu(cpus) => {
                self.threads[index].cpu = match &mut self.balancing {
                    Some(balancing) => {
                        balancing.set_affinity(&self.guest, TaskId::from_idx(index), cpus)
                    }
                    None => cpus.first().copied().unwrap_or(0).min(self.nr_cpus() - 1),
                };
            }
            Step::Sleep { ms } => {
                self.threads[index].state = State::Until(self.guest.now() + ms * 1_000_000);
            }
            Step::Barrier { id, nr } => self.barrier(index, *id, *nr),
            Step::Snap(label) => self.snap(index, label),
            Step::Join(group) => {
                let group = self.groups.get(group).copied().unwrap_or(0);
                self.guest.join(self.procs[proc].id, group);
            }
            Step::Policy { region, policy } => {
                if let Some((vma, ..)) = self.procs[proc].regions.get(region) {
                    self.guest.set_policy(*vma, *policy);
                    if let Some(balancing) = &mut self.balancing {
                        balancing.view.set_policy(*vma, *policy);
                    }
                }
            }
            Step::Lock(region) => {
                let (vma, cpu) = (self.region(proc, region), self.threads[index].cpu);
                self.guest.lock(cpu, vma);
            }
            Step::Unlock(region) => {
                let (vma, cpu) = (self.region(proc, region), self.threads[index].cpu);
                self.guest.unlock(cpu, vma);
            }
            Step::Advise { region, advice } => self.advise(index, region, advice),
            Step::Fork { label, touch } => self.fork(index, label, touch),
            Step::Names { verb, count, .. } => {
                if *verb != NameVerb::Stat {
                    let (id, cpu) = (self.procs[proc].id, self.threads[index].cpu);
                    self.guest.add_dentries(cpu, id, *count);
                }
            }
            Step::Where(_) => {}
        }
        true
    }

    fn region(&self, proc: usize, name: &str) -> u32 {
        self.procs[proc].regions.get(name).map_or(self.procs[proc].program, |region| region.0)
    }

    fn advise(&mut self, index: usize, region: &str, advice: &str) {
        let (vma, cpu) = (self.region(self.threads[index].proc, region), self.threads[index].cpu);
        let advice = match advice {
            "free" => Advice::Free,
            "dontneed" => Advice::DontNeed,
            "willneed" => Advice::WillNeed,
            "random" => Advice::Random,
            "nohuge" => Advice::NoHuge,
            "cold" => Advice::Cold,
            "pageout" => Advice::PageOut,
            _ => return,
        };
        self.guest.advise(cpu, vma, advice);
    }

    fn barrier(&mut self, index: usize, id: u64, nr: u64) {
        let waiting = self.waiting.entry(id).or_default();
        waiting.push(index);
        self.threads[index].state = State::Barrier(id);
        if waiting.len() as u64 >= nr {
            for other in std::mem::take(waiting) {
                self.threads[other].state = State::Ready;
            }
        }
    }

    pub(super) fn snap(&mut self, index: usize, label: &str) {
        let (proc, cpu) = (self.threads[index].proc, self.threads[index].cpu);
        if !std::mem::replace(&mut self.procs[proc].snapped, true) {
            for page in PROGRAM_PAGES..PROGRAM_PAGES + SNAPSHOT_PAGES {
                self.guest.touch(cpu, self.procs[proc].program, page, true);
            }
        }
        if self.balancing.is_some() {
            for page in 0..PROGRAM_PAGES + SNAPSHOT_PAGES {
                self.access(index, cpu, self.procs[proc].program, page, true);
            }
        }
        self.snapshot(label);
        self.guest.work(cpu, self.snapshot_ns);
    }

    fn touch(&mut self, index: usize, touch: &Touch, end: u64) -> bool {
        let (proc, cpu) = (self.threads[index].proc, self.threads[index].cpu);
        let Some((vma, kind, pages)) = self.procs[proc].regions.get(&touch.region).copied() else {
            return true;
        };
        let mut running = match self.threads[index].running.take() {
            Some(running) => running,
            None => self.start_touch(index, cpu, touch, pages),
        };
        let limit = running.started + touch.ms * 1_000_000;
        let draw_ns = self.begin_slice(index, cpu, touch, running.mapped);
        self.repeat_interrupted(index, cpu);
        let mut finished = false;
        while self.guest.now() < end && !self.guest.is_dead(self.procs[proc].id) {
            let over = touch.count.is_none()
                && running.done.is_multiple_of(256)
                && self.guest.now() >= limit;
            if running.left == Some(0) || over {
                finished = true;
                break;
            }
            let page = running.pages.next_page() as u32;
            if kind == Kind::Io {
                self.guest.file_io(cpu, vma, page, touch.write);
            } else {
                self.access_until(index, cpu, (vma, page, touch.write), end);
                self.guest.spend(draw_ns);
            }
            running.done += 1;
            if let Some(left) = &mut running.left {
                *left -= 1;
            }
            if touch.watch > 0 && running.done.is_multiple_of(touch.watch) {
                self.sample(&mut running);
            }
            if let Some((nr, us)) = touch.pace
                && running.done.is_multiple_of(nr)
            {
                self.threads[index].state = State::Until(self.guest.now() + us * 1000);
                break;
            }
        }
        if finished {
            if let Some((region, _)) = running.mapped {
                if let Some(balancing) = &mut self.balancing {
                    balancing.view.unmap(region);
                }
                self.guest.unmap(cpu, region);
            }
            let ms = (self.guest.now() - running.started) as f64 / 1e6;
            self.out.steps.push((touch.region.clone(), ms));
            if touch.watch > 0 {
                self.out.watches.push(running.watch);
            }
        } else {
            self.threads[index].running = Some(running);
        }
        finished
    }

    fn start_touch(&mut self, index: usize, cpu: usize, touch: &Touch, pages: u64) -> Running {
        let proc = self.threads[index].proc;
        let program = self.procs[proc].program;
        for page in 0..PROGRAM_PAGES {
            self.access(index, cpu, program, page, true);
        }
        let generator = Pages::new(touch, pages);
        let mapped = self.take_heap(proc, cpu, generator.heap_bytes());
        Running {
            pages: generator,
            left: touch.count,
            done: 0,
            started: self.guest.now(),
            mapped,
            watch: Watch::default(),
        }
    }

    /// Memory for a table of so many bytes, as the C library's malloc has it: what is at least the
    /// threshold is mapped and unmapped again, which raises the threshold; the rest stays.
    fn take_heap(&mut self, proc: usize, cpu: usize, bytes: u64) -> Option<(u32, u32)> {
        if bytes == 0 {
            return None;
        }
        let id = self.procs[proc].id;
        let pages = (bytes / 4096 + 2) as u32;
        let mapped = bytes + 16 >= self.procs[proc].map_threshold.unwrap_or(MAP_THRESHOLD);
        let region = match self.procs[proc].heap {
            Some(heap) if !mapped => heap,
            _ => {
                let size = if mapped { pages } else { HEAP_PAGES };
                let heap = Policy::Default;
                let region = self.guest.add_region(id, &Backing::Anon, size, heap, 1 << 30, false);
                if let Some(balancing) = &mut self.balancing {
                    balancing.map(proc, region, size);
                }
                region
            }
        };
        for page in 0..pages.min(if mapped { pages } else { HEAP_PAGES }) {
            self.guest.touch(cpu, region, page, true);
        }
        if mapped {
            self.procs[proc].map_threshold = Some(bytes + 4096);
            return Some((region, pages));
        }
        self.procs[proc].heap = Some(region);
        None
    }

    fn sample(&mut self, running: &mut Running) {
        use reclaim::guest::Stat;
        let (dirty, writeback) = self.guest.dirty_pages();
        let free = (0..self.out.zones.len()).map(|zone| self.guest.free_pages(zone)).collect();
        let scanned = self.guest.vmstat()[Stat::pageoutrun];
        running.watch.rows.push((running.done, scanned, dirty + writeback, free));
    }

    fn snapshot(&mut self, label: &str) {
        self.guest.read_stats();
        let nodes = self.case.guest.nodes;
        let groups = self.groups.iter().filter(|(name, _)| !name.is_empty()).map(|(name, id)| {
            let gauges = GAUGES.iter().map(|(gauge, _)| self.guest.gauge(*id, *gauge)).collect();
            (name.clone(), self.guest.group_stats(*id), gauges)
        });
        let mut maps = Vec::new();
        for (proc, state) in self.case.procs.iter().zip(&self.procs) {
            for (name, (vma, ..)) in &state.regions {
                maps.push((format!("{}.{name}", proc.name), self.guest.pages_by_node(*vma)));
            }
        }
        let list = |node: usize| std::array::from_fn(|list| self.guest.node_list(node, list));
        self.out.snapshots.push(Snapshot {
            label: label.to_owned(),
            vm: self.guest.vmstat().clone(),
            groups: groups.collect(),
            numa: (0..nodes).map(|node| self.guest.numastat(node).clone()).collect(),
            lists: (0..nodes).map(list).collect(),
            maps,
            dentries: KERNEL_DENTRIES + self.guest.nr_dentries(),
        });
    }
}
