#!/bin/sh
# Starts one pod of a copy on several nodes. The number at the end of the pod's name is its rank; the first serves.
set -eu
rank="${POD_NAME##*-}"
if [ "$rank" -gt 0 ]; then set -- "$@" --headless; fi
# Its own name is known by now, that of the first pod soon after it was placed.
until getent hosts "$LEADER" >/dev/null; do sleep 2; done
exec vllm serve "$@" --nnodes "$NODES" --node-rank "$rank" --master-addr "$LEADER" --master-port "$MASTER_PORT"
