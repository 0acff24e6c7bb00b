#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the recordings that the bundled traces are imported from. By hand only: threads
# are never recorded twice alike, so the traces' digests change with every run.
#
#   bundle.sh DIR [NAME]...        names: duckdb jvm zstd memcached graph sort
#
# Debian 12: apt-get install --no-install-recommends qemu-user gcc libc6-dev memcached \
#            openjdk-17-jdk-headless zstd python3-venv
# Needs 2 GB of disk and about two minutes on two cores. Each recording is DIR/NAME/NAME.*
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { sed -n '3,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
[ $# -ge 1 ] || set -- duckdb jvm zstd memcached graph sort

mkdir -p "$dir/build" "$dir/input"
NPAGE_SO=$dir/build/libnpage.so
export NPAGE_SO
cc -O2 -fPIC -shared -fvisibility=hidden -DNPAGE_API="${NPAGE_API:-1}" -o "$NPAGE_SO" \
    "$here/npage.c" -lpthread

# All inputs come from Lehmer's generator (s = 48271 s mod 2^31 - 1), so they are the same everywhere.

# 200 000 lines of 100 random bytes in hexadecimal.
make_records() {
    awk 'BEGIN { s = 12345
        for (i = 0; i < 200000; i++) {
            line = ""
            for (k = 0; k < 11; k++) { s = s * 48271 % 2147483647; line = line sprintf("%08x ", s) }
            print line
        } }'
}

# 32 MiB of words from a vocabulary of 4096, the early ones more often.
make_words() {
    awk 'BEGIN { s = 7
        for (w = 0; w < 4096; w++) {
            word = ""; s = s * 48271 % 2147483647; n = 2 + s % 8
            for (k = 0; k < n; k++) {
                s = s * 48271 % 2147483647; word = word sprintf("%c", 97 + int(s / 65536) % 26)
            }
            v[w] = word
        }
        while (size < 33554432) {
            s = s * 48271 % 2147483647; u = s / 2147483647; w = v[int(4096 * u * u * u)]
            printf "%s%s", w, (s % 13 == 0 ? "\n" : " "); size += length(w) + 1
        } }'
}

record_duckdb() {
    [ -d "$dir/build/venv" ] || /usr/bin/python3 -m venv "$dir/build/venv"
    "$dir/build/venv/bin/pip" install -q "duckdb==${DUCKDB_VERSION:-2.0.0}"
    describe "DuckDB ${DUCKDB_VERSION:-2.0.0}, $(/usr/bin/python3 --version)" "MIT (DuckDB), PSF-2.0 (Python)"
    "$here/record.sh" -o "$out" -- "$dir/build/venv/bin/python" "$here/programs/join.py" 500000 100000 4
}

record_jvm() {
    javac -d "$dir/build/java" "$here/programs/Mutators.java"
    describe "$(java -version 2>&1 | tail -n 1)" "GPL-2.0 with Classpath exception"
    "$here/record.sh" -o "$out" -- java -XX:+UseParallelGC -XX:ParallelGCThreads=4 \
        -Xms64m -Xmx64m -Xmn20m -Xlog:gc -cp "$dir/build/java" Mutators 4 900
}

record_zstd() {
    [ -f "$dir/input/words.txt" ] || make_words >"$dir/input/words.txt"
    describe "$(zstd --version | tr -d '*')" "BSD-3-Clause or GPL-2.0"
    "$here/record.sh" -o "$out" -- zstd -q -f -1 -T4 "$dir/input/words.txt" -o "$dir/input/words.zst"
}

record_memcached() {
    describe "$(memcached -h | head -n 1)" "BSD-3-Clause"
    "$here/record.sh" -o "$out" -- memcached -u root -l 127.0.0.1 -p 21211 -t 4 -m 128 -c 64 &
    recorder=$!
    sleep 3
    python3 "$here/programs/kv_load.py" 21211 30000 120000 8
    # The server ends by itself on SIGINT; only then are the buffers of all threads written.
    kill -INT "$(sed -n 's/^process=\([0-9]*\) .*/\1/p' "$out.meta" | head -n 1)"
    wait "$recorder"
}

record_graph() {
    cc -O2 -o "$dir/build/graph" "$here/programs/graph.c" -lpthread
    describe "programs/graph.c, $(cc --version | head -n 1), -O2" "MIT or Apache-2.0 (ours)"
    "$here/record.sh" -o "$out" -- "$dir/build/graph" 15 4 4 4
}

record_sort() {
    [ -f "$dir/input/records.txt" ] || make_records >"$dir/input/records.txt"
    describe "$(sort --version | head -n 1)" "GPL-3.0-or-later"
    "$here/record.sh" -o "$out" -E LC_ALL=C -- sort --parallel=4 -S 256M \
        -o "$dir/input/sorted.txt" "$dir/input/records.txt"
}

# record.sh refuses a recording that exists, so what describes it is added afterwards.
describe() { version=$1 licence=$2; }

for name in "$@"; do
    out=$dir/$name/$name
    rm -rf "${dir:?}/$name"
    echo "bundle.sh: recording $name" >&2
    "record_$name"
    printf 'program_version=%s\nprogram_licence=%s\n' "$version" "$licence" >>"$out.meta"
done
