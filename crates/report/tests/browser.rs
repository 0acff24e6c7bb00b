//! The report in a real browser. Needs Chromium; says so and passes where there is none.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// What the browser made of a page.
struct Seen {
    /// The document after its scripts ran.
    dom: String,
    /// What the browser logged.
    log: String,
}

impl Seen {
    fn attribute(&self, name: &str) -> String {
        let start = self
            .dom
            .split(&format!("{name}=\""))
            .nth(1)
            .unwrap_or_else(|| panic!("no {name} in the page"));
        start.split('"').next().unwrap_or_default().to_owned()
    }

    /// Messages of the page's console, by the browser's own account.
    fn console(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.contains("CONSOLE")).collect()
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let mut places =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    places.find(|place| place.is_file())
}

/// Opens `page` in a window of `width`; `None` where no Chromium is installed.
fn open(page: &str, width: u32) -> Option<Seen> {
    let Some(browser) = chromium() else {
        // Straight to stderr: the test harness hides what a passing test prints.
        writeln!(std::io::stderr(), "skipped: no Chromium on this machine")
            .expect("stderr is open");
        return None;
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("report.html");
    results::write_file(&file, page.as_bytes()).expect("the page fits on the disk");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=30000", "--dump-dom"])
        .arg(format!("--window-size={width},2000"))
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("Chromium starts");
    Some(Seen {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[test]
fn report_opens_without_errors_or_requests() {
    let page = report::html::report(&results::sample::comparison()).unwrap();
    let charts = page.matches("class=\"chart\"").count();
    assert!(charts >= 13, "six designs have a bandwidth chart each, and there are seven others");
    for width in [1280, 390] {
        let Some(seen) = open(&page, width) else { return };
        // The page's policy forbids every request, and a blocked one is a problem as an error is.
        assert_eq!(seen.attribute("data-problems"), "");
        assert_eq!(seen.attribute("data-drawn"), charts.to_string());
        assert!(seen.console().is_empty(), "{:#?}", seen.console());
        assert!(
            !seen.dom.contains("=\"MNaN") && !seen.dom.contains("translate(NaN"),
            "a chart has marks nowhere"
        );
    }
}

/// A sweep in which a design is missing, a run ended early, and there are more nodes than lines
/// can be told apart.
fn sweep() -> results::Comparison {
    let mut comparison = results::sample::comparison();
    comparison.cells.retain(|run| run.seed < 3);
    let mut second = comparison.cells.clone();
    second.iter_mut().for_each(|run| drop(run.axes.insert("threads".to_owned(), "16".to_owned())));
    second[0].outcome = results::Outcome::OutOfMemory("wanted 1 page".to_owned());
    second.retain(|run| run.design != "bind");
    comparison.cells.extend(second);
    for run in &mut comparison.cells {
        let model = run.series.pop().expect("the sample has series");
        for node in 0..12 {
            let values = model.values.iter().map(|value| value * f64::from(node)).collect();
            run.series.push(results::Series {
                scope: format!("node {node}"),
                values,
                ..model.clone()
            });
        }
    }
    comparison
}

#[test]
fn a_sweep_with_gaps_opens_too() {
    let page = report::html::report(&sweep()).unwrap();
    let Some(seen) = open(&page, 1280) else { return };
    assert_eq!(seen.attribute("data-problems"), "");
    assert!(seen.console().is_empty(), "{:#?}", seen.console());
}

#[test]
fn errors_and_requests_would_be_seen() {
    let page = report::html::report(&results::sample::elapsed(&[("base", &[10, 11])])).unwrap();
    let bad = "<script>fetch('http://127.0.0.1:9/').catch(() => {}); console.error('loud'); missing();</script></body>";
    let Some(seen) = open(&page.replace("</body>", bad), 1280) else { return };
    let problems = seen.attribute("data-problems");
    assert!(
        problems.contains("blocked: connect-src") && problems.contains("missing"),
        "{problems}"
    );
    assert!(seen.console().iter().any(|line| line.contains("loud")), "{}", seen.log);
}
