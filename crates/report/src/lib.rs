//! Tables, charts and the HTML report; reads results only.
//!
//! [`table`] prints a summary as text, [`html::report`] makes the self-contained page.

mod charts;
mod figures;
pub mod html;
pub mod table;
mod timeline;
