//! Hint faults and what follows from them: migrations, waiting for them, scans.

use std::ops::Range;

use base::{CpuId, FolioId, HUGE_PAGE_PAGES, MmId, Nanos, NodeId, TaskId, Vm};
use designs::{HintFault, Migration, Placing, Regions, ScanPlan};
use mm::{Order, Pte};

use crate::bandwidth::page_bytes;
use crate::record::Latent;
use crate::step::Touched;
use crate::thread::{Activity, Batch, Copy, WaitFor, huge_bytes};
use crate::world::{InFlight, World, cx};

impl World {
    /// Serves a fault on an entry that a scanner has marked, or that is under migration.
    pub(crate) fn hint_fault(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        page: u32,
        write: bool,
    ) -> Touched {
        let started = self.cpus[cpu].clock;
        let fault = self.fault_on(task, cpu, mm, page, write);
        self.vmstat[Vm::pgfault] += 1;
        self.charge(task, cpu, self.machine.costs.hint_fault, |time| &mut time.hint_fault);
        let pte = self.memory.pte(mm, page);
        if pte.has(Pte::REGION) {
            self.begin_batch(&fault, started);
            return Touched::More;
        }
        let to = self.ask(&fault, pte.folio());
        if fault.waited {
            self.wait_for_migration(task, cpu, pte.folio());
            return Touched::More;
        }
        self.open_or_migrate(&fault, pte.folio(), to);
        self.hint_fault_over(task, cpu, started);
        // The entries of a huge page need not all have been closed, and reclaim touches any.
        let single = fault.pages == Order::Base.pages();
        if single && self.pressure.is_none() { Touched::Closed } else { Touched::More }
    }

    fn hint_fault_over(&mut self, task: TaskId, cpu: CpuId, started: Nanos) {
        self.recorder.wait(Latent::HintFault, self.cpus[cpu].clock.since(started));
        self.place(task, Placing::HintFault);
    }

    fn fault_on(&self, task: TaskId, cpu: CpuId, mm: MmId, page: u32, write: bool) -> HintFault {
        let pte = self.memory.pte(mm, page);
        HintFault {
            task,
            cpu,
            node: self.machine.node_of(cpu),
            mm,
            page,
            page_node: pte.node(),
            pages: self.memory.folios.order(pte.folio()).pages(),
            word: self.memory.folios.word(pte.folio()),
            write,
            waited: pte.has(Pte::MIGRATING),
            batch: pte.has(Pte::REGION),
        }
    }

    /// Asks the design; returns the node to move the page to, if there is one.
    fn ask(&mut self, fault: &HintFault, folio: FolioId) -> Option<NodeId> {
        let local = fault.node == fault.page_node;
        self.vmstat[Vm::numa_hint_faults] += 1;
        self.vmstat[Vm::numa_hint_faults_local] += u64::from(local);
        let now = self.cpus[fault.cpu].clock;
        let verdict = self.design.hint_fault(&mut cx!(self, now), fault);
        self.memory.folios.set_word(folio, verdict.word);
        let to = verdict
            .migrate_to
            .filter(|to| *to != fault.page_node && self.machine.nodes.get(*to).is_some());
        self.decisions.hint_fault(fault.waited, local, to.is_some());
        self.vmstat[Vm::pgpromote_candidate] += if verdict.candidate { fault.pages.0 } else { 0 };
        to
    }

    fn open_or_migrate(&mut self, fault: &HintFault, folio: FolioId, to: Option<NodeId>) {
        match to {
            Some(to) => self.migrate(fault.task, fault.cpu, folio, to),
            None => self.memory.open(folio),
        }
    }

