//! Tables, charts and the HTML report; reads results only.
//!
//! [`table`] prints a summary as text, [`explain`] why one design beats another, [`html::report`]
//! makes the self-contained page.

mod charts;
pub mod explain;
mod figures;
pub mod html;
pub mod table;
mod timeline;
