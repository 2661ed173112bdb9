# What the scripts beside this folder share. Read by them, not run.
#
#   BASE   the server, e.g. http://127.0.0.1:8080        (default)
#   AUTH   user:password of somebody who may come in     (needed)
#   GUEST  user:password of a second user                (some scripts; they say so)
#   DEVICES, TOKEN   where devices connect, HOST:PORT, and the token of check-device (device.sh)
#   FILE   a file that is no HTML page                   (default /style.css, which is built in)

BASE=${BASE:-http://127.0.0.1:8080}
FILE=${FILE:-/style.css}
NAME=$(basename "$0" .sh)
: "${AUTH:?set AUTH=user:password}"
USER_NAME=${AUTH%%:*}

TMP=$(mktemp -d) || exit 1
trap 'rm -rf "$TMP"' EXIT
trap 'exit 1' INT TERM

fail() { echo "FAILED $NAME: $*" >&2; exit 1; }
skip() { echo "skipped $NAME: $*"; exit 0; }
ok() { echo "  ok: $*"; }

# Every curl of ours: quiet, bounded, its own User-Agent (so that it is its own session), no config file, no proxy.
ask() { curl -q -sS -m 10 --noproxy '*' -A "check-$NAME" "$@"; }

# `get ARGS...` as $AUTH: status in $STATUS, head in $TMP/head (without carriage returns), body in $TMP/body.
get() { plain -u "$AUTH" "$@"; }
plain() {
    : >"$TMP/body" # curl leaves the file alone when no body comes
    STATUS=$(ask -D "$TMP/head.raw" -o "$TMP/body" -w '%{http_code}' "$@") || fail "no answer to: curl $*"
    tr -d '\r' <"$TMP/head.raw" >"$TMP/head"
}

header() { sed -n "s/^$1: *//Ip" "$TMP/head" | tail -n 1; }
want() { [ "$STATUS" = "$1" ] || fail "$2: got status $STATUS, wanted $1: $(head -c 300 "$TMP/body")"; ok "$2: $1"; }
want_header() { case "$(header "$1")" in $2) ok "$1: $(header "$1")" ;; *) fail "$1 is '$(header "$1")', wanted '$2'" ;; esac; }
want_body() { grep -q -- "$1" "$TMP/body" || fail "$2: no '$1' in: $(head -c 300 "$TMP/body")"; ok "$2"; }

# `field NAME`: the value of the first string or number of that name in the JSON of the last body.
field() { tr ',{}' '\n\n\n' <"$TMP/body" | sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\"]*\).*/\1/p" | head -n 1; }
# `seats NAME`: a number from the body's {"seats":{...}}.
seats() { sed -n 's/.*"seats": *{\([^}]*\)}.*/\1/p' "$TMP/body" | tr ',' '\n' | sed -n "s/^ *\"$1\": *\([0-9]*\).*/\1/p"; }
