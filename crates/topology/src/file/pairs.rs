//! What is given for each pair of nodes: distances, latencies, a core's maximum.

use base::{CACHE_LINE_BYTES, NodeId, NodeVec};
use config::{Cx, Problem, Span, Spanned};

use super::nodes::Layout;
use super::{ByNumber, MachineFile, two_places};
use crate::machine::{Matrix, Pattern};

/// SLIT values where the file gives none.
const LOCAL_DISTANCE: u8 = 10;
const REMOTE_DISTANCE: u8 = 20;

/// The distances, checked: square, and each node nearest to itself.
pub(super) fn distances(file: &MachineFile, cx: &mut Cx) -> Option<Matrix<u8>> {
    let nr = file.nodes.len();
    let Some(rows) = &file.distances else {
        let mut matrix = Matrix::filled(REMOTE_DISTANCE, nr);
        for node in (0..nr).map(NodeId::from_idx) {
            matrix[(node, node)] = LOCAL_DISTANCE;
        }
        return Some(matrix);
    };
    check_square("distance matrix", rows.span, &rows.value, file, cx)?;
    for (from, row) in rows.iter().enumerate() {
        let own = row[from];
        let nearer = row.iter().enumerate().find(|(to, other)| *to != from && **other <= own);
        if let Some((to, nearer)) = nearer {
            let message = format!("node {from} is not nearer to itself than to node {to}");
            let here = (own.span, "its own distance");
            two_places(cx, message, here, (nearer.span, "expected more than its own"));
        }
    }
    let row = |row: &Spanned<Vec<Spanned<u8>>>| row.iter().map(|distance| distance.value).collect();
    Some(Matrix(rows.iter().map(row).collect()))
}

/// Checks that there is a row and a column for each node.
fn check_square<T>(
    what: &str,
    span: Span,
    rows: &[Spanned<Vec<T>>],
    file: &MachineFile,
    cx: &mut Cx,
) -> Option<()> {
    let nr = file.nodes.len();
    let last_node = file.nodes.last().map_or(file.nodes.span, |node| node.span);
    let last_label = format!("the last of {nr} nodes");
    if rows.len() != nr {
        let message = format!("the {what} does not fit the number of nodes");
        let label = format!("expected {nr} rows, found {}", rows.len());
        cx.push(Problem::error(message).label(span, label).label(last_node, last_label));
        return None;
    }
    let mut ok = true;
    for (from, row) in rows.iter().enumerate().filter(|(_, row)| row.len() != nr) {
        let message = format!("row {from} of the {what} does not fit the number of nodes");
        let label = format!("expected {nr} columns, found {}", row.len());
        cx.push(Problem::error(message).label(row.span, label).label(last_node, &last_label));
        ok = false;
    }
    ok.then_some(())
}

/// The three ways to give a value for each pair.
struct Given<'a, T> {
    what: &'static str,
    span: Span,
    local: Option<&'a T>,
    remote: Option<&'a T>,
    by_distance: Option<&'a Spanned<ByNumber<T>>>,
    matrix: Option<&'a Spanned<Vec<Spanned<Vec<T>>>>>,
}

