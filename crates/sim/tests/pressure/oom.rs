//! Where nothing can be freed: who is killed, and how the run ends.

use super::*;

#[test]
fn without_reclaim_or_swap_a_full_machine_ends_the_run() {
    let steps = || vec![vec![sweep(0, 0, 24_576, true)]];
    let none = run(&machine(Reclaim::None), workload(24_576, steps(), Vec::new()), "first-touch");
    assert!(matches!(none.outcome, Outcome::OutOfMemory(_)));
    let mut swapless = machine(Reclaim::Classic);
    swapless.devices.clear();
    let run = run(&swapless, workload(24_576, steps(), Vec::new()), "first-touch");
    let Outcome::OutOfMemory(text) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(text.contains("the machine was full"), "{text}");
    let report = run.oom_kills()[0].to_string();
    assert!(report.contains("p0 invoked") && report.contains("node 1 zone"), "{report}");
}

#[test]
fn a_group_that_cannot_free_enough_is_named() {
    let mut swapless = machine(Reclaim::Mglru);
    swapless.devices.clear();
    let memcgs = vec![memcg("/small", Some(Bytes::from_mib(8)), &[0])];
    let run =
        run(&swapless, workload(4096, vec![vec![sweep(0, 0, 4096, true)]], memcgs), "first-touch");
    let Outcome::OutOfMemory(text) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(text.contains("memory.max of /small was reached"), "{text}");
    let report = run.oom_kills()[0].to_string();
    let constraint = "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/small,task_memcg=/small";
    assert!(report.contains(constraint) && report.contains(" anon "), "{report}");
}

/// Three processes in a group of 8 MiB without swap: of 2, of 3.5, and one that grows to 4.
fn crowded(adjust: [i32; 3], steps: impl Fn(usize) -> Vec<Step>) -> Run {
    let mut swapless = machine(Reclaim::Classic);
    swapless.devices.clear();
    let mut memcgs = vec![memcg("/box", Some(Bytes::from_mib(8)), &[])];
    for (process, adj) in adjust.into_iter().enumerate() {
        let mut own = memcg(&format!("/box/p{process}"), None, &[process as u32]);
        own.settings.oom_score_adj = adj;
        memcgs.push(own);
    }
    let steps = (0..3).map(|process| {
        let size = [512, 896, 1024][process];
        let wait = Step::Event(Event::Sleep(Nanos::from_ms([0, 0, 50][process])));
        let own = sweep(process as u16, 0, size, true);
        [vec![wait, own], steps(process)].concat()
    });
    run(&swapless, workload(2048, steps.collect(), memcgs), "first-touch")
}

/// Sleeps on until the others are done.
fn lingering(_process: usize) -> Vec<Step> {
    vec![Step::Event(Event::Sleep(Nanos::from_ms(500)))]
}

#[test]
fn the_process_with_the_largest_badness_is_killed_and_the_others_go_on() {
    let run = crowded([0; 3], lingering);
    assert_eq!(run.outcome, Outcome::Finished);
    let [kill] = run.oom_kills() else { panic!("{:?}", run.oom_kills()) };
    assert_eq!((kill.killed().process, kill.path.as_str()), (1, "/box"));
    assert_eq!((kill.task_path.as_str(), kill.tasks.len()), ("/box/p1", 3));
    assert_eq!((kill.killed().rss, kill.killed().swapents), (896, 0));
    assert_eq!(run.vmstat[Vm::oom_kill], 1);
    let events = |path: &str| {
        let stat = &group(&run, path).stat;
        (stat["memory.events.oom"], stat["memory.events.oom_kill"])
    };
    assert_eq!((events("/box"), events("/box/p1")), ((1, 1), (0, 1)));
    assert_eq!(events("/box/p2"), (0, 0));
    assert_eq!(group(&run, "/box/p1").stat["anon"], 0, "its memory is free");
    assert_eq!(group(&run, "/box").stat["anon"], (512 + 1024) * 4096);
    let end = |task: usize| run.tasks[task].end;
    assert!(end(1) < Nanos::from_ms(200), "its sleep was interrupted: {}", end(1));
    assert!(end(0) > Nanos::from_ms(400) && end(2) > Nanos::from_ms(400));
}

#[test]
fn oom_score_adj_shields_and_exposes() {
    for (adjust, wanted) in [([500, 0, 0], 0), ([0, -1000, 0], 2), ([0, -900, -900], 0)] {
        let run = crowded(adjust, lingering);
        assert_eq!(run.oom_kills()[0].killed().process, wanted, "{adjust:?}");
    }
    let run = crowded([-1000; 3], lingering);
    assert!(run.oom_kills().is_empty(), "nobody may be killed");
    let Outcome::OutOfMemory(text) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(text.contains("memory.max of /box is reached"), "{text}");
}

#[test]
fn who_waits_at_a_barrier_for_the_killed_waits_in_vain() {
    let run = crowded([0; 3], |_| vec![Step::Event(Event::Barrier { id: 1, parties: 3 })]);
    let Outcome::OutOfMemory(text) = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(text.starts_with("2 threads wait at barriers"), "{text}");
    assert_eq!(run.oom_kills().len(), 1);
}
