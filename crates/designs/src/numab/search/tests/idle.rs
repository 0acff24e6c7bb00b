//! The search of 6.x on machines with idle and crowded CPUs.

use base::CpuMask;

use super::*;

pub(super) const PER_NODE: usize = 3;

/// A task: its CPU, whether it is twice as heavy, where it may run.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cpu: usize,
    pub(super) heavy: bool,
    pub(super) free: bool,
}

/// The description, on lists. Task 0 looks for a place.
pub(super) struct Slow<'a> {
    pub(super) rows: &'a [Row],
    /// Which tasks run; the others wait on their CPUs.
    pub(super) runs: Vec<bool>,
    pub(super) table: &'a Table,
    pub(super) nr_nodes: usize,
    pub(super) best: Option<(usize, Option<usize>, i64)>,
}

impl Slow<'_> {
    pub(super) fn node(&self, q: usize) -> usize {
        self.rows[q].cpu / PER_NODE
    }

    pub(super) fn weight(&self, q: usize) -> i64 {
        if self.rows[q].heavy { 2048 } else { 1024 }
    }

    /// The task that runs on a CPU.
    pub(super) fn runs(&self, cpu: usize) -> Option<usize> {
        (0..self.rows.len()).find(|q| self.rows[*q].cpu == cpu && self.runs[*q])
    }

    pub(super) fn running(&self, node: usize) -> i64 {
        (0..self.rows.len()).filter(|q| self.node(*q) == node).count() as i64
    }

    pub(super) fn load(&self, node: usize) -> i64 {
        (0..self.rows.len()).filter(|q| self.node(*q) == node).map(|q| self.weight(q)).sum()
    }

    fn busy(&self, node: usize) -> i64 {
        let cpus = node * PER_NODE..(node + 1) * PER_NODE;
        cpus.filter(|cpu| self.runs(*cpu).is_some()).count() as i64
    }

    fn has_spare(&self, node: usize) -> bool {
        let (capacity, running) = (PER_NODE as i64, self.running(node));
        let (util, pct) = (self.busy(node), 108);
        let overloaded =
            running > capacity && (capacity * 100 < util * pct || capacity * pct < running * 100);
        !overloaded
            && (running < capacity || capacity * 100 > util * pct && capacity * pct > running * 100)
    }

    /// Whether `load` going from the source to `dst` makes their difference larger.
    pub(super) fn worse(&self, dst: usize, load: i64) -> bool {
        let (src_load, dst_load) = (self.load(self.node(0)), self.load(dst));
        let difference = |src: i64, dst: i64| (dst - src).abs() * PER_NODE as i64;
        difference(src_load - load, dst_load + load) > difference(src_load, dst_load)
    }

    pub(super) fn gains(&self, dst: usize) -> (i64, i64) {
        let (t, src) = (self.table, self.node(0));
        let group = t.groups[0].map_or(0, |_| t.grouped[0][dst] - t.grouped[0][src]);
        (t.own[0][dst] - t.own[0][src], group)
    }

    pub(super) fn best_imp(&self) -> i64 {
        self.best.map_or(0, |best| best.2)
    }

    fn find_cpu(&mut self, dst: usize) {
        let (taskimp, groupimp) = self.gains(dst);
        let src = self.node(0);
        let spare = self.has_spare(dst);
        let may_move = if spare {
            let after = self.running(dst) + 1;
            let imbalance = (after - (self.running(src) - 1)).max(0);
            // A node of three CPUs may be one task ahead.
            let tolerated = imbalance == 0 || imbalance <= 2 && after <= 1;
            let mut cpus = dst * PER_NODE..(dst + 1) * PER_NODE;
            let idle = cpus.find(|cpu| self.runs(*cpu).is_none() && self.may(0, *cpu));
            if let Some(idle) = idle.filter(|_| tolerated) {
                self.best = Some((idle, None, 0));
                return;
            }
            tolerated
        } else {
            !self.worse(dst, self.weight(0))
        };
        for cpu in dst * PER_NODE..(dst + 1) * PER_NODE {
            if self.may(0, cpu) && self.compare(cpu, dst, [taskimp, groupimp], may_move, spare) {
                return;
            }
        }
    }

    pub(super) fn may(&self, q: usize, cpu: usize) -> bool {
        self.rows[q].free || cpu / PER_NODE == self.node(q)
    }

    /// Whether the search is over.
    fn compare(
        &mut self,
        cpu: usize,
        dst: usize,
        imps: [i64; 2],
        may_move: bool,
        spare: bool,
    ) -> bool {
        let (t, src) = (self.table, self.node(0));
        let move_imp = if t.groups[0].is_some() { imps[1] } else { imps[0] };
        let Some(q) = self.runs(cpu) else {
            let takes = may_move && move_imp >= self.best_imp();
            if takes {
                self.best = Some((cpu, None, move_imp));
            }
            return takes;
        };
        let goes_home = |q: usize| t.preferred[q] == Some(NodeId::from_idx(src));
        let partner = self.best.and_then(|best| best.1);
        if !self.may(q, self.rows[0].cpu) || partner.is_some_and(goes_home) && !goes_home(q) {
            return false;
        }
        let own_gain = t.own[q][src] - t.own[q][dst];
        let mut imp = if t.groups[q] == t.groups[0] {
            if spare {
                return false;
            }
            let imp = imps[0] + own_gain;
            if t.groups[0].is_some() { imp - imp / 16 } else { imp }
        } else if t.groups[q].is_some() && t.groups[0].is_some() {
            move_imp + t.grouped[q][src] - t.grouped[q][dst]
        } else {
            move_imp + own_gain
        };
        if t.preferred[q] == Some(NodeId::from_idx(dst)) {
            imp -= imp / 16;
        }
        if goes_home(q) {
            imp += imp / 8;
        }
        if may_move && move_imp > imp && move_imp > self.best_imp() {
            self.best = Some((cpu, None, move_imp));
            return false;
        }
        let instead = goes_home(q) && partner.is_some_and(|partner| !goes_home(partner));
        if !instead {
            let load = self.weight(0) - self.weight(q);
            if imp < 30 || imp <= self.best_imp() + 15 || load != 0 && self.worse(dst, load) {
                return false;
            }
        }
        self.best = Some((cpu, Some(q), imp));
        !may_move && goes_home(q)
    }

    fn search(&mut self, preferred: usize) -> Option<(usize, Option<usize>)> {
        self.find_cpu(preferred);
        let spread = self.table.groups[0].is_some() && self.table.active > 1;
        if self.best.is_none() || spread {
            let src = self.node(0);
            for dst in (0..self.nr_nodes).filter(|n| *n != preferred && *n != src) {
                let (taskimp, groupimp) = self.gains(dst);
                if taskimp >= 0 || groupimp >= 0 {
                    self.find_cpu(dst);
                }
            }
        }
        self.best.map(|(cpu, partner, _)| (cpu, partner))
    }
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    (0..3 * PER_NODE, prop::bool::weighted(0.2), prop::bool::weighted(0.85))
        .prop_map(|(cpu, heavy, free)| Row { cpu, heavy, free })
}

