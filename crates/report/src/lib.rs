//! Tables, charts and the HTML report; reads results only.
//!
//! [`terminal()`] prints a comparison as text, [`table`] a summary in other forms, [`explain`] why one
//! design beats another ([`default_pair`] chooses two), [`html::report`] makes the self-contained
//! page.

mod charts;
pub mod explain;
mod figures;
pub mod html;
mod killed;
mod memcg_charts;
mod memcgs;
mod past;
mod places;
mod strips;
pub mod table;
mod terminal;
mod timeline;
mod why;
mod yardsticks;

pub use past::default_pair;
pub use strips::Strips;
pub use terminal::terminal;
