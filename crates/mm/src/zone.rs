//! Free pages and watermarks of each zone, and the walk along a node's fallback list.
//!
//! As in the kernel's `mm/page_alloc.c`: first every zone of every allowed node, in the order of
//! the fallback list, that stays above its low watermark and the lowmem reserve; when none does, the
//! same walk down to min. Nodes to be tried first are an allocation of their own before that, and so
//! are taken down to min as well (`alloc_pages_preferred_many`). Left out: buddy fragmentation, per-CPU lists, reclaim (the caller's).

use base::{NodeId, NodeMask, NodeVec, Pages};
use thiserror::Error;
use topology::{Machine, ZoneKind};

use crate::{Order, Wanted};

/// A watermark of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watermark {
    /// Below it only the kernel itself may allocate.
    Min,
    /// Below it kswapd is woken.
    Low,
    /// At it kswapd stops.
    High,
}

#[derive(Clone, Copy, Debug)]
struct ZoneState {
    managed: Pages,
    free: Pages,
    /// Indexed by [`Watermark`].
    marks: [Pages; 3],
    /// Pages kept from allocations that could use a higher zone.
    reserve: Pages,
}

impl ZoneState {
    /// Whether it stays at `mark` and its reserve after giving `pages`.
    fn fits(&self, pages: Pages, mark: Watermark) -> bool {
        self.free >= self.marks[mark as usize] + self.reserve + pages
    }
}

/// The zones of all nodes.
#[derive(Clone, Debug)]
pub struct Zones {
    /// Lowest zone first.
    nodes: NodeVec<Vec<ZoneState>>,
    fallback: NodeVec<Vec<NodeId>>,
}

/// A page was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Node it is on.
    pub node: NodeId,
    /// Index of its zone in the node.
    pub zone: u8,
    /// Whether some zone on the way was below its low watermark, so that kswapd is due.
    pub below_low: bool,
}

/// No page was found.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "no free memory: wanted {pages} on node {node} or any of nodes {allowed}; free pages by node: {free}"
)]
pub struct AllocError {
    /// What was wanted.
    pub pages: Pages,
    /// First choice.
    pub node: NodeId,
    /// Nodes that were allowed, as a list.
    pub allowed: String,
    /// Free pages of each node, as a list.
    pub free: String,
}

impl Zones {
    /// All memory free.
    pub fn new(machine: &Machine) -> Self {
        let marks = topology::watermarks(machine);
        let nodes = machine.nodes.enumerate().map(|(id, node)| {
            let states = node.zones.iter().zip(&marks[id]).map(|(zone, marks)| ZoneState {
                managed: zone.managed,
                free: zone.managed,
                marks: [marks.min, marks.low, marks.high],
                reserve: marks.reserve[ZoneKind::Movable as usize],
            });
            states.collect()
        });
        Self { nodes: nodes.collect(), fallback: machine.fallback_lists() }
    }

    /// Number of nodes.
    pub fn nr_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Memory nodes in the order in which an allocation from `node` tries them.
    pub fn fallback(&self, node: NodeId) -> &[NodeId] {
        &self.fallback[node]
    }

    /// Free pages of a node.
    pub fn free(&self, node: NodeId) -> Pages {
        self.nodes[node].iter().map(|zone| zone.free).sum()
    }

    /// Managed pages of a node.
    pub fn managed(&self, node: NodeId) -> Pages {
        self.nodes[node].iter().map(|zone| zone.managed).sum()
    }

    /// Whether some zone of the node would stay above `mark` after giving `pages`. Migration to a
    /// node asks for [`Watermark::High`].
    pub fn would_stay_above(&self, node: NodeId, pages: Pages, mark: Watermark) -> bool {
        self.nodes[node].iter().any(|zone| zone.free > zone.marks[mark as usize] + pages)
    }

    /// Takes a folio as `wanted` says.
    ///
    /// # Errors
    /// When every allowed node is down to its min watermark.
    #[inline(always)]
    pub fn alloc(&mut self, order: Order, wanted: &Wanted) -> Result<Allocated, Box<AllocError>> {
        // Most often the wanted node, the first of its own list, has room in its highest zone.
        let (pages, from) = (order.pages(), wanted.node);
        if wanted.first.is_empty()
            && wanted.allowed.contains(from)
            && self.fallback[from].first() == Some(&from)
            && let Some((zone, state)) = self.nodes[from].iter_mut().enumerate().next_back()
            && state.fits(pages, Watermark::Low)
        {
            state.free -= pages;
            return Ok(Allocated { node: from, zone: zone as u8, below_low: false });
        }
        self.alloc_anywhere(order, wanted)
    }

    #[cold]
    fn alloc_anywhere(
        &mut self,
        order: Order,
        wanted: &Wanted,
    ) -> Result<Allocated, Box<AllocError>> {
        let mut below_low = false;
        for nodes in [wanted.first, wanted.allowed].into_iter().filter(|nodes| !nodes.is_empty()) {
            for mark in [Watermark::Low, Watermark::Min] {
                if let Some((node, zone)) = self.find(order, wanted.node, nodes, mark) {
                    self.nodes[node][zone].free -= order.pages();
                    return Ok(Allocated { node, zone: zone as u8, below_low });
                }
                below_low = true;
            }
        }
        Err(Box::new(self.nothing_free(order, wanted)))
    }

    /// Takes a folio from `node` alone, keeping `mark`.
    pub fn alloc_on(&mut self, order: Order, node: NodeId, mark: Watermark) -> Option<u8> {
        let (_, zone) = self.find(order, node, NodeMask::only(node), mark)?;
        self.nodes[node][zone].free -= order.pages();
        Some(zone as u8)
    }

    /// Takes a folio from a zone that somebody else chose, who knows better what is free.
    pub fn take(&mut self, order: Order, node: NodeId, zone: u8) {
        let free = &mut self.nodes[node][usize::from(zone)].free;
        *free = free.saturating_sub(order.pages());
    }

    /// Sets what is free of a zone to what somebody else counts, who also holds pages that are
    /// mapped nowhere.
    pub fn set_free(&mut self, node: NodeId, zone: u8, free: Pages) {
        self.nodes[node][usize::from(zone)].free = free;
    }

    /// Gives a folio back.
    pub fn free_folio(&mut self, order: Order, node: NodeId, zone: u8) {
        let state = &mut self.nodes[node][usize::from(zone)];
        state.free += order.pages();
        debug_assert!(state.free <= state.managed, "more pages freed than there are");
    }

    fn find(
        &self,
        order: Order,
        from: NodeId,
        nodes: NodeMask,
        mark: Watermark,
    ) -> Option<(NodeId, usize)> {
        let pages = order.pages();
        let fits = |zone: &ZoneState| zone.fits(pages, mark);
        self.fallback[from].iter().filter(|node| nodes.contains(**node)).find_map(|node| {
            let zone = self.nodes[*node].iter().rposition(fits)?;
            Some((*node, zone))
        })
    }

    fn nothing_free(&self, order: Order, wanted: &Wanted) -> AllocError {
        let list = |items: Vec<String>| items.join(", ");
        AllocError {
            pages: order.pages(),
            node: wanted.node,
            allowed: list(wanted.allowed.iter().map(|node| node.to_string()).collect()),
            free: list(self.nodes.ids().map(|node| self.free(node).0.to_string()).collect()),
        }
    }
}
