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

/// Narrowest window of Chromium without a screen.
const NARROWEST_WINDOW: u32 = 500;

/// A page that shows `report.html` at a width that no window has. What became of it is copied, without
/// its scripts, to where the dump of this page shows it.
fn framed(width: u32) -> String {
    format!(
        "<!doctype html><iframe src=report.html style='border:0;width:{width}px;height:2000px'></iframe><pre></pre>\
         <script>setInterval(() => {{ const page = document.querySelector('iframe').contentDocument.documentElement; \
         if (!page.dataset.drawn) return; const copy = page.cloneNode(true); \
         copy.querySelectorAll('script').forEach((script) => script.remove()); \
         document.querySelector('pre').textContent = copy.outerHTML; }}, 500);</script>"
    )
}

/// Opens `page` at `width`; `None` where no Chromium is installed.
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
    let shown = if width < NARROWEST_WINDOW { dir.path().join("frame.html") } else { file };
    if width < NARROWEST_WINDOW {
        results::write_file(&shown, framed(width).as_bytes()).expect("so does a frame");
    }
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
        .arg("--allow-file-access-from-files")
        .arg(format!("file://{}", shown.display()))
        .output()
        .expect("Chromium starts");
    Some(Seen {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[test]
fn report_opens_without_errors_or_requests() {
    let page = report::html::report(&results::sample::comparison(), None).unwrap();
    let charts = page.matches("class=\"chart\"").count();
    assert!(
        charts >= 19,
        "six designs have a bandwidth chart each, there are seven others, and three heat maps of two designs"
    );
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

/// A comparison of as many threads as a large machine has, that wander.
fn many_threads() -> results::Comparison {
    let mut comparison = results::sample::comparison();
    comparison.cells.retain(|run| run.seed == 1);
    for run in &mut comparison.cells {
        let eight = run.history.threads.clone();
        for copy in 1..6 {
            let shifted = eight.iter().enumerate().map(|(place, thread)| {
                let mut thread = thread.clone();
                thread.name = format!("worker {}", 8 * copy + place);
                thread.nodes.rotate_left(7 * copy);
                thread
            });
            run.history.threads.extend(shifted);
        }
    }
    comparison
}

#[test]
fn heat_maps_of_many_threads_fit_a_phone() {
    let page = report::html::report(&many_threads(), Some(["first-touch", "autonuma"])).unwrap();
    // What is wider than the window is noted once all charts are drawn.
    let measure = "<script>setInterval(() => { const root = document.documentElement; \
                   root.dataset.wide = root.scrollWidth - innerWidth; \
                   for (const name of ['threads-0-0', 'threads-0-1', 'memory-0-1', 'decisions-0-1']) { \
                   const marks = document.querySelectorAll(`#${name} .mark-rect path`).length; \
                   const labels = [...document.querySelectorAll(`#${name} .role-axis-label text`)] \
                   .filter((text) => text.getAttribute('opacity') !== '0' && /worker|node|numa/.test(text.textContent)).length; \
                   root.setAttribute('data-' + name, `${marks} ${labels}`); } }, 50);</script></body>";
    // The last one: a library has the same word in a string.
    let end = page.rfind("</body>").expect("a page ends");
    let page = format!("{}{measure}", &page[..end]);
    for width in [1280, 390] {
        let Some(seen) = open(&page, width) else { return };
        assert_eq!(seen.attribute("data-problems"), "");
        assert!(seen.attribute("data-wide").parse::<i64>().unwrap() <= 0, "wider than {width}");
        let counts = |name: &str| -> Vec<usize> {
            let text = seen.attribute(name);
            text.split(' ').map(|nr| nr.parse().unwrap()).collect()
        };
        assert_eq!(counts("data-threads-0-0")[0], 48, "threads that never move are one mark each");
        assert!(counts("data-threads-0-1")[0] > 60);
        for name in ["data-threads-0-0", "data-threads-0-1"] {
            assert!(counts(name)[1] >= 12, "every fourth thread has its name");
        }
        assert!(counts("data-memory-0-1")[0] > 8 && counts("data-memory-0-1")[1] == 4);
        assert_eq!(counts("data-decisions-0-1")[1], 1);
    }
}

/// Eleven designs with long names in two programs.
fn many_designs() -> results::Comparison {
    let mut comparison = results::sample::comparison();
    comparison.cells.retain(|run| run.seed < 3);
    let cells = std::mem::take(&mut comparison.cells);
    for program in ["numa01_THREAD_ALLOC", "numa02"] {
        for (place, run) in (0..11).flat_map(|place| cells.iter().map(move |run| (place, run))) {
            if run.design == "first-touch" {
                let mut run = run.clone();
                if place > 0 {
                    run.design = format!("numa-balancing-{place}.13");
                }
                run.workload = program.to_owned();
                run.axes.insert("workload".to_owned(), program.to_lowercase().replace('_', "-"));
                comparison.cells.push(run);
            }
        }
    }
    comparison
}

#[test]
fn many_long_names_are_read_in_full() {
    let page = report::html::report(&many_designs(), None).unwrap();
    // Texts that a chart cuts off are noted once all charts are drawn.
    let measure = "<script>setInterval(() => { const cut = []; let seen = 0; \
                   for (const svg of document.querySelectorAll('.chart svg')) { const box = svg.getBoundingClientRect(); \
                   for (const text of svg.querySelectorAll('text')) { if (text.getAttribute('opacity') === '0') continue; \
                   const at = text.getBoundingClientRect(); seen += 1; \
                   if (at.right > box.right + 1 || at.left < box.left - 1) cut.push(svg.closest('.chart').id + ' ' + text.textContent); } } \
                   document.documentElement.dataset.width = innerWidth; document.documentElement.dataset.cut = cut.join('; '); document.documentElement.dataset.seen = seen; }, 50);</script></body>";
    let end = page.rfind("</body>").expect("a page ends");
    let page = format!("{}{measure}", &page[..end]);
    for width in [1280, 390] {
        let Some(seen) = open(&page, width) else { return };
        assert_eq!(seen.attribute("data-problems"), "");
        assert_eq!(seen.attribute("data-width"), width.to_string());
        assert!(seen.attribute("data-seen").parse::<usize>().unwrap() > 1000);
        assert_eq!(seen.attribute("data-cut"), "", "at {width}");
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
    let page = report::html::report(&sweep(), None).unwrap();
    let Some(seen) = open(&page, 1280) else { return };
    assert_eq!(seen.attribute("data-problems"), "");
    assert!(seen.console().is_empty(), "{:#?}", seen.console());
}

#[test]
fn errors_and_requests_would_be_seen() {
    let page =
        report::html::report(&results::sample::elapsed(&[("base", &[10, 11])]), None).unwrap();
    let bad = "<script>fetch('http://127.0.0.1:9/').catch(() => {}); console.error('loud'); missing();</script></body>";
    let Some(seen) = open(&page.replace("</body>", bad), 1280) else { return };
    let problems = seen.attribute("data-problems");
    assert!(
        problems.contains("blocked: connect-src") && problems.contains("missing"),
        "{problems}"
    );
    assert!(seen.console().iter().any(|line| line.contains("loud")), "{}", seen.log);
}
