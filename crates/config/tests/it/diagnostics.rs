//! What the user sees. Each test names the situation; the text that must appear is the snapshot.

use std::io;
use std::path::{Path, PathBuf};

use base::Nanos;
use config::{Cx, FromToml, Problem, Problems, Span, Spanned};

use crate::{Machine, Scan};

/// The problems of one text, rendered; panics when there is none.
fn problems_of<T: FromToml + std::fmt::Debug>(text: &str) -> String {
    config::parse::<T>("machine.toml", text).expect_err("this text is wrong").render(false)
}

/// A loader over files in memory.
fn files<const N: usize>(
    files: [(&'static str, &'static str); N],
) -> impl Fn(&Path) -> io::Result<String> + 'static {
    move |path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn load_machine<const N: usize>(
    texts: [(&'static str, &'static str); N],
) -> Result<(Machine, Problems), Problems> {
    config::load(Path::new(texts[0].0), files(texts))
}

const NODE: &str = "[[nodes]]\ncpus = \"0-3\"\nmemory = \"8GiB\"\n";

#[test]
fn unknown_key_with_suggestion_does_not_also_miss_the_key() {
    let text = "[[nodes]]\ncpus = \"0-3\"\nmemmory = \"8GiB\"\n";
    insta::assert_snapshot!(problems_of::<Machine>(text));
}

#[test]
fn unknown_key_without_suggestion_lists_the_keys() {
    insta::assert_snapshot!(problems_of::<Scan>("period = \"1s\"\ncolour = \"red\"\n"));
}

#[test]
fn wrong_types() {
    let text = "period = true\nsize = [1]\ncpu_pct = \"1\"\nnr_threads = 1.5\nfiles = 0\n";
    insta::assert_snapshot!(problems_of::<Scan>(text));
}

#[test]
fn wrong_units() {
    let text = "[[nodes]]\ncpus = []\nmemory = \"8GHz\"\nbandwidth = \"12.8GB\"\n\
                [[nodes]]\ncpus = []\nmemory = 8\nbandwidth = \"fast\"\n\
                [[nodes]]\ncpus = []\nmemory = \"8\"\n\
                [scan]\nperiod = \"0.5ns\"\nsize = \"5KiB\"\n";
    insta::assert_snapshot!(problems_of::<Machine>(text));
}

#[test]
fn out_of_bounds() {
    let text = "[[nodes]]\ncpus = \"0-3\"\nmemory = \"0B\"\nbandwidth = \"0GB/s\"\n\
                [scan]\ncpu_pct = 101\nnr_threads = 256\n";
    insta::assert_snapshot!(problems_of::<Machine>(text));
}

#[test]
fn missing_keys_point_at_their_table() {
    insta::assert_snapshot!(problems_of::<Machine>(
        "nodes = [{ memory = \"8GiB\" }]\n[[workloads.a.parts]]\n"
    ));
}

#[test]
fn missing_key_of_the_outermost_table_names_the_file() {
    insta::assert_snapshot!(problems_of::<Machine>("name = \"empty\"\n"));
}

#[test]
fn unknown_value_and_unknown_kind() {
    let text = format!(
        "thp = \"allways\"\n{NODE}[workloads]\na = {{ kind = \"zip\" }}\nb = {{ kind = \"gauss\" }}\n"
    );
    insta::assert_snapshot!(problems_of::<Machine>(&text));
}

#[test]
fn kinds_check_their_own_keys() {
    let text = format!(
        "{NODE}[workloads.a]\nkind = \"zipf\"\nparts = []\n\
         [[workloads.b.parts]]\nkind = \"zipf\"\nexponent = \"steep\"\n[workloads.b]\nkind = \"mix\"\n"
    );
    insta::assert_snapshot!(problems_of::<Machine>(&text));
}

#[test]
fn lists_point_into_their_strings() {
    let text = "[[nodes]]\ncpus = \"0-3, 7-5, x, 2, 9999\"\nmemory = \"8GiB\"\n";
    insta::assert_snapshot!(problems_of::<Machine>(text));
}

#[test]
fn a_cpu_of_two_nodes_shows_both_places() {
    let text = "[[nodes]]\ncpus = [0, 1, 2]\nmemory = \"8GiB\"\n\n[[nodes]]\ncpus = \"4-5,2-3\"\nmemory = \"8GiB\"\n";
    insta::assert_snapshot!(problems_of::<Machine>(text));
}

#[test]
fn several_syntax_errors_at_once_and_nothing_else() {
    insta::assert_snapshot!(problems_of::<Machine>(
        "name = \nseed = 12x\nseed = 13\n[scan\nfoo = 1\n"
    ));
}

#[test]
fn a_word_without_quotes_is_shown_with_them() {
    let problems = problems_of::<Scan>("period = never\nfiles = [a/b.toml, \"c\"]\n");
    for word in ["never", "a/b.toml"] {
        let help = format!("= help: a string needs quotes: \"{word}\"");
        assert!(problems.contains(&help), "{problems}");
    }
}

