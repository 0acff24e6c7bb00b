//! Which pages to give up when memory runs short.
//!
//! - [`guest`]: a machine with zones, memory cgroups and the two engines of the Linux kernel.
//! - [`hierarchy`]: which groups of a hierarchy of memory cgroups are reclaimed: the designs that
//!   competed in 2012, and what became of them.
//! - [`list`]: intrusive lists with 32-bit links, and the same with a tag that says which list an
//!   item is on.
//! - [`mapped`]: what becomes of pages whose accessed bits are set, as Linux answered over the years.
//! - [`textbook`]: the replacement policies of the literature, one a file, as yardsticks: LRU, FIFO,
//!   CLOCK, 2Q, ARC, S3-FIFO, SIEVE, LFU and Belady's optimum.
//! - [`libcachesim`]: their miss counts beside those of another program, on streams that can be
//!   made again from a few lines.
//!
//! This crate does no I/O and charges no time; who reclaims when is the flow's business.

pub mod guest;
pub mod hierarchy;
pub mod libcachesim;
pub mod list;
pub mod mapped;
pub mod textbook;
pub mod yardstick;
