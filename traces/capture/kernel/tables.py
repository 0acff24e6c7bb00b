#!/usr/bin/env python3
"""Makes the tables of the kernel suite from what record.py left, by the rules of configs/validate/kernel/compare.md.

  tables.py make RAW CASES OUT        OUT/expected.csv, left-out.csv, machines.csv, start.csv, rates.csv of the runs in RAW of CASES/*.case
  tables.py check RAW EXPECTED.csv    how many rows of a recorded table the runs in RAW meet, and which they do not
  tables.py show RAW/NAME.K.txt [a..b|@b]   the counters of one run

The family of a case is the first letter of its name: it decides which counters and phases are considered (FAMILIES)."""
import csv, math, pathlib, re, statistics, sys

PAGES = "current swap.current anon file shmem active_anon inactive_anon active_file inactive_file unevictable anon_thp file_dirty file_writeback slab_reclaimable zswapped".split()
LRU = "pgscan pgsteal pgactivate pgdeactivate pgfault pgmajfault".split()
WORKINGSET = [f"workingset_{what}_{kind}" for what in ("refault", "activate", "restore") for kind in ("anon", "file")]
BALANCE = "numa_hint_faults numa_hint_faults_local numa_huge_pte_updates numa_pages_migrated numa_pte_updates pgfault thp_migration_success".split()
GLOBAL = "allocstall pgscan pgscan_direct pgscan_kswapd pgsteal pgsteal_direct pgsteal_kswapd".split()
NODE = "numa_hit numa_miss numa_foreign interleave_hit".split()
LISTS = [f"nr_{a}_{kind}" for a in ("active", "inactive") for kind in ("anon", "file")]
CHARGES = "current file anon shmem swap.current".split()
SPLIT = "active_anon inactive_anon active_file inactive_file".split()
# Of a family: how phases are made, changes of cgroups, changes of vmstat, changes of nodes, values of cgroups, values of nodes or the whole, the rest.
FAMILIES = {
    "a": ("ends", LRU + WORKINGSET, [], [], CHARGES + SPLIT, [], ()),
    "b": ("ends", LRU + WORKINGSET + ["zswpin", "zswpout"], ["pswpin", "pswpout", "swap_ra", "swap_ra_hit"], [], CHARGES + SPLIT + ["zswapped"], [], ()),
    "c": ("ends", [], BALANCE, [], [], [], ("map",)),
    "d": ("ends", LRU[:2] + ["pgmajfault"] + WORKINGSET, [], [], ["current", "file"], [], ()),
    "e": ("from", [], GLOBAL + ["workingset_refault_file", "workingset_activate_file", "zone_reclaim_success", "zone_reclaim_failed"], NODE[:3], [], ["node." + x for x in LISTS], ()),
    "f": ("steps", [], ["pgdemote_kswapd", "pgdemote_direct", "pgpromote_success", "pgpromote_candidate", "numa_hint_faults", "numa_pte_updates", "numa_pages_migrated", "pgactivate", "pgdeactivate", "pgscan_direct", "pgscan_kswapd", "pgsteal_kswapd"], NODE[:3], [], ["node." + x for x in LISTS if x.endswith("anon")], ("map",)),
    "g": ("from", ["pgscan", "pgsteal"], ["slabs_scanned"], [], ["current", "slab_reclaimable"], ["slab.dentry.active"], ()),
    "k": ("ends", [], GLOBAL + ["pageoutrun"], [], [], ["nr_active_file", "nr_inactive_file"], ("watch",)),
    "n": ("steps", [], ["pgscan_direct", "pgscan_kswapd", "pgsteal_kswapd"], NODE, [], [], ("map",)),
    "p": ("steps", LRU + WORKINGSET, ["pswpin", "pswpout", "pgreuse", "unevictable_pgs_munlocked", "unevictable_pgs_rescued"], [], CHARGES + SPLIT, [], ()),
    "s": ("steps", ["pgscan", "pgsteal", "pgfault", "pgmajfault", "events.high"], ["pswpin", "pswpout"], [], CHARGES, [], ()),
    "t": ("steps", LRU + WORKINGSET, ["pswpin", "pswpout", "thp_fault_alloc", "thp_split_page", "thp_split_pmd", "thp_swpout", "thp_swpout_fallback"], [], ["anon", "anon_thp", "current", "swap.current"], [], ()),
    "w": ("steps", LRU + WORKINGSET, ["nr_dirtied", "nr_written", "nr_vmscan_write", "nr_vmscan_immediate_reclaim"], [], CHARGES + SPLIT + ["file_dirty", "file_writeback"], [], ("ms", "watch")),
}
# Counters whose zero is the point.
ZEROS = {"b": ["pswpin", "pswpout", "swap_ra"], "c": ["numa_pages_migrated"], "e": ["pgscan_direct", "pgscan_kswapd", "numa_miss", "numa_foreign"], "f": ["pgscan_direct", "pgdemote_kswapd", "pgpromote_success"],
         "k": ["pgscan_direct"], "n": ["pgscan_direct", "pgscan_kswapd"], "p": ["pswpin", "pswpout"], "s": ["pgmajfault"], "t": ["thp_swpout", "thp_swpout_fallback", "thp_split_page", "thp_split_pmd"], "w": ["nr_vmscan_write"]}


