//! Shipped tables: they resolve, they are described, and a few small rows come out.

use std::path::{Path, PathBuf};

use super::*;
use crate::Verdict;

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn options(filter: &str) -> Options {
    Options { filter: filter.to_owned(), configs: configs(), ..Options::default() }
}

fn tables() -> Vec<Table> {
    load_tables(&configs().join("validate"))
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

#[test]
fn every_row_resolves() {
    let tables = tables();
    assert!(tables.len() >= 18);
    let mut ids = Vec::new();
    for table in &tables {
        for cell in &table.cells {
            let workload = cell.workload.open(&table.machine, 1);
            assert!(workload.is_ok_and(|w| !w.threads.is_empty()), "{}/{}", table.name, cell.id);
            for row in &cell.rows {
                let (low, high) = row.band();
                assert!(low < high && row.published > 0.0, "{}/{}", table.name, cell.id);
            }
        }
        ids.extend(judge::plan(table, "").judge(table, &|_| None).into_iter().map(|row| row.id));
    }
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "rows with the same id");
}

#[test]
fn static_rows_of_the_acceptance_are_all_there() {
    let tables = tables();
    let count = |name: &str| {
        let table = tables.iter().find(|table| table.name == name).unwrap();
        table.cells.iter().filter(|cell| cell.design == "first-touch").count()
    };
    assert_eq!(count("m-sri2") + count("m-sri2-ht"), 24);
    assert_eq!(count("m-sri8"), 12);
    assert_eq!((count("m-dan"), count("m-ingo-ram"), count("m-ingo-bandwidth")), (5, 6, 17));
}

/// `UPDATE=1 cargo test -p validate schema` writes the file anew.
#[test]
fn the_committed_schema_is_fresh() {
    let path = configs().join("schemas/validate.json");
    let schema = serde_json::to_string_pretty(&table_file_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(&path, &schema).unwrap();
    }
    assert!(
        fs_err::read_to_string(&path).unwrap() == schema,
        "run UPDATE=1 cargo test -p validate schema"
    );
}

#[test]
fn bound_rows_of_a_small_machine_pass_and_excluded_ones_do_not_run() {
    let tables = tables();
    let rows = run(&tables, &options("m-sri2/numa02_HARD"), &());
    assert_eq!(rows.len(), 1);
    assert!(rows[0].passed(), "{:?}", rows[0]);
    let rows = run(&tables, &options("m-sri4/1x3-convergence/convergence_s"), &());
    assert_eq!(rows[0].verdict, Verdict::Excluded);
    assert!(!rows[0].passed() && rows[0].got.is_none());
}

#[test]
fn a_run_that_tables_have_in_common_is_done_once() {
    let tables = tables();
    let of = |name: &str, id: &str, full: bool| {
        let at = tables.iter().position(|table| table.name == name).unwrap();
        let cell = tables[at].cells.iter().position(|cell| cell.id == id).unwrap();
        runs_of(&tables[at], at, cell, full).collect::<Vec<_>>()
    };
    let ours = of("m-mel-autonumabench", "SMT/balancenuma", true);
    let theirs = of("m-mel-2013", "SMT/vanilla", true);
    let (runs, run_of) = distinct(&[&ours[..], &theirs[..]].concat());
    assert_eq!(runs.len(), ours.len().max(theirs.len()), "the same seeds");
    assert_eq!(run_of[ours.len()], 0);
    for (name, id) in [
        ("m-mel-autonumabench", "SMT"),
        ("m-mel-3.13", "SMT/balancenuma"),
        ("m-mel-autonumabench", "numa02/balancenuma"),
        ("m-sri8", "numa02/balancenuma"),
    ] {
        let other = of(name, id, true);
        assert!(!other.is_empty() && !other[0].is_same_run(&ours[0]), "{name}/{id}");
    }
}

#[test]
fn what_ran_longest_on_most_cpus_is_begun_first() {
    struct Order(std::sync::Mutex<Vec<String>>);
    impl Observer for Order {
        fn finished(&self, what: &str, _took: std::time::Duration) {
            self.0.lock().unwrap().push(what.to_owned());
        }
    }
    let order = Order(std::sync::Mutex::default());
    let rows = run(&tables(), &Options { jobs: 1, ..options("m-sri2/numa02") }, &order);
    let began = order.0.into_inner().unwrap();
    let first = |program: &str| began.iter().position(|run| run.contains(program)).unwrap();
    // 64 s, 53 s and 35 s on the same CPUs.
    let places = ["/numa02_INV ", "/numa02 ", "/numa02_HARD "].map(first);
    assert!(places.is_sorted(), "{began:?}");
    assert!(rows[0].id.starts_with("m-sri2/numa02/"), "rows keep the order of the table");
}

#[test]
fn jobs_do_not_change_rows() {
    let tables = tables();
    let rows = |jobs| run(&tables, &Options { jobs, ..options("m-sri2/numa02") }, &());
    assert_eq!(rows(1), rows(2));
}

