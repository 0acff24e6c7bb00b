//! The search of 3.13 beside a slow transcription, on machines with idle and crowded CPUs.

use super::idle::{PER_NODE, Slow, crowd, row, running};
use super::*;

impl Slow<'_> {
    fn queued(&self, cpu: usize) -> usize {
        self.rows.iter().filter(|row| row.cpu == cpu).count()
    }

    /// Whether `load` going to `dst` leaves one of both 12 % above the other, further than before.
    fn beyond_pct(&self, dst: usize, load: i64) -> bool {
        let (src, dst_load) = (self.load(self.node(0)) - load, self.load(dst) + load);
        src.max(dst_load) * 100 > src.min(dst_load) * 112 && self.worse(dst, load)
    }

    fn find_cpu_3_13(&mut self, dst: usize) {
        let (t, src) = (self.table, self.node(0));
        let (taskimp, groupimp) = self.gains(dst);
        for cpu in dst * PER_NODE..(dst + 1) * PER_NODE {
            if !self.may(0, cpu) {
                continue;
            }
            let base = if t.groups[0].is_some() { groupimp } else { taskimp };
            let partner = self.runs(cpu);
            let imp = match partner {
                None => base,
                Some(q) if !self.may(q, self.rows[0].cpu) => continue,
                Some(q) => {
                    let gain = |weights: &[i64; 3]| weights[src] - weights[dst];
                    match (t.groups[0], t.groups[q]) {
                        (None, None) => taskimp + gain(&t.own[q]),
                        (Some(a), Some(b)) if a == b => {
                            let imp = taskimp + gain(&t.own[q]);
                            imp - imp / 16
                        }
                        (_, Some(_)) => base + gain(&t.grouped[q]),
                        (_, None) => base + gain(&t.own[q]),
                    }
                }
            };
            if imp <= self.best_imp() {
                continue;
            }
            let room = |node: usize| self.running(node) < PER_NODE as i64;
            if partner.is_none() && room(src) && !room(dst) {
                continue;
            }
            let alone = self.queued(self.rows[0].cpu) == 1 && self.queued(cpu) == 1;
            let load = self.weight(0) - partner.map_or(0, |q| self.weight(q));
            if alone || !self.beyond_pct(dst, load) {
                self.best = Some((cpu, partner, imp));
            }
        }
    }
}

proptest! {
    #[test]
    fn places_are_chosen_as_described_of_3_13(
        rows in prop::collection::vec(row(), 1..14),
        own in prop::collection::vec([0i64..1000, 0..1000, 0..1000], 14),
        grouped in prop::collection::vec([0i64..1000, 0..1000, 0..1000], 14),
        groups in prop::collection::vec(prop::option::of(0usize..2), 14),
        wanted in 1usize..3,
        active in 1u32..3,
    ) {
        let mut world = crowd(&rows);
        let preferred = vec![None; rows.len()];
        let table = Table { groups, preferred, own, grouped, active };
        let src = rows[0].cpu / PER_NODE;
        let wanted = (src + wanted) % 3;
        let found = find_place(&world.cx(), &table, &V3_13, task(0), NodeId::from_idx(wanted));
        let runs = running(&world, &rows);
        let mut slow = Slow { rows: &rows, runs, table: &table, nr_nodes: 3, best: None };
        slow.find_cpu_3_13(wanted);
        let other = 3 - src - wanted;
        let (taskimp, groupimp) = slow.gains(other);
        if slow.best.is_none() && (taskimp >= 0 || groupimp >= 0) {
            slow.find_cpu_3_13(other);
        }
        let expected = slow.best.map(|(cpu, partner, _)| FoundPlace {
            node: NodeId::from_idx(cpu / PER_NODE),
            how: partner.map_or(Move::To(CpuId::from_idx(cpu)), |q| Move::Swap(task(q))),
        });
        prop_assert_eq!(found, expected);
    }
}
