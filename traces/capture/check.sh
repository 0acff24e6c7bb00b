#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Compares the recorder with Valgrind's lackey on threads3.c: loads and stores must
# agree within 2 %, in exact and in windowed mode; the records must add up to the totals
# of the meta file; and the workers' counts must be those written in the program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for tool in qemu-x86_64 valgrind cc python3; do
    command -v "$tool" >/dev/null || { echo "check.sh: $tool is missing" >&2; exit 1; }
done

cc -O1 -o "$tmp/threads3" "$here/threads3.c" -lpthread
cc -O2 -fPIC -shared -fvisibility=hidden -DNPAGE_API="${NPAGE_API:-1}" \
    -o "$tmp/libnpage.so" "$here/npage.c" -lpthread

# The CPU model stays QEMU's plain one: lackey's CPU has no AVX-512 string routines either.
for window in 0 4096; do
    for unit in line page; do
        NPAGE_SO=$tmp/libnpage.so "$here/record.sh" -c qemu64 -o "$tmp/$unit$window" \
            -u "$unit" -w "$window" -i 1 -- "$tmp/threads3" >/dev/null
    done
done
valgrind --tool=lackey --trace-mem=yes --trace-sched=yes --log-file="$tmp/lackey" \
    "$tmp/threads3" >/dev/null

python3 "$here/check.py" "$tmp/lackey" "$tmp"/line0 "$tmp"/line4096 "$tmp"/page0 "$tmp"/page4096
