//! Demand faults: policy, allocation, clearing, mapping.

use base::{CpuId, MmId, NodeMask, TaskId, Vm};
use designs::AllocRequest;
use mm::{Allocated, Mempolicy, Order, Vma, Wanted};
use results::Outcome;
use topology::ThpMode;

use crate::bandwidth::page_bytes;
use crate::record::Latent;
use crate::step::Touched;
use crate::thread::{Activity, Clear, huge_bytes};
use crate::world::{World, cx};

impl World {
    /// Serves a fault on an absent page. A base page is mapped at once; a huge page is cleared
    /// first, and others who fault on it meanwhile clear one of their own.
    pub(crate) fn demand_fault(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        page: u32,
        write: bool,
    ) -> Touched {
        self.vmstat[Vm::pgfault] += 1;
        if self.pressure.is_some() {
            self.pressure_fault(task, cpu, mm, page, write);
            return Touched::More;
        }
        let vma = self.vma_at(mm, page);
        let mut order = self.fault_order(mm, page, vma);
        let mut wanted = self.wanted(task, cpu, mm, page, vma, order);
        let mut allocated = self.memory.zones.alloc(order, &wanted);
        if allocated.is_err() && order == Order::Huge {
            self.vmstat[Vm::thp_fault_fallback] += 1;
            order = Order::Base;
            wanted = self.wanted(task, cpu, mm, page, vma, order);
            allocated = self.memory.zones.alloc(order, &wanted);
        }
        match allocated {
            Ok(at) => {
                self.count_alloc(cpu, order, &at, &wanted);
                self.map_fault(task, cpu, mm, page, order, at);
                if order == Order::Base { Touched::Closed } else { Touched::More }
            }
            Err(error) => {
                self.vmstat[Vm::oom_kill] += 1;
                let name = &self.threads[task].name;
                self.outcome = Outcome::OutOfMemory(format!("thread {name}: {error}"));
                self.finish(self.cpus[cpu].clock);
                Touched::More
            }
        }
    }

    /// Index of the mapping at `page`. A recorded access outside all mappings (the recorder missed
    /// the call, or merged rows across it) maps its page.
    pub(crate) fn vma_at(&mut self, mm: MmId, page: u32) -> usize {
        let space = &mut self.memory.spaces[mm];
        if let Some(vma) = space.vma_index(page) {
            return vma;
        }
        space.map(Vma { pages: page..page + 1, thp: None, policy: None });
        space.vma_index(page).expect("it was mapped just now")
    }

    pub(crate) fn fault_order(&self, mm: MmId, page: u32, vma: usize) -> Order {
        let space = &self.memory.spaces[mm];
        let vma = &space.vmas()[vma];
        let allowed = match self.machine.kernel.thp {
            ThpMode::Always => vma.thp != Some(false),
            ThpMode::Madvise => vma.thp == Some(true),
            ThpMode::Never => false,
        };
        if allowed && !space.file && space.huge_fits(page, vma) { Order::Huge } else { Order::Base }
    }

    /// What the policies say: the mapping's, else the task's, else the design's, else local.
    pub(crate) fn wanted(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        page: u32,
        vma: usize,
        order: Order,
    ) -> Wanted {
        let local = self.machine.node_of(cpu);
        let all = self.memory_nodes;
        let vma = &self.memory.spaces[mm].vmas()[vma];
        let pages = page - vma.pages.start;
        let offset = u64::from(if order == Order::Base { pages } else { pages / order.step() });
        if let Some(policy) = &vma.policy {
            return policy.wanted(local, all, offset, None);
        }
        let user = self.threads[task].user();
        if let Some(policy) = &user.policy {
            return policy.wanted(local, all, offset, Some(&mut user.cursor));
        }
        let request = AllocRequest { task, cpu, node: local, mm, page, pages: order.pages() };
        let now = self.cpus[cpu].clock;
        let Some(policy) = self.design.alloc_policy(&mut cx!(self, now), &request) else {
            return Mempolicy::Local.wanted(local, all, offset, None);
        };
        let wanted = policy.wanted(local, all, offset, None);
        // A design may name nodes without memory; the kernel would not.
        let usable = NodeMask(wanted.allowed.0 & all.0);
        Wanted { allowed: if usable.is_empty() { all } else { usable }, ..wanted }
    }

    /// Counts an allocation as `/proc/vmstat` and the nodes' `numastat` do.
    pub(crate) fn count_alloc(
        &mut self,
        cpu: CpuId,
        order: Order,
        at: &Allocated,
        wanted: &Wanted,
    ) {
        let pages = order.pages().0;
        let local = self.machine.node_of(cpu);
        self.vmstat[Vm::pgalloc_normal] += pages;
        if at.node == wanted.node {
            self.vmstat[Vm::numa_hit] += pages;
            self.vmstat[Vm::numa_interleave] += if wanted.interleaved { pages } else { 0 };
        } else {
            self.vmstat[Vm::numa_miss] += pages;
            self.vmstat[Vm::numa_foreign] += pages;
        }
        self.vmstat[if at.node == local { Vm::numa_local } else { Vm::numa_other }] += pages;
    }

    fn map_fault(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        page: u32,
        order: Order,
        at: Allocated,
    ) {
        match order {
            Order::Base => {
                let rate = self.move_rate(task, cpu, None, at.node);
                let clear = base::Nanos::from_secs_f64(page_bytes(1) / rate);
                let cost = self.machine.costs.minor_fault + clear;
                self.charge(task, cpu, cost, |time| &mut time.fault);
                self.recorder.wait(Latent::PageFault, cost);
                self.memory.map(mm, page, Order::Base, &at);
            }
            Order::Huge => {
                let cost = self.machine.costs.huge_fault;
                self.charge(task, cpu, cost, |time| &mut time.fault);
                let bytes_left = huge_bytes();
                self.threads[task].activity = Activity::Clear(Clear { mm, page, at, bytes_left });
            }
        }
    }

    /// Goes on clearing a huge page.
    pub(crate) fn clear_on(&mut self, task: TaskId, cpu: CpuId, clear: Clear, until: base::Nanos) {
        let rate = self.threads[task].rates.bytes_per_s;
        let left_ns = clear.bytes_left / rate * 1e9;
        let budget_ns = until.since(self.cpus[cpu].clock).0 as f64;
        if left_ns > budget_ns {
            let bytes_left = clear.bytes_left - budget_ns * rate / 1e9;
            self.threads[task].activity = Activity::Clear(Clear { bytes_left, ..clear });
            self.charge(task, cpu, base::Nanos::from_f64(budget_ns), |time| &mut time.fault);
            return;
        }
        self.charge(task, cpu, base::Nanos::from_f64(left_ns), |time| &mut time.fault);
        self.threads[task].activity = Activity::Replay;
        self.recorder.wait(Latent::PageFault, base::Nanos::from_secs_f64(huge_bytes() / rate));
        let vma = self.vma_at(clear.mm, clear.page);
        let space = &self.memory.spaces[clear.mm];
        if space.huge_fits(clear.page, &space.vmas()[vma]) {
            self.memory.map(clear.mm, clear.page, Order::Huge, &clear.at);
            self.vmstat[Vm::thp_fault_alloc] += 1;
        } else {
            // Somebody was faster (or the range was unmapped): the page goes back.
            self.memory.zones.free_folio(Order::Huge, clear.at.node, clear.at.zone);
            self.vmstat[Vm::pgfree] += Order::Huge.pages().0;
        }
    }
}
