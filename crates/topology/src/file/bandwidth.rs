//! Shared bandwidths, and the routes that cross them.

use std::collections::BTreeMap;

use base::{NodeId, NodeMask, NodeVec};
use config::{Cx, NodeList, Problem, Span, Spanned};

use super::nodes::Layout;
use super::{GroupsFile, LinkFile, MachineFile, PeakFile, RouteFile, two_places};
use crate::machine::{BandwidthResource, Matrix, ResourceKind, Use};

/// Resources and routes.
pub(super) struct Shared {
    pub(super) resources: Vec<BandwidthResource>,
    pub(super) routes: Matrix<Vec<Use>>,
}

/// Lays out resources and routes; `None` with errors recorded.
pub(super) fn shared(file: &MachineFile, layout: &Layout, cx: &mut Cx) -> Option<Shared> {
    let links = links(file, layout, cx);
    let declared = declared_routes(file, layout, &links, cx);
    let mut resources = node_resources(file, layout, cx);
    for (pair, link) in &links {
        resources.extend(link_resources(*pair, link.file));
    }
    resources.extend(group_resources(file, layout, cx));
    let hops = hops(file, layout, &links, &declared, cx)?;
    let mut shared = Shared { resources, routes: Matrix::filled(Vec::new(), layout.nodes.len()) };
    for from in layout.nodes.ids() {
        for to in layout.nodes.ids() {
            if let Some(hops) = &hops[(from, to)] {
                let cost = |kind| cost(kind, from, to, hops, file.bandwidth.remote_cost);
                let uses = shared.resources.iter().enumerate().filter_map(|(idx, resource)| {
                    Some(Use { resource: idx as u16, cost: cost(resource.kind)? })
                });
                shared.routes[(from, to)] = uses.collect();
            }
        }
    }
    shared.drop_unused(layout);
    Some(shared)
}

impl Shared {
    /// Drops resources that no CPU can use, such as the direction of a link that starts at a node
    /// without CPUs.
    fn drop_unused(&mut self, layout: &Layout) {
        let mut used = vec![false; self.resources.len()];
        for from in layout.nodes.ids().filter(|from| layout.has_cpus(*from)) {
            for uses in self.routes.0[from].iter().flatten() {
                used[usize::from(uses.resource)] = true;
            }
        }
        let mut nr_used = 0;
        let new_idx: Vec<u16> = used
            .iter()
            .map(|used| {
                let idx = nr_used;
                nr_used += u16::from(*used);
                idx
            })
            .collect();
        let mut keep = used.iter();
        self.resources.retain(|_| keep.next().is_some_and(|used| *used));
        for uses in self.routes.0.iter_mut().flat_map(NodeVec::iter_mut) {
            uses.retain(|one| used[usize::from(one.resource)]);
            uses.iter_mut().for_each(|one| one.resource = new_idx[usize::from(one.resource)]);
        }
    }
}

/// A link as declared.
struct Link<'a> {
    file: &'a Spanned<LinkFile>,
    /// Where its pair is named.
    span: Span,
}

/// Links by pair, the lower node first.
type Links<'a> = BTreeMap<(NodeId, NodeId), Link<'a>>;

fn links<'a>(file: &'a MachineFile, layout: &Layout, cx: &mut Cx) -> Links<'a> {
    let mut links = Links::new();
    for link in &file.bandwidth.links {
        if link.one_way.is_none() && link.both_ways.is_none() {
            let message = "a link needs a capacity";
            cx.error(link.span, message, "expected `one_way`, `both_ways`, or both");
        }
        for (pair, span) in pairs(link, layout, cx) {
            let pair = (pair.0.min(pair.1), pair.0.max(pair.1));
            if let Some(first) = links.get(&pair) {
                let message = format!("the link {}-{} is declared twice", pair.0, pair.1);
                two_places(cx, message, (span, "second time"), (first.span, "first time"));
            } else {
                links.insert(pair, Link { file: link, span });
            }
        }
    }
    links
}

/// The pairs that a link's table names, each with its place.
fn pairs(link: &Spanned<LinkFile>, layout: &Layout, cx: &mut Cx) -> Vec<((NodeId, NodeId), Span)> {
    let nr_ways = [link.pairs.is_some(), link.within.is_some(), link.across.is_some()];
    if nr_ways.iter().filter(|way| **way).count() > 1 {
        let message = "the nodes of a link must be given in one way";
        cx.error(link.span, message, "expected one of `pairs`, `within`, `across`");
        return Vec::new();
    }
    if let Some(pairs) = &link.pairs {
        let pairs = pairs.iter().filter(|pair| {
            let [a, b] = pair.value;
            let known = known(a, layout, cx) & known(b, layout, cx);
            if a == b {
                let message = format!("a link joins two nodes, not {a} with itself");
                two_places(cx, message, (b.span, "the same node"), (a.span, "as here"));
            }
            known && a != b
        });
        return pairs.map(|pair| ((pair[0].value, pair[1].value), pair.span)).collect();
    }
    if let Some(across) = &link.across {
        let [a, b] = &across.value;
        let (first, second) = (known_nodes(a, layout, cx), known_nodes(b, layout, cx));
        check_disjoint(&across.value, cx);
        let product = first.iter().flat_map(|a| second.iter().map(move |b| (*a, *b)));
        return product.filter(|(a, b)| a != b).map(|pair| (pair, across.span)).collect();
    }
    let groups: Vec<(Vec<NodeId>, Span)> = match &link.within {
        Some(groups) => {
            groups.iter().map(|group| (known_nodes(group, layout, cx), group.span)).collect()
        }
        None => vec![(layout.nodes.ids().collect(), link.span)],
    };
    let each_two = |(nodes, span): &(Vec<NodeId>, Span)| {
        let span = *span;
        let two = |(idx, a): (usize, &NodeId)| {
            let a = *a;
            nodes[idx + 1..].iter().map(move |b| ((a, *b), span)).collect::<Vec<_>>()
        };
        nodes.iter().enumerate().flat_map(two).collect::<Vec<_>>()
    };
    groups.iter().flat_map(each_two).collect()
}