#[test]
fn mistakes_in_a_table_are_named_together() {
    let text = "title = 't'\nsource = 's'\nmachine = 'm.toml'\nworkloads = { a = { kind = 'gups' } }\n\
                [[cells]]\nid = 'x'\nworkload = 'b'\ndesign = 'first-touch'\n\
                rows = [{ metric = 'elapsed_s', published = 1.0 }, \
                { metric = 'elapsed', published = 1.0, low = 0.0 }]\n";
    let problems = config::parse::<TableFile>("t.toml", text).unwrap_err();
    let shown = problems.render(false);
    assert!(shown.contains("within_pct") && shown.contains("elapsed_s"), "{shown}");
}

/// A total per second, less what the plain kernel needs: cells of 24 points, worked by hand.
#[test]
fn rates_are_of_totals_and_net_of_the_base() {
    let tables = tables();
    let table = tables.iter().find(|table| table.name == "m-mel-specjbb").unwrap();
    let values: Vec<CellValues> = table
        .cells
        .iter()
        .map(|cell| {
            let system = if cell.design == "first-touch" { 10.0 } else { 34.0 };
            Ok([((Metric::System, None), vec![system]), ((Metric::Elapsed, None), vec![100.0])]
                .into())
        })
        .collect();
    let id = "m-mel-specjbb/wh1/numacore/system_s/per-s/total/net/V10";
    let rows = judge::plan(table, id).judge(table, &|cell| values.get(cell));
    let got = rows[0].got.as_ref().unwrap().centre;
    assert!((got - 0.24).abs() < 1e-9, "{got}");
    let named = judge::plan(table, id).cells(table);
    assert_eq!(named.len(), 48, "24 points under two designs run for it");
}

#[test]
fn a_row_may_ask_for_one_process() {
    let tables = tables();
    let table = tables.iter().find(|table| table.name == "m-sri2-kvm").unwrap();
    let guests =
        [((Metric::Throughput, Some(0)), vec![4.0]), ((Metric::Throughput, Some(1)), vec![2.0])];
    let base: CellValues = Ok(guests.into());
    let better: CellValues = Ok([((Metric::Throughput, Some(1)), vec![3.0])].into());
    let of = |cell: usize| if table.cells[cell].design == "first-touch" { &base } else { &better };
    let id = "m-sri2-kvm/fit-THP/autonuma/throughput/process-1";
    let rows = judge::plan(table, id).judge(table, &|cell| Some(of(cell)));
    assert_eq!(rows[0].got.as_ref().unwrap().centre, 1.5);
}

/// Published averages of runs that differ widely: the mean stands against them, and the row says so.
#[test]
fn a_table_may_be_judged_by_the_mean() {
    let tables = tables();
    let values: CellValues = Ok([((Metric::Elapsed, None), vec![1.0, 1.0, 4.0])].into());
    for (name, centre, quantity) in
        [("m-sri8", 2.0, "mean elapsed_s"), ("m-sri2", 1.0, "elapsed_s")]
    {
        let table = tables.iter().find(|table| table.name == name).unwrap();
        let plan = judge::plan(table, &format!("{name}/numa01_HARD/elapsed_s"));
        let rows = plan.judge(table, &|_| Some(&values));
        assert_eq!((rows[0].got.unwrap().centre, rows[0].quantity.as_str()), (centre, quantity));
    }
}

/// A table of one row, or what is wrong with it.
fn table_of_row(row: &str) -> Result<TableFile, String> {
    let text = format!(
        "title = 't'\nsource = 's'\nmachine = 'm.toml'\nworkloads = {{ a = {{ kind = 'autonuma-benchmark', program = 'numa02' }} }}\n\
            [[cells]]\nid = 'x'\nworkload = 'a'\ndesign = 'first-touch'\nrows = [{{ {row} }}]\n"
    );
    config::parse::<TableFile>("t.toml", &text).map_err(|p| p.render(false))
}

#[test]
fn a_band_is_about_the_average_or_about_the_interval_of_the_runs() {
    let band = |more: &str| {
        let row = format!("metric = 'elapsed_s', published = 100.0, {more}");
        table_of_row(&row).map(|file| file.cells[0].rows[0].band())
    };
    assert_eq!(band("within_pct = 10.0"), Ok((90.0, 110.0)));
    let wide = "published_least = 80.0, published_most = 200.0";
    assert_eq!(band(&format!("{wide}, within_pct = 10.0")), Ok((72.0, 220.0)));
    assert!(band(&format!("{wide}, low = 1.0")).is_err_and(|text| text.contains("within_pct")));
    assert!(
        band("published_least = 80.0, within_pct = 1.0")
            .is_err_and(|text| text.contains("together"))
    );
    assert!(
        band("published_least = 101.0, published_most = 102.0, within_pct = 1.0")
            .is_err_and(|text| text.contains("between"))
    );
}

#[test]
fn what_a_process_or_a_rate_cannot_be_is_said() {
    let row = |more: &str| {
        table_of_row(&format!("published = 1.0, within_pct = 1.0, {more}")).map(|_| ())
    };
    assert!(
        row("metric = 'elapsed_s', process = 0").is_err_and(|text| text.contains("throughput"))
    );
    assert!(
        row("metric = 'hint_local_pct', per_second = true")
            .is_err_and(|text| text.contains("rate"))
    );
    assert!(row("metric = 'cpu_pct', minus = ['x']").is_err_and(|text| text.contains("add up")));
    assert_eq!(row("metric = 'system_s', minus = ['x'], per_second = true"), Ok(()));
}
