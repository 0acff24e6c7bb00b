//! Runs independent pieces of work on several threads; results come back in the order of the work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What is told about progress, and asked whether to go on. All methods may be called from any
/// thread; what they do cannot influence results, but for cancelling.
pub trait Observer: Sync {
    /// So many runs follow.
    fn planned(&self, nr_runs: usize) {
        let _ = nr_runs;
    }
    /// A run has ended, after so long.
    fn finished(&self, what: &str, took: Duration) {
        let _ = (what, took);
    }
    /// Whether runs that have not begun shall not begin.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Observer for () {}

/// Applies `work` to every item on `nr_threads` threads (0 for all processors); `None` for what was
/// cancelled.
pub(crate) fn map<I: Sync, O: Send>(
    nr_threads: usize,
    items: &[I],
    observer: &dyn Observer,
    work: impl Fn(&I) -> O + Sync,
    name: impl Fn(&I) -> String + Sync,
) -> Vec<Option<O>> {
    observer.planned(items.len());
    let processors = || std::thread::available_parallelism().map_or(1, |nr| nr.get());
    let nr_threads = if nr_threads == 0 { processors() } else { nr_threads };
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<O>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        while !observer.is_cancelled() {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(slot)) = (items.get(idx), done.get(idx)) else { break };
            let started = Instant::now();
            let result = work(item);
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(result);
            }
            observer.finished(&name(item), started.elapsed());
        }
    };
    std::thread::scope(|scope| {
        let nr_helpers = nr_threads.min(items.len()).saturating_sub(1);
        (0..nr_helpers).for_each(|_| {
            scope.spawn(worker);
        });
        worker();
    });
    done.into_iter().map(|slot| slot.into_inner().ok().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_on_any_number_of_threads() {
        let items: Vec<u64> = (0..100).collect();
        for nr_threads in [0, 1, 3] {
            let squares = map(nr_threads, &items, &(), |n| n * n, u64::to_string);
            let expected: Vec<Option<u64>> = items.iter().map(|n| Some(n * n)).collect();
            assert_eq!(squares, expected);
        }
    }

    #[test]
    fn what_is_cancelled_has_no_result() {
        struct Stop;
        impl Observer for Stop {
            fn is_cancelled(&self) -> bool {
                true
            }
        }
        assert_eq!(map(2, &[1, 2], &Stop, |n: &i32| *n, i32::to_string), [None, None]);
    }
}
