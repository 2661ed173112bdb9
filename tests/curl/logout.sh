#!/bin/sh
# Leave: the seat is free at once, the cookie is dead, and a page can make the browser forget the password.
. "$(dirname "$0")/lib/check.sh"

get -c "$TMP/jar" "$BASE/"
want 200 "come in with a password"
plain -b "$TMP/jar" "$BASE/api/session"
want 200 "then the cookie alone is enough"
want_body "\"user\":\"$USER_NAME\"" "and says who you are"
want_body '"seat":[0-9]' "and your seat"
session=$(field session)

plain -b "$TMP/jar" -X POST "$BASE/api/logout"
want 204 "log out"
plain -b "$TMP/jar" "$BASE/api/session"
want 401 "the cookie is dead"
get -A other "$BASE/api/roster"
want 200 "the roster"
grep -q "\"session\":\"$session\"" "$TMP/body" && fail "the session $session is still on board"
ok "the seat is free"

plain "$BASE/api/logout?tab=check"
want 401 "GET /api/logout asks for a password, even a page"
want_header WWW-Authenticate 'Basic *'
get "$BASE/api/logout"
want 401 "and does so for the right one too"
plain -u logout:x "$BASE/api/logout"
want 200 "until the name is 'logout'"
