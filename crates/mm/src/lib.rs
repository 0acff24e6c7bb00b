//! Address spaces, folios, zones and watermarks, the mechanics of migration
