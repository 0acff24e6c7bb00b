//! What is remembered of evicted pages, and the tree leaves that hold it.

use super::page::Page;
use super::stat::Stat;
use super::state::{Guest, Leaf, Lruvec, Object};

/// Bytes that a node of the page cache's tree costs its group: 576 and a pointer to the owner.
const LEAF_BYTES: u64 = 584;
/// Slots of a leaf.
pub(super) const SLOTS: u32 = 64;

/// A shadow, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shadow {
    pub(super) memcg: u16,
    pub(super) node: usize,
    pub(super) workingset: bool,
    /// Classic: the lruvec's age. MGLRU: oldest seq and accesses.
    pub(super) value: u64,
}

impl Shadow {
    pub(super) fn pack(self) -> u64 {
        1 << 63
            | u64::from(self.memcg & 0x7fff) << 47
            | (self.node as u64 & 63) << 41
            | u64::from(self.workingset) << 40
            | self.value & ((1 << 40) - 1)
    }

    pub(super) fn unpack(packed: u64) -> Self {
        Self {
            memcg: (packed >> 47) as u16 & 0x7fff,
            node: (packed >> 41) as usize & 63,
            workingset: packed >> 40 & 1 != 0,
            value: packed & ((1 << 40) - 1),
        }
    }
}

impl Object {
    /// Puts a shadow (0 for none) in the place of a page; gives the page's leaf if that has no page
    /// any more.
    #[inline]
    pub(super) fn take_out(&mut self, index: u32, shadow: u64) -> Option<&mut Leaf> {
        self.pages[index as usize] = Page::evicted(shadow);
        let leaf = &mut self.leaves[(index / SLOTS) as usize];
        leaf.pages -= 1;
        leaf.shadows += u8::from(shadow != 0);
        (leaf.pages == 0).then_some(leaf)
    }
}

impl Lruvec {
    /// Puts a leaf that holds only shadows on the list of those.
    pub(super) fn list_leaf(&mut self, leaf: &mut Leaf, object: u32, slot: u32) {
        leaf.stamp = leaf.stamp.wrapping_add(1);
        leaf.node = self.node as u8;
        leaf.listed = true;
        self.shadow_leaves.push_back((object, slot, leaf.stamp));
        self.nr_shadow_leaves += 1;
    }
}

impl Guest {
    /// Notes that a file's page is resident now; gives the shadow that was there.
    pub(super) fn cache_insert(&mut self, object: u32, index: u32, folio: u32) -> u64 {
        let memcg = self.task;
        let slot = (index / SLOTS) as usize;
        let file = &mut self.objects[object as usize];
        let page = &mut file.pages[index as usize];
        let shadow = page.shadow();
        page.set_folio(folio);
        let leaf = &mut file.leaves[slot];
        let charge = !leaf.charged;
        if charge {
            leaf.charged = true;
            leaf.memcg = memcg;
        }
        if shadow != 0 {
            leaf.shadows -= 1;
        }
        if std::mem::replace(&mut leaf.listed, false) {
            leaf.stamp = leaf.stamp.wrapping_add(1);
            let (owner, node) = (leaf.memcg, leaf.node as usize);
            let lruvec = self.lruvec(owner, node);
            self.lruvecs[lruvec].nr_shadow_leaves -= 1;
        }
        self.objects[object as usize].leaves[slot].pages += 1;
        if charge {
            self.charge_slab(memcg, LEAF_BYTES, true);
            self.take_leaf();
        }
        shadow
    }

    /// Takes a file's page out, leaving a shadow (0 for none).
    pub(super) fn cache_delete(&mut self, object: u32, index: u32, shadow: u64, node: usize) {
        let nr_nodes = self.nr_nodes();
        let Some(leaf) = self.objects[object as usize].take_out(index, shadow) else { return };
        if leaf.shadows == 0 {
            leaf.charged = false;
            let memcg = leaf.memcg;
            self.uncharge_slab(memcg, LEAF_BYTES, true);
            self.leaf_room += 1;
            return;
        }
        let lruvec = &mut self.lruvecs[leaf.memcg as usize * nr_nodes + node];
        lruvec.list_leaf(leaf, object, index / SLOTS);
    }

    /// Leaves beyond what the group's pages justify: an eighth of a leaf a page.
    pub(super) fn count_shadow_leaves(&self, lruvec: usize) -> u64 {
        let leaves = self.lruvecs[lruvec].nr_shadow_leaves;
        let pages = if self.memcg_of_lruvec(lruvec) == 0 {
            let node = self.lruvecs[lruvec].node as usize;
            self.zones.iter().filter(|zone| zone.node == node).map(|zone| zone.managed).sum()
        } else {
            self.lruvecs[lruvec].stale.own_pages
        };
        leaves.saturating_sub(pages >> 3)
    }

    /// Frees the oldest leaves that hold only shadows.
    pub(super) fn scan_shadow_leaves(&mut self, lruvec: usize, nr: u64) {
        let memcg = self.memcg_of_lruvec(lruvec);
        let mut left = nr;
        while left > 0 {
            let Some((object, slot, stamp)) = self.lruvecs[lruvec].shadow_leaves.pop_front() else {
                break;
            };
            let file = &mut self.objects[object as usize];
            let leaf = &mut file.leaves[slot as usize];
            if leaf.stamp != stamp || leaf.pages > 0 || !leaf.charged {
                continue;
            }
            left -= 1;
            leaf.charged = false;
            leaf.listed = false;
            leaf.shadows = 0;
            let first = (slot * SLOTS) as usize;
            let last = (first + SLOTS as usize).min(file.pages.len());
            file.pages[first..last].fill(Page::EMPTY);
            self.lruvecs[lruvec].nr_shadow_leaves -= 1;
            self.uncharge_slab(memcg, LEAF_BYTES, true);
            self.leaf_room += 1;
            self.count(memcg, Stat::workingset_nodereclaim, 1);
        }
    }
}
