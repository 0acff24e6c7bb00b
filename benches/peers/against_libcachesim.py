"""libCacheSim beside the textbook policies: its miss counts, and the speed of both.

    against_libcachesim.py counts FOLDER STREAM...    lines of configs/validate/libcachesim/expected.csv
    against_libcachesim.py speed FOLDER BENCH ROUNDS [POLICY...]    BENCH is the built benchmark `lists`
    against_libcachesim.py trace FOLDER BENCH FILE    miss counts of both on an oracleGeneral file

Run by against_libcachesim.sh, which installs the Python package `libcachesim`; its engine is C.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import libcachesim as lcs
import numpy as np

import streams

POLICIES = {
    "lru": lcs.LRU,
    # Beside the guest with the kernel's classic engine and a memory cgroup: its misses are its own.
    "guest": lcs.LRU,
    "fifo": lcs.FIFO,
    "clock": lcs.Clock,
    "clock-2": lambda capacity: lcs.Clock(capacity, n_bit_counter=2),
    "2q": lcs.TwoQ,
    "arc": lcs.ARC,
    "s3-fifo": lcs.S3FIFO,
    "sieve": lcs.Sieve,
    "lfu": lcs.LFU,
    "belady": lcs.Belady,
}
TEXTBOOK = [policy for policy in POLICIES if policy != "guest"]
# What is measured when nothing else is asked for.
SPEED = ["guest", "lru", "fifo", "clock", "clock-2", "sieve", "s3-fifo", "2q", "arc"]
CAPACITIES = {
    "zipf-1m": [100, 1000, 10_000, 50_000],
    "zipf-scan-1m": [100, 1000, 10_000, 50_000],
    "zipf-100m": [100_000, 500_000],
}


def run(policy: str, capacity: int, trace: Path) -> tuple[int, float]:
    """Misses, and the seconds of the replay alone (the file is mapped, not copied)."""
    parameters = lcs.ReaderInitParam(ignore_obj_size=True)
    reader = lcs.TraceReader(str(trace), lcs.TraceType.ORACLE_GENERAL_TRACE, parameters)
    cache = POLICIES[policy](capacity)
    started = time.perf_counter()
    miss_ratio, _ = cache.process_trace(reader)
    seconds = time.perf_counter() - started
    nr_requests = trace.stat().st_size // streams.ORACLE_GENERAL.itemsize
    return round(miss_ratio * nr_requests), seconds


def counts(folder: Path, names: list[str]) -> None:
    print("stream,policy,capacity,misses")
    for name in names:
        _, oracle = streams.write(name, folder)
        for policy in TEXTBOOK:
            for capacity in CAPACITIES[name]:
                misses, _ = run(policy, capacity, oracle)
                print(f"{name},{policy},{capacity},{misses}", flush=True)


def ours(bench: str, policy: str, capacity: int, stream: Path) -> tuple[int, float, float]:
    """Misses, seconds of the replay alone, seconds with reading the file."""
    wanted = {"NUMALAB_STREAM": str(stream), "NUMALAB_POLICY": policy, "NUMALAB_CAPACITY": str(capacity)}
    command = [bench, "--bench"]
    out = subprocess.run(command, env=os.environ | wanted, check=True, capture_output=True, text=True)
    misses, replay, whole = out.stdout.split()
    return int(misses), float(replay), float(whole)


def speed(folder: Path, bench: str, rounds: int, policies: list[str]) -> None:
    name, capacity = "zipf-100m", 100_000
    plain, oracle = streams.write(name, folder)
    nr_requests = plain.stat().st_size // 4
    print(f"{name}, capacity {capacity}: M requests/s, median [lowest-highest] of {rounds} rounds, in turn")
    print(f"{'policy':8} {'libCacheSim':>22} {'numalab':>22} {'ratio':>7} {'with file':>10}  misses")
    for policy in policies:
        theirs, mine, whole = [], [], []
        for _ in range(rounds):
            their_misses, seconds = run(policy, capacity, oracle)
            theirs.append(nr_requests / seconds / 1e6)
            misses, replay, with_file = ours(bench, policy, capacity, plain)
            mine.append(nr_requests / replay / 1e6)
            whole.append(nr_requests / with_file / 1e6)
        medians = [statistics.median(rates) for rates in (theirs, mine, whole)]
        shown = [
            f"{median:.1f} [{min(rates):.1f}-{max(rates):.1f}]"
            for median, rates in zip(medians, (theirs, mine))
        ]
        verdict = "equal" if misses == their_misses else f"{misses} against {their_misses}"
        ratios = [rate / medians[0] for rate in medians[1:]]
        print(
            f"{policy:8} {shown[0]:>22} {shown[1]:>22} {ratios[0]:>6.1f}x {ratios[1]:>9.1f}x  {verdict}",
            flush=True,
        )


def trace(folder: Path, bench: str, file: Path) -> None:
    """Sizes are ignored, objects are renumbered, capacities are shares of the objects."""
    objects = np.fromfile(file, dtype=streams.ORACLE_GENERAL)["object"]
    distinct, pages = np.unique(objects, return_inverse=True)
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / f"{file.stem}.u32"
    (pages + 1).astype("<u4").tofile(plain)
    for policy in TEXTBOOK:
        for percent in [1, 10, 50]:
            capacity = len(distinct) * percent // 100
            theirs, _ = run(policy, capacity, file)
            mine, _, _ = ours(bench, policy, capacity, plain)
            verdict = "equal" if theirs == mine else "DIFFERENT"
            print(f"{file.stem},{policy},{capacity},{theirs},{mine},{verdict}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["counts", folder, *names]:
            counts(Path(folder), names)
        case ["speed", folder, bench, rounds, *policies]:
            speed(Path(folder), bench, int(rounds), policies or SPEED)
        case ["trace", folder, bench, file]:
            trace(Path(folder), bench, Path(file))
        case _:
            sys.exit(__doc__)
