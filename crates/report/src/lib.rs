//! Tables, charts and the HTML report; reads results only.
//!
//! [`table`] prints a summary as text, [`explain`] why one design beats another ([`default_pair`]
//! chooses two), [`html::report`] makes the self-contained page.

mod charts;
pub mod explain;
mod figures;
pub mod html;
pub mod killed;
mod memcg_charts;
pub mod memcgs;
mod past;
mod places;
mod strips;
pub mod table;
mod timeline;
mod why;
pub mod yardsticks;

pub use past::default_pair;
pub use strips::Strips;
