//! How much host memory does a simulated resident page take? A thread touches ever larger memory of
//! base pages; each size runs in a process of its own, whose peak of resident memory is read. The
//! slope is the cost of a page, and 256 GiB is extrapolated with it.
//!
//! `NUMALAB_BENCH_LARGE=1` goes up to 64 GiB resident.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::process::Command;

use benches::replay::{Accesses, engine, machine};
use benches::{is_large, is_smoke};

const CHILD: &str = "NUMALAB_BENCH_MEMORY_PAGES";

/// Peak resident memory of this process in bytes; `None` where /proc does not say.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn child(pages: u32) {
    let accesses = Accesses::zipf(pages, 0, 0.0);
    let replayed =
        engine(&machine(1, 2), "first-touch", accesses.workload(&std::sync::Arc::default()));
    assert_eq!(replayed, u64::from(pages));
    println!("{}", peak_bytes().unwrap_or(0));
}

fn measure(pages: u32) -> u64 {
    let exe = std::env::current_exe().expect("a benchmark knows its own file");
    let out = Command::new(exe).env(CHILD, pages.to_string()).output().expect("the child runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().parse().expect("the child prints a number")
}

fn main() {
    if let Ok(pages) = std::env::var(CHILD) {
        return child(pages.parse().expect("a number of pages"));
    }
    let sizes_gib: &[u64] = match (is_smoke(), is_large()) {
        (true, _) => &[0, 1],
        (false, false) => &[1, 4],
        (false, true) => &[16, 32, 64],
    };
    let pages = |gib: u64| (gib << 18).max(1 << 10) as u32;
    let peaks: Vec<u64> = sizes_gib.iter().map(|gib| measure(pages(*gib))).collect();
    println!("{:>10} {:>14} {:>16}", "resident", "host MiB", "bytes per page");
    for (idx, (gib, peak)) in sizes_gib.iter().zip(&peaks).enumerate() {
        let slope = match idx {
            0 => String::new(),
            _ => {
                let more = peaks[idx] as f64 - peaks[idx - 1] as f64;
                format!("{:.1}", more / f64::from(pages(*gib) - pages(sizes_gib[idx - 1])))
            }
        };
        println!("{gib:>6} GiB {:>14.1} {slope:>16}", *peak as f64 / (1 << 20) as f64);
    }
    let (first, last) = (sizes_gib[0], sizes_gib[sizes_gib.len() - 1]);
    let slope =
        (peaks[peaks.len() - 1] as f64 - peaks[0] as f64) / f64::from(pages(last) - pages(first));
    let at_256 = slope * (256u64 << 18) as f64 / (1u64 << 30) as f64;
    println!(
        "slope {slope:.1} bytes per resident page; 256 GiB resident would take {at_256:.2} GiB"
    );
}
