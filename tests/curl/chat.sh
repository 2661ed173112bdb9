#!/bin/sh
# Say something with one curl, hear it with another.
. "$(dirname "$0")/lib/check.sh"

text="hello from $NAME $$ äöü <b>"
get -H 'Content-Type: text/plain' --data-binary "$text" "$BASE/api/chat"
want 201 "a line of plain text"
id=$(field id)
case $id in *-*) ok "its id is $id" ;; *) fail "no id in: $(cat "$TMP/body")" ;; esac

get -H 'Content-Type: application/json' -d '{"text":"the same as JSON '$$'"}' "$BASE/api/chat"
want 201 "a line as JSON"

# The event before ours, so that ours is replayed: EPOCH-SEQ, SEQ grows by one.
before=${id%-*}-$((${id##*-} - 1))
ask -N -m 5 -u "$AUTH" -H "Last-Event-ID: $before" "$BASE/api/chat" 2>/dev/null | sed "/the same as JSON $$/q" >"$TMP/heard"
grep -q "^id: $id" "$TMP/heard" || fail "the event $id was not replayed: $(cat "$TMP/heard")"
grep '^data:' "$TMP/heard" | grep -qF "$text" || fail "the text did not come back as it was sent: $(cat "$TMP/heard")"
grep -q '^event: said' "$TMP/heard" || fail "no event of type said"
ok "heard it over /api/chat, after Last-Event-ID $before"

get "$BASE/api/log?since=$before&limit=1"
want 200 "the log"
want_body "\"id\":\"$id\"" "which has it"

get -H 'Content-Type: text/plain' -d '' "$BASE/api/chat"
want 400 "an empty line"
get -d 'x' "$BASE/api/chat"
want 415 "curl's own content type (form data)"
want_body 'curl' "and the message shows the right curl line"
printf '\377\376' >"$TMP/bytes"
get -H 'Content-Type: text/plain' --data-binary @"$TMP/bytes" "$BASE/api/chat"
want 400 "bytes that are not UTF-8"
head -c 200000 /dev/zero | tr '\0' x >"$TMP/long"
get -H 'Content-Type: text/plain' -H 'Expect:' --data-binary @"$TMP/long" "$BASE/api/chat"
want 413 "200 000 characters"
get -H 'Content-Type: text/plain' -H 'Origin: http://evil.example' -d 'x' "$BASE/api/chat"
want 403 "a POST that another site's page sends"
