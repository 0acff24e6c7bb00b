//! Takes rows of a source once, for `benches/instructions.sh`: `decoded` or the kind of a generated
//! workload, rows.

#![expect(clippy::print_stdout, reason = "its caller reads how many rows there were")]

use benches::rows::{drain, generated, write};
use trace::container::{DEFAULT_BUDGET, SharedTrace};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("two arguments: SOURCE ROWS");
    let (source, rows) = (next(), next());
    let rows: u32 = rows.parse().expect("the number of rows is one");
    let taken = if source == "decoded" {
        let name = format!("numalab-rows-{}.parquet", std::process::id());
        let path = std::env::temp_dir().join(name);
        write(&path, rows).expect("the temporary directory can be written");
        let taken = take_decoded(&path);
        std::fs::remove_file(&path).expect("the file is ours");
        taken
    } else {
        take_generated(generated(&source).expect("a kind that is listed"), rows.into())
    };
    println!("{}", taken.expect("the trace is sound"));
}

/// Opens a trace and takes all its rows.
#[inline(never)]
fn take_decoded(path: &std::path::Path) -> Result<u64, trace::TraceError> {
    let trace = SharedTrace::open(path, DEFAULT_BUDGET)?;
    drain(trace.workload()?, u64::MAX)
}

/// Takes rows as they are generated.
#[inline(never)]
fn take_generated(workload: trace::Workload, rows: u64) -> Result<u64, trace::TraceError> {
    drain(workload, rows)
}
