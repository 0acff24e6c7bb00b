//! Memory pressure: faults, reclaim, swap and memory cgroups, where the machine's kernel reclaims.
//!
//! [`reclaim::guest::Guest`] decides who gets which page, what is charged to whom, which page goes
//! and where it went; [`mm::Memory`] keeps the page tables that replay reads. For each call the
//! guest borrows the page tables for their accessed and dirty bits, and logs what it maps and
//! unmaps; [`Pressure::call`] applies that. An address space is one mapping of the guest, with the same
//! number. What the guest did costs the caller CPU time and time asleep, as [`reclaim::guest::Work`]
//! says; the wait for a device is over at once for everybody else. kswapd of each node is a task.

mod account;
mod events;
mod kswapd;
mod oom;
mod setup;
mod yardsticks;

use std::collections::BTreeMap;
use std::ops::Range;

use base::{CpuId, CpuVec, FolioId, MmId, Nanos, NodeId, NodeVec, Pages, TaskId, Vm};
use mm::{Allocated, Memory, Order, Wanted};
use reclaim::guest::{Change, Fault, Guest, Policy, Work};
use results::OomKill;

use crate::bandwidth::page_bytes;
use crate::record::Latent;
use crate::thread::{WaitFor, huge_bytes};
use crate::world::World;

pub use setup::reclaim_designs;
pub(crate) use yardsticks::Yardsticks;

use account::{Group, Recorded};

/// Pages that reclaim unmaps between two TLB shootdowns: it takes them in batches.
const FLUSH_BATCH: u64 = 32;

/// The guest and how its numbers relate to the world's.
pub(crate) struct Pressure {
    guest: Guest,
    /// The guest's number of each CPU.
    cpus: CpuVec<usize>,
    /// Node and place in it of each of the guest's zones.
    zones: Vec<(NodeId, u8)>,
    /// The guest's number of each node's first zone.
    first_zone: NodeVec<usize>,
    /// The guest's number of each process, in order.
    processes: Vec<(u32, u16)>,
    /// The guest's groups, by number.
    groups: Vec<Group>,
    /// What each process did in each group that it was in.
    recorded: Vec<Recorded>,
    /// Where in that a process is recorded now, by the guest's number.
    record_of: Vec<usize>,
    kswapds: NodeVec<Option<TaskId>>,
    /// What the workload sets for each process, by the guest's number.
    oom_score_adj: Vec<i32>,
    /// Processes that were killed, in order.
    kills: Vec<OomKill>,
    /// Pages of all zones.
    managed: u64,
    /// Whether CPUs of kswapd are being brought up to a fault's time.
    catching_up: bool,
}

/// What a call left for the caller to pay.
#[derive(Default)]
struct Applied {
    /// The page that was asked for, if it was mapped: its node and size.
    mapped: Option<(NodeId, Order)>,
    /// Base pages unmapped, by space.
    unmapped: BTreeMap<MmId, u64>,
}

impl Pressure {
    /// Lends the page tables, lets the guest work, and applies what it did. `asked` is the page
    /// that the caller waits for.
    fn call<T>(
        &mut self,
        memory: &mut Memory,
        asked: Option<(MmId, u32)>,
        work: impl FnOnce(&mut Guest) -> T,
    ) -> (T, Applied) {
        self.guest.lend(&mut memory.spaces);
        let result = work(&mut self.guest);
        self.guest.lend(&mut memory.spaces);
        let mut applied = Applied::default();
        let changes = self.guest.take_changes();
        for change in &changes {
            self.apply(memory, *change, asked, &mut applied);
        }
        self.guest.recycle(changes);
        self.show_free(memory);
        (result, applied)
    }

