//! A guest as a NUMA-placement design sees it: machine, scheduler, address spaces, tasks.
//!
//! Page tables and free memory are the guest's; those here are filled from it before a walk. Each
//! mapping of the guest has a place of its own in its process's space.

use std::ops::Range;

use base::{CpuId, CpuMask, MmId, MmVec, Nanos, NodeId, Pages, Rng, TaskId, TaskVec, stream};
use designs::{Cx, SpaceInfo, TaskInfo};
use mm::{AddressSpace, Memory, Mempolicy, Order, Pte, ScanPlan, Vma};
use reclaim::guest::{Entry, Guest, Policy};
use sched::{FairPolicy, ImbNumaNr, NICE_0_WEIGHT, Sched, SchedKnobs};
use topology::Machine;

use super::case::Case;

/// Free pages between two mappings, so that no two share a page table.
const GAP: u32 = 1024;

/// Where a mapping of the guest is in its space.
#[derive(Clone, Debug)]
struct Place {
    region: u32,
    mm: MmId,
    pages: Range<u32>,
}

/// What a design sees of a guest.
pub(super) struct View {
    pub(super) machine: Machine,
    pub(super) sched: Sched,
    pub(super) memory: Memory,
    pub(super) tasks: TaskVec<TaskInfo>,
    pub(super) spaces: MmVec<SpaceInfo>,
    pub(super) rng: Rng,
    places: Vec<Place>,
}

/// The machine of a case; what it costs there is not asked for.
fn machine_of(case: &Case) -> Option<Machine> {
    let guest = &case.guest;
    let mut text = String::from("name = \"guest\"\n");
    let rows = guest.distances();
    let rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    text.push_str(&format!("distances = [{}]\n", rows.join(", ")));
    let mut first = 0;
    for (node, mib) in guest.mib.iter().enumerate() {
        let nr = guest.cpus.get(node).copied().unwrap_or(0);
        text.push_str("[[nodes]]\n");
        if nr > 0 {
            text.push_str(&format!("cpus = \"{first}-{}\"\n", first + nr - 1));
        }
        let tier = u32::from(guest.hmat && node > 0);
        text.push_str(&format!("memory = \"{mib}MiB\"\ntier = {tier}\n"));
        first += nr;
    }
    let all: std::collections::BTreeSet<u32> = guest.distances().into_iter().flatten().collect();
    let by_distance = |unit: &str| -> String {
        let values: Vec<String> = all.iter().map(|d| format!("{d} = \"{unit}\"")).collect();
        values.join(", ")
    };
    text.push_str(&format!(
        "[latency]\nby_distance = {{ {} }}\n[bandwidth]\ncore = {{ by_distance = {{ {} }} }}\n\
         controller = \"10GB/s\"\n",
        by_distance("100ns"),
        by_distance("10GB/s")
    ));
    if guest.nodes > 1 {
        let last = guest.nodes - 1;
        text.push_str(&format!(
            "[[bandwidth.links]]\nwithin = [\"0-{last}\"]\none_way = \"4GB/s\"\n"
        ));
    }
    topology::parse("guest.toml", &text).ok()
}

impl View {
    /// The machine of a case without processes; `None` for one that cannot be described.
    pub(super) fn new(case: &Case) -> Option<Self> {
        let machine = machine_of(case)?;
        let knobs = SchedKnobs {
            policy: FairPolicy::Eevdf,
            imb_numa_nr: ImbNumaNr::Derived,
            ..SchedKnobs::default()
        };
        let mut memory = Memory::new(&machine);
        // All entries name this folio; pages are the guest's.
        memory.folios.insert(MmId(0), 0, NodeId(0), 0, Order::Base);
        Some(Self {
            sched: Sched::new(&machine, knobs),
            memory,
            tasks: TaskVec::default(),
            spaces: MmVec::default(),
            rng: stream(1, "validate.kernel.numa", 0),
            places: Vec::new(),
            machine,
        })
    }

    /// Adds a process without mappings.
    pub(super) fn add_space(&mut self) -> MmId {
        self.spaces.push(SpaceInfo::default());
        self.memory.add_space(AddressSpace::new("", false, Pages::ZERO))
    }

    /// Adds a mapping above those there are.
    pub(super) fn map(&mut self, mm: MmId, region: u32, nr_pages: u32, policy: Policy) {
        let own = self.places.iter().filter(|place| place.mm == mm);
        let top = own.map(|place| place.pages.end).max().unwrap_or(0);
        let start = (top + GAP).next_multiple_of(GAP);
        self.map_at(mm, region, start, nr_pages, policy);
    }

    /// Adds a mapping at a page.
    fn map_at(&mut self, mm: MmId, region: u32, start: u32, nr_pages: u32, policy: Policy) {
        let pages = start..start + nr_pages;
        let space = &mut self.memory.spaces[mm];
        // Only the default policy lets faults move pages: which other one it is does not matter.
        let policy = match policy {
            Policy::Default => None,
            _ => Some(Mempolicy::PreferredMany(base::NodeMask::EMPTY)),
        };
        space.map(Vma { pages: pages.clone(), thp: None, policy });
        let len = space.ptes.len().max(pages.end as usize);
        space.ptes.resize(len, Pte::ABSENT);
        self.places.push(Place { region, mm, pages });
    }

