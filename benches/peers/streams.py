"""The streams of accesses of `reclaim::libcachesim`, made with NumPy.

A stream file holds the pages, counted from 1, as 32-bit little-endian numbers.
An oracleGeneral file is libCacheSim's own format: 24 bytes a request, time (u32), object (u64),
size (u32), number of the next request for the object (i64, -1 for none).
"""

import hashlib
from pathlib import Path

import numpy as np

STREAMS = {
    "zipf-1m": (10**6, 10**5, False),
    "zipf-scan-1m": (10**6, 10**5, True),
    "zipf-100m": (10**8, 10**6, False),
}
ORACLE_GENERAL = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])


def requests(name: str) -> np.ndarray:
    """The pages of a stream in the order of their accesses."""
    nr_requests, nr_pages, has_scan = STREAMS[name]
    cdf = np.cumsum(np.arange(1, nr_pages + 1, dtype=np.float64) ** -0.99)
    cdf /= cdf[-1]
    cdf[-1] = 1.0
    uniform = np.random.Generator(np.random.PCG64(42))
    page_of = np.random.Generator(np.random.PCG64(43)).permutation(nr_pages)
    pages = np.empty(nr_requests, dtype="<u4")
    for start in range(0, nr_requests, 10**7):
        part = pages[start : start + 10**7]
        ranks = np.searchsorted(cdf, uniform.random(len(part)), side="right")
        part[:] = 1 + page_of[np.minimum(ranks, nr_pages - 1)]
    if has_scan:
        pages[3::4] = 1 + np.arange(nr_requests // 4) % nr_pages
    return pages


def oracle_general(pages: np.ndarray) -> np.ndarray:
    """The requests as libCacheSim reads them, of size 1."""
    order = np.argsort(pages, kind="stable")
    following = np.full(len(pages), -1, dtype=np.int64)
    same = pages[order[1:]] == pages[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    records = np.empty(len(pages), dtype=ORACLE_GENERAL)
    records["time"] = np.arange(len(pages)) // 100_000
    records["object"] = pages
    records["size"] = 1
    records["next"] = following
    return records


def write(name: str, folder: Path) -> tuple[Path, Path]:
    """Writes both files of a stream unless they are there; returns their paths."""
    plain, oracle = folder / f"{name}.u32", folder / f"{name}.oracleGeneral"
    if not oracle.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pages = requests(name)
        print(f"{name}: sha256 {hashlib.sha256(pages.tobytes()).hexdigest()}")
        pages.tofile(plain)
        oracle_general(pages).tofile(oracle)
    return plain, oracle