    fn apply(
        &self,
        memory: &mut Memory,
        change: Change,
        asked: Option<(MmId, u32)>,
        applied: &mut Applied,
    ) {
        match change {
            Change::Mapped { region, page, huge, zone } => {
                let mm = MmId::from_idx(region as usize);
                let order = if huge { Order::Huge } else { Order::Base };
                let (node, zone) = self.zones[zone];
                memory.zones.take(order, node, zone);
                memory.map(mm, page, order, &Allocated { node, zone, below_low: false });
                let pages = page..page + order.step();
                if asked.is_some_and(|(space, asked)| space == mm && pages.contains(&asked)) {
                    applied.mapped = Some((node, order));
                }
            }
            Change::Unmapped { region, page } => {
                let mm = MmId::from_idx(region as usize);
                let folio = memory.pte(mm, page).folio();
                *applied.unmapped.entry(mm).or_default() += memory.folios.order(folio).pages().0;
                memory.free_folio(folio);
            }
        }
    }

    /// Shows designs what is free: less than what is not mapped, since pages also sit in the swap
    /// cache, in CPUs' lists and in page tables.
    fn show_free(&self, memory: &mut Memory) {
        for (idx, (node, zone)) in self.zones.iter().enumerate() {
            memory.zones.set_free(*node, *zone, Pages(self.guest.free_pages(idx)));
        }
    }

    /// The guest's number of a process.
    fn guest_number(&self, process: u32) -> Option<u16> {
        let place = self.processes.binary_search_by_key(&process, |(number, _)| *number).ok()?;
        Some(self.processes[place].1)
    }

    /// Notes that a process runs, so that walks look at its page tables.
    pub(crate) fn note_running(&mut self, process: u32) {
        if let Some(guest) = self.guest_number(process) {
            self.guest.note_running(guest);
        }
    }
}

/// Where a page may be, as the guest takes it.
fn policy_of(wanted: &Wanted) -> Policy {
    Policy::Within { node: wanted.node.0.into(), first: wanted.first.0, allowed: wanted.allowed.0 }
}

impl World {
    /// Serves a fault on an absent page of a machine that reclaims.
    pub(crate) fn pressure_fault(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        page: u32,
        write: bool,
    ) {
        let started = self.cpus[cpu].clock;
        self.catch_up_kswapds(cpu, started);
        let vma = self.vma_at(mm, page);
        let order = self.fault_order(mm, page, vma);
        let wanted = self.wanted(task, cpu, mm, page, vma, order);
        let process = self.threads[task].process;
        let Some(pressure) = &mut self.pressure else { return };
        if let Some(yardsticks) = &mut self.yardsticks {
            yardsticks.note_absent(pressure, process, mm, page..page + 1);
        }
        let fault = Fault {
            cpu: pressure.cpus[cpu],
            process: pressure.guest_number(process).unwrap_or(0),
            region: u32::from(mm.0),
            page,
            write,
            huge: order == Order::Huge,
            policy: policy_of(&wanted),
        };
        let (work, applied) = pressure
            .call(&mut self.memory, Some((mm, page)), |guest| guest.serve(started.0, &fault));
        if let Some(yardsticks) = &mut self.yardsticks {
            yardsticks.note_held(&pressure.guest);
        }
        self.vmstat[Vm::pgmajfault] += u64::from(work.major);
        if let Some((node, mapped)) = applied.mapped {
            self.vmstat[Vm::thp_fault_fallback] += u64::from(mapped < order);
            self.vmstat[Vm::thp_fault_alloc] += u64::from(mapped == Order::Huge);
            let at = Allocated { node, zone: 0, below_low: false };
            self.count_alloc(cpu, mapped, &at, &wanted);
            self.pay_mapping(task, cpu, mm, node, mapped, work.major);
        }
        self.pay_work(task, cpu, &work, &applied);
        let class = if work.major { Latent::MajorFault } else { Latent::PageFault };
        self.note_fault(task, cpu, started, class, &work);
        self.wake_kswapds(cpu, started);
        if let Some(group) = work.oom {
            self.out_of_memory(task, cpu, group);
        }
        self.sleep_for_work(task, cpu, &work);
    }

