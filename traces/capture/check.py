# SPDX-License-Identifier: MIT OR Apache-2.0
"""check.py LACKEY_LOG PREFIX...: compares recordings of threads3 with a lackey log.

Prints one line per check and exits 1 if one fails.
"""
import glob
import re
import struct
import sys
from collections import Counter

TOLERANCE = 0.02
# threads3.c: each worker adds to LINES / 2 words, SWEEPS times (one load, one store each).
WORKER = 32768 // 2 * 8


def lackey_counts(path):
    """Loads + stores per Valgrind thread, by the hand-over lines."""
    counts, thread = Counter(), 1
    hand_over = re.compile(r"--\d+--   SCHED\[(\d+)\]:  acquired lock")
    with open(path, encoding="utf-8") as log:
        for line in log:
            tag = line[:3]
            if tag in (" L ", " S "):
                counts[thread] += 1
            elif tag == " M ":
                counts[thread] += 2
            elif match := hand_over.match(line):
                thread = int(match.group(1))
    return counts


def meta_threads(prefix):
    """The totals of each thread, keyed PID.TID."""
    threads = {}
    with open(prefix + ".meta", encoding="utf-8") as meta:
        for line in meta:
            if line.startswith("thread="):
                pairs = dict(p.split("=", 1) for p in line.split(" name=")[0].split())
                name = pairs.pop("thread")
                threads[name] = {k: int(v) for k, v in pairs.items()}
    return threads


def record_sums(path):
    """Touches by kind, records and instructions of one file."""
    kinds, records, think = Counter(), 0, 0
    with open(path, "rb") as file:
        for key, count, instructions in struct.iter_unpack("<QII", file.read()):
            kinds[key & 15] += count if key & 15 < 4 else 1
            records += 1
            think += instructions
    return kinds, records, think


def main(lackey_log, prefixes):
    ok = True

    def check(what, got, want, tolerance=0.0):
        nonlocal ok
        good = abs(got - want) <= tolerance * want
        ok &= good
        print(f"{'ok  ' if good else 'FAIL'} {what}: {got} against {want}"
              f" ({100 * (got - want) / max(want, 1):+.2f} %)")

    lackey = lackey_counts(lackey_log)
    for prefix in prefixes:
        name = prefix.rsplit("/", 1)[-1]
        threads = meta_threads(prefix)
        check(f"{name} threads", len(threads), len(lackey))
        total = sum(t["loads"] + t["stores"] for t in threads.values())
        check(f"{name} loads + stores, lackey", total, sum(lackey.values()), TOLERANCE)
        main_thread = max(threads, key=lambda k: threads[k]["stores"])
        for key, t in threads.items():
            path = glob.glob(f"{prefix}.{key}.bin")[0]
            kinds, records, think = record_sums(path)
            data = kinds[0] + kinds[1] + kinds[3]
            check(f"{name} {key} data touches", data, t["loads"] + t["stores"] + t["splits"])
            check(f"{name} {key} code touches", kinds[2], t["fetches"])
            check(f"{name} {key} records", records, t["records"])
            check(f"{name} {key} instructions", think, t["instructions"])
            if key != main_thread:
                check(f"{name} {key} worker loads", t["loads"], WORKER, TOLERANCE)
                check(f"{name} {key} worker stores", t["stores"], WORKER, TOLERANCE)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