#[test]
fn of_a_file_that_is_no_toml_only_the_beginning_is_shown() {
    let prose = "This is no configuration.\n".repeat(40);
    let problems = problems_of::<Scan>(&prose);
    assert_eq!(problems.matches("error: invalid TOML\n").count(), 10, "{problems}");
    assert!(problems.contains("error: invalid TOML in 30 more places\n"), "{problems}");
    assert!(problems.ends_with("= help: is this the right file?\n"), "{problems}");
}

#[test]
fn a_key_that_is_there_is_suggested_where_no_other_is_as_near() {
    let problems = problems_of::<Scan>("period = \"1s\"\nperoid = \"2s\"\n");
    assert!(problems.contains("did you mean `period`?"), "{problems}");
}

#[test]
fn a_problem_found_twice_is_told_once() {
    let mut cx = Cx::without_files();
    let value = cx.parse_value("scan.toml", "period = true\n").expect("it is TOML");
    for _ in 0..2 {
        assert!(cx.decode::<Scan>(&value).is_none());
    }
    assert_eq!(cx.problems.nr_errors(), 1);
}

#[test]
fn a_problem_in_the_parent_points_there() {
    let problems = load_machine([
        ("machines/child.toml", "extends = \"parents/base.toml\"\nseed = -1\n[scan]\nfiles = 3\n"),
        ("machines/parents/base.toml", "extends = \"../root.toml\"\n[scan]\nperiod = \"1min\"\n"),
        ("machines/root.toml", "nodes = []\nseed = \"no\"\nscan.files = \"no\"\n"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn the_child_wins_and_tables_merge() {
    let (machine, warnings) = load_machine([
        ("a/child.toml", "extends = \"base.toml\"\nseed = 7\n[scan]\nperiod = \"2s\"\n"),
        ("a/base.toml", "nodes = []\nseed = 3\n[scan]\nperiod = \"5s\"\nnr_threads = 4\n"),
    ])
    .unwrap();
    assert!(warnings.is_empty());
    assert_eq!((machine.seed, machine.nodes.len()), (7, 0));
    assert_eq!((machine.scan.period, machine.scan.nr_threads), (Nanos::from_secs(2), 4));
}

#[test]
fn a_file_that_extends_itself_is_refused() {
    let problems = load_machine([
        ("a/one.toml", "extends = \"../a/two.toml\"\n"),
        ("a/two.toml", "extends = \"./one.toml\"\n"),
    ])
    .unwrap_err();
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn files_that_cannot_be_read() {
    let named = load_machine([("child.toml", "extends = \"gone.toml\"\n")]).unwrap_err();
    let outermost = config::load::<Machine>(Path::new("gone.toml"), files([])).unwrap_err();
    insta::assert_snapshot!(format!("{named}\n\n{outermost}"));
}

#[test]
fn a_named_file_is_relative_to_the_file_that_names_it() {
    let mut cx = Cx::new(files([
        ("lab/run.toml", "machine = \"../machines/m.toml\""),
        ("machines/m.toml", "period = \"3s\"\n"),
    ]));
    let run = cx.load_value(Path::new("lab/run.toml")).unwrap();
    let entry = run.as_table().and_then(|table| table.get("machine")).unwrap();
    let name = Spanned::<String>::from_toml(&entry.value, &mut cx).unwrap();
    assert_eq!(cx.resolve(&name), PathBuf::from("machines/m.toml"));
    let scan = cx.load_named::<Scan>(&name);
    let (scan, _) = cx.finish(scan).unwrap();
    assert_eq!(scan.period, Nanos::from_secs(3));
}

#[test]
fn warnings_do_not_fail() {
    let mut cx = Cx::without_files();
    let scan = cx.parse::<Scan>("scan.toml", "period = \"1s\"\n");
    let span = Span { start: 9, end: 13, ..cx_whole(&cx) };
    cx.push(Problem::warning("scans are rare").label(span, "longer than most programs run"));
    let (_, warnings) = cx.finish(scan).unwrap();
    insta::assert_snapshot!(warnings.render(false));
}

/// The place of the only file of a context.
fn cx_whole(cx: &Cx) -> Span {
    let file = config::FileId(0);
    assert!(cx.problems.sources.get(file).is_some());
    Span::whole(file)
}

#[test]
fn colour_is_escapes_around_the_same_text() {
    let problems = config::parse::<Scan>("scan.toml", "period = 1").unwrap_err();
    let coloured = problems.render(true);
    assert!(coloured.contains('\u{1b}'));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    assert_eq!(plain, problems.render(false));
}

#[test]
fn json_has_lines_and_columns() {
    let problems = config::parse::<Scan>("scan.toml", "files = true\nperiod = 1\n").unwrap_err();
    let json = serde_json::to_string_pretty(&problems.to_json()).unwrap();
    insta::assert_snapshot!(json);
}
