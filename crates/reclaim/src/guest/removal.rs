//! Removing a memory cgroup.
//!
//! Kernel memory, the lists of shadows and dentries and the compressed store's entries go to the
//! group above. What became of pages differs by time: to the group above (cgroup v1 until 3.17, and
//! the reparenting of LRU pages proposed since), or they stay with the removed group, which reclaim
//! meets as before until they are gone (6.12's "dying" groups).

use super::state::{Guest, OFF, UNEVICTABLE_LIST};

/// What becomes of the pages of a removed group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// They are charged to the group above and join its lists, at the cold end.
    #[default]
    Reparent,
    /// They stay charged to the removed group, without protection.
    Dying,
}

impl Guest {
    /// Removes a group; false if it has groups below it, or processes. Its number is not used again.
    pub fn remove_group(&mut self, group: u16, removal: Removal) -> bool {
        let memcg = &self.memcgs[group as usize];
        let runs = |proc: &super::state::Process| !proc.dead && !proc.exited;
        let busy = self.procs.iter().any(|proc| proc.memcg == group && runs(proc));
        let Some(parent) = memcg.parent else { return false };
        if busy || memcg.is_offline || !memcg.children.is_empty() {
            return false;
        }
        self.drain_all();
        self.drain_stocks(group);
        let memcg = &mut self.memcgs[group as usize];
        memcg.is_offline = true;
        (memcg.min, memcg.low, memcg.soft_limit) = (0, 0, None);
        self.reparent_kernel_memory(group, parent);
        self.memcgs[parent as usize].children.retain(|child| *child != group);
        if removal == Removal::Reparent {
            self.reparent_pages(group, parent);
            self.reparent_swap(group, parent);
            self.take_out_of_tree(group, parent);
        }
        self.hierarchy.removed(group);
        true
    }

    fn reparent_kernel_memory(&mut self, from: u16, to: u16) {
        let (source, target) = (from as usize, to as usize);
        let old = &mut self.memcgs[source];
        let (bytes, pages) =
            (std::mem::take(&mut old.slab_bytes), std::mem::take(&mut old.slab_pages));
        let reclaimable = std::mem::take(&mut old.reclaimable_slab_bytes);
        let dentries = std::mem::take(&mut old.dentries.nr);
        let new = &mut self.memcgs[target];
        new.slab_bytes += bytes;
        new.slab_pages += pages;
        new.reclaimable_slab_bytes += reclaimable;
        new.dentries.nr += dentries;
        let mut moved = pages;
        for proc in &mut self.procs {
            for (owner, pages) in &mut proc.kernel_memory {
                if *owner == from {
                    *owner = to;
                    moved += *pages;
                }
            }
        }
        self.memcgs[source].usage -= moved;
        self.forget_roots_own(to, moved);
        for leaf in self.objects.iter_mut().flat_map(|object| &mut object.leaves) {
            if leaf.memcg == from {
                leaf.memcg = to;
            }
        }
        for node in 0..self.nr_nodes() {
            let (old, new) = (self.lruvec(from, node), self.lruvec(to, node));
            let leaves = std::mem::take(&mut self.lruvecs[old].shadow_leaves);
            let nr = std::mem::take(&mut self.lruvecs[old].nr_shadow_leaves);
            self.lruvecs[new].shadow_leaves.extend(leaves);
            self.lruvecs[new].nr_shadow_leaves += nr;
        }
        self.reparent_zswap(from, to);
    }

    fn reparent_pages(&mut self, from: u16, to: u16) {
        for node in 0..self.nr_nodes() {
            let lruvec = self.lruvec(from, node);
            for list in 0..super::state::NR_LISTS {
                let list = Self::list(lruvec, list);
                while let Some(folio) = self.lists.front(list) {
                    self.reparent_folio(folio, to);
                }
            }
            self.lruvecs[lruvec].stale = super::state::Stale::default();
        }
        let below = self.memcgs.iter().filter(|memcg| memcg.parent == Some(from));
        let dying: u64 = below.map(|memcg| memcg.usage).sum();
        let old = &mut self.memcgs[from as usize];
        let counts = [
            &mut old.anon,
            &mut old.file,
            &mut old.shmem,
            &mut old.anon_huge,
            &mut old.dirty,
            &mut old.writeback,
        ]
        .map(std::mem::take);
        let pages = std::mem::take(&mut old.usage);
        self.forget_roots_own(to, pages - dying);
        let new = &mut self.memcgs[to as usize];
        new.anon += counts[0];
        new.file += counts[1];
        new.shmem += counts[2];
        new.anon_huge += counts[3];
        new.dirty += counts[4];
        new.writeback += counts[5];
    }

    /// The root's usage is what is charged to groups; what comes to it is charged to nobody.
    fn forget_roots_own(&mut self, to: u16, pages: u64) {
        if to == 0 {
            self.memcgs[0].usage -= pages;
        }
    }

    fn reparent_folio(&mut self, folio: u32, to: u16) {
        let engine = self.engine;
        let is_classic = !self.is_mglru || self.folios[folio].on as usize == UNEVICTABLE_LIST;
        if is_classic {
            self.classic_remove(folio);
            self.folios[folio].memcg = to;
            self.classic_insert(folio, true);
        } else {
            engine.remove(self, folio, false);
            self.folios[folio].memcg = to;
            engine.insert(self, folio, true);
        }
        debug_assert!(self.folios[folio].on != OFF, "the folio is on a list again");
    }

    fn reparent_swap(&mut self, from: u16, to: u16) {
        for slot in self.swap.slots.iter_mut().filter(|slot| slot.owner == from) {
            slot.owner = to;
        }
        self.memcgs[from as usize].swap = 0;
    }

    /// Takes a group out of the walks over those above it.
    fn take_out_of_tree(&mut self, group: u16, parent: u16) {
        for memcg in self.memcgs.iter_mut().filter(|memcg| memcg.parent == Some(group)) {
            memcg.parent = Some(parent);
        }
        let mut at = Some(parent);
        while let Some(above) = at {
            self.subtrees[above as usize].retain(|below| *below != group);
            for position in &mut self.memcgs[above as usize].walk {
                if position.0 == Some(group) {
                    position.0 = None;
                }
            }
            at = self.memcgs[above as usize].parent;
        }
        self.link_lruvecs();
    }
}
