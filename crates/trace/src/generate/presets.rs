//! The named rows of `perf bench numa mem -a`, declared once.

use base::{Bytes, CpuId, Nanos, NodeId};
use config::config_enum;

use crate::Convergence;
use crate::generate::perf_bench::Settings;

/// The options that a group of rows has in common.
#[derive(Clone, Copy)]
struct Group {
    seconds: u64,
    init_cpu0: bool,
    random_walk: bool,
    thp: bool,
    convergence: Convergence,
}

/// `-s 100 -zZ0qcm --thp 1`.
const CONVERGENCE: Group = Group {
    seconds: 100,
    init_cpu0: true,
    random_walk: true,
    thp: true,
    convergence: Convergence::EndsRun,
};
/// `-s 100 -zZ0qcm --thp -1`.
const CONVERGENCE_NOTHP: Group = Group { thp: false, ..CONVERGENCE };
/// `-s 20 -zZ0q --thp 1`.
const BANDWIDTH: Group = Group { seconds: 20, convergence: Convergence::Ignored, ..CONVERGENCE };
/// `-s 20 -zZ0q --thp -1`.
const BANDWIDTH_NOTHP: Group = Group { thp: false, ..BANDWIDTH };
/// `-s 20 -zZq --thp 1`, without the random walk.
const RAM: Group = Group { init_cpu0: false, random_walk: false, ..BANDWIDTH };
/// `-s 20 -zZq --thp -1`, without the random walk.
const RAM_NOTHP: Group = Group { thp: false, ..RAM };

impl Group {
    fn settings(self, processes: u32, threads: u32) -> Settings {
        Settings {
            processes,
            threads,
            global: Bytes::ZERO,
            process: Bytes::ZERO,
            thread: Bytes::ZERO,
            run_time: Nanos::from_secs(self.seconds),
            init_cpu0: self.init_cpu0,
            random_walk: self.random_walk,
            thp: Some(self.thp),
            cpus: [].into_iter().collect(),
            nodes: [].into_iter().collect(),
            convergence: self.convergence,
        }
    }
}

/// Name, processes x threads, memory per process or thread in MiB, group; `bound` gives the CPUs
/// and nodes that tasks take in turn (`-M 0x2` is node 0 for everyone).
macro_rules! presets {
    ($($variant:ident = $name:literal: $p:literal x $t:literal $memory:ident $mib:literal
        $group:ident $(bound $cpus:tt $nodes:tt)?;)+) => {
        config_enum! {
            /// A named row of `perf bench numa mem -a`.
            pub enum Preset {
                $(
                    #[doc = concat!($p, " x ", $t, ", ", $mib, " MiB per ", stringify!($memory))]
                    $variant = $name,
                )+
            }
        }

        impl Preset {
            /// What the row stands for.
            pub(super) fn settings(self) -> Settings {
                match self {
                    $(Self::$variant => {
                        let settings = Settings {
                            $memory: Bytes::from_mib($mib),
                            ..$group.settings($p, $t)
                        };
                        $(
                            let settings = Settings {
                                cpus: $cpus.map(CpuId).into_iter().collect(),
                                nodes: $nodes.map(NodeId).into_iter().collect(),
                                ..settings
                            };
                        )?
                        settings
                    })+
                }
            }
        }
    };
}

