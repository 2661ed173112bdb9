#!/bin/sh
# Makes docs/img/panel.png: the built-in page of a real server, as headless Chromium shows it.
#
#   docs/screenshot.sh [OUT.png] [WIDTH HEIGHT]        BIN=path/to/boatswain  CHROMIUM=chromium  DARK=1
#
# As root it runs in a network namespace of its own, where the cables of two of the crew are really cut: one is lost by
# the time of the picture, the other one suspect. Without root the picture lacks these two.
set -eu
cd "$(dirname "$0")/.."
out=${1:-docs/img/panel.png} width=${2:-1200} height=${3:-760}
BIN=${BIN:-${CARGO_TARGET_DIR:-target}/release/boatswain}
CHROMIUM=${CHROMIUM:-chromium}
[ -x "$BIN" ] || { echo "no server at $BIN: cargo build --release, or set BIN" >&2; exit 2; }
command -v "$CHROMIUM" >/dev/null || { echo "Chromium is needed (Debian: apt install chromium)" >&2; exit 2; }

if [ -z "${OWN_NET:-}" ] && [ "$(id -u)" = 0 ] && command -v nft >/dev/null && unshare --net true 2>/dev/null; then
    OWN_NET=1 BIN=$(realpath "$BIN") exec unshare --net "docs/screenshot.sh" "$@"
fi
if [ -n "${OWN_NET:-}" ]; then
    ip link set lo up
    nft 'add table ip cables; add chain ip cables input { type filter hook input priority 0; }'
fi
cut() { [ -z "${OWN_NET:-}" ] || nft "add rule ip cables input ip saddr 127.0.0.$1 drop; add rule ip cables input ip daddr 127.0.0.$1 drop"; }

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
listen() { # and wait until the server knows
    as "$1" "$2" -N "http://127.0.0.1:$port/api/events" >/dev/null 2>&1 & pids="$pids $!"
    logged "joined .*user=$1"
}
talk() { as "$1" "$2" -H 'Content-Type: text/plain' -d "$3" "http://127.0.0.1:$port/api/chat" >/dev/null; }
logged() { tries=0; until grep -q "$1" "$tmp/log"; do tries=$((tries + 1)); [ $tries -lt 200 ] || { cat "$tmp/log" >&2; exit 1; }; sleep 0.05; done; }
listen bob 21
listen dave 35
listen carol 22
talk bob 21 'Pump 1 is warm, starting slowly.'
talk carol 22 'Valve 3 is open, pressure 4.1 bar. Going down to the engine room.'
talk dave 35 'Looks good from the office.'
live="document.querySelector('.banner.live') && document.querySelectorAll('#log li').length > 5"
if [ -n "${OWN_NET:-}" ]; then
    cut 22
    logged 'lost .*user=carol'
    talk bob 21 'Carol, are you still with us?'
    (logged 'joined .*user=ann'; sleep 1; cut 35) & pids="$pids $!"
    live="$live && document.querySelector('.suspect')"
fi

# ann opens the panel: she is who we look over the shoulder of.
python3 docs/screenshot.py "$CHROMIUM" "http://ann:ann@127.0.0.1:$port/" "$out" "$width" "$height" ${DARK:+--dark} --wait "$live"
ls -l "$out"
