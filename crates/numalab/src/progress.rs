//! Progress on stderr: a ticker reads what the cells publish, with rate and remaining time.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lab::{CellState, Live, Plan};

use crate::cli::ProgressChoice;
use crate::ui::{Ui, note};

/// Shown until it is dropped.
pub(crate) struct Ticker {
    done: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Bar,
    Lines,
}

/// Between two looks at the cells.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two plain lines.
const TICKS_A_LINE: u32 = 20;

impl Ticker {
    /// Starts showing `live`, if the user wants it.
    pub(crate) fn start(ui: &Ui, plan: &Plan, live: &Arc<Live>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let look = match (ui.progress, std::io::stderr().is_terminal()) {
            (ProgressChoice::Never, _) | (ProgressChoice::Auto, false) => {
                return Self { done, thread: None };
            }
            (_, true) => Look::Bar,
            (ProgressChoice::Always, false) => Look::Lines,
        };
        let rows = plan.cells.iter().map(|cell| cell.program.nr_rows()).collect();
        let (live, stop) = (Arc::clone(live), Arc::clone(&done));
        let thread = thread::spawn(move || show(&live, rows, look, &stop));
        Self { done, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics only by a bug of the display, which is no reason to lose a result.
            let _ = thread.join();
        }
    }
}

fn show(live: &Live, rows: Vec<Option<u64>>, look: Look, done: &AtomicBool) {
    let started = Instant::now();
    let bar = match look {
        Look::Bar => ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr()),
        Look::Lines => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
        bar.set_style(style);
    }
    let mut ticks = 0;
    while !done.load(Ordering::Relaxed) {
        let share = share_done(live, &rows);
        let text = text(live, share, started.elapsed());
        match look {
            Look::Bar => {
                bar.set_position((share * 1000.0) as u64);
                bar.set_message(text);
            }
            Look::Lines if ticks % TICKS_A_LINE == TICKS_A_LINE - 1 => note(&format!("{text}\n")),
            Look::Lines => {}
        }
        ticks += 1;
        thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
}

/// `12 of 25 runs, 31.2 M accesses/s, 14 s left`
fn text(live: &Live, share: f64, elapsed: Duration) -> String {
    let over = |state: CellState| matches!(state, CellState::Finished | CellState::Failed);
    let nr_done = live.cells.iter().filter(|cell| over(cell.state())).count();
    let rate = live.accesses() as f64 / elapsed.as_secs_f64().max(1e-3) / 1e6;
    let mut text = format!("{nr_done} of {} runs", live.cells.len());
    // Until the cells have told something there is no rate.
    if rate > 0.0 {
        text += &format!(", {rate:.1} M accesses/s");
    }
    if live.is_cancelled() {
        text += ", stopping";
    } else if share > 0.005 {
        let left_s = elapsed.as_secs_f64() * (1.0 - share) / share;
        text += &format!(", {left_s:.0} s left");
    }
    text
}

/// Share of the work that is done. A running cell's work is what its trace holds or, for a
/// generator, what a finished cell took on average; without either it counts when it is over.
fn share_done(live: &Live, rows: &[Option<u64>]) -> f64 {
    let accesses = |idx: usize| live.cells[idx].progress.accesses.load(Ordering::Relaxed) as f64;
    let finished: Vec<f64> = (0..live.cells.len())
        .filter(|idx| live.cells[*idx].state() == CellState::Finished)
        .map(accesses)
        .collect();
    let mean = finished.iter().sum::<f64>() / finished.len() as f64;
    let share = |idx: usize| match live.cells[idx].state() {
        CellState::Waiting => 0.0,
        CellState::Finished | CellState::Failed => 1.0,
        CellState::Running => {
            let expected = rows[idx].map_or(mean, |rows| rows as f64);
            if expected > 0.0 { (accesses(idx) / expected).min(0.99) } else { 0.0 }
        }
    };
    (0..live.cells.len()).map(share).sum::<f64>() / live.cells.len().max(1) as f64
}