/// Whether the node exists; records an error if not.
fn known(node: Spanned<NodeId>, layout: &Layout, cx: &mut Cx) -> bool {
    let known = node.value.idx() < layout.nodes.len();
    if !known {
        let message = format!("there is no node {node}");
        cx.error(node.span, message, format!("nodes are 0 to {}", layout.nodes.len() - 1));
    }
    known
}

fn known_nodes(list: &NodeList, layout: &Layout, cx: &mut Cx) -> Vec<NodeId> {
    let known = list.ids.iter().filter(|node| known(**node, layout, cx));
    known.map(|node| node.value).collect()
}

fn check_disjoint(groups: &[Spanned<NodeList>; 2], cx: &mut Cx) {
    let [a, b] = groups;
    let both = a.ids.iter().find_map(|a| b.ids.iter().find(|b| a == *b).map(|b| (a, b)));
    if let Some((first, second)) = both {
        let message = format!("node {first} is in both groups");
        two_places(cx, message, (second.span, "second group"), (first.span, "first group"));
    }
}

fn node_resources(file: &MachineFile, layout: &Layout, cx: &mut Cx) -> Vec<BandwidthResource> {
    let bandwidth = &file.bandwidth;
    let mut resources = Vec::new();
    for (id, node) in layout.nodes.ids().zip(&file.nodes.value) {
        if !layout.has_memory(id) {
            continue;
        }
        let port = node.local_port.as_ref().or(bandwidth.local_port.as_ref());
        resources.extend(port.map(|peak| resource(ResourceKind::LocalPort(id), peak)));
        match node.controller.as_ref().or(bandwidth.controller.as_ref()) {
            Some(peak) => resources.push(resource(ResourceKind::Controller(id), peak)),
            None => {
                let problem = Problem::error(format!("node {id} has memory but no controller"))
                    .label(node.span, "expected `controller` here")
                    .label(bandwidth.span, "or here, for all nodes");
                cx.push(problem);
            }
        }
    }
    resources
}

fn link_resources(
    (a, b): (NodeId, NodeId),
    link: &LinkFile,
) -> impl Iterator<Item = BandwidthResource> {
    let one_way = |from, to| {
        link.one_way.as_ref().map(|peak| resource(ResourceKind::LinkOneWay(from, to), peak))
    };
    let both = link.both_ways.as_ref();
    let both = both.map(|peak| resource(ResourceKind::LinkBothWays(a, b), peak));
    [one_way(a, b), one_way(b, a), both].into_iter().flatten()
}

fn group_resources(file: &MachineFile, layout: &Layout, cx: &mut Cx) -> Vec<BandwidthResource> {
    let mut resources = Vec::new();
    for fabric in &file.bandwidth.fabrics {
        let nodes: NodeMask = known_nodes(&fabric.nodes, layout, cx).into_iter().collect();
        resources.push(resource(ResourceKind::Fabric(nodes), &fabric.peak));
    }
    for groups in &file.bandwidth.groups {
        let GroupsFile { between, one_way, both_ways } = &groups.value;
        if one_way.is_none() && both_ways.is_none() {
            let message = "a pair of groups needs a capacity";
            cx.error(groups.span, message, "expected `one_way`, `both_ways`, or both");
        }
        check_disjoint(between, cx);
        let [a, b]: [NodeMask; 2] =
            between.each_ref().map(|group| known_nodes(group, layout, cx).into_iter().collect());
        let directions = [ResourceKind::GroupOneWay(a, b), ResourceKind::GroupOneWay(b, a)];
        for kind in directions {
            resources.extend(one_way.as_ref().map(|peak| resource(kind, peak)));
        }
        let both = both_ways.as_ref();
        resources.extend(both.map(|peak| resource(ResourceKind::GroupBothWays(a, b), peak)));
    }
    resources
}

fn resource(kind: ResourceKind, peak: &PeakFile) -> BandwidthResource {
    BandwidthResource { name: kind.to_string(), kind, peak: peak.peak() }
}

/// The declared routes by (from, to): nodes from the first to the last.
type Declared = BTreeMap<(NodeId, NodeId), Vec<NodeId>>;

