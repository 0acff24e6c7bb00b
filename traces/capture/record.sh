#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds the recorder and runs one command under it.
#
#   record.sh -o PREFIX [-u line|page] [-w WINDOW] [-e ENTRIES] [-i 0|1] [-c CPU] [-E VAR=VALUE]... -- COMMAND [ARG]...
#
# -w 0 records in exact order. -E sets a variable for the recorded program only.
# Environment: QEMU (default qemu-x86_64), NPAGE_SO (a plugin built before), NPAGE_API, CC.
# With RECORD_APPEND=1 the recording joins one that exists (wrapped children).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '3,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

out= unit=line window=4096 entries=1024 ifetch=0 cpu=max env_args=
while getopts o:u:w:e:i:c:E: flag; do
    case $flag in
    o) out=$OPTARG ;; u) unit=$OPTARG ;; w) window=$OPTARG ;; e) entries=$OPTARG ;;
    i) ifetch=$OPTARG ;; c) cpu=$OPTARG ;; E) env_args="$env_args -E $OPTARG" ;; *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ -n "$out" ] && [ $# -ge 1 ] || usage
case $out in *,*) echo "record.sh: no comma in the prefix" >&2; exit 2 ;; esac

qemu=${QEMU:-qemu-x86_64}
command -v "$qemu" >/dev/null || { echo "record.sh: $qemu not found (Debian: qemu-user)" >&2; exit 1; }
program=$(command -v "$1") || { echo "record.sh: $1: not found" >&2; exit 1; }
shift
mkdir -p "$(dirname "$out")"
if [ -e "$out.meta" ] && [ "${RECORD_APPEND:-0}" != 1 ]; then
    echo "record.sh: $out.meta exists; remove that recording or choose another prefix" >&2
    exit 1
fi

so=${NPAGE_SO:-}
if [ -z "$so" ]; then
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    so=$tmp/libnpage.so
    "${CC:-cc}" -O2 -fPIC -shared -fvisibility=hidden -DNPAGE_API="${NPAGE_API:-1}" \
        -o "$so" "$here/npage.c" -lpthread
fi

start=$(date +%s.%N)
status=0
# shellcheck disable=SC2086 # the -E arguments are meant to be split
"$qemu" -cpu "$cpu" $env_args \
    -plugin "$so,out=$out,unit=$unit,window=$window,entries=$entries,ifetch=$ifetch" \
    "$program" "$@" || status=$?
wall=$(echo "$(date +%s.%N) - $start" | awk '{ printf "%.1f", $1 - $3 }')
{
    echo "qemu=$("$qemu" --version | head -n 1)"
    echo "cpu=$cpu"
    echo "program=$(readlink -f "$program")"
    echo "wall_s=$wall"
    echo "exit_status=$status"
} >>"$out.meta"
exit "$status"