/// A world of three nodes with these tasks.
pub(super) fn crowd(rows: &[Row]) -> World {
    let mut world = World::new(3, PER_NODE);
    let mm = world.add_space();
    for row in rows {
        let weight = if row.heavy { 2048 } else { 1024 };
        let id = world.add_weighted(mm, row.cpu as u16, weight);
        if !row.free {
            let node = row.cpu / PER_NODE * PER_NODE;
            let mask: CpuMask = (node..node + PER_NODE).map(CpuId::from_idx).collect();
            world.sched.set_affinity(id, mask).expect("some CPU");
        }
    }
    world
}

/// Which of the tasks run.
pub(super) fn running(world: &World, rows: &[Row]) -> Vec<bool> {
    let current = |q: usize| world.sched.current(CpuId::from_idx(rows[q].cpu)) == Some(task(q));
    (0..rows.len()).map(current).collect()
}

proptest! {
    #[test]
    fn places_are_chosen_as_described(
        rows in prop::collection::vec(row(), 1..14),
        own in prop::collection::vec([0i64..1000, 0..1000, 0..1000], 14),
        grouped in prop::collection::vec([0i64..1000, 0..1000, 0..1000], 14),
        groups in prop::collection::vec(prop::option::of(0usize..2), 14),
        preferred in prop::collection::vec(prop::option::of(0u8..3), 14),
        wanted in 1usize..3,
        active in 1u32..3,
    ) {
        let mut world = crowd(&rows);
        let table = Table {
            groups,
            preferred: preferred.iter().map(|node| node.map(NodeId)).collect(),
            own,
            grouped,
            active,
        };
        let src = rows[0].cpu / PER_NODE;
        let wanted = (src + wanted) % 3;
        let found = find_place(&world.cx(), &table, &V6, task(0), NodeId::from_idx(wanted));
        let runs = running(&world, &rows);
        let mut slow = Slow { rows: &rows, runs, table: &table, nr_nodes: 3, best: None };
        let expected = slow.search(wanted).map(|(cpu, partner)| FoundPlace {
            node: NodeId::from_idx(cpu / PER_NODE),
            how: partner.map_or(Move::To(CpuId::from_idx(cpu)), |q| Move::Swap(task(q))),
        });
        prop_assert_eq!(found, expected);
    }
}
