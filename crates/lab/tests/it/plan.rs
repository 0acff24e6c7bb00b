//! From a file to cells.

use lab::Overrides;

use crate::{TEXT, parse, plan, plan_with};

fn coordinates(plan: &lab::Plan) -> Vec<String> {
    let cell = |cell: &lab::Cell| {
        let axes: Vec<&str> = cell.axes.values().map(String::as_str).collect();
        format!("{} {} {}", axes.join(" "), cell.design, cell.seed)
    };
    plan.cells.iter().map(cell).collect()
}

#[test]
fn cells_come_by_case_then_design_then_seed() {
    let plan = plan("[axes]\nworkload.write_share = [0.1, 0.9]\n");
    let expected = [
        "0.1 first-touch 7",
        "0.1 first-touch 3",
        "0.1 spread 7",
        "0.1 spread 3",
        "0.9 first-touch 7",
        "0.9 first-touch 3",
        "0.9 spread 7",
        "0.9 spread 3",
    ];
    assert_eq!(coordinates(&plan), expected);
    assert_eq!(plan.baseline, "first-touch");
}

#[test]
fn the_last_axis_turns_fastest() {
    let axes = "[axes]\n\"engine.epoch\" = [\"5ms\", \"1ms\"]\nworkload.write_share = [0.1, 0.9]\n";
    let overrides =
        Overrides { nr_seeds: Some(1), designs: vec!["first".to_owned()], ..Overrides::default() };
    let plan = plan_with(axes, &overrides).unwrap();
    let cells: Vec<(u64, &str)> = plan
        .cells
        .iter()
        .map(|cell| (cell.engine.epoch.0, cell.axes["workload.write_share"].as_str()))
        .collect();
    let (five, one) = (5_000_000, 1_000_000);
    assert_eq!(cells, [(five, "0.1"), (five, "0.9"), (one, "0.1"), (one, "0.9")]);
}

#[test]
fn quoted_and_nested_paths_mean_the_same() {
    let nested = plan("machine.kernel.thp = \"never\"\n");
    let quoted = plan("\"machine.kernel.thp\" = \"never\"\n");
    assert_eq!(nested.cells[0].machine.kernel.thp, topology::ThpMode::Never);
    assert_eq!(nested.cells[0].machine, quoted.cells[0].machine);
}

#[test]
fn machines_on_an_axis_are_told_by_their_files_stem() {
    let axes = "[axes]\nmachine = [\"../machines/quad.toml\", \"../machines/m-mel.toml\"]\n";
    let plan = parse(
        &TEXT
            .replace("machine = \"../machines/skylake-2s.toml\"\n", "")
            .replace("[set]", &format!("{axes}[set]")),
    )
    .unwrap();
    let machines: Vec<(&str, &str)> = plan
        .cells
        .iter()
        .map(|cell| (cell.axes["machine"].as_str(), cell.machine.name.as_str()))
        .collect();
    assert_eq!(machines[0], ("quad", "quad"));
    assert_eq!(machines[machines.len() - 1], ("m-mel", "M-mel"));
    assert_eq!(plan.drawings.len(), 2);
    let problems = parse(&format!("{TEXT}{axes}")).err().unwrap();
    assert!(problems.to_string().contains("`machine` is given here and as an axis"), "{problems}");
}

#[test]
fn cells_share_what_is_equal() {
    let plan = plan("[axes]\nworkload.write_share = [0.1, 0.9]\n");
    let first = &plan.cells[0].machine;
    assert!(plan.cells.iter().all(|cell| std::sync::Arc::ptr_eq(first, &cell.machine)));
}

#[test]
fn inputs_are_the_files_read() {
    let paths: Vec<String> = plan("").inputs.into_iter().map(|input| input.path).collect();
    assert_eq!(paths, ["../machines/skylake-2s.toml", "../workloads/mix.toml"]);
}