    /// A fault on base pages that were marked at once. The region's mark goes first and as a whole. Where
    /// it was the only one, nobody else has a fault on these pages, and they are served in one piece.
    /// Where pages are marked by themselves as well, whoever touches one that is not served yet has a
    /// fault of its own on it.
    fn begin_batch(&mut self, fault: &HintFault, started: Nanos) {
        let HintFault { task, cpu, mm, write, .. } = *fault;
        let start = fault.page & !(Order::Huge.step() - 1);
        let space = &mut self.memory.spaces[mm];
        let pages = start..(start + Order::Huge.step()).min(space.ptes.len() as u32);
        let batch = Batch { mm, pages: pages.clone(), write, started };
        if space.regions == Regions::Always {
            self.batch_on(task, cpu, batch, Nanos::MAX);
        } else {
            let region = &mut space.ptes[pages.start as usize..pages.end as usize];
            region.iter_mut().for_each(|pte| *pte = pte.without(Pte::REGION));
            self.threads[task].activity = Activity::Batch(batch);
        }
    }

    /// Goes on with a batch until `until`: each page that is still marked goes through what a fault of its own
    /// would bring, and counts as one.
    pub(crate) fn batch_on(&mut self, task: TaskId, cpu: CpuId, batch: Batch, until: Nanos) {
        let Batch { mm, mut pages, write, started } = batch;
        while self.cpus[cpu].clock < until
            && let Some(page) = pages.next()
        {
            let pte = self.memory.pte(mm, page);
            if pte.has(Pte::PROTNONE) && !pte.has(Pte::HUGE) {
                let of_page = self.fault_on(task, cpu, mm, page, write);
                let to = self.ask(&HintFault { batch: true, ..of_page }, pte.folio());
                self.open_or_migrate(&of_page, pte.folio(), to);
            }
            self.charge(task, cpu, self.machine.costs.pte_scan, |time| &mut time.hint_fault);
        }
        if pages.is_empty() {
            self.threads[task].activity = Activity::Replay;
            self.hint_fault_over(task, cpu, started);
        } else {
            let batch = Batch { mm, pages, write, started };
            self.threads[task].activity = Activity::Batch(batch);
        }
    }

    fn wait_for_migration(&mut self, task: TaskId, cpu: CpuId, folio: FolioId) {
        let Some(moving) = self.in_flight.iter_mut().find(|moving| moving.folio == folio) else {
            self.memory.open(folio);
            return;
        };
        moving.waiters.push(task);
        self.block(task, self.cpus[cpu].clock, WaitFor::Migration);
    }

    /// Moves a folio at the cost of `task`: a base page at once, a huge page as a stream that takes
    /// its time while others wait.
    pub(crate) fn migrate(&mut self, task: TaskId, cpu: CpuId, folio: FolioId, to: NodeId) {
        let from = self.memory.folios.node(folio);
        let order = self.memory.folios.order(folio);
        let Some(zone) = self.begin_migration(folio, to) else {
            self.memory.open(folio);
            self.migration_over(task, cpu, order, from, to, false);
            return;
        };
        match order {
            Order::Base => {
                let rate = self.move_rate(task, cpu, Some(from), to);
                let copy = Nanos::from_secs_f64(page_bytes(1) / rate);
                let flush = self.tlb_flush(self.memory.folios.mm(folio), cpu);
                let cost = self.machine.costs.migrate_page + copy + flush;
                self.charge(task, cpu, cost, |time| &mut time.migration);
                self.finish_migration(cpu, folio, to, zone);
                self.migration_over(task, cpu, order, from, to, true);
            }
            Order::Huge => {
                let flush = self.tlb_flush(self.memory.folios.mm(folio), cpu);
                let cost = self.machine.costs.migrate_page + flush;
                self.charge(task, cpu, cost, |time| &mut time.migration);
                self.in_flight.push(InFlight { folio, waiters: Vec::new() });
                let bytes_left = huge_bytes();
                self.threads[task].activity =
                    Activity::Copy(Copy { folio, from, to, zone, bytes_left });
            }
        }
    }

    /// Goes on copying a huge page.
    pub(crate) fn copy_on(&mut self, task: TaskId, cpu: CpuId, copy: Copy, until: Nanos) {
        let left = self.stream_on(task, cpu, copy.bytes_left, until, |time| &mut time.migration);
        if let Some(bytes_left) = left {
            self.threads[task].activity = Activity::Copy(Copy { bytes_left, ..copy });
            return;
        }
        self.threads[task].activity = Activity::Replay;
        self.finish_copy(task, cpu, &copy);
    }

