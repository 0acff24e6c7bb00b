//! The walk over the groups of a hierarchy, as a design for it decides.

use super::engine::Shrinking;
use super::stat::Stat;
use super::state::{Guest, Lruvec, Memcg};
use super::vmscan::ScanControl;
use crate::hierarchy::{Call, Groups, Hierarchy, ListState, Pressure, Strike, Visit, Walked};

/// Strikes in a round at most, as long as nothing was reclaimed.
const MAX_STRIKES: usize = 3;

/// A round of kswapd under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pass: u32,
    /// Place in the order of groups, and what is done with the one there; with the priority to go
    /// back to.
    place: usize,
    shrinking: Option<(Shrinking, u32)>,
    shrunk: u32,
    /// Pages looked at before this pass.
    before: u64,
    /// Goes by scores, in one piece.
    whole: bool,
}

/// What a design sees of the groups.
pub(super) struct View<'a> {
    memcgs: &'a [Memcg],
    subtrees: &'a [Vec<u16>],
    lruvecs: &'a [Lruvec],
    nr_nodes: usize,
}

impl Groups for View<'_> {
    fn parent(&self, group: u16) -> Option<u16> {
        self.memcgs[group as usize].parent
    }

    fn children(&self, group: u16) -> &[u16] {
        &self.memcgs[group as usize].children
    }

    fn subtree(&self, group: u16) -> &[u16] {
        &self.subtrees[group as usize]
    }

    fn usage(&self, group: u16) -> u64 {
        self.memcgs[group as usize].usage
    }

    fn soft_limit(&self, group: u16) -> Option<u64> {
        self.memcgs[group as usize].soft_limit
    }

    fn min(&self, group: u16) -> u64 {
        self.memcgs[group as usize].min
    }

    fn low(&self, group: u16) -> u64 {
        self.memcgs[group as usize].low
    }

    fn lists(&self, group: u16, node: usize) -> ListState {
        let lruvec = &self.lruvecs[group as usize * self.nr_nodes + node];
        let size = |kind: usize| {
            let lists = &lruvec.size[kind * 2..kind * 2 + 2];
            lists.iter().flatten().sum::<i64>().max(0) as u64
        };
        ListState { size: [size(0), size(1)], recent: lruvec.recent }
    }
}

fn call_of(control: &ScanControl, node: usize, pass: u32) -> Call {
    Call {
        root: control.target,
        node,
        priority: control.priority,
        pass,
        is_rerun: control.is_rerun,
    }
}

impl Guest {
    /// Sets the design that decides which groups are reclaimed; before the first page.
    pub fn set_hierarchy(&mut self, design: Box<dyn Hierarchy>) {
        self.counts_charges = design.counts_charges();
        self.hierarchy = design;
    }

