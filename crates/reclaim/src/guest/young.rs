//! Accessed bits of batches of folios.
//!
//! A batch off a list is mostly of one file or region, so what is known of that is looked up once for
//! as many folios as have it in common.

use super::memcg::is_below;
use super::outside::Outside;
use super::state::{Folio, Guest, pte};

impl Guest {
    /// Clears the accessed bits of all mappings of a folio and counts those that were set; those of
    /// processes outside the reclaimed group neither count nor change.
    pub(super) fn take_young(&mut self, folio: u32, target: u16) -> u32 {
        let Folio { object, index, mapped, nr, .. } = self.folios[folio];
        if mapped == 0 {
            return 0;
        }
        let mut young = 0;
        for place in 0..self.objects[object as usize].vmas.len() {
            let vma = self.objects[object as usize].vmas[place] as usize;
            for page in index..index + u32::from(nr) {
                young += u32::from(self.clear_young_for(target, vma, page as usize));
            }
        }
        young
    }

    /// As [`take_young`](Self::take_young) for those folios of a batch that are `wanted`: calls `each`
    /// with a folio's place in the batch, its record, how many bits were set, and whether its file is
    /// executable. What deciding about the others will need is read as well, so that cache misses
    /// overlap.
    #[inline]
    pub(super) fn take_young_of(
        &mut self,
        batch: &[u32],
        target: u16,
        wanted: impl Fn(&Folio) -> bool,
        mut each: impl FnMut(usize, &mut Folio, u32, bool),
    ) {
        let (mut place, mut seen) = (0, 0);
        while let Some(first) = batch.get(place).copied() {
            let of = self.folios[first].object;
            let object = &self.objects[of as usize];
            let executable = object.executable;
            let single = object.vmas.len() == 1 && self.folios[first].nr == 1;
            let ([vma], true) = (&object.vmas[..], single) else {
                if wanted(&self.folios[first]) {
                    let young = self.take_young(first, target);
                    each(place, &mut self.folios[first], young, executable);
                }
                place += 1;
                continue;
            };
            let (pages, leaves) = (&object.pages[..], &object.leaves[..]);
            let vma = *vma;
            let mapping = &mut self.vmas[vma as usize];
            let inside = target == 0
                || target == mapping.memcg
                || is_below(&self.memcgs, mapping.memcg, target);
            let inside = inside && !mapping.random;
            let ptes = if inside { &mut mapping.ptes[..] } else { &mut [] };
            let lent = self.outside.lent(vma as usize);
            for folio in &batch[place..] {
                let record = &mut self.folios[*folio];
                if record.object != of || record.nr > 1 {
                    break;
                }
                let index = record.index as usize;
                seen ^= pages[index].bits();
                seen ^= leaves.get(index / 64).map_or(0, |leaf| u32::from(leaf.pages));
                if wanted(record) {
                    let mut young = false;
                    if record.mapped > 0
                        && let Some(entry) = ptes.get_mut(index)
                    {
                        let old = *entry;
                        let present = old & pte::PRESENT != 0;
                        *entry = if present { old & !pte::YOUNG } else { old };
                        young = present && old & pte::YOUNG != 0;
                        if present && !lent.is_empty() {
                            young |= Outside::take_lent(lent, index, old);
                        }
                    }
                    each(place, record, u32::from(young), executable);
                }
                place += 1;
            }
        }
        std::hint::black_box(seen);
    }
}