    /// The copy is complete: the page moves, unless somebody who waits for it holds a reference.
    fn finish_copy(&mut self, task: TaskId, cpu: CpuId, copy: &Copy) {
        let waiters = match self.in_flight.iter().position(|moving| moving.folio == copy.folio) {
            Some(idx) => self.in_flight.swap_remove(idx).waiters,
            None => Vec::new(),
        };
        let fails = !waiters.is_empty() && self.knobs.extra_reference_fails;
        if fails {
            self.abort_migration(cpu, copy.folio, copy.to, copy.zone);
            let cost = self.machine.costs.migrate_fail;
            self.charge(task, cpu, cost, |time| &mut time.migration);
        } else {
            self.finish_migration(cpu, copy.folio, copy.to, copy.zone);
        }
        self.migration_over(task, cpu, Order::Huge, copy.from, copy.to, !fails);
        let now = self.cpus[cpu].clock;
        for waiter in waiters {
            let at = now.max(self.threads[waiter].clock);
            self.wake_at(waiter, at);
        }
    }

    fn migration_over(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        order: Order,
        from: NodeId,
        to: NodeId,
        moved: bool,
    ) {
        let by_kthread = !self.threads[task].is_user();
        self.decisions.folio_moved(by_kthread, order, (from, to), moved);
        let pages = order.pages();
        let huge = u64::from(order == Order::Huge);
        if moved {
            self.vmstat[Vm::numa_pages_migrated] += pages.0;
            self.vmstat[Vm::pgmigrate_success] += pages.0;
            self.vmstat[Vm::thp_migration_success] += huge;
            if self.machine.nodes[to].tier < self.machine.nodes[from].tier {
                self.vmstat[Vm::pgpromote_success] += pages.0;
            }
        } else {
            self.vmstat[Vm::pgmigrate_fail] += pages.0;
            self.vmstat[Vm::thp_migration_fail] += huge;
        }
        let now = self.cpus[cpu].clock;
        let migration = Migration { task, from, to, pages, moved };
        self.design.migration_done(&mut cx!(self, now), &migration);
    }

    /// Walks page tables as the design asked, and goes on as long as it asks for more, at the cost
    /// of `task`.
    pub(crate) fn scan(&mut self, task: TaskId, cpu: CpuId, plan: &ScanPlan) {
        self.decisions.scan(plan.mm, self.cpus[cpu].clock);
        let mut next = Some(*plan);
        while let Some(plan) = next {
            next = self.walk(task, cpu, &plan);
        }
    }

    fn walk(&mut self, task: TaskId, cpu: CpuId, plan: &ScanPlan) -> Option<ScanPlan> {
        let outcome = self.memory.scan(plan);
        let costs = &self.machine.costs;
        let walk = costs.pte_scan * outcome.entries + costs.pte_update * outcome.stores;
        let flush = self.tlb_flushes(plan.mm, cpu, outcome.flushes);
        let took = walk + flush;
        self.vmstat[Vm::sim_numa_pages_scanned] += outcome.walked.0;
        self.vmstat[Vm::numa_pte_updates] +=
            outcome.updated + outcome.huge_updated * HUGE_PAGE_PAGES;
        self.vmstat[Vm::numa_huge_pte_updates] += outcome.huge_updated;
        self.charge(task, cpu, took, |time| &mut time.scan);
        let now = self.cpus[cpu].clock;
        self.design.scan_done(&mut cx!(self, now), task, &outcome, took)
    }

    /// Page ranges of folios under migration that touch `pages`, ascending.
    pub(crate) fn busy_ranges(&self, mm: MmId, pages: &Range<u32>) -> Vec<Range<u32>> {
        let folios = &self.memory.folios;
        let of = |moving: &InFlight| {
            let start = folios.page(moving.folio);
            (folios.mm(moving.folio), start..start + folios.order(moving.folio).step())
        };
        let moving = self.in_flight.iter().map(of);
        let touching = moving.filter(|(space, range)| {
            *space == mm && range.start < pages.end && pages.start < range.end
        });
        let mut ranges: Vec<Range<u32>> = touching.map(|(_, range)| range).collect();
        ranges.sort_by_key(|range| range.start);
        ranges
    }
}
