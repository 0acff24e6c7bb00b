//! Fuzz targets for every parser, a workspace of its own: `cargo fuzz run TARGET` in this folder.

pub mod targets;
