//! `numalab run`: one cell.

use std::collections::BTreeMap;
use std::path::Path;

use config::Value;
use lab::{Overrides, Plan};
use results::{Outcome, YardstickUse, summary, to_json};

use super::compare::{execute, outcome};
use crate::cli::Run;
use crate::error::Error;
use crate::ui::{Ui, note, out};

pub(super) fn run(args: &Run, ui: &Ui) -> Result<(), Error> {
    let plan = Plan::parse("the command line", &experiment(args), &Overrides::default())?;
    ui.tell(&plan.warnings);
    let finished = execute(&plan, 1, ui)?;
    if let Some(run) = finished.comparison.cells.first() {
        if args.json {
            out(&(to_json(&finished.comparison).text + "\n"))?;
        } else {
            out(&(run.vmstat.to_string() + &reclaimed(run)))?;
        }
        for row in summary(&finished.comparison) {
            let (case, elapsed) = (row.case().title(), run.elapsed.as_secs_f64());
            let (local, latency) = (row.local_access_pct.mean, row.latency);
            // A run in which somebody was killed is in no summary.
            note(&match local.is_nan() {
                true => format!("{case}: {elapsed:.3} s\n"),
                false => format!(
                    "{case}: {elapsed:.3} s, {local:.1} % local, latency p50 {} ns, p99 {} ns\n",
                    latency.p50_ns, latency.p99_ns
                ),
            });
        }
        run.oom_kills().iter().for_each(|kill| note(&kill.to_string()));
        if let Outcome::OutOfMemory(text) = &run.outcome {
            note(&format!("out of memory: {text}\n"));
        }
    }
    outcome(finished, 1)
}

/// What reclaim counted: more of /proc/vmstat, then memory.stat of each memory cgroup.
fn reclaimed(run: &results::Run) -> String {
    let Some(reclaim) = &run.reclaim else { return String::new() };
    let lines = |counters: &BTreeMap<String, u64>| -> String {
        counters.iter().map(|(name, value)| format!("{name} {value}\n")).collect()
    };
    let mut text = lines(&reclaim.counters);
    for memcg in &reclaim.memcgs {
        text += &format!("\nmemory cgroup {}\n{}", memcg.path, lines(&memcg.stat));
        for (class, latency) in &memcg.tasks.latency {
            text += &format!(
                "{class}: p50 {} ns, p99 {} ns, p99.9 {} ns\n",
                latency.p50_ns, latency.p99_ns, latency.p99_9_ns
            );
        }
    }
    for of_group in &reclaim.yardsticks {
        text += &yardsticks(of_group);
    }
    text
}

/// Misses of a group beside those of textbook policies.
fn yardsticks(used: &YardstickUse) -> String {
    let YardstickUse { path, capacity_pages, accesses, pages, left_out, .. } = used;
    let mut text = format!(
        "\nmisses of {path}, first accesses apart; {capacity_pages} pages held, {pages} accessed {accesses} times\n"
    );
    if *left_out > 0 {
        text += &format!("the {left_out} accesses after those are left out\n");
    }
    let own = [("run", used.misses), ("belady", used.best)];
    let others = used.policies.iter().map(|it| (it.policy.as_str(), it.misses));
    for (name, misses) in own.into_iter().chain(others) {
        text += &format!("{name} {misses}\n");
    }
    text
}

/// The arguments as an experiment, so that mistakes in them are shown as those of a file.
fn experiment(args: &Run) -> String {
    let path = |path: &Path| toml(&path.display().to_string());
    let mut text = format!(
        "name = {design}\nmachine = {machine}\nworkload = {workload}\ndesigns = [{{ design = {design} }}]\nseeds = [{seed}]\n",
        design = toml(&args.design),
        machine = path(&args.machine),
        workload = path(&args.workload),
        seed = args.seed,
    );
    if !args.yardsticks.is_empty() {
        let names: Vec<String> = args.yardsticks.iter().map(|name| toml(name)).collect();
        text += &format!("yardsticks = [{}]\n", names.join(", "));
    }
    for setting in &args.settings {
        text += &format!("set.{}\n", quoted(setting));
    }
    text
}

/// `PATH=VALUE` with a value that is no TOML as a string: the shell takes away the quotes of
/// `thp="never"`.
fn quoted(setting: &str) -> String {
    match setting.split_once('=') {
        Some((path, value)) if config::parse::<Value>("", &format!("value = {value}")).is_err() => {
            format!("{path}={}", toml(value))
        }
        _ => setting.to_owned(),
    }
}

fn toml(text: &str) -> String {
    config::to_toml_text(&Value::from(text)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quantities_need_no_quotes() {
        for (typed, wanted) in [
            ("machine.kernel.thp=never", "machine.kernel.thp=\"never\""),
            ("engine.epoch=1ms", "engine.epoch=\"1ms\""),
            ("engine.epoch=\"1ms\"", "engine.epoch=\"1ms\""),
            ("workload.accesses=100_000", "workload.accesses=100_000"),
            ("workload.write_share=0.5", "workload.write_share=0.5"),
            ("designs.bind.x=true", "designs.bind.x=true"),
            ("designs.bind.x=[1, 2]", "designs.bind.x=[1, 2]"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(quoted(typed), wanted);
        }
    }
}
