//! Writes the report of an invented comparison, for looking at: `cargo run -p report --example
//! sample_report -- report.html`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "report.html".to_owned());
    let page = report::html::report(&results::sample::comparison())?;
    results::write_file(Path::new(&path), page.as_bytes())?;
    Ok(())
}
