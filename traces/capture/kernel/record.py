#!/usr/bin/env python3
"""Runs .case files on a real Linux kernel inside QEMU and keeps what the guest prints.

  record.py image KERNEL.deb DIR          the kernel, the modules and the guest program, made ready in DIR (once)
  record.py run DIR OUT CASE... [--runs N] [--only K] [--trace FILE] [--timeout S]

`image` takes a Debian package linux-image-* (unsigned or signed), compiles kcase.c (gcc, static) and needs mke2fs on this
machine. `run` leaves OUT/NAME.K.txt for run K of a case; tables.py makes the tables of them. Run K has emulator seed K and a
start delay of its own. --trace: lines "FILE VALUE" below /sys/kernel/tracing, written before the processes start; the trace goes to
OUT/NAME.K.trace."""
import argparse, lzma, os, pathlib, re, shutil, stat, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
MODULES = ("crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 brd configfs null_blk lz4_compress lz4hc_compress zram").split()
DELAYS_US = [0, 703000, 1409000, 351000, 1051000, 1753000]
CMDLINE = "console=ttyS0 quiet mitigations=off init_on_alloc=0 nokaslr panic=-1 rdinit=/init"


def die(text):
    sys.exit(f"record.py: {text}")


def cpio(entries):
    """The entries (name, mode, content) as an archive of format newc."""
    out = bytearray()
    for i, (name, mode, data) in enumerate(list(entries) + [("TRAILER!!!", 0, b"")]):
        raw = name.encode() + b"\0"
        fields = [i + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        out += b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def libraries(program):
    listing = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return sorted({w for w in listing.split() if w.startswith("/")})


def image(deb, target):
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        subprocess.run(["dpkg-deb", "-x", deb, tmp], check=True)
        kernels = list((tmp / "boot").glob("vmlinuz-*"))
        if len(kernels) != 1:
            die(f"{deb} holds {len(kernels)} kernels, not one")
        shutil.copy(kernels[0], target / "vmlinuz")
        (target / "version").write_text(kernels[0].name.removeprefix("vmlinuz-") + "\n")
        found = {}
        for f in tmp.rglob("*.ko*"):
            found[f.name.split(".")[0].replace("-", "_")] = f
        entries = [(d, stat.S_IFDIR | 0o755, b"") for d in ("m", "lib", "lib64", "dev")]
        for m in MODULES:
            if m in found:
                data = found[m].read_bytes()
                entries.append((f"m/{m}.ko", stat.S_IFREG | 0o644, lzma.decompress(data) if found[m].suffix == ".xz" else data))
        init = tmp / "init"
        subprocess.run(["gcc", "-O0", "-Wall", "-ffp-contract=off", "-static", "-s", "-o", init, HERE / "kcase.c", "-lm", "-lpthread"], check=True)
        entries.append(("init", stat.S_IFREG | 0o755, init.read_bytes()))
        mke2fs = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin") or die("mke2fs is not here")
        entries.append(("mke2fs", stat.S_IFREG | 0o755, pathlib.Path(mke2fs).read_bytes()))
        for lib in libraries(mke2fs):
            where = "lib64/" if "ld-linux" in lib else "lib/"
            entries.append((where + pathlib.Path(lib).name, stat.S_IFREG | 0o755, pathlib.Path(lib).resolve().read_bytes()))
        (target / "initramfs").write_bytes(cpio(entries))


def guest_of(text):
    """The words of "# guest:" and the text of "# cmdline:"."""
    m = re.search(r"^# guest:(.*)$", text, re.M) or die("a case has no line '# guest:'")
    guest = dict(w.split("=", 1) for w in m[1].split())
    c = re.search(r"^# cmdline:(.*)$", text, re.M)
    guest["cmdline"] = c[1].strip() if c else ""
    return guest


def per_node(text, nodes):
    values = [int(x) for x in text.split(",")]
    return values * nodes if len(values) == 1 else values


def qemu(guest, image_dir, initrd, seed, out, trace):
    """The command line of the emulator for one guest."""
    nodes = int(guest.get("nodes", 1))
    mib, cpus, shift = per_node(guest["mib"], nodes), per_node(guest.get("cpus", "1"), nodes), guest.get("shift", "2")
    hmat = guest.get("hmat") == "1"
    a = ["qemu-system-x86_64", "-machine", "pc" + (",hmat=on" if hmat else ""), "-accel", "tcg,thread=single", "-cpu", "qemu64,+erms",
         "-icount", f"shift={shift},sleep=off", "-seed", str(seed), "-m", f"{sum(mib)}M", "-smp", f"{sum(cpus)},sockets=1,cores={sum(cpus)},threads=1",
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-rtc", "base=2025-01-01,clock=vm",
         "-serial", f"file:{out}.console", "-chardev", f"file,id=out,path={out}.txt", "-device", "isa-debugcon,iobase=0xe9,chardev=out",
         "-device", "isa-debug-exit,iobase=0x501,iosize=1"]
    if trace:
        a += ["-chardev", f"file,id=tr,path={out}.trace", "-device", "isa-debugcon,iobase=0xea,chardev=tr"]
    if nodes > 1:
        first = 0
        for n in range(nodes):
            a += ["-object", f"memory-backend-ram,id=m{n},size={mib[n]}M"]
            at = f",cpus={first}-{first + cpus[n] - 1}" if cpus[n] else ""
            a += ["-numa", f"node,nodeid={n},memdev=m{n}{at}" + (",initiator=0" if hmat else "")]
            first += cpus[n]
        dist = guest.get("dist", "20")
        rows = [[int(x) for x in r.split(",")] for r in dist.split("/")] if "/" in dist else [[10 if i == j else int(dist) for j in range(nodes)] for i in range(nodes)]
        a += [w for i in range(nodes) for j in range(nodes) if i != j for w in ("-numa", f"dist,src={i},dst={j},val={rows[i][j]}")]
        if hmat:
            for n in range(nodes):
                base = f"hmat-lb,initiator=0,target={n},hierarchy=memory,data-type="
                a += ["-numa", base + f"access-latency,latency={100 if n == 0 else 300}", "-numa", base + f"access-bandwidth,bandwidth={'20G' if n == 0 else '5G'}"]
    return a + ["-kernel", str(image_dir / "vmlinuz"), "-initrd", initrd, "-append", f"{CMDLINE} {guest['cmdline']}".strip()]


def run(case, k, args):
    text = case.read_text()
    guest, out = guest_of(text), args.out / f"{case.stem}.{k}"
    extra = [("case", stat.S_IFREG | 0o644, text.encode()), ("delay", stat.S_IFREG | 0o644, b"%d" % DELAYS_US[(k - 1) % len(DELAYS_US)])]
    if args.trace:
        extra.append(("trace", stat.S_IFREG | 0o644, args.trace.read_bytes()))
    for old in (".txt", ".console", ".trace"):
        pathlib.Path(f"{out}{old}").unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile() as initrd:
        initrd.write((args.image / "initramfs").read_bytes() + cpio(extra))
        initrd.flush()
        began = time.monotonic()
        try:
            done = subprocess.run(qemu(guest, args.image, initrd.name, k, out, args.trace), timeout=args.timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            print(f"{case.stem} run {k}: no end after {args.timeout} s", flush=True)
            return False
    printed = pathlib.Path(f"{out}.txt").read_text(errors="replace")
    error = re.search(r"^@(error|killed) .*$", printed, re.M)
    ok = printed.rstrip().endswith("@done") and not error
    print(f"{case.stem} run {k}: {'ok' if ok else error[0] if error else f'the guest ended early (status {done.returncode}); see {out}.console'}, {time.monotonic() - began:.0f} s", flush=True)
    return ok


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="what", required=True)
    i = sub.add_parser("image")
    i.add_argument("deb", type=pathlib.Path)
    i.add_argument("target", type=pathlib.Path)
    r = sub.add_parser("run")
    r.add_argument("image", type=pathlib.Path)
    r.add_argument("out", type=pathlib.Path)
    r.add_argument("cases", type=pathlib.Path, nargs="+")
    r.add_argument("--runs", type=int, default=3)
    r.add_argument("--only", type=int, help="this run alone")
    r.add_argument("--trace", type=pathlib.Path)
    r.add_argument("--timeout", type=int, default=900)
    args = p.parse_args()
    if args.what == "image":
        image(args.deb, args.target)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = [args.only] if args.only else range(1, args.runs + 1)
    if not all([run(c, k, args) for c in args.cases for k in wanted]):
        sys.exit(1)


if __name__ == "__main__":
    main()
