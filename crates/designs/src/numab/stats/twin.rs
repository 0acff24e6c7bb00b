//! Fault statistics beside a model that keeps every pass in a list.

use proptest::prelude::*;

use super::*;

/// A fault: memory node, CPU node, private, pages.
type Row = (u8, u8, bool, u64);

/// A pass: its faults, run time and wall time.
type Pass = (Vec<Row>, u64, u64);

fn pass() -> impl Strategy<Value = Pass> {
    let fault = (0u8..3, 0u8..3, any::<bool>(), 1u64..600);
    (prop::collection::vec(fault, 0..12), 0u64..1000, 1000u64..2000)
}

/// Halving takes away half, rounded down.
fn halved(sum: u64) -> u64 {
    sum.div_ceil(2)
}

proptest! {
    #[test]
    fn sums_are_as_described(passes in prop::collection::vec(pass(), 1..6)) {
        let mut faults = TaskFaults::new(3);
        let mut group = Faults::new(3);
        let mut mem = [[0u64; 2]; 3];
        let mut cpu = [[0u64; 2]; 3];
        for (rows, runtime, walltime) in &passes {
            let counted: u64 = rows.iter().map(|row| row.3).sum();
            for (mem_node, cpu_node, private, pages) in rows {
                faults.count(NodeId(*mem_node), NodeId(*cpu_node), *private, *pages);
            }
            let before = faults.sums.clone();
            let kinds = faults.fold(*runtime, *walltime, counted);
            group.change(&before, &faults.sums);
            // (runtime / walltime) * faults by CPU / all faults, in 1/65536.
            let share = (*runtime << 16) / (walltime + 1);
            for node in 0..3u8 {
                for (kind, private) in [false, true].into_iter().enumerate() {
                    let sum = |at: &dyn Fn(&Row) -> u8| -> u64 {
                        let of = rows.iter().filter(|row| at(row) == node && row.2 == private);
                        of.map(|row| row.3).sum()
                    };
                    let idx = usize::from(node);
                    mem[idx][kind] = halved(mem[idx][kind]) + sum(&|row| row.0);
                    let weight = share * sum(&|row| row.1) / (counted + 1);
                    cpu[idx][kind] = halved(cpu[idx][kind]) + weight;
                }
            }
            let of_kind = |private: bool| -> u64 {
                rows.iter().filter(|row| row.2 == private).map(|row| row.3).sum()
            };
            prop_assert_eq!(kinds, [of_kind(false), of_kind(true)]);
            prop_assert_eq!(&faults.sums.mem.0, &mem.to_vec());
            prop_assert_eq!(&faults.sums.cpu.0, &cpu.to_vec());
            prop_assert_eq!(faults.sums.total, mem.iter().flatten().sum::<u64>());
            prop_assert_eq!(&group, &faults.sums, "a group of one is its member");
        }
    }

    /// Whatever members fold, join and leave, a group's sums are those of its members.
    #[test]
    fn a_group_adds_up(
        steps in prop::collection::vec((0usize..4, pass(), prop::sample::select(vec![0, 0, 1])), 1..30),
    ) {
        let mut members: Vec<TaskFaults> = vec![TaskFaults::new(3); 4];
        let mut inside = [false; 4];
        let mut group = Faults::new(3);
        let none = Faults::new(3);
        for (who, (rows, runtime, walltime), what) in steps {
            if what == 1 {
                inside[who] = !inside[who];
                let sums = &members[who].sums;
                let (from, to) = if inside[who] { (&none, sums) } else { (sums, &none) };
                group.change(from, to);
            } else {
                for (mem, cpu, private, pages) in &rows {
                    members[who].count(NodeId(*mem), NodeId(*cpu), *private, *pages);
                }
                let before = members[who].sums.clone();
                members[who].fold(runtime, walltime, rows.len() as u64 * 300);
                if inside[who] {
                    group.change(&before, &members[who].sums);
                }
            }
            let mut expected = Faults::new(3);
            for member in members.iter().zip(inside).filter(|(_, inside)| *inside) {
                expected.change(&none, &member.0.sums);
            }
            prop_assert_eq!(&group, &expected);
        }
    }
}
