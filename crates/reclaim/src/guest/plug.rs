//! Swap writes that a reclaimer collects before the disk sees them.
//!
//! Linux plugs the block device while it shrinks one lruvec: writes to slots in a row become one
//! request, and all go out at the end, or when there are too many. So pages of a round end their
//! writes together, in a later round. Left out: limits of a request other than its segments.

use super::state::Guest;

/// Requests after which another one sends all.
const MAX_REQUESTS: usize = 32;
/// Pages of a request: 255 sectors, what a disk takes that does not say more.
const REQUEST_PAGES: u64 = 31;

/// Writes that were not sent yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Plug {
    requests: Vec<Request>,
}

/// Folios that end their writes together.
#[derive(Clone, Debug, Default)]
struct Request {
    folios: Vec<u32>,
    pages: u64,
    /// The slot behind its last one.
    next_slot: u32,
}

impl Plug {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl Guest {
    /// Adds the write of a folio to slots from `slot` on.
    pub(super) fn plug_write(&mut self, folio: u32, slot: u32, nr: u64) {
        let last = self.plug.requests.last_mut();
        if let Some(last) = last.filter(|last| last.next_slot == slot)
            && last.pages + nr <= REQUEST_PAGES
        {
            last.folios.push(folio);
            last.pages += nr;
            last.next_slot += nr as u32;
            return;
        }
        if self.plug.requests.len() >= MAX_REQUESTS {
            self.send_plugged();
        }
        let request = Request { folios: vec![folio], pages: nr, next_slot: slot + nr as u32 };
        self.plug.requests.push(request);
    }

    /// Sends what was collected; the disk copies a request's data, then waits its latency.
    pub(super) fn send_plugged(&mut self) {
        for request in std::mem::take(&mut self.plug).requests {
            self.now += self.config.costs.swap_copy_ns * request.pages;
            let done = self.outside.swap_write(self.now, request.pages);
            let done = done.unwrap_or(self.now + self.swap.latency_ns());
            for folio in request.folios {
                self.write_seq += 1;
                self.writes.insert((done, self.write_seq), folio);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::guest::{Config, Guest, Knobs, SwapDevice};

    #[test]
    fn slots_in_a_row_are_one_request_and_wait_for_the_end() {
        let swap = SwapDevice { pages: 1000, latency_ns: Some(100_000), ..SwapDevice::default() };
        let mut guest = Guest::new(Config::default(), Knobs::default(), swap);
        for (folio, slot) in (0..40).chain(60..70).enumerate() {
            guest.plug_write(folio as u32, slot, 1);
        }
        let pages: Vec<u64> = guest.plug.requests.iter().map(|request| request.pages).collect();
        assert_eq!(pages, [31, 9, 10]);
        assert!(guest.writes.is_empty(), "nothing is sent before the end");
        guest.send_plugged();
        assert!(guest.plug.is_empty());
        assert_eq!(guest.writes.len(), 50);
    }

    #[test]
    fn the_33rd_request_sends_those_before_it() {
        let swap = SwapDevice { pages: 1000, latency_ns: Some(1), ..SwapDevice::default() };
        let mut guest = Guest::new(Config::default(), Knobs::default(), swap);
        (0..33).for_each(|folio| guest.plug_write(folio, folio * 2, 1));
        assert_eq!((guest.writes.len(), guest.plug.requests.len()), (32, 1));
    }
}