impl<T: Clone> Given<'_, T> {
    /// The value of each pair. Rows of nodes without CPUs are not used for timing; where the
    /// file leaves them open they mirror their columns.
    fn matrix(
        &self,
        file: &MachineFile,
        layout: &Layout,
        distances: &Matrix<u8>,
        cx: &mut Cx,
    ) -> Option<Matrix<T>> {
        let plain = self.local.is_some() || self.remote.is_some();
        match (plain, self.by_distance, self.matrix) {
            (false, None, Some(rows)) => {
                check_square(self.what, rows.span, &rows.value, file, cx)?;
                Some(Matrix(rows.iter().map(|row| NodeVec(row.value.clone())).collect()))
            }
            (false, Some(values), None) => self.by_distance(values, layout, distances, cx),
            (true, None, None) => self.local_and_remote(layout, cx),
            _ => {
                let message = format!("the {} must be given in one way", self.what);
                let label = "expected `local` and `remote`, or `by_distance`, or `matrix`";
                cx.error(self.span, message, label);
                None
            }
        }
    }

    fn local_and_remote(&self, layout: &Layout, cx: &mut Cx) -> Option<Matrix<T>> {
        let nr = layout.nodes.len();
        let (local, remote) = match (self.local, self.remote) {
            (Some(local), Some(remote)) => (local, remote),
            (Some(local), None) if nr == 1 => (local, local),
            (local, _) => {
                let missing = if local.is_some() { "remote" } else { "local" };
                let message = format!("the {} lacks `{missing}`", self.what);
                cx.error(self.span, message, format!("expected `{missing}` too"));
                return None;
            }
        };
        let mut matrix = Matrix::filled(remote.clone(), nr);
        for node in layout.nodes.ids() {
            matrix[(node, node)] = local.clone();
        }
        Some(matrix)
    }

    fn by_distance(
        &self,
        values: &Spanned<ByNumber<T>>,
        layout: &Layout,
        distances: &Matrix<u8>,
        cx: &mut Cx,
    ) -> Option<Matrix<T>> {
        let value = |from, to| values.get(u32::from(distances[(from, to)]));
        let pairs =
            layout.nodes.ids().flat_map(|from| layout.nodes.ids().map(move |to| (from, to)));
        let used = pairs.filter(|(from, to)| layout.has_cpus(*from) && layout.has_memory(*to));
        let mut missing: Vec<u8> = used
            .filter(|(from, to)| value(*from, *to).is_none())
            .map(|pair| distances[pair])
            .collect();
        missing.sort_unstable();
        missing.dedup();
        for distance in &missing {
            let message = format!("the {} has no value for distance {distance}", self.what);
            cx.error(values.span, message, format!("expected `{distance} = ..` too"));
        }
        if !missing.is_empty() {
            return None;
        }
        let last = values.value.0.last().map(|(_, value)| value)?;
        let filled = |from, to| value(from, to).or_else(|| value(to, from)).unwrap_or(last).clone();
        let row = |from| layout.nodes.ids().map(|to| filled(from, to)).collect();
        Some(Matrix(layout.nodes.ids().map(row).collect()))
    }
}

/// Idle latencies in ns.
pub(super) fn idle_latency(
    file: &MachineFile,
    layout: &Layout,
    distances: &Matrix<u8>,
    cx: &mut Cx,
) -> Option<Matrix<f64>> {
    let latency = &file.latency;
    let given = Given {
        what: "latency",
        span: latency.span,
        local: latency.local.as_ref(),
        remote: latency.remote.as_ref(),
        by_distance: latency.by_distance.as_ref(),
        matrix: latency.matrix.as_ref(),
    };
    let matrix = given.matrix(file, layout, distances, cx)?;
    Some(map(&matrix, |latency| latency.0))
}

/// A core's maxima by pattern; without any in the file, what its lines in flight bring in an idle
/// machine (Little's law).
pub(super) fn core_max(
    file: &MachineFile,
    layout: &Layout,
    distances: &Matrix<u8>,
    idle_latency_ns: &Matrix<f64>,
    cx: &mut Cx,
) -> Option<[Matrix<f64>; Pattern::COUNT]> {
    let Some(core) = &file.bandwidth.core else {
        let bytes_in_flight = file.cpu.lines_in_flight * CACHE_LINE_BYTES as f64;
        let rates = map(idle_latency_ns, |ns| bytes_in_flight / ns * 1e9);
        return Some([rates.clone(), rates]);
    };
    let given = Given {
        what: "core maximum",
        span: file.bandwidth.span,
        local: core.local.as_ref(),
        remote: core.remote.as_ref(),
        by_distance: core.by_distance.as_ref(),
        matrix: core.matrix.as_ref(),
    };
    let matrix = given.matrix(file, layout, distances, cx)?;
    Some(Pattern::ALL.map(|pattern| map(&matrix, |rates| rates.0[pattern as usize].0)))
}

fn map<T, U>(matrix: &Matrix<T>, value: impl Fn(&T) -> U) -> Matrix<U> {
    Matrix(matrix.0.iter().map(|row| row.iter().map(&value).collect()).collect())
}
