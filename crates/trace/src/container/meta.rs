//! What a trace says about itself, kept as JSON in the file's metadata.

use std::collections::BTreeSet;

use base::{CpuMask, MmId, MmVec, Nanos};
use serde::{Deserialize, Serialize};

use crate::{Convergence, Event, Group, Mapping, Space, Workload};

/// Name, threads, spaces and provenance of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// As shown to users.
    pub name: String,
    /// Address spaces and files; pages are dense numbers within each.
    pub spaces: MmVec<Space>,
    /// Threads, by the index that rows and [`Event::Spawn`] use.
    pub threads: Vec<ThreadMeta>,
    /// What the order of rows of different threads means.
    pub order: Order,
    /// Run for this long instead of to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<Nanos>,
    /// Whether the run watches for convergence.
    #[serde(default)]
    pub convergence: Convergence,
    /// Threads that belong together by declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Where it comes from.
    pub source: Source,
}

/// One thread of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadMeta {
    /// As shown to users.
    pub name: String,
    /// Process it belongs to: threads of one process share this number.
    pub process: u32,
    /// Its address space.
    pub mm: MmId,
    /// The thread that starts it; `None`: it starts at time zero.
    pub parent: Option<usize>,
    /// CPUs it may use at the start; empty for all.
    #[serde(default, skip_serializing_if = "CpuMask::is_empty")]
    pub allowed: CpuMask,
    /// The recorded thread id, 0 if there was none.
    #[serde(default)]
    pub tid: u32,
}

/// What the order of rows of different threads means. Within a thread it is program order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By the recording's clock: threads ran in parallel.
    #[default]
    Concurrent,
    /// The recorder ran one thread at a time.
    Serialised,
    /// A generator's threads, which know nothing of each other.
    Generated,
}

/// Where a trace comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What recorded or generated it, with versions.
    pub tool: String,
    /// The recorded command line, or the generator's settings.
    pub command: String,
    /// When, as the recorder wrote it.
    #[serde(default)]
    pub date: String,
    /// Terms under which the trace may be used.
    #[serde(default)]
    pub licence: String,
    /// What else is needed to understand it, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Meta {
    /// What a workload says about itself; for writing it to a file.
    pub fn of(workload: &Workload, source: Source) -> Self {
        let thread = |thread: &crate::Thread| ThreadMeta {
            name: thread.name.clone(),
            process: thread.process,
            mm: thread.mm,
            parent: thread.parent,
            allowed: thread.allowed,
            tid: 0,
        };
        Self {
            name: workload.name.clone(),
            spaces: workload.spaces.clone(),
            threads: workload.threads.iter().map(thread).collect(),
            order: Order::Generated,
            stop_after: workload.stop_after,
            convergence: workload.convergence,
            groups: workload.groups.clone(),
            source,
        }
    }

    /// Checks that all indices and ranges make sense, so that readers may rely on it.
    ///
    /// # Errors
    /// The first thing that does not.
    pub(super) fn check(&self) -> Result<(), String> {
        let limit = usize::from(u16::MAX);
        if self.spaces.len() > limit || self.threads.len() > limit {
            return Err(format!("more than {limit} threads or spaces"));
        }
        for (mm, space) in self.spaces.enumerate() {
            if space.nr_pages.0 > u64::from(u32::MAX) {
                return Err(format!("space {mm}: more than 2^32 - 1 pages"));
            }
            let mut end = 0;
            for mapping in &space.mappings {
                self.check_mapping(mm, mapping)?;
                if mapping.pages.start < end {
                    return Err(format!(
                        "space {mm}: mappings overlap at page {}",
                        mapping.pages.start
                    ));
                }
                end = mapping.pages.end;
            }
        }
        for (idx, thread) in self.threads.iter().enumerate() {
            if self.spaces.get(thread.mm).is_none() {
                return Err(format!("thread {idx}: no space {}", thread.mm));
            }
            if thread.parent.is_some_and(|parent| parent >= self.threads.len()) {
                return Err(format!("thread {idx}: its parent does not exist"));
            }
        }
        self.check_descent()?;
        for group in &self.groups {
            self.check_range(group.memory.0, &group.memory.1)?;
            if group.threads.iter().any(|thread| *thread >= self.threads.len()) {
                return Err(format!("group {:?}: a thread does not exist", group.name));
            }
        }
        Ok(())
    }

    fn check_descent(&self) -> Result<(), String> {
        for idx in 0..self.threads.len() {
            let mut ancestor = self.threads[idx].parent;
            let mut steps = 0;
            while let Some(thread) = ancestor {
                steps += 1;
                if steps > self.threads.len() {
                    return Err(format!("thread {idx}: is its own ancestor"));
                }
                ancestor = self.threads[thread].parent;
            }
        }
        Ok(())
    }

    fn check_range(&self, mm: MmId, pages: &std::ops::Range<u32>) -> Result<(), String> {
        let Some(space) = self.spaces.get(mm) else {
            return Err(format!("no space {mm}"));
        };
        if pages.start > pages.end || u64::from(pages.end) > space.nr_pages.0 {
            return Err(format!(
                "space {mm}: pages {}..{}, expected a range within {}",
                pages.start, pages.end, space.nr_pages.0
            ));
        }
        Ok(())
    }

    fn check_mapping(&self, mm: MmId, mapping: &Mapping) -> Result<(), String> {
        self.check_range(mm, &mapping.pages)
    }

    pub(super) fn check_event(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Spawn(thread) => match self.threads.get(*thread) {
                Some(child) if child.parent.is_some() => Ok(()),
                Some(_) => Err(format!("thread {thread} is started but names no parent")),
                None => Err(format!("thread {thread} is started but does not exist")),
            },
            Event::Mmap(mm, mapping) => self.check_mapping(*mm, mapping),
            Event::Munmap(mm, pages)
            | Event::Madvise(mm, pages, _)
            | Event::Read(mm, pages)
            | Event::Mbind(mm, pages, _) => self.check_range(*mm, pages),
            Event::SetMempolicy(_)
            | Event::SetAffinity(_)
            | Event::SetNodes(_)
            | Event::MoveCgroup(_)
            | Event::RemoveCgroup(_)
            | Event::Barrier { .. }
            | Event::Sleep(_)
            | Event::Compute(_)
            | Event::MeasureFrom
            | Event::MeasureAfter(_)
            | Event::WorkDone(_)
            | Event::EndRun => Ok(()),
        }
    }

    /// Every thread with a parent must be started exactly once.
    pub(super) fn check_events(&self, events: &[Event]) -> Result<(), String> {
        let mut started = BTreeSet::new();
        for event in events {
            self.check_event(event)?;
            if let Event::Spawn(thread) = event
                && !started.insert(*thread)
            {
                return Err(format!("thread {thread} is started twice"));
            }
        }
        let mut children = self.threads.iter().enumerate().filter(|(_, t)| t.parent.is_some());
        match children.find(|(idx, _)| !started.contains(idx)) {
            Some((idx, _)) => Err(format!("thread {idx} has a parent but is never started")),
            None => Ok(()),
        }
    }
}