class Run:
    """What one run printed."""

    def __init__(self, path):
        self.path, self.snaps, self.order, self.times, self.zones, self.touches, self.rows, self.knobs = path, {}, [], {}, [], [], [], {}
        label = name = ended = None
        rows = []
        for line in pathlib.Path(path).read_text(errors="replace").splitlines():
            w = line.split()
            if line.startswith("@"):
                if w[0] == "@snap":
                    label, name = w[1], None
                    self.snaps[label], self.times[label] = {}, int(w[2])
                    self.order.append(label)
                elif w[0] == "@file":
                    name = line[6:]
                    node = zone = None
                elif w[0] == "@end":
                    label = name = None
                elif w[0] == "@touch":
                    self.touches.append(dict(thread=w[1], region=w[2], kind=w[3], touches=int(w[4]), ns=int(w[5]), minflt=int(w[6]), majflt=int(w[7]), rows=rows if w[8] == "watch" else None))
                    rows = rows if w[8] != "watch" else []
                elif w[0] == "@row":
                    v = [int(x) for x in w[1:11]]
                    rows.append(dict(zip("touches ns nr_free_pages nr_dirty nr_writeback pgscan_kswapd pgsteal_kswapd pgscan_direct pgsteal_direct pageoutrun".split(), v), **{k: int(x) for k, x in (y.split("=") for y in w[11:])}))
                elif w[0] == "@killed":
                    raise ValueError(f"{path}: the kernel killed a process")
                elif w[0] == "@done":
                    ended = True
                continue
            if label is None or name is None or not w:
                continue
            s = self.snaps[label]
            if label == "knobs":
                self.knobs[name] = line
            elif name == "vmstat" and len(w) == 2:
                s[w[0]] = int(w[1])
            elif re.match(r"node\d+\.", name) and len(w) == 2:
                s[f"{name.split('.')[0]}.{w[0]}"] = int(w[1])
            elif name.startswith("cg:"):
                group, file = name.split()
                if file in ("memory.current", "memory.swap.current"):
                    s[f"{group}.{file[7:]}"] = int(w[0])
                elif len(w) == 2:
                    s[f"{group}.{'events.' if file == 'memory.events' else ''}{w[0]}"] = int(w[1])
            elif name == "slabinfo":
                s[f"slab.{w[0]}.active"], s[f"slab.{w[0]}.total"] = int(w[1]), int(w[2])
            elif name.startswith("map:") and 0x100000000000 <= int(w[0], 16) < 0x110000000000:
                for x in w:
                    if m := re.fullmatch(r"N(\d+)=(\d+)", x):
                        s[f"{name}.{(int(w[0], 16) - 0x100000000000) >> 36}.N{m[1]}"] = int(m[2])
            elif name == "zoneinfo" and label == "start":
                self.zone_line(line, w)
        if not ended:
            raise ValueError(f"{path}: the run did not end")
        self.zones = [z for z in self.zones if z["managed"]]
        self.order = [x for x in self.order if x not in ("knobs", "end") and not re.fullmatch(r"s\d+", x)]

    def zone_line(self, line, w):
        if m := re.match(r"Node (\d+), zone +(\S+)", line):
            self.zones.append(dict(node=int(m[1]), zone=m[2], managed=0, batch=0, threshold=0))
        elif self.zones and (m := re.match(r" +(?:pages )?(free|min|low|high|promo|spanned|present|managed) +(\d+)$", line)):
            self.zones[-1].setdefault(m[1], 0)
            self.zones[-1][m[1]] = int(m[2])
        elif self.zones and w[0] == "protection:":
            self.zones[-1]["protection"] = line.split("(")[1].strip(" )").replace(",", "")
        elif self.zones and w[0] == "batch:":
            self.zones[-1]["batch"] = int(w[1])
        elif self.zones and line.strip().startswith("vm stats threshold"):
            self.zones[-1]["threshold"] = int(w[-1])

    def raw(self, label, counter, regions):
        s = self.snaps[label]
        if counter in ("pgscan", "pgsteal"):
            return s[f"{counter}_kswapd"] + s[f"{counter}_direct"]
        if counter == "allocstall":
            return sum(v for k, v in s.items() if k.startswith("allocstall_"))
        if counter.startswith("map:"):
            proc, region, node = counter[4:].split(".")
            return s.get(f"map:{proc}.{regions[proc].index(region)}.{node}", 0)
        if counter.startswith("cg:"):
            value = s.get(counter, 0)
            return value / 4096 if counter.split(".", 1)[1] in PAGES else value
        return s.get(counter, 0)

    def value(self, phase, counter, regions):
        if ".." in phase:
            a, b = phase.split("..")
            return self.raw(b, counter, regions) - self.raw(a, counter, regions)
        if phase.startswith("@"):
            change = not counter.startswith(("cg:", "map:", "slab."))
            return self.raw(phase[1:], counter, regions) - (self.raw("start", counter, regions) if change else 0)
        if phase.startswith("step"):
            return self.touches[int(phase[4:]) - 1]["ns"] / 1e6
        return self.watched(int(phase[5:]), counter.removeprefix("watch:"))

    def watched(self, k, what):
        rows = [t["rows"] for t in self.touches if t["rows"]][k - 1]
        if what.startswith("nr_dirty+nr_writeback"):
            v = [r["nr_dirty"] + r["nr_writeback"] for r in rows]
            return max(v) if what.endswith(".max") else statistics.mean(v[len(v) // 2:])
        before = self.snaps[self.order[0]]["pageoutrun"]
        first = next((i for i, r in enumerate(rows) if r["pgscan_kswapd"] > self.snaps["start"]["pgscan_kswapd"] or r["pageoutrun"] > before), None)
        if first is None:
            return math.nan
        if what == "touches_at_first_kswapd":
            return rows[first]["touches"]
        zone, how = what.rsplit(".", 1)
        v = [r.get(zone, 0) for r in rows[first:]]
        return {"min_since": min, "max_since": max, "mean_since": statistics.mean}[how](v)


def floor_of(counter, cpus):
    name = counter.split(".", 1)[1] if counter.startswith("cg:") else counter
    if name in ("current", "swap.current"):
        return 64 * cpus
    if name.startswith("thp_") or "huge" in name:
        return 2
    if counter.startswith(("numa_", "node", "map:")):
        return 64
    if name.startswith(("pgscan", "pgsteal")) or name in ("pgrefill", "slabs_scanned"):
        return 32
    return 128 if name == "pgfault" else 16


def clusters(values, floor):
    """The two clusters the rule of modes sees, or None."""
    v = sorted(values)
    for i in range(1, len(v)):
        low, high = v[:i], v[i:]
        gap, spread = high[0] - low[-1], (low[-1] - low[0]) + (high[-1] - high[0])
        if gap > 4 * (spread + floor) and high[0] > 1.5 * low[-1]:
            return low, high
        logs = [math.log(max(x, floor)) for x in v]  # below the floor all is one
        if logs[i] - logs[i - 1] > max(math.log(3), 2 * max(logs[i - 1] - logs[0], logs[-1] - logs[i])):
            return low, high
    return None


def text(x):
    return f"{x:.10g}" if x != int(x) else str(int(x))


def judge(values, floor):
    """rule, tolerance (as in the table), intervals."""
    two = clusters(values, floor)
    if two:
        bands = [(round(c[0] - t), round(c[-1] + t)) for c in two for t in [max(abs(statistics.median(c)) / 10, floor)]]
        return "modes", "|".join(f"{text(a)}:{text(b)}" for a, b in bands), bands
    t = max(round(abs(statistics.median(values)) / 10), floor)
    return "range", text(t), [(min(values) - t, max(values) + t)]


def passes(value, bands):
    return any(a <= value <= b for a, b in bands)


class Case:
    def __init__(self, path):
        self.path, self.name, self.text = path, path.stem, path.read_text()
        self.groups = re.findall(r"^cgroup (\S+)", self.text, re.M)
        self.regions, proc = {}, None
        for line in self.text.splitlines():
            w = line.split()
            if w[:1] == ["proc"]:
                proc = w[1]
                self.regions[proc] = []
            elif w[:1] == ["region"]:
                self.regions[proc].append(w[1])
        m = re.search(r"^# guest:(.*)$", self.text, re.M)
        self.guest = dict(w.split("=", 1) for w in m[1].split()) if m else {}
        self.nodes = int(self.guest.get("nodes", 1))
        cpus = [int(x) for x in self.guest.get("cpus", "1").split(",")]
        self.cpus = sum(cpus) if len(cpus) > 1 else cpus[0] * self.nodes

    def phases(self, run):
        """(changes, values): pairs a..b, and labels."""
        own = [x for x in run.order if x != "start"]
        how = FAMILIES[self.name[0]][0]
        if how == "ends":
            return [(own[0] if len(own) > 1 else "start", own[-1])], own[-1:]
        if how == "from":
            return [("start", x) for x in own], own
        chain = own if own[0] == "warm" else ["start"] + own
        return list(zip(chain, chain[1:])), chain[1:]

    def keys(self, run):
        """All (phase, counter) that are considered."""
        how, cg, vm, node, cg_at, at, rest = FAMILIES[self.name[0]]
        changes, values = self.phases(run)
        for a, b in changes:
            for g in self.groups:
                yield from ((f"{a}..{b}", f"cg:{g}.{c}") for c in cg)
                if self.name[0] == "a" and "lru_gen/enabled 0" in self.text:  # of the classic lists only, as recorded
                    yield (f"{a}..{b}", f"cg:{g}.pgrefill")
            yield from ((f"{a}..{b}", c) for c in vm)
            yield from ((f"{a}..{b}", f"node{n}.{c}") for n in range(self.nodes) for c in node)
        for b in values:
            for g in self.groups:
                yield from ((f"@{b}", f"cg:{g}.{c}") for c in cg_at)
            for c in at:
                yield from ((f"@{b}", f"node{n}.{c[5:]}") for n in range(self.nodes)) if c.startswith("node.") else [(f"@{b}", c)]
            if "map" in rest and self.nodes > 1:
                yield from ((f"@{b}", f"map:{p}.{r}.N{n}") for p in self.regions for r in self.regions[p] for n in range(self.nodes))
        if "ms" in rest:
            yield from ((f"step{i + 1}", f"step:{t['region']}.ms") for i, t in enumerate(run.touches))
        if "watch" in rest:
            for k, t in enumerate([t for t in run.touches if t["rows"]]):
                what = ["nr_dirty+nr_writeback.max", "nr_dirty+nr_writeback.mean_2nd_half"] if self.name[0] == "w" else ["touches_at_first_kswapd"] + [f"free.0.DMA32.{x}_since" for x in ("min", "mean", "max")]
                yield from ((f"watch{k + 1}", f"watch:{x}") for x in what)

    def rows(self, runs):
        """(phase, counter, values, reason to leave it out or None)."""
        free = "cpu=any" in self.text
        for phase, counter in dict.fromkeys(self.keys(runs[0])):
            values = [r.value(phase, counter, self.regions) for r in runs]
            if any(math.isnan(v) for v in values):
                continue
            floor, last = floor_of(counter, self.cpus), counter.split(".", 1)[1] if counter.startswith(("cg:", "node")) else counter
            largest = max(abs(v) for v in values)
            if largest <= floor and last not in ZEROS.get(self.name[0], []):
                if largest:
                    yield phase, counter, values, "small: never above its floor"
                continue
            if free and counter.startswith(("map:", "node")):
                yield phase, counter, values, "free threads: which node wins is open"
                continue
            median = abs(statistics.median(values))
            if max(values) - min(values) > median / 2 + floor and not clusters(values, floor):
                yield phase, counter, values, "undetermined: the runs differ by more than half of their median"
                continue
            others = [passes(v, judge(values[:i] + values[i + 1:], floor)[2]) for i, v in enumerate(values)] if len(values) > 2 else [True]
            two = clusters(values, floor)
            if sum(others) < 0.6 * len(others) and not (two and min(len(c) for c in two) > 1):
                yield phase, counter, values, "undetermined: the kernel's runs do not predict each other"
                continue
            yield phase, counter, values, None


def load(raw, name):
    paths = sorted(pathlib.Path(raw).glob(f"{name}.[0-9]*.txt"), key=lambda p: int(p.name.split(".")[-2]))
    runs = []
    for p in paths:
        try:
            runs.append(Run(p))
        except ValueError as e:
            print(e)
    return runs


def write(path, header, rows):
    with open(path, "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(header)
        w.writerows(rows)


def machine_key(case, run):
    g = case.guest
    return (case.nodes, g["mib"], g.get("cpus", "1"), g.get("dist", "20"), g.get("shift", "2"), g.get("hmat", "0")), tuple((z["node"], z["zone"], z["min"], z["low"]) for z in run.zones)


def make(raw, cases, out):
    expected, left, rates, machines = [], [], [], {}
    for path in sorted(pathlib.Path(cases).glob("*.case")):
        case, runs = Case(path), load(raw, path.stem)
        if len(runs) < 2:
            print(f"{case.name}: {len(runs)} runs, left out")
            continue
        for phase, counter, values, reason in case.rows(runs):
            joined = ";".join(text(v) for v in values)
            if reason:
                left.append([case.name, phase, counter, joined, reason])
            else:
                rule, tolerance, _ = judge(values, floor_of(counter, case.cpus))
                expected.append([case.name, phase, counter, joined, text(statistics.median(values)), text(min(values)), text(max(values)), rule, tolerance])
        for i, t in enumerate(runs[0].touches):
            rates.append([case.name, i + 1, t["thread"], t["region"], t["kind"], case.guest.get("shift", "2"), t["touches"], t["ns"] // max(t["touches"], 1), t["minflt"], t["majflt"]])
        machines.setdefault(machine_key(case, runs[0]), []).append((case, runs))
    write(out / "expected.csv", "case phase counter runs median min max rule tolerance".split(), sorted(expected))
    write(out / "left-out.csv", "case phase counter runs reason".split(), sorted(left))
    write(out / "rates.csv", "case step thread region kind shift touches ns_per_touch minflt majflt".split(), rates)
    rows, start = [], []
    used = "nr_slab_reclaimable nr_slab_unreclaimable nr_kernel_stack nr_page_table_pages nr_unevictable nr_anon_pages nr_file_pages nr_inactive_file nr_active_file nr_inactive_anon nr_active_anon nr_free_pages".split()
    for i, ((shape, _), found) in enumerate(sorted(machines.items(), key=lambda x: str(x[0]))):
        name, all_runs = f"m{i + 1:02}", [r for _, runs in found for r in runs]
        start.append([name] + [text(round(statistics.median(r.snaps["start"].get(u, 0) for r in all_runs))) for u in used])
        for j, z in enumerate(all_runs[0].zones):
            free = round(statistics.median(r.zones[j]["free"] for r in all_runs))
            knobs = all_runs[0].knobs
            thp = re.search(r"\[(\w+)\]", knobs["/sys/kernel/mm/transparent_hugepage/enabled"])
            rows.append([name, *shape, z["node"], z["zone"], *(z[k] for k in ("spanned", "present", "managed", "min", "low", "high", "promo", "protection", "batch", "threshold")), free,
                         knobs["/proc/sys/vm/min_free_kbytes"], thp[1] if thp else "", knobs["/sys/kernel/debug/sched/base_slice_ns"], " ".join(c.name for c, _ in found) if j == 0 else ""])
    write(out / "machines.csv", "machine nodes mib cpus dist shift hmat node zone spanned present managed min low high promo protection pcp_batch stat_threshold free_at_start_median min_free_kbytes thp_enabled base_slice_ns cases".split(), rows)
    write(out / "start.csv", ["machine"] + used, start)
    print(f"{len(expected)} rows expected, {len(left)} left out, {len(machines)} machines")


def check(raw, table):
    cases = pathlib.Path(table).parent / "cases"
    with open(table, newline="") as f:
        rows = list(csv.DictReader(f))
    cache, total = {}, {}
    for r in rows:
        name = r["case"]
        if name not in cache:
            cache[name] = (Case(cases / f"{name}.case"), load(raw, name))
        case, runs = cache[name]
        if not runs:
            continue
        values = [run.value(r["phase"], r["counter"], case.regions) for run in runs]
        bands = [tuple(map(float, x.split(":"))) for x in r["tolerance"].split("|")] if r["rule"] == "modes" else [(float(r["min"]) - float(r["tolerance"]), float(r["max"]) + float(r["tolerance"]))]
        good, t = passes(statistics.median(values), bands), total.setdefault(name, [0, 0])
        t[0] += good
        t[1] += 1
        if not good:
            print(f"{name}, {r['phase']}, {r['counter']}: {', '.join(text(v) for v in values)} (recorded {r['runs'].replace(';', ', ')})")
    for name, (a, b) in total.items():
        print(f"{name}: {a} of {b}")
    print(f"all: {sum(a for a, _ in total.values())} of {sum(b for _, b in total.values())} rows")


def show(path, phase=None):
    run = Run(path)
    for t in run.touches:
        print("touch", *(f"{k}={v}" for k, v in t.items() if k != "rows"))
    pairs = [tuple(phase.split("..")) if ".." in phase else (None, phase.lstrip("@"))] if phase else list(zip(run.order, run.order[1:]))
    for a, b in pairs:
        print(f"\n{a}..{b}" if a else f"\n@{b}")
        for k, v in run.snaps[b].items():
            if d := v - run.snaps[a].get(k, 0) if a else v:
                print(f"  {k} {d}")


def main():
    a = sys.argv[1:]
    if len(a) == 4 and a[0] == "make":
        make(a[1], a[2], pathlib.Path(a[3]))
    elif len(a) == 3 and a[0] == "check":
        check(a[1], a[2])
    elif len(a) in (2, 3) and a[0] == "show":
        show(*a[1:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