    fn view(&self) -> View<'_> {
        View {
            memcgs: &self.memcgs,
            subtrees: &self.subtrees,
            lruvecs: &self.lruvecs,
            nr_nodes: self.nodes.len(),
        }
    }

    /// Asks the design something that may change its state.
    fn ask<T>(&mut self, question: impl FnOnce(&mut dyn Hierarchy, &View<'_>) -> T) -> T {
        let view = View {
            memcgs: &self.memcgs,
            subtrees: &self.subtrees,
            lruvecs: &self.lruvecs,
            nr_nodes: self.nodes.len(),
        };
        question(&mut *self.hierarchy, &view)
    }

    /// Tells the design of charges, if it counts them.
    #[inline]
    pub(super) fn note_charges(&mut self, memcg: u16, node: usize, pages: u64) {
        if self.counts_charges {
            self.ask(|design, view| design.charged(view, memcg, node, pages));
        }
    }

    /// One round of a node at the priority of `control`.
    pub(super) fn shrink_node(&mut self, control: &mut ScanControl, node: usize) {
        if self.hierarchy.is_scored() {
            self.prepare(control, node);
            self.shrink_by_score(control, node);
            return;
        }
        if control.is_root() && self.is_mglru {
            self.shrink_node_mglru(control, node);
            return;
        }
        self.prepare(control, node);
        let mut pass = 0;
        loop {
            let walked = self.shrink_tree(control, node, pass);
            let call = call_of(control, node, pass);
            if !self.ask(|design, view| design.again(view, &call, &walked)) {
                break;
            }
            pass += 1;
        }
    }

    /// One walk over the groups below the reclaimed one.
    fn shrink_tree(&mut self, control: &mut ScanControl, node: usize, pass: u32) -> Walked {
        let mut walked = Walked::default();
        let before = control.scanned;
        let partial = !control.kswapd && !control.full_walk;
        let mut walk = Walk::start(self, control.target, node, partial);
        let mut at = walk.next(self, None);
        while let Some(memcg) = at {
            walked.shrunk += u32::from(self.shrink_group(control, memcg, node, pass));
            if partial && control.reclaimed >= control.want {
                break;
            }
            at = walk.next(self, Some(memcg));
        }
        walked.scanned = control.scanned - before;
        walked
    }

    /// Takes from a group if the design says so, and tells whether it did.
    pub(super) fn shrink_group(
        &mut self,
        control: &mut ScanControl,
        memcg: u16,
        node: usize,
        pass: u32,
    ) -> bool {
        let Some(pressure) = self.visit(control, memcg, node, pass) else { return false };
        self.press(control, memcg, node, pressure);
        true
    }

    /// How hard the design wants a group to be taken from, if at all.
    fn visit(
        &mut self,
        control: &mut ScanControl,
        memcg: u16,
        node: usize,
        pass: u32,
    ) -> Option<Pressure> {
        let call = call_of(control, node, pass);
        let pressure = match self.ask(|design, view| design.visit(view, &call, memcg)) {
            Visit::Skip => return None,
            Visit::SkipForNow => {
                control.skipped_low = true;
                return None;
            }
            Visit::Shrink(pressure) => pressure,
        };
        if pressure.breaks_low {
            self.count_memcg(memcg, Stat::events_low, 1);
        }
        Some(pressure)
    }

    fn press(&mut self, control: &mut ScanControl, memcg: u16, node: usize, pressure: Pressure) {
        control.protection = [pressure.min, pressure.low];
        let priority = control.priority;
        control.priority = priority.saturating_sub(pressure.harder);
        let lruvec = self.lruvec(memcg, node);
        let engine = self.engine;
        engine.shrink_lruvec(self, control, lruvec);
        self.shrink_slab(control, memcg, node);
        control.priority = priority;
    }

    /// Begins a round of kswapd over all groups.
    pub(super) fn begin_round(&mut self, control: &mut ScanControl, node: usize) -> Round {
        let whole = self.hierarchy.is_scored();
        if self.engine.is_mglru() && !whole {
            self.initial_priority(control, node);
        } else {
            self.prepare(control, node);
        }
        Round { whole, before: control.scanned, ..Round::default() }
    }

    /// One batch of a round; false when the round is over.
    pub(super) fn step_round(
        &mut self,
        control: &mut ScanControl,
        node: usize,
        round: &mut Round,
    ) -> bool {
        if round.whole {
            self.shrink_by_score(control, node);
            return false;
        }
        let mglru = self.engine.is_mglru();
        if mglru && (!control.may_write || !control.may_unmap) {
            return false;
        }
        let Some(memcg) = self.subtrees[0].get(round.place).copied() else {
            let walked = Walked { shrunk: round.shrunk, scanned: control.scanned - round.before };
            let call = call_of(control, node, round.pass);
            let again = !mglru && self.ask(|design, view| design.again(view, &call, &walked));
            *round = Round { pass: round.pass + 1, before: control.scanned, ..Round::default() };
            return again;
        };
        let lruvec = self.lruvec(memcg, node);
        let engine = self.engine;
        let Some((shrinking, priority)) = &mut round.shrinking else {
            let Some(pressure) = self.visit(control, memcg, node, round.pass) else {
                round.place += 1;
                return true;
            };
            control.protection = [pressure.min, pressure.low];
            let priority = control.priority;
            control.priority = priority.saturating_sub(pressure.harder);
            round.shrinking = Some((engine.begin(self, control, lruvec), priority));
            return true;
        };
        if engine.step(self, control, shrinking) {
            return true;
        }
        self.shrink_slab(control, memcg, node);
        control.priority = *priority;
        round.shrinking = None;
        round.shrunk += 1;
        round.place += 1;
        !(mglru && self.should_abort(control, lruvec))
    }

    /// Takes from the group with the highest score until that has halved, then looks again.
    fn shrink_by_score(&mut self, control: &mut ScanControl, node: usize) {
        let call = call_of(control, node, 0);
        let root = control.target;
        let all = self.tree_size(root, node);
        let reclaimable: u64 = all[..4].iter().map(|pages| (*pages).max(0) as u64).sum();
        let bound = control.scanned + (reclaimable >> control.priority);
        let mut picked = None;
        while control.scanned < bound && control.reclaimed < control.want {
            let group = match picked {
                Some((group, least)) if self.score(&call, group) > least => group,
                _ => {
                    let groups = self.subtrees[root as usize].iter();
                    let best = groups
                        .map(|group| (*group, self.score(&call, *group)))
                        .reduce(|best, other| if other.1 > best.1 { other } else { best });
                    let Some((group, score)) = best else { return };
                    picked = Some((group, score / 2.0));
                    group
                }
            };
            let before = control.scanned;
            self.press(control, group, node, Pressure::default());
            if control.scanned == before {
                return;
            }
        }
    }

    fn score(&self, call: &Call, group: u16) -> f64 {
        self.hierarchy.score(&self.view(), call, group)
    }

    /// When the machine runs short, what the design reclaims before the walk.
    pub(super) fn soft_reclaim(&mut self, control: &mut ScanControl, node: usize) {
        if !self.counts_charges || !control.is_root() || self.is_mglru {
            return;
        }
        let mut next = self.ask(|design, view| design.strike(view, node));
        for _ in 0..MAX_STRIKES {
            let Some(strike) = next else { return };
            let freed = self.strike(control, node, &strike);
            next =
                if freed == 0 { self.ask(|design, view| design.strike(view, node)) } else { None };
            self.ask(|design, view| design.struck(view, node, strike.group));
            control.reclaimed += freed;
        }
        if let Some(unused) = next {
            self.ask(|design, view| design.struck(view, node, unused.group));
        }
    }

    /// Reclaims a group and those below it, each lruvec at the priority of the strike.
    fn strike(&mut self, control: &mut ScanControl, node: usize, strike: &Strike) -> u64 {
        let (mut total, mut pass) = (0, 0);
        let mut walk = Walk::start(self, strike.group, node, true);
        let mut at = None;
        loop {
            at = walk.next(self, at);
            let Some(memcg) = at else {
                pass += 1;
                let enough = total == 0 || total >= strike.enough || pass > strike.passes;
                if pass >= 2 && enough {
                    break;
                }
                walk = Walk::start(self, strike.group, node, true);
                continue;
            };
            let mut own = ScanControl {
                target: memcg,
                want: strike.want,
                priority: strike.priority,
                reclaimed: 0,
                scanned: 0,
                no_demotion: true,
                ..control.clone()
            };
            self.prepare(&mut own, node);
            let lruvec = self.lruvec(memcg, node);
            let engine = self.engine;
            engine.shrink_lruvec(self, &mut own, lruvec);
            control.scanned += own.scanned;
            total += own.reclaimed;
            let soft = &mut self.memcgs[memcg as usize].soft;
            soft.scanned += own.scanned;
            soft.stolen += own.reclaimed;
            if self.memcgs[strike.group as usize].usage <= strike.down_to {
                break;
            }
        }
        total
    }
}

