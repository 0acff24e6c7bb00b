//! Names of what is counted, as memory.stat and /proc/vmstat spell them.

base::counters! {
    /// A counter of events of a memory cgroup and its descendants, or of the whole machine.
    pub enum Stat, table Stats {
        /// Page faults.
        pgfault,
        /// Faults that had to wait for a device, or would have had to.
        pgmajfault,
        /// Pages taken off inactive lists by kswapd.
        pgscan_kswapd,
        /// Pages taken off inactive lists by tasks.
        pgscan_direct,
        /// Pages reclaimed by kswapd.
        pgsteal_kswapd,
        /// Pages reclaimed by tasks.
        pgsteal_direct,
        /// Anonymous pages looked at.
        pgscan_anon,
        /// File pages looked at.
        pgscan_file,
        /// Anonymous pages reclaimed.
        pgsteal_anon,
        /// File pages reclaimed.
        pgsteal_file,
        /// Pages taken off active lists, or sorted between generations.
        pgrefill,
        /// Pages moved to an active list.
        pgactivate,
        /// Pages moved from an active list to an inactive one.
        pgdeactivate,
        /// Pages moved to the tail when their write ended.
        pgrotated,
        /// Refaults of anonymous pages.
        workingset_refault_anon,
        /// Refaults of file pages.
        workingset_refault_file,
        /// Refaulted anonymous pages that were activated at once.
        workingset_activate_anon,
        /// Refaulted file pages that were activated at once.
        workingset_activate_file,
        /// Refaulted anonymous pages that had been active before.
        workingset_restore_anon,
        /// Refaulted file pages that had been active before.
        workingset_restore_file,
        /// Leaves of the page cache's tree that held nothing but shadows and were freed.
        workingset_nodereclaim,
        /// Pages read from swap.
        pswpin,
        /// Pages written to swap.
        pswpout,
        /// Swap pages read ahead.
        swap_ra,
        /// Of them, hit.
        swap_ra_hit,
        /// Pages stored compressed.
        zswpout,
        /// Pages loaded from the compressed store.
        zswpin,
        /// Entries into direct reclaim.
        allocstall,
        /// Runs of kswapd.
        pageoutrun,
        /// Objects scanned by shrinkers.
        slabs_scanned,
        /// Dirty pages met at the tail and marked for reclaim.
        nr_vmscan_immediate_reclaim,
        /// File pages written by reclaim.
        nr_vmscan_write,
        /// Pages dirtied.
        nr_dirtied,
        /// Pages written back.
        nr_written,
        /// Write faults that took over a page with one user.
        pgreuse,
        /// Huge pages given by a fault.
        thp_fault_alloc,
        /// Huge pages swapped out whole.
        thp_swpout,
        /// Huge pages split before they went out.
        thp_swpout_fallback,
        /// Huge pages split.
        thp_split_page,
        /// Huge mappings split.
        thp_split_pmd,
        /// Pages demoted by kswapd.
        pgdemote_kswapd,
        /// Pages demoted by tasks.
        pgdemote_direct,
        /// Pages promoted to a faster tier.
        pgpromote_success,
        /// Pages considered for promotion.
        pgpromote_candidate,
        /// Page table entries marked for hint faults.
        numa_pte_updates,
        /// Huge entries marked for hint faults.
        numa_huge_pte_updates,
        /// Hint faults.
        numa_hint_faults,
        /// Hint faults on pages of the CPU's own node.
        numa_hint_faults_local,
        /// Pages migrated after hint faults.
        numa_pages_migrated,
        /// Huge pages migrated whole.
        thp_migration_success,
        /// Pages that MADV_FREE lets go.
        pglazyfree,
        /// Of them, dropped by reclaim.
        pglazyfreed,
        /// Pages put on the unevictable list that could be evicted again.
        unevictable_pgs_rescued,
        /// Pages unlocked.
        unevictable_pgs_munlocked,
        /// Successful node reclaims.
        zone_reclaim_success,
        /// Failed node reclaims.
        zone_reclaim_failed,
        /// memory.events max.
        events_max,
        /// memory.events high.
        events_high,
        /// memory.events low.
        events_low,
        /// memory.events oom: nothing could be freed for a charge.
        events_oom,
        /// memory.events oom_kill.
        events_oom_kill,
    }
}

base::counters! {
    /// A counter of a node's numastat.
    pub enum NumaStat, table NumaStats {
        /// Pages wanted here and given here.
        numa_hit,
        /// Pages wanted elsewhere and given here.
        numa_miss,
        /// Pages wanted here and given elsewhere.
        numa_foreign,
        /// Interleaved pages given here as intended.
        interleave_hit,
        /// Pages given here to a CPU of this node.
        local_node,
        /// Pages given here to a CPU of another node.
        other_node,
    }
}

/// The shape that a type gives to names of two counters, `[anon, file]`.
pub(super) const REFAULT: [Stat; 2] =
    [Stat::workingset_refault_anon, Stat::workingset_refault_file];
/// Activations of refaulted pages by type.
pub(super) const ACTIVATE: [Stat; 2] =
    [Stat::workingset_activate_anon, Stat::workingset_activate_file];
/// Restored pages by type.
pub(super) const RESTORE: [Stat; 2] =
    [Stat::workingset_restore_anon, Stat::workingset_restore_file];
/// Scanned pages by type.
pub(super) const SCAN_TYPE: [Stat; 2] = [Stat::pgscan_anon, Stat::pgscan_file];
/// Reclaimed pages by type.
pub(super) const STEAL_TYPE: [Stat; 2] = [Stat::pgsteal_anon, Stat::pgsteal_file];
