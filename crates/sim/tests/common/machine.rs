//! A machine of two nodes.

/// The text of its file: the CPUs of each node, the memory of one, and what follows the capacity of
/// a link's direction. A line takes 64 ns alone, locally; twice that remotely; a node's memory serves
/// what three local threads ask.
pub(crate) fn two_nodes(cpus: [&str; 2], memory: &str, rest: &str) -> String {
    let [first, second] = cpus;
    format!(
        r#"
name = "tiny"
[[nodes]]
cpus = "{first}"
memory = "{memory}"
[[nodes]]
cpus = "{second}"
memory = "{memory}"
[latency]
local = "50ns"
remote = "100ns"
[bandwidth]
core = {{ local = "1GB/s", remote = "0.5GB/s" }}
controller = "3GB/s"
[[bandwidth.links]]
one_way = "1GB/s"
{rest}
"#
    )
}
