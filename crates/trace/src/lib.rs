//! Access streams: container, importers, generators
