//! Pages that the kernel clears or copies stay in the last-level cache, as far as they fit.
//!
//! `clear_page` and `copy_page` store through the caches, and string stores take a line without
//! reading it (Intel, Software Developer's Manual, volume 3, "Out-of-order stores for string
//! operations"). A page just written is thus in the cache of the CPU that wrote it; the program that
//! stores to it next finds it there, and its own stores bring the lines to memory, which is where
//! they are charged. What does not fit is written back while the clearing goes on. How much of the
//! cache that takes, 2 MiB to clear a huge page and 4 MiB to copy one, is Huang Ying's figure ("mm,
//! huge page: Copy target sub-page last when copy huge page", linux-mm, May 2018).
//!
//! Left out: what else is in the cache, and the lines of a page that nobody stores to before they
//! are evicted.

use topology::Machine;

/// All last-level caches.
pub(crate) struct Llcs(Vec<Llc>);

#[derive(Clone, Copy, Default)]
struct Llc {
    size_bytes: f64,
    /// What its CPUs are clearing and copying.
    in_flight_bytes: f64,
}

impl Llcs {
    /// Each as large as the shares of its CPUs together; a machine without caches has none to keep
    /// anything.
    pub(crate) fn new(machine: &Machine) -> Self {
        let share = machine.caches.levels.last().map_or(0.0, |level| level.size.0 as f64);
        let nr = machine.cpus.iter().map(|cpu| usize::from(cpu.llc) + 1).max().unwrap_or(0);
        let mut all = vec![Llc::default(); nr];
        machine.cpus.iter().for_each(|cpu| all[usize::from(cpu.llc)].size_bytes += share);
        Self(all)
    }

    /// Nobody clears or copies.
    pub(crate) fn reset(&mut self) {
        self.0.iter_mut().for_each(|llc| llc.in_flight_bytes = 0.0);
    }

    /// A CPU of `llc` takes room for as many bytes.
    pub(crate) fn add(&mut self, llc: u16, bytes: f64) {
        self.0[usize::from(llc)].in_flight_bytes += bytes;
    }

    /// Share of what a CPU of `llc` writes that stays there, when it takes room for as many bytes
    /// itself.
    pub(crate) fn kept(&self, llc: u16, bytes: f64) -> f64 {
        let llc = &self.0[usize::from(llc)];
        (llc.size_bytes / llc.in_flight_bytes.max(bytes)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use base::Bytes;
    use topology::{Cache, Machine};

    use super::*;

    const MIB: f64 = 1048576.0;

    /// Two nodes of four CPUs, each with a last-level cache of its own.
    fn machine(share: Option<Bytes>) -> Machine {
        let text = r#"
name = "two"
description = "two nodes"
[[nodes]]
cpus = "0-3"
memory = "1GiB"
[[nodes]]
cpus = "4-7"
memory = "1GiB"
[latency]
local = "50ns"
remote = "100ns"
[bandwidth]
core = { local = "1GB/s", remote = "0.5GB/s" }
controller = "3GB/s"
[[bandwidth.links]]
one_way = "1GB/s"
"#;
        let mut machine = topology::parse("two.toml", text).expect("a machine");
        machine.caches.levels.extend(share.map(|size| Cache { size, ways: 16 }));
        machine
    }

    #[test]
    fn what_fits_is_kept_and_of_the_rest_its_share() {
        let mut llcs = Llcs::new(&machine(Some(Bytes::from_mib(1))));
        assert_eq!(llcs.kept(0, 2.0 * MIB), 1.0, "2 MiB of 4");
        for _ in 0..4 {
            llcs.add(0, 2.0 * MIB);
        }
        assert_eq!(llcs.kept(0, 2.0 * MIB), 0.5, "four clear 2 MiB each");
        assert_eq!(llcs.kept(0, 16.0 * MIB), 0.25, "more than all of them");
        assert_eq!(llcs.kept(1, 2.0 * MIB), 1.0, "another cache");
        llcs.reset();
        assert_eq!(llcs.kept(0, 2.0 * MIB), 1.0);
    }

    #[test]
    fn nothing_is_kept_without_caches() {
        assert_eq!(Llcs::new(&machine(None)).kept(0, 4096.0), 0.0);
    }
}
