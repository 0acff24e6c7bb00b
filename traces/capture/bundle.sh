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

# Everything runs in DIR by relative paths: the command lines become part of the traces.
cd "$dir"
mkdir -p build input
cp -R "$here/programs" build/
NPAGE_SO=build/libnpage.so
export NPAGE_SO
cc -O2 -fPIC -shared -fvisibility=hidden -DNPAGE_API="${NPAGE_API:-1}" -o "$NPAGE_SO" \
    "$here/npage.c" -lpthread

# All inputs come from Lehmer's generator (s = 48271 s mod 2^31 - 1), so they are the same everywhere.

# 270 000 lines of 17 random hexadecimal digits; sort starts a fourth thread from 262 144 lines on.
make_records() {
    awk 'BEGIN { s = 12345
        for (i = 0; i < 270000; i++) {
            s = s * 48271 % 2147483647; high = s
            s = s * 48271 % 2147483647; printf "%08x %08x\n", high, s
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
    [ -d build/venv ] || /usr/bin/python3 -m venv build/venv
    build/venv/bin/pip install -q "duckdb==${DUCKDB_VERSION:-2.0.0}"
    describe "DuckDB ${DUCKDB_VERSION:-2.0.0}, $(/usr/bin/python3 --version)" "MIT (DuckDB), PSF-2.0 (Python)"
    "$here/record.sh" -o "$out" -- build/venv/bin/python build/programs/join.py 400000 80000 4
}

record_jvm() {
    javac -d build/java build/programs/Mutators.java
    describe "$(java -version 2>&1 | tail -n 1)" "GPL-2.0 with Classpath exception"
    "$here/record.sh" -o "$out" -- java -XX:+UseParallelGC -XX:ParallelGCThreads=4 \
        -Xms64m -Xmx64m -Xmn20m -Xlog:gc -cp build/java Mutators 4 400
}

record_zstd() {
    [ -f input/words.txt ] || make_words >input/words.txt
    describe "$(zstd --version | tr -d '*' | sed 's/^ *//; s/ *$//')" "BSD-3-Clause or GPL-2.0"
    "$here/record.sh" -o "$out" -- zstd -q -f -1 -T4 input/words.txt -o input/words.zst
}

record_memcached() {
    describe "$(memcached -h | head -n 1)" "BSD-3-Clause"
    "$here/record.sh" -o "$out" -- memcached -u root -l 127.0.0.1 -p 21211 -t 4 -m 128 -c 64 &
    recorder=$!
    sleep 3
    python3 build/programs/kv_load.py 21211 20000 60000 8
    # The server ends by itself on SIGINT; only then are the buffers of all threads written.
    kill -INT "$(sed -n 's/^process=\([0-9]*\) .*/\1/p' "$out.meta" | head -n 1)"
    wait "$recorder"
}

record_graph() {
    cc -O2 -o build/graph build/programs/graph.c -lpthread
    describe "programs/graph.c, $(cc --version | head -n 1), -O2" "MIT or Apache-2.0 (ours)"
    "$here/record.sh" -o "$out" -- build/graph 15 4 3 4
}

record_sort() {
    [ -f input/records.txt ] || make_records >input/records.txt
    describe "$(sort --version | head -n 1)" "GPL-3.0-or-later"
    "$here/record.sh" -o "$out" -E LC_ALL=C -- sort --parallel=4 -S 256M \
        -o input/sorted.txt input/records.txt
}

# record.sh refuses a recording that exists, so what describes it is added afterwards.
describe() { version=$1 licence=$2; }

for name in "$@"; do
    out=$name/$name
    rm -rf "./$name"
    echo "bundle.sh: recording $name" >&2
    "record_$name"
    printf 'program_version=%s\nprogram_licence=%s\n' "$version" "$licence" >>"$out.meta"
done
