//! Replays the stream of the `replay` benchmark once, for `benches/instructions.sh`: design, share of
//! slow accesses, rows.

#![expect(clippy::print_stdout, reason = "its caller reads what was replayed")]

use std::sync::Arc;

use benches::replay::{Accesses, engine, machine};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("three arguments: DESIGN SHARE ROWS");
    let (design, slow, rows) = (next(), next(), next());
    let slow: f64 = slow.parse().expect("the share is a number");
    let rows: usize = rows.parse().expect("the number of rows is one");
    let accesses = Accesses::zipf(1 << 16, rows, slow);
    let replayed = engine(&machine(4, 2), &design, accesses.workload(&Arc::default()));
    println!("{} {}", replayed, accesses.nr_cold);
}
