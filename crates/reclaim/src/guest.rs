//! A guest machine that runs out of memory: lruvecs, memory cgroups, zones, swap, and the kernel's
//! two reclaim engines over them.
//!
//! Loads and stores ([`Guest::touch`]), read() and write() ([`Guest::file_io`]) happen one after the
//! other; the guest keeps a clock of its own, which the costs in [`Config`] advance, and does what
//! is due by that clock: flushes of statistics, ends of writes, naps of kswapd. The rules are those
//! of Linux 6.12, described in each file; all constants are the kernel's.

mod advise;
mod beside;
mod blocks;
mod classic;
mod engine;
mod fault;
mod folio;
mod kswapd;
mod lru;
mod memcg;
mod mglru;
mod numa;
mod oom;
mod outside;
mod page;
mod plain;
mod plug;
mod process;
mod readahead;
mod removal;
mod ring;
mod setup;
mod shadow;
mod shrink;
mod slab;
mod stat;
mod state;
mod swap;
mod tier;
mod touches;
mod validate;
mod view;
mod vmscan;
mod walk;
mod writeback;
mod young;
mod zone;
mod zswap;

#[cfg(test)]
mod tests;

pub use advise::Advice;
pub use numa::{Entry, Hinted};
pub use oom::{Footprint, OOM_SCORE_ADJ_MIN};
pub use outside::{Change, Disk, Fault, Stroke, Work};
pub use removal::Removal;
pub use setup::{Backing, Config, Costs, Group, Knobs, Policy, SwapDevice, ZoneConfig};
pub use stat::{NumaStat, NumaStats, Stat, Stats};
pub use state::{Guest, SoftStats};
pub use view::Gauge;
pub use writeback::DirtyKnobs;
pub use zswap::{Content, ZswapKnobs, ZswapStats};
