//! Tables, charts and the HTML report; reads results only.

mod figures;
pub mod table;
