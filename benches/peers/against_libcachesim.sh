#!/bin/sh
# Measures libCacheSim's policies and ours on the same stream, in turn, in one run.
# Needs python3 with venv, a connection to a Python package index at the first time, 4 GB of disk.
#
#     benches/peers/against_libcachesim.sh [ROUNDS [POLICY...]]
set -eu
cd "$(dirname "$0")/../.."
work=target/peers
if [ ! -d "$work/venv" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet libcachesim==0.3.5 numpy
fi
bench=$(cargo bench -p benches --bench lists --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/lists-[^"]*\)".*/\1/p')
rounds=${1:-5}
[ $# -eq 0 ] || shift
exec "$work/venv/bin/python" benches/peers/against_libcachesim.py speed "$work/streams" "$bench" "$rounds" "$@"
