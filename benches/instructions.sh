#!/usr/bin/env bash
# Instructions per replayed access, by Valgrind: the same on every run and whatever else the machine
# does, so this is the gate against regressions of the hot loop. A recorded trace is replayed two and
# ten times; the difference holds no start-up and no decoding.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --release --quiet
cargo build --release --quiet -p benches --example replay_once
counts() {
    local passes=$1 design=$2 out
    out=$(mktemp)
    valgrind --tool=callgrind --callgrind-out-file=/dev/null ./target/release/numalab run \
        --machine configs/machines/m-mel.toml --workload configs/workloads/recorded-graph.toml \
        --set "workload.passes=$passes" --design "$design" > "$out" 2> "$out.err"
    printf '%s %s\n' "$(awk '/Collected/ { print $4 }' "$out.err")" "$(awk '$1 == "sim_accesses" { print $2 }' "$out")"
    rm -f "$out" "$out.err"
}
for design in first-touch interleave; do
    read -r few_instructions few_accesses < <(counts 2 "$design")
    read -r many_instructions many_accesses < <(counts 10 "$design")
    awk -v i="$((many_instructions - few_instructions))" -v a="$((many_accesses - few_accesses))" -v d="$design" \
        'BEGIN { printf "%-12s %.1f instructions per access over %d accesses\n", d, i / a, a }'
done

# The same for page faults: one access in a hundred to a page that was never touched.
engine_counts() {
    local err counted
    err=$(mktemp)
    # Valgrind tells its count after the program has told its own, so wait for both.
    counted=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --toggle-collect='benches::replay::engine' ./target/release/examples/replay_once "$@" 2> "$err")
    printf '%s %s\n' "$(awk '/Collected/ { print $4 }' "$err")" "$counted"
    rm -f "$err"
}
for design in first-touch interleave; do
    read -r few_instructions few_accesses _ < <(engine_counts "$design" 0 200000)
    read -r many_instructions many_accesses _ < <(engine_counts "$design" 0 1200000)
    read -r slow_instructions _ faults < <(engine_counts "$design" 0.01 1200000)
    awk -v i="$((many_instructions - few_instructions))" -v a="$((many_accesses - few_accesses))" \
        -v s="$((slow_instructions - many_instructions))" -v f="$faults" -v d="$design" \
        'BEGIN { printf "%-12s Zipf: %.1f instructions per access, %.0f more per page fault\n", d, i / a, s / f }'
done

# The same while memory is short: warm-up and measured accesses of the benchmark `pressure`.
bench=$(cargo bench -p benches --bench pressure --no-run --message-format=json 2> /dev/null |
    sed -n 's/.*"executable":"\([^"]*\/pressure-[^"]*\)".*/\1/p')
rows=1000000
for row in file anon mglru-file mglru-anon; do
    err=$(mktemp)
    NUMALAB_PAGES=131072 NUMALAB_ROWS=$rows NUMALAB_ONLY=$row valgrind --tool=callgrind \
        --callgrind-out-file=/dev/null --toggle-collect='*touch_all*' "$bench" --bench > /dev/null 2> "$err"
    awk -v a="$((2 * rows))" -v r="$row" '/Collected/ { i = $4 }
        END { printf "%-12s under pressure: %.0f instructions per access\n", r, i / a }' "$err"
    rm -f "$err"
done

# A row: of a trace file from opening to rows by thread, and of generated workloads.
cargo build --release --quiet -p benches --example rows_once
row_instructions() {
    local err rows
    err=$(mktemp)
    rows=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='rows_once::take_*' \
        ./target/release/examples/rows_once "$@" 2> "$err")
    printf '%s %s\n' "$(awk '/Collected/ { print $4 }' "$err")" "$rows"
    rm -f "$err"
}
for source in decoded uniform zipf mix chase gups; do
    read -r few_instructions few_rows < <(row_instructions "$source" 1048576)
    read -r many_instructions many_rows < <(row_instructions "$source" 3145728)
    awk -v i="$((many_instructions - few_instructions))" -v r="$((many_rows - few_rows))" -v s="$source" \
        'BEGIN { printf "%-12s %.1f instructions per row\n", s, i / r }'
done
