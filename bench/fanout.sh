#!/bin/sh
# A chat message to 1000 links: CPU and system calls per delivered message.
#
#   bench/fanout.sh [--ws]     LINKS=1000 MESSAGES=40; --ws: over WebSockets, else SSE
. "$(dirname "$0")/lib.sh"
need python3 strace taskset
LINKS=${LINKS:-1000} MESSAGES=${MESSAGES:-40}
# shellcheck disable=SC3045 # a shell without it says so, and we go on to say the remedy
ulimit -n "$((LINKS + 200))" 2>/dev/null || { echo "cannot open $LINKS files: raise ulimit -n" >&2; exit 2; }
boatswain_start "[limits]
connections = $((LINKS + 100))
per_address = $((LINKS + 100))
[chat]
rate = \"1000/s\""
taskset -c "$LOAD_CORE" python3 bench/fanout.py "$PORT" "$SERVER" --links "$LINKS" --messages "$MESSAGES" "$@" || exit 1
taskset -c "$LOAD_CORE" python3 bench/fanout.py "$PORT" "$SERVER" --links "$LINKS" --messages 10 --strace "$@"
