//! Experiment file to cells, the runner, the store, statistics
