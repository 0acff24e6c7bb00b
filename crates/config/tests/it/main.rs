//! The crate seen from outside: what is declared, read, printed, and what the user sees.

mod diagnostics;
mod round_trip;

use base::{Bytes, Nanos, Pages};

use config::{
    BytesPerSec, CpuList, Cx, Named, NodeList, Problem, Span, Spanned, in_range, not_empty,
    positive,
};

config::config_enum! {
    /// When huge pages are used.
    pub enum Thp {
        /// Wherever they fit.
        Always = "always",
        /// Where the program asks for them.
        Madvise = "madvise",
        /// Not at all.
        Never = "never",
    }
}

config::config! {
    /// A memory node.
    pub struct Node {
        /// CPUs of the node.
        pub cpus: Spanned<CpuList>,
        /// Installed memory.
        #[check(positive)]
        pub memory: Bytes,
        /// Peak bandwidth of the memory.
        #[check(positive)]
        pub bandwidth: BytesPerSec = BytesPerSec::from_gb(12.8),
    }
}

config::config! {
    /// Hint-fault scanning.
    #[derive(Copy)]
    pub struct Scan {
        /// Time between two scans.
        pub period: Nanos = Nanos::from_secs(1),
        /// Pages looked at by a scan.
        pub size: Pages = Pages(65536),
        /// Share of one CPU that scanning may take.
        #[check(in_range(0.0..=100.0))]
        pub cpu_pct: f64 = 1.0,
        /// Threads that scan.
        pub nr_threads: u8 = 1,
        /// Whether file pages are looked at.
        pub files: bool = false,
    }
}

config::config! {
    /// Keys drawn by rank.
    pub struct Zipf {
        /// Skew.
        pub exponent: f64 = 0.99,
    }
}

config::config! {
    /// All keys alike.
    pub struct Uniform {}
}

config::config! {
    /// Several workloads at a time.
    pub struct Mix {
        /// The parts.
        #[check(not_empty)]
        pub parts: Vec<Workload>,
    }
}

config::config_tagged! {
    /// What the program does.
    pub enum Workload by "kind" {
        /// Keys drawn by rank.
        Zipf(Zipf) = "zipf",
        /// All keys alike.
        Uniform(Uniform) = "uniform",
        /// Several at a time.
        Mix(Mix) = "mix",
    }
}

config::config! {
    /// A machine.
    ///
    /// With all that a test needs.
    pub struct Machine {
        /// Name for tables.
        pub name: String = "unnamed".to_owned(),
        /// Memory nodes.
        pub nodes: Vec<Node>,
        /// Where memory comes from first.
        pub prefer: Option<NodeList>,
        /// Huge pages.
        pub thp: Thp = Thp::Madvise,
        /// Scanning.
        pub scan: Scan = Scan::default(),
        /// Points of a curve.
        pub curve: Vec<[f64; 2]> = Vec::new(),
        /// What runs, by name.
        pub workloads: Named<Workload> = Named::default(),
        /// A seed.
        pub seed: u64 = 1,
    }
    check cpus_have_one_node
}

fn cpus_have_one_node(machine: &Machine, _: Span, cx: &mut Cx) {
    let mut seen: Vec<Spanned<base::CpuId>> = Vec::new();
    for cpu in machine.nodes.iter().flat_map(|node| &node.cpus.ids) {
        match seen.iter().find(|other| other.value == cpu.value) {
            None => seen.push(*cpu),
            Some(first) => cx.push(
                Problem::error(format!("CPU {cpu} belongs to two nodes"))
                    .label(cpu.span, "second use")
                    .label(first.span, "first use"),
            ),
        }
    }
}
