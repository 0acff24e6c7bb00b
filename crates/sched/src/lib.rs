//! CPUs, run queues, scheduling domains, load balancing
