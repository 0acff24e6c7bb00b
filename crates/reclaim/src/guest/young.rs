//! Accessed bits of batches of folios.
//!
//! A batch off a list is mostly of one file or region, so what is known of that is looked up once for
//! as many folios as have it in common.

use mm::Pte;

use super::memcg::is_below;
use super::outside::Outside;
use super::state::{Folio, Folios, Guest, pte};

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
    /// executable.
    #[inline]
    pub(super) fn take_young_of(
        &mut self,
        batch: &[u32],
        target: u16,
        wanted: impl Fn(&Folio) -> bool,
        mut each: impl FnMut(usize, &mut Folio, u32, bool),
    ) {
        let mut rest = 0..batch.len();
        while let Some(first) = batch.get(rest.start).copied() {
            let executable = self.objects[self.folios[first].object as usize].executable;
            let mut looks = [Look::Unwanted; RUN];
            let nr = self.look_alike(&batch[rest.clone()], target, &wanted, &mut looks);
            for ((place, folio), look) in rest.clone().zip(&batch[rest.clone()]).zip(&looks[..nr]) {
                if *look != Look::Unwanted {
                    let young = u32::from(*look == Look::Young);
                    each(place, &mut self.folios[*folio], young, executable);
                }
            }
            rest.start += nr;
            if nr == 0 {
                if wanted(&self.folios[first]) {
                    let young = self.take_young(first, target);
                    each(rest.start, &mut self.folios[first], young, executable);
                }
                rest.start += 1;
            }
        }
    }

    /// Takes the accessed bits of the first folios of a batch, as many as are base pages of one object
    /// that has one mapping, and gives how many these are. The page tables are read in a loop of their
    /// own, so that cache misses overlap.
    #[inline]
    fn look_alike(
        &mut self,
        batch: &[u32],
        target: u16,
        wanted: impl Fn(&Folio) -> bool,
        looks: &mut [Look; RUN],
    ) -> usize {
        let Some(of) = batch.first().map(|first| self.folios[*first].object) else { return 0 };
        let [vma] = self.objects[of as usize].vmas[..] else { return 0 };
        let mapping = &mut self.vmas[vma as usize];
        let inside =
            target == 0 || target == mapping.memcg || is_below(&self.memcgs, mapping.memcg, target);
        let ptes = if inside && !mapping.random { &mut mapping.ptes[..] } else { &mut [] };
        let mut nr = 0;
        for (folio, look) in batch.iter().zip(looks.iter_mut()) {
            let record = &self.folios[*folio];
            if record.object != of || record.nr > 1 {
                break;
            }
            nr += 1;
            if !wanted(record) {
                continue;
            }
            *look = Look::Old;
            if record.mapped > 0
                && let Some(entry) = ptes.get_mut(record.index as usize)
            {
                let old = *entry;
                let young = old & old >> 1 & 1;
                *entry = old & !(young * pte::YOUNG);
                *look = if young != 0 { Look::Young } else { Look::Old };
            }
        }
        let lent = self.outside.lent(vma as usize);
        if !lent.is_empty() {
            take_lent(&self.folios, &batch[..nr], ptes, lent, looks);
        }
        nr
    }
}

/// Folios that are looked at together.
const RUN: usize = 32;

/// What a look at a folio's only mapping saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Look {
    /// Its accessed bit was clear.
    Old,
    /// Its accessed bit was set.
    Young,
    /// There was none.
    Unwanted,
}

/// Takes the accessed bits that a simulator's entries have of folios that were looked at.
#[inline(never)]
fn take_lent(
    folios: &Folios,
    batch: &[u32],
    ptes: &[u8],
    lent: &mut [Pte],
    looks: &mut [Look; RUN],
) {
    for (folio, look) in batch.iter().zip(looks).filter(|(_, look)| **look != Look::Unwanted) {
        let record = &folios[*folio];
        let index = record.index as usize;
        if record.mapped > 0
            && let Some(entry) = ptes.get(index)
            && *entry & pte::PRESENT != 0
            && Outside::take_lent(lent, index, *entry)
        {
            *look = Look::Young;
        }
    }
}