#[test]
fn a_filter_keeps_the_baseline_and_refuses_what_matches_nothing() {
    let only =
        |design: &str| Overrides { designs: vec![design.to_owned()], ..Overrides::default() };
    let plan = plan_with("", &only("spre")).unwrap();
    assert_eq!(plan.cells.len(), 4);
    let problems = plan_with("", &only("nothing")).err().unwrap();
    assert!(problems.to_string().contains("`first-touch`, `spread`"), "{problems}");
}

#[test]
fn a_workload_that_does_not_fit_the_machine_points_at_both() {
    let text = TEXT.split("[set]").next().unwrap().replace("mix.toml", "perf-bench-numa-ram.toml");
    let problems = parse(&format!("{text}[set]\nworkload.nodes = \"5\"\n")).err().unwrap();
    let text = problems.to_string();
    assert!(text.contains("names node 5") && text.contains("on this machine"), "{text}");
}

#[test]
fn shipped_experiments_are_right() {
    let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let folders = ["experiments", "ks2012"];
    let mut nr = 0;
    for entry in folders.iter().flat_map(|dir| fs_err::read_dir(configs.join(dir)).unwrap()) {
        let path = entry.unwrap().path();
        let plan = lab::Plan::load(&path, &Overrides::default())
            .unwrap_or_else(|problems| panic!("{problems}"));
        assert!(plan.warnings.is_empty(), "{}", plan.warnings);
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema ../schemas/experiment.json\n"), "{}", path.display());
        nr += 1;
    }
    assert!(nr > 0);
}

#[test]
fn memory_cgroups_need_a_kernel_that_reclaims_and_processes_that_exist() {
    let shown = |more: &str| match plan_with(more, &Overrides::default()) {
        Ok(_) => String::new(),
        Err(problems) => problems.render(false),
    };
    let group = "\"workload.memcg./a.max\" = \"1MiB\"\n";
    assert!(shown(group).contains("set machine.kernel.reclaim"), "{}", shown(group));
    let reclaims = "\"machine.kernel.reclaim\" = \"classic\"\n";
    let wrong = format!("{group}{reclaims}\"workload.memcg./a.processes\" = [99]\n");
    assert!(shown(&wrong).contains("has process 99"), "{}", shown(&wrong));
    let misspelt = "\"machine.kernel.reclaim\" = \"clasic\"\n";
    assert!(shown(misspelt).contains("classic"), "{}", shown(misspelt));
    let device = format!("{reclaims}\"machine.kernel.swap\" = \"nvm\"\n");
    assert!(shown(&device).contains("nvme"), "{}", shown(&device));
    assert_eq!(shown(&format!("{group}{reclaims}")), "");
}

/// An experiment with these entries on a machine that reclaims.
fn designs(entries: &str, reclaim: &str) -> Result<lab::Plan, String> {
    let own =
        "designs = [{ design = \"first-touch\" }, { design = \"interleave\", label = \"spread\" }]";
    let text = TEXT.replace(own, &format!("designs = [{entries}]"));
    let text = format!("{text}\"machine.kernel.reclaim\" = \"{reclaim}\"\n");
    parse(&text).map_err(|problems| problems.render(false))
}

