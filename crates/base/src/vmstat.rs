//! The global counters, as `/proc/vmstat` spells them; our own begin with `sim_`.

crate::counters! {
    /// A global event counter.
    pub enum Vm, table Vmstat {
        /// Page faults of every kind, hint faults included.
        pgfault,
        /// Faults that had to wait for a device.
        pgmajfault,
        /// Base pages handed out by the allocator.
        pgalloc_normal,
        /// Base pages given back to the allocator.
        pgfree,
        /// Huge pages mapped by a fault.
        thp_fault_alloc,
        /// Faults that wanted a huge page and took base pages.
        thp_fault_fallback,
        /// Huge pages split into base pages.
        thp_split_page,
        /// Allocations served by the node that was wanted.
        numa_hit,
        /// Allocations served by another node than the wanted one, counted at the serving node.
        numa_miss,
        /// Allocations that wanted this node and were served elsewhere.
        numa_foreign,
        /// Interleaved allocations served by the node that was their turn.
        numa_interleave,
        /// Allocations served by the node of the allocating CPU.
        numa_local,
        /// Allocations served by another node than that of the allocating CPU.
        numa_other,
        /// Page-table entries made inaccessible by a NUMA scanner; a huge page counts once.
        numa_pte_updates,
        /// Huge page-table entries made inaccessible by a NUMA scanner.
        numa_huge_pte_updates,
        /// Faults on entries that a NUMA scanner had made inaccessible.
        numa_hint_faults,
        /// Hint faults whose page was on the node of the faulting CPU.
        numa_hint_faults_local,
        /// Base pages moved between nodes because of a hint fault.
        numa_pages_migrated,
        /// Base pages moved between nodes, for any reason.
        pgmigrate_success,
        /// Base pages that could not be moved.
        pgmigrate_fail,
        /// Huge pages moved whole.
        thp_migration_success,
        /// Huge pages that could not be moved.
        thp_migration_fail,
        /// Base pages moved to a faster tier.
        pgpromote_success,
        /// Base pages that were candidates for a faster tier.
        pgpromote_candidate,
        /// Base pages moved to a slower tier by kswapd.
        pgdemote_kswapd,
        /// Base pages moved to a slower tier by direct reclaim.
        pgdemote_direct,
        /// Pages scanned by kswapd.
        pgscan_kswapd,
        /// Pages scanned by direct reclaim.
        pgscan_direct,
        /// Pages reclaimed by kswapd.
        pgsteal_kswapd,
        /// Pages reclaimed by direct reclaim.
        pgsteal_direct,
        /// Pages moved to the active list.
        pgactivate,
        /// Pages moved to the inactive list.
        pgdeactivate,
        /// Evicted anonymous pages that came back.
        workingset_refault_anon,
        /// Evicted file pages that came back.
        workingset_refault_file,
        /// Refaulted anonymous pages that went straight to the active list.
        workingset_activate_anon,
        /// Refaulted file pages that went straight to the active list.
        workingset_activate_file,
        /// Pages read from swap.
        pswpin,
        /// Pages written to swap.
        pswpout,
        /// Tasks killed because no memory could be freed.
        oom_kill,
        /// Accesses replayed.
        sim_accesses,
        /// Cache lines moved between memory and caches, on the accessing CPU's own node.
        sim_lines_local,
        /// Cache lines moved between memory and caches, on another node.
        sim_lines_remote,
        /// Accesses on the accessing CPU's own node.
        sim_accesses_local,
        /// Accesses on another node than the accessing CPU's.
        sim_accesses_remote,
        /// Nanoseconds tasks ran in user mode.
        sim_user_ns,
        /// Nanoseconds tasks ran in the kernel: faults, scans, migrations, flushes.
        sim_system_ns,
        /// Nanoseconds tasks waited for a page under migration.
        sim_migration_wait_ns,
        /// Nanoseconds runnable tasks waited for a CPU.
        sim_runqueue_wait_ns,
        /// Pages a NUMA scanner walked over, whether it changed them or not.
        sim_numa_pages_scanned,
        /// Migrations asked for by a design and refused by a rate limit.
        sim_numa_ratelimited,
        /// Context switches.
        sim_context_switches,
        /// Tasks moved to another CPU.
        sim_task_migrations,
        /// Tasks moved to a CPU of another node.
        sim_task_migrations_cross_node,
        /// Pairs of tasks that swapped CPUs at a design's request.
        sim_task_swaps,
        /// Wake-ups of background daemons.
        sim_daemon_wakeups,
        /// Accesses that took the slow path.
        sim_slow_path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_table_agree() {
        let mut stat = Vmstat::default();
        stat[Vm::numa_hint_faults] = 7;
        stat[Vm::pswpout] = 9;
        assert_eq!(Vmstat::parse(&stat.to_string()), stat);
    }

    #[test]
    fn since_subtracts_each_counter() {
        let mut early = Vmstat::default();
        early[Vm::pgfault] = 5;
        let mut late = early.clone();
        late[Vm::pgfault] += 3;
        assert_eq!(late.since(&early)[Vm::pgfault], 3);
    }
}
