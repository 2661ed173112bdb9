#!/bin/sh
# The live stream: hello first, then beats, then whatever happens.
. "$(dirname "$0")/lib/check.sh"

ask -N -m 6 -D "$TMP/head.raw" -u "$AUTH" "$BASE/api/events" 2>/dev/null >"$TMP/heard" &
curl_pid=$!
trap 'kill $curl_pid 2>/dev/null; rm -rf "$TMP"' EXIT
tries=0
until grep -q '^event: beat' "$TMP/heard" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || fail "no beat within 5 s; heard: $(head -c 500 "$TMP/heard")"
    sleep 0.1
done
tr -d '\r' <"$TMP/head.raw" >"$TMP/head"
want_header Content-Type 'text/event-stream*'
[ "$(head -n 1 "$TMP/heard")" = "retry: 1000" ] || fail "the first line is '$(head -n 1 "$TMP/heard")', not 'retry: 1000'"
ok "the first line asks to retry after 1 s"
[ "$(grep '^event:' "$TMP/heard" | head -n 1)" = "event: hello" ] || fail "the first message is no hello"
ok "the first message is hello, then beats"
grep -A 2 '^event: hello' "$TMP/heard" | grep '^data:' | grep -q "\"user\":\"$USER_NAME\"" || fail "hello does not know $USER_NAME"
ok "hello names you and everybody on board"

text="seen live $$"
get -H 'Content-Type: text/plain' -d "$text" "$BASE/api/chat"
want 201 "something is said"
tries=0
until grep -q "$text" "$TMP/heard"; do
    tries=$((tries + 1))
    [ $tries -lt 30 ] || fail "not heard within 3 s: $(tail -c 500 "$TMP/heard")"
    sleep 0.1
done
ok "and heard at once"

get "$BASE/api/roster"
want 200 "the roster"
want_body "\"user\":\"$USER_NAME\"" "has you"
case $(field rtt_ms) in null | '') echo "  note: no round-trip time yet" ;; *) ok "round trip $(field rtt_ms) ms" ;; esac

get "$BASE/api/events?types=nonsense"
want 400 "an unknown event type"