#[test]
fn a_design_may_be_given_by_its_name_alone() {
    let file = |designs: &str| {
        let text = format!(
            "name = \"a\"\nmachine = \"a.toml\"\nworkload = \"b.toml\"\ndesigns = [{designs}]\n"
        );
        let mut cx = config::Cx::without_files();
        let file: Option<lab::ExperimentFile> = cx.parse("a.toml", &text);
        cx.finish(file).map(|(file, _)| file.designs.value).map_err(|problems| problems.to_string())
    };
    let named = file(r#""bind", { design = "interleave", label = "spread" }"#).unwrap();
    assert_eq!(named.iter().map(|entry| entry.label()).collect::<Vec<_>>(), ["bind", "spread"]);
    let tables = file(r#"{ design = "bind" }"#).unwrap();
    assert_eq!(named[0].design.value, tables[0].design.value);
    assert!(file("3").unwrap_err().contains("expected the name of a design or a table"));
    assert!(file(r#""bind", "bind""#).unwrap_err().contains("two designs are shown as `bind`"));
    // A name alone is checked, with its place, as one in a table is.
    let wrong = TEXT.replace(r#"{ design = "first-touch" }"#, r#""frist-touch""#);
    let problems = parse(&wrong).err().expect("refused").to_string();
    assert!(problems.contains("did you mean `first-touch`?"), "{problems}");
}

#[test]
fn designs_of_reclaim_are_rows_like_others() {
    let entries = r#"{ design = "soft-limit-own", knobs = { skip_from_priority = 12 } },
        { design = "one-access" }, { design = "balancenuma", set = { machine.kernel.reclaim = "mglru" } }"#;
    let plan = designs(entries, "classic").unwrap_or_else(|problems| panic!("{problems}"));
    let kernels: Vec<_> = plan.cells.iter().step_by(2).map(|cell| &cell.machine.kernel).collect();
    assert_eq!(kernels[0].hierarchy.design.value, "soft-limit-own");
    let knobs = kernels[0].hierarchy.knobs.as_table().unwrap();
    assert!(knobs.get("skip_from_priority").is_some());
    assert_eq!(kernels[1].hierarchy.design.value, "memory-protection");
    assert_eq!(kernels[1].mapped_pages.value, "one-access");
    assert_eq!(kernels[2].reclaim, topology::Reclaim::Mglru);
    assert_eq!(kernels[0].reclaim, topology::Reclaim::Classic);
    // All are rows of one case.
    assert!(
        plan.cells.iter().all(|cell| cell.axes.is_empty() && cell.machine.name == "Skylake-2S")
    );
}

#[test]
fn what_is_wrong_with_designs_of_reclaim_is_told_at_once() {
    let shown = |entries: &str, reclaim: &str| match designs(entries, reclaim) {
        Ok(_) => panic!("accepted: {entries}"),
        Err(problems) => problems,
    };
    let many = r#"{ design = "soft-limit-on" }, { design = "lruvec-score", knobs = { over_weigth = 1 } },
        { design = "second-look", knobs = { looks = 2 } }, { design = "bind", set = { machine.kernel.mapped_pages = "on-access" } },
        { design = "low-limit", set = { "designs.bind.x" = 1 } }"#;
    let text = shown(many, "classic");
    for part in [
        "did you mean `soft-limit-own`?",
        "did you mean `over_weight`?",
        "design `second-look` has no knobs",
        "did you mean `one-access`?",
        "move it to `knobs`",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let twice = r#"{ design = "low-limit", set = { machine.kernel.hierarchy.design = "soft-limit-own" } },
        { design = "bind", set = { machine.kernel.hierarchy.design = "soft-limit-own" } }"#;
    let text = shown(twice, "classic");
    assert_eq!(text.matches("error:").count(), 1, "{text}");
    assert!(
        text.contains("`machine.kernel.hierarchy.design` is set, and design `low-limit`"),
        "{text}"
    );
    let text = shown(r#"{ design = "low-limit" }"#, "none");
    assert!(text.contains("Skylake-2S reclaims nothing"), "{text}");
}

#[test]
fn designs_of_reclaim_and_their_knobs_are_axes() {
    let axes = "\"machine.kernel.reclaim\" = \"classic\"\n[axes]\n\
        \"machine.kernel.hierarchy.design\" = [\"soft-limit-own\", \"soft-limit-ancestors\"]\n\
        \"machine.kernel.hierarchy.knobs.skip_from_priority\" = [10, 12]\n\
        \"machine.kernel.mapped_pages\" = [\"second-look\"]\n";
    let cells = plan(axes).cells;
    assert_eq!(cells.len(), 2 * 2 * 4);
    assert_eq!(cells[0].axes["machine.kernel.hierarchy.design"], "soft-limit-own");
    let wrong = axes.replace("soft-limit-ancestors", "soft-limit-ancestor");
    let problems = plan_with(&wrong, &Overrides::default()).err().unwrap().render(false);
    assert!(problems.contains("did you mean `soft-limit-ancestors`?"), "{problems}");
}