/// The order of the walk over the groups below a reclaimed one; partial walks share a position.
struct Walk {
    root: u16,
    node: usize,
    partial: bool,
    round: u64,
}

impl Walk {
    fn start(guest: &Guest, root: u16, node: usize, partial: bool) -> Self {
        let round = guest.memcgs[root as usize].walk[node].1;
        Self { root, node, partial, round }
    }

    fn next(&mut self, guest: &mut Guest, last: Option<u16>) -> Option<u16> {
        let order = &guest.subtrees[self.root as usize];
        let after = |position: Option<u16>| match position {
            None => order.first().copied(),
            Some(memcg) => {
                let place = order.iter().position(|other| *other == memcg)?;
                order.get(place + 1).copied()
            }
        };
        if !self.partial {
            return after(last);
        }
        let (position, round) = guest.memcgs[self.root as usize].walk[self.node];
        if last.is_some() && round != self.round {
            return None;
        }
        let found = after(position);
        let (first, root) = (order.first().copied(), self.root as usize);
        let shared = &mut guest.memcgs[root].walk[self.node];
        if found.is_some() {
            shared.0 = found;
            return found;
        }
        *shared = (None, round + 1);
        if last.is_some() {
            return None;
        }
        self.round = round + 1;
        shared.0 = first;
        first
    }
}
