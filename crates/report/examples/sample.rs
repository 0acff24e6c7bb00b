//! Writes an invented comparison with its report into a directory, for looking at:
//! `cargo run -p report --example sample -- DIR`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("which directory?")?;
    let comparison = results::sample::comparison();
    let page = report::html::report(&comparison, None)?;
    comparison.save(Path::new(&dir), &[("report.html", page.as_bytes())])?;
    Ok(())
}
