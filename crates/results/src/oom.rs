//! Processes that were killed because no memory could be freed.

use std::fmt;

use base::{Nanos, PAGE_BYTES};
use serde::{Deserialize, Serialize};

/// A kill by the OOM killer. Its text form is the kernel's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OomKill {
    /// When.
    #[serde(rename = "at_ns")]
    pub at: Nanos,
    /// Whose allocation failed.
    pub asked_by: String,
    /// The group whose memory.max was reached; `/` when the machine was full.
    pub path: String,
    /// What the group used, or of the machine's pages were in use, and how many there may be.
    pub usage_pages: u64,
    /// As above.
    pub limit_pages: u64,
    /// Index in `tasks` of the process that was killed.
    pub victim: usize,
    /// The group of that process.
    pub task_path: String,
    /// Processes that could have been killed.
    pub tasks: Vec<OomTask>,
    /// What the full group had, as `memory.stat` tells it, or free pages by zone.
    pub state: String,
}

/// A process as the OOM killer saw it, in pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomTask {
    /// Its number.
    pub process: u32,
    /// Its name.
    pub name: String,
    /// Anonymous pages mapped.
    pub rss: u64,
    /// Page tables.
    pub pgtables: u64,
    /// Pages in swap.
    pub swapents: u64,
    /// As the workload sets it.
    pub oom_score_adj: i32,
    /// What is compared: the largest is killed.
    pub badness: i64,
}

impl OomKill {
    /// The process that was killed.
    pub fn killed(&self) -> &OomTask {
        &self.tasks[self.victim]
    }

    /// One line: who, when, why.
    pub fn line(&self) -> String {
        let OomTask { process, name, rss, swapents, .. } = self.killed();
        let why = match self.path.as_str() {
            "/" => "the machine was full".to_owned(),
            path => format!("memory.max of {path} was reached"),
        };
        format!(
            "process {process} ({name}) with {rss} pages and {swapents} in swap at {:.3} s: {why} and nothing could be freed for {}",
            self.at.as_secs_f64(),
            self.asked_by
        )
    }
}

impl fmt::Display for OomKill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |pages: u64| pages * PAGE_BYTES / 1024;
        let is_global = self.path == "/";
        writeln!(f, "{} invoked oom-killer at {:.6} s", self.asked_by, self.at.as_secs_f64())?;
        let of = if is_global { "machine" } else { &self.path };
        let (usage, limit) = (kib(self.usage_pages), kib(self.limit_pages));
        writeln!(f, "memory of {of}: usage {usage}kB, limit {limit}kB")?;
        writeln!(f, "{}", self.state)?;
        writeln!(f, "Tasks state (memory values in pages):")?;
        writeln!(f, "[  pid  ]      rss pgtables swapents oom_score_adj  badness name")?;
        for task in &self.tasks {
            let OomTask { process, name, rss, pgtables, swapents, oom_score_adj, badness } = task;
            writeln!(
                f,
                "[{process:7}] {rss:8} {pgtables:8} {swapents:8} {oom_score_adj:13} {badness:8} {name}"
            )?;
        }
        let OomTask { process, name, rss, pgtables, oom_score_adj, .. } = self.killed();
        let constraint = if is_global { "CONSTRAINT_NONE" } else { "CONSTRAINT_MEMCG" };
        let scope =
            if is_global { "global_oom".to_owned() } else { format!("oom_memcg={}", self.path) };
        writeln!(
            f,
            "oom-kill:constraint={constraint},{scope},task_memcg={},task={name},pid={process}",
            self.task_path
        )?;
        let what = if is_global { "Out of memory" } else { "Memory cgroup out of memory" };
        writeln!(
            f,
            "{what}: Killed process {process} ({name}) anon-rss:{}kB, pgtables:{}kB oom_score_adj:{oom_score_adj}",
            kib(*rss),
            kib(*pgtables)
        )
    }
}
