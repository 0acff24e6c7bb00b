//! Tests of the tree itself: layers, file length, shipped files parse, generated docs fresh