    /// Changes the policy of a mapping.
    pub(super) fn set_policy(&mut self, region: u32, policy: Policy) {
        if let Some(place) = self.place_of(region).cloned() {
            self.unmap(region);
            let nr_pages = place.pages.end - place.pages.start;
            self.map_at(place.mm, region, place.pages.start, nr_pages, policy);
        }
    }

    /// Removes a mapping.
    pub(super) fn unmap(&mut self, region: u32) {
        if let Some(place) = self.place_of(region).cloned() {
            self.memory.spaces[place.mm].unmap(place.pages);
            self.places.retain(|other| other.region != region);
        }
    }

    fn place_of(&self, region: u32) -> Option<&Place> {
        self.places.iter().find(|place| place.region == region)
    }

    /// Space and page of a page of a mapping; `None` for a mapping that is not in view.
    pub(super) fn page_of(&self, region: u32, index: u32) -> Option<(MmId, u32)> {
        self.place_of(region).map(|place| (place.mm, place.pages.start + index))
    }

    /// The mapping that a page of a space is in, and its first page there.
    fn region_at(&self, mm: MmId, page: u32) -> Option<(u32, u32)> {
        let found =
            self.places.iter().find(|place| place.mm == mm && place.pages.contains(&page))?;
        Some((found.region, found.pages.start))
    }

    /// Adds a task of a space (`None`: not of the workload) that may use some CPUs, all if empty.
    pub(super) fn add_task(&mut self, mm: Option<MmId>, cpus: &[usize], now: Nanos) -> TaskId {
        let allowed = self.mask(cpus);
        let task = self.sched.add_task(NICE_0_WEIGHT, allowed);
        let task = task.unwrap_or_else(|_| TaskId::from_idx(self.tasks.len()));
        self.tasks.push(TaskInfo {
            mm,
            process: mm.map_or(u32::MAX, |mm| u32::from(mm.0)),
            cpu_time: Nanos::ZERO,
            started: now,
            allowed,
            alive: true,
            group: None,
            has_policy: false,
        });
        if let Some(mm) = mm {
            self.spaces[mm].nr_tasks += 1;
            self.spaces[mm].tasks.push(task);
        }
        task
    }

    /// A mask of CPUs of the machine; all of them if none of `cpus` exists.
    pub(super) fn mask(&self, cpus: &[usize]) -> CpuMask {
        let nr = self.machine.cpus.len();
        let mut mask = CpuMask::EMPTY;
        cpus.iter().filter(|cpu| **cpu < nr).for_each(|cpu| mask.insert(CpuId(*cpu as u16)));
        if mask.is_empty() { CpuMask::first(nr) } else { mask }
    }

    /// Takes the entries that a walk may come to from the guest.
    pub(super) fn refresh(&mut self, guest: &Guest, plan: &ScanPlan) {
        let Some((region, first)) = self.region_at(plan.mm, plan.start) else { return };
        let space = &mut self.memory.spaces[plan.mm];
        let end = plan.end.min(space.ptes.len() as u32);
        for page in plan.start..end {
            space.ptes[page as usize] = match guest.entry(region, page - first) {
                Entry::Absent => Pte::ABSENT,
                Entry::Present { node, huge, marked } => {
                    let pte = Pte::mapped(base::FolioId(0), NodeId(node as u8), huge);
                    if marked { pte.without(Pte::OPEN).with(Pte::PROTNONE) } else { pte }
                }
            };
        }
    }

    /// Pages of a walk that were not there, and those that were marked, by the walk or before it.
    pub(super) fn absent_and_marked(&self, plan: &ScanPlan, end: u32) -> (u64, u64) {
        let ptes = &self.memory.spaces[plan.mm].ptes;
        let walked = ptes.get(plan.start as usize..end as usize).unwrap_or_default();
        let count = |is: fn(&Pte) -> bool| walked.iter().filter(|pte| is(pte)).count() as u64;
        (count(|pte| *pte == Pte::ABSENT), count(|pte| pte.has(Pte::PROTNONE)))
    }

    /// Marks the entries of the guest that a walk has marked here.
    pub(super) fn write_back(&self, guest: &mut Guest, plan: &ScanPlan, end: u32) {
        let Some((region, first)) = self.region_at(plan.mm, plan.start) else { return };
        for page in plan.start..end {
            let pte = self.memory.spaces[plan.mm].ptes[page as usize];
            if pte.has(Pte::PROTNONE) {
                let stamp = plan.rules.stamp.filter(|stamp| stamp.nodes.contains(pte.node()));
                guest.mark(region, page - first, stamp.map(|stamp| stamp.word));
            }
        }
    }

    /// What a design sees.
    pub(super) fn cx(&mut self, now: Nanos) -> Cx<'_> {
        Cx {
            now,
            machine: &self.machine,
            sched: &self.sched,
            memory: &self.memory,
            tasks: &self.tasks,
            spaces: &self.spaces,
            rng: &mut self.rng,
        }
    }
}
