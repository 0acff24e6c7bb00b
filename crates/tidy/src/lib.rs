//! Tests of the tree itself: layers, file length, words, headers, links, schemas, licences.
//!
//! What a reviewer would otherwise have to look for by hand. Reads files only; that shipped files
//! parse and that generated pages are fresh is tested by the crates that read and write them.

#[cfg(test)]
mod layers;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod tree;
