#!/bin/sh
# An admin takes a seat away. AUTH has to be an admin's; GUEST is who gets evicted, and is then kept out for a minute.
. "$(dirname "$0")/lib/check.sh"

get "$BASE/api/session"
want 200 "/api/session"
[ "$(field role)" = admin ] || skip "$USER_NAME is $(field role), no admin: set AUTH to an admin's"
[ -n "${GUEST:-}" ] || skip "set GUEST=user:password to somebody who may be evicted and kept out for a minute"
guest=${GUEST%%:*}

plain -A guest -u "$GUEST" -c "$TMP/jar" "$BASE/"
want 200 "$guest comes in"
plain -b "$TMP/jar" "$BASE/api/session"
session=$(field session)
[ ${#session} -eq 8 ] || fail "no session in: $(cat "$TMP/body")"

plain -b "$TMP/jar" -X POST "$BASE/api/members/$session/evict"
want 403 "$guest may not evict"
get -X POST "$BASE/api/members/00000000/evict"
want 404 "nobody of that name"
get -X POST "$BASE/api/members/$session/evict"
want 204 "$USER_NAME may"

get "$BASE/api/roster"
grep -q "\"session\":\"$session\"" "$TMP/body" && fail "$session is still on board"
ok "the seat is free"
plain -b "$TMP/jar" "$BASE/api/session?tab=check"
want 403 "the page of $guest is told"
want_body '"ended"' "that its session has ended"
plain -A guest -u "$GUEST" "$BASE/"
want 403 "$guest stays out for a minute"
