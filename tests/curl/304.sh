#!/bin/sh
# A browser that has the file already is told so, with no body.
. "$(dirname "$0")/lib/check.sh"

get "$BASE$FILE"
want 200 "$FILE"
etag=$(header ETag)
modified=$(header Last-Modified)
[ -n "$etag" ] || fail "no ETag"

get -H "If-None-Match: $etag" "$BASE$FILE"
want 304 "If-None-Match with its tag"
[ -s "$TMP/body" ] && fail "a 304 with a body"
[ "$(header ETag)" = "$etag" ] || fail "the 304 carries the tag $(header ETag), not $etag"
ok "no body, the same tag"

get -H 'If-None-Match: "other"' "$BASE$FILE"
want 200 "If-None-Match with another tag"

get -H 'If-Match: "other"' "$BASE$FILE"
want 412 "If-Match with another tag"

if [ -n "$modified" ]; then
    get -H "If-Modified-Since: $modified" "$BASE$FILE"
    want 304 "If-Modified-Since with its date"
    get -H 'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT' "$BASE$FILE"
    [ "$modified" = 'Thu, 01 Jan 1970 00:00:00 GMT' ] || want 200 "If-Modified-Since long ago"
fi

plain -H "If-None-Match: $etag" "$BASE$FILE"
want 401 "without credentials not even a 304"