fn declared_routes(
    file: &MachineFile,
    layout: &Layout,
    links: &Links<'_>,
    cx: &mut Cx,
) -> Declared {
    let mut declared = Declared::new();
    let mut first_places: BTreeMap<(NodeId, NodeId), Span> = BTreeMap::new();
    for route in &file.bandwidth.routes {
        let RouteFile { from, to, via } = &route.value;
        let stops: Vec<Spanned<NodeId>> =
            [*from].into_iter().chain(via.value.iter().copied()).chain([*to]).collect();
        if stops.iter().filter(|stop| !known(**stop, layout, cx)).count() > 0 {
            continue;
        }
        for hop in stops.windows(2) {
            let (a, b) = (hop[0].value.min(hop[1].value), hop[0].value.max(hop[1].value));
            if !links.contains_key(&(a, b)) {
                let message = format!("the route from {from} to {to} needs a link {a}-{b}");
                let label = format!("no link joins it to node {}", hop[0]);
                cx.push(Problem::error(message).label(hop[1].span, label));
            }
        }
        let pair = (from.value, to.value);
        if let Some(first) = first_places.insert(pair, route.span) {
            let message = format!("the route from {from} to {to} is declared twice");
            two_places(cx, message, (route.span, "second time"), (first, "first time"));
        }
        declared.insert(pair, stops.iter().map(|stop| stop.value).collect());
    }
    declared
}

/// Nodes passed from the first to the last, for each pair that is connected. Records an error for
/// memory that CPUs cannot reach.
fn hops(
    file: &MachineFile,
    layout: &Layout,
    links: &Links<'_>,
    declared: &Declared,
    cx: &mut Cx,
) -> Option<Matrix<Option<Vec<NodeId>>>> {
    let mut hops = Matrix::filled(None, layout.nodes.len());
    let mut ok = true;
    for from in layout.nodes.ids() {
        let mut told = false;
        for (to, path) in shortest_paths(from, layout, links).0.into_iter().enumerate() {
            let to = NodeId::from_idx(to);
            let path = match declared.get(&(from, to)) {
                // A direct link is taken unless the file says otherwise.
                Some(declared) => Some(declared.clone()),
                None => path,
            };
            // One node out of reach tells enough: without links it would be all of them.
            if path.is_none() && layout.has_cpus(from) && layout.has_memory(to) && !told {
                told = true;
                let message =
                    format!("the CPUs of node {from} cannot reach the memory of node {to}");
                let place = |node: NodeId| file.nodes.value[node.idx()].span;
                let problem = Problem::error(message)
                    .label(place(to), "this memory")
                    .label(place(from), "from these CPUs")
                    .help("join them by `[[bandwidth.links]]`, directly or through other nodes");
                cx.push(problem);
                ok = false;
            }
            hops[(from, to)] = path;
        }
    }
    ok.then_some(hops)
}

/// Shortest ways through links, by number of hops; of equal ones that through lower nodes.
fn shortest_paths(
    from: NodeId,
    layout: &Layout,
    links: &Links<'_>,
) -> NodeVec<Option<Vec<NodeId>>> {
    let mut paths: NodeVec<Option<Vec<NodeId>>> = NodeVec::filled(None, layout.nodes.len());
    paths[from] = Some(vec![from]);
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(&via) = reached.get(next) {
        next += 1;
        for to in layout.nodes.ids() {
            let linked = links.contains_key(&(via.min(to), via.max(to)));
            if linked && paths[to].is_none() {
                paths[to] = paths[via].as_ref().map(|path| {
                    let mut path = path.clone();
                    path.push(to);
                    path
                });
                reached.push(to);
            }
        }
    }
    paths
}

/// What a byte between CPUs of `from` and memory of `to`, over `hops`, takes of a resource; `None`
/// if it does not cross it.
fn cost(
    kind: ResourceKind,
    from: NodeId,
    to: NodeId,
    hops: &[NodeId],
    remote_cost: f64,
) -> Option<f64> {
    let remote = from != to;
    let mut directions = hops.windows(2).map(|hop| (hop[0], hop[1]));
    match kind {
        ResourceKind::LocalPort(node) => (!remote && node == to).then_some(1.0),
        ResourceKind::Controller(node) => {
            (node == to).then_some(if remote { remote_cost } else { 1.0 })
        }
        ResourceKind::LinkOneWay(a, b) => directions.any(|hop| hop == (a, b)).then_some(1.0),
        ResourceKind::LinkBothWays(a, b) => {
            directions.any(|hop| hop == (a, b) || hop == (b, a)).then_some(1.0)
        }
        ResourceKind::Fabric(nodes) => {
            (remote && (nodes.contains(from) || nodes.contains(to))).then_some(1.0)
        }
        ResourceKind::GroupOneWay(a, b) => (a.contains(from) && b.contains(to)).then_some(1.0),
        ResourceKind::GroupBothWays(a, b) => {
            let crosses = |a: NodeMask, b: NodeMask| a.contains(from) && b.contains(to);
            (crosses(a, b) || crosses(b, a)).then_some(1.0)
        }
    }
}
