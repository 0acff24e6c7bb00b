//! NUMA-placement designs, one a file; the trait they implement; the registry
