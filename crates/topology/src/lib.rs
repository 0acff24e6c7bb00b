//! The machine: nodes, zones, CPUs, distances, latency, bandwidth, devices, cost table