presets! {
    Convergence1x3 = "1x3-convergence": 1 x 3 process 512 CONVERGENCE;
    Convergence1x4 = "1x4-convergence": 1 x 4 process 512 CONVERGENCE;
    Convergence1x6 = "1x6-convergence": 1 x 6 process 1020 CONVERGENCE;
    Convergence2x3 = "2x3-convergence": 2 x 3 process 1020 CONVERGENCE;
    Convergence3x3 = "3x3-convergence": 3 x 3 process 1020 CONVERGENCE;
    Convergence4x4 = "4x4-convergence": 4 x 4 process 512 CONVERGENCE;
    Convergence4x4Nothp = "4x4-convergence-NOTHP": 4 x 4 process 512 CONVERGENCE_NOTHP;
    Convergence4x6 = "4x6-convergence": 4 x 6 process 1020 CONVERGENCE;
    Convergence4x8 = "4x8-convergence": 4 x 8 process 512 CONVERGENCE;
    Convergence8x4 = "8x4-convergence": 8 x 4 process 512 CONVERGENCE;
    Convergence8x4Nothp = "8x4-convergence-NOTHP": 8 x 4 process 512 CONVERGENCE_NOTHP;
    Convergence3x1 = "3x1-convergence": 3 x 1 process 512 CONVERGENCE;
    Convergence4x1 = "4x1-convergence": 4 x 1 process 512 CONVERGENCE;
    Convergence8x1 = "8x1-convergence": 8 x 1 process 512 CONVERGENCE;
    Convergence16x1 = "16x1-convergence": 16 x 1 process 256 CONVERGENCE;
    Convergence32x1 = "32x1-convergence": 32 x 1 process 128 CONVERGENCE;
    Process2x1 = "2x1-bw-process": 2 x 1 process 1024 BANDWIDTH;
    Process3x1 = "3x1-bw-process": 3 x 1 process 1024 BANDWIDTH;
    Process4x1 = "4x1-bw-process": 4 x 1 process 1024 BANDWIDTH;
    Process8x1 = "8x1-bw-process": 8 x 1 process 512 BANDWIDTH;
    Process8x1Nothp = "8x1-bw-process-NOTHP": 8 x 1 process 512 BANDWIDTH_NOTHP;
    Process16x1 = "16x1-bw-process": 16 x 1 process 256 BANDWIDTH;
    Thread4x1 = "4x1-bw-thread": 1 x 4 thread 256 BANDWIDTH;
    Thread8x1 = "8x1-bw-thread": 1 x 8 thread 256 BANDWIDTH;
    Thread16x1 = "16x1-bw-thread": 1 x 16 thread 128 BANDWIDTH;
    Thread32x1 = "32x1-bw-thread": 1 x 32 thread 64 BANDWIDTH;
    Thread2x3 = "2x3-bw-thread": 2 x 3 process 512 BANDWIDTH;
    Thread4x4 = "4x4-bw-thread": 4 x 4 process 512 BANDWIDTH;
    Thread4x6 = "4x6-bw-thread": 4 x 6 process 512 BANDWIDTH;
    Thread4x8 = "4x8-bw-thread": 4 x 8 process 512 BANDWIDTH;
    Thread4x8Nothp = "4x8-bw-thread-NOTHP": 4 x 8 process 512 BANDWIDTH_NOTHP;
    Thread3x3 = "3x3-bw-thread": 3 x 3 process 512 BANDWIDTH;
    Thread5x5 = "5x5-bw-thread": 5 x 5 process 512 BANDWIDTH;
    Thread2x16 = "2x16-bw-thread": 2 x 16 process 512 BANDWIDTH;
    Thread1x32 = "1x32-bw-thread": 1 x 32 process 2048 BANDWIDTH;
    Numa02 = "numa02-bw": 1 x 32 thread 32 BANDWIDTH;
    Numa02Nothp = "numa02-bw-NOTHP": 1 x 32 thread 32 BANDWIDTH_NOTHP;
    Numa01 = "numa01-bw-thread": 2 x 16 thread 192 BANDWIDTH;
    Numa01Nothp = "numa01-bw-thread-NOTHP": 2 x 16 thread 192 BANDWIDTH_NOTHP;
    RamLocal = "RAM-bw-local": 1 x 1 process 1024 RAM bound [0] [0];
    RamLocalNothp = "RAM-bw-local-NOTHP": 1 x 1 process 1024 RAM_NOTHP bound [0] [0];
    RamRemote = "RAM-bw-remote": 1 x 1 process 1024 RAM bound [0] [1];
    RamLocal2x = "RAM-bw-local-2x": 2 x 1 process 1024 RAM bound [0, 2] [0];
    RamRemote2x = "RAM-bw-remote-2x": 2 x 1 process 1024 RAM bound [0, 2] [1];
    RamCross = "RAM-bw-cross": 2 x 1 process 1024 RAM bound [0, 8] [1, 0];
}
