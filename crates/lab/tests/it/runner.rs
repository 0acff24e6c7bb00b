//! Running cells.

use std::sync::Arc;

use lab::{CellState, Live, Options, compare};
use results::to_json;

use crate::plan;

fn options(jobs: usize) -> Options {
    Options { jobs, ..Options::default() }
}

#[test]
fn jobs_do_not_change_the_digest() {
    let plan = plan("[axes]\nworkload.write_share = [0.1, 0.9]\n");
    let digest = |jobs| {
        let finished = compare(&plan, &options(jobs), &Live::of(&plan)).unwrap();
        to_json(&finished.comparison).digest
    };
    assert_eq!(digest(1), digest(2));
    assert_eq!(digest(1), digest(3));
}

/// Reclaim with a limit on half of the memory: an axis of engines, and groups in the result.
const PRESSURE: &str = r#"
"workload.memcg./half.max" = "4MiB"
"workload.memcg./half.others" = true
"machine.kernel.thp" = "never"
[axes]
"machine.kernel.reclaim" = ["classic", "mglru"]
"#;

#[test]
fn jobs_do_not_change_the_digest_under_pressure() {
    let plan = plan(PRESSURE);
    let finished = |jobs| compare(&plan, &options(jobs), &Live::of(&plan)).unwrap().comparison;
    let comparison = finished(1);
    assert_eq!(to_json(&comparison).digest, to_json(&finished(3)).digest);
    for run in &comparison.cells {
        let reclaim = run.reclaim.as_ref().expect("the machine reclaims");
        let half = reclaim.memcgs.iter().find(|memcg| memcg.path == "/half").expect("declared");
        assert!(half.stat["memory.current"] <= 4 << 20);
        assert!(half.stat["pswpout"] > 0 && half.tasks.latency["access"].count > 0);
    }
}

#[test]
fn a_panicking_cell_is_reported_and_the_others_stay() {
    let mut plan = plan("");
    plan.cells[1].maker = Arc::new(|_| panic!("invariant broken"));
    let live = Live::of(&plan);
    let finished = compare(&plan, &options(2), &live).unwrap();
    assert!(!finished.interrupted);
    let seeds: Vec<(&str, u64)> =
        finished.comparison.cells.iter().map(|run| (run.design.as_str(), run.seed)).collect();
    assert_eq!(seeds, [("first-touch", 7), ("spread", 7), ("spread", 3)]);
    let [failed] = &finished.comparison.failed[..] else { panic!("one cell fails") };
    assert_eq!((failed.design.as_str(), failed.seed), ("first-touch", 3));
    assert!(failed.message.contains("invariant broken"), "{}", failed.message);
    assert_eq!(live.cells[1].state(), CellState::Failed);
    assert_eq!(live.cells[2].state(), CellState::Finished);
}

#[test]
fn cancelling_keeps_what_is_finished() {
    let mut plan = plan("");
    let live = Arc::new(Live::of(&plan));
    let (handle, make) = (Arc::clone(&live), Arc::clone(&plan.cells[1].maker));
    // The second cell cancels as it begins; it stops at its first epoch.
    plan.cells[1].maker = Arc::new(move |machine| {
        handle.cancel();
        make(machine)
    });
    let finished = compare(&plan, &options(1), &live).unwrap();
    assert!(finished.interrupted);
    assert_eq!(finished.comparison.cells.len(), 1);
    assert_eq!(finished.comparison.failed.len(), 3);
    assert_eq!(live.cells[3].state(), CellState::Waiting);
}

#[test]
fn progress_ends_at_the_accesses_of_the_results() {
    let plan = plan("");
    let live = Live::of(&plan);
    let finished = compare(&plan, &options(2), &live).unwrap();
    let accesses: u64 =
        finished.comparison.cells.iter().map(|run| run.vmstat[base::Vm::sim_accesses]).sum();
    assert!(accesses > 0);
    assert_eq!(live.accesses(), accesses);
}
