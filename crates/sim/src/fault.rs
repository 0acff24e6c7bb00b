//! Demand faults: policy, allocation, clearing, mapping.

use base::{CpuId, MAX_NODES, MmId, Nanos, NodeId, NodeMask, TaskId, Vm};
use designs::AllocRequest;
use mm::{AllocError, Allocated, Mempolicy, Order, Pte, Vma, Wanted};
use results::{Outcome, TimeSplit};
use topology::ThpMode;

use crate::bandwidth::page_bytes;
use crate::record::Latent;
use crate::step::{Slow, Touched};
use crate::thread::{Activity, Clear, huge_bytes};
use crate::world::{World, cx};

/// First touches of base pages whose time is not charged yet. All are of one task on one CPU in one
/// epoch, so that each of a node costs the same.
pub(crate) struct FirstTouches {
    /// Nodes they are on, and what is known of those.
    nodes: NodeMask,
    by_node: [OnNode; MAX_NODES],
    /// What all of them cost.
    time: Nanos,
}

/// First touches on one node.
#[derive(Clone, Copy, Default)]
struct OnNode {
    nr: u64,
    /// What each of them costs.
    cost: Nanos,
}

impl Default for FirstTouches {
    fn default() -> Self {
        let by_node = [OnNode::default(); MAX_NODES];
        Self { nodes: NodeMask::EMPTY, by_node, time: Nanos::ZERO }
    }
}

impl FirstTouches {
    /// What those cost that are not charged yet.
    pub(crate) fn time(&self) -> Nanos {
        self.time
    }

    /// Adds one; false when its node has none yet.
    fn add(&mut self, node: NodeId) -> bool {
        if !self.nodes.contains(node) {
            return false;
        }
        let on_node = &mut self.by_node[node.idx()];
        on_node.nr += 1;
        self.time += on_node.cost;
        true
    }

    /// Adds the first one on its node.
    fn add_first(&mut self, node: NodeId, cost: Nanos) {
        self.nodes.insert(node);
        self.by_node[node.idx()] = OnNode { nr: 1, cost };
        self.time += cost;
    }
}

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
        if self.fault_order(mm, page, vma) == Order::Huge {
            let wanted = self.wanted(task, cpu, mm, page, vma, Order::Huge);
            if let Ok(at) = self.memory.zones.alloc(Order::Huge, &wanted) {
                self.count_alloc(cpu, Order::Huge, &at, &wanted);
                self.charge(task, cpu, self.machine.costs.huge_fault, |time| &mut time.fault);
                let bytes_left = huge_bytes();
                self.threads[task].activity = Activity::Clear(Clear { mm, page, at, bytes_left });
                return Touched::More;
            }
            self.vmstat[Vm::thp_fault_fallback] += 1;
        }
        if let Err(error) = self.map_base(task, cpu, mm, page, vma) {
            self.vmstat[Vm::oom_kill] += 1;
            let name = &self.threads[task].name;
            self.outcome = Outcome::OutOfMemory(format!("thread {name}: {error}"));
            self.finish(self.cpus[cpu].clock);
            return Touched::More;
        }
        self.settle_touches(task, cpu);
        Touched::Closed
    }

    /// Serves a fault in the midst of a block where that changes nothing but the entry: the first
    /// touch of a base page. False when it is something else, or there is no memory.
    ///
    /// The CPU's clock stands at the beginning of the block meanwhile.
    #[inline]
    pub(crate) fn touch_first(&mut self, task: TaskId, cpu: CpuId, access: Slow) -> bool {
        let Slow { mm, page, .. } = access;
        if self.memory.pte(mm, page) != Pte::ABSENT || self.pressure.is_some() {
            return false;
        }
        let vma = self.vma_at(mm, page);
        let served = self.fault_order(mm, page, vma) == Order::Base
            && self.map_base(task, cpu, mm, page, vma).is_ok();
        self.vmstat[Vm::sim_slow_path] += u64::from(served);
        self.vmstat[Vm::pgfault] += u64::from(served);
        served
    }

    /// Allocates and maps a base page. What that costs is charged by [`World::settle_touches`].
    #[inline(always)]
    fn map_base(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        mm: MmId,
        page: u32,
        vma: usize,
    ) -> Result<(), Box<AllocError>> {
        let wanted = self.wanted(task, cpu, mm, page, vma, Order::Base);
        let at = self.memory.zones.alloc(Order::Base, &wanted)?;
        self.count_alloc(cpu, Order::Base, &at, &wanted);
        self.memory.map(mm, page, Order::Base, &at);
        if !self.touches.add(at.node) {
            let rate = self.move_rate(task, cpu, None, at.node);
            let clear = Nanos::from_secs_f64(page_bytes(1) / rate);
            self.touches.add_first(at.node, self.machine.costs.minor_fault + clear);
        }
        Ok(())
    }

    /// Charges and records the first touches since it was last called.
    #[inline]
    pub(crate) fn settle_touches(&mut self, task: TaskId, cpu: CpuId) {
        if self.touches.nodes.is_empty() {
            return;
        }
        let time = std::mem::take(&mut self.touches.time);
        self.charge(task, cpu, time, |time| &mut time.fault);
        for node in std::mem::replace(&mut self.touches.nodes, NodeMask::EMPTY).iter() {
            let OnNode { nr, cost } = self.touches.by_node[node.idx()];
            self.recorder.waits(Latent::PageFault, cost, nr);
        }
    }

    /// Index of the mapping at `page`. A recorded access outside all mappings (the recorder missed
    /// the call, or merged rows across it) maps its page.
    #[inline(always)]
    pub(crate) fn vma_at(&mut self, mm: MmId, page: u32) -> usize {
        let space = &mut self.memory.spaces[mm];
        space.vma_index(page).unwrap_or_else(|| {
            space.map(Vma { pages: page..page + 1, thp: None, policy: None });
            space.vma_index(page).expect("it was mapped just now")
        })
    }

    #[inline(always)]
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
    #[inline(always)]
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
    #[inline]
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

    /// Goes on with a stream of a task, charged to a part of its time; the bytes that are left at
    /// `until`, if any.
    pub(crate) fn stream_on(
        &mut self,
        task: TaskId,
        cpu: CpuId,
        bytes_left: f64,
        until: Nanos,
        part: fn(&mut TimeSplit) -> &mut Nanos,
    ) -> Option<f64> {
        let rate = self.threads[task].rates.bytes_per_s;
        let left_ns = bytes_left / rate * 1e9;
        let budget_ns = until.since(self.cpus[cpu].clock).0 as f64;
        self.charge(task, cpu, Nanos::from_f64(left_ns.min(budget_ns)), part);
        (left_ns > budget_ns).then(|| bytes_left - budget_ns * rate / 1e9)
    }

    /// Goes on clearing a huge page.
    pub(crate) fn clear_on(&mut self, task: TaskId, cpu: CpuId, clear: Clear, until: Nanos) {
        let rate = self.threads[task].rates.bytes_per_s;
        let left = self.stream_on(task, cpu, clear.bytes_left, until, |time| &mut time.fault);
        if let Some(bytes_left) = left {
            self.threads[task].activity = Activity::Clear(Clear { bytes_left, ..clear });
            return;
        }
        self.threads[task].activity = Activity::Replay;
        self.recorder.wait(Latent::PageFault, Nanos::from_secs_f64(huge_bytes() / rate));
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