    /// The fault itself and the clearing of a new page.
    fn pay_mapping(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        node: NodeId,
        order: Order,
        major: bool,
    ) {
        let rate = self.move_rate(task, cpu, None, node);
        let costs = &self.machine.costs;
        let (fault, bytes) = match order {
            Order::Huge => (costs.huge_fault, huge_bytes()),
            Order::Base if self.memory.spaces[mm].file => (costs.file_fault, 0.0),
            Order::Base if major => (costs.minor_fault, 0.0),
            Order::Base => (costs.minor_fault, page_bytes(1)),
        };
        let cost = fault + Nanos::from_secs_f64(bytes / rate);
        self.charge(task, cpu, cost, |time| &mut time.fault);
    }

    /// Charges what the guest did, and the shootdowns for what it unmapped, as kernel work.
    fn pay_work(&mut self, task: TaskId, cpu: CpuId, work: &Work, applied: &Applied) {
        let mut cost = Nanos(work.cpu_ns);
        for (mm, pages) in &applied.unmapped {
            self.vmstat[Vm::pgfree] += pages;
            cost += self.machine.costs.unmap_page * *pages;
            for _ in 0..pages.div_ceil(FLUSH_BATCH) {
                cost += self.tlb_flush(*mm, cpu);
            }
        }
        if cost > Nanos::ZERO {
            self.charge(task, cpu, cost, |time| &mut time.system);
        }
    }

    /// Takes the task off its CPU for as long as the guest waited.
    fn sleep_for_work(&mut self, task: TaskId, cpu: CpuId, work: &Work) {
        if work.waited_ns > 0 {
            let now = self.cpus[cpu].clock;
            self.block(task, now, WaitFor::Device);
            self.wake_at(task, now + Nanos(work.waited_ns));
        }
    }

    /// Tells the guest that a range is gone.
    pub(crate) fn pressure_discard(&mut self, cpu: CpuId, mm: MmId, pages: Range<u32>) {
        if let Some(pressure) = &mut self.pressure {
            let own = pressure.cpus[cpu];
            if let Some(yardsticks) = &mut self.yardsticks {
                yardsticks.free(mm, pages.clone());
            }
            pressure.guest.discard(own, u32::from(mm.0), pages);
            pressure.show_free(&mut self.memory);
        }
    }

    /// Room for a folio on another node; `None` where there is none.
    pub(crate) fn begin_migration(&mut self, folio: FolioId, to: NodeId) -> Option<u8> {
        let Some(pressure) = &mut self.pressure else {
            return self.memory.begin_migration(folio, to).ok();
        };
        let (mm, page) = (self.memory.folios.mm(folio), self.memory.folios.page(folio));
        let (guest, first) = (&mut pressure.guest, pressure.first_zone[to]);
        let room = |_: &mut mm::Zones| {
            let zone = guest.begin_move(u32::from(mm.0), page, to.idx())?;
            Some((zone - first) as u8)
        };
        let zone = self.memory.begin_migration_to(folio, room).ok()?;
        pressure.show_free(&mut self.memory);
        Some(zone)
    }

    /// The copy is done.
    pub(crate) fn finish_migration(&mut self, cpu: CpuId, folio: FolioId, to: NodeId, zone: u8) {
        self.memory.finish_migration(folio, to, zone);
        self.pressure_moved(cpu, folio, to, zone, true);
    }

    /// The folio stays where it was.
    pub(crate) fn abort_migration(&mut self, cpu: CpuId, folio: FolioId, to: NodeId, zone: u8) {
        self.memory.abort_migration(folio, to, zone);
        self.pressure_moved(cpu, folio, to, zone, false);
    }

    fn pressure_moved(&mut self, cpu: CpuId, folio: FolioId, to: NodeId, zone: u8, moved: bool) {
        let Some(pressure) = &mut self.pressure else { return };
        let (mm, page) = (self.memory.folios.mm(folio), self.memory.folios.page(folio));
        let (own, zone) = (pressure.cpus[cpu], pressure.first_zone[to] + usize::from(zone));
        pressure.guest.end_move(own, u32::from(mm.0), page, zone, moved);
        pressure.show_free(&mut self.memory);
    }
}
