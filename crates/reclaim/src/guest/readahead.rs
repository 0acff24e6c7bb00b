//! Reading ahead in mapped files.
//!
//! After Linux 6.12: a fault that misses reads a window around its page, a fault that meets the
//! mark in a window reads the next one, and a mapping whose faults miss much more often than they
//! hit reads single pages. Left out: readahead of read(), congestion.

use super::state::{Guest, NONE, flag};

/// Misses beyond hits above which a mapping's faults read single pages.
const LOTS_OF_MISSES: u32 = 100;

/// The last window of a mapping, in pages of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FileReadahead {
    start: u32,
    size: u32,
    /// Pages behind the mark at which the next window is read.
    behind: u32,
    /// Faults that missed, less those that hit.
    misses: u32,
}

impl FileReadahead {
    /// Counts faults that missed.
    #[inline]
    pub(super) fn note_misses(&mut self, nr: u32) {
        self.misses = (self.misses + nr).min(10 * LOTS_OF_MISSES);
    }
}

impl Guest {
    /// Whether a mapping's faults read nothing around their pages, after so many more misses.
    #[inline]
    pub(super) fn reads_single_pages(&self, vma: usize, more: u32) -> bool {
        let mapping = &self.vmas[vma];
        let misses = mapping.file_readahead.misses + more;
        mapping.random || self.knobs.read_ahead_pages == 0 || misses > LOTS_OF_MISSES
    }

    /// Reads the page of a fault that missed, and pages around it.
    pub(super) fn read_around(&mut self, memcg: u16, vma: usize, index: u32) -> Option<u32> {
        let ahead = &mut self.vmas[vma].file_readahead;
        ahead.note_misses(1);
        if self.reads_single_pages(vma, 0) {
            return self.read_file_page(memcg, vma, index);
        }
        let most = self.knobs.read_ahead_pages;
        let ahead = &mut self.vmas[vma].file_readahead;
        (ahead.start, ahead.size) = (index.saturating_sub(most / 2), most);
        ahead.behind = most / 4;
        self.read_window(memcg, vma);
        let object = self.vmas[vma].object as usize;
        match self.objects[object].pages[index as usize].folio() {
            NONE => self.read_file_page(memcg, vma, index),
            folio => Some(folio),
        }
    }

    /// Notes a fault on a resident page, which may be the mark in a window.
    pub(super) fn note_file_hit(&mut self, memcg: u16, vma: usize, folio: u32, index: u32) {
        let most = self.knobs.read_ahead_pages;
        let ahead = &mut self.vmas[vma].file_readahead;
        ahead.misses = ahead.misses.saturating_sub(1);
        if most == 0 || !self.folios.take(folio, flag::READAHEAD) {
            return;
        }
        let ahead = &mut self.vmas[vma].file_readahead;
        if index == ahead.start + ahead.size - ahead.behind {
            (ahead.start, ahead.size) = (ahead.start + ahead.size, next_size(ahead.size, most));
        } else {
            // A mark of another window: go on behind what is resident.
            let object = &self.objects[self.vmas[vma].object as usize];
            let later = object.pages.iter().skip(index as usize + 1).take(most as usize);
            let resident = later.take_while(|page| page.folio() != NONE).count() as u32;
            if resident >= most {
                return;
            }
            let ahead = &mut self.vmas[vma].file_readahead;
            ahead.start = index + 1 + resident;
            ahead.size = next_size(resident + 1 + most, most);
        }
        let ahead = &mut self.vmas[vma].file_readahead;
        ahead.behind = ahead.size;
        self.read_window(memcg, vma);
    }

    fn read_window(&mut self, memcg: u16, vma: usize) {
        let ahead = self.vmas[vma].file_readahead;
        let object = self.vmas[vma].object as usize;
        let end = (ahead.start + ahead.size).min(self.objects[object].pages.len() as u32);
        for page in ahead.start..end {
            if self.objects[object].pages[page as usize].folio() != NONE {
                continue;
            }
            self.now += self.config.costs.read_miss_ns;
            let Some(folio) = self.read_file_page(memcg, vma, page) else { return };
            if page == ahead.start + ahead.size - ahead.behind {
                self.folios.set(folio, flag::READAHEAD);
            }
        }
    }
}

/// The size of the next window: it grows up to `most`.
fn next_size(size: u32, most: u32) -> u32 {
    if size < most / 16 {
        4 * size
    } else if size <= most / 2 {
        2 * size
    } else {
        most
    }
}

#[cfg(test)]
mod tests {
    use super::LOTS_OF_MISSES;
    use crate::guest::{Backing, Config, Guest, Knobs, Policy, Stat, SwapDevice, ZoneConfig};

    fn guest(pages: u32) -> (Guest, u32) {
        let zone = ZoneConfig { class: 1, managed: 90_000, free: 80_000, ..ZoneConfig::default() };
        let config = Config {
            zones: vec![zone],
            cpus: vec![1],
            distances: vec![vec![10]],
            tiers: vec![0],
            ..Config::default()
        };
        let knobs = Knobs { read_ahead_pages: 32, ..Knobs::default() };
        let mut guest = Guest::new(config, knobs, SwapDevice::default());
        let process = guest.add_process(0);
        let backing = Backing::File("f".into());
        let region = guest.add_region(process, &backing, pages, Policy::Default, 0, false);
        (guest, region)
    }

    #[test]
    fn reading_in_order_misses_once() {
        let (mut guest, region) = guest(1000);
        (0..1000).for_each(|page| guest.touch(0, region, page, false));
        assert_eq!(guest.vmstat()[Stat::pgmajfault], 1);
        assert_eq!(guest.vmstat()[Stat::pgfault], 1000);
    }

    #[test]
    fn reading_at_random_gives_up_reading_ahead() {
        let (mut guest, region) = guest(60_000);
        (0..200).for_each(|step| guest.touch(0, region, step * 300 + 20, false));
        assert_eq!(guest.vmstat()[Stat::pgmajfault], 200);
        guest.drain_all();
        let resident = guest.node_list(0, 2) + guest.node_list(0, 3);
        assert_eq!(resident, u64::from(LOTS_OF_MISSES) * 32 + 100);
    }
}
