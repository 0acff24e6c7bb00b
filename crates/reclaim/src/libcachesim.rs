//! Miss counts of the textbook policies beside those of libCacheSim.
//!
//! libCacheSim (J. Yang et al., version 0.3.5) is a widely used simulator of cache replacement. Its
//! counts for the same streams, with unit sizes and its default parameters, stand in
//! `configs/validate/libcachesim/expected.csv`; the page beside it says how they were taken.
//! The policies are deterministic, so counts must be equal to the request.

pub mod numpy;

use base::math;

use crate::textbook::{Build, Clock, Setting, Textbook, find, knobs};

const EXPECTED: &str = include_str!("../../../configs/validate/libcachesim/expected.csv");

/// A stream of accesses that is made from a few lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// As the expected counts name it.
    pub name: &'static str,
    /// Accesses.
    pub nr_requests: usize,
    /// Different pages to draw from.
    pub nr_pages: u32,
    /// Law of the accesses.
    pub law: Law,
    /// SHA-256 of the pages, counted from 1, as 32-bit little-endian numbers, in hexadecimal.
    pub sha256: &'static str,
}

/// Which page is accessed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Rank r with a probability in proportion to r^-0.99; ranks are permuted over the pages.
    Zipf,
    /// As [`Law::Zipf`], but every fourth access walks on through the pages in their order.
    ZipfAndScan,
}

/// The streams, the shorter first.
pub const STREAMS: &[Stream] = &[
    Stream {
        name: "zipf-1m",
        nr_requests: 1_000_000,
        nr_pages: 100_000,
        law: Law::Zipf,
        sha256: "8149b0d679afdc7b92f128548679f3aaa5ad3067f2eb1d81b04977d44c5b9468",
    },
    Stream {
        name: "zipf-scan-1m",
        nr_requests: 1_000_000,
        nr_pages: 100_000,
        law: Law::ZipfAndScan,
        sha256: "ce3befadc1dbdb15834abd05d9c85f3d1bb3edd6a7926339af3fb633233b1334",
    },
    Stream {
        name: "zipf-100m",
        nr_requests: 100_000_000,
        nr_pages: 1_000_000,
        law: Law::Zipf,
        sha256: "75a591b316dcf2c93511c9a3534ce431e61f81066b754369f24ee9ae3d2c8dfa",
    },
];

/// Accesses of the longest stream of the short suite.
const SHORT: usize = 1_000_000;

const SEED: u32 = 42;

impl Stream {
    /// The pages in the order of their accesses, numbers below `nr_pages`.
    ///
    /// As `benches/peers/streams.py` makes them with NumPy: the inverse of the distribution function
    /// of ranks by bisection, uniform numbers from seed 42, a permutation from seed 43.
    pub fn requests(&self) -> Vec<u32> {
        let cdf = zipf_cdf(self.nr_pages);
        let page_of = numpy::Generator::new(SEED + 1).permutation(self.nr_pages);
        let mut uniform = numpy::Generator::new(SEED);
        let mut scan = (0..self.nr_pages).cycle();
        let request = |at: usize| {
            let u = uniform.random();
            let rank = cdf.partition_point(|bound| *bound <= u).min(cdf.len() - 1);
            match self.law {
                Law::ZipfAndScan if at % 4 == 3 => scan.next().unwrap_or(0),
                _ => page_of[rank],
            }
        };
        (0..self.nr_requests).map(request).collect()
    }
}

/// Distribution function of ranks, summed from the first on; the last is 1.
fn zipf_cdf(nr_pages: u32) -> Vec<f64> {
    let mut total = 0.0;
    let sums = (1..=nr_pages).map(|rank| {
        total += math::pow(f64::from(rank), -0.99);
        total
    });
    let mut cdf: Vec<f64> = sums.collect();
    cdf.iter_mut().for_each(|sum| *sum /= total);
    if let Some(last) = cdf.last_mut() {
        *last = 1.0;
    }
    cdf
}

/// One count beside the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `stream/policy/capacity`.
    pub id: String,
    /// Policy, with its knobs where they differ from the defaults.
    pub policy: String,
    /// Name of the stream.
    pub stream: String,
    /// Pages that may be resident.
    pub capacity: u32,
    /// Misses in libCacheSim.
    pub expected: u64,
    /// Misses here.
    pub got: u64,
}

impl Check {
    /// Whether the counts are equal.
    pub fn is_equal(&self) -> bool {
        self.expected == self.got
    }
}

/// How much of the suite to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Streams of a million accesses: seconds.
    Short,
    /// All streams: minutes, and 2 GiB of memory.
    Full,
}

/// Runs every policy at every capacity for which there is a count.
pub fn libcachesim_suite(extent: Extent) -> Vec<Check> {
    let wanted = |stream: &&Stream| extent == Extent::Full || stream.nr_requests <= SHORT;
    let checks = STREAMS.iter().filter(wanted).flat_map(|stream| {
        let requests = stream.requests();
        let rows = expected().filter(|row| row.stream == stream.name);
        rows.map(|row| row.check(&requests)).collect::<Vec<_>>()
    });
    checks.collect()
}

/// A line of the expected counts.
struct Row {
    stream: &'static str,
    policy: &'static str,
    capacity: u32,
    misses: u64,
    make: Build,
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let mut fields = line.split(',');
        let mut field = || fields.next();
        let (stream, policy) = (field()?, field()?);
        let (capacity, misses) = (field()?.parse().ok()?, field()?.parse().ok()?);
        Some(Self { stream, policy, capacity, misses, make: maker(policy)? })
    }

    fn check(&self, requests: &[u32]) -> Check {
        let mut policy = (self.make)(&Setting::of(requests, self.capacity));
        Check {
            id: format!("{}/{}/{}", self.stream, self.policy, self.capacity),
            policy: self.policy.to_owned(),
            stream: self.stream.to_owned(),
            capacity: self.capacity,
            expected: self.misses,
            got: policy.replay(requests),
        }
    }
}

/// A policy as the counts name it: as the registry does, or with two bits for CLOCK.
fn maker(policy: &str) -> Option<Build> {
    match policy {
        "clock-2" => Some(|setting| Box::new(Clock::new(knobs::Clock { bits: 2 }, setting))),
        _ => find(policy).map(|policy| policy.build_default),
    }
}

fn expected() -> impl Iterator<Item = Row> {
    EXPECTED.lines().skip(1).filter_map(Row::parse)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_short_streams_are_those_that_the_other_program_saw() {
        for stream in STREAMS.iter().filter(|stream| stream.nr_requests <= SHORT) {
            let mut hash = Sha256::new();
            stream.requests().iter().for_each(|page| hash.update((page + 1).to_le_bytes()));
            let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, stream.sha256, "{}", stream.name);
        }
    }

    #[test]
    fn every_line_of_the_expected_counts_is_a_check() {
        assert_eq!(expected().count(), EXPECTED.lines().count() - 1);
        for row in expected() {
            assert!(STREAMS.iter().any(|stream| stream.name == row.stream), "{}", row.stream);
        }
        for policy in crate::textbook::POLICIES {
            assert!(
                expected().any(|row| row.policy == policy.about.name),
                "no count for {}",
                policy.about.name
            );
        }
    }

    #[test]
    fn miss_counts_equal_those_of_the_other_program() {
        let checks = libcachesim_suite(Extent::Short);
        assert!(checks.len() >= 60, "{} checks", checks.len());
        let unequal: Vec<_> = checks.iter().filter(|check| !check.is_equal()).collect();
        assert!(unequal.is_empty(), "{unequal:#?}");
    }
}
