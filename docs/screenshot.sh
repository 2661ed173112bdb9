#!/bin/sh
# Makes docs/img/panel.png: the built-in page of a real server, as headless Chromium shows it.
#
#   docs/screenshot.sh [OUT.png] [WIDTH HEIGHT]        BIN=path/to/boatswain  CHROMIUM=chromium  DARK=1
set -eu
cd "$(dirname "$0")/.."
out=${1:-docs/img/panel.png} width=${2:-1200} height=${3:-760}
BIN=${BIN:-${CARGO_TARGET_DIR:-target}/release/boatswain}
CHROMIUM=${CHROMIUM:-chromium}
[ -x "$BIN" ] || { echo "no server at $BIN: cargo build --release, or set BIN" >&2; exit 2; }
command -v "$CHROMIUM" >/dev/null || { echo "Chromium is needed (Debian: apt install chromium)" >&2; exit 2; }

tmp=$(mktemp -d)
pids=
trap 'for p in $pids; do kill "$p" 2>/dev/null || true; done; wait; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
for user in ann bob carol dave; do echo "$user" | "$BIN" passwd "$tmp/users" $user >/dev/null 2>&1; done
cat >"$tmp/boatswain.toml" <<CONF
listen = ["127.0.0.1:0"]
[auth]
users = "$tmp/users"
admins = ["ann"]
viewers = ["dave"]
CONF
"$BIN" serve -c "$tmp/boatswain.toml" 2>"$tmp/log" & pids="$pids $!"
port= tries=0
until port=$(sed -n 's/.*listening addr=127.0.0.1:\([0-9]*\).*/\1/p' "$tmp/log") && [ -n "$port" ]; do
    tries=$((tries + 1)); [ $tries -lt 100 ] || { cat "$tmp/log" >&2; exit 1; }; sleep 0.05
done

# A crew: each from an address of its own.
as() { user=$1 from=$2; shift 2; curl -q -sS --noproxy '*' -u "$user:$user" -A "panel at $from" --interface "127.0.0.$from" "$@"; }
listen() { as "$1" "$2" -N "http://127.0.0.1:$port/api/events" >/dev/null 2>&1 & pids="$pids $!"; last=$!; sleep 0.15; }
talk() { as "$1" "$2" -H 'Content-Type: text/plain' -d "$3" "http://127.0.0.1:$port/api/chat" >/dev/null; }
listen bob 21
listen dave 35
talk bob 21 'Pump 1 is warm, starting slowly.'
listen carol 22; carol=$last
talk carol 22 'Valve 3 is open, pressure 4.1 bar.'
talk dave 35 'Looks good from the office.'
kill "$carol"; sleep 3.5
listen carol 22
talk carol 22 'Back again, had to move the laptop.'

# ann opens the panel: she is who we look over the shoulder of.
python3 docs/screenshot.py "$CHROMIUM" "http://ann:ann@127.0.0.1:$port/" "$out" "$width" "$height" ${DARK:+--dark}
ls -l "$out"
