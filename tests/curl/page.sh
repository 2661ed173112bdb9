#!/bin/sh
# The page and its files come, with the right types, and the whole of them.
. "$(dirname "$0")/lib/check.sh"

get "$BASE/"
want 200 "the page"
want_header Content-Type 'text/html; charset=utf-8'
want_header Cache-Control '*no-store*'
want_header X-Content-Type-Options nosniff
want_header Set-Cookie 'boatswain_*HttpOnly*SameSite=Lax*'
length=$(header Content-Length)
[ "$length" = "$(wc -c <"$TMP/body" | tr -d ' ')" ] || fail "Content-Length $length, but $(wc -c <"$TMP/body") bytes came"
ok "all $length bytes came"

get -I "$BASE/"
want 200 "HEAD"
[ "$(header Content-Length)" = "$length" ] || fail "HEAD says $(header Content-Length) bytes, GET $length"
ok "HEAD says the same length"

get "$BASE$FILE"
want 200 "$FILE"
want_header Cache-Control '*no-cache*'
want_header ETag '"*"'

get "$BASE/no-such-page"
want 404 "a page that is not there"

get --path-as-is "$BASE/../../../../etc/passwd"
case $STATUS in 400 | 404) ok "no way out of the folder: $STATUS" ;; *) fail "/../../etc/passwd got $STATUS" ;; esac

get -X OPTIONS "$BASE/"
case $STATUS in 200 | 204) ok "OPTIONS: $STATUS" ;; *) fail "OPTIONS got $STATUS" ;; esac
want_header Allow '*GET*'

get -X DELETE "$BASE/"
want 405 "a method that pages do not have"
