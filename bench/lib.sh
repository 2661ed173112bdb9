# shellcheck shell=sh
# What the benchmarks share. Read by them, not run.
#
#   BIN   the server (default: target/release/boatswain, built if missing)

cd "$(dirname "$0")/.." || exit 1
need() { for tool; do command -v "$tool" >/dev/null || { echo "$0 needs $tool (Debian: apt install $(pkg "$tool"))" >&2; exit 2; }; done; }
pkg() { case $1 in nginx) echo nginx-light ;; *) echo "$1" ;; esac; }

if [ -z "${BIN:-}" ]; then
    BIN=${CARGO_TARGET_DIR:-target}/release/boatswain
    [ -x "$BIN" ] || cargo build --release --locked || exit 1
fi

OUT=$(mktemp -d) || exit 1
chmod 755 "$OUT"
STARTED=
finish() { for pid in $STARTED; do kill "$pid" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$OUT"; }
trap finish EXIT
trap 'exit 1' INT TERM

SERVER_CORE=${SERVER_CORE:-0}
if [ "$(nproc)" -gt 1 ]; then LOAD_CORE=${LOAD_CORE:-1}; else LOAD_CORE=0; fi

# `boatswain_start EXTRA_TOML`: starts it pinned, sets PORT and SERVER (its process id). User bench, password bench.
boatswain_start() {
    [ -e "$OUT/users" ] || echo bench | "$BIN" passwd "$OUT/users" bench >/dev/null 2>&1 || exit 1
    printf 'listen = ["127.0.0.1:0"]\n%s\n' "$1" >"$OUT/boatswain.toml"
    grep -q '^\[auth\]' "$OUT/boatswain.toml" || printf '[auth]\nusers = "%s"\n' "$OUT/users" >>"$OUT/boatswain.toml"
    : >"$OUT/boatswain.log"
    taskset -c "$SERVER_CORE" "$BIN" serve -c "$OUT/boatswain.toml" >/dev/null 2>"$OUT/boatswain.log" &
    SERVER=$!
    STARTED="$STARTED $SERVER"
    tries=0
    until PORT=$(sed -n 's/.*listening addr=127.0.0.1:\([0-9]*\).*/\1/p' "$OUT/boatswain.log" | head -n 1) && [ -n "$PORT" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "boatswain does not start:" >&2; cat "$OUT/boatswain.log" >&2; exit 1; }
        sleep 0.05
    done
}
# shellcheck disable=SC2034 # read by those who read this
AUTH_HEADER="Authorization: Basic $(printf bench:bench | base64)"

# CPU time of a process in microseconds: sum of its threads' run time (nanoseconds, /proc/PID/task/TID/schedstat).
cpu_us() { cat /proc/"$1"/task/*/schedstat | awk '{ ns += $1 } END { printf "%.0f\n", ns / 1000 }'; }

# `verdict VALUE LIMIT`: ok or miss.
verdict() { awk -v v="$1" -v l="$2" 'BEGIN { print (v <= l) ? "ok" : "MISS" }'; }
